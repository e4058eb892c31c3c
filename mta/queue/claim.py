"""The right to handle a message beside the queue manager: its queue file, locked for one.

The queue manager and the agents that it asked share a lock on the file (flock) for as long as they
work on the message; whoever else wants to move or replace it needs the lock for himself. A lock is
on a file and not on its name, and a journal may have grown while it was waited for: so the message
is read once it is locked.

The queue manager looks for a name, opens the file, and then locks it. Who has given the message
another place must therefore keep the claim until the queue manager has answered something: what it
had opened before has then met the lock, and is looked for again under the old name.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mta.queue.errors import QueueFileBusy, QueueFileMissing
from mta.queue.layout import State, path_of
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore

__all__ = ["claimed"]


@contextmanager
def claimed(store: QueueStore, state: State, queue_id: str) -> Iterator[StoredMessage]:
    """The message, which nobody else handles until the end of the context.

    QueueFileBusy when somebody does so now; what opening it raises otherwise.
    """
    with store.open_message(state, queue_id) as found:
        try:
            fcntl.flock(found.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise QueueFileBusy(path_of(state, queue_id)) from None
        with store.open_message(state, queue_id) as message:
            if not os.path.sameopenfile(found.descriptor, message.descriptor):
                raise QueueFileMissing(path_of(state, queue_id))
            yield message
