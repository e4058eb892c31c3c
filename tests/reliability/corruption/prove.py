"""The proof: batch after batch of damage among healthy messages, then a look at the whole."""

import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Final

from reliability.corruption.case import Case, Fate
from reliability.corruption.octets import KINDS, MODELS, Octets, healthy
from reliability.corruption.scene import Scene
from reliability.corruption.strange import strange_files, strange_names
from reliability.proof import Report, Run, Table

__all__ = ["FULL", "prove"]

FULL: Final = 43_000  # more than there are octets and lengths of all models

_BATCH: Final = 1500  # damaged files
_BATCHES: Final = 3  # at least: before the start, notified, and found by a scan
_NEIGHBOURS: Final = 0.15  # healthy messages for each damaged file
_LISTED: Final = 20  # failures that are reported one by one
_SHOWN: Final = 4  # strange files that `mta queue show` is asked for
_DAMAGED: Final = 65  # its exit status: os.EX_DATAERR


def prove(run: Run) -> Report:
    """Damage queue files in every way, and see that nothing else is harmed."""
    octets = Octets(run.random("octets"))
    with _scene(run) as scene:
        try:
            _go_through(run, scene, octets)
        except AssertionError as error:
            scene.failures.append(str(error))
        scene.conclude()
    report = _report(scene)
    if run.size >= len(octets):
        missing = KINDS - {kind for kind, _ in scene.fates}
        report.failures += [f"no file of the kind {kind!r}" for kind in sorted(missing)]
    return report


@contextmanager
def _scene(run: Run) -> Iterator[Scene]:
    scene = Scene(run.folder, run.random("sentinels"))
    try:
        yield scene
    finally:
        with redirect_stdout(sys.stderr if scene.failures else StringIO()):
            scene.instance.close()


def _go_through(run: Run, scene: Scene, octets: Octets) -> None:
    source = run.random("damage")
    makers = octets.choose(run.size)
    size = min(_BATCH, -(-len(makers) // _BATCHES))
    resting = list(strange_files(source, ("hold", "corrupt")))
    scene.put(resting)
    for number, start in enumerate(range(0, len(makers), size)):
        cases = [make(source) for make in makers[start : start + size]]
        cases += _strange(number, source)
        cases += _neighbours(round(len(cases) * _NEIGHBOURS), source)
        source.shuffle(cases)
        scene.put(cases)
        if number == 0:
            scene.start()
        elif number % 2:
            scene.notify(cases)
        scene.settle(cases)
        scene.check(cases)
        run.progress(start + size, f"{len(scene.failures)} failures")
    _ask_commands(scene, resting, source)
    scene.check(resting)


def _strange(number: int, source: random.Random) -> Iterator[Case]:
    """The strange files of a batch: each kind before the start, notified, and found by a scan."""
    if number == 0:
        yield from strange_names(source, "incoming")
    elif number == 1:
        yield from strange_names(source, "deferred")
    if number < _BATCHES:
        yield from strange_files(source, ("incoming", "deferred"))


def _neighbours(count: int, source: random.Random) -> Iterator[Case]:
    for number in range(count):
        model = MODELS[number % len(MODELS)]
        yield healthy(model, f"healthy neighbour: {model.name}", source)


def _ask_commands(scene: Scene, resting: list[Case], source: random.Random) -> None:
    """An operator looks at what lies in hold/ and corrupt/."""
    listed = scene.instance.mta("queue", "list", "--json").stdout
    scene.instance.mta("queue", "list")
    for case in resting:
        if case.name not in listed:
            scene.failures.append(f"{case.kind}: `mta queue list` does not show {case.name}")
    for case in source.sample(resting, min(_SHOWN, len(resting))):
        shown = scene.instance.mta("queue", "show", case.name, succeeds=False)
        if shown.returncode != _DAMAGED or not re.match(r"mta: queue: .*\n\Z", shown.stderr):
            scene.failures.append(
                f"{case.kind}: `mta queue show` ends with {shown.returncode}: {shown.stderr[-400:]}"
            )


def _report(scene: Scene) -> Report:
    totals = dict.fromkeys(Fate, 0)
    healthy_ones = 0
    rows = []
    for kind, fate in sorted(scene.made, key=lambda made: (made[0], made[1].value)):
        count = scene.fates[kind, fate]
        if kind == "sentinel" or kind.startswith("healthy"):
            healthy_ones += count
        else:
            totals[fate] += count
        made = scene.made[kind, fate]
        rows.append((kind, fate.value, str(made), str(count), str(scene.most_lines[kind, fate])))
    heads = ("kind", "must be", "files", "were", "most lines in the log")
    figures = {
        "damaged and strange files": str(sum(totals.values())),
        "set aside in corrupt/, octet for octet": str(totals[Fate.CORRUPT]),
        "delivered whole, for their journal alone was damaged": str(totals[Fate.DELIVERED]),
        "left where they lay": str(totals[Fate.IGNORED] + totals[Fate.TOLD] + totals[Fate.STUCK]),
        "healthy neighbours, each delivered once": str(healthy_ones),
    }
    failures = scene.failures[:_LISTED]
    if len(scene.failures) > _LISTED:
        failures.append(f"and {len(scene.failures) - _LISTED} more")
    return Report(figures, [Table("Files by kind", heads, tuple(rows))], failures)
