"""Which request is next, and which has waited too long."""

from mta.daemons.mailuser.backlog import Backlog
from mta.ipc.mailuser_times import WAITING_TIME
from mta.ipc.messages import ReadFile

CLIENTS = {user: f"client of {user}" for user in ("a", "b", "c", "bob", "carol")}


def asking(user: str) -> ReadFile:
    return ReadFile(user, "/file", 1000)


def backlog(*users: str, places: int = 8) -> Backlog[str]:
    made = Backlog[str](places)
    for number, user in enumerate(users, 1):
        made.add(CLIENTS[user], number, asking(user), (), float(number))
    return made


def test_in_their_order_but_for_a_user_who_has_enough() -> None:
    """Two of eight places are one user's share."""
    waiting = backlog("bob", "bob", "bob", "carol")
    served: list[str] = []
    begun = []
    while (each := waiting.next(served)) is not None:
        served.append(each.request.user)
        begun.append(each.number)
    assert begun == [1, 2, 4]
    assert len(waiting) == 1
    served.remove("bob")
    assert waiting.next(served) is not None


def test_no_more_than_there_are_places() -> None:
    waiting = backlog("bob")
    assert waiting.next(f"user{number}" for number in range(8)) is None
    assert waiting.next(f"user{number}" for number in range(7)) is not None


def test_a_row_with_one_place_serves_everybody() -> None:
    assert backlog("bob", places=1).next([]) is not None


def test_as_many_wait_as_there_are_places() -> None:
    assert backlog("a", "b", places=3).has_room
    assert not backlog("a", "b", "c", places=3).has_room


def test_what_has_waited_too_long() -> None:
    waiting = backlog("bob", "carol")
    assert waiting.next_expiry == 1.0 + WAITING_TIME
    assert [each.number for each in waiting.expired(1.5 + WAITING_TIME)] == [1]
    assert waiting.next_expiry == 2.0 + WAITING_TIME
    assert [each.number for each in waiting.expired(9.0 + WAITING_TIME)] == [2]
    assert waiting.next_expiry == float("inf")


def test_those_of_a_client_that_is_gone() -> None:
    waiting = backlog("bob", "carol", "bob")
    assert [each.number for each in waiting.of(CLIENTS["bob"])] == [1, 3]
    assert len(waiting) == 1
