"""What all experiments share: a name to be chosen by, and one measurement of one server.

The law: `measure` takes one server's turn and nothing else happens meanwhile; both servers run, one
works. `prepare` and `finish` frame all turns of an experiment, on each server, and are not timed.
"""

from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure
from bench.server import Server

__all__ = ["Experiment", "Setting"]


@dataclass(frozen=True)
class Setting:
    """What experiments have at hand beside the server."""

    sink: int  # the port that both servers relay to; nobody listens there between experiments
    scratch: Path  # an existing folder


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of the plan; `size` is the number that grows within a group, or 0."""

    name: str
    group: str
    case: str
    seconds: float  # about how long one turn takes, for the forecast only
    size: int = 0
    only_posthouse: bool = False

    def prepare(self, server: Server, setting: Setting) -> None:
        """Get a server ready for its turns."""

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        """One turn; BenchError when there is no result."""
        raise NotImplementedError

    def finish(self, server: Server, setting: Setting) -> None:
        """Undo `prepare`; also called when a turn failed."""

    def row(self, figure: Figure) -> str:
        """The name of the row that a figure stands in."""
        del figure
        return self.case

    def command(self) -> str:
        """The shell command behind it, or nothing."""
        return ""
