"""Tables of rules, which are tried from the top until one matches: cidr, pcre, regexp.

    PATTERN RESULT      the result, if the pattern matches
    if PATTERN          what comes up to its endif is tried only if the pattern matches; they nest
    endif

Postfix warns of a rule that is wrong, and goes on without it. Here it is an error: another rule
would match in its place.
"""

import re
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final, Generic, TypeVar

from msgspec import Struct

from mta.lookup.lines import Line, SourceError, Wrong, read_lines, report

__all__ = ["Answer", "Rule", "Statement", "first_result", "read_rules"]

Subject = TypeVar("Subject")
Answer = Callable[[Subject], str | None]  # the result; of an `if`, any text if it holds

_WORD: Final = re.compile(r"(if|endif)(?![0-9A-Za-z])[ \t\n\v\f\r]*", re.IGNORECASE)


class Rule(Struct, Generic[Subject], frozen=True):
    """One rule; of an `if`, `end` is the number of the rule that comes after its endif."""

    answer: Answer[Subject]
    end: int = 0


class Statement(Struct, frozen=True):
    """One logical line of a table of rules: its text, and where in it pattern and result start."""

    name: str  # the file's
    line: Line
    text: str
    start: int
    conditional: bool

    def error(self, position: int, what: str) -> SourceError:
        """What is wrong at a position of the text."""
        offset = len(self.text[:position].encode())
        return self.line.error(self.name, offset, what)

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.name}:{self.line.place(0)[0]}"


def read_rules(
    stream: BinaryIO,
    name: str,
    read: Callable[[Statement], Answer[Subject]],
    wrong: Wrong | None = None,
) -> tuple[Rule[Subject], ...]:
    """The rules of a source, of which `read` makes what answers; SourceError has the place.

    With `wrong` each error is told to it, and the rules that are left are worth nothing then.
    """
    rules: list[Rule[Subject]] = []
    opened: list[tuple[int, Statement]] = []
    for line in read_lines(stream, name, wrong):
        try:
            _read_rule(line, name, read, rules, opened)
        except SourceError as error:
            report(error, wrong)
    if opened:
        report(opened[-1][1].error(0, "expected an endif for this if"), wrong)
    return tuple(rules)


def _read_rule(
    line: Line,
    name: str,
    read: Callable[[Statement], Answer[Subject]],
    rules: list[Rule[Subject]],
    opened: list[tuple[int, Statement]],
) -> None:
    """Append the rule of a line, or close the `if` that it ends."""
    text = line.decode(name)
    word = _WORD.match(text)
    keyword = word[1].lower() if word else ""
    start = word.end() if word else 0
    statement = Statement(name, line, text, start, conditional=keyword == "if")
    if keyword != "endif":
        if statement.conditional:
            opened.append((len(rules), statement))
        rules.append(Rule(_nothing))
        rules[-1] = Rule(read(statement))
        return
    if start != len(text):
        raise statement.error(start, "expected nothing after endif")
    if not opened:
        raise statement.error(0, "expected an if before this endif")
    number, _ = opened.pop()
    rules[number] = Rule(rules[number].answer, len(rules))


def _nothing(_subject: object) -> str | None:
    """The answer of a rule that is wrong."""
    return None


def first_result(rules: Sequence[Rule[Subject]], subject: Subject) -> str | None:
    """The result of the first rule that matches, if one does; whatever an answer raises."""
    number = 0
    while number < len(rules):
        rule = rules[number]
        number += 1
        result = rule.answer(subject)
        if rule.end:
            if result is None:
                number = rule.end
        elif result is not None:
            return result
    return None
