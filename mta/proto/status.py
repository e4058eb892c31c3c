"""One outcome type across every border: reply code, enhanced code, text for the peer.

A `Status` is what a peer may see. A `MailError` carries one through the code, together with the
reason that only the log may see. Whatever is not understood is temporary (4xx): a wrong guess
costs a retry, never a message.
"""

import enum
from typing import Annotated, Final, NoReturn

from msgspec import Meta, Struct

__all__ = [
    "INTERNAL_ERROR",
    "Disposition",
    "MailError",
    "ReportKind",
    "Status",
    "permanent",
    "temporary",
]


class Status(Struct, frozen=True, array_like=True):
    """An SMTP reply (RFC 5321, 4.2) with its enhanced status code (RFC 3463)."""

    code: Annotated[int, Meta(ge=200, le=599)]
    enhanced: Annotated[str, Meta(max_length=16, pattern=r"\A[245]\.\d{1,3}\.\d{1,3}\Z")]
    text: Annotated[str, Meta(max_length=512)]

    @property
    def is_temporary(self) -> bool:
        """Whether the same attempt may succeed later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Whether the same attempt will fail again."""
        return self.code >= 500

    @property
    def softened(self) -> "Status":
        """The status itself, or of a permanent one the temporary one that corresponds."""
        if not self.is_permanent:
            return self
        enhanced = f"4{self.enhanced[1:]}" if self.enhanced else ""
        return Status(self.code - 100, enhanced, self.text)

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


class Disposition(enum.Enum):
    """What became of one recipient in one attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class ReportKind(enum.Enum):
    """What a sender is told (RFC 3464, 2.3.3: the action of the recipients it names)."""

    FAILURE = "failed"
    DELAY = "delayed"


# What a peer is told of an error that nobody foresaw: temporary, as all unknown ones are.
INTERNAL_ERROR: Final = Status(451, "4.3.0", "Internal error, please try again later")


class MailError(Exception):
    """A failure that has an SMTP meaning; `reason` is for the log alone."""

    def __init__(self, status: Status, reason: str = "") -> None:
        super().__init__(f"{status}: {reason}" if reason else str(status))
        self.status = status
        self.reason = reason


def temporary(enhanced: str, text: str, reason: str = "", code: int = 451) -> NoReturn:
    """Raise a `MailError` that asks the peer to try again."""
    raise MailError(Status(code, enhanced, text), reason)


def permanent(enhanced: str, text: str, reason: str = "", code: int = 550) -> NoReturn:
    """Raise a `MailError` that tells the peer not to try again."""
    raise MailError(Status(code, enhanced, text), reason)
