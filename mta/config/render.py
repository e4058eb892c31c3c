"""`supervisord.conf` from a configuration: one program for each row, slots for its processes."""

import os
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

import mta
from mta.config.compile import Configuration
from mta.config.conf import command_line, literal
from mta.config.snapshot import Service
from mta.util.house import MASTER_SOCKET, RELOAD_PROGRAM, stage_of
from mta.util.listen import parse_listen

__all__ = ["TEMPLATE", "render_supervisord", "template_directory", "template_environment"]

TEMPLATE: Final = "etc/posthouse/supervisord.conf.j2"

# A socket's path is limited to 107 octets, and Supervisor binds it with its process id appended.
_SOCKET_LIMIT: Final = 100


def template_directory() -> str:
    """Where the templates are: in the package when installed, beside it in a source tree."""
    package = os.path.dirname(os.path.abspath(mta.__file__))
    installed = os.path.join(package, "templates")
    return installed if os.path.isdir(installed) else os.path.join(package, "..", "templates")


def template_environment() -> Environment:
    """Our templates, by their destination's path; nothing in them is HTML."""
    return Environment(
        loader=FileSystemLoader(template_directory()),
        autoescape=select_autoescape(()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_supervisord(configuration: Configuration, generation: int) -> str:
    """The text of supervisord.conf; ConfigError names a value that it cannot hold."""
    environment = template_environment()
    environment.filters |= {"literal": literal, "command": command_line}
    queue_directory = configuration.parameters.queue_directory
    return environment.get_template(TEMPLATE).render(
        queue_directory=queue_directory,
        master_logs=configuration.master_logs,
        generation=generation,
        socket=_socket_path(queue_directory),
        programs=[
            {
                "row": row,
                "command": _command_of(row, configuration.python),
                # Supervisor, too, ends in the order in which the house is drained.
                "priority": stage_of(row.daemon, map(parse_listen, row.listen)).value,
            }
            for row in configuration.services
        ],
        runs_as_root=os.geteuid() == 0,
        reload_program=RELOAD_PROGRAM,
        reload_command=(
            configuration.python,
            *("-I", "-m", "mta.commands", "-c", configuration.directory, "reload"),
        ),
    )


def _socket_path(queue_directory: str) -> str:
    """Supervisor's own socket: relative to the process where the name would be too long."""
    path = os.path.join(queue_directory, MASTER_SOCKET)
    short = len(os.fsencode(path)) <= _SOCKET_LIMIT
    return path if short else f"/proc/self/cwd/{MASTER_SOCKET}"


def _command_of(row: Service, python: str) -> tuple[str, ...]:
    return row.command or (python, "-I", "-m", f"mta.daemons.{row.daemon}")
