"""The small parts of the benchmark: the plan, the forecast, what /proc and smtp-sink say."""

import os
from pathlib import Path

import pytest
from bench.plan import GROUPS, make_plan, select
from bench.proc import memory, parse_stat, process_tree
from bench.progress import Progress, forecast
from bench.sink import messages_counted
from bench.traffic import Traffic
from support.file_systems import file_system_of

TICKS = os.sysconf("SC_CLK_TCK")
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/sdb1 /srv/my\\040mail xfs rw 0 0
"""


@pytest.mark.parametrize("quick", [True, False])
def test_names_are_unique_and_groups_known(quick: bool) -> None:
    plan = make_plan(quick=quick)
    names = [one.name for one in plan]
    assert len(names) == len(set(names))
    assert {one.group for one in plan} <= set(GROUPS)


def test_no_load_is_smaller_than_its_sessions() -> None:
    """smtp-source would leave sessions idle, and the figure would bear a wrong name."""
    for quick in (True, False):
        for one in make_plan(quick=quick):
            traffic = getattr(one, "traffic", None)
            if isinstance(traffic, Traffic):
                assert traffic.messages >= traffic.sessions, one.name


def test_the_plan_takes_about_25_minutes() -> None:
    plan = make_plan(quick=False)
    planned = sum(one.seconds * (5 if one.only_posthouse else 10) for one in plan)
    assert planned <= 25 * 60


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("relay-4k",), ["relay-4k"]),
        (("budget", "relay-1*"), ["relay-100", "relay-1m", "relay-10", "budget"]),
    ],
)
def test_names_and_patterns_choose(names: tuple[str, ...], expected: list[str]) -> None:
    plan = make_plan(quick=False)
    assert [one.name for one in select(plan, names)] == expected
    assert select(plan, ()) == plan


def test_a_name_that_chooses_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no experiment relay-5k"):
        select(make_plan(quick=False), ("relay-4k", "relay-5k"))


@pytest.mark.parametrize(
    ("planned", "done", "elapsed", "left"),
    [(100.0, 0.0, 0.0, 100.0), (100.0, 50.0, 100.0, 100.0), (100.0, 120.0, 90.0, 0.0)],
    ids=["nothing is known", "half as fast", "longer than planned"],
)
def test_forecast(planned: float, done: float, elapsed: float, left: float) -> None:
    assert forecast(planned, done, elapsed) == left


def test_progress_tells_the_turn_and_the_rest() -> None:
    said: list[str] = []
    moments = iter([0.0, 0.0, 60.0])
    progress = Progress(240.0, said.append, lambda: next(moments))
    progress.turn("relay-4k", 1, 2, "postfix")
    progress.turned(120.0)
    progress.turn("relay-4k", 1, 2, "posthouse")
    assert said == [
        "relay-4k 1/2 postfix; about 4 min to go",
        "relay-4k 1/2 posthouse; about 1 min to go",
    ]


def test_a_process_name_may_hold_anything() -> None:
    rest = f"S 7 {'0 ' * 9}{TICKS} {2 * TICKS} {3 * TICKS} {4 * TICKS} 20 0 1 0"
    process = parse_stat(f"42 (a) (b c) {rest}")
    assert (process.pid, process.parent, process.command) == (42, 7, "a) (b c")
    assert (process.own, process.waited_for) == (3.0, 7.0)


def test_we_are_in_our_own_process_tree() -> None:
    assert process_tree(os.getppid())[os.getpid()].parent == os.getppid()
    assert memory([os.getpid()]) > 2**20
    assert process_tree(2**22 + 1) == {}


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/tmp", "ext4"), ("/tmp/x", "tmpfs"), ("/srv/my mail/queue", "xfs"), ("/srv", "ext4")],
)
def test_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("tail", "count"),
    [(b"", 0), (b"sess=1 quit=0 mesg=12\rsess=2 quit=1 mesg=13\r", 13), (b"mesg=", 0)],
)
def test_count_of_the_sink(tail: bytes, count: int) -> None:
    assert messages_counted(tail) == count


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        (Traffic(10, 2), "-s 2 -l 4000 -m 10 -f from@bench.test -t to@sink.test"),
        (Traffic(10, 2, keep=True), "-s 2 -l 4000 -m 10 -d -f from@bench.test -t to@sink.test"),
        (Traffic(9, 3, 5, recipients=4), "-s 3 -l 5 -m 9 -r 4 -f from@bench.test -t to@sink.test"),
    ],
)
def test_command_of_a_traffic(traffic: Traffic, words: str) -> None:
    assert traffic.command(25) == ["smtp-source", *words.split(), "127.0.0.1:25"]
