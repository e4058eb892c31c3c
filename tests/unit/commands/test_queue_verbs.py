"""`mta queue hold|release|requeue|bounce|delete|flush`: what is done to whom, and what is said."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from support.commands import MtaQueue
from support.queue_files import ARRIVED, BUSY, CONTENT, defer, enqueue, make_envelope
from support.scripted_service import ScriptedService
from support.waiting import wait_until

from mta.commands.queue import work
from mta.ipc.messages import (
    Accepted,
    Arrived,
    Begin,
    Committed,
    DomainClass,
    Flush,
    GiveUp,
    Message,
    QmgrRequest,
    Refused,
    Resolve,
    Resolved,
)
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.proto.status import Disposition, ReportKind, Status
from mta.queue.journal import Attempted, Notified
from mta.queue.layout import STATES, path_of
from mta.queue.store import QueueStore

UNKNOWN = "0" * 22
NEW = "N" * 22
BOUNCED = Attempted(ARRIVED, 0, Disposition.BOUNCED, Status(550, "5.1.1", "Unknown"), "virtual")
TOLD = Notified(ARRIVED, ReportKind.FAILURE)
VERBS = ["hold", "release", "requeue", "bounce", "delete", "flush"]


class System:
    """The daemons that the verbs talk to; the test may change what they answer."""

    def __init__(self, directory: Path) -> None:
        self.refused_address = ""
        self.commits: Message | None = Committed(NEW)
        self.gives_up: Message = Accepted(1)
        self.seen_at_give_up: list[str] = []
        self._directory = directory
        with ExitStack() as stack:
            self.qmgr = stack.enter_context(
                ScriptedService[Arrived | Flush | GiveUp](
                    directory, "public/qmgr", QmgrRequest, self._manage
                )
            )
            self.rewrite = stack.enter_context(
                ScriptedService(directory, "private/rewrite", Resolve, self._resolve)
            )
            self.cleanup = stack.enter_context(
                ScriptedService(directory, "private/cleanup", Begin, lambda *_: self.commits)
            )
            self.close = stack.pop_all().close

    def _manage(self, request: Arrived | Flush | GiveUp, _: list[int]) -> Message:
        if isinstance(request, GiveUp):
            self.seen_at_give_up += [
                state
                for state in STATES
                if (self._directory / path_of(state, request.queue_id)).exists()
            ]
            return self.gives_up
        return Accepted(1)

    def _resolve(self, request: Resolve, _: list[int]) -> Message:
        if request.address == self.refused_address:
            return Refused(Status(550, "5.1.3", "Bad address syntax"))
        address = request.address.lower().replace("posthouse.test", "new.test")
        transport = "" if "nowhere" in address else "virtual"
        return Resolved(address, DomainClass.VIRTUAL, transport, "new.test")


@pytest.fixture
def system(short_path: Path, store: QueueStore) -> Iterator[System]:
    del store  # its folders
    running = System(short_path)
    yield running
    running.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is worked on is tried twice."""
    monkeypatch.setattr(work, "_PATIENCE", 0.0)


def held(store: QueueStore) -> str:
    queue_id = defer(store)
    store.move(queue_id, "deferred", "hold")
    return queue_id


def tree(directory: Path) -> dict[str, bytes]:
    """Every file of the queue, octet for octet."""
    return {
        str(path): path.read_bytes()
        for state in STATES
        for path in (directory / state).rglob("*")
        if path.is_file()
    }


def where(store: QueueStore, queue_id: str) -> str:
    return next((state for state in STATES if queue_id in store.scan(state)), "")


# What is meant


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("queue_id", [UNKNOWN, "../../etc/passwd"])
def test_an_unknown_id_is_named(
    store: QueueStore, mta_queue: MtaQueue, verb: str, queue_id: str
) -> None:
    done = mta_queue(verb, queue_id)
    assert done.exit_code == os.EX_NOINPUT
    assert f"no message with queue id {queue_id}" in done.stderr


@pytest.mark.parametrize("verb", ["hold", "release", "requeue", "bounce", "delete"])
def test_a_verb_without_a_choice_does_nothing(
    store: QueueStore, mta_queue: MtaQueue, short_path: Path, verb: str
) -> None:
    defer(store)
    before = tree(short_path)
    for arguments in ([], ["--yes"], ["--dry-run"]):
        done = mta_queue(verb, *arguments)
        assert done.exit_code == os.EX_USAGE
        assert "give queue ids, or --all, or other criteria" in done.stderr
    assert tree(short_path) == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([UNKNOWN, "--all"], "not both"),
        ([UNKNOWN, "--sender", ""], "not both"),
        (["--reason", ""], "it is empty"),
        (["--recipient", " "], "it is empty"),
        (["--domain", ""], "it is empty"),
        (["--sender", "@"], "a domain is missing"),
        (["--older-than", "2"], "is no duration"),
        (["--newer-than", "yesterday"], "is no duration"),
        (["--state", "active"], "is not one of"),
        (["--all", "--json"], "--json is for --dry-run"),
    ],
)
def test_a_choice_that_makes_no_sense(
    store: QueueStore, mta_queue: MtaQueue, short_path: Path, arguments: list[str], complaint: str
) -> None:
    defer(store)
    before = tree(short_path)
    done = mta_queue("delete", *arguments)
    assert done.exit_code == os.EX_USAGE
    assert complaint in done.stderr
    assert tree(short_path) == before


def test_criteria_choose(store: QueueStore, mta_queue: MtaQueue) -> None:
    bounce = msgspec.structs.replace(make_envelope(2), sender="")
    notice = enqueue(store, envelope=bounce)
    deferred, on_hold = defer(store), held(store)

    def listed(*arguments: str) -> set[str]:
        return {e["queue_id"] for e in json.loads(mta_queue("list", "--json", *arguments).stdout)}

    assert listed() == listed("--all") == {notice, deferred, on_hold}
    assert listed("--sender", "") == listed("--sender", "<>") == {notice}
    assert listed("--sender", "@EXAMPLE.org") == {deferred, on_hold}
    assert listed("--reason", "busy", "--state", "hold") == {on_hold}
    # The first recipient of the deferred ones has the message already.
    assert listed("--recipient", "user0@posthouse.test") == {notice}
    assert listed("--domain", "@posthouse.test", "--older-than", "1w") == listed()
    assert listed("--newer-than", "1w") == set()
    assert listed(deferred, notice) == {deferred, notice}


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_changes_nothing(
    store: QueueStore, mta_queue: MtaQueue, system: System, short_path: Path, verb: str
) -> None:
    fresh, deferred, on_hold = enqueue(store), defer(store), held(store)
    damaged = enqueue(store)
    store.quarantine(damaged, "incoming")
    before = tree(short_path)
    meant = {
        "hold": {fresh, deferred},
        "release": {on_hold},
        "delete": {fresh, deferred, on_hold, damaged},
        "flush": {fresh, deferred},
    }.get(verb, {fresh, deferred, on_hold})
    done = mta_queue(verb, "--all", "--dry-run", "--json")
    assert done.exit_code == 0
    assert {entry["queue_id"] for entry in json.loads(done.stdout)} == meant
    text = mta_queue(verb, "--all", "--dry-run").stdout
    assert f"{len(meant)} to be " in text
    assert all(queue_id in text for queue_id in meant)
    assert tree(short_path) == before
    assert not system.qmgr.requests


@pytest.mark.parametrize("verb", ["hold", "requeue", "bounce", "delete"])
@pytest.mark.parametrize("answer", ["n\n", ""])
def test_what_criteria_chose_is_not_touched_without_a_yes(
    store: QueueStore, mta_queue: MtaQueue, short_path: Path, verb: str, answer: str
) -> None:
    defer(store)
    defer(store)
    before = tree(short_path)
    done = mta_queue(verb, "--reason", "busy", stdin=answer)
    assert done.exit_code != 0
    assert "2 messages to be " in done.stderr
    assert tree(short_path) == before


def test_one_message_or_named_ones_are_not_asked_about(
    store: QueueStore, mta_queue: MtaQueue
) -> None:
    first, second, third = defer(store), defer(store), enqueue(store)
    assert mta_queue("hold", first, second).exit_code == 0
    assert mta_queue("hold", "--state", "incoming").exit_code == 0
    assert {where(store, queue_id) for queue_id in (first, second, third)} == {"hold"}


# hold, release


def test_hold_moves_and_the_queue_manager_forgets(
    store: QueueStore, mta_queue: MtaQueue, system: System, short_path: Path
) -> None:
    fresh, deferred = enqueue(store), defer(store)
    content = next(short_path.rglob(deferred)).read_bytes()
    done = mta_queue("hold", fresh, deferred)
    assert (done.exit_code, done.stdout) == (0, "2 put on hold.\n")
    assert set(store.scan("hold")) == {fresh, deferred}
    assert system.qmgr.requests == [Flush(fresh), Flush(deferred)]
    assert next(short_path.rglob(deferred)).read_bytes() == content


def test_a_held_message_stays_locked_until_the_queue_manager_has_answered(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    """It may have opened the file a moment ago; it must not get the lock on it afterwards."""
    queue_id = defer(store)
    locked: list[bool] = []

    def look(_request: Message, _: list[int]) -> Message:
        with store.open_message("hold", queue_id) as message:
            try:
                fcntl.flock(message.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                locked.append(True)
        return Accepted(0)

    system.qmgr.answer = look
    assert mta_queue("hold", queue_id).exit_code == 0
    assert locked == [True]


def test_release_hands_the_message_to_the_queue_manager(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = held(store)
    done = mta_queue("release", queue_id)
    assert (done.exit_code, done.stdout) == (0, "1 released.\n")
    with store.open_message("incoming", queue_id) as message:
        assert message.done == {0}  # nobody gets it twice
    assert system.qmgr.requests == [Arrived((queue_id,)), Flush(queue_id)]


@pytest.mark.parametrize(("verb", "goal"), [("hold", "hold"), ("release", "incoming")])
def test_no_system_is_needed(store: QueueStore, mta_queue: MtaQueue, verb: str, goal: str) -> None:
    queue_ids = [defer(store) if verb == "hold" else held(store) for _ in range(3)]
    done = mta_queue(verb, *queue_ids)
    assert done.exit_code == 0, done.stderr
    assert {where(store, queue_id) for queue_id in queue_ids} == {goal}


@pytest.mark.usefixtures("impatient", "system")
def test_a_message_that_is_being_delivered_is_named(store: QueueStore, mta_queue: MtaQueue) -> None:
    busy, idle = defer(store), defer(store)
    with store.open_message("deferred", busy) as message:
        fcntl.flock(message.descriptor, fcntl.LOCK_SH)
        done = mta_queue("hold", busy, idle)
    assert done.exit_code == os.EX_TEMPFAIL
    assert done.stdout == "1 put on hold.\n"
    assert f"{busy}: is being worked on" in done.stderr
    assert (where(store, busy), where(store, idle)) == ("deferred", "hold")


@pytest.mark.usefixtures("system")
def test_a_message_that_moves_meanwhile_is_followed(
    store: QueueStore, mta_queue: MtaQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first delivery ends with a deferral while the operator waits for it."""
    queue_id = enqueue(store)
    message = store.open_message("incoming", queue_id)
    fcntl.flock(message.descriptor, fcntl.LOCK_SH)

    def end_of_delivery(_pause: float) -> None:
        if message.descriptor < 0:
            return
        store.append_log("incoming", queue_id, [BUSY])
        store.move(queue_id, "incoming", "deferred")
        message.close()

    monkeypatch.setattr("time.sleep", end_of_delivery)
    done = mta_queue("hold", queue_id)
    assert (done.exit_code, done.stdout) == (0, "1 put on hold.\n")
    assert where(store, queue_id) == "hold"


def test_a_state_that_the_verb_is_not_for(store: QueueStore, mta_queue: MtaQueue) -> None:
    waiting, on_hold = defer(store), held(store)
    for verb, queue_id, state in [("hold", on_hold, "hold"), ("release", waiting, "deferred")]:
        done = mta_queue(verb, queue_id)
        assert done.exit_code == os.EX_UNAVAILABLE
        assert f"{queue_id}: lies in {state}/; only what lies in " in done.stderr


# requeue


def test_requeue_makes_a_new_message_of_what_is_left(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = defer(store)
    done = mta_queue("requeue", queue_id)
    assert done.exit_code == 0, done.stderr
    assert f"{queue_id}: queued anew as {NEW}\n1 queued anew.\n" == done.stdout
    (begin,) = system.cleanup.requests
    assert begin == Begin(
        sender="sender@example.org",
        origin=make_envelope().origin,
        body_8bit=False,
        recipients=(
            Recipient("user1@new.test", "User1@posthouse.test"),
            Recipient("user2@new.test", "User2@posthouse.test"),
        ),
        content=CONTENT,
        last=True,
    )
    assert where(store, queue_id) == ""


@pytest.mark.parametrize("trouble", ["address", "nowhere", "cleanup", "lost", "told", "content"])
def test_what_cannot_go_on_whole_stays(
    store: QueueStore, mta_queue: MtaQueue, system: System, short_path: Path, trouble: str
) -> None:
    queue_id = _troubled(store, system, short_path, trouble)
    before = tree(short_path)
    done = mta_queue("requeue", queue_id)
    assert done.exit_code == (os.EX_DATAERR if trouble == "content" else os.EX_UNAVAILABLE)
    assert done.stdout == "0 queued anew.\n"
    reason = {
        "address": f"{queue_id}: 550 5.1.3 Bad address syntax: <User2@posthouse.test>",
        "nowhere": f"{queue_id}: 451 4.3.5 this host carries no mail for the address: <x@nowhere",
        "cleanup": f"{queue_id}: 452 4.3.1 Insufficient system storage",
        "lost": "the running system does not answer: cleanup",
        "told": f"{queue_id}: the sender has yet to be told of 1 recipients who bounced",
        "content": f"{queue_id}: damaged content",
    }[trouble]
    assert reason in done.stderr
    assert tree(short_path) == before


def _troubled(store: QueueStore, system: System, directory: Path, trouble: str) -> str:
    if trouble == "nowhere":
        recipient = Recipient("x@posthouse.test", "x@nowhere.test")
        origin = Origin("SMTP", "192.0.2.1", 1, "client.example", "smtp")
        return enqueue(
            store, envelope=Envelope("a@b.test", (recipient,), origin, ARRIVED, body_8bit=False)
        )
    queue_id = enqueue(store)
    match trouble:
        case "address":
            system.refused_address = "User2@posthouse.test"
        case "cleanup":
            system.commits = Refused(Status(452, "4.3.1", "Insufficient system storage"))
        case "lost":
            system.commits = None
        case "told":
            store.append_log("incoming", queue_id, [BOUNCED])
        case "content":
            path = directory / path_of("incoming", queue_id)
            path.write_bytes(path.read_bytes().replace(b"body", b"BODY"))
    return queue_id


def test_who_bounced_and_was_reported_is_left_out(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = enqueue(store, envelope=make_envelope(2))
    store.append_log("incoming", queue_id, [BOUNCED, TOLD])
    assert mta_queue("requeue", queue_id).exit_code == 0
    (begin,) = system.cleanup.requests
    assert [each.original for each in begin.recipients] == ["User1@posthouse.test"]


def test_a_message_without_recipients_left_is_not_requeued(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = enqueue(store, envelope=make_envelope(1))
    store.append_log("incoming", queue_id, [BOUNCED, TOLD])
    done = mta_queue("requeue", queue_id)
    assert done.exit_code == os.EX_UNAVAILABLE
    assert "no recipient is left" in done.stderr
    assert not system.cleanup.requests


# bounce


def test_bounce_asks_the_queue_manager(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = defer(store)
    done = mta_queue("bounce", queue_id)
    assert done.exit_code == 0
    assert done.stdout == (f"{queue_id}: returned to <sender@example.org>\n1 being returned.\n")
    assert system.qmgr.requests == [GiveUp(queue_id)]


def test_a_held_message_is_released_before_it_is_returned(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = held(store)
    assert mta_queue("bounce", queue_id).exit_code == 0
    assert system.seen_at_give_up == ["deferred"]


@pytest.mark.parametrize(
    "answer", [Refused(Status(451, "4.3.0", "not now")), Accepted(0)], ids=["refused", "unknown"]
)
def test_a_message_that_cannot_be_returned_is_where_it_was(
    store: QueueStore, mta_queue: MtaQueue, system: System, answer: Message
) -> None:
    system.gives_up = answer
    on_hold, waiting = held(store), defer(store)
    done = mta_queue("bounce", on_hold, waiting)
    assert done.exit_code == os.EX_UNAVAILABLE
    assert done.stdout == "0 being returned.\n"
    assert on_hold in done.stderr
    assert waiting in done.stderr
    assert (where(store, on_hold), where(store, waiting)) == ("hold", "deferred")


@pytest.mark.parametrize("verb", ["bounce", "requeue"])
def test_verbs_that_need_the_system_say_so(
    store: QueueStore, mta_queue: MtaQueue, verb: str
) -> None:
    queue_id = held(store)
    done = mta_queue(verb, queue_id)
    assert done.exit_code == os.EX_UNAVAILABLE
    assert "the running system does not answer" in done.stderr
    assert where(store, queue_id) == "hold"


# flush


def test_flush_asks_for_each_chosen_message(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    first, second = defer(store), defer(store)
    enqueue(store)
    done = mta_queue("flush", "--reason", "busy")
    assert (done.exit_code, done.stdout) == (0, "2 to be tried now.\n")
    assert system.qmgr.requests == [Flush(each) for each in sorted((first, second))]


def test_flush_of_everything_is_one_request(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    defer(store)
    defer(store)
    assert mta_queue("flush", "--all").exit_code == 0
    assert system.qmgr.requests == [Flush("")]


def test_flush_of_a_held_message_tells_why_not(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    queue_id = held(store)
    done = mta_queue("flush", queue_id)
    assert done.exit_code == os.EX_UNAVAILABLE
    assert "lies in hold/" in done.stderr
    assert not system.qmgr.requests


def test_a_daemon_that_does_not_answer_is_not_asked_again(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    system.refused_address = "x@bad.test"
    bad_recipient = Recipient("x@bad.test", "x@bad.test")
    bad = enqueue(
        store, envelope=msgspec.structs.replace(make_envelope(), recipients=(bad_recipient,))
    )
    others = [enqueue(store) for _ in range(2)]
    system.commits = None
    done = mta_queue("requeue", bad, *others)
    assert done.exit_code == os.EX_UNAVAILABLE
    assert bad in done.stderr  # what went wrong before is told too
    assert "the running system does not answer" in done.stderr
    assert {request.recipients[0].address for request in system.cleanup.requests} == {
        "user0@new.test"
    }
    assert not any(queue_id in done.stderr for queue_id in others)


def test_one_failure_keeps_no_other_message_from_its_turn(
    store: QueueStore, mta_queue: MtaQueue, system: System
) -> None:
    system.refused_address = "x@bad.test"
    origin = Origin("SMTP", "192.0.2.1", 1, "client.example", "smtp")
    bad_recipient = Recipient("x@bad.test", "x@bad.test")
    bad = enqueue(
        store, envelope=Envelope("a@b.test", (bad_recipient,), origin, ARRIVED, body_8bit=False)
    )
    good = [enqueue(store) for _ in range(3)]
    done = mta_queue("requeue", "-", stdin="\n".join([good[0], bad, UNKNOWN, *good[1:]]))
    assert done.exit_code == os.EX_UNAVAILABLE  # the highest of the statuses
    assert done.stdout.endswith("\n3 queued anew.\n")
    assert bad in done.stderr
    assert UNKNOWN in done.stderr
    wait_until(lambda: len(system.cleanup.requests) == 3, "three new messages")
    assert [where(store, each) for each in (*good, bad)] == ["", "", "", "incoming"]
