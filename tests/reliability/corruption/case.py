"""One file in the queue, and what must become of it."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mta.queue.layout import State

__all__ = ["Case", "Fate", "Make"]

Make = Callable[[Path], None]


class Fate(enum.Enum):
    """What becomes of a file that is no healthy message."""

    DELIVERED = "delivered"  # whole, to those to whom it is owed: only its journal is damaged
    CORRUPT = "corrupt"  # set aside in corrupt/ as it was, with one line in the log
    IGNORED = "ignored"  # it stays, and the log says nothing
    TOLD = "told"  # it stays, for its name is foreign: one line
    STUCK = "stuck"  # it stays, for it cannot be moved: one line


@dataclass(frozen=True)
class Case:
    """A file that `make` makes; `name` is a queue id, or of what is foreign the path in its state.

    `owed` has the least and the most copies for each mailbox.
    """

    kind: str
    fate: Fate
    state: State
    name: str
    make: Make
    owed: Mapping[str, tuple[int, int]]
    notifiable: bool = True
