"""What a Markdown page says in code: blocks with their places, and words between backticks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Block", "Span", "blocks", "spans"]

_FENCE: Final = re.compile(r" *```(\w*)\s*\Z")
_HEADING: Final = re.compile(r"#+ +(.*)")
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_INDENT: Final = "    "


@dataclass(frozen=True)
class Block:
    """A block of code; `section` is the heading above it, and `language` empty if not said."""

    page: str
    line: int  # of its first line of code, from 1
    section: str
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Span:
    """Code within a sentence."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> list[Block]:
    """Fenced blocks and indented ones, in order."""
    found = []
    section, start, language = "", 0, ""
    code: list[str] | None = None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if code is None and fence:
            code, start, language = [], number + 1, fence[1]
        elif code is not None and fence:
            found.append(Block(page, start, section, language, "\n".join(code) + "\n"))
            code = None
        elif code is not None:
            code.append(line)
        elif heading := _HEADING.match(line):
            section = heading[1]
        elif line.startswith(_INDENT) and not lines[number - 2].startswith(_INDENT):
            found.append(Block(page, number, section, "", _indented(lines[number - 1 :])))
    assert code is None, f"{page}:{start}: a block without an end"
    return found


def spans(page: str, text: str) -> Iterator[Span]:
    """Code between backticks, outside of fenced blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= bool(_FENCE.match(line))
        if not (fenced or line.startswith(_INDENT)):
            yield from (Span(page, number, code) for code in _SPAN.findall(line))


def _indented(lines: list[str]) -> str:
    code = []
    for line in lines:
        if not line.startswith(_INDENT):
            break
        code.append(line.removeprefix(_INDENT))
    return "\n".join(code) + "\n"
