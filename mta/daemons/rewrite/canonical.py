"""Addresses brought into their public form, as mail comes in (canonical(5)) and goes out (generic).

    sender_canonical_maps     senders; recipient_canonical_maps likewise for recipients
    canonical_maps            the addresses of canonical_classes
    masquerade_domains        the addresses of masquerade_classes, but masquerade_exceptions

The canonical tables are asked again about their result, until they have nothing more or give back
what they were asked about. smtp_generic_maps are asked once (smtp(8)).
"""

from typing import Final

from mta.config.parameters import Parameters
from mta.daemons.rewrite.mapping import AddressMap
from mta.daemons.rewrite.masquerade import Masquerade
from mta.daemons.rewrite.names import Names
from mta.daemons.rewrite.tables import Tables
from mta.ipc.messages import AddressRole
from mta.proto.address import Mailbox
from mta.proto.status import MailError, Status

__all__ = ["CANONICAL_LIMIT", "Canonical", "Rewriter"]

CANONICAL_LIMIT: Final = 1000  # results looked up again, as in Postfix's cleanup


class Canonical:
    """The canonical form of addresses of one class, such as envelope_recipient."""

    def __init__(
        self, address_class: str, parameters: Parameters, tables: Tables, names: Names
    ) -> None:
        propagate = "canonical" in parameters.propagate_unmatched_extensions
        side = address_class.partition("_")[2]  # sender or recipient
        wanted = [f"{side}_canonical_maps"]
        if address_class in parameters.canonical_classes:
            wanted.append("canonical_maps")
        maps = [(name, AddressMap(name, tables, names, propagate=propagate)) for name in wanted]
        self._maps = [(name, each) for name, each in maps if each]
        masked = address_class in parameters.masquerade_classes
        self._masquerade = Masquerade(parameters) if masked else None

    async def form(self, mailbox: Mailbox) -> Mailbox:
        """What the address becomes; MailError 451 if the tables cannot say."""
        for name, maps in self._maps:
            mailbox = await _repeated(name, maps, mailbox)
        return mailbox if self._masquerade is None else self._masquerade.apply(mailbox)


class Rewriter:
    """What an address of a message becomes where it stands."""

    def __init__(self, parameters: Parameters, tables: Tables, names: Names) -> None:
        self._names = names
        self._canonical = {
            role: Canonical(role.value, parameters, tables, names)
            for role in AddressRole
            if role is not AddressRole.GENERIC
        }
        propagate = "generic" in parameters.propagate_unmatched_extensions
        self._generic = AddressMap("smtp_generic_maps", tables, names, propagate=propagate)
        self._sender_bcc = AddressMap("sender_bcc_maps", tables, names)

    async def rewrite(self, text: str, role: AddressRole) -> tuple[str, str]:
        """The address, and who gets a copy of what it sends; what is no address stays."""
        try:
            mailbox = self._names.parse(text)
        except MailError:
            return text, ""
        if role is AddressRole.GENERIC:
            return str(await self._generic.one(mailbox) or mailbox), ""
        mailbox = await self._canonical[role].form(mailbox)
        copy = None
        if role is AddressRole.ENVELOPE_SENDER:
            copy = await self._sender_bcc.one(mailbox)
        return str(mailbox), str(copy or "")


async def _repeated(parameter: str, maps: AddressMap, mailbox: Mailbox) -> Mailbox:
    first = mailbox
    for _ in range(CANONICAL_LIMIT):
        result = await maps.one(mailbox)
        if result is None:
            return mailbox
        before, mailbox = mailbox, result
        if str(before).lower() == str(result).lower():
            return result
    text = f"{parameter}: unreasonable nesting for {first}: more than {CANONICAL_LIMIT} steps"
    raise MailError(Status(451, "4.6.0", "Address rewriting error"), text)
