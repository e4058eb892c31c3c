"""An address to the place of its mailbox below virtual_mailbox_base.

The law: addresses and what tables say of them are gossip until they have passed here; a place is
names of folders, and none of them leads upwards.
"""

from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.ipc.maps import Maps
from mta.lookup.forms import Extensions, address_forms
from mta.proto import address
from mta.proto.status import permanent, temporary

__all__ = ["Place", "Places"]

_NAME_LIMIT: Final = 255  # octets of a folder's name: NAME_MAX
_DEPTH_LIMIT: Final = 16  # names of a place


class Place(Struct, frozen=True):
    """Names of folders from the base on; the last is the mailbox's own."""

    names: tuple[str, ...]
    is_maildir: bool


class Places:
    """Where mailboxes are under one configuration."""

    def __init__(self, parameters: Parameters, maps: Maps | None) -> None:
        """`maps` is virtual_mailbox_maps, if it names tables."""
        self._domains = frozenset(parameters.virtual_mailbox_domains)
        self._hostname = parameters.myhostname
        self._extensions = Extensions.of(parameters.recipient_delimiter)
        self._maps = maps

    async def find(self, text: str) -> Place:
        """The place of an address; MailError if it has none, or if that cannot be known."""
        try:
            mailbox = address.parse(text)
        except ValueError as error:
            permanent("5.1.3", "bad address syntax", str(error))
        user, domain = mailbox.local.lower(), mailbox.domain.lower()
        is_postmaster = user == "postmaster" and domain == self._hostname
        if domain not in self._domains and not is_postmaster:
            temporary("4.3.5", "not a virtual mailbox domain of this host", domain)
        if self._maps is not None:
            forms = address_forms(address.Mailbox(user, domain), self._extensions, local=False)
            hit = await self._maps.find([form.key for form in forms])
            if hit is not None:
                return _place(hit.value)
            if not is_postmaster:  # who must exist (RFC 5321, 4.5.1)
                permanent("5.1.1", "unknown user", "not in virtual_mailbox_maps")
        if not _is_safe(user) or not _is_safe(domain):
            permanent("5.1.3", "no mailbox can have this name")
        return Place((domain, user), is_maildir=True)


def _place(value: str) -> Place:
    """The place that a table gives, which its keeper may have got wrong."""
    names = tuple(name for name in value.strip().split("/") if name not in ("", "."))
    sound = (
        0 < len(names) <= _DEPTH_LIMIT
        and not value.strip().startswith("/")
        and value.isprintable()
        and all(name != ".." and len(name.encode()) <= _NAME_LIMIT for name in names)
    )
    if not sound:
        temporary(
            "4.3.5", "the mailbox has no sound place", f"virtual_mailbox_maps: {value!r:.300}"
        )
    return Place(names, is_maildir=value.rstrip().endswith("/"))


def _is_safe(text: str) -> bool:
    forbidden = text.startswith(".") or "/" in text or "\0" in text
    return 0 < len(text.encode()) <= _NAME_LIMIT and not forbidden
