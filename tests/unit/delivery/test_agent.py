"""What all delivery agents share: one outcome a recipient, whatever the agent does."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mta.delivery.agent import BlockingDelivery, DeliveryAgent, Result
from mta.delivery.content import ContentReader
from mta.ipc.messages import Deliver, DeliverRecipient, Outcomes
from mta.proto.status import Disposition, MailError, Status
from mta.util.log import Log

SENT = Status(250, "2.0.0", "ok")
LATER = Status(450, "4.2.1", "later")
NEVER = Status(550, "5.1.1", "unknown")
UNEXPECTED = Status(451, "4.3.0", "mail system error")

Deliverer = Callable[[Deliver, ContentReader], Awaitable[Iterable[Result]]]


class Bench:
    """A queue file, a log, and one request for two recipients."""

    def __init__(self, folder: Path) -> None:
        (folder / "file").write_bytes(b"....content")
        self.descriptor = os.open(folder / "file", os.O_RDONLY)
        self._log_path = folder / "log"
        self._log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT)
        self.log = Log(self._log, "test", "test_000", 1)
        self.request = Deliver(
            "0" * 22,
            "s@example.org",
            (DeliverRecipient(3, "a@x.test", "A@x.test"), DeliverRecipient(5, "b@x.test", "")),
            "x.test",
            time.time() - 10,
            4,
            7,
        )

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._log)

    def deliver(self, deliver: Deliverer) -> dict[int, tuple[Disposition, Status]]:
        agent = DeliveryAgent("test", self.log, lambda: None, deliver)

        async def answer() -> Outcomes:
            return await agent._answer(self.request, (self.descriptor,))

        reply = asyncio.run(answer())
        assert len(reply.outcomes) == 2
        return {it.index: (it.disposition, it.status) for it in reply.outcomes}

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log_path.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def returning(*results: Result) -> Deliverer:
    async def deliver(_: Deliver, content: ContentReader) -> list[Result]:
        assert b"".join(content.chunks()) == b"content"
        return list(results)

    return deliver


def raising(error: Exception) -> Deliverer:
    async def deliver(_: Deliver, __: ContentReader) -> list[Result]:
        raise error

    return deliver


@pytest.mark.parametrize(
    ("deliver", "first", "second"),
    [
        (returning(Result(3, SENT, "r"), Result(5, NEVER, "r")), SENT, NEVER),
        (returning(Result(5, LATER, "r"), Result(3, SENT, "r")), SENT, LATER),
        (returning(Result(3, SENT, "r")), SENT, UNEXPECTED),
        (returning(Result(3, SENT, "r"), Result(4, SENT, "r")), SENT, UNEXPECTED),
        (raising(MailError(LATER, "why")), LATER, LATER),
        (raising(MailError(NEVER)), NEVER, NEVER),
        (raising(KeyError("x")), UNEXPECTED, UNEXPECTED),
    ],
    ids=["each", "any-order", "one-missing", "another", "deferral", "bounce", "defect"],
)
def test_each_recipient_gets_one_outcome(
    bench: Bench, deliver: Deliverer, first: Status, second: Status
) -> None:
    expected = {2: Disposition.DELIVERED, 4: Disposition.DEFERRED, 5: Disposition.BOUNCED}
    assert bench.deliver(deliver) == {
        3: (expected[first.code // 100], first),
        5: (expected[second.code // 100], second),
    }


def test_each_outcome_has_its_record_in_the_log(bench: Bench) -> None:
    bench.deliver(returning(Result(3, SENT, "r"), Result(5, LATER, "r", "the reason")))
    sent, deferred = bench.logged()
    assert (sent["event"], sent["level"], sent["queue_id"]) == ("delivery", "info", "0" * 22)
    assert (sent["to"], sent["original_to"], sent["relay"]) == ("a@x.test", "A@x.test", "r")
    assert (sent["dsn"], sent["status"], sent["text"]) == ("2.0.0", "sent", "ok")
    assert 10 <= sent["delay"] < 20
    assert (deferred["status"], deferred["reason"]) == ("deferred", "the reason")


def test_a_defect_leaves_its_traceback_in_the_log(bench: Bench) -> None:
    bench.deliver(raising(KeyError("x")))
    assert all("KeyError" in line["reason"] for line in bench.logged())


def test_what_is_too_long_for_the_protocol_is_cut(bench: Bench) -> None:
    outcome = bench.deliver(returning(Result(3, Status(250, "2.0.0", "é" * 900), "r" * 900)))
    assert outcome[3][1].text == "\\xe9" * 128


def test_one_recipient_after_the_other_and_an_error_of_one_is_no_matter_of_the_rest(
    bench: Bench,
) -> None:
    seen = []

    def deliver(_: Deliver, recipient: DeliverRecipient, content: ContentReader) -> Status:
        seen.append((recipient.index, b"".join(content.chunks())))
        if recipient.index == 3:
            raise OSError("disk on fire")
        return SENT

    blocking = BlockingDelivery("test", deliver, 2)
    assert bench.deliver(blocking) == {
        3: (Disposition.DEFERRED, UNEXPECTED),
        5: (Disposition.DELIVERED, SENT),
    }
    blocking.close()
    assert seen == [(3, b"content"), (5, b"content")]
    assert "disk on fire" in bench.logged()[0]["reason"]


def test_a_thread_reads_its_own_descriptor(bench: Bench) -> None:
    """The caller's is closed when its task is cancelled, and the number may be another file's."""
    read: list[bytes] = []

    def deliver(_: Deliver, __: DeliverRecipient, content: ContentReader) -> Status:
        os.close(bench.descriptor)
        with open("/dev/zero", "rb") as other:
            assert other.fileno() == bench.descriptor
            read.append(b"".join(content.chunks()))
            bench.descriptor = os.dup(other.fileno())
        return SENT

    async def run() -> None:
        one = msgspec.structs.replace(bench.request, recipients=bench.request.recipients[:1])
        blocking = BlockingDelivery("test", deliver, 1)
        await blocking(one, ContentReader(bench.descriptor, 4, 7))
        blocking.close()

    asyncio.run(run())
    assert read == [b"content"]


def test_without_a_thread_all_are_deferred_and_no_descriptor_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    def deliver(_: Deliver, __: DeliverRecipient, ___: ContentReader) -> Status:
        raise AssertionError("delivered")

    blocking = BlockingDelivery("test", deliver, 1)
    monkeypatch.setattr(blocking._threads._pool, "submit", refuse)
    before = len(os.listdir("/proc/self/fd"))
    deferred = (Disposition.DEFERRED, UNEXPECTED)
    assert bench.deliver(blocking) == {3: deferred, 5: deferred}
    assert len(os.listdir("/proc/self/fd")) == before
    blocking.close()
