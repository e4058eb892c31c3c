"""What subcommands print: JSON for programs, tables for people."""

import json
from collections.abc import Sequence

import click

__all__ = ["as_text", "table"]


def as_text(value: object) -> str:
    """JSON, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def table(head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """Aligned columns; columns of numbers are aligned to the right."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    numeric = [
        bool(rows) and all(isinstance(row[at], int) for row in rows) for at in range(len(head))
    ]

    def line(row: Sequence[str]) -> str:
        columns = zip(row, widths, numeric, strict=True)
        return "  ".join(t.rjust(w) if n else t.ljust(w) for t, w, n in columns).rstrip()

    return "\n".join([click.style(line(head), bold=True), *map(line, cells)])
