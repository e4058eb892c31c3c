"""What the end of a command says of its message (pipe_command.c and sys_exits.c of Postfix).

0                            delivered
out of time                  bounced, 5.3.0
ended by a signal            deferred, 4.3.0
any other, output "D.S.N t"  the code that the command's output begins with, and its text
64 to 78                     as sysexits.h has it
any other                    bounced, 5.3.0
"""

import re
from typing import Final

from mta.ipc.messages import CommandEnded
from mta.proto.status import Status

__all__ = ["status_of_command"]

_TEXT_LIMIT: Final = 400  # characters
_CODE: Final = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s+|\Z)", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[^ -~]+")
_SYSEXITS: Final = {
    64: ("5.3.0", "command line usage error"),
    65: ("5.6.0", "data format error"),
    66: ("5.3.0", "cannot open input"),
    67: ("5.1.1", "user unknown"),
    68: ("5.1.2", "host name unknown"),
    69: ("5.3.0", "service unavailable"),
    70: ("5.3.0", "internal software error"),
    71: ("4.3.0", "system resource problem"),
    72: ("5.3.0", "critical OS file missing"),
    73: ("5.2.0", "can't create user output file"),
    74: ("5.3.0", "input/output error"),
    75: ("4.3.0", "temporary failure"),
    76: ("5.5.0", "remote error in protocol"),
    77: ("5.7.0", "permission denied"),
    78: ("5.3.5", "local configuration error"),
}


def status_of_command(command: str, ended: CommandEnded) -> Status:
    """The outcome of a message that the command got."""
    output = _UNPRINTABLE.sub(" ", ended.output.decode("ascii", "replace")).strip()[:_TEXT_LIMIT]
    said = f". Command output: {output}" if output else ""
    name = _UNPRINTABLE.sub("?", command)[:80]
    if ended.timed_out:
        return _status("5.3.0", f'Command time limit exceeded: "{name}"{said}')
    if ended.status == 0:
        return Status(250, "2.0.0", f"delivered to command: {name}")
    if ended.status < 0:
        return _status("4.3.0", f'Command died with signal {-ended.status}: "{name}"{said}')
    code = _CODE.match(output)
    if code is not None:
        kind = code[1].replace("2", "5")  # success is what it cannot mean
        return _status(f"{kind}.{code[2]}.{code[3]}", output[code.end() :] or "no reason given")
    if ended.status in _SYSEXITS:
        enhanced, text = _SYSEXITS[ended.status]
        return _status(enhanced, f"{text}{said}")
    return _status("5.3.0", f'Command died with status {ended.status}: "{name}"{said}')


def _status(enhanced: str, text: str) -> Status:
    return Status(450 if enhanced.startswith("4") else 550, enhanced, text)
