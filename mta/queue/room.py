"""Room: what the queue's file system still takes, looked at once a second at most.

Postfix's rule: mail is taken while there is room for the largest message and half of the next. Who
takes it asks before the content is read; the queue itself is written until the disk says no, so
that what was taken is delivered, deferred and reported with what is left.
"""

import os
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from mta.proto.status import Status

__all__ = ["NO_SPACE", "SICK_TIME", "WRITE_ERROR", "Room", "RoomWatch", "least_free", "look"]

NO_SPACE: Final = Status(452, "4.3.1", "Insufficient system storage")
WRITE_ERROR: Final = Status(451, "4.3.0", "Queue file write error")
SICK_TIME: Final = 10.0  # seconds in which a queue that failed to flush is not tried

_INTERVAL: Final = 1.0  # seconds between two looks


class Room(Struct, frozen=True):
    """Octets that we may still write; none where there is an obstacle, which it names."""

    octets: int
    obstacle: str = ""
    read_only: bool = False


def least_free(queue_minfree: int, message_size_limit: int) -> int:
    """Octets that must be free before mail is taken."""
    return queue_minfree or message_size_limit * 3 // 2


def look(place: str | int = ".") -> Room:
    """Look at the file system of a path or descriptor; OSError if it does not say."""
    found = os.statvfs(place)
    if found.f_flag & os.ST_RDONLY:
        return Room(0, "read-only", read_only=True)
    if found.f_files and not found.f_favail:
        return Room(0, "no free inodes")
    return Room(found.f_bavail * found.f_frsize)


class RoomWatch:
    """The room below the working directory, which is the queue's: a second old at most."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` tells seconds, of whatever beginning."""
        self._clock = clock
        self._room = Room(0)
        self._next_look: float | None = None

    def room(self) -> Room:
        """What the last look found; a file system that does not say has no room."""
        now = self._clock()
        if self._next_look is None or now >= self._next_look:
            self._next_look = now + _INTERVAL
            try:
                self._room = look()
            except OSError as error:
                self._room = Room(0, str(error))
        return self._room
