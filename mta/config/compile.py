"""From the two files to one checked configuration: `main.yml`, `services.yml`, a profile."""

import os
import sys
from dataclasses import dataclass
from typing import Any, Final

import msgspec

import mta
from mta.config.checks import check_meaning
from mta.config.derived import derived
from mta.config.origins import origins
from mta.config.parameters import Parameters
from mta.config.places import MAIN
from mta.config.problems import Place, Problem, Problems
from mta.config.provenance import Files, Provenance
from mta.config.snapshot import SNAPSHOT_LIMIT, Service, Snapshot
from mta.config.source import Node, parse, read
from mta.config.table import NO_TABLE, SERVICES, read_table
from mta.config.unfinished import refuse_unfinished
from mta.config.validate import check_fields, mapping
from mta.config.whole import Whole
from mta.util.house import MASTER_LOGS

__all__ = ["MAIN", "Configuration", "compile_configuration"]

_HEADROOM: Final = 64  # octets: for the generation's number and time


@dataclass(frozen=True)
class Configuration:
    """A valid configuration that has no generation yet."""

    directory: str  # absolute: where the two files are
    profile: str
    python: str  # the interpreter that runs the daemons: the one that compiles
    parameters: Parameters
    services: tuple[Service, ...]
    provenance: Provenance  # of the very texts that were compiled
    warnings: tuple[Problem, ...]
    places: dict[str, Place]  # of settings by name, and of the two files ("main", "services")

    def place_of(self, name: str) -> Place:
        """Where a setting (`services.smtp.user`) stands, or what it belongs to."""
        while name not in self.places:
            name = name.rpartition(".")[0]
        return self.places[name]

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
    """Read and check everything; ConfigError lists all that is wrong."""
    directory = os.path.abspath(directory)
    problems = Problems()
    refuse_unfinished(directory, problems)
    main_text, main = _document(directory, MAIN, problems)
    services_text, services = _document(directory, SERVICES, problems)
    whole = _judged(main, services, problems)
    problems.raise_if_any()
    assert main is not None, "a file that is missing is a problem"
    assert services is not None, "likewise"
    configuration = Configuration(
        directory=directory,
        profile=whole.table.profile,
        python=sys.executable,
        parameters=derived(whole),
        services=tuple(row.service for row in whole.table.rows.values()),
        provenance=Provenance(
            directory=directory,
            release=mta.__version__,
            files=Files(main=main_text, services=services_text),
            origins=origins(main, services, whole.table),
        ),
        warnings=problems.warnings,
        places=_places(whole),
    )
    _check_size(configuration, problems)
    problems.raise_if_any()
    return configuration


def _check_size(configuration: Configuration, problems: Problems) -> None:
    """What is larger could be written, and no daemon would load it."""
    size = len(msgspec.json.encode(configuration.snapshot(1, 0.0)))
    if size > SNAPSHOT_LIMIT - _HEADROOM:
        expected = f"at most {SNAPSHOT_LIMIT} octets once compiled, with all defaults"
        problems.add(Place(SERVICES), "services", expected, str(size), "remove rows or settings")


def _judged(main: Node | None, services: Node | None, problems: Problems) -> Whole:
    """Ask how everything fits together that is sound by itself."""
    entries, values, place = {}, dict[str, Any](), Place(MAIN)
    if main is not None:
        entries, place = mapping(main, "main", problems), main.place
        values = check_fields(entries, Parameters, "main", problems)
    unsound = frozenset(entries) - values.keys()
    if main is None or not isinstance(main.value, dict):
        unsound = frozenset(Parameters.__struct_fields__)
    table = NO_TABLE if services is None else read_table(services, problems)
    whole = Whole(Parameters(**values), entries, place, unsound, table, problems)
    check_meaning(whole)
    return whole


def _places(whole: Whole) -> dict[str, Place]:
    """Where both files set what they set."""
    places = {"main": whole.place}
    places.update((f"main.{name}", node.place) for name, node in whole.main.items())
    for row in whole.table.rows.values():
        path = f"services.{row.service.name}"
        places[path] = row.place
        places.update((f"{path}.{key}", row.place_of(key)) for key in row.nodes)
    return places


def _document(directory: str, name: str, problems: Problems) -> tuple[str, Node | None]:
    text = read(os.path.join(directory, name), problems)
    return ("", None) if text is None else (text, parse(text, name, problems))
