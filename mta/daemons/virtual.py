"""The delivery agent for virtual mailbox domains: Maildirs of people without a UNIX account.

NAME
    virtual - Posthouse's delivery agent for virtual mailboxes

DESCRIPTION
    Delivers to the Maildir BASE/DOMAIN/USER/, where BASE is virtual_mailbox_base and USER the local
    part in lower case; folders are made as needed. The message gets Return-Path, X-Original-To
    and Delivered-To in front, and line ends as UNIX has them. A message that was delivered to the
    same address before (Delivered-To) loops, and bounces. What killed deliveries left in tmp/ is
    removed after 36 hours, when a process first delivers to the mailbox.

SECURITY
    Writes below virtual_mailbox_base and nowhere else. No folder is entered through a symbolic
    link. An address never names a path: a local part with "/" or NUL, or with a leading ".", has
    no mailbox.

STANDARDS
    RFC 5321, 4.4 (Return-Path), 4.5.1 (postmaster); RFC 9228 (Delivered-To); maildir(5)

DIAGNOSTICS
    One event `delivery` a recipient. Problems of a mailbox are deferrals: 4.2.0 what is there is
    no directory, 4.2.2 full, 4.3.0 not writable, 4.3.1 no space, 4.3.5 not configured. Bounces:
    5.1.3 no mailbox can have that name, 5.4.6 loop.

CONFIGURATION PARAMETERS
    virtual_mailbox_base virtual_mailbox_domains myhostname header_size_limit
"""

from collections.abc import Iterator
from typing import Final

from mta.config.parameters import Parameters
from mta.delivery.agent import BlockingDelivery, DeliveryAgent
from mta.delivery.content import ContentReader
from mta.delivery.mailboxes import KnownMailboxes
from mta.delivery.maildir import MaildirNames, crlf_to_lf, deliver_to_maildir, open_base
from mta.ipc.messages import Deliver, DeliverRecipient
from mta.master.daemon import Context, Needs, run
from mta.proto import address
from mta.proto.status import Status, permanent, temporary
from mta.util.descriptors import close_read

__all__ = ["NEEDS", "VirtualHandler", "VirtualMailboxes"]

NEEDS = Needs(write=("$virtual_mailbox_base",))

_THREADS: Final = 16  # deliveries that wait for the disk at once
_NAME_LIMIT: Final = 255  # octets of a folder's name: NAME_MAX


class VirtualMailboxes:
    """All mailboxes below one directory; its calls block."""

    def __init__(self, parameters: Parameters) -> None:
        self._base_path = parameters.virtual_mailbox_base
        self._domains = frozenset(parameters.virtual_mailbox_domains)
        self._hostname = parameters.myhostname
        self._header_limit = parameters.header_size_limit
        self._names = MaildirNames(parameters.myhostname)
        self._known = KnownMailboxes()

    def deliver(
        self, request: Deliver, recipient: DeliverRecipient, content: ContentReader
    ) -> Status:
        """Deliver to one mailbox; the status names the file. MailError: it was not delivered."""
        folders = self._folders(recipient.address)
        if _was_delivered_to(content.headers(self._header_limit), recipient.address):
            permanent("5.4.6", "mail forwarding loop", code=554)
        name = self._names.new()
        try:
            base = open_base(self._base_path)
        except OSError as error:
            temporary("4.3.5", "the mailboxes are not there", str(error))
        try:
            pieces = _with_trace(request, recipient, content)
            deliver_to_maildir(base, folders, name, pieces, self._known)
        finally:
            close_read(base)
        path = "/".join((self._base_path, *folders, "new", name))
        return Status(250, "2.0.0", f"delivered to maildir {path}")

    def _folders(self, text: str) -> tuple[str, str]:
        """Domain and user as folder names; an address is gossip until it has passed here."""
        try:
            mailbox = address.parse(text)
        except ValueError as error:
            permanent("5.1.3", "bad address syntax", str(error))
        user, domain = mailbox.local.lower(), mailbox.domain.lower()
        is_postmaster = user == "postmaster" and domain == self._hostname
        if domain not in self._domains and not is_postmaster:
            temporary("4.3.5", "not a virtual mailbox domain of this host", domain)
        if not _is_folder_name(user) or not _is_folder_name(domain):
            permanent("5.1.3", "no mailbox can have this name")
        return domain, user


def _is_folder_name(text: str) -> bool:
    forbidden = text.startswith(".") or "/" in text or "\0" in text
    return 0 < len(text.encode()) <= _NAME_LIMIT and not forbidden


def _with_trace(
    request: Deliver, recipient: DeliverRecipient, content: ContentReader
) -> Iterator[bytes]:
    yield (
        f"Return-Path: <{request.sender}>\n"
        f"X-Original-To: {recipient.original or recipient.address}\n"
        f"Delivered-To: {recipient.address}\n"
    ).encode()
    yield from crlf_to_lf(content.chunks())


def _was_delivered_to(headers: bytes, recipient: str) -> bool:
    """Whether a Delivered-To field names the recipient, folded or not, in whatever case."""
    own = recipient.lower().encode()
    unfolded = headers.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    for line in unfolded.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"delivered-to" and value.strip().lower() == own:
            return True
    return False


class VirtualHandler(DeliveryAgent):
    """Delivery requests in, Maildir files out; the disk is waited for in threads."""

    def __init__(self, context: Context) -> None:
        threads = min(_THREADS, context.service.client_limit)
        mailboxes = VirtualMailboxes(context.parameters)
        self._delivery = BlockingDelivery(context.service.name, mailboxes.deliver, threads)
        super().__init__(context.service.name, context.log, context.used, self._delivery)

    async def stop(self) -> None:
        """Let the threads end."""
        self._delivery.close()


if __name__ == "__main__":
    run(needs=NEEDS, handler=VirtualHandler)
