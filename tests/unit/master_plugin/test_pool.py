"""A row's decisions as a dialogue: what happened at which second, and what the pool wants."""

from dataclasses import replace

import pytest

from mta.master.channel import Bye, Counters, Crossing
from mta.master.plugin.actions import Action, Kill, Say, Start, Tell
from mta.master.plugin.pool import RETIREMENT_LIMIT, USUAL_START, Pool, Times
from mta.master.plugin.table import Row
from mta.util.listen import InetAddress, SocketPath

TIMES = Times(checkin=10.0, throttle=60.0)
SMTP = Row(
    name="smtp",
    daemon="smtpd",
    listen=(InetAddress("127.0.0.1", 2525),),
    user="",
    numprocs=2,
    min_free=0,
    restart="on_demand",
    wakeup=0.0,
)
QMGR = replace(
    SMTP,
    name="qmgr",
    daemon="qmgr",
    listen=(SocketPath("ipc", "public/qmgr"),),
    numprocs=1,
    restart="always",
)


def pool_of(row: Row, now: float = 0.0) -> Pool:
    pool = Pool(row, TIMES, now)
    pool.decide(now)
    return pool


def ready(pool: Pool, process: str, now: float) -> None:
    pool.spawned(process, now)
    pool.heard(process, Crossing("free"), now)
    pool.decide(now)


def ask(pool: Pool, now: float) -> list[Action]:
    """A client waits: the pool's answer, if it watches at all."""
    if not pool.watching:
        return []
    pool.demand()
    return pool.decide(now)


def events(actions: list[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, Say)]


def test_an_idle_row_watches_and_starts_nothing() -> None:
    pool = pool_of(SMTP)
    assert pool.watching
    assert pool.decide(1) == []
    assert pool.state(1) == "idle"


def test_a_slow_start_is_given_twice_the_usual_time() -> None:
    pool = pool_of(SMTP)
    assert ask(pool, 0) == [Start()]
    pool.spawned("smtp_000", 0)
    assert pool.decide(0) == []
    assert ask(pool, 0) == []
    assert pool.deadline == 2 * USUAL_START
    pool.decide(1)
    assert ask(pool, 1) == [Start()]
    pool.spawned("smtp_001", 1)
    pool.heard("smtp_001", Crossing("free"), 1.75)
    pool.exited("smtp_001", 0, "exit status 0", 2)
    pool.spawned("smtp_001", 2)
    pool.decide(2)
    assert pool.deadline == pytest.approx(3.5)  # it took 0.75 s the last time


def test_the_same_waiting_client_does_not_start_two() -> None:
    pool = pool_of(SMTP)
    assert ask(pool, 0) == [Start()]
    pool.demand()  # the poll that began before the process was there
    pool.spawned("smtp_000", 0.01)
    assert pool.decide(0.02) == []


def test_the_next_starts_as_soon_as_the_former_is_ready_and_full() -> None:
    pool = pool_of(SMTP)
    ready(pool, "smtp_000", 0)
    assert not pool.watching
    pool.heard("smtp_000", Crossing("full"), 0.02)
    pool.decide(0.02)
    assert ask(pool, 0.02) == [Start()]


def test_the_limit_is_said_once_and_again_after_it_was_left() -> None:
    pool = pool_of(SMTP)
    for process in ("smtp_000", "smtp_001"):
        ready(pool, process, 0)
        pool.heard(process, Crossing("full"), 0)
    pool.decide(0)
    (said,) = ask(pool, 1)
    assert isinstance(said, Say)
    assert said.text == "service smtp stands at its limit of 2 processes"
    assert not pool.watching
    for now, expected in ((2, []), (30, ["limit"])):  # within 10 s it is not repeated
        pool.heard("smtp_000", Crossing("free"), now)
        pool.decide(now)
        assert not pool.watching
        pool.heard("smtp_000", Crossing("full"), now)
        pool.decide(now)
        assert events(ask(pool, now)) == expected
        assert not pool.watching


@pytest.mark.parametrize(
    ("row", "count"),
    [
        (SMTP, 0),
        (replace(SMTP, min_free=1), 1),
        (replace(SMTP, min_free=5), 2),
        (replace(SMTP, restart="always"), 2),
        (replace(SMTP, restart="never", min_free=1, wakeup=1.0), 0),
        (replace(SMTP, wakeup=60.0), 1),
        (QMGR, 1),
    ],
)
def test_what_a_new_row_starts(row: Row, count: int) -> None:
    assert Pool(row, TIMES, 0).decide(0) == [Start()] * count


def test_wakeup_wakes_what_runs_and_starts_what_does_not() -> None:
    pool = Pool(replace(SMTP, wakeup=60.0), TIMES, 0)
    assert pool.decide(0) == [Start()]
    ready(pool, "smtp_000", 0)
    assert pool.deadline == 60
    assert pool.decide(60) == [Tell("smtp_000", "wake")]
    pool.heard("smtp_000", Bye("idle"), 61)
    pool.exited("smtp_000", 0, "exit status 0", 61)
    assert pool.decide(61) == []
    assert pool.decide(120) == [Start()]


def test_the_pause_doubles_to_its_limit() -> None:
    pool = Pool(QMGR, Times(checkin=10, throttle=5), 0)
    now, pauses = 0.0, []
    for _ in range(5):
        assert pool.decide(now) == [Start()]
        pool.spawned("qmgr_000", now)
        (said,) = pool.exited("qmgr_000", 1, "exit status 1", now)
        assert isinstance(said, Say)
        assert pool.decide(now) == []
        assert pool.state(now) == "throttled"
        assert not pool.watching
        pauses.append(pool.deadline - now)
        now = pool.deadline
    assert pauses == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("served", "lived", "pauses"),
    [(0, 1.0, [1, 2]), (1, 1.0, [1, 1]), (0, 10.0, [1, 1])],
    ids=["useless", "served", "lived 10 s"],
)
def test_what_ends_the_doubling(served: int, lived: float, pauses: list[int]) -> None:
    pool = pool_of(SMTP)
    pool.spawned("smtp_000", 0)
    pool.exited("smtp_000", 1, "exit status 1", 0)
    seen = [pool.throttle.until]
    ready(pool, "smtp_000", 5)
    pool.heard("smtp_000", Counters(0, served), 5)
    pool.exited("smtp_000", -1, "terminated by SIGSEGV", 5 + lived)
    seen.append(pool.throttle.until - 5 - lived)
    assert seen == pauses


def test_an_old_healthy_process_does_not_excuse_a_crashing_sister() -> None:
    pool = Pool(replace(SMTP, restart="always"), TIMES, 0)
    ready(pool, "smtp_000", 0)
    pool.heard("smtp_000", Counters(1, 100), 50)
    pool.spawned("smtp_001", 50)
    pool.exited("smtp_001", 1, "exit status 1", 50)
    assert pool.decide(50) == []
    assert pool.throttle.until == 51


def test_failures_of_one_moment_count_once_and_recovery_is_tried_with_one() -> None:
    pool = Pool(replace(SMTP, restart="always"), TIMES, 0)
    assert pool.decide(0) == [Start(), Start()]
    for process in ("smtp_000", "smtp_001"):
        pool.spawned(process, 0)
    for process in ("smtp_000", "smtp_001"):
        pool.exited(process, 1, "exit status 1", 0)
    assert pool.throttle.until == 1
    assert pool.decide(1) == [Start()]
    pool.spawned("smtp_000", 1)
    assert not pool.may_start(1)


@pytest.mark.parametrize(
    ("row", "status", "fails"),
    [(SMTP, 0, False), (SMTP, 1, True), (SMTP, -1, True), (QMGR, 0, True)],
    ids=["idle end", "bad status", "signal", "a resident that ends too soon"],
)
def test_which_end_of_a_ready_process_is_a_failure(row: Row, status: int, fails: bool) -> None:
    pool = pool_of(row)
    ready(pool, "a", 0)
    pool.heard("a", Bye("idle"), 1)
    assert events(pool.exited("a", status, "gone", 1)) == ["failed"] * fails


def test_a_missed_check_in_is_killed_once_and_counts_as_failure() -> None:
    pool = pool_of(SMTP)
    pool.spawned("smtp_000", 0)
    pool.decide(1)
    assert pool.deadline == 10
    assert pool.decide(10) == [Kill("smtp_000")]
    assert pool.decide(11) == []
    assert events(pool.exited("smtp_000", -1, "terminated by SIGKILL", 11)) == ["failed"]
    assert "not ready within 10 s" in pool.last_exit


def test_a_failed_spawn_is_throttled_too() -> None:
    pool = pool_of(SMTP)
    (said,) = pool.spawn_failed("smtp_000", "can't find command", 0)
    assert isinstance(said, Say)
    assert "can't find command" in said.text
    assert not pool.may_start(0.9)
    assert pool.may_start(1)


def test_a_retiree_makes_room_at_once() -> None:
    pool = pool_of(replace(SMTP, numprocs=1))
    ready(pool, "smtp_000", 0)
    assert pool.retire(1) == [Tell("smtp_000", "retire")]
    assert pool.retire(1) == []  # it is told once
    pool.decide(1)
    assert (pool.accepting, len(pool.members), pool.state(1)) == (0, 1, "idle")
    assert ask(pool, 1) == [Start()]
    assert pool.exited("smtp_000", 0, "exit status 0", 2) == []


def test_the_successor_of_a_resident_waits_for_its_end() -> None:
    pool = pool_of(QMGR)
    ready(pool, "qmgr_000", 0)
    pool.retire(1)
    assert pool.decide(1) == []
    assert ask(pool, 1) == []  # and no line about a limit
    assert not pool.watching
    pool.exited("qmgr_000", 0, "exit status 0", 2)
    assert pool.decide(2) == [Start()]


def test_a_retiree_that_never_ends_is_killed_without_a_pause_for_the_row() -> None:
    pool = pool_of(SMTP)
    ready(pool, "smtp_000", 0)
    pool.retire(0)
    assert pool.decide(RETIREMENT_LIMIT) == [Kill("smtp_000")]
    assert events(pool.exited("smtp_000", -1, "terminated by SIGKILL", 331)) == ["killed"]
    assert not pool.throttle.active(331)


def test_without_a_slot_retirees_are_told_to_hurry_once() -> None:
    pool = pool_of(replace(SMTP, numprocs=1))
    ready(pool, "smtp_000", 0)
    pool.retire(0)
    pool.decide(0)
    assert ask(pool, 0) == [Start()]
    actions = pool.no_slot()
    assert actions[1:] == [Tell("smtp_000", "expire")]
    assert pool.no_slot() == []
    pool.decide(0)
    assert not pool.watching  # or the loop would spin until a slot is free
    pool.exited("smtp_000", 0, "exit status 0", 1)
    pool.decide(1)
    assert pool.watching


def test_a_stopped_row_starts_nothing_until_it_is_released() -> None:
    pool = pool_of(QMGR)
    ready(pool, "qmgr_000", 0)
    pool.stop("qmgr_000")
    assert pool.exited("qmgr_000", -1, "terminated by SIGTERM", 1) == []
    assert pool.decide(1) == []
    assert (pool.state(1), pool.watching, pool.may_start(1)) == ("stopped", False, False)
    pool.release()
    assert pool.decide(2) == [Start()]


def test_a_closed_row_is_told_to_hurry_and_starts_nothing() -> None:
    pool = pool_of(QMGR)
    ready(pool, "qmgr_000", 0)
    told = pool.close(1, expire=True)
    assert told == [Tell("qmgr_000", "retire"), Tell("qmgr_000", "expire")]
    pool.exited("qmgr_000", 0, "exit status 0", 1)
    assert pool.decide(1) == []
    assert (pool.state(1), pool.watching) == ("draining", False)


def test_a_stuck_listener_is_judged_by_five_seconds_of_samples() -> None:
    pool = pool_of(SMTP)
    ready(pool, "smtp_000", 0)
    for now in range(5):
        assert pool.sample(True, now) == []
    actions = pool.sample(True, 5)
    assert events(actions) == ["stuck"]
    assert actions[-1] == Start()


@pytest.mark.parametrize("second", range(1, 5))
@pytest.mark.parametrize("excuse", ["unreadable", "served", "full"])
def test_one_good_sample_clears_the_suspicion(second: int, excuse: str) -> None:
    pool = pool_of(SMTP)
    ready(pool, "smtp_000", 0)
    for now in range(6):
        good = now == second
        if good and excuse == "served":
            pool.heard("smtp_000", Counters(1, 7), now)
        if excuse == "full":
            pool.heard("smtp_000", Crossing("full" if good else "free"), now)
        assert pool.sample(not (good and excuse == "unreadable"), now) == []


def test_at_the_limit_the_stuck_process_makes_room() -> None:
    pool = pool_of(replace(SMTP, numprocs=1))
    ready(pool, "smtp_000", 0)
    for now in range(5):
        pool.sample(True, now)
    actions = pool.sample(True, 5)
    assert Tell("smtp_000", "retire") in actions
    assert pool.may_start(5)


def test_counters_add_up_over_generations_of_processes() -> None:
    pool = pool_of(SMTP)
    for number in range(3):
        ready(pool, f"smtp_00{number}", 0)
        pool.heard(f"smtp_00{number}", Counters(2, 10), 0)
    pool.exited("smtp_000", 0, "exit status 0", 1)
    assert (pool.served, pool.clients, pool.spawned_total) == (30, 4, 3)


def test_packets_of_a_process_that_is_gone_are_ignored() -> None:
    pool = pool_of(SMTP)
    assert pool.heard("smtp_000", Crossing("free"), 0) == []
    assert pool.exited("smtp_000", 1, "exit status 1", 0) == []
