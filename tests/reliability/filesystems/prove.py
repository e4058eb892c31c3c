"""The proof: each file system is loaded once, and the power cut many times behind that.

The file systems are tried side by side; the cuts of one come one after the other, in one place.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from support.instance import Settings

from reliability.filesystems.check import Whereabouts
from reliability.filesystems.cuts import Cut, Place, planned
from reliability.filesystems.filesystems import FILE_SYSTEMS, FileSystem
from reliability.filesystems.history import Variant
from reliability.filesystems.recording import record
from reliability.filesystems.recovery import Seen, recovery_of
from reliability.filesystems.site import new_site
from reliability.proof import Report, Run, Table

__all__ = ["prove", "prove_on"]

_FEWEST: Final = 24  # letters; else one for each cut
_COMPLETE: Final = 300  # cuts from which on no class may be empty


@dataclass
class _Tally:
    """What was found on one file system."""

    name: str
    writes: int = 0
    barriers: int = 0
    acknowledged: int = 0
    cuts: int = 0
    unflushed: int = 0  # cuts with writes that no flush had covered
    classes: Counter[tuple[Place, Variant]] = field(default_factory=Counter)
    places: Counter[Whereabouts] = field(default_factory=Counter)
    checked: int = 0
    started: int = 0
    most: int = 0
    failures: list[str] = field(default_factory=list)

    def note(self, cut: Cut, seen: Seen) -> None:
        """Add one cut."""
        self.cuts += 1
        self.unflushed += seen.unflushed > 0
        self.classes[cut.place, cut.variant] += 1
        self.places += seen.places
        self.checked += seen.checked
        self.started += cut.started
        self.most = max(self.most, seen.most)
        where = f"{self.name}, cut at {cut.position} ({cut.place}, {cut.variant})"
        self.failures += [f"{where}: {failure}" for failure in seen.failures]


class _Course:
    """How far all file systems have come together; and whether to go on."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._done = 0
        self._lock = threading.Lock()
        self.over = threading.Event()

    def step(self, text: str) -> None:
        with self._lock:
            self._done += 1
            self._run.progress(self._done, text)


def prove(run: Run) -> Report:
    """Cut the power on all file systems."""
    return prove_on(run, FILE_SYSTEMS)


def prove_on(run: Run, kinds: Sequence[FileSystem], services: Settings | None = None) -> Report:
    """Cut the power on these file systems; `services` changes rows of the system under proof."""
    course = _Course(run)
    with ThreadPoolExecutor(len(kinds)) as threads:
        trials = [
            threads.submit(_try, run, kind, -(-run.size // len(kinds)), course, services)
            for kind in kinds
        ]
        try:
            wait(trials, return_when=FIRST_EXCEPTION)
            return _report([trial.result() for trial in trials])
        finally:  # what is interrupted, or fails on one file system, ends on all
            course.over.set()


def _try(
    run: Run, kind: FileSystem, count: int, course: _Course, services: Settings | None
) -> _Tally:
    """That many cuts on one file system."""
    chance = run.random(kind.name)
    tally = _Tally(kind.name)
    mail = max(_FEWEST, count)
    with new_site(run.folder / kind.name, kind, mail, chance, services) as site:
        recording = record(site, chance)
        tally.writes, tally.barriers = recording.writes, recording.barriers
        tally.acknowledged = len(recording.sent)
        tally.failures += [f"{kind.name}: {failure}" for failure in recording.failures]
        if not recording.failures:
            acknowledged = [sent.position for sent in recording.sent]
            cuts = planned(recording.history, recording.begin, acknowledged, count, chance)
            with recovery_of(site, recording) as recovery:
                for cut in cuts:
                    if course.over.is_set():
                        break
                    tally.note(cut, recovery.after(cut, chance))
                    course.step(kind.name)
    return tally


def _report(tallies: Sequence[_Tally]) -> Report:
    classes = sum((tally.classes for tally in tallies), Counter[tuple[Place, Variant]]())
    cuts = sum(tally.cuts for tally in tallies)
    report = Report(failures=[failure for tally in tallies for failure in tally.failures])
    if cuts >= _COMPLETE:
        report.failures += _empty_classes(tallies)
    report.figures = {
        "power cuts": str(cuts),
        "of these with writes that no flush had covered": str(
            sum(tally.unflushed for tally in tallies)
        ),
        "messages looked for, over all cuts": str(sum(tally.checked for tally in tallies)),
        "systems started on what was left": str(sum(tally.started for tally in tallies)),
        "most copies of a message that a recipient has": str(max(t.most for t in tallies)),
        "failures": str(len(report.failures)),
    }
    report.tables = [_by_file_system(tallies), _by_place(tallies), _by_class(classes)]
    return report


def _by_file_system(tallies: Sequence[_Tally]) -> Table:
    figures: dict[str, Callable[[_Tally], int]] = {
        "writes": lambda tally: tally.writes,
        "flushes": lambda tally: tally.barriers,
        "acknowledged": lambda tally: tally.acknowledged,
        "cuts": lambda tally: tally.cuts,
        "looked for": lambda tally: tally.checked,
        "started": lambda tally: tally.started,
        "failed": lambda tally: len(tally.failures),
    }
    rows = [(tally.name, *(str(figure(tally)) for figure in figures.values())) for tally in tallies]
    return Table("By file system", ("file system", *figures), tuple(rows))


def _by_place(tallies: Sequence[_Tally]) -> Table:
    rows = [(tally.name, *(str(tally.places[place]) for place in Whereabouts)) for tally in tallies]
    title = "Where the acknowledged mail was after the cut, by recipient"
    return Table(title, ("file system", *Whereabouts), tuple(rows))


def _by_class(classes: Counter[tuple[Place, Variant]]) -> Table:
    rows = [(place, *(str(classes[place, variant]) for variant in Variant)) for place in Place]
    title = "Cuts by place, and by what became of writes that no flush had covered"
    return Table(title, ("cut", *Variant), tuple(rows))


def _empty_classes(tallies: Sequence[_Tally]) -> list[str]:
    """What a whole run has to come across, and did not."""
    return [
        f"{tally.name}: after no cut was acknowledged mail in {place}"
        for tally in tallies
        for place in Whereabouts
        if not tally.places[place]
    ]
