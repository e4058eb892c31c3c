"""`mta queue`: look at the queue files, remove them, have them tried now.

All but `flush` work on the files themselves, whether or not the system runs. Root does so as the
queue's owner, and as nobody else from then on.

    EX_DATAERR (65)       the queue file is damaged
    EX_NOINPUT (66)       no message has that queue id, or there is no queue
    EX_UNAVAILABLE (69)   the queue manager does not run, or refuses

The rest is as for every `mta` command.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

import click

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.output import as_text
from mta.commands.privilege import become_queue_owner
from mta.commands.queue_view import details, entries, entry_table, message_lines, printable
from mta.proto.status import MailError
from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete, QueueFileMissing
from mta.queue.layout import STATES
from mta.queue.queue_id import is_queue_id
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore
from mta.util.log import Log

__all__ = ["queue"]

_STDERR: Final = 2
_FLUSH_TIMEOUT: Final = 30.0  # seconds


@click.group()
def queue() -> None:
    """Look at the mail queue and act on it."""


@queue.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
@click.pass_obj
def list_messages(options: Target, as_json: bool) -> None:
    """List all messages, the oldest first."""
    with _opened(options) as store:
        listed = sorted(entries(store), key=lambda entry: entry.queue_id)
    if as_json:
        click.echo(as_text([asdict(entry) for entry in listed]))
    elif listed:
        click.echo(entry_table(listed))
    else:
        click.echo("The queue is empty.")


@queue.command()
@click.argument("queue_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def show(options: Target, queue_id: str, as_json: bool) -> None:
    """Show envelope, outcomes and header section of one message."""
    with _opened(options) as store, _find(store, queue_id) as message:
        found = details(message)
    if as_json:
        click.echo(as_text(asdict(found)))
    else:
        click.echo("\n".join(message_lines(found)))


@queue.command()
@click.argument("queue_id", metavar="ID")
@click.pass_obj
def cat(options: Target, queue_id: str) -> None:
    """Write one message to standard output, octet for octet."""
    out = sys.stdout.buffer
    with _opened(options) as store, _find(store, queue_id) as message:
        for piece in message.content():
            out.write(piece)
    out.flush()


@queue.command()
@click.argument("queue_ids", metavar="ID...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Delete every message.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@click.pass_obj
def delete(options: Target, queue_ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete messages for good; nobody is told.

    With "-" the queue ids are read from standard input, one a line.
    """
    if everything == bool(queue_ids):
        raise click.UsageError("give queue ids, or --all")
    with _opened(options) as store:
        if everything:
            wanted = [queue_id for state in STATES for queue_id in store.scan(state)]
            if wanted and not yes:
                click.confirm(f"Delete {len(wanted)} messages?", abort=True)
        else:
            wanted = list(_given(queue_ids))
        unknown = [queue_id for queue_id in wanted if not _delete(store, queue_id)]
    click.echo(f"{len(wanted) - len(unknown)} deleted.")
    if unknown and not everything:  # with --all, what is gone was delivered meanwhile
        raise _unknown(", ".join(unknown))


@queue.command()
@click.argument("queue_id", metavar="[ID]", default="")
@click.pass_obj
def flush(options: Target, queue_id: str) -> None:
    """Have deferred messages tried now: one, or all."""
    # The other commands need neither, and both take longer to import than those to run.
    import asyncio  # noqa: PLC0415

    from mta.ipc.qmgr import QmgrClient  # noqa: PLC0415

    if queue_id:
        with _opened(options) as store:
            _find(store, queue_id).close()
    become_queue_owner(options.queue_directory)
    os.chdir(options.queue_directory)  # the path of a socket has a short limit

    async def ask() -> int:
        log = Log(_STDERR, "mta", "queue", 0)
        client = QmgrClient(asyncio.get_running_loop(), _FLUSH_TIMEOUT, log)
        try:
            return await client.flush(queue_id)
        finally:
            client.close()

    try:
        count = asyncio.run(ask())
    except MailError as error:
        reason = error.reason or str(error.status)
        text = f"queue: the queue manager does not answer: {reason}"
        raise Failure(text, os.EX_UNAVAILABLE) from error
    click.echo(f"{count} to be tried now.")


@contextmanager
def _opened(options: Target) -> Iterator[QueueStore]:
    """The queue; a damaged file, or that there is no queue, ends the command."""
    try:
        become_queue_owner(options.queue_directory)
        store = QueueStore(options.queue_directory)
        try:
            yield store
        finally:
            store.close()
    except QueueFileCorrupt as error:
        raise Failure(f"queue: {error}", os.EX_DATAERR) from error
    except FileNotFoundError as error:
        raise Failure(f"queue: {error}; run `mta render`", os.EX_NOINPUT) from error


def _find(store: QueueStore, queue_id: str) -> StoredMessage:
    """The message in whatever state it is; the caller closes it."""
    for state in STATES if is_queue_id(queue_id) else ():  # in the order in which messages move
        try:
            return store.open_message(state, queue_id)
        except (QueueFileMissing, QueueFileIncomplete):
            continue
    raise _unknown(queue_id)


def _given(queue_ids: Iterable[str]) -> Iterator[str]:
    for queue_id in queue_ids:
        if queue_id == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield queue_id


def _delete(store: QueueStore, queue_id: str) -> bool:
    """Whether there was such a message."""
    for state in STATES if is_queue_id(queue_id) else ():
        try:
            store.remove(queue_id, state)
        except QueueFileMissing:
            continue
        return True
    return False


def _unknown(queue_ids: str) -> Failure:
    return Failure(f"queue: no message with queue id {printable(queue_ids)}", os.EX_NOINPUT)
