"""How many conversations each user of the host has: nobody takes all places of the daemon."""

import socket
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from mta.util.log import Log
from mta.util.peer import peer_credentials

__all__ = ["Caller", "Callers"]


class Caller(Struct, frozen=True):
    """Who has connected, by the kernel's word."""

    uid: int
    admitted: bool  # whether there is a place for him
    finished: Callable[[], None]  # to be called when his conversation is over


class Callers:
    """Counts conversations by user id."""

    def __init__(self, limit: int, log: Log) -> None:
        """`limit` is for each user."""
        self._limit = limit
        self._log = log
        self._counts: Counter[int] = Counter()
        self._told: set[int] = set()  # those at their limit, of whom the log knows

    def receive(self, client: socket.socket, finished: Callable[[], None]) -> Caller:
        """Give a client's user one more place, if he has one left."""
        _, uid = peer_credentials(client)
        if not self._admit(uid):
            return Caller(uid, False, finished)

        def over() -> None:
            self._leave(uid)
            finished()

        return Caller(uid, True, over)

    def _admit(self, uid: int) -> bool:
        if self._counts[uid] >= self._limit:
            if uid not in self._told:
                self._told.add(uid)
                self._log.warning("caller_limit", uid=uid, limit=self._limit)
            return False
        self._counts[uid] += 1
        return True

    def _leave(self, uid: int) -> None:
        self._counts[uid] -= 1
        if not self._counts[uid]:
            del self._counts[uid]
            self._told.discard(uid)
