"""`python -m bench.lookup`, in the folder `tests`: what a constant table costs.

The law: each part runs in a fresh process, so that none lives on the memory of another; keys are
asked for in random order over the whole table, half of them are there. Postfix has a table of the
same source.

exit status   0  everything was measured; without postfix-cdb, all but Postfix
             64  the command line is wrong
"""

import multiprocessing
import os
import random
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, TypeVar
from unittest.mock import patch

import click
import msgspec
from msgspec import Struct
from support.needs import missing
from support.postmap import POSTFIX_CDB, Postmap

from bench.proc import memory
from mta.lookup.compile import compile_table
from mta.lookup.constant import ConstantTable

__all__ = [
    "Building",
    "Costs",
    "Postfix",
    "Reading",
    "ask_postfix",
    "build",
    "main",
    "measure",
    "read",
    "write_source",
]

_KIBIBYTE: Final = 1024
_SEED: Final = 1
Answer = TypeVar("Answer")


class Building(Struct, frozen=True):
    """Making the table; memory is the most that the process had, with Python's own."""

    seconds: float
    cpu: float  # seconds
    resident: int  # octets
    file: int  # octets


class Reading(Struct, frozen=True):
    """One process that opens the table and asks it; memory is PSS, in octets."""

    opening: float  # seconds, with the first look-up
    memory_before: int
    memory_open: int
    memory_after: int
    per_second: float
    cpu: float  # seconds a look-up
    calls: float  # system calls a look-up


class Postfix(Struct, frozen=True):
    """Debian's postmap: making a table of the same source, and `-q -`, with its start."""

    building: float  # seconds
    per_second: float
    cpu: float  # seconds a look-up


class Costs(Struct, frozen=True):
    """All that a run found."""

    entries: int
    lookups: int
    building: Building
    reading: Reading
    postfix: Postfix | None


@click.command()
@click.option("--entries", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--lookups", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--json", "raw", type=click.Path(dir_okay=False, path_type=Path), help="Raw results.")
def main(entries: int, lookups: int, raw: Path | None) -> None:
    """Measure building, opening and asking a constant table, beside Postfix where it is."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as folder:
        costs = measure(Path(folder), entries, lookups)
    if raw is not None:
        raw.write_bytes(msgspec.json.format(msgspec.json.encode(costs)) + b"\n")
    click.echo("\n".join(_lines(costs)))


def measure(folder: Path, entries: int, lookups: int) -> Costs:
    """Take all figures in an empty folder; progress is told on stderr."""
    table = write_source(folder, entries)
    _note(f"building a table of {entries} entries, and asking {lookups} keys")
    building, reading = build(table), read(table, entries, lookups)
    postfix = None
    if reason := next(filter(None, map(missing, POSTFIX_CDB)), ""):
        _note(f"no comparison with Postfix: {reason}")
    else:
        _note("asking Postfix")
        postfix = ask_postfix(table, entries, lookups)
    return Costs(entries, lookups, building, reading, postfix)


def write_source(folder: Path, entries: int) -> Path:
    """The source of a table of so many entries, user0@example0.org the first of them."""
    table = folder / "table"
    with open(table, "w") as source:
        source.writelines(f"{_key(number)} {_value(number)}\n" for number in range(entries))
    return table


def build(table: Path) -> Building:
    """Make the table, in a process of its own."""
    return _apart(_build, table)


def read(table: Path, entries: int, lookups: int) -> Reading:
    """Open the table and ask it, in a process of its own."""
    return _apart(_read, table, entries, lookups)


def ask_postfix(table: Path, entries: int, lookups: int) -> Postfix:
    """Have Postfix make a table of the same source, and ask it the same keys."""
    return _apart(_ask_postfix, table, entries, lookups)


def _key(number: int) -> str:
    return f"user{number}@example{number % 1000}.org"


def _value(number: int) -> str:
    return f"target{number}@elsewhere.example"


def _keys(entries: int, lookups: int) -> list[str]:
    """Half of them are in the table."""
    chosen = random.Random(_SEED)
    return [_key(chosen.randrange(2 * entries)) for _ in range(lookups)]


def _note(text: str) -> None:
    click.echo(text, err=True)


def _apart(function: Callable[..., Answer], *arguments: object) -> Answer:
    """What the function returns in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def _build(table: Path) -> Building:
    cpu, began = time.process_time(), time.monotonic()
    file = Path(compile_table(str(table)).file)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    # Not getrusage(2): what a process had before it became this one counts there.
    most = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert most is not None
    return Building(seconds, cpu, int(most[1]) * _KIBIBYTE, file.stat().st_size)


def _read(path: Path, entries: int, lookups: int) -> Reading:
    keys = _keys(entries, lookups)
    table = ConstantTable(str(path))
    before = _own_memory()
    began = time.monotonic()
    table.find(_key(0))
    opening = time.monotonic() - began
    opened = _own_memory()
    cpu, began = time.process_time(), time.monotonic()
    found = sum(table.find(key) is not None for key in keys)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    after = _own_memory()
    assert 0 < found < lookups or lookups < 100, found
    return Reading(
        opening, before, opened, after, lookups / seconds, cpu / lookups, _calls(table, keys)
    )


def _own_memory() -> int:
    return memory([os.getpid()])


def _calls(table: ConstantTable, keys: list[str]) -> float:
    """System calls a look-up, over a second pass."""
    with patch("os.stat", wraps=os.stat) as stat, patch("os.pread", wraps=os.pread) as pread:
        for key in keys[:10_000]:
            table.find(key)
    return (stat.call_count + pread.call_count) / len(keys[:10_000])


def _ask_postfix(table: Path, entries: int, lookups: int) -> Postfix:
    with tempfile.TemporaryDirectory(prefix="postfix-", dir=table.parent) as name:
        folder = Path(name)
        postmap = Postmap(folder)
        theirs = folder / "theirs"
        shutil.copyfile(table, theirs)
        began = time.monotonic()
        postmap.build(f"cdb:{theirs}")
        building = time.monotonic() - began
        keys = _keys(entries, lookups)
        before, began = _children(), time.monotonic()
        found = postmap.query(f"cdb:{theirs}", keys)
        seconds, cpu = time.monotonic() - began, _children() - before
    assert found or lookups < 100
    return Postfix(building, lookups / seconds, cpu / lookups)


def _children() -> float:
    """Seconds of CPU of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _lines(costs: Costs) -> Iterator[str]:
    building, reading, postfix = costs.building, costs.reading, costs.postfix
    kibibytes = [
        octets / _KIBIBYTE
        for octets in (reading.memory_before, reading.memory_open, reading.memory_after)
    ]
    yield f"table          {costs.entries} entries, {building.file} octets"
    yield (
        f"building       {building.seconds:.2f} s, {building.cpu:.2f} s of CPU, "
        f"{building.resident / _KIBIBYTE:.0f} KiB resident at most"
    )
    yield f"opening        {reading.opening * 1e3:.2f} ms, with the first look-up"
    yield "memory         {:.0f} KiB before, {:.0f} KiB open, {:.0f} KiB after".format(*kibibytes)
    yield (
        f"look-ups       {reading.per_second:.0f} a second, {reading.cpu * 1e6:.1f} us of CPU and "
        f"{reading.calls:.2f} system calls each"
    )
    if postfix is not None:
        yield f"Postfix        builds its own in {postfix.building:.2f} s"
        yield (
            f"postmap -q -   {postfix.per_second:.0f} a second, {postfix.cpu * 1e6:.1f} us of CPU "
            "each, with its start"
        )


if __name__ == "__main__":
    main()
