"""The report: what was found, as Markdown, ratios first.

The law: nothing is in it that is not in the results, and whatever is missing is named with its
reason. A ratio is Posthouse to Postfix: of rates, more than 1 is faster; of all else, less is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.figures import Measure, Results, Spread
from bench.plan import GROUPS
from bench.plot import Plot, draw

__all__ = ["as_markdown", "number", "write_report"]

_INTRODUCTION: Final = """# Benchmarks

Posthouse beside Debian's Postfix: on one machine, with both queues on one disk, in turns. This page
is written by `make bench`.

A ratio is Posthouse to Postfix, pair by pair: the median, and the range in parentheses. Where more
is better, a ratio above 1 speaks for Posthouse; where less is, one below 1. The columns of the
servers are medians.
"""

_REPETITION: Final = """
## To repeat it

    make bench                        # as root: Postfix's master needs it
    make bench BENCH=--quick          # a trial
    make bench BENCH='relay-* budget' # some of it; --list names all

Wanted: Debian's `postfix` (installed, not necessarily running), `postfix-cdb` and `strace`. The
installed Postfix's own configuration and queue are not touched. The queues are made in /var/tmp, or
where `--directory` says, and removed afterwards; a file system in memory is refused, because it
makes fsync free. Let nothing else run meanwhile.
"""


def write_report(results: Results, folder: Path) -> None:
    """Write README.md and its plots into a folder; plots of what was not measured are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    plots = draw(results.measures, folder)
    (folder / "README.md").write_text(as_markdown(results, plots))


def as_markdown(results: Results, plots: Sequence[Plot]) -> str:
    """The whole report; `plots` lie beside it."""
    parts = [_INTRODUCTION, _circumstances(results)]
    for group, text in GROUPS.items():
        measures = [measure for measure in results.measures if measure.group == group]
        if measures:
            parts.append(_section(group, text, measures))
            parts += [f"\n![{plot.title}]({plot.file})\n" for plot in plots if plot.group == group]
    if results.failures:
        lines = [f"- {failure}" for failure in results.failures]
        parts.append("\n".join(["\n## Not measured\n", *lines, ""]))
    if results.commands:
        lines = [f"    {command}" for command in results.commands]
        parts.append("\n".join(["\n## Commands\n", *lines, ""]))
    parts.append(_REPETITION)
    return "".join(parts)


def _circumstances(results: Results) -> str:
    machine = results.machine
    lines = [
        f"- {results.date}, {results.pairs} pairs of runs, {results.minutes:.0f} minutes",
        f"- {machine.processor}, {machine.cores} cores, {machine.memory / 2**30:.0f} GiB",
        f"- load before the start: {machine.load:.2f}",
        f"- {machine.system}, Linux {machine.kernel}, queues on {machine.file_system}",
        f"- Posthouse {machine.posthouse} with Python {machine.python}",
        f"- Postfix {machine.postfix}, also smtp-source and smtp-sink",
    ]
    if results.quick:
        lines.insert(0, "- **A quick trial: these figures prove nothing.**")
    return "\n".join(["", *lines, ""])


def _section(group: str, text: str, measures: Sequence[Measure]) -> str:
    both = any(measure.postfix for measure in measures)
    columns = ["Ratio", "Posthouse", "Postfix"] if both else ["Posthouse"]
    rows = [
        _line(["", "", "Better", *columns]),
        _line(["---", "---", "---", *["---:"] * len(columns)]),
    ]
    case = ""
    for measure in measures:
        name = "" if measure.figure.name == measure.case else measure.figure.name
        cells = [
            "" if measure.case == case else measure.case,
            ", ".join(filter(None, (name, measure.figure.unit))),
            measure.figure.better,
        ]
        if both:
            cells += [_ratio(measure.ratio), _median(measure.posthouse), _median(measure.postfix)]
        else:
            cells.append(_median(measure.posthouse))
        rows.append(_line(cells))
        case = measure.case
    return "\n".join([f"\n## {group}\n", text, "", *rows, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(ratio: Spread | None) -> str:
    if ratio is None:
        return "-"
    return f"**{number(ratio.median)}** ({number(ratio.least)}-{number(ratio.most)})"


def _median(found: Spread | None) -> str:
    return "-" if found is None else number(found.median)


def number(value: float) -> str:
    """Three digits that count: 0.123, 1.23, 12.3, 1,234."""
    for most, digits in ((1, 3), (10, 2), (100, 1)):
        if abs(value) < most:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"
