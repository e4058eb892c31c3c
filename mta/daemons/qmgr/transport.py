"""One row of the service table that delivers: its requests wait here for their turn.

The law: each transport has as many requests under way as its row can serve; how many of them to
one destination, and whether to any at all, follows from what the agents say of it. Only that no
session could be begun counts as a failure of the destination: a recipient who is refused for now
was talked about with somebody.
"""

import asyncio
import time
from typing import Final

from mta.config.parameters import Parameters
from mta.config.snapshot import Snapshot
from mta.daemons.qmgr.destinations import Limits, Turns
from mta.ipc.client import RequestLost
from mta.ipc.delivery import DeliveryClient
from mta.ipc.messages import Deliver, Outcomes
from mta.proto.status import Disposition, MailError, Status
from mta.util.log import Log

__all__ = ["Suspended", "Transport", "transports_of"]

_TEXT_LIMIT: Final = 512  # characters of a status


class Suspended(MailError):  # noqa: N818 - a state of the destination, as in Postfix's words
    """Deliveries to the destination are suspended: this one was not tried."""


class Transport:
    """The requests of one transport, those that wait and those under way."""

    def __init__(self, name: str, client: DeliveryClient, limits: Limits, log: Log) -> None:
        self._name = name
        self._client = client
        self._turns: Turns[asyncio.Future[None]] = Turns(limits)
        self._suspension = limits.suspension
        self._log = log
        self._closed = False

    async def deliver(self, request: Deliver, descriptor: int) -> Outcomes:
        """Send one request when it is its turn.

        `Suspended` when its destination is left alone; MailError when the agent refused, cannot be
        reached or is too slow; RequestLost when it died over the request, or when the queue
        manager retires before the request's turn.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        reason = self._turns.put(request.nexthop, turn, loop.time())
        if reason is not None:
            raise Suspended(reason)
        self._begin()
        await turn
        try:
            reply = await self._client.deliver(request, descriptor)
            self._learn(request.nexthop, reply, loop.time())
            return reply
        finally:
            self._turns.done(request.nexthop, loop.time())
            self._begin()

    def probe(self) -> None:
        """Try suspended destinations again with the next request to each."""
        self._turns.probe()

    def close(self) -> None:
        """Begin no more requests; those under way go on."""
        self._closed = True
        self._begin()

    def _begin(self) -> None:
        while (begun := self._turns.take()) is not None:
            nexthop, turn = begun
            if not self._closed and not turn.done():
                turn.set_result(None)
                continue
            if not turn.done():  # else its task was cancelled
                turn.set_exception(RequestLost("the queue manager retires"))
            self._turns.done(nexthop, turn.get_loop().time())

    def _learn(self, nexthop: str, reply: Outcomes, now: float) -> None:
        if not reply.unreachable:
            if self._turns.succeeded(nexthop):
                self._log.info("resumed", transport=self._name, destination=nexthop)
            return
        if any(outcome.disposition is not Disposition.DEFERRED for outcome in reply.outcomes):
            return  # a contradiction, or a judgement on the recipients: it teaches nothing
        why = next((each.status for each in reply.outcomes if each.status.is_temporary), None)
        if why is None:
            return
        reason = _suspended(why)
        refused = self._turns.failed(nexthop, reason, now)
        if refused is None:
            return
        self._log.warning(
            "suspended",
            transport=self._name,
            destination=nexthop,
            reason=str(why),
            until=round(time.time() + self._suspension, 3),
            waiting=len(refused),
        )
        for turn in refused:
            if not turn.done():
                turn.set_exception(Suspended(reason))


def transports_of(
    snapshot: Snapshot, parameters: Parameters, loop: asyncio.AbstractEventLoop, log: Log
) -> dict[str, Transport]:
    """A transport for each row that listens on the socket of its own name."""
    transports = {}
    for row in snapshot.services:
        path = f"private/{row.name}"
        if f"ipc:{path}" in row.listen:
            limits = Limits(
                transport=row.numprocs * row.client_limit,
                destination=parameters.default_destination_concurrency_limit,
                initial=parameters.initial_destination_concurrency,
                failed_cohorts=parameters.default_destination_concurrency_failed_cohort_limit,
                suspension=parameters.minimal_backoff_time,
                # Long enough for deferred mail to meet the memory of its last attempt.
                memory=parameters.minimal_backoff_time + parameters.maximal_backoff_time,
            )
            client = DeliveryClient(path, loop, parameters.delivery_timeout, log, limits.transport)
            transports[row.name] = Transport(row.name, client, limits, log)
    return transports


def _suspended(why: Status) -> Status:
    """What other messages to the destination are deferred with, in Postfix's words."""
    text = f"delivery temporarily suspended: {why.text}"
    return Status(why.code, why.enhanced, text[:_TEXT_LIMIT])
