"""From recipients to outcomes: routes, requests to delivery agents, and their answers.

The law: every recipient gets an outcome, unless the request was lost with its agent, or nobody
listens any more because the master died; what is not understood is a deferral. Under soft_bounce
nothing that an agent says is final but a delivery.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final, TypeVar

from mta.daemons.qmgr.transport import Suspended, Transport
from mta.delivery.report import log_outcome
from mta.ipc.client import NotListening, RequestLost, Unavailable
from mta.ipc.messages import Deliver, DeliverRecipient, Outcome, Outcomes, Resolved
from mta.proto.envelope import Recipient
from mta.proto.status import Disposition, MailError, Status
from mta.queue.reader import StoredMessage
from mta.util.log import Log

__all__ = ["Deliveries"]

Item = TypeVar("Item")
Note = Callable[[list[Outcome]], None]

_RESOLVING: Final = 50  # addresses of one message that are asked about at once
_TRANSPORT_MISSING: Final = Status(451, "4.3.0", "mail transport unavailable")
_ROUTE_MISSING: Final = Status(451, "4.3.5", "this host carries no mail for the address")
_NO_OUTCOME: Final = Status(451, "4.3.0", "delivery agent gave no usable outcome")
_CLASS: Final = {Disposition.DELIVERED: 2, Disposition.DEFERRED: 4, Disposition.BOUNCED: 5}


class Deliveries:
    """Delivers a message to recipients, by whatever transports they need."""

    def __init__(
        self,
        resolve: Callable[[str, str], Awaitable[Resolved]],
        transports: Mapping[str, Transport],
        *,
        recipient_limit: int,
        soft_bounce: bool,
        log: Log,
    ) -> None:
        self._resolve = resolve
        self._transports = transports
        self._recipient_limit = recipient_limit
        self._soft_bounce = soft_bounce
        self._log = log

    def probe(self) -> None:
        """Try suspended destinations again with the next message to each."""
        for transport in self._transports.values():
            transport.probe()

    def close(self) -> None:
        """Begin no more requests: those that wait for their turn are lost."""
        for transport in self._transports.values():
            transport.close()

    async def deliver(
        self, message: StoredMessage, recipients: Mapping[int, Recipient], note: Note
    ) -> None:
        """Note the outcomes request by request; recipients without one had theirs lost."""
        arrived = message.envelope.arrived
        unroutable: list[Outcome] = []
        routes: dict[tuple[str, str], list[DeliverRecipient]] = {}
        for index, found in (await self._routes(message.envelope.sender, recipients)).items():
            recipient = recipients[index]
            if isinstance(found, NotListening):
                self._log.warning("request_lost", queue_id=message.queue_id, reason=found.reason)
            elif isinstance(found, MailError):
                given = DeliverRecipient(index, recipient.address, recipient.original)
                unroutable.append(self._decide(message.queue_id, arrived, given, found, "none"))
            else:
                routes.setdefault((found.transport, found.nexthop), []).append(
                    DeliverRecipient(index, found.address, recipient.original)
                )
        if unroutable:
            note(unroutable)
        requests = [
            self._request(transport, _deliver(message, nexthop, group), message.descriptor, note)
            for (transport, nexthop), members in routes.items()
            for group in _groups(members, self._recipient_limit)
        ]
        if len(requests) == 1:  # most messages: no need of a task
            await requests[0]
            return
        async with asyncio.TaskGroup() as tasks:
            for request in requests:
                tasks.create_task(request)

    async def _routes(
        self, sender: str, recipients: Mapping[int, Recipient]
    ) -> dict[int, Resolved | MailError]:
        found: dict[int, Resolved | MailError] = {}
        for group in _groups(list(recipients.items()), _RESOLVING):
            if len(group) == 1:  # most messages: no need of a task
                index, recipient = group[0]
                found[index] = await self._route(sender, recipient.address)
                continue
            routes = await asyncio.gather(
                *(self._route(sender, recipient.address) for _, recipient in group)
            )
            found.update(zip((index for index, _ in group), routes, strict=True))
        return found

    async def _route(self, sender: str, address: str) -> Resolved | MailError:
        try:
            resolved = await self._resolve(sender, address)
        except MailError as error:
            return error
        return resolved if resolved.transport else MailError(_ROUTE_MISSING)

    async def _request(self, name: str, request: Deliver, descriptor: int, note: Note) -> None:
        """Note the outcomes of one request, one for each recipient; none when it was lost."""
        transport = self._transports.get(name)
        try:
            if transport is None:
                raise MailError(_TRANSPORT_MISSING, f"no row {name!r} that delivers")
            reply = await transport.deliver(request, descriptor)
        except (RequestLost, NotListening) as error:
            self._log.warning(
                "request_lost", queue_id=request.queue_id, relay=name, reason=str(error)
            )
            return
        except Unavailable as error:
            failure = MailError(_TRANSPORT_MISSING, error.reason)
        except Suspended as error:
            failure, name = error, "none"  # nobody was talked to
        except MailError as error:
            failure = error
        else:
            note(self._usable(name, request, reply))
            return
        note(
            [
                self._decide(request.queue_id, request.arrived, each, failure, name)
                for each in request.recipients
            ]
        )

    def _usable(self, name: str, request: Deliver, reply: Outcomes) -> list[Outcome]:
        """What an agent says is gossip: an outcome for each recipient asked about, no others."""
        missing = {recipient.index for recipient in request.recipients}
        usable = []
        for outcome in reply.outcomes:
            if outcome.index in missing and _is_coherent(outcome):
                missing.remove(outcome.index)
                usable.append(self._softened(outcome))
            else:
                self._log.error(
                    "outcome_ignored",
                    queue_id=request.queue_id,
                    relay=name,
                    index=outcome.index,
                    disposition=outcome.disposition.value,
                    status=str(outcome.status),
                )
        unnamed = [each for each in request.recipients if each.index in missing]
        return usable + [
            self._decide(request.queue_id, request.arrived, each, MailError(_NO_OUTCOME), name)
            for each in unnamed
        ]

    def _decide(
        self,
        queue_id: str,
        arrived: float,
        recipient: DeliverRecipient,
        error: MailError,
        relay: str,
    ) -> Outcome:
        """The outcome where no agent gave one; the log then has it from us."""
        permanent = error.status.is_permanent
        disposition = Disposition.BOUNCED if permanent else Disposition.DEFERRED
        outcome = self._softened(Outcome(recipient.index, disposition, error.status, relay))
        delay = time.time() - arrived
        log_outcome(self._log, queue_id, recipient, outcome, delay, error.reason)
        return outcome

    def _softened(self, outcome: Outcome) -> Outcome:
        """The outcome, or under soft_bounce the deferral that stands for a bounce."""
        if not self._soft_bounce or outcome.disposition is not Disposition.BOUNCED:
            return outcome
        softened = outcome.status.softened
        return Outcome(outcome.index, Disposition.DEFERRED, softened, outcome.relay)


def _deliver(message: StoredMessage, nexthop: str, group: list[DeliverRecipient]) -> Deliver:
    return Deliver(
        queue_id=message.queue_id,
        sender=message.envelope.sender,
        recipients=tuple(group),
        nexthop=nexthop,
        arrived=message.envelope.arrived,
        content_offset=message.content_offset,
        content_length=message.content_length,
        body_8bit=message.envelope.body_8bit,
    )


def _is_coherent(outcome: Outcome) -> bool:
    code = _CLASS[outcome.disposition]
    return outcome.status.code // 100 == code and outcome.status.enhanced.startswith(f"{code}.")


def _groups(items: list[Item], size: int) -> Iterator[list[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
