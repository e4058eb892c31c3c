"""Client of mailuser: what is done as a user of this host.

Reading is asked again if the server dies. What leaves something behind is not: nothing is known of
its outcome then, which is a temporary failure.
"""

import asyncio
from typing import NoReturn

from mta.ipc.client import ServiceClient, Unavailable
from mta.ipc.frames import Descriptors
from mta.ipc.mailuser_times import COMMAND_GRACE, READING_TIME, STORING_TIME, WAITING_TIME
from mta.ipc.messages import (
    CommandEnded,
    FileRead,
    MailuserReply,
    MailuserRequest,
    ReadFile,
    RunCommand,
    Stored,
    StoreMessage,
)
from mta.util.log import Log

__all__ = ["MailuserClient"]


class MailuserClient:
    """Requests to mailuser; `timeout` is the seconds that it may be late with an answer.

    Each method raises `MailError`: 4xx or 5xx as the server refuses (the message is then not in the
    mailbox, the command did not run to its end), 451 4.3.0 when there is no answer. A descriptor
    stays the caller's, open until the method returns.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        log: Log,
        path: str = "private/mailuser",
    ) -> None:
        self._timeout = timeout
        self._service = ServiceClient[FileRead | Stored | CommandEnded](
            path, MailuserReply, loop, timeout, log
        )

    async def read_file(self, request: ReadFile) -> FileRead:
        """Read a file of the user's."""
        reply = await self._ask(request, (), READING_TIME, idempotent=True)
        return reply if isinstance(reply, FileRead) else _senseless(reply)

    async def store(self, request: StoreMessage, descriptor: int) -> Stored:
        """Store the message behind the descriptor in a mailbox; the status is 2xx."""
        reply = await self._ask(request, (descriptor,), STORING_TIME)
        return reply if isinstance(reply, Stored) else _senseless(reply)

    async def run(self, request: RunCommand, descriptor: int) -> CommandEnded:
        """Run a command with the message behind the descriptor on its standard input."""
        reply = await self._ask(request, (descriptor,), request.seconds + COMMAND_GRACE)
        return reply if isinstance(reply, CommandEnded) else _senseless(reply)

    def close(self) -> None:
        """Close the connection."""
        self._service.close()

    async def _ask(
        self,
        request: MailuserRequest,
        descriptors: Descriptors,
        seconds: float,
        *,
        idempotent: bool = False,
    ) -> FileRead | Stored | CommandEnded:
        within = WAITING_TIME + seconds + self._timeout
        return await self._service.request(
            request, descriptors, idempotent=idempotent, within=within
        )


def _senseless(reply: FileRead | Stored | CommandEnded) -> NoReturn:
    raise Unavailable(f"mailuser: an answer to another question: {type(reply).__name__}")
