"""The last stage: stable storage, the answer, the news for the queue manager, in this order.

The queue manager is told after the client: the client waits, and news that are lost only make the
message wait for the next scan.
"""

import asyncio
from collections.abc import Callable

from mta.daemons.cleanup.message import IncomingMessage
from mta.ipc.qmgr import QmgrClient
from mta.proto.status import INTERNAL_ERROR, MailError
from mta.queue.committer import Committer
from mta.util.log import Log

__all__ = ["CommitStage"]


class CommitStage:
    """Commits sealed messages and tells everyone."""

    def __init__(self, committer: Committer, qmgr: QmgrClient, log: Log) -> None:
        self._committer = committer
        self._qmgr = qmgr
        self._log = log

    def commit(self, message: IncomingMessage, answer: Callable[[MailError | None], None]) -> None:
        """Commit a sealed message, then call `answer` with None, or with why it failed."""

        def finish(flushed: asyncio.Future[None]) -> None:
            failure = flushed.exception()
            if failure is not None:
                if not isinstance(failure, MailError):
                    failure = MailError(INTERNAL_ERROR, repr(failure))
                answer(failure)
                return
            answer(None)
            self._qmgr.notify_arrived(message.queue_id)
            self._log.info(
                "committed",
                queue_id=message.queue_id,
                message_id=message.message_id,
                size=message.size,
            )

        self._committer.commit(message.writer).add_done_callback(finish)
