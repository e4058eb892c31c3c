"""`mta check`: all that is wrong with a configuration, and what would put it in force.

It needs neither root nor a running system, changes nothing, and says the same to everybody; only
`--host`, which looks at this host, sees what its user may see.
"""

import os
from dataclasses import dataclass
from typing import Final

import click

from mta.commands.control import Control
from mta.commands.failure import ControlError
from mta.commands.host import faults, is_ours, lacks
from mta.commands.output import as_text
from mta.commands.render import validated
from mta.config.compile import Configuration
from mta.config.errors import ConfigError, SnapshotError
from mta.config.generations import Generation, GenerationFolder
from mta.config.parameters import Parameters
from mta.config.problems import Place, Problem, Severity
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot
from mta.config.uses import uses
from mta.config.write import differences

__all__ = ["check"]

_COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


@dataclass(frozen=True)
class _Findings:
    """What there is to say; `host` is None where it was to be looked at and could not be."""

    valid: str = ""  # what is valid, in words
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    changes: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    host: list[Problem] | None = None

    @property
    def status(self) -> int:
        """The exit status."""
        problems = (*self.errors, *(self.host or ()))
        is_wrong = any(each.severity is Severity.ERROR for each in problems)
        return os.EX_CONFIG if is_wrong else os.EX_OK

    @property
    def json(self) -> str:
        """The object for programs."""
        host = None if self.host is None else [fault.fields for fault in self.host]
        return as_text(
            {
                "errors": [problem.fields for problem in self.errors],
                "warnings": [problem.fields for problem in self.warnings],
                "changes": self.changes,
                "needs_restart": self.needs_restart,
                "host": host,
            }
        )


@click.command()
@click.argument("directory", required=False, metavar="[DIR]")
@click.option("--host", is_flag=True, help="Look at this host, too: users, owners, modes.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_context
def check(context: click.Context, directory: str | None, host: bool, as_json: bool) -> None:
    """Check main.yml and services.yml in DIR, by default those of the system.

    Everything wrong is told at once, each line with FILE:LINE:COLUMN in front. Tell also what `mta
    reload` would change in the system that runs, and what it cannot. Exit status 78 when anything
    is wrong; warnings alone are no failure.
    """
    findings = _findings(os.path.abspath(directory or context.obj.directory), host)
    if as_json:
        click.echo(findings.json)
    else:
        _tell(findings)
    context.exit(findings.status)


def _findings(directory: str, host: bool) -> _Findings:
    try:
        configuration = validated(directory)
    except ConfigError as error:
        return _Findings(errors=error.problems, warnings=error.warnings, host=[])
    names = " ".join(row.name for row in configuration.services) or "none"
    wrong = _host_faults(configuration) if host else []
    try:
        changes, needs_restart = _compared(configuration)
    except SnapshotError as error:
        changes, needs_restart = (), ()
        wrong = [*(wrong or ()), _damage(configuration, error)]
    return _Findings(
        valid=f"profile {configuration.profile}, services {names}",
        warnings=configuration.warnings,
        changes=changes,
        needs_restart=needs_restart,
        host=wrong,
    )


def _damage(configuration: Configuration, error: SnapshotError) -> Problem:
    """The system runs with a generation that it could start no daemon with."""
    place = os.path.join(configuration.parameters.queue_directory, SNAPSHOT_DIRECTORY)
    return Problem(Place(place), "", "a generation in force that can be read", str(error))


def _tell(findings: _Findings) -> None:
    for problem in (*findings.errors, *findings.warnings, *(findings.host or ())):
        for line in problem.lines:
            click.secho(line, err=True, fg=_COLOURS[problem.severity])
    if findings.valid:
        click.echo(f"valid: {findings.valid}")
    if findings.changes:
        click.echo("`mta reload` would change: " + "; ".join(findings.changes))
    for reason in findings.needs_restart:
        click.echo(f"needs `mta stop` and `mta start`: {reason}")
    if findings.host is None:
        click.echo("the host was not looked at: the queue directory is another user's")


def _host_faults(configuration: Configuration) -> list[Problem] | None:
    if is_ours(configuration):
        return faults(configuration)
    exists = os.path.exists(configuration.parameters.queue_directory)
    return None if exists else lacks(configuration)


def _compared(configuration: Configuration) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What differs from the system that runs, and what of it a reload cannot change."""
    in_force = _in_force(configuration)
    if in_force is None:
        return (), ()
    return differences(in_force, configuration), _beyond_reload(in_force.snapshot, configuration)


def _in_force(configuration: Configuration) -> Generation | None:
    """What the system of that queue directory runs with; None if it cannot be asked."""
    queue_directory = configuration.parameters.queue_directory
    try:
        generation = Control(queue_directory).status().generation
    except (ControlError, OSError):  # not running, not to be asked by this user, or busy
        return None
    return GenerationFolder(queue_directory).load(generation)


def _beyond_reload(old: Snapshot, new: Configuration) -> tuple[str, ...]:
    reasons = [
        f"the master keeps the {name} that it began with"
        for name in Parameters.__struct_fields__
        if uses()[name].change == "restart"
        and getattr(old.parameters, name) != getattr(new.parameters, name)
    ]
    if old.python != new.python:
        reasons.append(f"the master itself keeps running with {old.python}")
    return tuple(reasons)
