"""YAML with its places: every value knows the file, line and column that it came from.

A configuration file is one document of mappings, lists and scalars, in UTF-8. Plain scalars follow
YAML 1.2's core schema, so `no` and `on` are text and `010` is not eight; what Postfix's names need
is exactly that: null, true, false, numbers, text. Duplicate keys, tags, anchors and aliases are
refused. Size and depth are bounded, so no file can make the reader work for long.
"""

import difflib
import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from mta.config.errors import ConfigError

__all__ = ["Node", "Place", "Problems", "load", "parse", "read", "suggestion"]

SIZE_LIMIT: Final = 1024 * 1024  # octets
DEPTH_LIMIT: Final = 16

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]{0,18})?\.[0-9]{1,18}|[1-9][0-9]{0,18}(?=[eE]))"
    r"(?:[eE][-+]?[0-9]{1,3})?\Z",
    re.ASCII,
)
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, order=True)
class Place:
    """A place in a configuration file; line and column count from 1, 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """A value with its place; a mapping's values also know the place of their key."""

    value: "bool | int | float | str | list[Node] | dict[str, Node] | None"
    place: Place
    key: Place

    def __str__(self) -> str:
        """The value as an error message shows it."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case None:
                return "nothing"
            case value:
                text = json.dumps(value, ensure_ascii=False)
                return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass
class Problems:
    """Everything found wrong so far, so that an operator sees all of it at once."""

    found: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, place: Place, path: str, text: str) -> None:
        """Note a problem of the setting `path` (`services.smtp.numprocs`)."""
        self.found.append((place, f"{place}: {path}: {text}" if path else f"{place}: {text}"))

    def raise_if_any(self) -> None:
        """Raise ConfigError when anything was noted."""
        if self.found:
            raise ConfigError([text for _, text in sorted(set(self.found))])


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name: `; did you mean "..."?`, or nothing."""
    close = difflib.get_close_matches(name, known, 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def load(path: str, problems: Problems) -> Node | None:
    """Read one document; None when there is none to go on with, the reason being noted."""
    text = read(path, problems)
    return None if text is None else parse(text, os.path.basename(path), problems)


def read(path: str, problems: Problems) -> str | None:
    """The text of one file, octet for octet; None when it has none, the reason being noted."""
    name = os.path.basename(path)
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        problems.add(Place(path), "", error.strerror or str(error))
        return None
    if len(data) > SIZE_LIMIT:
        problems.add(Place(name), "", f"larger than {SIZE_LIMIT} octets")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        problems.add(Place(name, before.count(b"\n") + 1, column), "", "not UTF-8")
        return None


def parse(text: str, file: str, problems: Problems) -> Node | None:
    """Parse one document; an empty one is an empty mapping."""
    try:
        return _Reader(text, file, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        problems.add(place, "", f"not YAML: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.add(place, "", f"not YAML: {error.reason}")
    except _TooDeepError as error:
        problems.add(error.place, "", f"nested deeper than {DEPTH_LIMIT} levels")
    return None


class _TooDeepError(Exception):
    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class _Reader:
    """Turns the parser's events into nodes, as they come: nothing is built that is too deep."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._file = file
        self._problems = problems

    def document(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._problems.add(self._place(event), "", "a second document in one file")
            elif isinstance(event, yaml.NodeEvent):
                node = self._node(event, self._place(event), 0)
                root = root or node
        first = Place(self._file, 1, 1)
        if root is None or root.value is None:
            return Node({}, first, first)
        return root

    def _node(self, event: yaml.NodeEvent, key: Place, depth: int) -> Node:
        place = self._place(event)
        if depth > DEPTH_LIMIT:
            raise _TooDeepError(place)
        if event.anchor is not None:
            self._problems.add(place, "", "anchors and aliases are not used here")
        if getattr(event, "tag", None) is not None:
            self._problems.add(place, "", "tags are not used here")
        match event:
            case yaml.MappingStartEvent():
                return Node(self._mapping(depth), place, key)
            case yaml.SequenceStartEvent():
                return Node(self._sequence(depth), place, key)
            case yaml.ScalarEvent():
                return Node(_scalar(event.value, event.implicit[0]), place, key)
        return Node(None, place, key)  # an alias, refused above

    def _sequence(self, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, self._place(event), depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Node]:
        items: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._place(event)
            name = self._node(event, place, depth + 1)
            value = self._node(next(self._events), place, depth + 1)
            if not isinstance(name.value, str):
                self._problems.add(place, "", f"expected a name, got {name}")
            elif name.value in items:
                first = items[name.value].key.line
                self._problems.add(place, "", f"{name} is already set in line {first}")
            else:
                items[name.value] = value
        return items

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file)


def _scalar(text: str, plain: bool) -> bool | int | float | str | None:
    """YAML 1.2, 10.3.2, without its octal and hexadecimal forms, infinities and not-a-number."""
    if not plain:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text
