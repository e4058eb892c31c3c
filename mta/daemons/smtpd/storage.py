"""Whether the queue takes mail: what is to be refused is refused before it is read.

    known                                   a client hears
    no room, or read-only (a look)          452 at MAIL and DATA, until there is room
    cleanup's disk failed (its refusal)     that refusal at MAIL and DATA, for ten seconds;
                                            then one message a second is tried until one is taken

No daemon is asked: the look is a system call a second, and refusals come anyway. What is learned
is this process's own. Refusals are loud once, when they begin, and told again when they are over.
"""

from collections.abc import Callable
from typing import Final

from mta.config.parameters import Parameters
from mta.proto.status import MailError, Status
from mta.queue.room import NO_SPACE, SICK_TIME, WRITE_ERROR, RoomWatch, least_free
from mta.util.log import Log

__all__ = ["Storage"]

_TURN: Final = 1.0  # seconds in which a message that tries the queue has it for itself


class Storage:
    """One for all sessions of a process; its methods cost nothing while all is well."""

    def __init__(self, parameters: Parameters, clock: Callable[[], float], log: Log) -> None:
        """`clock` is the loop's."""
        self._reserve = parameters.queue_minfree
        self._least = least_free(parameters.queue_minfree, parameters.message_size_limit)
        self._clock = clock
        self._log = log
        self._watch = RoomWatch(clock)
        self._refusal: Status | None = None  # cleanup's last, until it takes a message
        self._closed_until = 0.0
        self._said = False

    def check(self, size: int = 0) -> None:
        """Let a message be announced, of `size` octets if its client says so; or MailError.

        RFC 1870, 6.1: 452 is for a message that does not fit at the moment.
        """
        room = self._watch.room()
        if room.octets < self._least:
            self._refusal = None  # that explains it, and the look will tell when it is over
            reason = room.obstacle or f"{room.octets} octets free, {self._least} wanted"
            self._say(NO_SPACE, reason)
            raise MailError(NO_SPACE)
        if room.octets < self._reserve + size:
            raise MailError(NO_SPACE, f"{room.octets} octets free, {size} announced")
        if self._refusal is None:
            self._end()
        elif self._clock() < self._closed_until:
            raise MailError(self._refusal)

    def begin(self) -> None:
        """Let content be asked for, or MailError; on trial, the next message has to wait."""
        self.check()
        if self._refusal is not None:
            self._closed_until = self._clock() + _TURN

    def accepted(self) -> None:
        """A message is on stable storage."""
        if self._refusal is not None:
            self._refusal = None
            self._end()

    def refused(self, error: MailError) -> None:
        """Cleanup refused a message: of interest here if that was for the disk's sake."""
        if error.status in (NO_SPACE, WRITE_ERROR):
            self._refusal = error.status
            self._closed_until = self._clock() + SICK_TIME
            self._say(error.status, error.reason)

    def _say(self, status: Status, reason: str) -> None:
        if not self._said:
            self._said = True
            self._log.error("storage_refused", status=str(status), reason=reason)

    def _end(self) -> None:
        if self._said:
            self._said = False
            self._log.warning("storage_accepted")
