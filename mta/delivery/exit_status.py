"""What a delivery command's end means: Postfix's reading of signals, output and sysexits(3).

exit status 0                     delivered
time is up                        bounced, 5.3.0
ended by a signal                 deferred, 4.3.0
output beginning with 4.X.X text  deferred, with that code and text
output beginning with 5.X.X text  bounced, with that code and text
output beginning with 2.X.X text  the same as 5.X.X, unless the exit status is a temporary one
64 to 78 (sysexits.h)             the table below
any other exit status             bounced, 5.3.0
"""

import re
from typing import Final

from mta.ipc.messages import CommandEnded
from mta.proto.status import Status

__all__ = ["outcome_of", "printable"]

# "D.S.N text": RFC 3463; 2 means success, which a failure cannot mean.
_CODE: Final = re.compile(r"([245])(\.\d{1,3}\.\d{1,3})(?:\s+|\Z)", re.ASCII)
_NAME_LIMIT: Final = 80  # characters of a command
_TEXT_LIMIT: Final = 380  # characters of output in a status
_UNKNOWN: Final = ("5.3.0", "unknown mail system error")
_DETAILS: Final = {
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


def outcome_of(ended: CommandEnded, command: str, success: str) -> Status:
    """The outcome; `command` is what a reader knows it by, `success` the text of a delivery."""
    said = printable(ended.output)
    command = printable(command.encode("ascii", "replace"))[:_NAME_LIMIT]
    output = f". Command output: {said}" if said else ""
    if ended.timed_out:
        return _status("5.3.0", f'Command time limit exceeded: "{command}"{output}')
    if ended.status < 0:
        return _status("4.3.0", f'Command died with signal {-ended.status}: "{command}"{output}')
    if ended.status == 0:
        return Status(250, "2.0.0", success)
    code = _CODE.match(said)
    enhanced, text = _DETAILS.get(ended.status, _UNKNOWN)
    if code is not None and (code[1] != "2" or enhanced.startswith("5")):
        enhanced = code[1].replace("2", "5") + code[2]
        return _status(enhanced, said[code.end() :] or "no reason given")
    if ended.status in _DETAILS:
        return _status(enhanced, text + output)
    return _status(enhanced, f'Command died with status {ended.status}: "{command}"{output}')


def printable(output: bytes) -> str:
    """Output as one line that may stand in a log and a report."""
    text = output.decode("ascii", "replace").replace("\ufffd", "?")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_TEXT_LIMIT]


def _status(enhanced: str, text: str) -> Status:
    return Status(450 if enhanced.startswith("4") else 550, enhanced, text)
