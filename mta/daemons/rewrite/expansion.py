"""Whom mail for a recipient is for: its canonical form, then aliases of aliases (virtual(5)).

An address that expands to itself stops there, whatever it stands beside. All else is looked up
again, and two addresses that expand to each other end as Postfix ends them: at
virtual_alias_recursion_limit, with 451 4.6.0 for the message. Three bounds hold the work:

    virtual_alias_recursion_limit    results in a row that one address becomes
    virtual_alias_expansion_limit    addresses that come of one recipient
    both, the second ten times       look-ups: for a thousand addresses of a thousand steps each
"""

import asyncio
from typing import Final, NoReturn

from mta.config.parameters import Parameters
from mta.daemons.rewrite.canonical import Canonical
from mta.daemons.rewrite.mapping import AddressMap
from mta.daemons.rewrite.names import Names
from mta.daemons.rewrite.tables import Tables
from mta.proto.address import Mailbox
from mta.proto.status import temporary

__all__ = ["Expander"]

_PARAMETER: Final = "virtual_alias_maps"
_TURN: Final = 100  # look-ups and results after which other requests have their turn
_USUAL_DEPTH: Final = 10  # steps of each address, where there are very many of them


class Expander:
    """The expansion of recipients under one configuration."""

    def __init__(self, parameters: Parameters, tables: Tables, names: Names) -> None:
        propagate = "virtual" in parameters.propagate_unmatched_extensions
        self._names = names
        self._canonical = Canonical("envelope_recipient", parameters, tables, names)
        self._aliases = AddressMap(_PARAMETER, tables, names, propagate=propagate)
        self._bcc = AddressMap("recipient_bcc_maps", tables, names)
        self._depth_limit = parameters.virtual_alias_recursion_limit
        self._size_limit = parameters.virtual_alias_expansion_limit

    async def expand(self, text: str) -> tuple[tuple[str, ...], str]:
        """The recipients without repetition, and who gets a copy, or "".

        MailError 550 5.1.3 for what is no address; 451 4.6.0 beyond a limit.
        """
        mailbox = await self._canonical.form(self._names.parse(text))
        copy = await self._bcc.one(mailbox)
        found = await self._expanded(mailbox) if self._aliases else [mailbox]
        return _distinct(found), str(copy or "")

    async def _expanded(self, first: Mailbox) -> list[Mailbox]:
        """All that the aliases make of it, each in the place of what it comes of."""
        members = [first]
        ended: set[str] = set()  # expanded to themselves
        work = _Work(first, self._depth_limit + _USUAL_DEPTH * self._size_limit)
        place = 0
        while place < len(members):
            depth = 0
            while (key := _folded(members[place])) not in ended:
                if depth == self._depth_limit:
                    _refuse(first, f"unreasonable nesting: {depth} steps do not suffice")
                results = await self._aliases.all(members[place]) or []
                await work.done(len(results))
                if not results:
                    break
                depth += 1
                members[place] = results[0]
                members += results[1:]
                if len(members) > self._size_limit:
                    _refuse(first, f"more than {self._size_limit} addresses")
                if any(_folded(result) == key for result in results):
                    ended.add(key)
            place += 1
        return members


class _Work:
    """What an expansion has cost; now and then others have their turn."""

    def __init__(self, first: Mailbox, limit: int) -> None:
        self._first = first
        self._limit = limit  # look-ups
        self._lookups = 0
        self._since_turn = 0

    async def done(self, results: int) -> None:
        """One look-up, which had so many results."""
        self._lookups += 1
        if self._lookups > self._limit:
            _refuse(self._first, f"more than {self._limit} look-ups")
        self._since_turn += 1 + results
        if self._since_turn >= _TURN:
            self._since_turn = 0
            await asyncio.sleep(0)


def _refuse(first: Mailbox, reason: str) -> NoReturn:
    temporary("4.6.0", "Alias expansion error", f"{_PARAMETER}: {first}: {reason}")


def _folded(mailbox: Mailbox) -> str:
    return str(mailbox).lower()


def _distinct(members: list[Mailbox]) -> tuple[str, ...]:
    """Each address once, as Postfix counts them: whatever the case of the local part."""
    found: dict[str, str] = {}
    for member in members:
        text = str(member)
        found.setdefault(text.lower(), text)
    return tuple(found.values())
