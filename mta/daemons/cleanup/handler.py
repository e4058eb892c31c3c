"""The daemon as the skeleton sees it: what all clients share, and a conversation for each."""

import socket
from collections.abc import Callable

from mta.daemons.cleanup.commit import CommitStage
from mta.daemons.cleanup.conversation import Conversation
from mta.daemons.cleanup.message import Admission
from mta.ipc.qmgr import QmgrClient
from mta.ipc.rewrite import RewriteClient
from mta.master.daemon import Context
from mta.queue.committer import Committer
from mta.queue.store import QueueStore

__all__ = ["CleanupHandler"]


class CleanupHandler:
    """Serves clients until the master says otherwise."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = QueueStore()
        self._committer = Committer(self._store.descriptor, context.loop, context.log)
        timeout = context.parameters.ipc_timeout
        self._qmgr = QmgrClient(context.loop, timeout, context.log)
        self._rewrite = RewriteClient(context.loop, timeout, context.log)
        self._admission = Admission(self._store, self._committer, context.parameters)
        self._commit = CommitStage(self._committer, self._qmgr, context.log)

    async def start(self) -> None:
        """Nothing to prepare: the first message starts what it needs."""

    def connect(
        self,
        client: socket.socket,
        listener: str,
        finished: Callable[[], None],
    ) -> Conversation:
        """Serve one client."""
        return Conversation(
            client,
            self._admission,
            self._rewrite,
            self._commit,
            log=self._context.log,
            used=self._context.used,
            finished=finished,
        )

    def wake(self) -> None:
        """Nothing to look for: messages come over the socket alone."""

    async def stop(self) -> None:
        """Finish what is being flushed and put all away."""
        await self._committer.close()
        self._qmgr.close()
        self._rewrite.close()
        self._store.close()
