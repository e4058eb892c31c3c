"""What strace wrote of many processes, as calls in one order.

The law: a call takes effect somewhere between its entry and its return, and nothing closer is
assumed. strace holds a process at both, so of two calls of which one was the reason for the other
the record has the return of the first before the entry of the second; calls that merely overlap in
the record may have had their effects in either order. A call of which no return is on record may
have had its effect or not.

Strings and paths are hexadecimal (-xx): no octet of a message looks like strace's own words.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Call", "Descriptor", "calls", "descriptors", "octets", "strings", "texts"]

_LINE: Final = re.compile(r"(\d+) +(.*)", re.DOTALL)
_RESUMED: Final = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_UNFINISHED: Final = " <unfinished ...>"
_ENTERED: Final = re.compile(r"(\w+)\((.*)", re.DOTALL)
_RETURNED: Final = re.compile(r" += (-?\d+|\?|0x[0-9a-f]+)([^=\"]*)$")
_DESCRIPTOR: Final = re.compile(r"(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(frozen=True)
class Call:
    """One system call; `entered` and `returned` are places in the record, all different."""

    name: str
    arguments: str
    result: int | None  # None: no return is on record; negative: it failed
    entered: int
    returned: int | None


@dataclass(frozen=True)
class Descriptor:
    """A descriptor among a call's arguments, and the path that strace read from /proc."""

    path: bytes
    deleted: bool


def calls(lines: Iterable[str], matters: Callable[[str], bool]) -> Iterator[Call]:
    """The calls whose text `matters`, in the order of their entries as far as that is known.

    ValueError if a line is none of strace's.
    """
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        place = 2 * number
        if not (parts := _LINE.match(line.rstrip("\n"))):
            raise ValueError(f"line {number + 1} of the record: {line[:80]!r}")
        thread, text = parts[1], parts[2]
        if text.startswith(("---", "+++")):
            continue
        if text.endswith(_UNFINISHED):
            begun[thread] = (place, text.removesuffix(_UNFINISHED))
            continue
        entered = place
        if resumed := _RESUMED.match(text):
            entered, head = begun.pop(thread)
            text = head + resumed[2]
        if matters(text):
            yield _call(text, entered, place + 1)
    for place, text in begun.values():
        if matters(text):
            yield _call(text, place, None)


def _call(text: str, entered: int, returned: int | None) -> Call:
    result: int | None = None
    if returned is not None:
        if not (end := _RETURNED.search(text)):
            raise ValueError(f"a call without a result: {text[:80]!r}")
        text = text[: end.start()].rstrip().removesuffix(")")
        if end[1] != "?":
            result = int(end[1], 0)
        else:
            returned = None
    if not (parts := _ENTERED.match(text)):
        raise ValueError(f"not a call: {text[:80]!r}")
    return Call(parts[1], parts[2], result, entered, returned)


def descriptors(arguments: str) -> list[Descriptor]:
    """The descriptors among the arguments, in order."""
    return [
        Descriptor(octets(found[2]), bool(found[3])) for found in _DESCRIPTOR.finditer(arguments)
    ]


def strings(arguments: str) -> list[bytes]:
    """The strings among the arguments, in order; ValueError if strace cut one short."""
    found = list(_STRING.finditer(arguments))
    if any(one[2] for one in found):
        raise ValueError(f"a string was cut short: {arguments[:80]!r}")
    return [octets(one[1]) for one in found]


def texts(value: bytes | str) -> str:
    """A text as strace shows it within strings and paths."""
    octets = value.encode() if isinstance(value, str) else value
    return "".join(f"\\x{octet:02x}" for octet in octets)


def octets(shown: str) -> bytes:
    """The octets that strace shows so."""
    return bytes.fromhex(shown.replace("\\x", ""))
