"""What a session is made with, and what comes of it: the structs that cross its border."""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, Literal

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.delivery.content import ContentReader
from mta.proto.smtp.client_events import Stage
from mta.proto.status import Status

__all__ = ["Endpoint", "Mail", "SessionFailed", "Terms", "Verdict"]


class Endpoint(Struct, frozen=True):
    """Where one session goes; `port` 0 is a UNIX socket, and `address` its path."""

    name: str  # the host's, for people
    address: str  # a literal IP address, without brackets
    port: int

    @property
    def host(self) -> str:
        """The host as Postfix names it: "mx.example.org[192.0.2.1]"."""
        return f"{self.name}[{self.address}]"

    def __str__(self) -> str:
        """As in Postfix's relay=: "mx.example.org[192.0.2.1]:25", "name[/path]"."""
        return f"{self.host}:{self.port}" if self.port else self.host


class Terms(Struct, frozen=True, kw_only=True):
    """What holds for all sessions of a row; timeouts are seconds."""

    lmtp: bool
    helo_name: str
    tls_level: Literal["none", "may", "encrypt"]
    connect_timeout: float
    helo_timeout: float
    starttls_timeout: float
    mail_timeout: float
    rcpt_timeout: float
    data_init_timeout: float
    data_xfer_timeout: float
    data_done_timeout: float
    rset_timeout: float

    @classmethod
    def of(cls, parameters: Parameters, *, lmtp: bool) -> "Terms":
        """The terms by the parameters in force."""
        return cls(
            lmtp=lmtp,
            helo_name=parameters.smtp_helo_name.replace("$myhostname", parameters.myhostname),
            tls_level=parameters.smtp_tls_security_level,
            connect_timeout=parameters.smtp_connect_timeout,
            helo_timeout=parameters.smtp_helo_timeout,
            starttls_timeout=parameters.smtp_starttls_timeout,
            mail_timeout=parameters.smtp_mail_timeout,
            rcpt_timeout=parameters.smtp_rcpt_timeout,
            data_init_timeout=parameters.smtp_data_init_timeout,
            data_xfer_timeout=parameters.smtp_data_xfer_timeout,
            data_done_timeout=parameters.smtp_data_done_timeout,
            rset_timeout=parameters.smtp_rset_timeout,
        )

    def timeout(self, stage: Stage) -> float:
        """How long the server may take for a whole reply, or a piece of content.

        RFC 5321, 4.5.3.2.
        """
        return _TIMEOUTS[stage](self)


_TIMEOUTS: Final[dict[Stage, Callable[[Terms], float]]] = {
    Stage.GREETING: attrgetter("helo_timeout"),
    Stage.EHLO: attrgetter("helo_timeout"),
    Stage.HELO: attrgetter("helo_timeout"),
    Stage.LHLO: attrgetter("helo_timeout"),
    Stage.STARTTLS: attrgetter("starttls_timeout"),
    Stage.RSET: attrgetter("rset_timeout"),
    Stage.MAIL: attrgetter("mail_timeout"),
    Stage.RCPT: attrgetter("rcpt_timeout"),
    Stage.DATA: attrgetter("data_init_timeout"),
    Stage.CONTENT: attrgetter("data_xfer_timeout"),
    Stage.END: attrgetter("data_done_timeout"),
}


class Mail(Struct, frozen=True):
    """One message for one transaction."""

    sender: str
    recipients: tuple[str, ...]
    body_8bit: bool  # its client declared BODY=8BITMIME (RFC 6152)
    content: ContentReader


class Verdict(Struct, frozen=True):
    """What became of one recipient; `elsewhere`: another host may be tried at once."""

    status: Status
    elsewhere: bool


class SessionFailed(Exception):  # noqa: N818 - what happened, not what is wrong
    """There is no session; `elsewhere` as in `Verdict`."""

    def __init__(self, status: Status, *, elsewhere: bool = True) -> None:
        super().__init__(str(status))
        self.status = status
        self.elsewhere = elsewhere
