"""Expansions in the settings of a query (Postfix's db_common.c): %s and its like.

    %s %u %d        the key, its local part, its domain; in a result_format, those of the result
    %S %U %D        those of the key, in both
    %1 ... %9       labels of the key's domain, the last one first
    %%              a percent sign

A key that lacks what is asked of it is not asked for: it is not in the table.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

__all__ = ["Expansion", "Parts", "Template", "parse_template"]

_PIECES: Final = re.compile(r"%.?|[^%]+", re.DOTALL)
_CODES: Final = frozenset("sudSUD123456789")


class Expansion(Struct, frozen=True):
    """What stands after the percent sign."""

    code: str


class Parts(Struct, frozen=True):
    """A key or a result, as far as it is an address: what follows its last @ is the domain."""

    whole: str
    user: str  # all of it, where there is no @
    domain: str
    labels: tuple[str, ...]  # of the domain, the last one first

    @classmethod
    def of(cls, text: str) -> "Parts":
        """The parts of a text."""
        user, at, domain = text.rpartition("@")
        if not at:
            return cls(text, text, "", ())
        return cls(text, user, domain, tuple(reversed(domain.split("."))) if domain else ())

    def has(self, codes: Iterable[str]) -> bool:
        """Whether there is something for each of the expansions."""
        return bool(self.whole) and all(map(self._has, codes))

    def _has(self, code: str) -> bool:
        if code.isdigit():
            labels = self.labels[: int(code)]
            return len(labels) == int(code) and all(labels)
        return bool({"s": self.whole, "u": self.user, "d": self.domain}[code.lower()])

    def part(self, code: str) -> str:
        """What an expansion becomes."""
        if code.isdigit():
            return self.labels[int(code) - 1]
        return {"s": self.whole, "u": self.user, "d": self.domain}[code.lower()]


class Template(Struct, frozen=True):
    """Text with expansions in it."""

    pieces: tuple[str | Expansion, ...]

    @property
    def codes(self) -> frozenset[str]:
        """The expansions in it."""
        return frozenset(it.code for it in self.pieces if isinstance(it, Expansion))

    def fill(self, value: Parts, key: Parts) -> str:
        """The text for a value, and for the key that it is the value of; both have the parts."""
        return "".join(
            piece
            if isinstance(piece, str)
            else (value if piece.code.islower() else key).part(piece.code)
            for piece in self.pieces
        )


def parse_template(text: str) -> Template:
    """The template; ValueError says what is no expansion."""
    pieces: list[str | Expansion] = []
    for piece in _PIECES.findall(text):
        if piece[0] != "%":
            pieces.append(piece)
        elif piece == "%%":
            pieces.append("%")
        elif piece[1:] in _CODES:
            pieces.append(Expansion(piece[1:]))
        else:
            raise ValueError(f'expected %s %u %d %S %U %D %1 to %9 or %%, got "{piece}"')
    return Template(tuple(pieces))
