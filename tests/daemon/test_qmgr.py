"""The queue manager as a real process, between scripted services and agents."""

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import ScriptedService, call, listen_ipc, notify
from support.waiting import wait_until

from mta.config.snapshot import Service
from mta.ipc.messages import (
    Accepted,
    Arrived,
    Deliver,
    DomainClass,
    Flush,
    GiveUp,
    Message,
    Outcome,
    Outcomes,
    Refused,
    Report,
    Reported,
    Resolve,
    Resolved,
)
from mta.master.channel import Command, Crossing
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, ReportKind, Status
from mta.queue.layout import STATES, State, create_layout, path_of
from mta.queue.queue_id import new_queue_id
from mta.queue.reader import StoredMessage
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

CONTENT = b"Subject: x\r\n\r\nbody\r\n"
SENT = Status(250, "2.0.0", "delivered")
LATER = Status(450, "4.2.1", "mailbox busy")
NEVER = Status(550, "5.1.1", "no such mailbox")
DOWN = Status(451, "4.4.1", "connection timed out")
_DISPOSITIONS = {2: Disposition.DELIVERED, 4: Disposition.DEFERRED, 5: Disposition.BOUNCED}

Answer = Callable[[Deliver, list[int]], Message | bytes | None]


def outcome(index: int, status: Status) -> Outcome:
    return Outcome(index, _DISPOSITIONS[status.code // 100], status, "virtual")


def saying(*statuses: Status) -> Callable[[Deliver, list[int]], Outcomes]:
    """An agent that says this of the recipients in the envelope's order."""

    def answer(request: Deliver, _: list[int]) -> Outcomes:
        return Outcomes(tuple(outcome(to.index, statuses[to.index]) for to in request.recipients))

    return answer


def unreachable(request: Deliver, _: list[int]) -> Outcomes:
    """An agent that finds no host of the destination."""
    return Outcomes(tuple(outcome(to.index, DOWN) for to in request.recipients), unreachable=True)


def resolving(request: Resolve, _: list[int]) -> Message:
    domain = request.address.rpartition("@")[2]
    if domain == "unknown.test":
        return Refused(Status(451, "4.3.0", "lookup failed"))
    transport = {"relay.test": "absent", "none.test": ""}.get(domain, "virtual")
    return Resolved(request.address, DomainClass.VIRTUAL, transport, domain)


class Sender:
    """The bounce service: what the sender is told, each report with the story on the file."""

    def __init__(self) -> None:
        self.told: list[tuple[ReportKind, dict[int, str]]] = []
        self.reply: Callable[[Report], Message | None] = lambda _: Reported("B" * 22)

    def answer(self, request: Report, descriptors: list[int]) -> Message | None:
        message = StoredMessage("incoming", request.queue_id, descriptors[0])
        story = {index: str(each.status) for index, each in sorted(message.outcomes.items())}
        reply = self.reply(request)
        if isinstance(reply, Reported):
            self.told.append((request.kind, story))
        return reply

    def never(self, *indices: int) -> tuple[ReportKind, dict[int, str]]:
        """What is told of recipients without a mailbox."""
        return ReportKind.FAILURE, dict.fromkeys(indices, str(NEVER))


class Bench:
    """A queue, the services around the queue manager, and queue managers."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        create_layout(str(directory))
        self.queue = QueueStore(str(directory))
        self.rewrite = stack.enter_context(
            ScriptedService(directory, "private/rewrite", Resolve, resolving)
        )
        self.agent = stack.enter_context(
            ScriptedService(directory, "private/virtual", Deliver, saying(SENT))
        )
        self.sender = Sender()
        self.bounce = stack.enter_context(
            ScriptedService(directory, "private/bounce", Report, self.sender.answer)
        )
        self._listener = stack.enter_context(listen_ipc(directory, "public/qmgr"))

    def start(self, *, ready: bool = True, **parameters: float) -> DaemonProcess:
        """Start a queue manager."""
        row = {
            "name": "qmgr",
            "daemon": "qmgr",
            "listen": ["ipc:public/qmgr"],
            "client_limit": 100,
            "restart": "always",
        }
        settings = {"minimal_backoff_time": 300.0, "queue_run_delay": 60.0, **parameters}
        snapshot = write_snapshot(self.directory, row, parameters=settings)
        agent: Service = msgspec.structs.replace(
            snapshot.services[0], name="virtual", daemon="virtual", listen=("ipc:private/virtual",)
        )
        snapshot = msgspec.structs.replace(snapshot, services=(*snapshot.services, agent))
        path = self.directory / "config" / "1.json"
        path.write_bytes(msgspec.json.encode(snapshot))
        daemon = DaemonProcess(
            ["-m", "mta.daemons.qmgr"],
            self.directory,
            [("ipc:public/qmgr", self._listener.fileno())],
            service="qmgr",
        )
        if ready:
            with ExitStack() as failure:
                failure.push(daemon)
                daemon.hear_until(Crossing("free"))
                failure.pop_all()
        return daemon

    def enqueue(
        self,
        *recipients: str,
        age: float = 0.0,
        sender: str = "sender@example.org",
        content: bytes = CONTENT,
    ) -> str:
        """Put a message into incoming/ without a word to anybody."""
        now = time.time() - age
        writer = QueueWriter(
            self.queue.descriptor,
            new_queue_id(now, os.urandom(8)),
            Envelope(
                sender,
                tuple(Recipient(to, to.title()) for to in recipients or ("bob@posthouse.test",)),
                Origin("ESMTP", "192.0.2.1", 40000, "client.example", "smtp"),
                now,
                body_8bit=False,
            ),
        )
        writer.write(content)
        writer.seal()
        writer.close()
        return writer.queue_id

    def send(self, *recipients: str, age: float = 0.0) -> str:
        """Put a message into incoming/ and notify the queue manager."""
        queue_id = self.enqueue(*recipients, age=age)
        self.notify(queue_id)
        return queue_id

    def scan(self, daemon: DaemonProcess) -> None:
        """Have the queue scanned, and wait until the scan has found what nobody notified."""
        queue_id = self.enqueue()
        daemon.tell(Command("wake"))
        self.wait_state(queue_id, None)

    def notify(self, queue_id: str) -> None:
        notify(self.directory, "public/qmgr", Arrived((queue_id,)))

    def flush(self, queue_id: str = "") -> int:
        reply = call(self.directory, "public/qmgr", Flush(queue_id), Accepted)
        assert isinstance(reply, Accepted)
        return reply.count

    def give_up(self, queue_id: str) -> int:
        reply = call(self.directory, "public/qmgr", GiveUp(queue_id), Accepted)
        assert isinstance(reply, Accepted)
        return reply.count

    def state(self, queue_id: str) -> State | None:
        """Where the message lies; None when it has left the queue."""
        found = [state for state in STATES if os.path.lexists(self.path(state, queue_id))]
        return found[0] if found else None

    def wait_state(self, queue_id: str, state: State | None) -> None:
        wait_until(lambda: self.state(queue_id) == state, f"{queue_id} in {state}")

    def path(self, state: State, queue_id: str) -> Path:
        return self.directory / path_of(state, queue_id)

    def stored(self, queue_id: str) -> StoredMessage:
        state = self.state(queue_id)
        assert state is not None
        with self.queue.open_message(state, queue_id) as message:
            return message


@pytest.fixture
def bench(short_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        made = Bench(short_path, stack)
        yield made
        made.queue.close()


def logged(daemon: DaemonProcess, event: str) -> dict[str, Any]:
    return wait_until(lambda: daemon.events(event), f"the event {event}")[0]


# What agents say, and what becomes of the message

BOB = "bob@posthouse.test"
ANN = "ann@posthouse.test"


@pytest.mark.parametrize(
    ("recipients", "answer", "state", "done", "bounced"),
    [
        ([BOB], saying(SENT), None, set(), []),
        ([BOB, ANN], saying(SENT, SENT), None, set(), []),
        ([BOB], saying(LATER), "deferred", set(), []),
        ([BOB], saying(NEVER), None, set(), [0]),
        ([BOB, ANN], saying(SENT, LATER), "deferred", {0}, []),
        ([BOB, ANN], saying(NEVER, LATER), "deferred", {0}, [0]),
        ([BOB, ANN], saying(SENT, NEVER), None, set(), [1]),
        ([BOB, ANN], saying(NEVER, NEVER), None, set(), [0, 1]),
        ([BOB], lambda *_: Refused(LATER), "deferred", set(), []),
        ([BOB], lambda *_: b"garbage", "deferred", set(), []),
        ([BOB], lambda *_: Outcomes((outcome(1, SENT),)), "deferred", set(), []),
        ([BOB], lambda *_: Outcomes(()), "deferred", set(), []),
        ([BOB], lambda *_: Outcomes((outcome(0, SENT), outcome(0, NEVER))), None, set(), []),
        (
            [BOB],
            lambda *_: Outcomes((Outcome(0, Disposition.BOUNCED, SENT, "virtual"),)),
            "deferred",
            set(),
            [],
        ),
        (["bob@relay.test"], saying(SENT), "deferred", set(), []),
        (["bob@none.test"], saying(SENT), "deferred", set(), []),
        (["bob@unknown.test"], saying(SENT), "deferred", set(), []),
        (["bob@unknown.test", BOB], saying(LATER, SENT), "deferred", {1}, []),
    ],
    ids=[
        "delivered",
        "both-delivered",
        "deferred",
        "bounced",
        "delivered-and-deferred",
        "bounced-and-deferred",
        "delivered-and-bounced",
        "both-bounced",
        "refused",
        "garbage",
        "outcome-of-another",
        "no-outcome",
        "two-outcomes-the-first-holds",
        "bounced-with-250",
        "no-such-transport",
        "no-transport",
        "not-resolved",
        "one-not-resolved",
    ],
)
def test_outcomes(
    bench: Bench,
    recipients: list[str],
    answer: Answer,
    state: State | None,
    done: set[int],
    bounced: list[int],
) -> None:
    bench.agent.answer = answer
    with bench.start() as daemon:
        queue_id = bench.send(*recipients)
        ending = "removed" if state is None else "deferred"
        assert logged(daemon, ending)["queue_id"] == queue_id
        assert bench.state(queue_id) == state
        if state is not None:
            assert bench.stored(queue_id).done == done
            assert bench.stored(queue_id).reported == set(bounced)
        never = {index: str(NEVER) for index in bounced}
        told = [(kind, never.items() <= story.items()) for kind, story in bench.sender.told]
        assert told == ([(ReportKind.FAILURE, True)] if bounced else [])
        assert [line["kind"] for line in daemon.events("reported")] == ["failed"] * len(told)


def test_a_request_bears_all_that_an_agent_needs(bench: Bench) -> None:
    contents = []

    def answer(request: Deliver, descriptors: list[int]) -> Message:
        contents.append(os.pread(descriptors[0], request.content_length, request.content_offset))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(descriptors[0], b"x")
        return saying(SENT, SENT)(request, descriptors)

    bench.agent.answer = answer
    with bench.start() as daemon:
        queue_id = bench.send(BOB, ANN)
        logged(daemon, "removed")
    (request,) = bench.agent.requests
    assert (request.queue_id, request.sender) == (queue_id, "sender@example.org")
    assert request.nexthop == "posthouse.test"
    assert [(to.index, to.address, to.original) for to in request.recipients] == [
        (0, BOB, BOB.title()),
        (1, ANN, ANN.title()),
    ]
    assert contents == [CONTENT]


def test_a_message_that_is_delivered_costs_its_journal_nothing(bench: Bench) -> None:
    """The usual case: each write would be one more for every message of every day."""
    queue_id = bench.enqueue(BOB, ANN)
    bench.agent.answer = saying(SENT, SENT)
    with (bench.directory / path_of("incoming", queue_id)).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        with bench.start():
            bench.wait_state(queue_id, None)
        assert os.fstat(file.fileno()).st_size == size
    assert bench.bounce.requests == []


def test_a_deferred_message_waits_for_its_retry_time_even_over_a_restart(bench: Bench) -> None:
    bench.agent.answer = saying(LATER)
    with bench.start(minimal_backoff_time=2.0) as daemon:
        queue_id = bench.send()
        logged(daemon, "deferred")
        message = bench.stored(queue_id)
        assert (message.attempts, message.reason) == (1, "450 4.2.1 mailbox busy")
        assert 0 < message.next_attempt - time.time() <= 2.0
    bench.agent.answer = saying(SENT)
    with bench.start(minimal_backoff_time=2.0):
        bench.wait_state(queue_id, None)
        assert time.time() >= message.next_attempt


def test_a_recipient_who_has_the_message_never_gets_it_again(bench: Bench) -> None:
    bench.agent.answer = saying(SENT, LATER)
    with bench.start(minimal_backoff_time=0.3):
        queue_id = bench.send(BOB, ANN)
        wait_until(lambda: len(bench.agent.requests) >= 3, "two retries")
        bench.agent.answer = saying(NEVER, SENT)
        bench.wait_state(queue_id, None)
    asked = [[to.index for to in request.recipients] for request in bench.agent.requests]
    assert asked == [[0, 1], *[[1]] * (len(asked) - 1)]


def test_an_agent_that_always_dies_is_a_deferral_in_the_end(bench: Bench) -> None:
    """Else a message that no agent survives would be tried for ever, and nobody told."""
    bench.agent.answer = lambda *_: None
    with bench.start(minimal_backoff_time=0.1) as daemon:
        bench.send()
        assert "no delivery agent lived" in logged(daemon, "deferred")["reason"]
        events = [line["event"] for line in daemon.log()]
    assert events[: events.index("deferred")].count("request_lost") == 11


def test_an_agent_that_dies_costs_no_attempt(bench: Bench) -> None:
    bench.agent.answer = lambda *_: None
    with bench.start() as daemon:
        queue_id = bench.send()
        logged(daemon, "request_lost")
        assert bench.state(queue_id) == "incoming"
        bench.agent.answer = saying(SENT)
        bench.wait_state(queue_id, None)
        assert daemon.events("deferred") == []


@pytest.mark.parametrize("service", ["rewrite", "virtual"])
def test_a_socket_without_a_listener_costs_no_attempt(bench: Bench, service: str) -> None:
    """A master that died takes all listeners along: its last second must not cost minutes."""
    path = bench.directory / "private" / service
    kept = path.rename(path.with_name("kept"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as deserted:
        deserted.bind(str(path))
    with bench.start() as daemon:
        queue_id = bench.send()
        assert "refused" in logged(daemon, "request_lost")["reason"]
        assert bench.state(queue_id) == "incoming"
        kept.replace(path)
        bench.wait_state(queue_id, None)
        assert daemon.events("deferred") == []


def test_an_agent_that_is_silent_is_a_deferral(bench: Bench) -> None:
    silence = threading.Event()

    def silent(request: Deliver, descriptors: list[int]) -> Message | bytes | None:
        silence.wait(20)
        return None

    bench.agent.answer = silent
    with bench.start(delivery_timeout=1.0) as daemon:
        bench.send()
        assert "unavailable" in logged(daemon, "deferred")["reason"]
    silence.set()


# What the sender is told


def test_the_sender_is_told_of_a_bounce_while_others_are_still_tried_and_only_once(
    bench: Bench,
) -> None:
    bench.agent.answer = saying(NEVER, LATER)
    with bench.start(minimal_backoff_time=0.3):
        queue_id = bench.send(BOB, ANN)
        wait_until(lambda: len(bench.agent.requests) >= 3, "two retries")
        bench.agent.answer = saying(SENT, NEVER)
        bench.wait_state(queue_id, None)
    assert [list(story) for _, story in bench.sender.told] == [[0, 1], [0, 1]]
    assert bench.sender.told[0][1] == {0: str(NEVER), 1: str(LATER)}
    assert bench.sender.told[1] == bench.sender.never(0, 1)
    assert {to.index for request in bench.agent.requests[1:] for to in request.recipients} == {1}


@pytest.mark.parametrize("sender", ["sender@example.org", ""])
def test_a_message_that_is_too_old_goes_back_with_its_story(bench: Bench, sender: str) -> None:
    bench.agent.answer = saying(LATER)
    with bench.start(maximal_queue_lifetime=3600.0, bounce_queue_lifetime=3600.0) as daemon:
        bench.notify(queue_id := bench.enqueue(age=3700, sender=sender))
        bench.wait_state(queue_id, None)
        (line,) = daemon.events("delivery")
    expired = f"delivery time expired; last: {LATER}"
    assert bench.sender.told == [(ReportKind.FAILURE, {0: f"554 5.4.7 {expired}"})]
    assert (line["queue_id"], line["to"], line["original_to"]) == (queue_id, BOB, BOB.title())
    assert (line["status"], line["relay"], line["dsn"]) == ("bounced", "none", "5.4.7")
    assert len(bench.agent.requests) == 1  # not before a last attempt


def test_the_sender_is_told_once_that_a_message_waits(bench: Bench) -> None:
    bench.agent.answer = saying(LATER)
    with bench.start(minimal_backoff_time=0.3, delay_warning_time=3600.0) as daemon:
        old, young = bench.send(age=3700), bench.send()
        wait_until(lambda: len(daemon.events("deferred")) >= 6, "three attempts each")
        assert bench.stored(old).delay_reported
        assert not bench.stored(young).delay_reported
    assert bench.sender.told == [(ReportKind.DELAY, {0: str(LATER)})]


def refuse(_: Report) -> Message:
    return Refused(Status(451, "4.3.0", "Internal error"), "out of order")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(refuse, "out of order"), (lambda _: None, "connection was lost")],
    ids=["refused", "died"],
)
def test_a_report_that_fails_is_tried_again_and_the_delivery_is_not(
    bench: Bench, failure: Callable[[Report], Message | None], reason: str
) -> None:
    bench.agent.answer = saying(NEVER)
    bench.sender.reply = failure
    with bench.start() as daemon:
        queue_id = bench.send()
        line = logged(daemon, "deferred")
        assert reason in line["reason"]
        assert reason in daemon.events("report_failed")[0]["reason"]
        assert bench.state(queue_id) == "deferred"
        assert bench.stored(queue_id).reason == line["reason"]
        bench.sender.reply = lambda _: Reported("B" * 22)
        bench.wait_state(queue_id, None)  # soon, not after minimal_backoff_time
    assert bench.sender.told == [bench.sender.never(0)]
    assert len(bench.agent.requests) == 1


def test_without_a_bounce_service_nothing_is_lost(bench: Bench) -> None:
    path = bench.directory / "private/bounce"
    kept = path.rename(path.with_name("kept"))
    bench.agent.answer = saying(NEVER)
    with bench.start() as daemon:
        queue_id = bench.send()
        assert "No such file" in logged(daemon, "report_failed")["reason"]
        bench.wait_state(queue_id, "deferred")
        kept.rename(path)
        bench.wait_state(queue_id, None)
    assert bench.sender.told == [bench.sender.never(0)]


def test_what_nobody_can_be_told_of_is_held(bench: Bench) -> None:
    bench.agent.answer = saying(NEVER)
    bench.sender.reply = lambda _: Reported("")
    with bench.start() as daemon:
        bench.notify(queue_id := bench.enqueue(sender="double-bounce@posthouse.test"))
        line = logged(daemon, "held")
        assert (line["queue_id"], line["level"]) == (queue_id, "error")
        assert line["reason"] == f"nobody to tell: 1 bounced: {NEVER}"
        assert bench.state(queue_id) == "hold"
        assert bench.give_up(queue_id) == 0  # what is held is an operator's
    assert bench.stored(queue_id).outcomes[0].status == NEVER


def test_a_crash_before_the_sender_is_known_to_be_told_repeats_the_report_alone(
    bench: Bench,
) -> None:
    bench.agent.answer = saying(NEVER)
    with bench.start() as first:
        bench.sender.reply = lambda _: first.process.kill()
        queue_id = bench.send()
        first.ended()
    assert bench.stored(queue_id).done == {0}
    bench.sender.reply = lambda _: Reported("B" * 22)
    with bench.start():
        bench.wait_state(queue_id, None)
    assert bench.sender.told == [bench.sender.never(0)]
    assert (len(bench.bounce.requests), len(bench.agent.requests)) == (2, 1)


def test_under_soft_bounce_nothing_bounces(bench: Bench) -> None:
    bench.agent.answer = saying(NEVER)
    with bench.start(soft_bounce=True) as daemon:
        queue_id = bench.send()
        assert logged(daemon, "deferred")["reason"] == "450 4.1.1 no such mailbox"
        assert bench.state(queue_id) == "deferred"
    assert bench.bounce.requests == []


# An operator gives a message up

GIVEN_UP = "554 5.4.7 returned to the sender by the operator"


def test_a_waiting_message_is_returned_without_another_attempt(bench: Bench) -> None:
    bench.agent.answer = saying(SENT, LATER)
    with bench.start() as daemon:
        queue_id = bench.send(BOB, ANN)
        logged(daemon, "deferred")
        assert bench.give_up("0" * 22) == 0
        assert bench.give_up(queue_id) == 1
        bench.wait_state(queue_id, None)
        assert daemon.events("delivery")[-1]["text"].endswith(f"operator; last: {LATER}")
    assert bench.sender.told == [
        (ReportKind.FAILURE, {0: str(SENT), 1: f"{GIVEN_UP}; last: {LATER}"})
    ]
    assert len(bench.agent.requests) == 1


@pytest.mark.parametrize("place", ["incoming", "deferred"])
def test_a_message_that_is_not_yet_known_is_found(bench: Bench, place: State) -> None:
    with bench.start():
        bench.wait_state(bench.send(), None)  # the first scan is over
        queue_id = bench.enqueue()
        if place != "incoming":
            bench.queue.move(queue_id, "incoming", place)
        assert bench.give_up(queue_id) == 1
        bench.wait_state(queue_id, None)
    assert bench.sender.told == [(ReportKind.FAILURE, {0: GIVEN_UP})]
    assert len(bench.agent.requests) == 1


def test_an_attempt_under_way_is_awaited_before_a_message_is_returned(bench: Bench) -> None:
    agent = Held(bench, LATER)
    with bench.start():
        queue_id = bench.send()
        wait_until(lambda: bench.agent.requests, "the delivery")
        assert bench.give_up(queue_id) == 1
        assert bench.state(queue_id) == "incoming"
        agent.release()
        bench.wait_state(queue_id, None)
    assert bench.sender.told == [(ReportKind.FAILURE, {0: f"{GIVEN_UP}; last: {LATER}"})]


def test_a_message_given_up_while_its_sender_is_told_is_returned_whole(bench: Bench) -> None:
    telling = threading.Event()

    def tell(_: Report) -> Message:
        telling.wait(10)
        return Reported("B" * 22)

    bench.sender.reply = tell
    bench.agent.answer = saying(NEVER, LATER)
    with bench.start():
        queue_id = bench.send(BOB, ANN)
        wait_until(lambda: bench.bounce.requests, "the first report")
        assert bench.give_up(queue_id) == 1
        telling.set()
        bench.wait_state(queue_id, None)
    assert [list(story.values())[1] for _, story in bench.sender.told] == [
        str(LATER),
        f"{GIVEN_UP}; last: {LATER}",
    ]
    assert len(bench.agent.requests) == 1


# Destinations that cannot be reached


def test_mail_for_a_dead_destination_is_deferred_at_once(bench: Bench) -> None:
    bench.agent.answer = unreachable
    with bench.start() as daemon:
        first = bench.send("a@dead.test")
        bench.wait_state(first, "deferred")
        line = logged(daemon, "suspended")
        assert (line["transport"], line["destination"]) == ("virtual", "dead.test")
        assert line["until"] > time.time() + 200
        second = bench.send("b@dead.test")
        bench.wait_state(second, "deferred")
        bench.agent.answer = saying(SENT)
        bench.wait_state(bench.send(BOB), None)
        assert [request.nexthop for request in bench.agent.requests] == [
            "dead.test",
            "posthouse.test",
        ]
        reason = "451 4.4.1 delivery temporarily suspended: connection timed out"
        assert bench.stored(second).reason == reason
        # An operator who wants it tried knows more than we do.
        assert bench.flush(first) == 1
        bench.wait_state(first, None)
        assert logged(daemon, "resumed")["destination"] == "dead.test"


def test_a_backlog_for_a_dead_destination_does_not_stay_active(bench: Bench) -> None:
    bench.agent.answer = unreachable
    with bench.start(qmgr_message_active_limit=1) as daemon:
        dead = [bench.send("a@dead.test") for _ in range(5)]
        for queue_id in dead:
            bench.wait_state(queue_id, "deferred")
        bench.agent.answer = saying(SENT)
        bench.wait_state(bench.send(BOB), None)
        assert len(daemon.events("suspended")) == 1
    assert len(bench.agent.requests) == 2


# Finding messages


def test_what_lay_there_before_is_found(bench: Bench) -> None:
    found = [bench.enqueue() for _ in range(5)]
    with bench.start():
        for queue_id in found:
            bench.wait_state(queue_id, None)


def test_a_notification_that_was_lost_costs_one_scan(bench: Bench) -> None:
    with bench.start(queue_run_delay=0.2):
        bench.wait_state(bench.enqueue(), None)


def test_the_master_can_have_the_queue_scanned_now(bench: Bench) -> None:
    with bench.start() as daemon:
        bench.wait_state(bench.send(), None)  # the first scan is over
        queue_id = bench.enqueue()
        daemon.tell(Command("wake"))
        bench.wait_state(queue_id, None)


def test_a_message_notified_and_found_is_delivered_once(bench: Bench) -> None:
    held = threading.Event()

    def answer(request: Deliver, descriptors: list[int]) -> Message | bytes | None:
        held.wait(10)
        return saying(SENT)(request, descriptors)

    bench.agent.answer = answer
    with bench.start(queue_run_delay=0.1) as daemon:
        queue_id = bench.send()
        wait_until(lambda: bench.agent.requests, "the delivery")
        for _ in range(3):
            bench.notify(queue_id)
        daemon.tell(Command("wake"))
        time.sleep(0.5)  # some scans: an event that must not happen cannot be awaited
        held.set()
        bench.wait_state(queue_id, None)
        bench.notify(queue_id)  # gone: normal
        bench.wait_state(bench.send(), None)
    assert len(bench.agent.requests) == 2


def test_an_unfinished_file_is_left_alone(bench: Bench) -> None:
    with bench.start(queue_run_delay=0.1) as daemon:
        queue_id = bench.enqueue()
        bench.wait_state(queue_id, None)
        path = bench.directory / path_of("incoming", queue_id)
        path.touch(0o600)
        bench.notify(queue_id)
        bench.wait_state(bench.send(), None)
        assert path.exists()
        assert daemon.events("corrupt") == []


@pytest.mark.parametrize("place", ["incoming", "deferred"])
@pytest.mark.parametrize("damage", ["head", "content", "link"])
def test_what_is_no_message_is_set_aside_and_the_rest_goes_on(
    bench: Bench, damage: str, place: State
) -> None:
    damaged, sound = bench.enqueue(), bench.enqueue()
    if place != "incoming":
        bench.queue.move(damaged, "incoming", place)
    path = bench.directory / path_of(place, damaged)
    if damage == "link":
        path.rename(bench.directory / "elsewhere")
        path.symlink_to(bench.directory / "elsewhere")
    else:
        data = path.read_bytes()
        at = 0 if damage == "head" else data.index(b"body")
        path.write_bytes(data[:at] + b"\0" + data[at + 1 :])
    with bench.start() as daemon:
        bench.wait_state(sound, None)
        assert logged(daemon, "corrupt")["path"] == path_of("corrupt", damaged)
    assert bench.state(damaged) == "corrupt"
    assert len(bench.agent.requests) == 1


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"kept")


KINDS: dict[str, Callable[[Path], None]] = {
    "link": lambda path: path.symlink_to("../../elsewhere"),
    "pipe": os.mkfifo,
    "socket": bind_socket,
    "folder": Path.mkdir,
    "full folder": make_full_folder,
    "empty": lambda path: path.touch(0o700),
}


@pytest.mark.parametrize("place", ["incoming", "deferred"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_has_the_name_of_a_message_is_set_aside_as_what_it_is(
    bench: Bench, kind: str, place: State
) -> None:
    strange = new_queue_id(time.time(), os.urandom(8))
    KINDS[kind](bench.path(place, strange))
    before = bench.path(place, strange).lstat()
    with bench.start() as daemon:
        bench.wait_state(strange, "corrupt")
        assert [line["queue_id"] for line in daemon.events("corrupt")] == [strange]
    found = bench.path("corrupt", strange).lstat()
    assert (found.st_ino, found.st_mode) == (before.st_ino, before.st_mode)


def test_what_cannot_be_moved_is_told_of_once(bench: Bench) -> None:
    strange = new_queue_id(time.time(), os.urandom(8))
    bench.path("incoming", strange).write_bytes(b"no message")
    bench.path("incoming", strange).chmod(0o700)
    bench.path("corrupt", strange).parent.rmdir()
    with bench.start() as daemon:
        for _ in range(3):
            bench.scan(daemon)
        assert "No such file" in logged(daemon, "corrupt")["not_moved"]
        assert len(daemon.events("corrupt")) == 1
        bench.path("corrupt", strange).parent.mkdir(0o700)
        daemon.tell(Command("wake"))
        bench.wait_state(strange, "corrupt")


def test_foreign_names_are_told_of_once_and_a_flood_is_counted(bench: Bench) -> None:
    few = [bench.directory / "incoming/0/README", bench.directory / "deferred/core\udcff\n"]
    for path in few:
        path.touch()
    with bench.start() as daemon:
        for _ in range(3):
            bench.scan(daemon)
        # The message may have been found in incoming/ before that scan came to deferred/.
        wait_until(lambda: len(daemon.events("foreign_file")) >= 2, "both names in the log")
        told = [line["path"] for line in daemon.events("foreign_file")]
        assert told == ["incoming/0/README", "deferred/core\\udcff\n"]
        assert daemon.events("foreign_files") == []
        for number in range(150):
            (bench.directory / f"deferred/1/{number}").touch()
        daemon.tell(Command("wake"))
        assert logged(daemon, "foreign_files")["count"] == 152 - 100
        assert len(daemon.events("foreign_file")) == 100
    assert all(path.exists() for path in few)


def test_a_folder_that_cannot_be_read_hides_no_message(bench: Bench) -> None:
    (bench.directory / "incoming/0").rmdir()
    (bench.directory / "incoming/0").symlink_to("1")
    deferred = bench.enqueue()
    while deferred.endswith("0"):
        deferred = bench.enqueue()
    bench.queue.move(deferred, "incoming", "deferred")
    with bench.start() as daemon:
        bench.wait_state(deferred, None)
        assert "incoming/0" in logged(daemon, "scan_incomplete")["reason"]


def test_content_is_checked_although_it_was_notified(bench: Bench) -> None:
    """A small message's content comes with the first read: to check it costs next to nothing."""
    with bench.start() as daemon:
        bench.wait_state(bench.send(), None)  # the first scan is over
        damaged = bench.enqueue()
        path = bench.path("incoming", damaged)
        path.write_bytes(path.read_bytes().replace(b"body", b"bodi"))
        bench.notify(damaged)
        assert logged(daemon, "corrupt")["reason"] == "damaged content"
    assert len(bench.agent.requests) == 1


@pytest.mark.parametrize("size", [100, 100_000])
def test_content_is_checked_again_before_each_retry(bench: Bench, size: int) -> None:
    """Between two attempts it lies on a disk for hours."""
    bench.agent.answer = saying(LATER)
    with bench.start() as daemon:
        queue_id = bench.enqueue(content=b"x" * size)
        bench.notify(queue_id)
        bench.wait_state(queue_id, "deferred")
        with bench.path("deferred", queue_id).open("r+b") as file:
            file.seek(bench.stored(queue_id).content_offset + size // 2)
            file.write(b"y")
        bench.flush()
        assert logged(daemon, "corrupt")["reason"] == "damaged content"
    assert len(bench.agent.requests) == 1


def test_a_deferred_file_is_not_even_opened_before_it_is_due(bench: Bench) -> None:
    damaged = bench.enqueue()
    bench.queue.move(damaged, "incoming", "deferred")
    (bench.directory / path_of("deferred", damaged)).write_bytes(b"no message")
    bench.queue.set_due("deferred", damaged, time.time() + 3600)
    with bench.start(queue_run_delay=0.1) as daemon:
        bench.wait_state(bench.send(), None)  # the first scan is over
        assert daemon.events("corrupt") == []
        bench.flush()
        assert logged(daemon, "corrupt")["queue_id"] == damaged


# Order and limits


def test_flush_tries_deferred_mail_now(bench: Bench) -> None:
    bench.agent.answer = saying(LATER)
    with bench.start():
        first, second = bench.send(), bench.send()
        bench.wait_state(first, "deferred")
        bench.wait_state(second, "deferred")
        bench.agent.answer = saying(SENT)
        assert bench.flush("0" * 22) == 0
        assert bench.flush(first) == 1
        bench.wait_state(first, None)
        assert bench.state(second) == "deferred"
        assert bench.flush() == 1
        bench.wait_state(second, None)


def test_a_destination_gets_no_more_deliveries_at_once_than_its_limit(bench: Bench) -> None:
    places = threading.Semaphore(0)
    under_way: list[str] = []

    def answer(request: Deliver, descriptors: list[int]) -> Message | bytes | None:
        under_way.append(request.nexthop)
        places.acquire(timeout=10)
        return saying(SENT)(request, descriptors)

    bench.agent.answer = answer
    with bench.start(default_destination_concurrency_limit=2):
        sent = [bench.send("a@one.test") for _ in range(6)]
        sent.append(bench.send("a@two.test"))
        wait_until(lambda: len(under_way) == 3, "three deliveries")
        time.sleep(0.3)  # a fourth must not come
        assert sorted(under_way) == ["one.test", "one.test", "two.test"]
        for _ in sent:
            places.release()
        for queue_id in sent:
            bench.wait_state(queue_id, None)


def test_many_recipients_go_in_several_requests(bench: Bench) -> None:
    bench.agent.answer = saying(*[SENT] * 7)
    with bench.start(default_destination_recipient_limit=2):
        recipients = [f"u{number}@one.test" for number in range(5)]
        bench.wait_state(bench.send(*recipients, "a@two.test", "b@two.test"), None)
    asked = sorted([to.index for to in request.recipients] for request in bench.agent.requests)
    assert asked == [[0, 1], [2, 3], [4], [5, 6]]


def test_what_one_request_brought_is_on_disk_while_another_is_pending(bench: Bench) -> None:
    slow = threading.Event()

    def answer(request: Deliver, descriptors: list[int]) -> Message | bytes | None:
        if request.nexthop == "slow.test":
            slow.wait(10)
        return saying(SENT, SENT)(request, descriptors)

    bench.agent.answer = answer
    with bench.start():
        queue_id = bench.send("a@quick.test", "b@slow.test")
        wait_until(lambda: bench.stored(queue_id).done == {0}, "the record of the first")
        slow.set()
        bench.wait_state(queue_id, None)


def test_what_the_disk_does_not_take_is_remembered_and_written_later(bench: Bench) -> None:
    """A recipient who has the message must not get it again for that; nor does anything spin."""
    bench.agent.answer = saying(SENT, LATER)
    with bench.start() as daemon:
        queue_id = bench.enqueue(BOB, ANN)
        size = (bench.directory / path_of("incoming", queue_id)).stat().st_size
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size + 20, -1))
        bench.notify(queue_id)
        wait_until(lambda: len(bench.agent.requests) == 3, "two attempts more")
        assert "wrote 20 of" in logged(daemon, "queue_error")["reason"]
        assert bench.state(queue_id) == "incoming"
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
        bench.wait_state(queue_id, "deferred")
        assert bench.stored(queue_id).done == {0}
        assert bench.stored(queue_id).attempts == 1
    asked = [[to.index for to in request.recipients] for request in bench.agent.requests]
    assert asked == [[0, 1], *[[1]] * (len(asked) - 1)]


# Ends


class Held:
    """An agent that holds its delivery until it is let go."""

    def __init__(self, bench: Bench, status: Status = SENT) -> None:
        self._let_go = threading.Event()
        self._status = status
        bench.agent.answer = self._answer

    def release(self) -> None:
        self._let_go.set()

    def _answer(self, request: Deliver, descriptors: list[int]) -> Message | bytes | None:
        self._let_go.wait(20)
        return saying(self._status)(request, descriptors)


def test_a_killed_queue_manager_leaves_its_deliveries_to_their_agents(bench: Bench) -> None:
    """The successor must not deliver a second time while the agent still works on the first."""
    agent = Held(bench)
    with bench.start() as first:
        queue_id = bench.send()
        wait_until(lambda: bench.agent.requests, "the delivery")
        first.process.kill()
        first.ended()
    with bench.start():
        other = bench.send("a@other.test")
        wait_until(lambda: len(bench.agent.requests) == 2, "the delivery of another message")
        time.sleep(1.5)  # more than one look
        assert [request.queue_id for request in bench.agent.requests] == [queue_id, other]
        agent.release()
        bench.wait_state(queue_id, None)
    assert len(bench.agent.requests) == 3  # one extra copy for one crash


def test_a_retiring_queue_manager_settles_what_is_under_way_and_begins_nothing(
    bench: Bench,
) -> None:
    agent = Held(bench)
    with bench.start(default_destination_concurrency_limit=1) as daemon:
        first = bench.send()
        wait_until(lambda: bench.agent.requests, "the delivery")
        second = bench.send()
        wait_until(lambda: len(daemon.events("active")) == 2, "both messages active")
        daemon.tell(Command("retire"))
        wait_until(
            lambda: [it for it in daemon.events("retiring") if it.get("active") == 2],
            "the end of new attempts",
        )
        agent.release()
        assert daemon.ended() == 0
        assert (bench.state(first), bench.state(second)) == (None, "incoming")
    assert len(bench.agent.requests) == 1


def test_two_queue_managers_are_impossible(bench: Bench) -> None:
    with bench.start() as first, bench.start(ready=False) as second:
        bench.wait_state(bench.send(), None)
        assert first.events("removed")
        first.process.kill()
        first.ended()
        second.hear_until(Crossing("free"))  # it waited for the lock
        bench.wait_state(bench.send(), None)
        assert second.events("removed")


def test_a_second_queue_manager_says_who_is_in_its_way(bench: Bench) -> None:
    with bench.start() as first, bench.start(ready=False, service_checkin_time=1.0) as second:
        assert second.ended() == os.EX_TEMPFAIL
        assert f"held by process {first.process.pid}" in logged(second, "start_failed")["reason"]


def test_malformed_requests_end_their_connection_alone(bench: Bench) -> None:
    with bench.start() as daemon:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(bench.directory / "public/qmgr"))
            client.settimeout(10)
            client.send(b"\xc1garbage")
            assert client.recv(100) == b""
        logged(daemon, "ipc_malformed")
        bench.wait_state(bench.send(), None)
