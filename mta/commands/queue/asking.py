"""What users who may not read the queue are told by the running system: showq's clients.

EX_NOPERM (77)        the system does not permit it
EX_UNAVAILABLE (69)   it does not run
EX_TEMPFAIL (75)      it did not answer as it should
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.queue.access import failure
from mta.commands.queue.choice import Choice
from mta.commands.queue.selection import Criteria
from mta.commands.queue.verb import NotDone
from mta.commands.queue.view import DamagedFiles
from mta.ipc.messages import Listed, QueuedMessage
from mta.ipc.showq import ShowqClient
from mta.proto.status import MailError
from mta.queue.entry import Entry
from mta.queue.queue_id import is_queue_id

__all__ = ["flush_by_request", "joined", "listed"]

_TIMEOUT: Final = 30.0  # seconds for one answer
_NOT_PERMITTED: Final = "5.7.1"


def listed(options: Target, damaged: DamagedFiles) -> Iterator[Entry]:
    """The queue's messages by age, as they come; Failure if they may not be seen."""
    with _asked(options, "Queue report unavailable - mail system is down") as client:
        yield from joined(client.listing(), damaged)


def flush_by_request(options: Target, choice: Choice) -> None:
    """Have messages tried now; Failure tells what was not done."""
    domain = choice.criteria.domain
    if choice.dry_run or choice.criteria not in (Criteria(), Criteria(domain=domain)):
        text = "only ids, --domain and --all are for users who may not read the queue"
        raise Failure(f"queue: {text}", os.EX_NOPERM)
    with _asked(options, "Cannot flush mail queue - mail system is down") as client:
        if choice.queue_ids:
            _flush_each(client, choice.given())
            return
        count = client.flush() if domain is None else client.flush_domain(domain)
        click.echo(f"{count} to be tried now.")


def _flush_each(client: ShowqClient, queue_ids: Iterable[str]) -> None:
    count, problems = 0, []
    for queue_id in queue_ids:
        known = client.flush(queue_id) if is_queue_id(queue_id) else 0
        if not known:
            problems.append(NotDone.unknown(queue_id))
        count += known
    click.echo(f"{count} to be tried now.")
    if problems:
        raise failure(problems)


@contextmanager
def _asked(options: Target, down: str) -> Iterator[ShowqClient]:
    os.chdir(options.queue_directory)  # the path of a socket has a short limit
    try:
        yield ShowqClient(_TIMEOUT)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Failure(f"queue: {down}", os.EX_UNAVAILABLE) from error
    except MailError as error:
        if error.status.enhanced == _NOT_PERMITTED:
            raise Failure(f"queue: {error.status.text}", os.EX_NOPERM) from error
        status = os.EX_UNAVAILABLE if error.status.is_permanent else os.EX_TEMPFAIL
        raise Failure(f"queue: {error}", status) from error


def joined(parts: Iterable[Listed], damaged: DamagedFiles) -> Iterator[Entry]:
    """The messages, each whole."""
    pieces: list[QueuedMessage] = []
    for part in parts:
        for piece in part.messages:
            if pieces and piece.queue_id != pieces[0].queue_id:
                yield _entry(pieces)
                pieces = []
            pieces.append(piece)
        damaged.count = part.damaged
    if pieces:
        yield _entry(pieces)


def _entry(pieces: list[QueuedMessage]) -> Entry:
    head = pieces[0]
    recipients = [recipient for piece in pieces for recipient in piece.recipients]
    return Entry(
        queue_id=head.queue_id,
        state=head.state,
        size=head.size,
        arrived=head.arrived,
        attempts=head.attempts,
        next_attempt=head.next_attempt,
        sender=head.sender,
        recipients=tuple(recipient.address for recipient in recipients),
        statuses=tuple(recipient.status for recipient in recipients),
        reason=head.reason,
        damaged=False,
    )
