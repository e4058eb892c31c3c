"""Client of mailuser: what is done as a user of this host.

Reading is asked again if the server dies; what leaves something behind is not: its outcome is then
unknown, which is a temporary failure.
"""

import asyncio
from typing import Final

from mta.ipc.client import ServiceClient
from mta.ipc.messages import (
    CommandEnded,
    FileRead,
    MailuserReply,
    ReadFile,
    RunCommand,
    Stored,
    StoreMessage,
)
from mta.util.log import Log

__all__ = ["MailuserClient"]

# Longer than the server's own deadlines: it answers in any case.
_READING: Final = 45.0  # seconds
_STORING: Final = 330.0
_GRACE: Final = 60.0  # after the time that a command has
