"""`mta start`: render, run the master, and wait until mail can flow."""

import contextlib
import os
import subprocess
import time
from typing import Final

import click

from mta.commands.control import Control, MasterStatus
from mta.commands.extent import no_service
from mta.commands.failure import ControlError, Failure, MasterBusyError, NotRunningError
from mta.commands.host import faults
from mta.commands.render import described, render_generation
from mta.config.compile import Configuration
from mta.config.generations import SUPERVISORD_CONF
from mta.config.problems import Severity

__all__ = ["start"]

_PATIENCE: Final = 30.0  # seconds until all resident services run
_LOOK: Final = 0.05  # seconds
_TAIL: Final = 20  # lines of the master's log that a failure shows
_REFUSAL: Final = "the master cannot run: "  # how the plugin says what an operator can mend
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Nothing else of the caller's environment reaches the daemons.
_INHERITED: Final = ("TZ",)
_INHERITED_FROM_SYSTEMD: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@click.command()
@click.option("--foreground", is_flag=True, help="Become the master, for a service manager.")
@click.pass_context
def start(context: click.Context, foreground: bool) -> None:
    """Render the configuration, start the master, and wait until its services are ready."""
    control = Control(context.obj.queue_directory)
    running = _running(control)
    if running is not None:
        click.echo(f"already running, generation {running.generation}")
        return
    configuration, rendered = render_generation(context.obj.directory)
    _refuse_unsafe_host(configuration)
    if not configuration.services:
        click.echo(described(rendered))
        click.echo(f"{no_service(configuration.profile)}: there is nothing to start")
        return
    if foreground:
        _become_master(configuration)
    log_path = os.path.join(configuration.master_logs, "supervisord.log")
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        old_size = os.fstat(log).st_size
        master = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            _command(configuration),
            cwd=configuration.parameters.queue_directory,
            env=_environment(_INHERITED),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    reason = _wait(control, master, configuration)
    if reason:
        raise Failure(f"{reason}{_story(log_path, old_size)}", os.EX_UNAVAILABLE)
    click.echo(f"running; {described(rendered)}")


def _running(control: Control) -> MasterStatus | None:
    try:
        found = control.status()
    except NotRunningError:
        return None
    if found.draining:
        raise MasterBusyError("the system is stopping: try again when it has stopped")
    return found


def _refuse_unsafe_host(configuration: Configuration) -> None:
    """Root runs no code, and writes no log, where somebody else could have put them."""
    if os.geteuid() != 0:
        return
    wrong = [each for each in faults(configuration) if each.severity is Severity.ERROR]
    if wrong:
        raise Failure("\n".join(map(str, wrong)), os.EX_CONFIG)


def _command(configuration: Configuration) -> list[str]:
    conf = os.path.join(configuration.parameters.queue_directory, SUPERVISORD_CONF)
    return [configuration.python, "-I", "-m", "supervisor.supervisord", "-c", conf]


def _environment(inherited: tuple[str, ...]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in inherited if name in os.environ}
    return {"PATH": _PATH, "LANG": "C.UTF-8", **kept}


def _become_master(configuration: Configuration) -> None:
    os.chdir(configuration.parameters.queue_directory)
    command = _command(configuration)
    os.execve(command[0], command, _environment(_INHERITED + _INHERITED_FROM_SYSTEMD))  # noqa: S606


def _wait(control: Control, master: "subprocess.Popen[bytes]", configuration: Configuration) -> str:
    """Wait until all resident services run; the reason why not, or nothing."""
    resident = {row.name for row in configuration.services if row.restart == "always"}
    missing = resident
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if master.poll() is not None:
            return f"the master ended with status {master.returncode}"
        with contextlib.suppress(ControlError):  # it does not answer yet
            services = control.status().services
            missing = resident - {row.name for row in services if row.state == "running"}
            if not missing:
                return ""
        time.sleep(_LOOK)
    return f"not ready after {_PATIENCE:g} s, but still trying: {' '.join(sorted(missing))}"


def _story(path: str, start: int) -> str:
    """What the master's log says since `start`: its reason not to run, or its last lines."""
    with open(path, "rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").splitlines()
    for line in lines:
        before, refused, reason = line.partition(_REFUSAL)
        if refused and " CRIT " in before:
            return f": {reason}"
    return "\n".join(["", *lines[-_TAIL:]])
