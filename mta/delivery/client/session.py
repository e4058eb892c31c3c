"""SEAM COPY: the types of the client's session, until the client itself is there."""

import asyncio

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.delivery.content import ContentReader
from mta.proto.status import Status

__all__ = ["ClientSession", "Endpoint", "Mail", "SessionFailed", "Terms", "Verdict"]


class Endpoint(Struct, frozen=True):
    """Where one session goes."""

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}[{self.address}]" + (f":{self.port}" if self.port else "")


class Terms(Struct, frozen=True, kw_only=True):
    """What holds for all sessions of a row."""

    lmtp: bool

    @classmethod
    def of(cls, parameters: Parameters, *, lmtp: bool) -> "Terms":
        """The terms that the parameters mean."""
        del parameters
        return cls(lmtp=lmtp)


class Mail(Struct, frozen=True):
    """One transaction."""

    sender: str
    recipients: tuple[str, ...]
    body_8bit: bool
    content: ContentReader


class Verdict(Struct, frozen=True):
    """What became of one recipient."""

    status: Status
    elsewhere: bool


class SessionFailed(Exception):  # noqa: N818
    """No session could be begun."""

    def __init__(self, status: Status, elsewhere: bool) -> None:
        super().__init__(str(status))
        self.status = status
        self.elsewhere = elsewhere


class ClientSession:
    """One session."""

    endpoint: Endpoint
    opened: float
    messages: int
    tls: str

    @classmethod
    async def open(
        cls, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms
    ) -> "ClientSession":
        """Begin a session."""
        raise NotImplementedError

    @property
    def usable(self) -> bool:
        """Whether it can carry another message."""
        raise NotImplementedError

    @property
    def lost_at_first(self) -> bool:
        """Whether the kept connection was dead."""
        raise NotImplementedError

    async def deliver(self, mail: Mail) -> list[Verdict]:
        """Carry one message."""
        raise NotImplementedError

    def close(self) -> None:
        """QUIT."""
        raise NotImplementedError
