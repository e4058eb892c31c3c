"""Every parameter of `main.yml`: name, type, unit, bounds, default and documentation, once.

Names are Postfix's wherever the meaning is. Validation, defaults, the reference manual and the
JSON Schema are all made from this class; a daemon reads the fields. Those of addresses, tables and
routes are in a module of their own, mta.config.addressing, and so are those of delivery on this
host, mta.config.delivering.
"""

import socket
from typing import Annotated, Literal

from msgspec import Meta, field

from mta.config.authorized import Authorized
from mta.config.types import (
    CLIENTS,
    AbsolutePath,
    Domain,
    Duration,
    IpAddress,
    NameServer,
    Network,
    NextHop,
    Octets,
    TlsLevel,
    Used,
    UserName,
    duration,
)

__all__ = ["Parameters"]


class Parameters(Authorized, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters in force; the class body is the table."""

    queue_directory: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A/",
            description="The queue hierarchy: messages, sockets, locks and compiled "
            "configurations. Every process lives in it. It must be on a local file system that "
            "honours fsync, for a message is acknowledged once it is there. To move it, stop the "
            "system, move the directory, and start.",
        ),
        Used("master", change="restart"),
    ] = "/var/spool/posthouse"
    log_file: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A/",
            description="The mail log, written by the row log. Beside it, the folder master holds "
            "the master's own log and what crashing daemons say, so that the folder should be for "
            "logs alone.",
        ),
        Used("log", "master", change="restart"),
    ] = "/var/log/posthouse/mail.log"
    log_format: Annotated[
        Literal["json", "classic"],
        Meta(
            description="json: one object a line, for programs; classic: lines in Postfix's form, "
            "for fail2ban, pflogsumm and eyes."
        ),
        Used("log"),
    ] = "json"
    syslog_name: Annotated[
        str,
        Meta(
            title="a short word",
            pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z",
            description="The program's name in classic log lines, NAME/DAEMON[PID]. To be changed "
            "where tools look for another name, such as postfix, or where several instances share "
            "a log.",
        ),
        Used("log"),
    ] = "posthouse"
    myhostname: Annotated[
        Domain,
        Meta(
            description="The host's full name: in the greeting, in EHLO, in Received and "
            "Message-ID fields, in reports; postmaster at this name is always accepted. It should "
            "be what the DNS says of the host's address, for other hosts compare the two. Where "
            "it is not set, it is the host's own name, which must then be a domain name."
        ),
        Used(
            "bounce",
            "cleanup",
            "log",
            "mailuser",
            "pickup",
            "rewrite",
            "sendmail",
            "smtpd",
            "virtual",
            *CLIENTS,
        ),
    ] = field(default_factory=lambda: socket.gethostname().lower() or "localhost")
    mynetworks: Annotated[
        tuple[Network, ...],
        Meta(
            description="The networks whose clients may send to any domain; all others may send "
            "to our own domains only. Every client in them can send mail in our name, so that a "
            "network of strangers here makes an open relay. Unlike Postfix, which looks at the "
            "interfaces (mynetworks_style), only this host itself is in it unless it is set."
        ),
        Used("smtpd"),
    ] = ("127.0.0.0/8", "::1/128")
    mail_owner: Annotated[
        UserName,
        Meta(
            description="The user that the queue belongs to, where root runs the master: the rows "
            "that touch queue files run as this one, and nobody else may. Elsewhere one user runs "
            "all, and this is not used."
        ),
        Used("master"),
    ] = "mta"
    private_group: Annotated[
        UserName,
        Meta(
            description="The group whose members may connect to the sockets in private/, where "
            "root runs the master: the users that take mail in or deliver it. Whoever is in it "
            "could hand mail to cleanup without being asked who he is."
        ),
        Used("master"),
    ] = "mtaprivate"
    proxy_interfaces: Annotated[
        tuple[IpAddress, ...],
        Meta(
            description="Addresses at which this host receives mail through a proxy or a "
            "translation of addresses. The host cannot see them; without them, a backup mail host "
            "behind such an address would send mail to itself. Mail for a domain whose best mail "
            "host has one of them loops, and is returned."
        ),
        Used("smtp"),
    ] = ()
    virtual_mailbox_base: Annotated[
        str,
        Meta(
            title="an absolute path",
            pattern=r"\A(/.*)?\Z",
            description="The folder of the mailboxes, which lie where virtual_mailbox_maps says, "
            "or else at BASE/DOMAIN/USER/; folders are made as they are needed, and belong to the "
            "row's user. It is all that the row virtual may write to. Empty: the row defers all "
            "mail.",
        ),
        Used("virtual"),
    ] = ""
    message_size_limit: Annotated[
        Octets,
        Meta(
            ge=1024,
            le=2**40,
            description="The largest message accepted, in octets as they are sent; SMTP says it "
            "in EHLO (RFC 1870). Attachments grow by a third on their way: 10 MB takes a file of "
            "some 7 MB.",
        ),
        Used("bounce", "cleanup", "pickup", "sendmail", "smtpd"),
    ] = 10_240_000
    header_size_limit: Annotated[
        Octets,
        Meta(
            ge=1024,
            le=2**24,
            description="The largest header section, in octets: a message with a larger one is "
            "refused with 552, where Postfix would treat the excess as body. A report returns as "
            "much of it as this, virtual and pipe look for a loop within it, and what rewriting "
            "makes of a section may not be larger.",
        ),
        Used("bounce", "cleanup", "local", "pickup", "pipe", "sendmail", "smtp", "virtual"),
    ] = 102_400
    sendmail_timeout: Annotated[
        Duration,
        duration(
            "How long sendmail waits for pickup, or for the file server that the maildrop lies on, "
            "while neither does anything. Then it gives up with status 75, so that no shell hangs; "
            "the caller has to try again.",
            least=1,
        ),
        Used("sendmail"),
    ] = 60.0
    queue_minfree: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**50,
            description="Free space, in octets, that the queue's file system must have before "
            "mail is taken; below it a client hears 452 and tries again later. 0 means 1.5 times "
            "message_size_limit, which is also Postfix's least.",
        ),
        Used("pickup", "smtpd"),
    ] = 0
    hopcount_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="A message with as many Received fields goes round in circles, and is "
            "refused with 554. Each host on the way adds one; ordinary mail has fewer than ten.",
        ),
        Used("cleanup"),
    ] = 50
    line_length_limit: Annotated[
        Octets,
        Meta(
            ge=512,
            le=65536,
            description="The longest SMTP command line accepted, in octets with its line end; a "
            "longer one is answered with 500. RFC 5321 asks for 512, extensions need more.",
        ),
        Used("smtpd"),
    ] = 2048
    smtpd_content_line_limit: Annotated[
        Octets,
        Meta(
            ge=1000,
            le=2**20,
            description="The longest line of message content accepted, in octets; a message with "
            "a longer one is refused, where Postfix would break the line, and with it the "
            "signatures. RFC 5321 allows 1000.",
        ),
        Used("smtpd"),
    ] = 65_536
    smtpd_recipient_limit: Annotated[
        int,
        Meta(
            ge=100,
            le=100_000,
            description="Recipients of one message at most; to further ones a client hears 452, "
            "and sends them a message of their own. RFC 5321 asks for 100 at least.",
        ),
        Used("smtpd"),
    ] = 1000
    smtpd_timeout: Annotated[
        Duration,
        duration(
            "How long a client may take for one whole command, or for one piece of "
            "content; then it hears 421 and the connection ends. RFC 5321 asks for five minutes; "
            "under attack a shorter time frees sessions sooner.",
            1,
        ),
        Used("smtpd"),
    ] = 300.0
    smtpd_min_data_rate: Annotated[
        int,
        Meta(
            ge=1,
            le=2**20,
            description="Octets a second that content must bring on average, beyond "
            "smtpd_timeout: a client that drips keeps no session for hours. Lower it for links "
            "that are slower than a modem.",
        ),
        Used("smtpd"),
    ] = 500
    smtpd_hard_error_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="After as many refused commands since the last accepted message, a client "
            "hears 421 and its session ends. Refused recipients count too, so that nobody tries a "
            "dictionary of them in one session.",
        ),
        Used("smtpd"),
    ] = 20
    smtpd_banner: Annotated[
        str,
        Meta(
            title="printable ASCII text of at most 400 characters",
            max_length=400,
            pattern=r"\A[\x20-\x7e]*\Z",
            description="The text of the greeting behind 220; $myhostname is replaced. It must "
            "begin with the host's name (RFC 5321, 4.2).",
        ),
        Used("smtpd"),
    ] = "$myhostname ESMTP Posthouse"
    smtpd_tls_security_level: Annotated[
        TlsLevel,
        Meta(
            description="none: STARTTLS is not offered; may: offered to all; encrypt: mail is "
            "taken over TLS only, which RFC 3207, 4 forbids to servers that the Internet sends "
            "to. may and encrypt need smtpd_tls_cert_file."
        ),
        Used("smtpd"),
    ] = "none"
    smtpd_tls_cert_file: Annotated[
        AbsolutePath,
        Meta(
            description="The server's certificate and behind it the chain up to the root, in PEM. "
            "When the file changes it is read again, without a reload."
        ),
        Used("smtpd"),
    ] = ""
    smtpd_tls_key_file: Annotated[
        AbsolutePath,
        Meta(
            description="The certificate's private key, in PEM, without a passphrase. Nobody but "
            "root and the group of the rows that use it may read it. Empty: the key is in "
            "smtpd_tls_cert_file."
        ),
        Used("smtpd"),
    ] = ""
    smtp_tls_security_level: Annotated[
        TlsLevel,
        Meta(
            description="none: mail is sent in plain text; may: over TLS where the server offers "
            "it, without regard to its certificate, and in plain text where that fails; encrypt: "
            "over TLS or not at all, so that mail for servers without it waits. LMTP over a UNIX "
            "socket is never encrypted."
        ),
        Used(*CLIENTS),
    ] = "may"
    smtp_tcp_port: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="The port of hosts whose destination names none. Other hosts listen on "
            "25; another port is for tests, or for a network in which all mail goes through a "
            "tunnel.",
        ),
        Used("smtp"),
    ] = 25
    smtp_helo_name: Annotated[
        str,
        Meta(
            title="a domain name, an address literal, or $myhostname",
            max_length=255,
            pattern=r"\A[!-~]+\Z",
            description="The name that the client gives itself in EHLO, HELO and LHLO; "
            "$myhostname is replaced. To be changed where mail leaves from an address that has "
            "another name in the DNS.",
        ),
        Used(*CLIENTS),
    ] = "$myhostname"
    smtp_fallback_relay: Annotated[
        tuple[NextHop, ...],
        Meta(
            description="Destinations that are tried, in this order, for recipients whose proper "
            "one was not found, could not be reached, or put them off (4xx): hosts with more "
            "patience or better links. They are written as relayhost is."
        ),
        Used("smtp"),
    ] = ()
    inet_protocols: Annotated[
        Literal["all", "ipv4", "ipv6"],
        Meta(
            description="The protocols that mail is sent over, and whose addresses are looked up. "
            "ipv4 spares hosts without IPv6 vain attempts. Listeners do not follow it, as they do "
            "in Postfix: a row's listen names its addresses."
        ),
        Used("resolver", *CLIENTS),
    ] = "all"
    smtp_address_preference: Annotated[
        Literal["any", "ipv4", "ipv6"],
        Meta(
            description="Which of a host's addresses are tried first; any: in random order. Both "
            "protocols are tried anyway, within smtp_mx_address_limit."
        ),
        Used(*CLIENTS),
    ] = "any"
    smtp_mx_address_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Addresses of a destination that are tried at most; half of them are kept "
            "for each protocol, where there are as many.",
        ),
        Used(*CLIENTS),
    ] = 5
    smtp_mx_session_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Hosts that a delivery has a session with, at most, before the rest of its "
            "recipients are deferred. One that cannot be reached does not count, one that greets "
            "us and then puts mail off does.",
        ),
        Used(*CLIENTS),
    ] = 2
    smtp_connect_timeout: Annotated[
        Duration,
        duration(
            "How long connecting to one address may take; then the next address is "
            "tried. Dead addresses cost this much each.",
            0.1,
        ),
        Used(*CLIENTS),
    ] = 30.0
    smtp_helo_timeout: Annotated[
        Duration,
        duration(
            "How long the server may take for its greeting, and again for its answer "
            "to EHLO, HELO or LHLO. Servers that make strangers wait need minutes.",
            0.1,
        ),
        Used(*CLIENTS),
    ] = 300.0
    smtp_starttls_timeout: Annotated[
        Duration,
        duration("How long the answer to STARTTLS, and then the handshake, may take.", 0.1),
        Used(*CLIENTS),
    ] = 300.0
    smtp_mail_timeout: Annotated[
        Duration,
        duration("How long the answer to MAIL may take (RFC 5321, 4.5.3.2.2: five minutes).", 0.1),
        Used(*CLIENTS),
    ] = 300.0
    smtp_rcpt_timeout: Annotated[
        Duration,
        duration(
            "How long the answer to RCPT may take (RFC 5321, 4.5.3.2.3: five "
            "minutes); servers look up much for it.",
            0.1,
        ),
        Used(*CLIENTS),
    ] = 300.0
    smtp_data_init_timeout: Annotated[
        Duration,
        duration("How long the answer to DATA may take (RFC 5321, 4.5.3.2.4: two minutes).", 0.1),
        Used(*CLIENTS),
    ] = 120.0
    smtp_data_xfer_timeout: Annotated[
        Duration,
        duration(
            "How long the server may take for one piece of content; a long message on "
            "a slow link takes many pieces, each with this time (RFC 5321, 4.5.3.2.5: three "
            "minutes).",
            0.1,
        ),
        Used(*CLIENTS),
    ] = 180.0
    smtp_data_done_timeout: Annotated[
        Duration,
        duration(
            "How long the answer to the end of the content may take (RFC 5321, "
            "4.5.3.2.6: ten minutes). Too short a time gives the recipient copies: the server may "
            "have taken the message.",
            0.1,
        ),
        Used(*CLIENTS),
    ] = 600.0
    smtp_rset_timeout: Annotated[
        Duration,
        duration(
            "How long the answer to RSET may take, which clears the session after a message "
            "that the server refused; a session without an answer is not used again.",
            0.1,
        ),
        Used(*CLIENTS),
    ] = 20.0
    smtp_connection_cache_time_limit: Annotated[
        Duration,
        duration(
            "How long a session without work is kept for the next message to the same "
            "place; 0: not at all. A longer time saves handshakes where mail comes at intervals; "
            "some servers count idle sessions against us. Unlike Postfix, sessions are kept for "
            "every destination, by the process that has them."
        ),
        Used(*CLIENTS),
    ] = 2.0
    smtp_connection_reuse_time_limit: Annotated[
        Duration,
        duration(
            "How old a session may be when it is used again; then it is ended, so "
            "that a server's load can move elsewhere."
        ),
        Used(*CLIENTS),
    ] = 300.0
    dns_servers: Annotated[
        tuple[NameServer, ...],
        Meta(
            description="Name servers to ask, ADDRESS or [ADDRESS]:PORT, each in turn when one is "
            "silent; none: those of /etc/resolv.conf. A resolver on this host, or near it, makes "
            "all delivery faster."
        ),
        Used("resolver"),
    ] = ()
    dns_timeout: Annotated[
        Duration,
        duration(
            "How long one look-up may take, all its retries included; then its mail "
            "is deferred. Too short a time defers mail for domains with slow servers.",
            0.1,
            300,
        ),
        Used("resolver", *CLIENTS),
    ] = 20.0
    minimal_backoff_time: Annotated[
        Duration,
        duration(
            "The least time between two attempts at a deferred message, and how long "
            "a destination that cannot be reached is left alone. A shorter time delivers sooner "
            "after an outage, and tries in vain more often.",
            0.1,
        ),
        Used("qmgr"),
    ] = 300.0
    maximal_backoff_time: Annotated[
        Duration,
        duration(
            "The most time between two attempts at a deferred message: pauses grow "
            "with its age, from minimal_backoff_time up to this.",
            0.1,
        ),
        Used("qmgr"),
    ] = 4000.0
    maximal_queue_lifetime: Annotated[
        Duration,
        duration(
            "How long a message is tried before it is returned to its sender (RFC "
            "5321, 4.5.4.1: four to five days). Messages with the null sender have "
            "bounce_queue_lifetime. 0: each message is tried once."
        ),
        Used("bounce", "qmgr"),
    ] = 5 * 86400.0
    bounce_queue_lifetime: Annotated[
        Duration,
        duration(
            "How long a message with the null sender, such as a report, is tried "
            "before the postmaster has it; 0: once. Reports to forged senders can never be "
            "delivered: a shorter time keeps them from filling the queue."
        ),
        Used("qmgr"),
    ] = 5 * 86400.0
    delay_warning_time: Annotated[
        Duration,
        duration(
            "The age at which the sender is told, once, that a message is still "
            "waiting; 0: never. Four hours are customary where people send by this host; on a "
            "relay the warnings go to strangers."
        ),
        Used("qmgr"),
    ] = 0.0
    bounce_size_limit: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**30,
            description="The largest message, in octets, that a report returns whole; of a larger "
            "one it returns the header section. Never more than half of message_size_limit.",
        ),
        Used("bounce"),
    ] = 50_000
    double_bounce_sender: Annotated[
        str,
        Meta(
            title="a local part",
            pattern=r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,62}\Z",
            description="The local part, at myhostname, that reports to the postmaster are sent "
            "from. What is sent to it is discarded, and what bounces from it is told to nobody, "
            "so that no report makes a loop.",
        ),
        Used("bounce", "local", "rewrite"),
    ] = "double-bounce"
    double_bounce_recipient: Annotated[
        str,
        Meta(
            title="an address or a local part",
            max_length=320,
            pattern=r"\A[!-~]+\Z",
            description="Who is told of bounces that cannot be returned because their sender is "
            "null: an address, or a local part at myhostname. In Postfix it is "
            "2bounce_notice_recipient, and told only if notify_classes says so.",
        ),
        Used("bounce"),
    ] = "postmaster"
    soft_bounce: Annotated[
        bool,
        Meta(
            description="A safety net for tests: what would bounce is deferred, and what smtpd "
            "would refuse for good (5xx) it refuses for now (4xx). Mail that is wrongly refused "
            "can be saved by mending the configuration; left on, nobody ever hears of a bad "
            "address."
        ),
        Used("qmgr", "smtpd"),
    ] = False
    queue_run_delay: Annotated[
        Duration,
        duration(
            "How often the queue directories are scanned for messages of which no "
            "notification came. Deferred messages are tried when they are due, whatever this "
            "says, unlike in Postfix.",
            0.1,
        ),
        Used("qmgr"),
    ] = 60.0
    qmgr_message_active_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Messages that qmgr works on at once; the others wait in their files. "
            "Each takes memory and up to two descriptors, so that the limit on open files may "
            "lower it.",
        ),
        Used("qmgr"),
    ] = 20_000
    default_destination_concurrency_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Deliveries to one destination at once, at most, and sessions that a "
            "client keeps for one; how many there are follows from success and failure. Higher "
            "for a relay host of our own, lower for hosts that object to many connections.",
        ),
        Used("qmgr", *CLIENTS),
    ] = 20
    initial_destination_concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Deliveries at once to a destination of which nothing is known yet; each "
            "success allows one more, up to default_destination_concurrency_limit.",
        ),
        Used("qmgr"),
    ] = 5
    default_destination_concurrency_failed_cohort_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="After how many rounds of failed connections in a row a destination is "
            "left alone for minimal_backoff_time; a round is as many deliveries as run in "
            "parallel. More for hosts that often refuse a connection and take the next.",
        ),
        Used("qmgr"),
    ] = 1
    default_destination_recipient_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=50,
            description="Recipients in one delivery request; a message to more of them at one "
            "destination is sent several times. At most 50, for a request is one frame between "
            "daemons.",
        ),
        Used("qmgr"),
    ] = 50
    ipc_timeout: Annotated[
        Duration,
        duration(
            "How long a daemon waits for another daemon's answer; then a client hears "
            "451, or the message is deferred. An answer takes milliseconds; a longer time helps "
            "nobody but a disk that stalls.",
            0.1,
        ),
        Used(
            "bounce",
            "cleanup",
            "local",
            "lookup",
            "pickup",
            "qmgr",
            "rewrite",
            "showq",
            "smtpd",
            "virtual",
            *CLIENTS,
        ),
    ] = 60.0
    delivery_timeout: Annotated[
        Duration,
        duration(
            "How long qmgr waits for a delivery agent's answer, which may be a large "
            "message on a slow link. Then the recipients are deferred, and whoever was delivered "
            "meanwhile gets a second copy. It should exceed the sum of the smtp timeouts.",
            1,
        ),
        Used("local", "pipe", "qmgr"),
    ] = 3600.0
    service_checkin_time: Annotated[
        Duration,
        duration(
            "How long a new process may take until it is ready; then it is killed, "
            "and its row tried again later. Also, but for a fifth, how long a new qmgr waits for "
            "its predecessor to end. More for a host so slow or loaded that daemons cannot start.",
            0.1,
            300,
        ),
        Used("master", "qmgr"),
    ] = 10.0
    service_throttle_time: Annotated[
        Duration,
        duration(
            "The longest pause before a row whose processes fail is tried again; "
            "pauses double from 1 s up to this. What is failing is said in `mta status`.",
            1,
            3600,
        ),
        Used("master"),
    ] = 60.0
