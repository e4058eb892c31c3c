"""Every message that one daemon may send to another: the whole internal protocol on one page.

A service is a request union and a reply union. Frames are msgpack arrays of at most `FRAME_LIMIT`
octets on SEQPACKET sockets: `[version, number, body]`, where a reply bears its request's number.
What arrives is gossip: it is decoded against these types and bounds, or the connection is closed.
"""

import enum
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, Struct

from mta.lookup.table import VALUE_LIMIT, Key
from mta.proto.envelope import Address, HostName, Origin, Recipient
from mta.proto.status import Disposition, ReportKind, Status

__all__ = [
    "ARRIVED_LIMIT",
    "CONTENT_BESIDE_RECIPIENTS",
    "CONTENT_LIMIT",
    "EXPANDED_LIMIT",
    "FRAME_LIMIT",
    "NONE_LEFT_OUT",
    "PROTOCOL_VERSION",
    "RECIPIENTS_LIMIT",
    "VALUE_LIMIT",
    "Accepted",
    "AddressRole",
    "Arrived",
    "Begin",
    "BounceReply",
    "BounceRequest",
    "CleanupRequest",
    "CommandEnded",
    "Committed",
    "Deliver",
    "DeliverRecipient",
    "DeliveryReply",
    "DeliveryRequest",
    "Disposition",
    "DomainClass",
    "Dropped",
    "Expand",
    "Expanded",
    "FileRead",
    "FileState",
    "Find",
    "FindAddresses",
    "FindMailHosts",
    "Flush",
    "FlushDomain",
    "Found",
    "GiveUp",
    "Goodbye",
    "HostAddresses",
    "Key",
    "ListQueue",
    "Listed",
    "LocalUser",
    "LookupReply",
    "LookupRequest",
    "MailHost",
    "MailHosts",
    "MailboxKind",
    "MailuserReply",
    "MailuserRequest",
    "More",
    "NextHop",
    "Outcome",
    "Outcomes",
    "PickupReply",
    "PickupRequest",
    "QmgrReply",
    "QmgrRequest",
    "QueueId",
    "QueuedMessage",
    "QueuedRecipient",
    "ReadFile",
    "Refused",
    "Report",
    "ReportKind",
    "Reported",
    "Resolve",
    "Resolved",
    "ResolverReply",
    "ResolverRequest",
    "Rewrite",
    "RewriteReply",
    "RewriteRequest",
    "Rewritten",
    "RunCommand",
    "ShowqReply",
    "ShowqRequest",
    "StoreMessage",
    "Stored",
]

PROTOCOL_VERSION: Final = 1
FRAME_LIMIT: Final = 65536  # octets, header included
CONTENT_LIMIT: Final = 60_000  # octets of message content in one frame: it fits FRAME_LIMIT
CONTENT_BESIDE_RECIPIENTS: Final = 32_768  # octets of it where the frame has recipients, too
RECIPIENTS_LIMIT: Final = 40  # recipients in one frame
ARRIVED_LIMIT: Final = 1000  # queue ids in one frame
EXPANDED_LIMIT: Final = 1000  # recipients in one frame, as far as their octets fit it

_QUEUE_ID: Final = "[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]{22}"
QueueId = Annotated[str, Meta(pattern=rf"\A{_QUEUE_ID}\Z")]
# What a transport makes of it: a domain, "[host]:port", a socket's path, a status and its text.
NextHop = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
Epoch = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Content = Annotated[bytes, Meta(max_length=CONTENT_LIMIT)]
Recipients = Annotated[tuple[Recipient, ...], Meta(max_length=RECIPIENTS_LIMIT)]


class Message(Struct, frozen=True, array_like=True, tag=True):
    """What all messages share: a frozen array whose first item names the type."""

    descriptors: ClassVar[int] = 0  # how many come with the frame, no more and no fewer
    answered: ClassVar[bool] = True  # whether a reply follows


class Goodbye(Message, frozen=True):
    """A retiring server: requests numbered above `last` will not be answered here. Number 0."""

    last: Annotated[int, Meta(ge=0)]


class Refused(Message, frozen=True):
    """The request failed; `status` is for the peer, `reason` for the log."""

    status: Status
    reason: Annotated[str, Meta(max_length=1024)] = ""


# rewrite: an address -> what it becomes, and where mail for it goes. Idempotent.
#
# Each reply bears an `epoch`: it changes whenever a table, or the configuration, has changed, and
# what was remembered of an older one is worth nothing.


class DomainClass(enum.Enum):
    """Postfix's address classes, as far as routing needs them (ADDRESS_CLASS_README)."""

    LOCAL = "local"  # mydestination: this host's own users
    ALIAS = "alias"  # virtual alias domain: every address there is an alias of another
    VIRTUAL = "virtual"  # virtual mailbox domain: the final destination is here
    RELAY = "relay"  # taken from anybody for another host: relay_domains
    DEFAULT = "default"  # any other domain: relayed for those who may


class Resolve(Message, frozen=True):
    """Ask for the canonical form and the route of one recipient.

    `sender` counts where sender_dependent_relayhost_maps is set. `listed` asks whether the address
    exists, as smtpd wants to know of what a client names.
    """

    address: Address
    sender: Address = ""
    listed: bool = False


class Resolved(Message, frozen=True):
    """The route of an address; an empty `transport` means that this host carries no such mail.

    `refusal` is what a client is to hear who names an address that does not exist or has moved.
    """

    address: Address
    domain_class: DomainClass
    transport: HostName
    nexthop: NextHop
    epoch: Epoch = 0
    refusal: Status | None = None


class AddressRole(enum.Enum):
    """Where an address stands: what applies to it depends on that."""

    ENVELOPE_SENDER = "envelope_sender"
    HEADER_SENDER = "header_sender"  # From, Sender, Reply-To, ...
    HEADER_RECIPIENT = "header_recipient"  # To, Cc, ...
    GENERIC = "generic"  # any address of a message that leaves over SMTP: smtp_generic_maps alone


class Rewrite(Message, frozen=True):
    """Ask what an address of a message becomes where it stands: completed, canonical, masked."""

    address: Address
    role: AddressRole


class Rewritten(Message, frozen=True):
    """The address as it should stand there. `copy` is who gets a copy of what it sends, or ""."""

    address: Address
    epoch: Epoch
    copy: Address = ""


class Expand(Message, frozen=True):
    """Ask whom mail for one recipient is for, once canonical and alias tables have been asked.

    The recipients from the one with that number on: they may be more than a frame holds.
    """

    address: Address
    first: Annotated[int, Meta(ge=0)] = 0


class Expanded(Message, frozen=True):
    """Recipients in the order of the tables, without repetition; `more` if the frame is full."""

    addresses: Annotated[tuple[Address, ...], Meta(max_length=EXPANDED_LIMIT)]
    more: bool
    epoch: Epoch
    copy: Address = ""  # who gets a copy of what this recipient gets


RewriteRequest = Resolve | Rewrite | Expand
RewriteReply = Resolved | Rewritten | Expanded | Refused | Goodbye


# lookup: keys -> what the tables of a parameter have for the first of them. Idempotent.


class Find(Message, frozen=True):
    """Ask the tables of a parameter, as a row sees it, for the first key that one of them has."""

    row: Annotated[str, Meta(max_length=32)]
    parameter: Annotated[str, Meta(max_length=64)]
    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=16)]


class Found(Message, frozen=True):
    """The number of the key that a table has, and its value there; -1 if none has any.

    Refused with 451 4.3.0 if a table fails, is missing or damaged: nothing is known then.
    """

    key: Annotated[int, Meta(ge=-1)]
    value: Annotated[str, Meta(max_length=VALUE_LIMIT)]


LookupRequest = Find
LookupReply = Found | Refused | Goodbye


# cleanup: one message a conversation, one conversation at a time on a connection.


class Begin(Message, frozen=True):
    """Open a transaction: envelope, and as much of recipients and content as fits."""

    sender: Address
    origin: Origin
    body_8bit: bool
    recipients: Recipients
    content: Content
    last: bool  # the message is complete with this frame


class More(Message, frozen=True):
    """Go on with the transaction: recipients first, then content."""

    recipients: Recipients
    content: Content
    last: bool


class Committed(Message, frozen=True):
    """The message is on stable storage under this queue id: it may be acknowledged."""

    queue_id: QueueId


CleanupRequest = Begin | More
CleanupReply = Committed | Refused | Goodbye


# pickup: as cleanup, for every user of the host; the origin of a message is not his to say.


class Dropped(Message, frozen=True):
    """There is a file in the maildrop. No reply."""

    answered: ClassVar[bool] = False


PickupRequest = Begin | More | Dropped
PickupReply = CleanupReply


# qmgr: notifications, which may be lost; and requests of an operator.


class Arrived(Message, frozen=True):
    """Messages were committed to incoming. No reply."""

    answered: ClassVar[bool] = False

    queue_ids: Annotated[tuple[QueueId, ...], Meta(min_length=1, max_length=ARRIVED_LIMIT)]


class Flush(Message, frozen=True):
    """Try deferred mail now: one message, or all of it when `queue_id` is empty."""

    queue_id: Annotated[str, Meta(pattern=rf"\A(?:{_QUEUE_ID})?\Z")] = ""


class GiveUp(Message, frozen=True):
    """Return one message to its sender now, whatever its age: an operator wants that."""

    queue_id: QueueId


class Accepted(Message, frozen=True):
    """The operator's request is in hand; `count` messages are concerned."""

    count: Annotated[int, Meta(ge=0)]


QmgrRequest = Arrived | Flush | GiveUp
QmgrReply = Accepted | Refused | Goodbye


# showq: what every user of the host may ask of the queue, as far as he is permitted to. Idempotent.


class ListQueue(Message, frozen=True):
    """List all messages by age: answered by any number of `Listed` under the request's number.

    Refused with 550 5.7.1 who is not permitted to; a failure may come behind parts of the list.
    """


class QueuedRecipient(Struct, frozen=True, array_like=True):
    """A recipient that is not finished; `status` is the last word on it, empty if none."""

    address: Address
    status: Annotated[str, Meta(max_length=600)]


class QueuedMessage(Struct, frozen=True, array_like=True):
    """One message, or its further recipients: what does not fit a frame goes on in the next."""

    queue_id: QueueId
    state: Literal["incoming", "deferred", "hold"]
    size: Annotated[int, Meta(ge=0)]  # octets of the content
    arrived: float  # seconds since the epoch
    attempts: Annotated[int, Meta(ge=0)]
    next_attempt: float  # seconds since the epoch; 0: as soon as possible
    sender: Address
    reason: Annotated[str, Meta(max_length=1024)]  # of the last deferral
    recipients: Annotated[tuple[QueuedRecipient, ...], Meta(max_length=1000)]


class Listed(Message, frozen=True):
    """A part of the list; `more` but for the last, where `damaged` files are counted."""

    messages: Annotated[tuple[QueuedMessage, ...], Meta(max_length=1000)]
    more: bool
    damaged: Annotated[int, Meta(ge=0)] = 0


class FlushDomain(Message, frozen=True):
    """Try now what is deferred for a domain: answered as `Flush` is, which showq takes as well."""

    domain: HostName


ShowqRequest = ListQueue | Flush | FlushDomain
ShowqReply = Listed | Accepted | Refused | Goodbye


# delivery agents: a descriptor of the queue file and recipients -> an outcome for each.


class DeliverRecipient(Struct, frozen=True, array_like=True):
    """One recipient of a request; `index` is its place in the queue file's envelope."""

    index: Annotated[int, Meta(ge=0)]
    address: Address
    original: Address


class Deliver(Message, frozen=True):
    """Deliver the message behind the one descriptor that comes with this frame.

    The content is the `content_length` octets at `content_offset` of that file: read with pread,
    for the descriptor's position is shared. The descriptor is read-only and carries a shared lock
    (flock) that lives as long as the agent keeps it open: keep it open until the reply is sent.
    """

    descriptors: ClassVar[int] = 1

    queue_id: QueueId
    sender: Address
    recipients: Annotated[tuple[DeliverRecipient, ...], Meta(min_length=1, max_length=50)]
    nexthop: NextHop
    arrived: float  # seconds since the epoch
    content_offset: Annotated[int, Meta(ge=0)]
    content_length: Annotated[int, Meta(ge=0)]
    body_8bit: bool = False  # the client declared BODY=8BITMIME (RFC 6152)


class Outcome(Struct, frozen=True, array_like=True):
    """The outcome of one recipient; `relay` names where it went, as in Postfix's log."""

    index: Annotated[int, Meta(ge=0)]
    disposition: Disposition
    status: Status
    relay: Annotated[str, Meta(max_length=320)]


class Outcomes(Message, frozen=True):
    """One outcome for each recipient of the request, in any order.

    `unreachable` says that no host of the destination would begin a session: another message would
    fare the same, so the queue manager need not try for a while.
    """

    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=50)]
    unreachable: bool = False


DeliveryRequest = Deliver
DeliveryReply = Outcomes | Refused | Goodbye


# mailuser: what is done as a user of this host and with no other power. Each request is a process.

_PREFIX_LIMIT: Final = 8192  # octets put before a message: From_ line, Return-Path, Delivered-To
_PATH = Annotated[str, Meta(min_length=1, max_length=4095, pattern=r"\A/[^\x00-\x1f\x7f]*\Z")]
_VARIABLE = Annotated[str, Meta(max_length=64, pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z")]
_VALUE = Annotated[str, Meta(max_length=8192, pattern=r"\A[^\x00]*\Z")]
LocalUser = Annotated[str, Meta(max_length=32, pattern=r"\A[a-z_A-Z0-9][a-zA-Z0-9._-]*\$?\Z")]


class FileState(enum.Enum):
    """What became of reading a file."""

    READ = "read"
    MISSING = "missing"
    UNSAFE = "unsafe"  # not his, writable for others, no plain file, too large: as if missing


class ReadFile(Message, frozen=True):
    """Read a file of a user's as that user: .forward, :include:. At most `limit` octets."""

    user: LocalUser
    path: _PATH
    limit: Annotated[int, Meta(ge=1, le=50_000)]


class FileRead(Message, frozen=True):
    """The content; `reason` says what is unsafe. What cannot be known is Refused with 451."""

    state: FileState
    content: Annotated[bytes, Meta(max_length=50_000)] = b""
    reason: Annotated[str, Meta(max_length=512)] = ""


class MailboxKind(enum.Enum):
    """The form of a mailbox."""

    MBOX = "mbox"
    MAILDIR = "maildir"


class StoreMessage(Message, frozen=True):
    """Append the message behind the one descriptor, as in `Deliver`, to a mailbox of a user's.

    `prefix` comes before the content: header lines, ending in LF; a From_ line is the server's for
    an mbox. `size_limit` is in octets of the mailbox file, 0: none. `locks`: as in
    mailbox_delivery_lock, in that order.
    """

    descriptors: ClassVar[int] = 1

    user: LocalUser
    kind: MailboxKind
    path: _PATH
    sender: Address
    prefix: Annotated[bytes, Meta(max_length=_PREFIX_LIMIT)]
    content_offset: Annotated[int, Meta(ge=0)]
    content_length: Annotated[int, Meta(ge=0)]
    size_limit: Annotated[int, Meta(ge=0)]
    locks: Annotated[tuple[Literal["fcntl", "flock", "dotlock"], ...], Meta(max_length=3)]


class Stored(Message, frozen=True):
    """What became of it: 2xx it is in the mailbox and on the disk, 4xx and 5xx it is not there."""

    status: Status


class RunCommand(Message, frozen=True):
    """Run a command of a user's with the message behind the one descriptor on standard input.

    `arguments` are executed as they are; where `shell` is set they are one text for /bin/sh -c.
    The environment is these variables and nothing else. `seconds`: then the whole process group is
    killed. At most some kilobytes of output are kept.
    """

    descriptors: ClassVar[int] = 1

    user: LocalUser
    arguments: Annotated[
        tuple[Annotated[str, Meta(max_length=8192, pattern=r"\A[^\x00]*\Z")], ...],
        Meta(min_length=1, max_length=200),
    ]
    shell: bool
    directory: _PATH
    environment: Annotated[tuple[tuple[_VARIABLE, _VALUE], ...], Meta(max_length=60)]
    prefix: Annotated[bytes, Meta(max_length=_PREFIX_LIMIT)]
    content_offset: Annotated[int, Meta(ge=0)]
    content_length: Annotated[int, Meta(ge=0)]
    crlf: bool  # lines end in CRLF instead of LF
    seconds: Annotated[float, Meta(gt=0, le=86_400)]


class CommandEnded(Message, frozen=True):
    """How a command ended: its exit status, or minus the signal that ended it."""

    status: Annotated[int, Meta(ge=-64, le=255)]
    timed_out: bool
    output: Annotated[bytes, Meta(max_length=8192)]


MailuserRequest = ReadFile | StoreMessage | RunCommand
MailuserReply = FileRead | Stored | CommandEnded | Refused | Goodbye


# bounce: a descriptor of the queue file -> a report to the sender, made from the file's journal.


class Report(Message, frozen=True):
    """Tell the sender of the message behind the one descriptor what became of it.

    FAILURE: of the recipients that bounced and that no earlier report told of. DELAY: of those that
    are still waiting. The descriptor is as in `Deliver`. Not idempotent: a repeated request makes
    a second report.
    """

    descriptors: ClassVar[int] = 1

    kind: ReportKind
    queue_id: QueueId


class Reported(Message, frozen=True):
    """The report is on stable storage under this queue id; empty: there is nobody to tell."""

    queue_id: Annotated[str, Meta(pattern=rf"\A(?:{_QUEUE_ID})?\Z")]


BounceRequest = Report
BounceReply = Reported | Refused | Goodbye


# resolver: names -> hosts and addresses, from the DNS. Idempotent.

IpAddress = Annotated[str, Meta(max_length=45, pattern=r"\A[0-9A-Fa-f:.]+\Z")]
Addresses = Annotated[tuple[IpAddress, ...], Meta(max_length=100)]


class FindMailHosts(Message, frozen=True):
    """Ask for the hosts that take mail for a domain (RFC 5321, 5.1).

    Refused: 550 5.1.2 the domain does not exist, 5.4.4 it has neither MX nor address; 556 5.1.10 it
    takes no mail (null MX, RFC 7505); 451 4.4.3 the DNS does not answer.
    """

    domain: HostName


class FindAddresses(Message, frozen=True):
    """Ask for the addresses of one host, no MX looked at. Refused: as for `FindMailHosts`."""

    name: HostName


class MailHost(Struct, frozen=True, array_like=True):
    """One host of a domain; its addresses as the DNS gave them, in no order of preference."""

    preference: Annotated[int, Meta(ge=0, le=65535)]
    name: HostName
    addresses: Addresses


NONE_LEFT_OUT: Final = 65536  # worse than any preference


class MailHosts(Message, frozen=True):
    """The hosts by preference, the best first; one without addresses is left out.

    `implicit`: the domain has no MX and is its own host. `secure`: DNSSEC vouches for all of it.
    `left_out`: the best preference of a host that was left out. Who finds itself among the hosts,
    and no better one, must not take mail for looping when a better one was left out.
    """

    hosts: Annotated[tuple[MailHost, ...], Meta(min_length=1, max_length=100)]
    implicit: bool
    secure: bool = False
    left_out: Annotated[int, Meta(ge=0, le=65536)] = NONE_LEFT_OUT


class HostAddresses(Message, frozen=True):
    """The addresses of one host; `secure` as above."""

    addresses: Annotated[tuple[IpAddress, ...], Meta(min_length=1, max_length=100)]
    secure: bool = False


ResolverRequest = FindMailHosts | FindAddresses
ResolverReply = MailHosts | HostAddresses | Refused | Goodbye
