"""What the table of parameters says of each one's use."""

import functools
import typing

from mta.config.parameters import Parameters
from mta.config.types import Used
from mta.config.validate import fields_of

__all__ = ["SHARED", "uses"]


@functools.cache
def uses() -> dict[str, Used]:
    """Who uses each parameter, since when, and what a change takes; in the table's order."""
    return {
        name: next(note for note in typing.get_args(hint) if isinstance(note, Used))
        for name, hint in fields_of(Parameters).items()
    }


# The house has one master, which asks no row for its settings.
SHARED = frozenset(name for name, used in uses().items() if "master" in used.by)
