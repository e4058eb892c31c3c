"""`mta queue`: look at the queue's messages, and act on those that are meant.

    list show cat    look                                            (mta.commands.queue.look)
    mailq            list for programs that know Postfix's           (mailq)
    hold release     keep from being delivered, and let go again     (hold)
    delete           remove for good                                 (delete)
    requeue          put through cleanup again                       (requeue)
    flush            have tried now                                  (flush)
    bounce           return to the sender                            (bounce)

Which messages: ids or criteria (arguments, choice, selection). What is done to each, and what is
said of it: work. The first three rows and delete work on the files themselves, whether or not the
system runs.

    EX_DATAERR (65)       the queue file is damaged
    EX_NOINPUT (66)       no message has that queue id, or there is no queue
    EX_UNAVAILABLE (69)   the system does not run, or a daemon refuses; or the message is in no
                          state for this
    EX_TEMPFAIL (75)      somebody works on the message: try again

The rest is as for every `mta` command. If several messages fail, the highest status counts.
"""

import click

from mta.commands.queue.bounce import bounce
from mta.commands.queue.delete import delete
from mta.commands.queue.flush import flush
from mta.commands.queue.hold import hold, release
from mta.commands.queue.look import cat, list_messages, show
from mta.commands.queue.mailq import mailq
from mta.commands.queue.requeue import requeue

__all__ = ["queue"]


@click.group()
def queue() -> None:
    """Look at the mail queue and act on it."""


for _command in (list_messages, mailq, show, cat, hold, release, requeue, bounce, delete, flush):
    queue.add_command(_command)
