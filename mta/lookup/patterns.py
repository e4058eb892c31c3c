"""pcre and regexp: rules of regular expressions, in the form of pcre_table(5), regexp_table(5).

    /PATTERN/FLAGS RESULT       the result, in which $1 is what the first group matched
    !/PATTERN/FLAGS RESULT      the result, if the pattern does not match
    if /PATTERN/FLAGS, if !/PATTERN/FLAGS, endif

The delimiter is any character but a letter, a digit or white space. Flags change what is the case
otherwise:

    pcre        i case matters    m ^ and $ at newlines    s . matches no newline    x white space
                and #... are no part of the pattern    A at the start only    E $ at the very end
                only    U not greedy    X without effect, as in PCRE2
    regexp      i case matters    m ^ and $ at newlines, . matches none    x basic expressions

A pattern is matched with the whole key, in its own case: parts of addresses are no keys.
"""

import time
from collections.abc import Callable
from typing import BinaryIO, Final, Literal

from msgspec import Struct

from mta.lookup import engine
from mta.lookup.engine import Engine, NoMatchError, compile_pattern
from mta.lookup.escapes import ExpressionError, plain_escapes
from mta.lookup.files import Source
from mta.lookup.lines import WHITE_SPACE, Wrong
from mta.lookup.posix import to_pcre
from mta.lookup.result import Parts, expand, parse_result
from mta.lookup.rules import Answer, Rule, Statement, first_result, read_rules
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT, TableError

__all__ = ["SIZE_LIMIT", "PatternRules", "PatternTable", "Syntax", "read_patterns"]

SIZE_LIMIT: Final = 1 << 20  # octets of the source
_TIME_LIMIT: Final = 0.5  # seconds for all rules together


class _Question(Struct, frozen=True):
    """A key, and how much time this thread may have used when the last rule is tried."""

    key: str
    until: float  # seconds of the thread's own time: a busy machine makes no rule fail


PatternRules = tuple[Rule[_Question], ...]
Syntax = Literal["pcre", "regexp"]

_WHITE_SPACE: Final = WHITE_SPACE.decode()
_PCRE_FLAGS: Final = {
    "i": engine.CASELESS,
    "m": engine.MULTILINE,
    "s": engine.DOTALL,
    "x": engine.EXTENDED,
    "A": engine.ANCHORED,
    "E": engine.DOLLAR_ENDONLY,
    "U": engine.UNGREEDY,
    "X": 0,
}
_BASIC: Final = engine.EXTENDED  # what POSIX calls extended is the other way round
_REGEXP_FLAGS: Final = {"i": engine.CASELESS, "m": engine.MULTILINE, "x": _BASIC}
_ON: Final = engine.CASELESS | engine.DOTALL  # unless a flag turns it off


class PatternTable:
    """The rules of `pcre` or `regexp`; not for several threads at once."""

    def __init__(self, name: str, source: Source[PatternRules]) -> None:
        self._name = name
        self._source = source

    @property
    def takes_parts(self) -> bool:
        """Patterns are matched with whole addresses only."""
        return False

    def find(self, key: str) -> str | None:
        """The result of the first rule that matches; TableError if that cannot be known."""
        rules = self._source.content()
        if len(key) > KEY_LIMIT:
            raise TableError(f"{self._name}: expected a key of at most {KEY_LIMIT} characters")
        return first_result(rules, _Question(key, time.thread_time() + _TIME_LIMIT))

    def identity(self) -> int:
        """A number that is another one once the rules may have changed."""
        return self._source.identity()


def read_patterns(
    syntax: Syntax, wrong: Wrong | None = None
) -> Callable[[BinaryIO, str], PatternRules]:
    """What reads the rules of a source in that syntax; SourceError has the place.

    With `wrong` all errors are told to it.
    """

    def read_statement(statement: Statement) -> Answer[_Question]:
        return _read_statement(statement, syntax)

    def read(stream: BinaryIO, name: str) -> PatternRules:
        return read_rules(stream, name, read_statement, wrong)

    return read


class _Pattern(Struct, frozen=True):
    """A pattern as it is written: where its text, its flags and what follows them start."""

    text: str
    flags: str
    negated: bool
    start: int
    flags_start: int
    end: int


def _read_statement(statement: Statement, syntax: Syntax) -> Answer[_Question]:
    pattern = _split(statement)
    compiled = _compile(statement, pattern, syntax)
    rest = statement.text[pattern.end :]
    result = rest.strip(_WHITE_SPACE)
    start = pattern.end + len(rest) - len(rest.lstrip(_WHITE_SPACE))
    if statement.conditional:
        if result:
            raise statement.error(start, "expected nothing after the pattern")
        return _answer(statement.place, compiled, ("holds",), negated=pattern.negated)
    if not result:
        raise statement.error(start, "expected a result after the pattern")
    if len(result.encode()) > VALUE_LIMIT:
        raise statement.error(start, f"expected a result of at most {VALUE_LIMIT} octets")
    try:
        # Where a pattern must not match, groups have nothing to say.
        parts = parse_result(result, 0 if pattern.negated else compiled.groups)
    except ExpressionError as error:
        raise statement.error(start + error.position, str(error)) from error
    return _answer(statement.place, compiled, parts, negated=pattern.negated)


def _split(statement: Statement) -> _Pattern:
    text = statement.text
    start = statement.start
    while start < len(text) and text[start] in _WHITE_SPACE + "!":
        start += 1
    if start == len(text) or text[start].isalnum():
        raise statement.error(start, "expected /PATTERN/FLAGS RESULT, if /PATTERN/ or endif")
    negated = text.count("!", statement.start, start) % 2 == 1
    delimiter = text[start]
    end = start + 1
    while end < len(text) and text[end] != delimiter:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise statement.error(start, f"expected a second {delimiter} after the pattern")
    flags_end = end + 1
    while flags_end < len(text) and text[flags_end] not in _WHITE_SPACE:
        flags_end += 1
    flags = text[end + 1 : flags_end]
    return _Pattern(text[start + 1 : end], flags, negated, start + 1, end + 1, flags_end)


def _compile(statement: Statement, pattern: _Pattern, syntax: Syntax) -> Engine:
    known = _PCRE_FLAGS if syntax == "pcre" else _REGEXP_FLAGS
    options = _ON
    for number, flag in enumerate(pattern.flags):
        if flag not in known:
            what = f"expected flags of {''.join(known)} after the pattern, got {flag}"
            raise statement.error(pattern.flags_start + number, what)
        options ^= known[flag]
    try:
        if syntax == "pcre":
            return compile_pattern(plain_escapes(pattern.text), options)
        return _compile_posix(pattern.text, options)
    except ExpressionError as error:
        raise statement.error(pattern.start + error.position, str(error)) from error


def _compile_posix(pattern: str, options: int) -> Engine:
    translated = to_pcre(
        pattern,
        basic=bool(options & _BASIC),
        multiline=bool(options & engine.MULTILINE),
    )
    try:
        return compile_pattern(translated, options & (engine.CASELESS | engine.DOTALL))
    except ExpressionError as error:
        raise ExpressionError(0, str(error)) from error  # its place is that in the translation


def _answer(place: str, compiled: Engine, parts: Parts, *, negated: bool) -> Answer[_Question]:
    def answer(question: _Question) -> str | None:
        if time.thread_time() > question.until:
            raise TableError(f"{place}: the rules before it take too long for this key")
        try:
            match = compiled.search(question.key)
            if negated:
                return expand(parts, _no_group) if match is None else None
            return None if match is None else expand(parts, match.group)
        except (NoMatchError, ValueError) as error:
            raise TableError(f"{place}: {error}: the rule cannot be applied to this key") from error

    return answer


def _no_group(_number: int) -> str | None:
    return None
