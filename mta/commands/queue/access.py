"""The queue as the commands open it, and one message of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.privilege import become_queue_owner
from mta.commands.queue.verb import NotDone
from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete, QueueFileMissing
from mta.queue.layout import STATES
from mta.queue.queue_id import is_queue_id
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore

__all__ = ["failure", "find", "may_read", "opened"]


def may_read(options: Target) -> bool:
    """Whether this user may read the queue himself, or there is none: `opened` tells of that."""
    folder = os.path.join(options.queue_directory, STATES[0])
    return not os.path.exists(folder) or os.access(folder, os.R_OK | os.X_OK)


@contextmanager
def opened(options: Target) -> Iterator[QueueStore]:
    """The queue; a damaged file, or that there is no queue, ends the command.

    Root is the queue's owner from then on, and nobody else.
    """
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


def find(store: QueueStore, queue_id: str) -> StoredMessage:
    """The message in whatever state it is; the caller closes it."""
    for state in STATES if is_queue_id(queue_id) else ():  # in the order in which messages move
        try:
            return store.open_message(state, queue_id)
        except (QueueFileMissing, QueueFileIncomplete):
            continue
    raise failure([NotDone.unknown(queue_id)])


def failure(problems: list[NotDone]) -> Failure:
    """The end of a command that could not do all; of several statuses it has the highest."""
    lines = [f"queue: {problem.text}" for problem in problems]
    return Failure("\n".join(lines), max(problem.status for problem in problems))
