"""The real system on what a power cut left, and the books when it has done with that.

The law: whoever was to have a message that was acknowledged before the cut has it now, or its
sender has a report; nobody has it more than twice, for there was one crash; whatever lies in new/
or came to the next host is whole; nothing acknowledged is set aside.
"""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.instance import separated
from support.waiting import wait_until

from mta.queue.reader import COMPLETE_MODE
from reliability.powercut.cases import Case, Leaf
from reliability.powercut.letters import Letter, Mark, Report, recognised
from reliability.powercut.machine import TREES, Machine
from reliability.powercut.recorder import refusals

__all__ = ["Found", "Restarts"]

_PATIENCE: Final = 120.0  # seconds
_MOST: Final = 2  # copies: one crash, one extra
# A start is all but processor time, and most of that is Python's start: one process a row will do.
_ROWS: Final = {row: {"numprocs": 1} for row in ("virtual", "outbound", "bounce", "cleanup")}


@dataclass
class Found:
    """What all starts of one machine brought."""

    faults: list[str] = field(default_factory=list)
    starts: Counter[tuple[str, str]] = field(default_factory=Counter)  # model and variant
    checked: int = 0  # acknowledged messages
    extra: Counter[int] = field(default_factory=Counter)  # recipients by copies beyond the first
    unfinished: int = 0  # starts with files in corrupt/, none of which was acknowledged


class Restarts:
    """One machine that is started on one state after the other."""

    def __init__(
        self, folder: Path, letters: Mapping[str, Letter], queue_ids: Mapping[str, str]
    ) -> None:
        """`queue_ids` tells each acknowledged message's mark."""
        self.found = Found()
        self.machine = Machine(folder, refusals(letters, at_first=False), _ROWS)
        self._letters = letters
        self._queue_ids = queue_ids

    def start(self, case: Case) -> None:
        """Start the system on a state, let it work the queue off, kill it, and look."""
        self._build(case.tree)
        peer = self.machine.peer
        peer.messages.clear()
        self.machine.power_on()
        where = f"{case.model.value}, {case.variant}, {case.text}"
        try:
            looks = [False, False]

            def idle() -> bool:
                # A report enters before its cause leaves: one look can miss both.
                looks[:] = [looks[1], not self._waiting()]
                return all(looks)

            wait_until(idle, "an empty queue", _PATIENCE)
        except AssertionError as error:
            story = self.machine.instance.story()
            self.found.faults.append(f"{where}: {error}\n{self._waiting()}\n{story}")
        finally:
            self.machine.power_off()
        self.found.starts[case.model.value, case.variant] += 1
        self.found.faults += [f"{where}: {fault}" for fault in self._faults(case)]

    # The state

    def _build(self, tree: tuple[Leaf, ...]) -> None:
        root = self.machine.folder
        for name in TREES:
            for entry in (root / name).iterdir():
                if name == "mail":
                    shutil.rmtree(entry)
                else:
                    for file in entry.iterdir():
                        file.unlink()
        for leaf in tree:
            path = root / leaf.path
            if leaf.octets is None:
                path.mkdir()
            else:
                path.write_bytes(leaf.octets)
            path.chmod(leaf.mode)
            if separated():
                owner = "vmail" if leaf.path.startswith("mail/") else "mta"
                shutil.chown(path, owner, owner)

    def _waiting(self) -> list[str]:
        """The complete files of the queue; one that moves meanwhile is seen."""
        found = []
        for state in ("incoming", "deferred"):
            with os.scandir(self.machine.instance.queue / state) as folders:
                for folder in folders:
                    found += [name for name in os.listdir(folder) if _is_complete(folder, name)]
        return found

    # The books

    def _faults(self, case: Case) -> Iterator[str]:
        copies: Counter[tuple[str, str]] = Counter()
        for (queue_id, recipient), count in case.taken.items():
            copies[self._queue_ids[queue_id], recipient] += count
        reports: defaultdict[str, Counter[Report]] = defaultdict(Counter)
        yield from self._count_taken(copies)
        yield from self._count_mailboxes(copies, reports)
        yield from self._aside(case)
        yield from self._too_many(copies, reports)
        for queue_id in case.acknowledged:
            mark = self._queue_ids[queue_id]
            self.found.checked += 1
            told = {recipient for report in reports[mark] for recipient in report.recipients}
            for recipient in self._letters[mark].recipients:
                if not copies[mark, recipient] and recipient not in told:
                    yield f"{mark} was acknowledged, and {recipient} does not have it"

    def _count_taken(self, copies: Counter[tuple[str, str]]) -> Iterator[str]:
        for message in self.machine.peer.messages:
            copy = recognised(message.content)
            if isinstance(copy, Mark):
                copies.update((copy.mark, recipient) for recipient in message.recipients)
            else:
                yield f"the next host got what is no whole letter: {message.content[:200]!r}"

    def _count_mailboxes(
        self, copies: Counter[tuple[str, str]], reports: defaultdict[str, Counter[Report]]
    ) -> Iterator[str]:
        for path in self.machine.instance.mail.glob("*/*/new/*"):
            match recognised(path.read_bytes()):
                case Mark(mark, recipient):
                    copies[mark, recipient] += 1
                case Report() as report:
                    reports[report.mark][report] += 1
                case None:
                    yield f"{path} is not whole"

    def _aside(self, case: Case) -> Iterator[str]:
        queue_files = self.machine.instance.queue_files("corrupt", "hold")
        for path in queue_files:
            if path.name in case.acknowledged:
                yield f"{path} was acknowledged"
        self.found.unfinished += bool(queue_files)

    def _too_many(
        self,
        copies: Counter[tuple[str, str]],
        reports: Mapping[str, Counter[Report]],
    ) -> Iterator[str]:
        for (mark, recipient), count in copies.items():
            self.found.extra[count - 1] += 1
            if count > _MOST:
                yield f"{mark}: {recipient} has {count} copies after one crash"
        for mark, made in reports.items():
            if len(made) > _MOST or max(made.values()) > _MOST:
                yield f"{mark}: after one crash its sender has the reports {dict(made)}"


def _is_complete(folder: "os.DirEntry[str]", name: str) -> bool:
    try:
        return os.stat(os.path.join(folder.path, name)).st_mode & 0o777 == COMPLETE_MODE
    except FileNotFoundError:
        return False
