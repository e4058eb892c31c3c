"""What final delivery adds to a message, and how a message that comes again is known by it."""

from mta.ipc.messages import DeliverRecipient

__all__ = ["delivered_to", "trace", "was_delivered_to"]


def trace(sender: str, recipient: DeliverRecipient) -> bytes:
    """The fields that a mailbox's copy begins with (RFC 5321, 4.4; RFC 9228); lines end in LF."""
    return (
        f"Return-Path: <{sender}>\n"
        f"X-Original-To: {recipient.original or recipient.address}\n"
        f"Delivered-To: {recipient.address}\n"
    ).encode()


def delivered_to(headers: bytes) -> frozenset[str]:
    """The recipients that Delivered-To fields name, folded or not, in lower case (RFC 9228)."""
    unfolded = headers.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    found = set()
    for line in unfolded.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"delivered-to":
            found.add(value.strip().lower().decode("ascii", "replace"))
    return frozenset(found)


def was_delivered_to(headers: bytes, recipient: str) -> bool:
    """Whether a Delivered-To field names the recipient, in whatever case."""
    return recipient.lower() in delivered_to(headers)
