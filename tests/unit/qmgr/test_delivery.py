"""An agent's reply is gossip: what is usable of it is used, the rest is a deferral."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.ipc import Journal
from support.queue_files import enqueue

from mta.daemons.qmgr.delivery import Deliveries
from mta.daemons.qmgr.destinations import Limits
from mta.daemons.qmgr.transport import Transport
from mta.ipc.delivery import DeliveryClient
from mta.ipc.messages import Deliver, DomainClass, Outcome, Outcomes, Resolved
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, MailError, Status
from mta.queue.layout import create_layout
from mta.queue.store import QueueStore

SENT = Status(250, "2.0.0", "ok")
LATER = Status(450, "4.2.1", "later")
NEVER = Status(550, "5.1.1", "no such mailbox")
Resolve = Callable[[str, str], Awaitable[Resolved]]
UNUSABLE = Status(451, "4.3.0", "delivery agent gave no usable outcome")


class ScriptedClient(DeliveryClient):
    """Gives one reply."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._reply = Outcomes(outcomes)

    async def deliver(self, request: Deliver, descriptor: int) -> Outcomes:
        assert len(request.recipients) == 2
        assert os.fstat(descriptor).st_size > request.content_offset + request.content_length
        return self._reply


async def resolve(_: str, address: str) -> Resolved:
    return Resolved(address, DomainClass.VIRTUAL, "virtual", "x.test")


def delivered(index: int, status: Status = SENT) -> Outcome:
    return Outcome(index, Disposition.DELIVERED, status, "virtual")


def bounced(index: int, status: Status = NEVER) -> Outcome:
    return Outcome(index, Disposition.BOUNCED, status, "virtual")


class Queue:
    """One message to two recipients, and a log that can be read."""

    def __init__(self, directory: Path) -> None:
        create_layout(str(directory))
        self.store = QueueStore(str(directory))
        self.recipients = (Recipient("a@x.test", ""), Recipient("b@x.test", ""))
        self.envelope = Envelope(
            "", self.recipients, Origin("SMTP", "", 0, "", "smtp"), time.time(), body_8bit=False
        )
        self.queue_id = enqueue(self.store, envelope=self.envelope)
        self._journal = Journal()
        self.log, self.events = self._journal.log, self._journal.events

    def close(self) -> None:
        self.store.close()
        self._journal.close()

    def deliver(
        self, reply: list[Outcome], *, soft_bounce: bool = False, resolve: Resolve = resolve
    ) -> list[Outcome]:
        """What comes of an agent's reply."""
        limits = Limits(1, 1, 1, 1, suspension=1.0, memory=1.0)
        transport = Transport("virtual", ScriptedClient(*reply), limits, self.log)
        deliveries = Deliveries(
            resolve,
            {"virtual": transport},
            recipient_limit=50,
            soft_bounce=soft_bounce,
            log=self.log,
        )

        async def run() -> list[Outcome]:
            noted: list[Outcome] = []
            with self.store.open_message("incoming", self.queue_id) as message:
                recipients = dict(enumerate(self.recipients))
                await deliveries.deliver(message, recipients, noted.extend)
            return noted

        return asyncio.run(run())


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path)
    yield queue
    queue.close()


@pytest.mark.parametrize(
    ("reply", "statuses", "ignored"),
    [
        ([delivered(0), delivered(1)], {0: SENT, 1: SENT}, 0),
        ([delivered(1), delivered(0)], {0: SENT, 1: SENT}, 0),
        ([delivered(0)], {0: SENT, 1: UNUSABLE}, 0),
        ([delivered(0), delivered(7)], {0: SENT, 1: UNUSABLE}, 1),
        ([delivered(0), delivered(0)], {0: SENT, 1: UNUSABLE}, 1),
        ([delivered(0), delivered(1, LATER)], {0: SENT, 1: UNUSABLE}, 1),
        ([], {0: UNUSABLE, 1: UNUSABLE}, 0),
    ],
    ids=["all", "any-order", "one-missing", "another", "twice", "contradiction", "none"],
)
def test_what_is_usable_of_a_reply_is_used(
    queue: Queue, reply: list[Outcome], statuses: dict[int, Status], ignored: int
) -> None:
    outcomes = queue.deliver(reply)
    assert len(outcomes) == 2
    assert {it.index: it.status for it in outcomes} == statuses
    assert len(queue.events("outcome_ignored")) == ignored
    assert len(queue.events("delivery")) == list(statuses.values()).count(UNUSABLE)


def test_under_soft_bounce_what_would_bounce_is_deferred(queue: Queue) -> None:
    assert queue.deliver([delivered(0), bounced(1)], soft_bounce=True) == [
        delivered(0),
        Outcome(1, Disposition.DEFERRED, Status(450, "4.1.1", "no such mailbox"), "virtual"),
    ]


@pytest.mark.parametrize(("soft_bounce", "word"), [(False, "bounced"), (True, "deferred")])
def test_an_address_without_a_route_softens_as_well(
    queue: Queue, soft_bounce: bool, word: str
) -> None:
    async def refuse(_: str, address: str) -> Resolved:
        raise MailError(NEVER)

    queue.deliver([], soft_bounce=soft_bounce, resolve=refuse)
    assert [line["status"] for line in queue.events("delivery")] == [word, word]
