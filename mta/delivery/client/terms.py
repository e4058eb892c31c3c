"""What a session is given and what it gives back."""

from typing import Literal

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.delivery.content import ContentReader
from mta.proto.smtp.client_events import Stage, Verdict
from mta.proto.status import Status

__all__ = ["Endpoint", "Mail", "SessionFailed", "Terms", "Verdict"]


class Endpoint(Struct, frozen=True):
    """Where a session goes: a literal IP address, or with port 0 the path of a UNIX socket."""

    name: str  # of the host, for people
    address: str
    port: int

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.name}[{self.address}]{port}"


class Terms(Struct, frozen=True, kw_only=True):
    """What holds for all sessions of a row; times are seconds."""

    lmtp: bool
    helo_name: str
    security_level: Literal["none", "may", "encrypt"]
    connect_timeout: float
    timeouts: dict[Stage, float]  # for a reply as a whole; BODY: for a piece of content

    @classmethod
    def of(cls, parameters: Parameters, *, lmtp: bool) -> "Terms":
        """The terms that the parameters of a row mean."""
        return cls(
            lmtp=lmtp,
            helo_name=parameters.smtp_helo_name.replace("$myhostname", parameters.myhostname),
            security_level=parameters.smtp_tls_security_level,
            connect_timeout=parameters.smtp_connect_timeout,
            timeouts={
                Stage.GREETING: parameters.smtp_helo_timeout,
                Stage.HELLO: parameters.smtp_helo_timeout,
                Stage.TLS: parameters.smtp_starttls_timeout,
                Stage.RESET: parameters.smtp_rset_timeout,
                Stage.MAIL: parameters.smtp_mail_timeout,
                Stage.RCPT: parameters.smtp_rcpt_timeout,
                Stage.DATA: parameters.smtp_data_init_timeout,
                Stage.BODY: parameters.smtp_data_xfer_timeout,
                Stage.END: parameters.smtp_data_done_timeout,
            },
        )


class Mail(Struct, frozen=True):
    """One transaction: canonical addresses without brackets, and the content."""

    sender: str
    recipients: tuple[str, ...]
    body_8bit: bool
    content: ContentReader


class SessionFailed(Exception):  # noqa: N818 - what happened, not what is wrong
    """No session could be begun; `elsewhere`: another host may do better."""

    def __init__(self, status: Status, elsewhere: bool) -> None:
        super().__init__(str(status))
        self.status = status
        self.elsewhere = elsewhere
