"""A report for people, for programs, and for the page with the last figures.

docs/reliability.md has a place for each proof, between two comments; a run with --output writes its
own and leaves the rest of the page alone.
"""

import re
from pathlib import Path

import msgspec

from reliability.proof import Proof, Report, Table

__all__ = ["Result", "as_json", "as_markdown", "insert"]


class Result(msgspec.Struct, frozen=True):
    """One run of a proof with all that tells how to repeat it."""

    proof: str
    claim: str
    command: str
    date: str  # ISO 8601
    seconds: float
    machine: str
    figures: dict[str, str]
    tables: list[Table]
    failures: list[str]

    @classmethod
    def of(
        cls, proof: Proof, report: Report, *, command: str, date: str, seconds: float, machine: str
    ) -> "Result":
        """What a run of this proof has found."""
        return cls(
            proof.name,
            proof.claim,
            command,
            date,
            round(seconds, 1),
            machine,
            report.figures,
            report.tables,
            report.failures,
        )


def as_json(result: Result) -> bytes:
    """The result for programs."""
    return msgspec.json.format(msgspec.json.encode(result)) + b"\n"


def as_markdown(result: Result) -> str:
    """The result for people: what was done, the figures, the tables, and what failed."""
    minutes = result.seconds / 60
    lines = [f"`{result.command}`, {result.date}, {minutes:.1f} minutes; {result.machine}.", ""]
    lines += _table(("", ""), tuple(result.figures.items()))
    for table in result.tables:
        lines += ["", f"{table.title}:", ""]
        lines += _table(table.heads, table.rows)
    if result.failures:
        lines += ["", "**Failed:**", "", *(f"- {_cell(failure)}" for failure in result.failures)]
    return "\n".join(lines) + "\n"


def insert(page: Path, name: str, text: str) -> None:
    """Put `text` in the place that the page has for a proof; ValueError if it has none."""
    begin, end = f"<!-- figures: {name} -->", "<!-- end -->"
    place = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    found = page.read_text()
    if not place.search(found):
        raise ValueError(f"{page}: expected a line {begin} and a line {end} behind it")
    page.write_text(place.sub(lambda _: f"{begin}\n\n{text}\n{end}", found, count=1))


def _table(heads: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> list[str]:
    if not rows:
        return []
    lines = [heads, tuple("---" for _ in heads), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
