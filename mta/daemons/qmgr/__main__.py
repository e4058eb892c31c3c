"""The queue manager's daemon: decides what is delivered when, by whom, and what becomes of it.

NAME
    qmgr - Posthouse's queue manager

DESCRIPTION
    Learns of messages by notification on public/qmgr and by scanning incoming/ and deferred/, asks
    the rewrite service for routes and the delivery agents for outcomes, and then removes or defers
    each message. Messages are retried with growing pauses until they are too old. The sender of
    what has bounced or become too old is told through the bounce service before the message goes;
    where there is nobody to tell, it goes to hold/. An operator may have a message returned before
    its time; qmgr remembers that in memory only, until it is done.

    Pauses are kept by a clock that nobody sets, and goes on while the machine sleeps; ages by one
    that stands still then. Where the wall clock jumps, messages become neither due nor too old for
    it. One that arrived while the clock was ahead ages from its first attempt.

    Destinations have windows of parallel deliveries that follow from success and failure. One that
    cannot be reached is suspended for minimal_backoff_time: mail for it is deferred at once with
    the reason, and then one delivery at a time probes it. A flush ends all suspensions.

    On a full disk delivery goes on, for what is delivered frees it; what the journal could not be
    told is kept in memory and written with the next attempt, at most minimal_backoff_time later.
    On a read-only disk nothing is begun, and a look a second tells when it can be written again.

SECURITY
    Whoever can connect to public/qmgr may only name queue ids, and nobody but the queue's owner
    vouches for the content of what he names. Queue files and other daemons' answers are checked as
    gossip. It writes the queue directories, and nothing else.

STANDARDS
    RFC 3463 (enhanced status codes): 5.4.7 for what is too old, or given up by an operator.

DIAGNOSTICS
    Events of the log: active, delivery (where no agent decided), removed, deferred, held, reported,
    report_failed, suspended, resumed, request_lost, outcome_ignored, queue_error, unrecorded,
    queue_read_only, queue_writable, clock_jumped. Of what lies in the queue and is no message:
    corrupt (set aside, or not_moved), foreign_file (left alone, for its name is no queue id),
    leftover_removed (its writer died), leftover_stays, unreadable; foreign_files and stuck_files
    count those that are too many for a line each; scan_incomplete names a folder. Exit status 75
    when another queue manager keeps pid/qmgr.lock for most of service_checkin_time.

BUGS
    A crash between the bounce service's answer and the next record repeats a report; one before
    an outcome could be written to a full disk repeats that delivery. A backlog of
    more than qmgr_message_active_limit messages to one destination that is slow but alive keeps
    other mail waiting. Of jumps of the wall clock only those are known that this process lived
    through: started after one, it takes messages for as old as the wall clock says.

CONFIGURATION PARAMETERS
    minimal_backoff_time maximal_backoff_time maximal_queue_lifetime bounce_queue_lifetime
    delay_warning_time soft_bounce queue_run_delay qmgr_message_active_limit
    initial_destination_concurrency default_destination_concurrency_limit
    default_destination_concurrency_failed_cohort_limit default_destination_recipient_limit
    delivery_timeout ipc_timeout sender_dependent_relayhost_maps service_checkin_time

FILES
    incoming/, deferred/, hold/, corrupt/ - queue files; pid/qmgr.lock - one queue manager a queue
"""

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from mta.daemons.qmgr.delivery import Deliveries
from mta.daemons.qmgr.lock import QueueLock
from mta.daemons.qmgr.manager import Manager
from mta.daemons.qmgr.reporting import Reporter
from mta.daemons.qmgr.transport import transports_of
from mta.ipc.bounce import BounceClient
from mta.ipc.messages import Accepted, Arrived, GiveUp, QmgrRequest, Resolved
from mta.ipc.rewrite import RewriteClient
from mta.ipc.server import RequestServer, ServerConnection
from mta.master.daemon import Context, Needs, run
from mta.queue.store import QueueStore
from mta.util.peer import peer_credentials

_QUEUE: Final = ("incoming", "deferred", "hold", "corrupt")

NEEDS: Final = Needs(write=(*_QUEUE, "pid"), move=_QUEUE)

_LOCK_PATIENCE: Final = 0.8  # of the time to check in: for a predecessor to end
_OWN_DESCRIPTORS: Final = 256  # for connections; an active message may need two


class QmgrHandler(RequestServer[QmgrRequest]):
    """Takes notifications and an operator's requests, and runs the manager."""

    def __init__(self, context: Context) -> None:
        super().__init__(QmgrRequest, context.log, context.used, self._answer)
        answer = partial(self._answer, vouched=False)
        self._strangers = RequestServer(QmgrRequest, context.log, context.used, answer)
        self._context = context

    async def start(self) -> None:
        """Take the queue's lock, then begin to work; OSError while another one has it."""
        context, parameters = self._context, self._context.parameters
        self._lock = await QueueLock.acquire(parameters.service_checkin_time * _LOCK_PATIENCE)
        self._store = QueueStore()
        self._rewrite = RewriteClient(context.loop, parameters.ipc_timeout, context.log)
        self._bounce = BounceClient(context.loop, parameters.ipc_timeout, context.log)
        self._manager = Manager(
            store=self._store,
            deliveries=Deliveries(
                self._resolve,
                transports_of(context.snapshot, parameters, context.loop, context.log),
                recipient_limit=parameters.default_destination_recipient_limit,
                soft_bounce=parameters.soft_bounce,
                log=context.log,
            ),
            reporter=Reporter(self._bounce.report, parameters, context.log),
            parameters=parameters,
            active_limit=_active_limit(parameters.qmgr_message_active_limit),
            loop=context.loop,
            log=context.log,
        )
        self._watch = asyncio.ensure_future(self._manager.watch())

    async def _resolve(self, sender: str, address: str) -> Resolved:
        """The route of a recipient: by the sender, where that matters."""
        by_sender = bool(self._context.parameters.sender_dependent_relayhost_maps)
        return await self._rewrite.resolve(address, sender=sender if by_sender else "")

    def connect(
        self, client: socket.socket, listener: str, finished: Callable[[], None]
    ) -> ServerConnection[QmgrRequest]:
        """Serve one client; the kernel tells who it is.

        All that talks to the network may connect as well, and must not vouch for what lies here.
        """
        _, uid = peer_credentials(client)
        if uid == os.geteuid():
            return super().connect(client, listener, finished)
        return self._strangers.connect(client, listener, finished)

    def wake(self) -> None:
        """Scan the queue now."""
        self._manager.look()

    async def stop(self) -> None:
        """Finish the attempts under way, and let the next queue manager in."""
        self._watch.cancel()
        await self._manager.stop()
        self._lock.release()

    def _answer(
        self, request: QmgrRequest, _descriptors: tuple[int, ...], *, vouched: bool = True
    ) -> Accepted | None:
        if isinstance(request, Arrived):
            for queue_id in request.queue_ids:
                self._manager.arrived(queue_id, vouched=vouched)
            return None
        if isinstance(request, GiveUp):
            return Accepted(self._manager.give_up(request.queue_id))
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
