"""The message as a command gets it: what pipe_flags put before, into and behind it.

F From_ line    R Return-Path    O X-Original-To    D Delivered-To
. and >         before lines that begin with "." and "From "
B               an empty line at the end
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from mta.delivery.lines import ended, quoted
from mta.delivery.maildir import crlf_to_lf
from mta.delivery.mbox import from_line
from mta.ipc.messages import DeliverRecipient

__all__ = ["formed"]


def formed(
    chunks: Iterable[bytes], flags: str, sender: str, recipient: DeliverRecipient, *, crlf: bool
) -> Iterator[bytes]:
    """The pieces of the message; `chunks` are its content, whose lines end in CRLF.

    `sender` is what stands for the null sender, too. `recipient` counts where O or D is set.
    """
    pieces: Iterable[bytes] = crlf_to_lf(chunks)
    for flag, start, mark in ((".", b".", b"."), (">", b"From ", b">")):
        if flag in flags:
            pieces = quoted(pieces, start, mark)
    pieces = ended(pieces, b"\n" if "B" in flags else b"")
    pieces = chain([_beginning(flags, sender, recipient)], pieces)
    # None is empty, for a pipe that is written nothing may be taken for one that is full.
    return (piece.replace(b"\n", b"\r\n") if crlf else piece for piece in pieces if piece)


def _beginning(flags: str, sender: str, recipient: DeliverRecipient) -> bytes:
    lines = from_line(sender) if "F" in flags else b""
    fields = {
        "R": f"Return-Path: <{sender}>\n",
        "O": f"X-Original-To: {recipient.original or recipient.address}\n",
        "D": f"Delivered-To: {recipient.address}\n",
    }
    return lines + "".join(text for flag, text in fields.items() if flag in flags).encode()
