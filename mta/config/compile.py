"""From the two files to one checked configuration: `main.yml`, `services.yml`, a profile."""

import os
import sys
from dataclasses import dataclass
from typing import Any

from mta.config.checks import check_meaning
from mta.config.parameters import Parameters
from mta.config.places import MAIN
from mta.config.snapshot import Service, Snapshot
from mta.config.source import Node, Problems, load
from mta.config.table import SERVICES, read_table
from mta.config.validate import check_fields, mapping
from mta.util.house import MASTER_LOGS

__all__ = ["MAIN", "Configuration", "compile_configuration"]


@dataclass(frozen=True)
class Configuration:
    """A valid configuration that has no generation yet."""

    directory: str  # absolute: where the two files are
    profile: str
    python: str  # the interpreter that runs the daemons: the one that compiles
    parameters: Parameters
    services: tuple[Service, ...]

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
    main = load(os.path.join(directory, MAIN), problems)
    services = load(os.path.join(directory, SERVICES), problems)
    values: dict[str, Any] = {} if main is None else _parameters(main, problems)
    table = None if services is None else read_table(services, problems)
    problems.raise_if_any()
    assert main is not None, "a file that is missing is a problem"
    assert table is not None, "a file that is missing is a problem"
    parameters = Parameters(**values)
    check_meaning(parameters, main, table, problems)
    problems.raise_if_any()
    return Configuration(
        directory=directory,
        profile=table.profile,
        python=sys.executable,
        parameters=parameters,
        services=tuple(row.service for row in table.rows.values()),
    )


def _parameters(main: Node, problems: Problems) -> dict[str, Any]:
    return check_fields(mapping(main, "main", problems), Parameters, "main", problems)
