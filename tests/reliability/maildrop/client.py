"""A host that only sends: a root of its own, where `sendmail` is all that ever runs.

Its UTS namespace has another host name, its mount namespace another boot id; both live as long as
this object has them open, for no process stays there. The profile is maildrop_client, and the
programs are those that a roll-out installs.
"""

import os
import pwd
import select
import signal
import subprocess
from contextlib import ExitStack, suppress
from enum import Enum
from pathlib import Path
from typing import Final

from msgspec import Struct
from support.classic_programs import install_programs
from support.instance import Instance

__all__ = ["NEEDS", "ClientHost", "Strike", "Victim"]

NEEDS: Final = ("root", "hostname", "mount", "nsenter", "unshare")

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_MADE: Final = f'hostname "$1" && mount --bind "$2" {_BOOT_ID} && echo made && read -r _'
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_PATIENCE: Final = 120.0  # seconds for one sendmail, which gives up long before


class Victim(Enum):
    """Which of sendmail's processes are killed."""

    PROGRAM = "the program"
    CHILD = "its child, which writes the file"
    BOTH = "both"


class Strike(Struct, frozen=True):
    """A kill that many seconds after the beginning, if there is somebody left by then."""

    victim: Victim
    delay: float


class ClientHost:
    """One host; a context."""

    def __init__(self, folder: Path, name: str, boot: str, user: str, maildrop: Path) -> None:
        self.name = name
        self.boot = boot
        self.user = pwd.getpwnam(user)
        self._stack = ExitStack()
        folder.mkdir()
        boot_file = folder / "boot_id"
        boot_file.write_text(f"{boot}\n")
        instance = Instance(
            folder / "system", {"maildrop_directory": str(maildrop)}, profile="maildrop_client"
        )
        del instance.parameters["myhostname"]  # it is the host's own
        instance.configure()
        self._program = folder / "bin" / "sendmail"
        install_programs(self._program.parent, instance.config)
        self._namespaces = self._make(boot_file)
        command = [instance.python, "-I", "-m", "mta.commands", "-c", instance.config, "render"]
        subprocess.run(
            [*self._entered(), *map(str, command)],
            env=_ENVIRONMENT,
            pass_fds=self._namespaces,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )

    def close(self) -> None:
        """Let it go."""
        self._stack.close()

    def send(self, recipient: str, content: bytes, strike: Strike | None) -> tuple[int, bool]:
        """Run sendmail as the host's user; its exit status, and whether it was struck."""
        uid, gid = str(self.user.pw_uid), str(self.user.pw_gid)
        with ExitStack() as stack:
            source = os.memfd_create("message")
            stack.callback(os.close, source)
            os.write(source, content)
            os.lseek(source, 0, os.SEEK_SET)
            process = subprocess.Popen(
                [
                    *self._entered("--setuid", uid, "--setgid", gid),
                    *(str(self._program), "-i", "-f", "", "--", recipient),
                ],
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=self._namespaces,
                stdin=source,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.enter_context(process)
            ended = os.pidfd_open(process.pid)
            stack.callback(os.close, ended)
            struck = False
            if strike is not None and not _is_over(ended, strike.delay):
                struck = _strike(process.pid, strike.victim)
            if not _is_over(ended, _PATIENCE):
                process.kill()
            return process.wait(), struck

    def _make(self, boot_file: Path) -> tuple[int, int]:
        """The namespaces, open: UTS, mount."""
        process = subprocess.Popen(
            ["unshare", "--uts", "--mount", "/bin/sh", "-c", _MADE, "sh", self.name, boot_file],
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"made\n", "no namespaces"
            uts, mount = (
                os.open(f"/proc/{process.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                for kind in ("uts", "mnt")
            )
            for descriptor in (uts, mount):
                self._stack.callback(os.close, descriptor)
        return uts, mount

    def _entered(self, *options: str) -> list[str]:
        uts, mount = (f"/proc/self/fd/{descriptor}" for descriptor in self._namespaces)
        return ["nsenter", f"--uts={uts}", f"--mount={mount}", *options, "--"]


def _is_over(process: int, seconds: float) -> bool:
    return bool(select.select([process], [], [], seconds)[0])


def _strike(program: int, victim: Victim) -> bool:
    """Kill; whether anybody was."""
    struck = victim is not Victim.CHILD
    if victim is not Victim.PROGRAM:
        for child in _children(program):
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(child)
                try:
                    if child in _children(program):  # and so it is the one that was opened
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                        struck = True
                finally:
                    os.close(descriptor)
    if victim is not Victim.CHILD:
        os.kill(program, signal.SIGKILL)  # not waited for yet: the number is still its own
    return struck


def _children(pid: int) -> list[int]:
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except (FileNotFoundError, ProcessLookupError):
        return []
