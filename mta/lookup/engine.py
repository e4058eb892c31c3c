"""Regular expressions that end: PCRE2 with a bound on its steps, its depth and its memory.

A pattern such as (a+)+$ would hang a daemon for years. The bounds are put in front of the pattern,
where a pattern can lower them but not raise them. They hold for each place of the key at which the
pattern is tried: at most some tenths of a second for the longest key, some ms for most.

The library is imported with the first pattern, so that daemons without such a table start without
it; it lies with all others, which a daemon's sandbox lets it read.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from mta.lookup.escapes import ExpressionError

__all__ = [
    "ANCHORED",
    "CASELESS",
    "DOLLAR_ENDONLY",
    "DOTALL",
    "EXTENDED",
    "MULTILINE",
    "PATTERN_LIMIT",
    "UNGREEDY",
    "Engine",
    "Match",
    "NoMatchError",
    "compile_pattern",
]

# As in pcre2.h: the library names some of them only, and knows none beyond its own highest one.
CASELESS: Final = 0x0000_0008
DOLLAR_ENDONLY: Final = 0x0000_0010
DOTALL: Final = 0x0000_0020
EXTENDED: Final = 0x0000_0080
MULTILINE: Final = 0x0000_0400
UNGREEDY: Final = 0x0004_0000
ANCHORED: Final = 0x8000_0000

PATTERN_LIMIT: Final = 16_384  # characters
_LIMITS: Final = "(*LIMIT_MATCH=50000)(*LIMIT_DEPTH=20000)(*LIMIT_HEAP=8192)"


class NoMatchError(Exception):
    """Whether a key matches was not found out within the bounds; the text is PCRE2's."""


class Match(Protocol):
    """What matched."""

    def group(self, number: int, /) -> str | None:
        """What a group matched, if it took part."""


class Engine:
    """A compiled pattern."""

    def __init__(self, search: Callable[[str], Any], groups: int, failure: type[Exception]) -> None:
        self._search = search
        self._failure = failure
        self.groups = groups

    def search(self, key: str) -> Match | None:
        """The first place where the pattern matches; NoMatchError if that takes too long."""
        try:
            found: Match | None = self._search(key)
        except self._failure as error:
            raise NoMatchError(str(error)) from error
        except UnicodeEncodeError as error:
            raise NoMatchError("the key is no text") from error
        return found


def compile_pattern(pattern: str, options: int) -> Engine:
    """A pattern in PCRE2's syntax, on characters; ExpressionError says what is wrong."""
    import pcre2  # noqa: PLC0415 - it takes its time, and few hosts have such tables

    if len(pattern) > PATTERN_LIMIT:
        raise ExpressionError(0, f"expected at most {PATTERN_LIMIT} characters in a pattern")
    try:
        # Without JIT: its bounds are other ones, and a page that is writable and executable.
        flags = options & ~ANCHORED | pcre2.ASCII
        compiled = pcre2.compile(_LIMITS + pattern, flags, jit=False)
    except pcre2.PatternError as error:
        position = max(error.pos - len(_LIMITS), 0)
        reason = error.msg.partition("; ")[2] or error.msg
        raise ExpressionError(min(position, len(pattern)), reason) from error
    search = compiled.match if options & ANCHORED else compiled.search
    return Engine(search, compiled.groups, pcre2.LibraryError)
