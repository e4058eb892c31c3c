"""What tables are asked about an address: the query forms, each with what it leaves out.

    user+extension@domain  user@domain  user+extension  user  @domain      canonical(5), virtual(5),
                                                                           generic(5), relocated(5)
    user+extension@domain  user@domain  domain  .parent ...  *             transport(5)

The forms without a domain are asked for domains of this host alone. A local part that needs quotes
is asked for with them first and then without, as Postfix does. Parts of an address are no keys for
tables of patterns, which see the whole address.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from mta.lookup.table import Key
from mta.proto.address import Mailbox

__all__ = ["Extensions", "Form", "address_forms", "transport_keys"]

_NEVER_SPLIT: Final = frozenset(("postmaster", "mailer-daemon"))
_OWNER: Final = "owner-"
_REQUEST: Final = "-request"


class Form(Struct, frozen=True):
    """A key, and the extension that it leaves out, with its delimiter."""

    key: Key
    unmatched: str = ""


class Extensions(Struct, frozen=True):
    """How a local part is parted: recipient_delimiter, and the local parts that stay whole."""

    delimiters: str = ""
    whole: frozenset[str] = _NEVER_SPLIT  # in lower case
    lists: bool = True  # owner-LIST and LIST-request stay whole, too (owner_request_special)

    @classmethod
    def of(cls, delimiters: str, *senders: str, lists: bool = True) -> "Extensions":
        """The rule of a configuration; `senders` are local parts of this system's own mail."""
        return cls(delimiters, _NEVER_SPLIT | {sender.lower() for sender in senders}, lists)

    def split(self, local: str) -> tuple[str, str]:
        """The user and the extension with its delimiter, or the whole and ""."""
        places = [place for place in map(local.find, self.delimiters) if place >= 0]
        if not places or min(places) == 0 or self._is_whole(local.lower()):
            return local, ""
        return local[: min(places)], local[min(places) :]

    def _is_whole(self, local: str) -> bool:
        if local in self.whole:
            return True
        # Mailing lists: owner-LIST and LIST-request are names of their own.
        return (
            self.lists
            and "-" in self.delimiters
            and (local.startswith(_OWNER) or (local.endswith(_REQUEST) and local != _REQUEST))
        )


def address_forms(mailbox: Mailbox, extensions: Extensions, *, local: bool) -> list[Form]:
    """The forms of most tables; `local` says that the domain is one of this host's own."""
    user, extension = extensions.split(mailbox.local)
    forms = [Form(Key(text)) for text in _texts(mailbox.local, mailbox.domain)]
    bare = [Form(Key(text, True), extension) for text in _texts(user, mailbox.domain)]
    forms += bare if extension else []
    if local:
        forms += [Form(Key(text, True)) for text in _texts(mailbox.local, "")]
        forms += [Form(Key(text, True), extension) for text in _texts(user, "") if extension]
    forms.append(Form(Key(f"@{mailbox.domain}", True)))
    return forms


def transport_keys(mailbox: Mailbox, extensions: Extensions) -> list[Key]:
    """The forms of transport_maps; an address literal has no parent domains."""
    user, extension = extensions.split(mailbox.local)
    domain = mailbox.domain
    keys = [Key(text) for text in _texts(mailbox.local, domain)]
    keys += [Key(text, True) for text in _texts(user, domain) if extension]
    keys.append(Key(domain, True))
    if not domain.startswith("["):
        keys += [Key(parent, True) for parent in _parents(domain)]
    keys.append(Key("*", True))
    return keys


def _texts(local: str, domain: str) -> Iterator[str]:
    quoted = str(Mailbox(local, domain))
    yield quoted
    unquoted = f"{local}@{domain}" if domain else local
    if unquoted != quoted:
        yield unquoted


def _parents(domain: str) -> Iterator[str]:
    place = domain.find(".")
    while place >= 0:
        yield domain[place:]
        place = domain.find(".", place + 1)
