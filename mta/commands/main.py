"""The `mta` command: what it can do, and how it fails.

A subcommand's module is imported when it is called for, so that a quick question stays quick. All
failures end here, as `mta: PLACE: WHAT` on stderr and a status of sysexits.h:

A table that leaves something out, such as the queue, leaves its commands out, too.

    64 EX_USAGE         a mistake on the command line
    69 EX_UNAVAILABLE   the system does not run, or refused
    73 EX_CANTCREAT     a file is in the way
    75 EX_TEMPFAIL      not yet: try again
    77 EX_NOPERM        this user may not
    78 EX_CONFIG        the configuration is not valid; nothing was changed
"""

import errno
import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from mta.commands.failure import ControlError, Failure, MasterBusyError
from mta.config.errors import ConfigError, LockedError, SnapshotError

if TYPE_CHECKING:
    from mta.commands.extent import Subject

__all__ = ["Target", "mta"]

_DEFAULT_DIRECTORY: Final = "/etc/posthouse"
_VARIABLE: Final = "MTA_CONFIG"
# What each works on.
_COMMANDS: Final[dict[str, "Subject"]] = {
    "address": "",
    "check": "",
    "config": "",
    "init": "",
    "map": "",
    "probe": "smtp",
    "queue": "queue",
    **dict.fromkeys(("reference", "reload", "render", "restart", "start", "status", "stop"), ""),
    "trace": "log",
}
_NO_PERMISSION: Final = (errno.EACCES, errno.EPERM)

click.UsageError.exit_code = os.EX_USAGE  # sysexits.h, as everywhere else


@dataclass(frozen=True)
class Target:
    """The system that a command is about."""

    directory: str  # absolute: where main.yml and services.yml are

    @property
    def queue_directory(self) -> str:
        """The queue directory that main.yml names; ConfigError if it names none."""
        from mta.config.places import find_queue_directory  # noqa: PLC0415 - yaml takes its time

        return find_queue_directory(self.directory)

    @property
    def log_file(self) -> str:
        """The log file that main.yml names; ConfigError if it names none."""
        from mta.config.places import find_log_file  # noqa: PLC0415 - as above

        return find_log_file(self.directory)

    def leaves_out(self, command: str) -> str:
        """Why the table that was rendered last has nothing for that command; else nothing.

        A configuration that cannot be read leaves out nothing: the command itself has the words.
        """
        subject = _COMMANDS.get(command, "")
        if not subject or not os.path.exists(os.path.join(self.directory, "main.yml")):
            return ""
        from mta.commands.extent import leaves_out  # noqa: PLC0415 - as above
        from mta.config.generations import GenerationFolder  # noqa: PLC0415

        try:
            snapshot = GenerationFolder(self.queue_directory).latest()
        except (ConfigError, SnapshotError, OSError):
            return ""
        return leaves_out(snapshot, subject) if snapshot else ""


class Programs(click.Group):
    """The subcommands, each in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names for --help."""
        directory = ctx.params.get("directory") or os.environ.get(_VARIABLE, _DEFAULT_DIRECTORY)
        target = Target(os.path.abspath(directory))
        return [name for name in _COMMANDS if not target.leaves_out(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"mta.commands.{cmd_name}"), cmd_name
        )
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; what it raises becomes words and a status."""
        try:
            return super().invoke(ctx)
        except (ConfigError, SnapshotError) as error:
            raise Failure(str(error), os.EX_CONFIG) from error
        except (LockedError, MasterBusyError) as error:
            raise Failure(str(error), os.EX_TEMPFAIL) from error
        except ControlError as error:
            raise Failure(str(error), os.EX_UNAVAILABLE) from error
        except BrokenPipeError:
            raise  # click ends quietly when the reader has gone
        except OSError as error:
            status = os.EX_NOPERM if error.errno in _NO_PERMISSION else os.EX_OSERR
            raise Failure(str(error), status) from error


@click.group(cls=Programs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "directory",
    envvar=_VARIABLE,
    is_eager=True,  # --help, which is eager as well, shows what there is for this one
    default=_DEFAULT_DIRECTORY,
    show_default=True,
    show_envvar=True,
    metavar="DIRECTORY",
    help="Where main.yml and services.yml are.",
)
@click.pass_context
def mta(context: click.Context, directory: str) -> None:
    """Posthouse, a mail transfer agent: configure it, run it, look into it."""
    target = Target(os.path.abspath(directory))
    command = context.invoked_subcommand or ""
    if reason := target.leaves_out(command):
        raise Failure(f"{command}: {reason}", os.EX_UNAVAILABLE)
    context.obj = target
