"""The plots: small, the same colours everywhere, and the same octets for the same results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bench.figures import Measure, Spread

__all__ = ["Plot", "draw"]

_COLOURS: Final = {"Posthouse": "#d9480f", "Postfix": "#868e96"}
_DAEMON_COLOURS: Final = "tab20"
_DOTS: Final = 110  # per inch
_SETTINGS: Final[dict[Any, Any]] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Plot:
    """A picture that belongs to a group of the report."""

    group: str
    file: str
    title: str


def draw(measures: Sequence[Measure], folder: Path) -> list[Plot]:
    """Draw what the measures hold into a folder; what was not measured has no plot."""
    table: tuple[tuple[Plot, Callable[[Sequence[Measure]], Canvas | None]], ...] = (
        (Plot("Relaying", "relaying.png", "Ratios by workload"), _ratios),
        (Plot("Sessions", "sessions.png", "Growth with sessions"), _growth),
        (Plot("Backlog", "backlog.png", "Growth with deferred mail"), _growth),
        (Plot("CPU by daemon", "daemons.png", "CPU a message by daemon"), _daemons),
    )
    drawn = []
    with mpl.rc_context(_SETTINGS):
        for plot, picture in table:
            canvas = picture([one for one in measures if one.group == plot.group])
            if canvas is not None:
                # Without the program's version, so that the same results are the same file.
                path = folder / plot.file
                canvas.savefig(path, dpi=_DOTS, metadata={"Software": None})
                drawn.append(plot)
    return drawn


def _ratios(measures: Sequence[Measure]) -> Canvas | None:
    """One panel a figure: a bar for each workload, with its range, and a line at 1."""
    found = [(one, one.ratio) for one in measures if one.ratio is not None]
    names = list(dict.fromkeys(one.figure.name for one, _ in found))
    cases = list(dict.fromkeys(one.case for one, _ in found))
    if not found:
        return None
    canvas = Canvas(figsize=(7.2, 1.1 + 0.32 * len(cases)), layout="constrained")
    canvas.suptitle("Posthouse to Postfix, which is 1", fontsize=8)
    for number, name in enumerate(names):
        axes = canvas.add_subplot(1, len(names), number + 1)
        chosen = [(one.case, ratio) for one, ratio in found if one.figure.name == name]
        for case, ratio in chosen:
            _bar(axes, cases.index(case), ratio)
        axes.axvline(1.0, color=_COLOURS["Postfix"], linewidth=1)
        axes.set_yticks(range(len(cases)), cases if number == 0 else [""] * len(cases))
        axes.invert_yaxis()
        better = next(one.figure.better for one, _ in found if one.figure.name == name)
        axes.set_title(f"{name}\n({better} is better)", fontsize=8)
        axes.set_xlim(left=0)
    return canvas


def _bar(axes: Axes, place: int, ratio: Spread) -> None:
    errors = [[ratio.median - ratio.least], [ratio.most - ratio.median]]
    axes.barh(place, ratio.median, height=0.6, color=_COLOURS["Posthouse"], xerr=errors)
    axes.text(0.02, place, f"{ratio.median:.2f}", va="center", color="white", fontweight="bold")


def _growth(measures: Sequence[Measure]) -> Canvas | None:
    """One panel a figure: both servers over what grows."""
    figures = list(dict.fromkeys(one.figure for one in measures))
    if len({one.size for one in measures}) < 2:
        return None
    canvas = Canvas(figsize=(7.2, 2.4), layout="constrained")
    for number, figure in enumerate(figures):
        axes = canvas.add_subplot(1, len(figures), number + 1)
        chosen = sorted((one for one in measures if one.figure == figure), key=lambda one: one.size)
        _line(axes, "Posthouse", [(one.size, one.posthouse) for one in chosen])
        _line(axes, "Postfix", [(one.size, one.postfix) for one in chosen])
        axes.set_xscale("symlog" if chosen[0].size == 0 else "log")
        axes.set_xticks([one.size for one in chosen], [f"{one.size:,}" for one in chosen])
        axes.minorticks_off()
        axes.tick_params(axis="x", rotation=45)
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)
        axes.set_title(f"{figure.name} ({figure.unit})", fontsize=8)
        axes.legend()
    return canvas


def _line(axes: Axes, name: str, points: Sequence[tuple[int, Spread | None]]) -> None:
    known = [(size, found) for size, found in points if found is not None]
    if not known:
        return
    sizes = [size for size, _ in known]
    axes.plot(
        sizes, [found.median for _, found in known], marker="o", color=_COLOURS[name], label=name
    )
    least, most = [found.least for _, found in known], [found.most for _, found in known]
    axes.fill_between(sizes, least, most, color=_COLOURS[name], alpha=0.2, linewidth=0)


def _daemons(measures: Sequence[Measure]) -> Canvas | None:
    """One bar a server, its daemons stacked."""
    servers = {
        "Posthouse": [(one.figure.name, one.posthouse) for one in measures],
        "Postfix": [(one.figure.name, one.postfix) for one in measures],
    }
    if not measures:
        return None
    canvas = Canvas(figsize=(7.2, 2.0), layout="constrained")
    axes = canvas.add_subplot()
    colours = mpl.colormaps[_DAEMON_COLOURS]
    names = list(dict.fromkeys(one.figure.name for one in measures))
    labelled: set[str] = set()
    for server, parts in servers.items():
        left = 0.0
        for name, found in parts:
            if found is None or not found.median:
                continue
            label = "" if name in labelled else name
            labelled.add(name)
            axes.barh(
                server, found.median, left=left, color=colours(names.index(name)), label=label
            )
            left += found.median
    axes.set_xlabel("ms of CPU a message")
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
    return canvas
