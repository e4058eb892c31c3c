"""The stage between envelope and headers: what the addresses of a message become.

    sender             canonical, masqueraded
    each recipient     canonical, then the recipients that its aliases lead to
    copies             always_bcc, sender_bcc_maps, recipient_bcc_maps: recipients by themselves
    header addresses   completed, canonical, masqueraded: of messages that this host or one of
                       local_header_rewrite_clients makes; of others only where
                       remote_header_rewrite_domain says how to complete them

The law: rewrite is asked for what a parameter makes it answer and for nothing else, each address
once; a message for which nothing is to be asked passes as if this stage did not exist. What cannot
be known now puts the whole message off, for none of it is on the disk yet. The original address of
a recipient stays the one that the sender named. Reports, which the house itself makes, get no
copies. Postfix's documentation of all this is ADDRESS_REWRITING_README.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from mta.config.parameters import Parameters
from mta.ipc.messages import AddressRole
from mta.ipc.rewrite import RewriteClient
from mta.proto.addressfields import AddressFields, FieldAddress, FieldClass
from mta.proto.envelope import FORWARDED, Envelope, Origin, Recipient
from mta.proto.relay import Client, Networks
from mta.proto.status import MailError, temporary

__all__ = ["RewriteStage", "Rules"]

_RECIPIENTS_LIMIT: Final = 100_000  # with those that aliases lead to
_TURN: Final = 64  # remembered answers that are used before others have their turn
_ROLES: Final = {
    FieldClass.SENDER: AddressRole.HEADER_SENDER,
    FieldClass.RECIPIENT: AddressRole.HEADER_RECIPIENT,
}


class Rules:
    """What the parameters want done to addresses."""

    def __init__(self, parameters: Parameters) -> None:
        canonical = bool(parameters.canonical_maps or parameters.masquerade_domains)
        self.always_bcc = parameters.always_bcc
        self.sender = bool(
            canonical or parameters.sender_canonical_maps or parameters.sender_bcc_maps
        )
        self.recipients = bool(
            canonical
            or parameters.recipient_canonical_maps
            or parameters.virtual_alias_maps
            or parameters.recipient_bcc_maps
        )
        self.header = bool(
            canonical or parameters.sender_canonical_maps or parameters.recipient_canonical_maps
        )
        self.append_dot = parameters.append_dot_mydomain
        self.origin = parameters.myorigin or parameters.myhostname
        self.remote_domain = parameters.remote_header_rewrite_domain
        self.header_size_limit = parameters.header_size_limit
        self._local_clients = Networks(parameters.local_header_rewrite_clients)

    def is_local(self, origin: Origin) -> bool:
        """Whether a message from there is treated as one that this host makes."""
        client = Client(origin.client_address, origin.client_port)
        is_ours = not client.address or client in self._local_clients
        return is_ours and origin.protocol != FORWARDED


class RewriteStage:
    """One message whose header section is complete; `ask`, if it `must_ask`, and take the rest."""

    def __init__(self, rules: Rules, envelope: Envelope, section: bytes) -> None:
        self.envelope = envelope
        self.section = section
        self._rules = rules
        # A report, or a message that has been here before: no client brought it.
        self._is_internal = envelope.origin.protocol in ("", FORWARDED)
        self._is_local = rules.is_local(envelope.origin)
        self._copies: dict[str, None] = {}  # addresses, in order
        self._answers = 0
        self._completed: dict[FieldAddress, str] = {}
        self._questions: dict[FieldAddress, str] = {}  # and the address to ask about
        if self._is_local or rules.remote_domain:
            self._read_header()
        if not self.must_ask:
            self._replace(self._completed)

    @property
    def must_ask(self) -> bool:
        """Whether it takes `ask` to know what becomes of the message."""
        rules = self._rules
        copied = rules.always_bcc and not self._is_internal
        return bool(
            rules.recipients or (rules.sender and self.envelope.sender) or copied or self._questions
        )

    async def ask(self, client: RewriteClient) -> None:
        """Bring envelope and section into their final form; a temporary MailError if it fails."""
        try:
            sender = await self._sender(client)
            recipients = await self._recipients(client)
            self.envelope = replace(self.envelope, sender=sender, recipients=recipients)
            await self._header(client)
        except MailError as error:
            # An address that the tables lead to and that is none: no fault of the client's.
            raise MailError(error.status.softened, error.reason) from error

    # The envelope

    async def _sender(self, client: RewriteClient) -> str:
        sender = self.envelope.sender
        if not (self._rules.sender and sender):
            return sender
        rewritten = await client.rewrite(sender, AddressRole.ENVELOPE_SENDER)
        self._copy_to(rewritten.copy)
        return rewritten.address

    async def _recipients(self, client: RewriteClient) -> tuple[Recipient, ...]:
        """Those that mail is for, and those that get a copy; a pair of addresses comes once."""
        found: dict[Recipient, None] = {}
        for recipient in self.envelope.recipients:
            if self._rules.recipients:
                expansion = await client.expand(recipient.address)
                self._copy_to(expansion.copy)
                self._gather(found, expansion.addresses, recipient.original)
                await self._take_turns()
            else:
                self._gather(found, (recipient.address,), recipient.original)
        self._copy_to(self._rules.always_bcc)
        for copy in self._copies:
            self._gather(found, (await client.expand(copy)).addresses, copy)
        if not found:
            temporary("4.3.0", "No recipients", "the tables lead to no recipient")
        return tuple(found)

    def _copy_to(self, address: str) -> None:
        if address and not self._is_internal:
            self._copies[address] = None

    def _gather(
        self, found: dict[Recipient, None], addresses: Iterable[str], original: str
    ) -> None:
        for address in addresses:
            found[Recipient(address, original)] = None
        if len(found) > _RECIPIENTS_LIMIT:
            text = f"aliases and copies make more than {_RECIPIENTS_LIMIT} recipients"
            temporary("4.5.3", "Too many recipients", text)

    # The header section

    def _read_header(self) -> None:
        """Complete addresses without a domain, and see which ones rewrite is to be asked about."""
        rules = self._rules
        domain = rules.origin if self._is_local else rules.remote_domain
        for found in AddressFields(self.section).addresses():
            address = found.address
            if _is_incomplete(address):
                address = self._completed[found] = f"{address}@{domain}"
            dotless = rules.append_dot and self._is_local and "." not in address.rpartition("@")[2]
            if rules.header or dotless:
                self._questions[found] = address

    async def _header(self, client: RewriteClient) -> None:
        new = self._completed
        for found, address in self._questions.items():
            new[found] = (await client.rewrite(address, _ROLES[found.field_class])).address
            await self._take_turns()
        self._replace(new)

    def _replace(self, new: Mapping[FieldAddress, str]) -> None:
        if not new:
            return
        section = AddressFields(self.section).replaced(new)
        if len(section) > max(self._rules.header_size_limit, len(self.section)):
            temporary("4.3.4", "Header section too large", "with the addresses as rewritten")
        self.section = section

    async def _take_turns(self) -> None:
        # What is remembered comes without waiting, and a message may have many addresses.
        self._answers += 1
        if self._answers % _TURN == 0:
            await asyncio.sleep(0)


def _is_incomplete(address: str) -> bool:
    """Whether it has no domain: only a quoted local part may hold an at sign then."""
    return "@" not in address or address.endswith('"')
