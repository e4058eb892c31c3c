"""How many conversations each user of the host has: nobody takes all places of the daemon."""

from collections import Counter

from mta.util.log import Log

__all__ = ["Callers"]


class Callers:
    """Counts conversations by user id."""

    def __init__(self, limit: int, log: Log) -> None:
        """`limit` is for each user."""
        self._limit = limit
        self._log = log
        self._counts: Counter[int] = Counter()
        self._told: set[int] = set()  # those at their limit, of whom the log knows

    def admit(self, uid: int) -> bool:
        """Whether one more is taken; it is to `leave` then."""
        if self._counts[uid] >= self._limit:
            if uid not in self._told:
                self._told.add(uid)
                self._log.warning("caller_limit", uid=uid, limit=self._limit)
            return False
        self._counts[uid] += 1
        return True

    def leave(self, uid: int) -> None:
        """One of them is over."""
        self._counts[uid] -= 1
        if not self._counts[uid]:
            del self._counts[uid]
            self._told.discard(uid)
