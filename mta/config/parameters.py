"""Every parameter of `main.yml`: name, type, unit, bounds, default and documentation, once.

Names are Postfix's wherever the meaning is. Validation, defaults, the reference manual and the
JSON Schema are all made from this class; a daemon reads the fields. Durations are seconds (in YAML
also "100s", "5m", "4h", "5d"), sizes are octets.
"""

import socket
from typing import Annotated

from msgspec import Meta, Struct, field

__all__ = ["DurationUnit", "Parameters"]

DurationUnit = {"unit": "duration"}


def _duration(text: str, least: float = 0.0, most: float = 366 * 86400.0) -> Meta:
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


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters in force; the class body is the table."""

    queue_directory: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A/",
            description="The queue hierarchy; every daemon lives in it.",
        ),
    ]
    log_file: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A/",
            description="The mail log, JSON lines; written by the log row. The master's own log "
            "and what crashing daemons say lie beside it.",
        ),
    ]
    myhostname: Annotated[
        Domain, Meta(description="The host's name in the greeting and in Received fields.")
    ] = field(default_factory=lambda: socket.gethostname().lower() or "localhost")
    mynetworks: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR) whose clients may relay.")
    ] = ("127.0.0.0/8", "::1/128")
    default_transport: Annotated[
        str,
        Meta(
            title="the name of a row, or nothing",
            max_length=32,
            pattern=r"\A([a-z][a-z0-9_-]*)?\Z",
            description="The row that carries mail for other domains; empty: none is accepted.",
        ),
    ] = ""
    virtual_mailbox_domains: Annotated[
        tuple[Domain, ...], Meta(description="Domains whose mail is delivered to mailboxes here.")
    ] = ()
    virtual_transport: Annotated[
        str,
        Meta(
            title="the name of a row",
            pattern=r"\A[a-z][a-z0-9_-]{0,31}\Z",
            description="The row that delivers mail for virtual_mailbox_domains.",
        ),
    ] = "virtual"
    virtual_mailbox_base: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A(/.*)?\Z",
            description="Mailboxes lie at BASE/DOMAIN/USER/ (Maildir).",
        ),
    ] = ""
    message_size_limit: Annotated[
        Octets, Meta(ge=1024, le=2**40, description="The largest message accepted, in octets.")
    ] = 10_240_000
    header_size_limit: Annotated[
        Octets, Meta(ge=1024, le=2**24, description="The largest header section, in octets.")
    ] = 102_400
    queue_minfree: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**50,
            description="Free space that the queue's file system must have before mail is taken; "
            "0 means 1.5 times message_size_limit.",
        ),
    ] = 0
    hopcount_limit: Annotated[
        int, Meta(ge=1, le=1000, description="Received fields beyond which a message loops.")
    ] = 50
    line_length_limit: Annotated[
        Octets, Meta(ge=512, le=65536, description="The longest SMTP command line accepted.")
    ] = 2048
    smtpd_content_line_limit: Annotated[
        Octets,
        Meta(ge=1000, le=2**20, description="The longest line of message content accepted."),
    ] = 65_536
    smtpd_recipient_limit: Annotated[
        int, Meta(ge=100, le=100_000, description="Recipients of one message at most.")
    ] = 1000
    smtpd_timeout: Annotated[
        Duration, _duration("How long a client may take for one command or piece of content.", 1)
    ] = 300.0
    smtpd_min_data_rate: Annotated[
        int,
        Meta(ge=1, le=2**20, description="Octets a second that content must bring on average."),
    ] = 500
    smtpd_hard_error_limit: Annotated[
        int, Meta(ge=1, le=1000, description="Failed commands before a session is ended.")
    ] = 20
    smtpd_banner: Annotated[
        str,
        Meta(
            title="printable ASCII text of at most 400 characters",
            max_length=400,
            pattern=r"\A[\x20-\x7e]*\Z",
            description="The greeting's text.",
        ),
    ] = "$myhostname ESMTP Posthouse"
    minimal_backoff_time: Annotated[
        Duration, _duration("The least time between two attempts at a deferred message.", 0.1)
    ] = 300.0
    maximal_backoff_time: Annotated[
        Duration, _duration("The most time between two attempts at a deferred message.", 0.1)
    ] = 4000.0
    maximal_queue_lifetime: Annotated[
        Duration, _duration("How long a message is tried before it is given up.")
    ] = 5 * 86400.0
    queue_run_delay: Annotated[
        Duration, _duration("How often the queue directories are scanned.", 0.1)
    ] = 60.0
    qmgr_message_active_limit: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Messages that qmgr works on at once.")
    ] = 20_000
    default_destination_concurrency_limit: Annotated[
        int, Meta(ge=1, le=10_000, description="Parallel deliveries to one destination.")
    ] = 20
    default_destination_recipient_limit: Annotated[
        int, Meta(ge=1, le=50, description="Recipients in one delivery request.")
    ] = 50
    ipc_timeout: Annotated[
        Duration, _duration("How long a daemon waits for another daemon's answer.", 0.1)
    ] = 60.0
    delivery_timeout: Annotated[
        Duration, _duration("How long qmgr waits for a delivery agent's answer.", 1)
    ] = 3600.0
    service_checkin_time: Annotated[
        Duration, _duration("How long a new process may take until it is ready.", 0.1, 300)
    ] = 10.0
    service_throttle_time: Annotated[
        Duration, _duration("The longest pause before a failed row is tried again.", 1, 3600)
    ] = 60.0
