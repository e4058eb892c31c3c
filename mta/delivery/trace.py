"""What final delivery adds to a message, and how a message that comes again is known by it."""

from mta.ipc.messages import DeliverRecipient

__all__ = ["trace", "was_delivered_to"]


def trace(sender: str, recipient: DeliverRecipient) -> bytes:
    """The fields that a mailbox's copy begins with (RFC 5321, 4.4; RFC 9228); lines end in LF."""
    return (
        f"Return-Path: <{sender}>\n"
        f"X-Original-To: {recipient.original or recipient.address}\n"
        f"Delivered-To: {recipient.address}\n"
    ).encode()


def was_delivered_to(headers: bytes, recipient: str) -> bool:
    """Whether a Delivered-To field names the recipient, folded or not, in whatever case."""
    own = recipient.lower().encode()
    unfolded = headers.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    for line in unfolded.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"delivered-to" and value.strip().lower() == own:
            return True
    return False
