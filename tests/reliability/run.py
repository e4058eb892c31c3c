"""The program: one proof, in a folder that is removed afterwards.

exit status   0  nothing was refuted
              1  something was: the report says what
             64  the command line is wrong        69  a command or file system is missing
             77  not root, where the proof needs it
"""

import compileall
import datetime as dt
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from support.file_systems import IN_MEMORY, file_system_of
from support.needs import missing

import mta
from reliability.plan import PROOFS
from reliability.proof import Proof, Run
from reliability.report import Result, as_json, as_markdown, insert

__all__ = ["main", "prepared_folder"]

_INTERVAL: Final = 10.0  # seconds between two lines of progress
_DESCRIPTORS: Final = 8192


@click.command()
@click.argument("name", type=click.Choice([proof.name for proof in PROOFS]))
@click.option("--size", type=click.IntRange(1), help="How much, in the proof's unit.")
@click.option("--short", is_flag=True, help="The size that the tests take.")
@click.option("--seed", type=int, help="Of an earlier run, to repeat it.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/var/tmp",
    show_default=True,
    help="Where the systems under proof are made, in a folder that is removed afterwards.",
)
@click.option("--keep", is_flag=True, help="Leave the folder where something failed.")
@click.option("--json", "raw", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--output",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The page that gets the figures, unless the run is smaller than a whole one.",
)
def main(
    name: str,
    size: int | None,
    short: bool,
    seed: int | None,
    directory: Path,
    keep: bool,
    raw: bool,
    output: Path | None,
) -> None:
    """Try to refute what Posthouse promises."""
    proof = next(proof for proof in PROOFS if proof.name == name)
    size = size or (proof.short if short else proof.size)
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    _check_machine(proof, directory)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _say(f"{name}: {size} {proof.unit}, seed {seed}")
    began = time.monotonic()
    with prepared_folder(directory) as folder:
        report = proof.prove(Run(seed, size, folder, _Teller(size, proof.unit)))
        if keep and report.failures:
            kept = folder.rename(folder.with_name(f"{folder.name}-failed"))
            _say(f"left: {kept}")
    result = Result.of(
        proof,
        report,
        command=f"make {name} SIZE={size} SEED={seed}",
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        seconds=time.monotonic() - began,
        machine=_machine(directory),
    )
    if output is not None and size >= proof.size:
        insert(output, name, as_markdown(result))
    click.echo(as_json(result) if raw else as_markdown(result), nl=False)
    sys.exit(1 if result.failures else 0)


def _check_machine(proof: Proof, directory: Path) -> None:
    for need in proof.needs:
        if reason := missing(need):
            _say(f"{proof.name}: {reason}")
            sys.exit(os.EX_NOPERM if need == "root" else os.EX_UNAVAILABLE)
    kind = file_system_of(directory, Path("/proc/self/mounts").read_text())
    if kind in IN_MEMORY:
        _say(f"{directory} is a {kind}: name a folder on a disk")
        sys.exit(os.EX_UNAVAILABLE)


@contextmanager
def prepared_folder(directory: Path) -> Iterator[Path]:
    """A new folder that the users of daemons get through; the interpreter is ready for daemons.

    It is removed at the end, unless it has another name by then.
    """
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    os.umask(0o022)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, most), most))
    # As a roll-out does: daemons that cannot write here would compile theirs at each start.
    compileall.compile_dir(Path(mta.__file__).parent, quiet=1)
    folder = Path(tempfile.mkdtemp(prefix="mta-", dir=directory))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _machine(directory: Path) -> str:
    kind = file_system_of(directory, Path("/proc/self/mounts").read_text())
    return f"{os.cpu_count()} cores, {kind}, Linux {platform.release()}"


class _Teller:
    """Progress on stderr: a line every few seconds, with a forecast."""

    def __init__(self, size: int, unit: str) -> None:
        self._size = size
        self._unit = unit
        self._began = time.monotonic()
        self._next = 0.0

    def __call__(self, done: float, text: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        elapsed = now - self._began
        left = elapsed / done * (self._size - done) / 60 if done > 0 else 0.0
        _say(f"{done:.0f} of {self._size} {self._unit}, about {left:.0f} min to go; {text}")


def _say(text: str) -> None:
    click.echo(text, err=True)
