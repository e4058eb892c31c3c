"""Writing to a mailbox of a user's, with nothing but the user's own rights.

The law: what the user could not write to himself is not written to. The folders on the way may be
links, for whoever made them had the right to; the mailbox itself may not (mta.delivery.mbox,
mta.delivery.maildir). /dev/null, which aliases(5) has for mail that nobody wants, takes everything.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from mta.daemons.mailuser.user import Spool
from mta.delivery.content import ContentReader
from mta.delivery.failures import mailbox_failure
from mta.delivery.mailbox_locks import Lock
from mta.delivery.mailboxes import KnownMailboxes
from mta.delivery.maildir import MaildirNames, crlf_to_lf, deliver_to_maildir, open_base
from mta.delivery.mbox import append_to_mbox
from mta.ipc.messages import MailboxKind, Stored, StoreMessage
from mta.proto.status import Status, permanent
from mta.util.descriptors import close_read

__all__ = ["store_message"]

_NOWHERE: Final = "/dev/null"


def store_message(
    request: StoreMessage, content: ContentReader, host: str, spool: Spool | None
) -> Stored:
    """Store the message as the process' user; MailError: it is not there.

    `host` is part of names that are unique on all hosts. `spool` is the folder of an mbox that was
    opened already, with the group that it needs.
    """
    pieces = _pieces(request.prefix, content)
    match request.kind:
        case MailboxKind.MBOX if os.path.normpath(request.path) == _NOWHERE:
            return Stored(Status(250, "2.0.0", f"delivered to file: {_NOWHERE}"))
        case MailboxKind.MBOX:
            folder, name = os.path.split(request.path)
            if name in ("", ".", ".."):
                permanent("5.3.5", "mailbox is a folder", request.path)
            opened = None if spool is None else spool.descriptor
            with closing(_Folder(folder, opened)) as place:
                append_to_mbox(
                    place.descriptor,
                    name,
                    request.sender,
                    pieces,
                    request.size_limit,
                    place.possible(request.locks),
                )
            return Stored(Status(250, "2.0.0", "delivered to mailbox"))
        case MailboxKind.MAILDIR:
            base, folders = _maildir_place(request.path)
            with closing(_Folder(base)) as place:
                name = MaildirNames(host).new()
                deliver_to_maildir(place.descriptor, folders, name, pieces, KnownMailboxes())
            return Stored(Status(250, "2.0.0", "delivered to maildir"))


def _pieces(prefix: bytes, content: ContentReader) -> Iterator[bytes]:
    yield prefix
    yield from crlf_to_lf(content.chunks())


class _Folder:
    """An open folder; MailError, as of a mailbox, when it cannot be had."""

    def __init__(self, path: str, opened: int | None = None) -> None:
        try:
            self.descriptor = open_base(path) if opened is None else opened
        except OSError as error:
            raise mailbox_failure(path, error) from error

    def possible(self, locks: tuple[Lock, ...]) -> tuple[Lock, ...]:
        """The locks without a lock file where the user cannot make one, if another lock is left.

        As in Postfix: a file in another's folder is locked by its own locks alone.
        """
        others = tuple(lock for lock in locks if lock != "dotlock")
        if others and not os.access(".", os.W_OK | os.X_OK, dir_fd=self.descriptor):
            return others
        return locks

    def close(self) -> None:
        """Close it."""
        close_read(self.descriptor)


def _maildir_place(path: str) -> tuple[str, list[str]]:
    """The folder on the way to a Maildir that is there already, and the names from there on."""
    base, name = os.path.split(os.path.realpath(path))
    folders = [name]
    while not os.path.isdir(base):
        base, name = os.path.split(base)
        folders.insert(0, name)
    return base, folders
