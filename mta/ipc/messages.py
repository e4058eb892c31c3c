"""Every message that one daemon may send to another: the whole internal protocol on one page.

A service is a request union and a reply union. Frames are msgpack arrays of at most `FRAME_LIMIT`
octets on SEQPACKET sockets: `[version, number, body]`, where a reply bears its request's number.
What arrives is gossip: it is decoded against these types and bounds, or the connection is closed.
"""

import enum
from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct

from mta.proto.envelope import Address, HostName, Origin, Recipient
from mta.proto.status import Disposition, Status

__all__ = [
    "CONTENT_LIMIT",
    "FRAME_LIMIT",
    "PROTOCOL_VERSION",
    "RECIPIENTS_LIMIT",
    "Accepted",
    "Arrived",
    "Begin",
    "CleanupRequest",
    "Committed",
    "Deliver",
    "DeliverRecipient",
    "DeliveryReply",
    "DeliveryRequest",
    "Disposition",
    "DomainClass",
    "Flush",
    "Goodbye",
    "More",
    "Outcome",
    "Outcomes",
    "QmgrReply",
    "QmgrRequest",
    "QueueId",
    "Refused",
    "Resolve",
    "Resolved",
    "RewriteReply",
    "RewriteRequest",
]

PROTOCOL_VERSION: Final = 1
FRAME_LIMIT: Final = 65536  # octets, header included
CONTENT_LIMIT: Final = 32768  # octets of message content in one frame
RECIPIENTS_LIMIT: Final = 40  # recipients in one frame: with CONTENT_LIMIT it fits FRAME_LIMIT

_QUEUE_ID: Final = "[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]{22}"
QueueId = Annotated[str, Meta(pattern=rf"\A{_QUEUE_ID}\Z")]
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


# rewrite: an address -> where it goes. Idempotent.


class DomainClass(enum.Enum):
    """Postfix's address classes, as far as routing needs them (ADDRESS_CLASS_README)."""

    VIRTUAL = "virtual"  # virtual mailbox domain: the final destination is here
    DEFAULT = "default"  # any other domain: relayed for those who may


class Resolve(Message, frozen=True):
    """Ask for the canonical form and the route of one envelope address."""

    address: Address


class Resolved(Message, frozen=True):
    """The route of an address; an empty `transport` means that this host carries no such mail."""

    address: Address
    domain_class: DomainClass
    transport: HostName
    nexthop: HostName


RewriteRequest = Resolve
RewriteReply = Resolved | Refused | Goodbye


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


# qmgr: notifications, which may be lost; and requests of an operator.


class Arrived(Message, frozen=True):
    """A message was committed to incoming. No reply."""

    answered: ClassVar[bool] = False

    queue_id: QueueId


class Flush(Message, frozen=True):
    """Try deferred mail now: one message, or all of it when `queue_id` is empty."""

    queue_id: Annotated[str, Meta(pattern=rf"\A(?:{_QUEUE_ID})?\Z")] = ""


class Accepted(Message, frozen=True):
    """The operator's request is in hand; `count` messages are concerned."""

    count: Annotated[int, Meta(ge=0)]


QmgrRequest = Arrived | Flush
QmgrReply = Accepted | Refused | Goodbye


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
    nexthop: HostName
    arrived: float  # seconds since the epoch
    content_offset: Annotated[int, Meta(ge=0)]
    content_length: Annotated[int, Meta(ge=0)]


class Outcome(Struct, frozen=True, array_like=True):
    """The outcome of one recipient; `relay` names where it went, as in Postfix's log."""

    index: Annotated[int, Meta(ge=0)]
    disposition: Disposition
    status: Status
    relay: Annotated[str, Meta(max_length=320)]


class Outcomes(Message, frozen=True):
    """One outcome for each recipient of the request, in any order."""

    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=50)]


DeliveryRequest = Deliver
DeliveryReply = Outcomes | Refused | Goodbye
