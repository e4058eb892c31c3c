"""The command line of sendmail, as Postfix's sendmail(1) reads it.

    done      -b -B -C -F -f -r -I -i -N -o -q -R -t
    ignored   -A -c -d -e -G -h -L -m -n -O -p -U -V -v -X -x, and most of -o
    refused   -bt -bz -qS -XV, values that -B -N -R do not have, letters that nobody knows

Letters may share a word; an option's value is the rest of its word, or else the next word. The
first word that is no option ends them, and so does "--".
"""

import enum
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

__all__ = ["Mode", "Options", "UsageError", "parse_options"]


class UsageError(Exception):
    """The command line makes no sense, or wants what there is not."""


class Mode(enum.Enum):
    """What the program is to do."""

    SEND = "m"
    SMTP = "s"  # on standard input and output
    LIST = "p"  # the queue
    ALIASES = "i"
    VERIFY = "v"
    START = "d"
    FLUSH = "q"
    NOTHING = "h"


class Options(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    mode: Mode
    operands: tuple[str, ...]  # recipients, as they were given
    config: str  # -C; empty: not given
    sender: str | None  # None: the caller himself
    full_name: str | None
    extract: bool  # -t: recipients are in the header, too
    dot_ends: bool  # a line "." ends the message: without -i
    body_8bit: bool
    queue_id: str  # -qI
    site: str  # -qR
    alias_database: str  # -oA


_MODES: Final = {mode.value: mode for mode in Mode if mode is not Mode.FLUSH} | {
    "l": Mode.START,
    "H": Mode.NOTHING,
}
_WITH_OPERANDS: Final = (Mode.SEND, Mode.VERIFY, Mode.NOTHING)
_NAMES: Final = {"mailq": Mode.LIST, "newaliases": Mode.ALIASES}
_WITH_VALUE: Final = frozenset("ABCFLNORVXbfhopr")
_MAYBE_VALUE: Final = frozenset("dq")  # the rest of the word
_FLAGS: Final = frozenset("GIUceimntvx")
_NOTIFICATIONS: Final = frozenset({"success", "failure", "delay"})


def parse_options(name: str, words: Sequence[str]) -> Options:
    """What a command line means; `name` is the program's, which may say what to do. UsageError."""
    reader = _Reader(name)
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        reader.word(word[1:], rest)
    return reader.options(tuple(rest))


class _Reader:
    """The options, as they are read."""

    def __init__(self, name: str) -> None:
        self._mode = _NAMES.get(name, Mode.SEND)
        self._values: dict[str, str] = {}  # the last one of each
        self._flags: set[str] = set()
        self._queue_id = self._site = self._alias_database = ""

    def word(self, letters: str, rest: list[str]) -> None:
        """Take one word without its hyphen; a value may be the first of the rest."""
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _FLAGS:
                self._flags.add(letter)
                if letter == "I":
                    self._mode = Mode.ALIASES
            elif letter in _MAYBE_VALUE:
                self._value(letter, letters)
                return
            elif letter in _WITH_VALUE:
                if not letters and not rest:
                    raise UsageError(f"-{letter} needs a value")
                self._value(letter, letters or rest.pop(0))
                return
            else:
                raise UsageError(f"there is no option -{letter}")

    def _value(self, letter: str, value: str) -> None:
        self._values[letter] = value
        match letter:
            case "b":
                if value not in _MODES:
                    raise UsageError(f"there is no -b{value}")
                self._mode = _MODES[value]
            case "q":
                self._flush(value)
            case "o":
                self._other(value)
            case "r":
                self._values["f"] = value
            case "B" | "N" | "R":
                _check(letter, value)
            case "X" if value.startswith("V"):
                raise UsageError("-XV: envelope addresses of a recipient's own (VERP) are not made")

    def _flush(self, value: str) -> None:
        if value[:1].isdigit():
            return  # an interval: the queue manager knows when to try again
        kind, argument = value[:1], value[1:]
        if kind and (kind not in "IR" or not argument):
            raise UsageError(f"there is no -q{value}")
        self._mode = Mode.FLUSH
        self._queue_id = argument if kind == "I" else ""
        self._site = argument if kind == "R" else ""

    def _other(self, value: str) -> None:
        """-o: an option of Sendmail's configuration."""
        if value == "i":
            self._flags.add("i")
        elif value.startswith("A"):
            self._alias_database = value[1:]

    def options(self, operands: tuple[str, ...]) -> Options:
        """All of it."""
        extract = "t" in self._flags
        if extract and self._mode is not Mode.SEND:
            raise UsageError("-t is for sending mail")
        if operands and self._mode not in _WITH_OPERANDS:
            raise UsageError(f"nothing is to be done with {operands[0]}")
        return Options(
            mode=self._mode,
            operands=operands,
            config=self._values.get("C", ""),
            sender=self._values.get("f"),
            full_name=self._values.get("F"),
            extract=extract,
            dot_ends="i" not in self._flags,
            body_8bit=self._values.get("B", "").upper() == "8BITMIME",
            queue_id=self._queue_id,
            site=self._site,
            alias_database=self._alias_database,
        )


def _check(letter: str, value: str) -> None:
    """The values that an option may have."""
    known = {
        "B": value.upper() in {"7BIT", "8BITMIME"},
        "R": value.lower() in {"full", "hdrs"},
        "N": value.lower() == "never" or set(value.lower().split(",")) <= _NOTIFICATIONS,
    }
    if not known[letter]:
        raise UsageError(f"-{letter} does not have the value {value}")
