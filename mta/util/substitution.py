"""Texts of parameters in which $name stands for a value (local(8): forward_path, luser_relay).

    $name ${name} $(name)       the value; a text with a name that has none is not usable
    ${name?text} ${name?{text}} text if the name has a value
    ${name:text} ${name:{text}} text if it has none
    ${name?{text}:{other}}      one or the other

Whatever a value has that a shell or a file system could understand becomes an underscore.
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

__all__ = ["Substituted", "safe", "substitute"]

# forward_expansion_filter and command_expansion_filter of Postfix, by default.
_UNSAFE: Final = re.compile(r"[^0-9A-Za-z!@%\-_=+:,./]")
_SIMPLE: Final = re.compile(r"\$(?:([A-Za-z_]+)|\(([A-Za-z_]+)\))")
_NAME: Final = re.compile(r"[A-Za-z_]+")


class Substituted(Struct, frozen=True):
    """The text that came out, the names that it used, and whether each of those has a value."""

    text: str
    names: frozenset[str]
    usable: bool


def safe(value: str) -> str:
    """The value without characters that have a meaning to a shell."""
    return _UNSAFE.sub("_", value)


def substitute(template: str, values: Mapping[str, str]) -> Substituted:
    """Put the values in; ValueError for a text that is none of these forms."""
    work = _Work(values)
    text = work.expand(template)
    return Substituted(text, frozenset(work.names), work.usable)


class _Work:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.names: set[str] = set()
        self.usable = True

    def expand(self, template: str) -> str:
        pieces: list[str] = []
        place = 0
        while place < len(template):
            dollar = template.find("$", place)
            if dollar < 0:
                dollar = len(template)
            pieces.append(template[place:dollar])
            place = dollar
            if place == len(template):
                break
            if template.startswith("$$", place):
                pieces.append("$")
                place += 2
            elif template.startswith("${", place):
                end = _closing(template, place + 1)
                pieces.append(self._braced(template[place + 2 : end - 1]))
                place = end
            else:
                match = _SIMPLE.match(template, place)
                if match is None:
                    raise ValueError(f"expected a name after $, got {template[place:]!r}")
                pieces.append(self._value(match[1] or match[2]))
                place = match.end()
        return "".join(pieces)

    def _braced(self, inner: str) -> str:
        match = _NAME.match(inner)
        if match is None:
            raise ValueError(f"expected a name between braces, got {inner!r}")
        name, rest = match[0], inner[match.end() :]
        if not rest:
            return self._value(name)
        self.names.add(name)
        has_value = bool(self._values.get(name))
        first, other = _alternatives(rest)
        if rest[0] == ":":
            first, other = other, first
        return self.expand(first if has_value else other)

    def _value(self, name: str) -> str:
        self.names.add(name)
        value = self._values.get(name, "")
        if not value:
            self.usable = False
        return safe(value)


def _alternatives(rest: str) -> tuple[str, str]:
    """What follows the mark, and what stands after a second one; mark `?` or `:` comes first."""
    if rest[0] not in "?:":
        raise ValueError(f"expected ? or : after a name, got {rest!r}")
    if not rest.startswith("{", 1):
        return rest[1:], ""
    end = _closing(rest, 1)
    first, more = rest[2 : end - 1], rest[end:]
    if not more:
        return first, ""
    if rest[0] == "?" and more.startswith(":{") and _closing(more, 1) == len(more):
        return first, more[2:-1]
    raise ValueError(f"expected ${{name?{{text}}:{{text}}}}, got {rest!r}")


def _closing(text: str, start: int) -> int:
    """The place after the brace that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if not depth:
                return place + 1
    raise ValueError(f"expected a closing brace, got {text[start:]!r}")
