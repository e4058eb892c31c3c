"""A message to the place of a mailbox; all calls block."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain

from mta.config.parameters import Parameters
from mta.daemons.virtual.places import Place
from mta.delivery.content import ContentReader
from mta.delivery.failures import FULL, mailbox_failure
from mta.delivery.folders import open_folders
from mta.delivery.mailbox_locks import Patience
from mta.delivery.mailboxes import KnownMailboxes
from mta.delivery.maildir import MaildirNames, crlf_to_lf, open_base, open_maildir
from mta.delivery.maildir_quota import Quota, QuotaKeeper
from mta.delivery.mbox import append_to_mbox
from mta.delivery.trace import trace, was_delivered_to
from mta.ipc.messages import Deliver, DeliverRecipient
from mta.proto.status import MailError, Status, permanent, temporary
from mta.util.descriptors import close_read

__all__ = ["VirtualMailboxes"]


class VirtualMailboxes:
    """All mailboxes below one directory."""

    def __init__(self, parameters: Parameters) -> None:
        self._base_path = parameters.virtual_mailbox_base
        self._header_limit = parameters.header_size_limit
        self._size_limit = parameters.virtual_mailbox_limit
        self._locks = parameters.virtual_mailbox_lock
        self._patience = Patience(
            parameters.deliver_lock_attempts * parameters.deliver_lock_delay,
            parameters.deliver_lock_delay,
            parameters.stale_lock_time,
        )
        self._names = MaildirNames(parameters.myhostname)
        self._known = KnownMailboxes()
        self._quota = QuotaKeeper(
            Quota(parameters.virtual_maildir_quota, parameters.virtual_maildir_quota_messages)
        )

    def deliver(
        self,
        request: Deliver,
        recipient: DeliverRecipient,
        content: ContentReader,
        place: Place,
    ) -> Status:
        """Deliver to one mailbox; the status names the file. MailError: it was not delivered."""
        if was_delivered_to(content.headers(self._header_limit), recipient.address):
            permanent("5.4.6", "mail forwarding loop", code=554)
        try:
            base = open_base(self._base_path)
        except OSError as error:
            temporary("4.3.5", "the mailboxes are not there", str(error))
        try:
            copy = _Copy(request.sender, recipient, content)
            if place.is_maildir:
                return self._to_maildir(base, place, copy)
            return self._to_mbox(base, place, copy)
        finally:
            close_read(base)

    def _to_mbox(self, base: int, place: Place, copy: "_Copy") -> Status:
        *folders, name = place.names
        try:
            folder = open_folders(base, folders)
        except OSError as error:
            raise mailbox_failure("/".join(place.names), error) from error
        try:
            append_to_mbox(
                folder,
                name,
                copy.sender,
                copy.pieces(),
                self._size_limit,
                self._locks,
                self._patience,
            )
        finally:
            close_read(folder)
        return Status(250, "2.0.0", f"delivered to mailbox {self._path(*place.names)}")

    def _to_maildir(self, base: int, place: Place, copy: "_Copy") -> Status:
        name = self._names.new()
        pieces: Iterable[bytes] = copy.pieces()
        if self._size_limit:
            pieces = _limited(pieces, self._size_limit)
        with open_maildir(base, place.names, self._known) as maildir:
            room = self._quota.room(maildir.folder, copy.pieces)
            name += room.suffix
            maildir.deliver(name, pieces)
            room.take()
        path = self._path(*place.names, "new", name)
        return Status(250, "2.0.0", f"delivered to maildir {path}")

    def _path(self, *names: str) -> str:
        return os.path.join(self._base_path, *names)


class _Copy:
    """The message as one recipient's mailbox has it."""

    def __init__(self, sender: str, recipient: DeliverRecipient, content: ContentReader) -> None:
        self.sender = sender
        self._recipient = recipient
        self._content = content

    def pieces(self) -> Iterator[bytes]:
        """Its octets, as often as they are wanted."""
        fields = trace(self.sender, self._recipient)
        return chain([fields], crlf_to_lf(self._content.chunks()))


def _limited(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise MailError(FULL, f"a message of more than {limit} octets")
        yield piece
