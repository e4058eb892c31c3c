"""One address and the tables of one parameter: what they make of it.

    user+extension@domain  ->  result as it is
    user@domain            ->  result, with the extension appended where the parameter propagates it
    @domain                ->  result as it is
    any of them            ->  @other: the same local part in the other domain

A result may hold several addresses with commas or white space between them; each is completed. Of
`Joe Doe <joe@other>` only what is in the brackets counts. One that is no address is a temporary
failure, for only the operator can know what was meant.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from mta.daemons.rewrite.names import Names
from mta.daemons.rewrite.tables import Tables
from mta.ipc.maps import table_failure
from mta.lookup.forms import Form
from mta.lookup.table import Key
from mta.proto import address
from mta.proto.address import Mailbox
from mta.proto.status import MailError

__all__ = ["AddressMap", "Value"]

# RFC 5321, 4.1.2: a quoted local part may hold white space and commas. A quote that is not closed
# takes the rest, which is no address then.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"|"(?s:.*)'
_ELEMENTS: Final = re.compile(rf"(?:{_QUOTED}|[^,\"])++")
_WORDS: Final = re.compile(rf"(?:{_QUOTED}|[^\s\"])++")
_BRACKETED: Final = re.compile(rf"(?:{_QUOTED}|[^<\"])*+<((?:{_QUOTED}|[^<>\"])*+)>")


class Value(Struct, frozen=True):
    """What tables have for an address, and the form that they have it for."""

    text: str
    form: Form


class AddressMap:
    """The tables of one parameter, asked for addresses; without tables nothing is found."""

    def __init__(
        self, parameter: str, tables: Tables, names: Names, *, propagate: bool = False
    ) -> None:
        self._parameter = parameter
        self._maps = tables.get(parameter)
        self._names = names
        self._propagate = propagate

    def __bool__(self) -> bool:
        return self._maps is not None

    async def find(self, mailbox: Mailbox) -> Value | None:
        """The value for an address; MailError 451 if the tables cannot say."""
        if self._maps is None:
            return None
        forms = self._names.forms(mailbox)
        hit = await self._maps.find([form.key for form in forms])
        return None if hit is None else Value(hit.value.strip(), forms[hit.key])

    async def find_key(self, text: str, otherwise: Key) -> str | None:
        """The value for an address as it came; for what is none, that of another key."""
        if self._maps is None:
            return None
        try:
            mailbox = self._names.parse(text)
        except MailError:
            hit = await self._maps.find([otherwise])
            return None if hit is None else hit.value.strip()
        found = await self.find(mailbox)
        return None if found is None else found.text

    async def one(self, mailbox: Mailbox) -> Mailbox | None:
        """The first address of the result, for steps that replace one by one."""
        found = await self.find(mailbox)
        return None if found is None else next(self._results(mailbox, found), None)

    async def all(self, mailbox: Mailbox) -> list[Mailbox] | None:
        """All addresses of the result, in their order."""
        found = await self.find(mailbox)
        return None if found is None else list(self._results(mailbox, found))

    def _results(self, mailbox: Mailbox, found: Value) -> Iterator[Mailbox]:
        extension = found.form.unmatched
        members = list(_members(found.text))
        if not members:
            raise self._failure(found, "no address")
        to_domain = found.text.startswith("@")
        for number, member in enumerate(members):
            try:
                if number == 0 and to_domain:
                    local = mailbox.local.removesuffix(extension)
                    result = _parse(str(Mailbox(local, member[1:])))
                else:
                    result = _parse(member)
                result = self._names.complete(result)
                if extension and self._propagate:
                    result = _extended(result, extension)
            except ValueError as error:
                raise self._failure(found, f"{member[:100]!r}: {error}") from error
            yield result

    def _failure(self, found: Value, what: str) -> MailError:
        return table_failure(self._parameter, f"the value of {found.form.key.text!r} has {what}")


def _parse(text: str) -> Mailbox:
    """An address of a table, whose domain may be of any script."""
    mailbox = address.parse(text, utf8=True)
    if not mailbox.local.isascii():
        raise ValueError("a local part that is not ASCII needs SMTPUTF8, which is not offered")
    return mailbox


def _members(text: str) -> Iterator[str]:
    for element in _ELEMENTS.findall(text):
        yield from _BRACKETED.findall(element) or _WORDS.findall(element)


def _extended(mailbox: Mailbox, extension: str) -> Mailbox:
    return address.parse(str(Mailbox(mailbox.local + extension, mailbox.domain)))
