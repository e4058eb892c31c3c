"""Where a system lies, by main.yml alone: quick to find, and while the rest is being edited.

Nothing else is checked: commands for the running system must work beside mistakes in other values.
The default counts only where main.yml is without a mistake, for it may be the name that is wrong.
"""

import os
from typing import Any, Final

from mta.config.parameters import Parameters
from mta.config.problems import Problems
from mta.config.source import load
from mta.config.validate import check_fields, mapping

__all__ = ["MAIN", "find_log_file", "find_queue_directory", "find_tables"]

MAIN: Final = "main.yml"


def find_queue_directory(directory: str) -> str:
    """The queue directory; ConfigError if main.yml cannot be read or names none that is sound."""
    return str(_find(directory, "queue_directory"))


def find_log_file(directory: str) -> str:
    """The log file, likewise."""
    return str(_find(directory, "log_file"))


def find_tables(directory: str, name: str) -> tuple[str, ...]:
    """The tables of a parameter, likewise."""
    return tuple(_find(directory, name))


def _find(directory: str, name: str) -> Any:  # noqa: ANN401 - whatever the parameter takes
    problems = Problems()
    main = load(os.path.join(os.path.abspath(directory), MAIN), problems)
    entries = {} if main is None else mapping(main, "main", problems)
    if name not in entries or any(problem.name == name for problem in problems.errors):
        problems.raise_if_any()
        return getattr(Parameters(), name)
    own = Problems()
    values = check_fields({name: entries[name]}, Parameters, "main", own)
    own.raise_if_any()
    return values[name]
