r"""Addresses of the envelope: text to parts and back (RFC 5321, 4.1.2).

The canonical form has the domain in lower case, quotes only where the local part needs them, and
no source route. Local parts keep their case (2.4). What comes over SMTP is ASCII, for SMTPUTF8 is
not offered; elsewhere `utf8` lets local parts and domains be of any script (RFC 6531, 3.3), and the
canonical form has the domain's A-labels, which tables and the DNS know.
Deviations: an underscore is taken for a letter in domains, for many real hosts bear one; of the
address literals, only IPv4 and IPv6 ones have a meaning here.
"""

import functools
import ipaddress
import re
from typing import Final, NoReturn

from msgspec import Struct

from mta.proto.domains import DOMAIN, to_ascii, to_unicode

__all__ = [
    "DOMAIN_LIMIT",
    "LOCAL_PART_LIMIT",
    "PATH_LIMIT",
    "Mailbox",
    "names_route",
    "parse",
    "parse_path",
    "to_ascii",
    "to_unicode",
]

# RFC 5321, 4.5.3.1, in octets; the path with its brackets and route.
LOCAL_PART_LIMIT: Final = 64
DOMAIN_LIMIT: Final = 255
PATH_LIMIT: Final = 256

# address-literal  = "[" ( IPv4-address-literal / IPv6-address-literal /
#                    General-address-literal ) "]"
_LITERAL: Final = r"\[[A-Za-z0-9:.-]+\]"

# atext (RFC 5322, 3.2.3), Atom = 1*atext, Dot-string = Atom *("." Atom)
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING: Final = rf"{_ATOM}(?:\.{_ATOM})*"

# Quoted-string    = DQUOTE *QcontentSMTP DQUOTE, where QcontentSMTP is one of
# quoted-pairSMTP  = %d92 %d32-126
# qtextSMTP        = %d32-33 / %d35-91 / %d93-126
_QUOTED_STRING: Final = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'

# Local-part    = Dot-string / Quoted-string
# Mailbox       = Local-part "@" ( Domain / address-literal )
_MAILBOX: Final = rf"(?P<local>{_DOT_STRING}|{_QUOTED_STRING})(?:@(?P<domain>{DOMAIN}|{_LITERAL}))?"

# A-d-l         = At-domain *( "," At-domain )
# At-domain     = "@" Domain
# "MUST BE accepted, SHOULD NOT be generated, and SHOULD be ignored."
_ROUTE: Final = rf"(?:@{DOMAIN}(?:,@{DOMAIN})*:)?"

# Path          = "<" [ A-d-l ":" ] Mailbox ">", and the null path of Reverse-path
_ADDRESS: Final = re.compile(rf"{_ROUTE}{_MAILBOX}")
_PATH: Final = re.compile(rf"<(?:{_ROUTE}{_MAILBOX})?>")

# atext, qtextSMTP and sub-domain are extended by UTF8-non-ascii (RFC 6531, 3.3); the control
# characters of Unicode (C1) are none of them here, and surrogates are no characters.
_OTHER: Final = r"\u00a0-\ud7ff\ue000-\U0010ffff"
_ATOM_UTF8: Final = _ATOM.replace("[", f"[{_OTHER}", 1)
_DOT_STRING_UTF8: Final = rf"{_ATOM_UTF8}(?:\.{_ATOM_UTF8})*"
_QUOTED_STRING_UTF8: Final = rf'"(?:[ !#-\[\]-~{_OTHER}]|\\[ -~])*"'
_DOMAIN_UTF8: Final = rf"[A-Za-z0-9_{_OTHER}][A-Za-z0-9_.{_OTHER}-]*"
_ADDRESS_UTF8: Final = (
    rf"(?:@{_DOMAIN_UTF8}(?:,@{_DOMAIN_UTF8})*:)?"
    rf"(?P<local>{_DOT_STRING_UTF8}|{_QUOTED_STRING_UTF8})"
    rf"(?:@(?P<domain>{_DOMAIN_UTF8}|{_LITERAL}))?"
)

_BARE: Final = re.compile(_DOT_STRING)
_PAIR: Final = re.compile(r"\\(.)")
_SPECIAL: Final = re.compile(r'(["\\])')
_LABEL_LIMIT: Final = 63  # octets


class Mailbox(Struct, frozen=True):
    """The parts of an address; `str()` is its canonical form.

    `local` is the local part without quoting. `domain` is in lower case, an address literal with
    its brackets, or empty where none was given.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        local = self.local
        if not (_BARE if local.isascii() else _bare_utf8()).fullmatch(local):
            local = '"' + _SPECIAL.sub(r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def parse(text: str, *, utf8: bool = False) -> Mailbox:
    """Parse an address without brackets; ValueError says what is wrong with it.

    `utf8` lets it be other than ASCII (RFC 6531, 3.3).
    """
    if utf8 and not text.isascii():
        return _parse_utf8(text)
    found = _ADDRESS.fullmatch(text) if len(text) <= PATH_LIMIT else None
    if found is None:
        _explain(text)
    return _mailbox(found)


def parse_path(text: str) -> tuple[Mailbox | None, str]:
    """Parse the path at the beginning of `text`; returns it and the text after it.

    The null path `<>` is None. Only `<postmaster>` may lack a domain (RFC 5321, 4.5.1). ValueError
    says what is wrong.
    """
    found = _PATH.match(text, 0, PATH_LIMIT)
    if found is None:
        _explain(text)
    rest = text[found.end() :]
    if found["local"] is None:
        return None, rest
    mailbox = _mailbox(found)
    if not mailbox.domain and mailbox.local.lower() != "postmaster":
        raise ValueError("an address needs a domain")
    return mailbox, rest


def names_route(address: str) -> bool:
    """Whether its local part may name another host: user%host, host!user, "user@host"."""
    local, _, _ = address.rpartition("@")
    return any(sign in local for sign in "%!@")


def _parse_utf8(text: str) -> Mailbox:
    found = _address_utf8().fullmatch(text) if len(text) <= PATH_LIMIT else None
    if found is None or len(text.encode()) > PATH_LIMIT:
        raise ValueError(f"not an address of at most {PATH_LIMIT} octets (RFC 6531, 3.3)")
    return _mailbox(found)


# These take longer to compile than all else takes to import, and are seldom needed.


@functools.cache
def _address_utf8() -> re.Pattern[str]:
    return re.compile(_ADDRESS_UTF8)


@functools.cache
def _bare_utf8() -> re.Pattern[str]:
    return re.compile(_DOT_STRING_UTF8)


def _mailbox(found: re.Match[str]) -> Mailbox:
    local, domain = found["local"], found["domain"] or ""
    if len(local.encode()) > LOCAL_PART_LIMIT:
        raise ValueError(f"a local part of more than {LOCAL_PART_LIMIT} octets")
    if local.startswith('"'):
        local = _PAIR.sub(r"\1", local[1:-1])
    domain = _literal(domain[1:-1]) if domain.startswith("[") else _name(domain)
    return Mailbox(local, domain)


def _name(domain: str) -> str:
    """The canonical form of a domain's name (RFC 1035, 2.3.4: its limits)."""
    domain = to_ascii(domain) if domain else ""
    if len(domain) > _LABEL_LIMIT:
        longest = max(map(len, domain.split(".")))
        if longest > _LABEL_LIMIT or len(domain) > DOMAIN_LIMIT:
            raise ValueError("a domain, or a label of it, is too long")
    return domain


def _literal(text: str) -> str:
    """The canonical form of what an address literal holds (RFC 5321, 4.1.3)."""
    tag, colon, address = text.partition(":")
    if not colon:
        return f"[{ipaddress.IPv4Address(text)}]"
    if tag.lower() != "ipv6":
        raise ValueError(f"an address literal of an unknown kind: {tag[:20]}")
    return f"[IPv6:{ipaddress.IPv6Address(address)}]"


def _explain(text: str) -> NoReturn:
    if not text.isascii():
        raise ValueError("an address that is not ASCII needs SMTPUTF8, which is not offered")
    if any(not character.isprintable() for character in text):
        raise ValueError("a control character in an address")
    raise ValueError(f"not an address of at most {PATH_LIMIT} octets (RFC 5321, 4.1.2)")
