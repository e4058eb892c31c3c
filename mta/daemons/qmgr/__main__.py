"""The queue manager's daemon: decides what is delivered when, by whom, and what becomes of it.

NAME
    qmgr - Posthouse's queue manager

DESCRIPTION
    Learns of messages by notification on public/qmgr and by scanning incoming/ and deferred/, asks
    the rewrite service for routes and the delivery agents for outcomes, and then removes, defers
    or holds each message. Messages are retried with growing pauses until they are too old. What
    has bounced or become too old goes to hold/, for there is no service yet that reports it.

SECURITY
    Whoever can connect to public/qmgr may only name queue ids. Queue files and other daemons'
    answers are checked as gossip. It writes the queue directories, and nothing else.

DIAGNOSTICS
    Events of the log: active, delivery (where no agent decided), removed, deferred, held, corrupt,
    request_lost, outcome_ignored, queue_error. Exit status 75 when another queue manager keeps
    pid/qmgr.lock for most of service_checkin_time.

CONFIGURATION PARAMETERS
    minimal_backoff_time, maximal_backoff_time, maximal_queue_lifetime, queue_run_delay,
    qmgr_message_active_limit, default_destination_concurrency_limit,
    default_destination_recipient_limit, delivery_timeout, ipc_timeout, service_checkin_time

FILES
    incoming/, deferred/, hold/, corrupt/ - queue files; pid/qmgr.lock - one queue manager a queue
"""

import asyncio
import resource
from typing import Final

from mta.daemons.qmgr.delivery import Deliveries, transports_of
from mta.daemons.qmgr.lock import QueueLock
from mta.daemons.qmgr.manager import Manager
from mta.ipc.messages import Accepted, Arrived, QmgrRequest
from mta.ipc.rewrite import RewriteClient
from mta.ipc.server import RequestServer
from mta.master.daemon import Context, Needs, run
from mta.queue.store import QueueStore

NEEDS: Final = Needs(write=("incoming", "deferred", "hold", "corrupt", "pid"))

_LOCK_PATIENCE: Final = 0.8  # of the time to check in: for a predecessor to end
_OWN_DESCRIPTORS: Final = 256  # for connections; an active message may need two


class QmgrHandler(RequestServer[QmgrRequest]):
    """Takes notifications and an operator's requests, and runs the manager."""

    def __init__(self, context: Context) -> None:
        super().__init__(QmgrRequest, context.log, context.used, self._answer)
        self._context = context

    async def start(self) -> None:
        """Take the queue's lock, then begin to work; OSError while another one has it."""
        context, parameters = self._context, self._context.parameters
        self._lock = await QueueLock.acquire(parameters.service_checkin_time * _LOCK_PATIENCE)
        self._store = QueueStore()
        self._rewrite = RewriteClient(context.loop, parameters.ipc_timeout, context.log)
        self._manager = Manager(
            store=self._store,
            deliveries=Deliveries(
                self._rewrite.resolve,
                transports_of(context.snapshot, parameters, context.loop, context.log),
                parameters.default_destination_recipient_limit,
                context.log,
            ),
            parameters=parameters,
            active_limit=_active_limit(parameters.qmgr_message_active_limit),
            loop=context.loop,
            log=context.log,
        )
        self._watch = asyncio.ensure_future(self._manager.watch())

    def wake(self) -> None:
        """Scan the queue now."""
        self._manager.look()

    async def stop(self) -> None:
        """Finish the attempts under way, and let the next queue manager in."""
        self._watch.cancel()
        await self._manager.stop()
        self._lock.release()

    def _answer(self, request: QmgrRequest, _descriptors: tuple[int, ...]) -> Accepted | None:
        if isinstance(request, Arrived):
            self._manager.arrived(request.queue_id)
            return None
        return Accepted(self._manager.flush(request.queue_id))


def _active_limit(wanted: int) -> int:
    """How many messages may be open at once: as many as there can be descriptors for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    useful = 2 * wanted + _OWN_DESCRIPTORS
    granted = max(soft, useful if hard == resource.RLIM_INFINITY else min(useful, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    return max(1, min(wanted, (granted - _OWN_DESCRIPTORS) // 2))


if __name__ == "__main__":
    run(needs=NEEDS, handler=QmgrHandler)
