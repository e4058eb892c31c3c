"""`mta queue hold|release`: keep messages from being delivered, and let them go again.

A message on hold lies in hold/, where the queue manager does not look. It is put there under its
lock, and the lock is kept until the queue manager has answered (see mta.queue.claim): so it is
either not on hold, or not delivered. What is released lies in incoming/, as something new that is
due at once; its journal is with it, so that nobody gets it twice.
"""

import click

from mta.commands.main import Target
from mta.commands.queue.access import opened
from mta.commands.queue.arguments import chooses
from mta.commands.queue.choice import Choice
from mta.commands.queue.verb import Verb
from mta.commands.queue.work import perform
from mta.queue.claim import claimed
from mta.queue.entry import Entry

__all__ = ["hold", "release"]

_HOLD = Verb("to be put on hold", "put on hold", ("incoming", "deferred"))
_RELEASE = Verb("to be released", "released", ("hold",))


@click.command()
@chooses()
def hold(options: Target, choice: Choice) -> None:
    """Keep messages from being delivered until they are released.

    The system need not run. A message that is being delivered is waited for, a few seconds long.
    """
    # Most other commands do not need it, and it takes longer to import than those to run.
    from mta.commands.queue.services import Services  # noqa: PLC0415

    with opened(options) as store, Services(options.queue_directory) as services:

        def act(entry: Entry) -> int:
            with claimed(store, entry.state, entry.queue_id):
                store.move(entry.queue_id, entry.state, "hold")
                services.tell_moved(entry.queue_id)
            return 1

        perform(store, choice, _HOLD, act)


@click.command()
@chooses()
def release(options: Target, choice: Choice) -> None:
    """Let messages on hold be delivered, now.

    The system need not run: they are tried when it starts.
    """
    from mta.commands.queue.services import Services  # noqa: PLC0415 - as above

    with opened(options) as store, Services(options.queue_directory) as services:

        def act(entry: Entry) -> int:
            with claimed(store, entry.state, entry.queue_id) as message:
                message.verify_content()  # the queue manager takes our word for it
                store.move(entry.queue_id, entry.state, "incoming")
            services.tell_arrived(entry.queue_id)
            return 1

        perform(store, choice, _RELEASE, act)
