"""Whose files are taken in a round, and in what order."""

from mta.daemons.pickup.turns import TurnLimits, Turns

MANY = TurnLimits(1000, 10**9)


def test_nobody_waits_for_anothers_backlog() -> None:
    turns = Turns(MANY)
    for number in range(100):
        turns.add(1000, f"a{number:03d}", 1)
    turns.add(1001, "b000", 1)
    turns.add(1002, "c000", 1)
    names = list(turns.names())
    assert set(names[:3]) == {"a000", "b000", "c000"}
    assert names[3:] == [f"a{number:03d}" for number in range(1, 100)]
    assert turns.left_out == 0


def test_a_turn_has_an_end_for_each_user() -> None:
    turns = Turns(TurnLimits(3, 10**9))
    for number in range(10):
        turns.add(1000, f"a{number}", 1)
        turns.add(1001, f"b{number}", 1)
    assert sorted(turns.names()) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert turns.left_out == 14


def test_a_turn_takes_one_file_however_large() -> None:
    turns = Turns(TurnLimits(10, 100))
    for size in (500, 1, 500):
        turns.add(1000, f"a{size}", size)
    turns.add(1001, "b", 100)
    turns.add(1001, "c", 1)
    assert sorted(turns.names()) == ["a500", "b"]
    assert turns.left_out == 3
