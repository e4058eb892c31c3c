"""An agent's reply is gossip: what is usable of it is used, the rest is a deferral."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from mta.daemons.qmgr.delivery import Deliveries, Transport
from mta.daemons.qmgr.scheduler import Turns
from mta.ipc.delivery import DeliveryClient
from mta.ipc.messages import Deliver, DomainClass, Outcome, Outcomes, Resolved
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, Status
from mta.queue.layout import create_layout
from mta.queue.queue_id import new_queue_id
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter
from mta.util.log import Log

SENT = Status(250, "2.0.0", "ok")
LATER = Status(450, "4.2.1", "later")
UNUSABLE = Status(451, "4.3.0", "delivery agent gave no usable outcome")


class ScriptedClient(DeliveryClient):
    """Gives one reply."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._reply = Outcomes(outcomes)

    async def deliver(self, request: Deliver, descriptor: int) -> Outcomes:
        assert len(request.recipients) == 2
        assert os.fstat(descriptor).st_size > request.content_offset + request.content_length
        return self._reply


async def resolve(address: str) -> Resolved:
    return Resolved(address, DomainClass.VIRTUAL, "virtual", "x.test")


def delivered(index: int, status: Status = SENT) -> Outcome:
    return Outcome(index, Disposition.DELIVERED, status, "virtual")


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
    tmp_path: Path, reply: list[Outcome], statuses: dict[int, Status], ignored: int
) -> None:
    create_layout(str(tmp_path))
    store = QueueStore(str(tmp_path))
    recipients = (Recipient("a@x.test", ""), Recipient("b@x.test", ""))
    envelope = Envelope(
        "", recipients, Origin("SMTP", "", 0, "", "smtp"), time.time(), body_8bit=False
    )
    writer = QueueWriter(store.descriptor, new_queue_id(time.time(), bytes(8)), envelope)
    writer.write(b"content")
    writer.seal()
    writer.close()
    log_file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    transport = Transport(ScriptedClient(*reply), Turns(1, 1))
    log = Log(log_file, "qmgr", "qmgr_000", 1)
    deliveries = Deliveries(resolve, {"virtual": transport}, 50, log)

    async def deliver() -> list[Outcome]:
        with store.open_message("incoming", writer.queue_id) as message:
            batches = deliveries.deliver(message, dict(enumerate(recipients)))
            return [outcome async for batch in batches for outcome in batch]

    outcomes = asyncio.run(deliver())
    os.close(log_file)
    store.close()
    assert len(outcomes) == 2
    assert {it.index: it.status for it in outcomes} == statuses
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events.count("outcome_ignored") == ignored
    assert events.count("delivery") == list(statuses.values()).count(UNUSABLE)
