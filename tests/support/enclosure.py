"""A program of an unpacked Debian package, run as root in a file system of its own.

It sees its own /etc, /var and /run below a folder of the test, its package's files in /usr, and its
users, whether or not the host has them. What it listens on is the host's loopback. When it is
stopped, or the test's process dies, all its processes end.
"""

import os
import select
import signal
import subprocess
from pathlib import Path

from support.waiting import wait_until

__all__ = ["Enclosure"]

_SCRIPT = Path(__file__).with_name("enclose.sh")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_FIRST_ID = 64_900  # users and groups; unassigned in Debian's policy
_TIMEOUT = 60.0  # seconds for one command


class Enclosure:
    """One folder with its own /etc, /var and /run, and what runs in there."""

    def __init__(self, folder: Path, package: Path, users: tuple[str, ...]) -> None:
        self.folder = folder
        self._package = package
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("etc", "run", "var/lib", "var/log", "var/mail", "var/spool", "var/tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "var" / "run").symlink_to("/run")
        self._ids = self._add_users(users)

    def make(self, path: str, owner: str = "", mode: int = 0o755) -> Path:
        """A folder in there, with its owner."""
        made = self.folder / path
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(mode)
        if owner:
            self.give(made, owner)
        return made

    def give(self, path: Path, owner: str) -> None:
        """Let a user of the enclosure own a file."""
        number = self._ids[owner]
        os.chown(path, number, number)

    def write(self, path: str, text: str) -> None:
        """A file in there."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def start(self, *command: str) -> None:
        """Run the program in the background; what it says is in the folder's `said`."""
        enclosed = ["/bin/sh", str(_SCRIPT), str(self._package), str(self.folder), *command]
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *unshare, *enclosed],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def run(self, *command: str, stdin: bytes = b"") -> bytes:
        """Run a command beside the program; what it said on standard output."""
        entered = ["nsenter", "--target", str(self._first), "--mount", "--pid"]
        done = subprocess.run(
            [*entered, *command],
            env=_ENVIRONMENT,
            input=stdin,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode} {done.stderr!r}\n{self.story()}"
        return done.stdout

    def stop(self) -> None:
        """End all processes, and return when there is none."""
        if self._process is None:
            return
        if self.is_running:
            # The first process of a PID namespace takes all others along, and ends after them.
            first = os.pidfd_open(self._first)
            try:
                signal.pidfd_send_signal(first, signal.SIGKILL)
                ended, _, _ = select.select([first], [], [], _TIMEOUT)
                assert ended, f"processes in {self.folder} do not end"
            finally:
                os.close(first)
        self._process.wait()
        self._process = None

    def story(self) -> str:
        """What the program said and logged: what a reader of a failed test wants."""
        logs = (path for path in (self.folder / "var" / "log").rglob("*") if path.is_file())
        return "\n".join(
            f"---- {path}\n{path.read_text(errors='replace')[-4000:]}"
            for path in (self.folder / "said", *sorted(logs))
            if path.exists()
        )

    @property
    def _first(self) -> int:
        """The first process in there: the only child of the one that we started."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        return int(wait_until(lambda: children.read_text().split(), "the enclosure")[0])

    def _add_users(self, users: tuple[str, ...]) -> dict[str, int]:
        """Add users, each with a group of its name, to the host's."""
        people = Path("/etc/passwd").read_text()
        groups = Path("/etc/group").read_text()
        ids = {}
        for number, name in enumerate(users, _FIRST_ID):
            # A host that has the package has the user; ours comes first and is the one in there.
            people = f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n{people}"
            groups = f"{name}:x:{number}:\n{groups}"
            ids[name] = number
        self.write("etc/passwd", people)
        self.write("etc/group", groups)
        return ids
