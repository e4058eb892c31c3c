"""The system on a damaged queue: put files in, wait for what must happen, look at what did.

Files are made beside the queue and renamed into it, so that nobody meets one half made. That the
queue manager has looked everywhere is known by a sentinel, a healthy message that nobody notified:
when it is delivered, a scan has found it.
"""

import hashlib
import os
import random
import re
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.instance import Instance
from support.scripted_service import notify
from support.waiting import wait_until

from mta.ipc.messages import ARRIVED_LIMIT, Arrived
from mta.queue.layout import path_of
from mta.queue.queue_id import ALPHABET
from reliability.corruption.case import Case, Fate
from reliability.corruption.lines import Lines
from reliability.corruption.octets import MODELS, content_of, healthy

__all__ = ["Scene"]

_SENTINEL: Final = next(model for model in MODELS if model.journal)  # so it lies in deferred/
_PATIENCE: Final = 120.0  # seconds for one batch
_TRACE_LINES: Final = 3  # that delivery puts before the content
_MOST_LINES: Final = 2  # of a file that is no message: a wrong notification costs one
_LINES_OF_A_MESSAGE: Final = 4  # active, removed, the same, and those of its recipients
_SUBJECT: Final = re.compile(rb"Subject: (\w{22}) (\d{1,6})\n", re.ASCII)
_HASHED: Final = 1 << 24  # octets; a larger file is known by its inode
_EXPECTED_ERRORS: Final = frozenset(("corrupt", "foreign_file"))


@dataclass(frozen=True)
class Print:
    """By what a file is known again, wherever it lies."""

    inode: int
    mode: int
    size: int
    digest: str

    @classmethod
    def of(cls, path: Path) -> "Print":
        """Of the file itself, whatever it is."""
        found = path.lstat()
        digest = ""
        readable = stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IRUSR
        if readable and found.st_size < _HASHED:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(found.st_mode):
            digest = str(path.readlink())
        return cls(found.st_ino, found.st_mode, found.st_size, digest)


class Scene:
    """One system, and what was put into its queue."""

    def __init__(self, folder: Path, source: random.Random) -> None:
        self.instance = Instance(folder / "system", {"queue_run_delay": "0.5s"})
        self.instance.mta("render")
        self.lines = Lines(self.instance.log_file)
        self.failures: list[str] = []
        self.fates: Counter[tuple[str, Fate]] = Counter()  # of each kind, as they were found
        self.made: Counter[tuple[str, Fate]] = Counter()
        self.most_lines: Counter[tuple[str, Fate]] = Counter()  # of one file
        self._source = source
        self._copies: Counter[tuple[str, str]] = Counter()  # of a message, in a mailbox
        self._owed: dict[tuple[str, str], tuple[int, int]] = {}
        self._prints: dict[Path, Print] = {}  # by where each was put
        self._pids: list[int] = []
        self._unnamed = 0  # files that were set aside, and no line says so
        self._staging = folder / "staging"
        self._staging.mkdir(mode=0o700)
        found = (self.instance.queue / "incoming").stat()
        os.chown(self._staging, found.st_uid, found.st_gid)

    def start(self) -> None:
        """Start the system."""
        self.instance.start()
        self._pids = self.instance.wait_ready("qmgr")

    # Putting in

    def put(self, cases: Sequence[Case]) -> None:
        """Put each file where it belongs."""
        for case in cases:
            path = self._path(case)
            staged = self._staging / path.name
            case.make(staged)
            if case.fate is not Fate.DELIVERED:
                self._prints[path] = Print.of(staged)
            staged.rename(path)

    def notify(self, cases: Sequence[Case]) -> None:
        """Claim that they have come in."""
        names = [case.name for case in cases if case.notifiable]
        for start in range(0, len(names), ARRIVED_LIMIT):
            group = tuple(names[start : start + ARRIVED_LIMIT])
            notify(self.instance.queue, "public/qmgr", Arrived(group))

    # Waiting

    def settle(self, cases: Sequence[Case]) -> None:
        """Wait until nothing more happens to them; AssertionError says to which something must."""
        moving = [case for case in cases if case.fate in (Fate.DELIVERED, Fate.CORRUPT)]

        def none_left() -> bool:
            moving[:] = [case for case in moving if os.path.lexists(self._path(case))]
            return not moving

        try:
            wait_until(none_left, "the end of all damaged files", _PATIENCE)
        except AssertionError:
            left = ", ".join(f"{case.kind} ({case.name})" for case in moving[:5])
            raise AssertionError(f"{len(moving)} files still lie in the queue: {left}") from None
        self._wait_scan()
        self.lines.read()
        before = {case.name: self.lines.count(_logged(case)) for case in cases}
        self._wait_scan()
        self._wait_scan()
        self.lines.read()
        for case in cases:
            more = self.lines.count(_logged(case)) - before[case.name]
            self._expect(not more, case, f"two further scans brought {more} further lines")

    def _wait_scan(self) -> None:
        """Wait until a scan has found a message that nobody notified, and the log tells of it.

        It lies in the folder that a scan comes to last.
        """
        sentinel = healthy(_SENTINEL, "sentinel", self._source, ALPHABET[-1])
        self.put([sentinel])

        def told() -> bool:
            self.lines.read()
            return self.lines.of.get(sentinel.name, Counter())["removed"] > 0

        wait_until(told, "a scan of the queue", _PATIENCE)
        self.check([sentinel])

    # Looking

    def check(self, cases: Sequence[Case]) -> None:
        """Hold what became of them to what must; what was set aside is removed, to save space."""
        self._collect()
        for case in cases:
            row = case.kind, case.fate
            lines = self.lines.count(_logged(case))
            self.most_lines[row] = max(self.most_lines[row], lines)
            self.made[row] += 1
            self.fates[row] += {
                Fate.DELIVERED: self._was_delivered,
                Fate.CORRUPT: self._was_set_aside,
                Fate.IGNORED: self._was_ignored,
                Fate.TOLD: self._was_told_of,
                Fate.STUCK: self._was_told_of,
            }[case.fate](case)

    def conclude(self) -> None:
        """Look at the whole once more, at the end."""
        self._collect()
        for (name, user), count in self._copies.items():
            least, most = self._owed.get((name, user), (0, 0))
            if not least <= count <= most:
                self.failures.append(f"{name}: {count} copies for {user} at the end")
        self.lines.read()
        if self._unnamed > self.lines.dropped:
            self.failures.append(
                f"{self._unnamed} files were set aside without a line in the log, which dropped "
                f"{self.lines.dropped}"
            )
        for event in set(self.lines.errors) - _EXPECTED_ERRORS:
            self.failures.append(f"{self.lines.errors[event]} records {event} in the log")
        if self.instance.pids("qmgr") != self._pids:
            self.failures.append("the queue manager is not the one that was started")
        for path in self.instance.log_file.parent.rglob("crash-*.log"):
            if path.stat().st_size:
                self.failures.append(f"{path.name}: {path.read_text()[-400:]}")

    def _was_delivered(self, case: Case) -> bool:
        right = True
        for user, (least, most) in case.owed.items():
            self._owed[case.name, user] = least, most
            count = self._copies[case.name, user]
            right &= self._expect(
                least <= count <= most, case, f"{count} copies for {user}, expected {least}"
            )
        most_lines = _LINES_OF_A_MESSAGE + len(case.owed)
        count = self.lines.count(case.name)
        return right & self._expect(count <= most_lines, case, f"{count} lines in the log")

    def _was_set_aside(self, case: Case) -> bool:
        record = self.lines.corrupt.get(case.name)
        path = self.instance.queue / path_of("corrupt", case.name)
        if record is None:
            self._unnamed += 1
        else:
            path = self.instance.queue / record.get("path", "")
        found = os.path.lexists(path) and Print.of(path) == self._prints.pop(self._path(case))
        if found and path.is_file() and not path.is_symlink():
            path.unlink()
        return self._expect(found, case, "it is not in corrupt/ as it was") & self._is_terse(case)

    def _was_ignored(self, case: Case) -> bool:
        return self._stays(case) & self._is_terse(case)

    def _was_told_of(self, case: Case) -> bool:
        event = "foreign_file" if case.fate is Fate.TOLD else "corrupt"
        count = self.lines.of.get(_logged(case), Counter())[event]
        told = self._expect(count == 1, case, f"{count} lines {event}, expected 1")
        return told & self._stays(case) & self._is_terse(case)

    def _stays(self, case: Case) -> bool:
        path = self._path(case)
        stays = os.path.lexists(path) and Print.of(path) == self._prints[path]
        return self._expect(stays, case, "it does not lie where it lay")

    def _is_terse(self, case: Case) -> bool:
        count = self.lines.count(_logged(case))
        return self._expect(count <= _MOST_LINES, case, f"{count} lines in the log")

    def _expect(self, holds: bool, case: Case, finding: str) -> bool:
        if not holds:
            self.failures.append(f"{case.kind}: {case.state}/{case.name}: {finding}")
        return holds

    def _collect(self) -> None:
        """Take what was delivered out of the mailboxes, and hold it to what was sent."""
        for path in self.instance.mail.glob("*/*/new/*"):
            delivered = path.read_bytes().split(b"\n", _TRACE_LINES)[-1]
            subject = _SUBJECT.match(delivered)
            name = subject[1].decode() if subject else path.name
            whole = content_of(name, int(subject[2])) if subject else b""
            if delivered != whole.replace(b"\r\n", b"\n"):
                self.failures.append(f"{path}: what was delivered is not what was sent")
            self._copies[name, path.parents[1].name] += 1
            path.unlink()

    def _path(self, case: Case) -> Path:
        if case.fate is Fate.TOLD:
            return self.instance.queue / case.state / case.name
        return self.instance.queue / path_of(case.state, case.name)


def _logged(case: Case) -> str:
    """How the log names it."""
    name = case.name.encode("utf-8", "backslashreplace").decode()
    return f"{case.state}/{name}" if case.fate is Fate.TOLD else name
