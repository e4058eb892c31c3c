"""Every parameter of `main.yml`: name, type, unit, bounds, default and documentation, once.

Names are Postfix's wherever the meaning is. Validation, defaults, the reference manual and the
JSON Schema are all made from this class; a daemon reads the fields. Durations are seconds (in YAML
also "100s", "5m", "4h", "5d"), sizes are octets.
"""

import socket
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

__all__ = ["DurationUnit", "Parameters", "Used"]

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
# What these patterns let through is parsed as a whole when the configuration is checked.
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
TlsLevel = Literal["none", "may", "encrypt"]
UserName = Annotated[
    str, Meta(title="the name of a user or group", pattern=r"\A[a-z_][a-z0-9_-]{0,31}\Z")
]


class Used:
    """Who uses a parameter, since which release there is one, and what it takes to change it."""

    __slots__ = ("by", "change", "since")

    def __init__(
        self, *by: str, since: str = "0.1.0", change: Literal["reload", "restart"] = "reload"
    ) -> None:
        self.by = by  # daemons; "master": the plugin, the skeleton of all daemons, `mta render`
        self.since = since
        self.change = change


CLIENTS: Final = ("lmtp", "smtp")  # two names of one client


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters in force; the class body is the table."""

    queue_directory: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A/",
            description="The queue hierarchy; every daemon lives in it.",
        ),
        Used("master", change="restart"),
    ]
    log_file: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A/",
            description="The mail log, JSON lines; written by the log row. Beside it, the folder "
            "master holds the master's own log and what crashing daemons say.",
        ),
        Used("log", "master", change="restart"),
    ]
    log_format: Annotated[
        Literal["json", "classic"],
        Meta(
            description="json: one object a line; classic: lines in Postfix's form, for fail2ban, "
            "pflogsumm and eyes."
        ),
        Used("log"),
    ] = "json"
    syslog_name: Annotated[
        str,
        Meta(
            title="a short word",
            pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z",
            description="The program's name in classic log lines: NAME/DAEMON[PID].",
        ),
        Used("log"),
    ] = "posthouse"
    myhostname: Annotated[
        Domain,
        Meta(description="The host's name in the greeting and in Received fields."),
        Used("bounce", "cleanup", "log", "rewrite", "smtpd", "virtual", *CLIENTS),
    ] = field(default_factory=lambda: socket.gethostname().lower() or "localhost")
    mynetworks: Annotated[
        tuple[Network, ...],
        Meta(description="Networks (CIDR) whose clients may relay."),
        Used("smtpd"),
    ] = ("127.0.0.0/8", "::1/128")
    mail_owner: Annotated[
        UserName,
        Meta(
            description="The user that the queue belongs to, where the master runs as root: the "
            "rows that touch queue files run as this one."
        ),
        Used("master"),
    ] = "mta"
    private_group: Annotated[
        UserName,
        Meta(
            description="The group whose members may connect to the sockets in private/, where the "
            "master runs as root."
        ),
        Used("master"),
    ] = "mtaprivate"
    proxy_interfaces: Annotated[
        tuple[IpAddress, ...],
        Meta(
            description="Addresses at which this host receives mail through a proxy or address "
            "translation: mail for a domain whose best mail host has one of them loops."
        ),
        Used("smtp"),
    ] = ()
    default_transport: Annotated[
        Transport,
        Meta(
            description="The row that carries mail for other domains, with an optional nexthop; "
            "empty: none is accepted."
        ),
        Used("rewrite"),
    ] = "outbound"
    relayhost: Annotated[
        NextHop,
        Meta(
            description="Where mail for other domains goes, unless default_transport names a "
            "nexthop of its own; empty: to each domain's own mail hosts. A bare DOMAIN is looked "
            "up by MX, a HOST in brackets is not."
        ),
        Used("rewrite"),
    ] = ""
    virtual_mailbox_domains: Annotated[
        tuple[Domain, ...],
        Meta(description="Domains whose mail is delivered to mailboxes here."),
        Used("rewrite", "virtual"),
    ] = ()
    virtual_transport: Annotated[
        Transport,
        Meta(
            description="The row that delivers mail for virtual_mailbox_domains, with an optional "
            "nexthop (such as lmtp:unix:/run/dovecot/lmtp)."
        ),
        Used("rewrite"),
    ] = "virtual"
    virtual_mailbox_base: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A(/.*)?\Z",
            description="Mailboxes lie at BASE/DOMAIN/USER/ (Maildir).",
        ),
        Used("virtual"),
    ] = ""
    message_size_limit: Annotated[
        Octets,
        Meta(ge=1024, le=2**40, description="The largest message accepted, in octets."),
        Used("bounce", "cleanup", "smtpd"),
    ] = 10_240_000
    header_size_limit: Annotated[
        Octets,
        Meta(ge=1024, le=2**24, description="The largest header section, in octets."),
        Used("bounce", "cleanup", "virtual"),
    ] = 102_400
    queue_minfree: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**50,
            description="Free space that the queue's file system must have before mail is taken; "
            "0 means 1.5 times message_size_limit.",
        ),
        Used("smtpd"),
    ] = 0
    hopcount_limit: Annotated[
        int,
        Meta(ge=1, le=1000, description="Received fields beyond which a message loops."),
        Used("cleanup"),
    ] = 50
    line_length_limit: Annotated[
        Octets,
        Meta(ge=512, le=65536, description="The longest SMTP command line accepted."),
        Used("smtpd"),
    ] = 2048
    smtpd_content_line_limit: Annotated[
        Octets,
        Meta(ge=1000, le=2**20, description="The longest line of message content accepted."),
        Used("smtpd"),
    ] = 65_536
    smtpd_recipient_limit: Annotated[
        int,
        Meta(ge=100, le=100_000, description="Recipients of one message at most."),
        Used("smtpd"),
    ] = 1000
    smtpd_timeout: Annotated[
        Duration,
        _duration("How long a client may take for one command or piece of content.", 1),
        Used("smtpd"),
    ] = 300.0
    smtpd_min_data_rate: Annotated[
        int,
        Meta(ge=1, le=2**20, description="Octets a second that content must bring on average."),
        Used("smtpd"),
    ] = 500
    smtpd_hard_error_limit: Annotated[
        int,
        Meta(ge=1, le=1000, description="Failed commands before a session is ended."),
        Used("smtpd"),
    ] = 20
    smtpd_banner: Annotated[
        str,
        Meta(
            title="printable ASCII text of at most 400 characters",
            max_length=400,
            pattern=r"\A[\x20-\x7e]*\Z",
            description="The greeting's text.",
        ),
        Used("smtpd"),
    ] = "$myhostname ESMTP Posthouse"
    smtpd_tls_security_level: Annotated[
        TlsLevel,
        Meta(
            description="none: no STARTTLS; may: offered; encrypt: mail is taken over TLS only "
            "(RFC 3207, 4: not for servers that the Internet sends to)."
        ),
        Used("smtpd"),
    ] = "none"
    smtpd_tls_cert_file: Annotated[
        AbsolutePath,
        Meta(
            description="The server's certificate and its chain, in PEM; read again when changed."
        ),
        Used("smtpd"),
    ] = ""
    smtpd_tls_key_file: Annotated[
        AbsolutePath,
        Meta(
            description="The certificate's private key, in PEM; empty: it is in "
            "smtpd_tls_cert_file."
        ),
        Used("smtpd"),
    ] = ""
    smtp_tls_security_level: Annotated[
        TlsLevel,
        Meta(
            description="none: mail is sent in plain text; may: over TLS where the server offers "
            "it, without regard to its certificate, and in plain text where that fails; encrypt: "
            "over TLS or not at all."
        ),
        Used(*CLIENTS),
    ] = "may"
    smtp_tcp_port: Annotated[
        int,
        Meta(ge=1, le=65535, description="The port of hosts whose destination names none."),
        Used("smtp"),
    ] = 25
    smtp_helo_name: Annotated[
        str,
        Meta(
            title="a domain name, an address literal, or $myhostname",
            max_length=255,
            pattern=r"\A[!-~]+\Z",
            description="The name that the SMTP client gives itself.",
        ),
        Used(*CLIENTS),
    ] = "$myhostname"
    smtp_fallback_relay: Annotated[
        tuple[NextHop, ...],
        Meta(
            description="Destinations that are tried, in this order, for recipients whose proper "
            "one was not found, could not be reached, or put them off (4xx)."
        ),
        Used("smtp"),
    ] = ()
    inet_protocols: Annotated[
        Literal["all", "ipv4", "ipv6"],
        Meta(description="The protocols that mail is sent over."),
        Used("resolver", *CLIENTS),
    ] = "all"
    smtp_address_preference: Annotated[
        Literal["any", "ipv4", "ipv6"],
        Meta(description="Which of a host's addresses are tried first; any: in random order."),
        Used(*CLIENTS),
    ] = "any"
    smtp_mx_address_limit: Annotated[
        int,
        Meta(ge=1, le=100, description="Addresses of a destination that are tried at most."),
        Used(*CLIENTS),
    ] = 5
    smtp_mx_session_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Sessions that a delivery begins at most before it is deferred.",
        ),
        Used(*CLIENTS),
    ] = 2
    smtp_connect_timeout: Annotated[
        Duration, _duration("How long connecting may take.", 0.1), Used(*CLIENTS)
    ] = 30.0
    smtp_helo_timeout: Annotated[
        Duration,
        _duration("How long the greeting, and the answer to EHLO, may take.", 0.1),
        Used(*CLIENTS),
    ] = 300.0
    smtp_starttls_timeout: Annotated[
        Duration, _duration("How long STARTTLS and the handshake may take.", 0.1), Used(*CLIENTS)
    ] = 300.0
    smtp_mail_timeout: Annotated[
        Duration, _duration("How long the answer to MAIL may take.", 0.1), Used(*CLIENTS)
    ] = 300.0
    smtp_rcpt_timeout: Annotated[
        Duration, _duration("How long the answer to RCPT may take.", 0.1), Used(*CLIENTS)
    ] = 300.0
    smtp_data_init_timeout: Annotated[
        Duration, _duration("How long the answer to DATA may take.", 0.1), Used(*CLIENTS)
    ] = 120.0
    smtp_data_xfer_timeout: Annotated[
        Duration,
        _duration("How long the server may take for a piece of content.", 0.1),
        Used(*CLIENTS),
    ] = 180.0
    smtp_data_done_timeout: Annotated[
        Duration,
        _duration("How long the answer to the end of the content may take.", 0.1),
        Used(*CLIENTS),
    ] = 600.0
    smtp_rset_timeout: Annotated[
        Duration, _duration("How long the answer to RSET may take.", 0.1), Used(*CLIENTS)
    ] = 20.0
    smtp_connection_cache_time_limit: Annotated[
        Duration,
        _duration("How long a session without work is kept for the next message."),
        Used(*CLIENTS),
    ] = 2.0
    smtp_connection_reuse_time_limit: Annotated[
        Duration, _duration("How old a session may be when it is used again."), Used(*CLIENTS)
    ] = 300.0
    dns_servers: Annotated[
        tuple[NameServer, ...],
        Meta(
            description="Name servers to ask, ADDRESS or [ADDRESS]:PORT; none: those of "
            "/etc/resolv.conf."
        ),
        Used("resolver"),
    ] = ()
    dns_timeout: Annotated[
        Duration,
        _duration("How long one look-up may take, all its retries included.", 0.1, 300),
        Used("resolver", *CLIENTS),
    ] = 20.0
    minimal_backoff_time: Annotated[
        Duration,
        _duration("The least time between two attempts at a deferred message.", 0.1),
        Used("qmgr"),
    ] = 300.0
    maximal_backoff_time: Annotated[
        Duration,
        _duration("The most time between two attempts at a deferred message.", 0.1),
        Used("qmgr"),
    ] = 4000.0
    maximal_queue_lifetime: Annotated[
        Duration,
        _duration("How long a message is tried before it is given up."),
        Used("bounce", "qmgr"),
    ] = 5 * 86400.0
    bounce_queue_lifetime: Annotated[
        Duration,
        _duration("How long a message with the null sender is tried; 0: once."),
        Used("qmgr"),
    ] = 5 * 86400.0
    delay_warning_time: Annotated[
        Duration,
        _duration("The age at which the sender is told that a message is still waiting; 0: never."),
        Used("qmgr"),
    ] = 0.0
    bounce_size_limit: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**30,
            description="The largest message that a report returns whole; of a larger one, the "
            "header section.",
        ),
        Used("bounce"),
    ] = 50_000
    double_bounce_sender: Annotated[
        str,
        Meta(
            title="a local part",
            pattern=r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,62}\Z",
            description="The sender of reports to the postmaster; what is sent to it is discarded, "
            "and what bounces from it is told to nobody.",
        ),
        Used("bounce", "rewrite"),
    ] = "double-bounce"
    double_bounce_recipient: Annotated[
        str,
        Meta(
            title="an address or a local part",
            max_length=320,
            pattern=r"\A[!-~]+\Z",
            description="Who is told of bounces that cannot be returned, for their sender is null "
            "(Postfix: 2bounce_notice_recipient).",
        ),
        Used("bounce"),
    ] = "postmaster"
    soft_bounce: Annotated[
        bool,
        Meta(
            description="A safety net for tests: what would bounce is deferred, and what smtpd "
            "would refuse for good it refuses for now."
        ),
        Used("qmgr", "smtpd"),
    ] = False
    queue_run_delay: Annotated[
        Duration, _duration("How often the queue directories are scanned.", 0.1), Used("qmgr")
    ] = 60.0
    qmgr_message_active_limit: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Messages that qmgr works on at once."),
        Used("qmgr"),
    ] = 20_000
    default_destination_concurrency_limit: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Parallel deliveries to one destination."),
        Used("qmgr", *CLIENTS),
    ] = 20
    initial_destination_concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Parallel deliveries to a destination of which nothing is known yet; each "
            "success allows one more.",
        ),
        Used("qmgr"),
    ] = 5
    default_destination_concurrency_failed_cohort_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="After how many rounds of failed connections in a row a destination is "
            "left alone for minimal_backoff_time; a round is as many as run in parallel.",
        ),
        Used("qmgr"),
    ] = 1
    default_destination_recipient_limit: Annotated[
        int, Meta(ge=1, le=50, description="Recipients in one delivery request."), Used("qmgr")
    ] = 50
    ipc_timeout: Annotated[
        Duration,
        _duration("How long a daemon waits for another daemon's answer.", 0.1),
        Used("bounce", "cleanup", "qmgr", "smtpd", *CLIENTS),
    ] = 60.0
    delivery_timeout: Annotated[
        Duration, _duration("How long qmgr waits for a delivery agent's answer.", 1), Used("qmgr")
    ] = 3600.0
    service_checkin_time: Annotated[
        Duration,
        _duration("How long a new process may take until it is ready.", 0.1, 300),
        Used("master", "qmgr"),
    ] = 10.0
    service_throttle_time: Annotated[
        Duration,
        _duration("The longest pause before a failed row is tried again.", 1, 3600),
        Used("master"),
    ] = 60.0
