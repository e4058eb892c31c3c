r"""Texts with macros: $name, ${name} and $(name) stand for a value, $$ for a dollar sign."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

__all__ = ["Macros"]

_TOKEN: Final = re.compile(
    r"(?P<text>[^$]+)|\$(?:(?P<dollar>\$)|(?P<bare>[a-z_]+)|\{(?P<braced>[a-z_]+)\}"
    r"|\((?P<round>[a-z_]+)\))"
)


class _Part(Struct, frozen=True):
    text: str
    is_macro: bool


class Macros(Struct, frozen=True):
    """A text, parsed."""

    parts: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: str) -> "Macros":
        """ValueError names the place of a dollar sign that begins nothing."""
        parts, place = [], 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise ValueError(f"a macro at {text[place : place + 20]!r}: ${{name}}, or $$ for $")
            name = found["bare"] or found["braced"] or found["round"]
            parts.append(_Part(name or found["text"] or "$", bool(name)))
            place = found.end()
        return cls(tuple(parts))

    @property
    def names(self) -> frozenset[str]:
        """The macros in it."""
        return frozenset(part.text for part in self.parts if part.is_macro)

    @property
    def begins_with_macro(self) -> bool:
        """Whether a value may be the text's beginning."""
        return bool(self.parts) and self.parts[0].is_macro

    def expand(self, values: Mapping[str, str]) -> str:
        """The text with the values in it; KeyError if one is not there."""
        return "".join(values[part.text] if part.is_macro else part.text for part in self.parts)
