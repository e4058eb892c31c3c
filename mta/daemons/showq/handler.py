"""The daemon as the skeleton sees it: who is served, and what he may ask for."""

import os
import socket
from collections.abc import Callable
from typing import Final

from mta.daemons.showq.conversation import Conversation, Services
from mta.daemons.showq.flushing import Flushing
from mta.ipc.qmgr import QmgrClient
from mta.master.callers import Callers
from mta.master.daemon import Context
from mta.master.permission import Permission
from mta.queue.store import QueueStore
from mta.util.threads import WorkerPool

__all__ = ["ShowqHandler"]

_ROOT: Final = 0
_PLACES: Final = 8  # of one user
_THREADS: Final = 4  # that read the queue, for all clients


class ShowqHandler:
    """Takes clients; satisfies mta.master.session.Handler."""

    def __init__(self, context: Context) -> None:
        parameters, loop, log = context.parameters, context.loop, context.log
        timeout, owners = parameters.ipc_timeout, {_ROOT, os.geteuid()}
        self._context = context
        self._qmgr = QmgrClient(loop, timeout, log)
        self._may_look = Permission(
            parameters.authorized_mailq_users, "view the mail queue", loop, timeout, always=owners
        )
        self._may_flush = Permission(
            parameters.authorized_flush_users, "flush the mail queue", loop, timeout, always=owners
        )
        self._services = Services(
            QueueStore(),
            WorkerPool(_THREADS, context.service.name),
            Flushing(self._qmgr, loop),
            self._may_look,
            self._may_flush,
            log,
        )
        self._callers = Callers(_PLACES, log)

    async def start(self) -> None:
        """Nothing to prepare."""

    def connect(
        self, client: socket.socket, listener: str, finished: Callable[[], None]
    ) -> Conversation:
        """Serve one client, unless its user has too many already."""
        del listener
        caller = self._callers.receive(client, finished)
        conversation = Conversation(
            client, caller.uid, self._services, used=self._context.used, finished=caller.finished
        )
        if not caller.admitted:
            conversation.abort()
        return conversation

    def wake(self) -> None:
        """Nothing to look for."""

    async def stop(self) -> None:
        """Let go of the queue manager, the user database and the queue."""
        self._qmgr.close()
        self._may_look.close()
        self._may_flush.close()
        self._services.threads.shutdown(wait=False)
