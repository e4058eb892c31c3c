"""YAML with its places: every value knows the file, line and column that it came from.

A configuration file is one document of mappings, lists and scalars, in UTF-8. Plain scalars follow
YAML 1.2's core schema, so `no` and `on` are text and `010` is not eight; what Postfix's names need
is exactly that: null, true, false, numbers, text. Duplicate keys, tags, anchors and aliases are
refused. Size and depth are bounded, so no file can make the reader work for long.
"""

import errno
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from mta.config.problems import Place, Problems
from mta.util.regular import NotRegularError, TooLargeError, read_regular
from mta.util.text import visible

__all__ = ["Node", "load", "parse", "read"]

SIZE_LIMIT: Final = 1024 * 1024  # octets
DEPTH_LIMIT: Final = 16
_SHOWN: Final = 80  # characters of a value that a message shows

_WAYS_OUT: Final = {
    errno.ENOENT: "name the folder of main.yml and services.yml, or write them",
    errno.EACCES: "check it as a user who may read it",
    errno.EPERM: "check it as a user who may read it",
    errno.ELOOP: "put the file itself there",
}

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
_OPENING: Final = (yaml.ScalarEvent, yaml.CollectionStartEvent)
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
                if isinstance(value, str):
                    value = value[:_SHOWN]
                text = visible(json.dumps(value, ensure_ascii=False))
                return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def load(path: str, problems: Problems) -> Node | None:
    """Read one document; None when there is none to go on with, the reason being noted."""
    text = read(path, problems)
    return None if text is None else parse(text, os.path.basename(path), problems)


def read(path: str, problems: Problems) -> str | None:
    """The text of one file, octet for octet; None when it has none, the reason being noted."""
    name = os.path.basename(path)
    try:
        data = read_regular(path, SIZE_LIMIT)
    except OSError as error:
        way_out = _WAYS_OUT.get(error.errno or 0, "")
        problems.add(Place(path), "", "a file that can be read", _reason(error), way_out)
        return None
    except NotRegularError as error:
        problems.add(Place(path), "", "a regular file", str(error), "put the file itself there")
        return None
    except TooLargeError as error:
        problems.add(Place(name), "", f"at most {SIZE_LIMIT} octets", str(error))
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        place = Place(name, before.count(b"\n") + 1, column)
        found = f"the octet 0x{data[error.start]:02x}"
        problems.add(place, "", "text in UTF-8", found, "save the file in UTF-8")
        return None


def _reason(error: OSError) -> str:
    return f"an error ({error.strerror or error})"


def parse(text: str, file: str, problems: Problems) -> Node | None:
    """Parse one document; an empty one is an empty mapping."""
    try:
        return _Reader(text, file, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        problems.add(place, "", "YAML", f"what is none: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.add(place, "", "YAML", f"what is none: {error.reason}")
    except _TooDeepError as error:
        problems.add(error.place, "", f"at most {DEPTH_LIMIT} levels", "what is nested deeper")
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
                place = self._place(event)
                self._problems.add(place, "", "one document", "a second one", "remove the line ---")
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
            mark = "&" if isinstance(event, _OPENING) else "*"
            found = f"{mark}{event.anchor}"
            self._problems.add(place, "", "no anchors and aliases", found, "write the value itself")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._problems.add(place, "", "no tags", str(tag), "write the value alone")
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
                self._problems.add(place, "", "a name", str(name))
            elif name.value in items:
                first = items[name.value].key.line
                found = f"{name} again (it is set in line {first})"
                way_out = "remove one of the two"
                self._problems.add(place, name.value, "each name once", found, way_out)
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
