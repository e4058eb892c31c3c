"""The queue as the commands open it, and one message of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.queue.verb import NotDone
from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete, QueueFileMissing
from mta.queue.layout import STATES
from mta.queue.queue_id import is_queue_id
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore

__all__ = ["failure", "find", "opened"]


@contextmanager
def opened(options: Target) -> Iterator[QueueStore]:
    """The queue; a damaged file, or that there is no queue, ends the command."""
    try:
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
