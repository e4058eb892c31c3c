"""The program: run the plan, server by server and pair by pair, and report.

exit status   0  everything was measured
              1  something was not; the report says what, and why
             64  the command line is wrong        69  a command or file system is missing
             77  not root: Postfix's master needs it
"""

import compileall
import contextlib
import datetime as dt
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from support.file_systems import IN_MEMORY, file_system_of
from support.needs import missing
from support.ports import free_port
from support.postmap import POSTFIX_CDB

import mta
from bench.experiment import Experiment, Setting
from bench.figures import Figure, Measure, Results, ServerName, measures_of
from bench.machine import describe_machine
from bench.plan import make_plan, select
from bench.postfix import PostfixServer
from bench.posthouse import PosthouseServer
from bench.progress import Progress
from bench.report import as_markdown, write_report
from bench.server import BenchError, Server

__all__ = ["main"]

_NEEDS: Final = ("postfix", *POSTFIX_CDB, "smtp-source", "smtp-sink", "strace")
_TIME_LIMIT: Final = 30 * 60.0  # seconds after which no further experiment begins
_DESCRIPTORS: Final = 8192  # for a thousand clients
Turn = dict[ServerName, dict[Figure, float]]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--quick", is_flag=True, help="A tenth of the messages: a trial, no result.")
@click.option("--pairs", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--list", "only_list", is_flag=True, help="Print the experiments' names.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/var/tmp",
    show_default=True,
    help="Where both queues are made, in a folder that is removed afterwards.",
)
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="For the report.")
@click.option("--json", "raw", type=click.Path(dir_okay=False, path_type=Path), help="Raw results.")
@click.option(
    "--from",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Report the raw results of an earlier run; measure nothing.",
)
def main(
    names: tuple[str, ...],
    quick: bool,
    pairs: int,
    only_list: bool,
    directory: Path,
    output: Path | None,
    raw: Path | None,
    earlier: Path | None,
) -> None:
    """Measure Posthouse beside Debian's Postfix, in turns.

    NAMES choose experiments and may be patterns such as 'relay-*'; without any, all are run.
    """
    if earlier is not None:
        results = msgspec.json.decode(earlier.read_bytes(), type=Results)
    else:
        try:
            plan = select(make_plan(quick=quick), names)
        except ValueError as error:
            _fail(str(error), os.EX_USAGE)
        if only_list:
            click.echo("\n".join(one.name for one in plan))
            return
        _check_machine(directory)
        results = _run(plan, directory, pairs=pairs, quick=quick)
    if raw is not None:
        raw.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if output is not None:
        write_report(results, output)
    click.echo(as_markdown(results, plots=()))
    sys.exit(1 if results.failures else 0)


def _fail(text: str, status: int) -> None:
    click.echo(f"bench: {text}", err=True)
    sys.exit(status)


def _check_machine(directory: Path) -> None:
    if reason := missing("root"):
        _fail(f"{reason}: Postfix's master runs as root", os.EX_NOPERM)
    for command in _NEEDS:
        if reason := missing(command):
            _fail(reason, os.EX_UNAVAILABLE)
    kind = file_system_of(directory, Path("/proc/self/mounts").read_text())
    if kind in IN_MEMORY:
        _fail(f"{directory} is a {kind}: name a folder on a disk", os.EX_UNAVAILABLE)


def _run(plan: Sequence[Experiment], directory: Path, *, pairs: int, quick: bool) -> Results:
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, most), most))
    # As a roll-out does: daemons that cannot write here would compile theirs at each start.
    compileall.compile_dir(Path(mta.__file__).parent, quiet=1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    progress = Progress(sum(_planned(one, pairs) for one in plan))
    measures: list[Measure] = []
    failures: list[str] = []
    with _servers(directory) as (servers, setting):
        machine = describe_machine(directory, servers[1].version, servers[0].version)
        for one in plan:
            if progress.elapsed > _TIME_LIMIT:
                failures.append(f"{one.name}: the time was up")
                continue
            turns, reasons = _alternate(one, servers, setting, pairs, progress)
            measures += measures_of(one.group, one.row, one.size, turns)
            for reason in reasons:
                progress.note(reason)
            failures += reasons
    return Results(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        machine=machine,
        quick=quick,
        pairs=pairs,
        minutes=progress.elapsed / 60,
        commands=tuple(f"{one.name}: {one.command()}" for one in plan if one.command()),
        measures=tuple(measures),
        failures=tuple(failures),
    )


def _planned(experiment: Experiment, pairs: int) -> float:
    return experiment.seconds * pairs * (1 if experiment.only_posthouse else 2)


@contextlib.contextmanager
def _servers(directory: Path) -> Iterator[tuple[tuple[Server, Server], Setting]]:
    """Both servers, running, in a folder of their own; at the end both are stopped."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=directory))
    sink = free_port()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # the servers' own users pass through
        places = [folder / name for name in ("postfix", "posthouse", "scratch")]
        for place in places:
            place.mkdir()
        servers = PostfixServer(places[0], sink), PosthouseServer(places[1], sink)
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield servers, Setting(sink, places[2])


def _alternate(
    experiment: Experiment,
    servers: Sequence[Server],
    setting: Setting,
    pairs: int,
    progress: Progress,
) -> tuple[list[Turn], list[str]]:
    """Take the servers' turns one after the other; also why there is not all of it."""
    chosen = [
        server for server in servers if server.name == "posthouse" or not experiment.only_posthouse
    ]
    turns: list[Turn] = []
    reasons: list[str] = []
    try:
        with contextlib.ExitStack() as stack:
            for server in chosen:
                stack.callback(experiment.finish, server, setting)
                experiment.prepare(server, setting)
            for number in range(pairs):
                turn: Turn = {}
                turns.append(turn)
                for server in chosen:
                    progress.turn(experiment.name, number + 1, pairs, server.name)
                    turn[server.name] = experiment.measure(server, setting)
                    progress.turned(experiment.seconds)
    except (BenchError, AssertionError, OSError, EOFError) as error:
        reasons.append(f"{experiment.name}: {error}")
    return turns, reasons
