"""Record, replay, restart: once for each model, on a file system where the product relies on it.

portable    recorded in memory (tmpfs), where the queue trusts no file's fsync with its name
journaled   recorded in the run's folder, where it does if that is on ext4, xfs or btrfs

The books are looked at after every event of both recordings, in every variant; `size` says on how
many of these states the real system is started, half of them for each model, two at a time.
"""

import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.queue.filesystem import fsync_covers_name
from reliability.powercut.audit import Audit, Index, index
from reliability.powercut.cases import Case, cases
from reliability.powercut.letters import Letter, kinds, make_letters
from reliability.powercut.machine import TREES
from reliability.powercut.model import Model, World
from reliability.powercut.operations import Acknowledge, Recording, Take
from reliability.powercut.recorder import Recorded, record
from reliability.powercut.restart import Found, Restarts
from reliability.powercut.shelf import Shelf
from reliability.powercut.understand import understand
from reliability.powercut.variants import Picture, Variant, variants
from reliability.powercut.walk import walk
from reliability.proof import Report, Run, Table

__all__ = ["prove"]

_MEMORY: Final = Path("/dev/shm")
_SIDE_BY_SIDE: Final = 2  # machines
_LETTERS: Final = (25, 300)
_STARTS_PER_LETTER: Final = 5
_MOST_FAULTS: Final = 20  # shown of each kind
_WHOLE_RUN: Final = 200  # starts; from here on no class may be empty


@dataclass
class _Trial:
    """One model's recording and what was found in it."""

    model: Model
    recorded: Recorded
    recording: Recording
    index: Index
    points: int = 0
    trees: int = 0
    looked: int = 0


def prove(run: Run) -> Report:
    """What no power cut may take away, taken away nowhere."""
    least, most = _LETTERS
    count = min(most, max(least, run.size // _STARTS_PER_LETTER))
    letters = {letter.mark: letter for letter in make_letters(run.random("letters"), count)}
    report = Report()
    report.figures["messages recorded, for each model"] = _counted(kinds([*letters.values()]))
    with _places(run.folder) as places:
        trials = _record(run, places, letters, report)
        for trial in trials:
            run.progress(0, f"reading every state of {trial.model.value}")
            _audit(run, trial, report)
        found = _restart(run, trials, letters)
    _tell(report, trials, found)
    _require_classes(run, trials, found, report)
    return report


@contextmanager
def _places(folder: Path) -> Iterator[dict[Model, Path]]:
    """Where each model is recorded: a folder that does not exist yet."""
    with ExitStack() as stack:
        places = {}
        if _is_journaling(folder):
            places[Model.JOURNALED] = folder / Model.JOURNALED.value
        memory = Path(tempfile.mkdtemp(prefix="mta-", dir=_MEMORY))
        stack.callback(shutil.rmtree, memory, ignore_errors=True)
        memory.chmod(0o711)
        places[Model.PORTABLE] = memory / Model.PORTABLE.value
        yield places


def _is_journaling(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return fsync_covers_name(descriptor)
    finally:
        os.close(descriptor)


# Recordings


def _record(
    run: Run, places: Mapping[Model, Path], letters: Mapping[str, Letter], report: Report
) -> list[_Trial]:
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as executor:
        made = {
            model: executor.submit(record, place, run.folder / f"record.{model.value}", letters)
            for model, place in places.items()
        }
    trials = []
    for model, future in made.items():
        recorded = future.result()
        try:
            trial = _understood(run, model, recorded)
        except ValueError as error:
            report.failures.append(f"{model.value}: the recording is void: {error}")
            continue
        report.failures += [f"{model.value}: {fault}" for fault in _wrong(trial)]
        trials.append(trial)
    return trials


def _understood(run: Run, model: Model, recorded: Recorded) -> _Trial:
    with recorded.record.open() as lines:
        recording = understand(lines, recorded.folder, TREES, recorded.folders)
    place = run.folder / f"index.{model.value}"
    return _Trial(model, recorded, recording, index(recording, recorded.acknowledged, place))


def _wrong(trial: _Trial) -> Iterator[str]:
    """Where the recording and what the outside saw differ, but for the trees."""
    recorded = trial.recorded
    told = Counter(
        timed.operation.queue_id
        for timed in trial.recording.operations
        if isinstance(timed.operation, Acknowledge)
    )
    if told != Counter(list(recorded.acknowledged)):
        differing = told.keys() ^ recorded.acknowledged.keys()
        yield f"the record and the clients do not have the same acknowledgements: {differing}"
    if set(recorded.acknowledged.values()) != set(recorded.letters):
        yield "not every letter was acknowledged"
    taken = Counter(
        (recorded.acknowledged[timed.operation.queue_id], timed.operation.recipient)
        for timed in trial.recording.operations
        if isinstance(timed.operation, Take)
    )
    if taken != recorded.taken:
        yield f"more in the record than at the next host: {taken - recorded.taken}"
        yield f"more at the next host than in the record: {recorded.taken - taken}"
    if trial.index.strange:
        yield f"files of an unknown kind were written: {trial.index.strange[:_MOST_FAULTS]}"


# Every state, read


def _audit(run: Run, trial: _Trial, report: Report) -> None:
    """Look at every state; in the end, all that was issued must be what is on the disk."""
    chosen = variants(run.seed)
    trees: set[int] = set()
    faults: list[str] = []
    audit: Audit | None = None
    last: tuple[Picture, World] | None = None
    with ExitStack() as stack:
        for stop in walk(trial.recording, trial.model, chosen):
            if audit is None:
                shelf = Shelf(run.folder / f"shelf.{trial.model.value}", stop.world)
                stack.callback(shelf.close)
                audit = Audit(trial.recorded.letters, trial.index, shelf)
            faults += audit.stop(stop)
            trees |= {change.picture.digest for change in stop.changes}
            last = stop.changes[chosen.index(_all(chosen))].picture, stop.world
            trial.points += 1
        assert audit is not None, "nothing was recorded"
        assert last is not None
        report.failures += _shortened(f"{trial.model.value}, ", faults)
        if difference := _difference(trial.recorded, *last):
            report.failures.append(
                f"{trial.model.value}: the recording does not lead to the trees on the disk: "
                f"{difference}"
            )
        trial.trees, trial.looked = len(trees), audit.looked


def _difference(recorded: Recorded, picture: Picture, world: World) -> list[str]:
    """The paths where the state after the whole recording is not what the run left."""
    octets: dict[str, bytes | None] = dict.fromkeys(recorded.folders)
    modes = {path: recorded.modes[path] for path in recorded.folders}
    for node, kept in picture.kept.items():
        modes[kept.path] = kept.mode
        octets[kept.path] = kept.contents and kept.contents.octets(world.histories[node].pieces)
    paths = octets.keys() | recorded.left.keys()
    missing = object()
    return sorted(
        path
        for path in paths
        if octets.get(path, missing) != recorded.left.get(path, missing)
        or modes.get(path) != recorded.modes.get(path)
    )


# Some states, started


def _restart(run: Run, trials: list[_Trial], letters: Mapping[str, Letter]) -> list[Found]:
    """Start the system on `size` states."""
    lock = threading.Lock()
    source = _all_cases(run, trials)
    over = threading.Event()
    done = 0

    def take() -> Case | None:
        nonlocal done
        with lock:
            run.progress(done, "starts")
            done += 1
            return None if over.is_set() else next(source, None)

    queue_ids = {
        queue_id: mark for trial in trials for queue_id, mark in trial.recorded.acknowledged.items()
    }
    executor = ThreadPoolExecutor(_SIDE_BY_SIDE)
    with ExitStack() as stack:
        all_restarts = []
        for number in range(_SIDE_BY_SIDE):
            restarts = Restarts(run.folder / f"restart{number}", letters, queue_ids)
            stack.callback(restarts.machine.close)
            all_restarts.append(restarts)
        stack.enter_context(executor)
        stack.callback(over.set)  # whatever happens here, the others start nothing more
        for future in [executor.submit(_work, restarts, take) for restarts in all_restarts]:
            future.result()
        return [restarts.found for restarts in all_restarts]


def _work(restarts: Restarts, take: Callable[[], Case | None]) -> None:
    while (case := take()) is not None:
        restarts.start(case)


def _all_cases(run: Run, trials: list[_Trial]) -> Iterator[Case]:
    for number, trial in enumerate(trials):
        share = run.size * (number + 1) // len(trials) - run.size * number // len(trials)
        source = run.random(f"cases/{trial.model.value}")
        yield from cases(trial.recording, trial.model, variants(run.seed), share, source)


# What is told


def _tell(report: Report, trials: list[_Trial], found: list[Found]) -> None:
    starts = _starts(found)
    extra: Counter[int] = Counter()
    for one in found:
        extra += one.extra
        report.failures += _shortened("", one.faults)
    report.figures |= {
        "states read": str(sum(trial.points * len(variants(0)) for trial in trials)),
        "acknowledged messages looked at in them": str(sum(trial.looked for trial in trials)),
        "starts": str(starts.total()),
        "acknowledged messages checked after them": str(sum(one.checked for one in found)),
        "recipients with no extra copy, with one": f"{extra[0]}, {extra[1]}",
        "most extra copies for a recipient": str(max(extra, default=0)),
        "starts that set an unacknowledged file aside": str(sum(one.unfinished for one in found)),
    }
    names = _names()
    report.tables += [
        _operations(trials),
        Table(
            "Power cut after every event",
            ("model", "events", "variants of each", "distinct trees"),
            tuple(
                (trial.model.value, str(trial.points), str(len(variants(0))), str(trial.trees))
                for trial in trials
            ),
        ),
        Table(
            "The system started on what was left",
            ("model", *names),
            tuple(
                (trial.model.value, *(str(starts[trial.model.value, name]) for name in names))
                for trial in trials
            ),
        ),
    ]


def _operations(trials: list[_Trial]) -> Table:
    counts = [
        Counter(type(timed.operation).__name__ for timed in trial.recording.operations)
        for trial in trials
    ]
    names = sorted(set().union(*counts))
    rows = tuple((name, *(str(count[name]) for count in counts)) for name in names)
    return Table("Recorded", ("operation", *(trial.model.value for trial in trials)), rows)


def _require_classes(run: Run, trials: list[_Trial], found: list[Found], report: Report) -> None:
    """A whole run has both models, and has started the system on every kind of state of each."""
    if run.size < _WHOLE_RUN:
        return
    starts = _starts(found)
    for model in Model:
        if not any(trial.model is model for trial in trials):
            report.failures.append(
                f"{model.value}: not recorded; name a folder on ext4, xfs, btrfs"
            )
            continue
        for name in _names():
            if not starts[model.value, name]:
                report.failures.append(f"{model.value}: no start on a state `{name}`")


def _starts(found: list[Found]) -> Counter[tuple[str, str]]:
    """How many there were, by model and variant."""
    starts: Counter[tuple[str, str]] = Counter()
    for one in found:
        starts += one.starts
    return starts


def _names() -> list[str]:
    return list(dict.fromkeys(variant.name for variant in variants(0)))


def _all(chosen: list[Variant]) -> Variant:
    return next(variant for variant in chosen if variant.name == "all")


def _counted(counts: Counter[str]) -> str:
    return f"{counts.total()}: " + ", ".join(f"{count} {name}" for name, count in counts.items())


def _shortened(prefix: str, faults: list[str]) -> list[str]:
    shown = [f"{prefix}{fault}" for fault in faults[:_MOST_FAULTS]]
    if len(faults) > len(shown):
        shown.append(f"{prefix}and {len(faults) - len(shown)} more")
    return shown
