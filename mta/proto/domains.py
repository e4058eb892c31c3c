"""Domain names in other scripts: U-labels to A-labels and back (IDNA2008, RFC 5891).

The law: a name that is ASCII already is only brought into lower case, so that nothing which works
without IDNA depends on it; and what a mapping makes of a name is held against the grammar again,
for it can yield any ASCII character (a full-width "@" becomes "@"). Names are mapped first, as UTS
46 has it without its transitional part: upper case, full-width letters, the ideographic full stop.
"""

import re
from typing import Final

__all__ = ["DOMAIN", "SUB_DOMAIN", "to_ascii", "to_unicode"]

# sub-domain    = Let-dig [Ldh-str] (RFC 5321, 4.1.2)
# Ldh-str       = *( ALPHA / DIGIT / "-" ) Let-dig
SUB_DOMAIN: Final = r"[A-Za-z0-9_]+(?:-+[A-Za-z0-9_]+)*"

# Domain        = sub-domain *("." sub-domain)
DOMAIN: Final = rf"{SUB_DOMAIN}(?:\.{SUB_DOMAIN})*"

_ASCII: Final = re.compile(DOMAIN)
_PREFIX: Final = "xn--"  # RFC 5890, 2.3.2.1
_LIMIT: Final = 255  # characters: there are no fewer octets


def to_ascii(domain: str) -> str:
    """The domain with A-labels, in lower case; ValueError if it is none.

    Labels that are ASCII stay what they are, A-labels that IDNA would not allow included.
    """
    found = domain if domain.isascii() else _labels_to_ascii(domain)
    if not _ASCII.fullmatch(found):
        raise ValueError("not a domain (RFC 5321, 4.1.2)")
    return found.lower()


def _labels_to_ascii(domain: str) -> str:
    # Its tables cost as much memory as a small daemon: most never see such a domain.
    import idna  # noqa: PLC0415

    if len(domain) > _LIMIT:
        raise ValueError("a domain, or a label of it, is too long")
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False, transitional=False)
        labels = [
            label if label.isascii() else idna.alabel(label).decode("ascii")
            for label in mapped.split(".")
        ]
    except idna.IDNAError as error:
        raise ValueError(f"a domain that IDNA does not allow: {error}") from error
    return ".".join(labels)


def to_unicode(domain: str) -> str:
    """The domain with U-labels, for people; a label that is no sound A-label stays as it is."""
    if _PREFIX not in domain.lower():
        return domain
    import idna  # noqa: PLC0415 - as above

    labels = domain.split(".")
    for number, label in enumerate(labels):
        if label.lower().startswith(_PREFIX):
            try:
                labels[number] = idna.ulabel(label)
            except UnicodeError:  # of which IDNAError is one
                continue
    return ".".join(labels)
