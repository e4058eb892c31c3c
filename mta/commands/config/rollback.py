"""`mta config rollback`: the files of an older generation, in force again without refusing anybody.

1. The files of that generation are checked by this release, in a folder of their own.
2. They replace the operator's; what no generation has is kept under another name.
3. They are compiled: a new generation, for numbers only grow.
4. The master reloads, as after `mta reload`.

What fails in 1 has changed nothing; what fails in 2 to 4 is put back. The lock is held throughout,
so no other command renders something else meanwhile.
"""

import contextlib
import os
from typing import Any

import click
import msgspec

from mta.commands.config.history import History
from mta.commands.config.options import Options
from mta.commands.config.replacement import Replacement, candidate, replace
from mta.commands.control import Changes, Control
from mta.commands.failure import ControlError, Failure, MasterBusyError, NotRunningError
from mta.commands.host import lacks
from mta.commands.output import as_text
from mta.commands.reload import change_lines
from mta.commands.render import described, make_folders, validated, write_locked
from mta.config.errors import ConfigError, SnapshotError
from mta.config.generations import LockedFolder
from mta.config.provenance import Files
from mta.config.write import Rendered

__all__ = ["rollback"]

_NOT_RUNNING = "the system does not run: `mta start` starts it with this"


@click.command()
@click.argument("generation", metavar="[N]", required=False, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_obj
def rollback(options: Options, generation: int | None, as_json: bool) -> None:
    """Put the files of generation N back, and in force; no connection is refused meanwhile.

    Without N it is the generation before the one in force. Changes to the files that were never
    rendered are kept beside them, as NAME.unused.
    """
    queue_directory = options.queue_directory
    folder = History.of(queue_directory).folder
    with folder.locked() as locked:
        history = History.of(queue_directory)
        number = generation or history.before(history.in_force)
        files = history.provenance(number).files
        _check(options.directory, files, number, queue_directory)
        known = _known(history)
        done = replace(options.directory, files, number, in_force=history.in_force, known=known)
        rendered, changes = _put_in_force(options.directory, locked, history, done)
    if as_json:
        click.echo(as_text(_object(number, rendered, done, changes)))
        return
    click.echo(f"the files are those of generation {number} again")
    for path in done.unused:
        click.echo(f"what was never rendered is kept: {path}")
    click.echo(described(rendered))
    for line in change_lines(changes) if changes is not None else (_NOT_RUNNING,):
        click.echo(line)


def _check(directory: str, files: Files, number: int, queue_directory: str) -> None:
    """Whether the files are valid today, with this release and on this host."""
    with candidate(directory, files) as folder:
        try:
            configuration = validated(folder)
            if missing := lacks(configuration):
                raise ConfigError(missing)
        except ConfigError as error:
            text = f"generation {number} is not valid any more:\n{error}"
            raise Failure(text, os.EX_CONFIG) from error
    named = configuration.parameters.queue_directory
    if not os.path.exists(named) or not os.path.samefile(named, queue_directory):
        raise Failure(f"generation {number} is for the queue directory {named}", os.EX_CONFIG)


def _known(history: History) -> list[Files]:
    """The texts of all generations."""
    known = []
    for number in history.numbers:
        with contextlib.suppress(SnapshotError):  # a damaged one keeps nothing
            known.append(history.provenance(number).files)
    return known


def _put_in_force(
    directory: str, locked: LockedFolder, history: History, done: Replacement
) -> tuple[Rendered, Changes | None]:
    """Compile the files, and have them loaded; None where no master runs.

    Whatever fails, the files are as they were, and the master would start with what it has.
    """
    conf = locked.conf()
    try:
        configuration = validated(directory)
        make_folders(configuration)
        rendered = write_locked(locked, configuration)
        if not history.running:
            return rendered, None
        control = Control(configuration.parameters.queue_directory)
        return rendered, control.reload(rendered.generation)
    except NotRunningError:
        return rendered, None  # it ended meanwhile
    except MasterBusyError as error:
        # It may have done it: to take the files from under it would be the worse mistake.
        text = f"{error}\ngeneration {rendered.generation} is written: repeat `mta reload`"
        raise Failure(text, os.EX_TEMPFAIL) from error
    except BaseException as error:
        done.undo()
        locked.write_conf(conf)
        if isinstance(error, ControlError):
            text = f"refused: {error}\nthe files are as they were, and so is what is in force"
            raise Failure(text, os.EX_UNAVAILABLE) from error
        raise


def _object(
    number: int, rendered: Rendered, done: Replacement, changes: Changes | None
) -> dict[str, Any]:
    return {
        "restored": number,
        "generation": rendered.generation,
        "changes": list(rendered.changes),
        "unused": list(done.unused),
        "in_force": changes is not None,
        "reload": None if changes is None else msgspec.to_builtins(changes),
    }
