"""From the two files to one checked configuration: `main.yml`, `services.yml`, a profile."""

import os
import sys
from dataclasses import dataclass
from typing import Any, Final

import mta
from mta.config.checks import check_meaning
from mta.config.origins import origins
from mta.config.parameters import Parameters
from mta.config.provenance import Files, Provenance
from mta.config.snapshot import Service, Snapshot
from mta.config.source import Node, Problems, load, parse, read
from mta.config.table import SERVICES, read_table
from mta.config.unfinished import refuse_unfinished
from mta.config.validate import check_fields, mapping
from mta.util.house import MASTER_LOGS

__all__ = [
    "MAIN",
    "Configuration",
    "compile_configuration",
    "find_log_file",
    "find_queue_directory",
]

MAIN: Final = "main.yml"
_REQUIRED: Final = ("queue_directory", "log_file")


@dataclass(frozen=True)
class Configuration:
    """A valid configuration that has no generation yet."""

    directory: str  # absolute: where the two files are
    profile: str
    python: str  # the interpreter that runs the daemons: the one that compiles
    parameters: Parameters
    services: tuple[Service, ...]
    provenance: Provenance  # of the very texts that were compiled

    @property
    def log_directory(self) -> str:
        """Where the mail log lies."""
        return os.path.dirname(self.parameters.log_file)

    @property
    def master_logs(self) -> str:
        """Where the master writes its own log and what dying daemons say: nobody else may."""
        return os.path.join(self.log_directory, MASTER_LOGS)

    def snapshot(self, generation: int, created: float) -> Snapshot:
        """The configuration as a generation; `created` is seconds since the epoch."""
        return Snapshot(
            version=1,
            generation=generation,
            created=created,
            profile=self.profile,
            python=self.python,
            parameters=self.parameters,
            services=self.services,
        )


def compile_configuration(directory: str) -> Configuration:
    """Read and check everything; ConfigError lists all that is wrong.

    What a value is comes first; only when all values are sound is it asked how they fit together.
    """
    directory = os.path.abspath(directory)
    problems = Problems()
    refuse_unfinished(directory, problems)
    main_text, main = _document(directory, MAIN, problems)
    services_text, services = _document(directory, SERVICES, problems)
    values: dict[str, Any] = {} if main is None else _parameters(main, problems)
    table = None if services is None else read_table(services, problems)
    problems.raise_if_any()
    assert main is not None, "a file that is missing is a problem"
    assert services is not None, "a file that is missing is a problem"
    assert table is not None, "likewise"
    parameters = Parameters(**values)
    check_meaning(parameters, main, table, problems)
    problems.raise_if_any()
    return Configuration(
        directory=directory,
        profile=table.profile,
        python=sys.executable,
        parameters=parameters,
        services=tuple(row.service for row in table.rows.values()),
        provenance=Provenance(
            directory=directory,
            release=mta.__version__,
            files=Files(main=main_text, services=services_text),
            origins=origins(main, services, table),
        ),
    )


def find_queue_directory(directory: str) -> str:
    """The queue directory alone, so that commands work while the rest is being edited."""
    return _find(directory, "queue_directory")


def find_log_file(directory: str) -> str:
    """The log file alone, likewise."""
    return _find(directory, "log_file")


def _find(directory: str, name: str) -> str:
    problems = Problems()
    main = load(os.path.join(os.path.abspath(directory), MAIN), problems)
    values: dict[str, Any] = {}
    if main is not None:
        values = _parameters(main, problems, only=name)
    problems.raise_if_any()
    return str(values[name])


def _document(directory: str, name: str, problems: Problems) -> tuple[str, Node | None]:
    text = read(os.path.join(directory, name), problems)
    return ("", None) if text is None else (text, parse(text, name, problems))


def _parameters(main: Node, problems: Problems, only: str = "") -> dict[str, Any]:
    entries = mapping(main, "main", problems)
    if only:
        entries = {name: node for name, node in entries.items() if name == only}
    for name in (only,) if only else _REQUIRED:
        if name not in entries:
            problems.add(main.place, f"main.{name}", "required")
    return check_fields(entries, Parameters, "main", problems)
