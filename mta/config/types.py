"""The types of parameters: what a value may be, in words that errors and the manual use.

Durations are seconds (in YAML also "100s", "5m", "4h", "5d"), sizes are octets. What a pattern lets
through may still be no sound value; it is parsed as a whole when the configuration is checked.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta

__all__ = [
    "CLIENTS",
    "AbsolutePath",
    "Domain",
    "Duration",
    "DurationUnit",
    "IpAddress",
    "NameServer",
    "Network",
    "NextHop",
    "Octets",
    "TableNames",
    "TlsLevel",
    "Transport",
    "Used",
    "UserName",
    "duration",
]

DurationUnit = {"unit": "duration"}


def duration(text: str, least: float = 0.0, most: float = 366 * 86400.0) -> Meta:
    """The meaning of a duration parameter, and its bounds in seconds."""
    return Meta(ge=least, le=most, description=text, extra=DurationUnit)


Duration = float
Octets = int
Domain = Annotated[
    str,
    Meta(
        title="a domain name in lower case",
        max_length=253,
        pattern=r"\A(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z",
    ),
]
Transport = Annotated[
    str,
    Meta(
        title="the name of a row, or ROW:NEXTHOP",
        max_length=255,
        pattern=r"\A([a-z][a-z0-9_-]{0,31}(:[ -~]*)?)?\Z",
    ),
]
NextHop = Annotated[
    str,
    Meta(
        title="DOMAIN, [HOST] or [HOST]:PORT",
        max_length=255,
        pattern=r"\A[ -~]*\Z",
    ),
]
AbsolutePath = Annotated[str, Meta(title="an absolute path, or nothing", pattern=r"\A(/.*)?\Z")]
IpAddress = Annotated[str, Meta(title="an IP address", pattern=r"\A[0-9A-Fa-f:.]{2,45}\Z")]
Network = Annotated[
    str,
    Meta(
        title="a network, ADDRESS/LENGTH",
        pattern=r"\A[0-9A-Fa-f:.]{2,45}(?:/[0-9.]{1,15})?\Z",
    ),
]
NameServer = Annotated[
    str,
    Meta(
        title="ADDRESS or [ADDRESS]:PORT",
        pattern=r"\A(?:[0-9A-Fa-f:.]{2,45}|\[[0-9A-Fa-f:.]{2,45}\]:[0-9]{1,5})\Z",
    ),
]
# Tables in the order in which they are asked; the first that has the key answers.
TableNames = tuple[
    Annotated[
        str,
        Meta(
            title="a table, TYPE:NAME",
            max_length=10_000,
            pattern=r"\A[a-z][a-z0-9]*:.+\Z",
        ),
    ],
    ...,
]
TlsLevel = Literal["none", "may", "encrypt"]
UserName = Annotated[
    str, Meta(title="the name of a user or group", pattern=r"\A[a-z_][a-z0-9_-]{0,31}\Z")
]


class Used:
    """Who uses a parameter, since which release there is one, and what it takes to change it.

    `default` tells in words of a default that follows from other settings (mta.config.derived).
    """

    __slots__ = ("by", "change", "default", "since")

    def __init__(
        self,
        *by: str,
        since: str = "0.1.0",
        change: Literal["reload", "restart"] = "reload",
        default: str = "",
    ) -> None:
        # Daemons; "master": the plugin, the skeleton of all daemons, `mta render`; "sendmail".
        self.by = by
        self.since = since
        self.change = change
        self.default = default


CLIENTS: Final = ("lmtp", "smtp")  # two names of one client
