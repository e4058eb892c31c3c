"""`mta stop`: drain, and wait for the end."""

import os
import select
import signal
import sys
import time
from typing import Final

import click

from mta.commands.control import Control
from mta.commands.extent import no_service, table_without_rows
from mta.commands.failure import ControlError, Failure, NotRunningError

__all__ = ["stop"]

_PATIENCE: Final = 75.0  # seconds: four stages of 10, Supervisor's own end, and room
_LOOK: Final = 1.0  # seconds between two lines of progress


@click.command()
@click.pass_context
def stop(context: click.Context) -> None:
    """Let the mail in hand drain, stop all processes, and wait for their end."""
    control = Control(context.obj.queue_directory)
    master = control.master()
    if master is None:
        empty = table_without_rows(context.obj.queue_directory)
        click.echo(f"not running: {no_service(empty.profile)}" if empty else "not running")
        return
    try:
        process = os.pidfd_open(master)
    except ProcessLookupError:  # it has just ended
        click.echo("not running")
        return
    try:
        _ask(control, process)
        _wait(control, process, master)
    finally:
        os.close(process)
    click.echo("stopped")


def _ask(control: Control, process: int) -> None:
    try:
        control.stop()
    except NotRunningError:  # it holds the lock and does not listen yet, or no longer
        signal.pidfd_send_signal(process, signal.SIGTERM)


def _wait(control: Control, process: int, master: int) -> None:
    poller = select.poll()
    poller.register(process, select.POLLIN)
    deadline = time.monotonic() + _PATIENCE
    said = ""
    while not poller.poll(_LOOK * 1000):
        if time.monotonic() > deadline:
            text = f"the master ({master}) has not ended within {_PATIENCE:g} s"
            raise Failure(f"{text}; waiting for {_waiting(control)}", os.EX_TEMPFAIL)
        waiting = _waiting(control)
        if sys.stderr.isatty() and waiting != said:
            click.echo(f"waiting for {waiting}", err=True)
            said = waiting


def _waiting(control: Control) -> str:
    """The services that still have processes, with their clients."""
    try:
        services = control.status().services
    except ControlError:
        return "the master"
    busy = [s for s in services if s.running or s.retiring]
    names = [f"{s.name} ({s.clients} clients)" if s.clients else s.name for s in busy]
    return ", ".join(names) or "the master"
