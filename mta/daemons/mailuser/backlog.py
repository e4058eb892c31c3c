"""Requests that wait for a place: in their order, but none for a user who has enough.

The law: one user's commands, that may hang, never take all places; and a request that has waited
too long is refused, not begun, for its client is about to try again.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from msgspec import Struct

from mta.ipc.frames import Descriptors
from mta.ipc.mailuser_times import WAITING_TIME
from mta.ipc.messages import MailuserRequest

__all__ = ["Backlog", "Waiting"]

Client = TypeVar("Client")

_USERS_SHARE: Final = 4  # no user has more than a fourth of the places


class Waiting(Struct, Generic[Client], frozen=True):
    """A request, with descriptors of its own, and the monotonic time at which it is refused."""

    client: Client
    number: int
    request: MailuserRequest
    descriptors: Descriptors
    until: float


class Backlog(Generic[Client]):
    """For `places` requests at once; as many again may wait."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._share = max(1, places // _USERS_SHARE)
        self._waiting: list[Waiting[Client]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether one more may wait."""
        return len(self._waiting) < self._places

    @property
    def next_expiry(self) -> float:
        """When the first is to be refused."""
        return min((each.until for each in self._waiting), default=float("inf"))

    def add(
        self,
        client: Client,
        number: int,
        request: MailuserRequest,
        descriptors: Descriptors,
        now: float,
    ) -> None:
        """Let one wait."""
        self._waiting.append(Waiting(client, number, request, descriptors, now + WAITING_TIME))

    def next(self, served: Iterable[str]) -> Waiting[Client] | None:
        """Take the next to be begun, while these users are served; None if there is none."""
        users = Counter(served)
        if users.total() < self._places:
            for index, each in enumerate(self._waiting):
                if users[each.request.user] < self._share:
                    return self._waiting.pop(index)
        return None

    def expired(self, now: float) -> list[Waiting[Client]]:
        """Take those that have waited too long."""
        return self._taken([each for each in self._waiting if each.until <= now])

    def of(self, client: Client) -> list[Waiting[Client]]:
        """Take those of a client."""
        return self._taken([each for each in self._waiting if each.client is client])

    def _taken(self, some: list[Waiting[Client]]) -> list[Waiting[Client]]:
        self._waiting = [each for each in self._waiting if each not in some]
        return some
