"""How long mailuser gives a request, in seconds: then it is ended, and that is the answer.

Apart from the client, whose event loop the server does without.
"""

from typing import Final

__all__ = ["COMMAND_GRACE", "READING_TIME", "STORING_TIME", "WAITING_TIME"]

WAITING_TIME: Final = 60.0  # for a place, before it is begun
READING_TIME: Final = 30.0  # for a file; a file server that is away takes longer
STORING_TIME: Final = 300.0  # for a mailbox: waiting for its locks, and for a slow disk
COMMAND_GRACE: Final = 30.0  # after the time that a command has, which its child sees to
