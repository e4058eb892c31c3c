"""`mta queue list|show|cat|delete|flush`: what an operator sees, and what goes."""

import json
import os
from pathlib import Path

import pytest
from support.commands import MtaQueue
from support.queue_files import ARRIVED, CONTENT, defer, enqueue, make_envelope
from support.scripted_service import ScriptedService

from mta.ipc.messages import Accepted, Flush
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.queue.layout import path_of
from mta.queue.store import QueueStore

UNKNOWN = "0" * 22


def test_an_empty_queue(store: QueueStore, mta_queue: MtaQueue) -> None:
    assert mta_queue("list").output == "The queue is empty.\n"
    assert json.loads(mta_queue("list", "--json").output) == []


def test_the_list_has_a_line_for_each_message(store: QueueStore, mta_queue: MtaQueue) -> None:
    waiting = defer(store)
    fresh = enqueue(store)
    done = mta_queue("list")
    assert done.exit_code == 0
    head, *lines = done.stdout.splitlines()
    assert "queue id" in head
    assert len(lines) == 2
    (line,) = [line for line in lines if waiting in line]
    assert line.endswith("  2  450 4.2.0 Busy")
    assert "<sender@example.org>" in line
    assert any(fresh in line and "incoming" in line for line in lines)


def test_the_list_for_programs(store: QueueStore, mta_queue: MtaQueue) -> None:
    queue_id = defer(store)
    assert json.loads(mta_queue("list", "--json").stdout) == [
        {
            "queue_id": queue_id,
            "state": "deferred",
            "size": len(CONTENT),
            "arrived": ARRIVED,
            "attempts": 2,
            "next_attempt": ARRIVED + 300,
            "sender": "sender@example.org",
            "recipients": ["user1@posthouse.test", "user2@posthouse.test"],
            "statuses": ["450 4.2.0 Busy", ""],
            "reason": "450 4.2.0 Busy",
            "damaged": False,
        }
    ]


def test_a_damaged_file_is_listed_with_its_damage(
    store: QueueStore, mta_queue: MtaQueue, short_path: Path
) -> None:
    queue_id = enqueue(store)
    path = short_path / path_of("incoming", queue_id)
    path.write_bytes(path.read_bytes()[:-1])
    (entry,) = json.loads(mta_queue("list", "--json").stdout)
    assert (entry["queue_id"], entry["reason"]) == (queue_id, "truncated")
    done = mta_queue("show", queue_id)
    assert done.exit_code == os.EX_DATAERR
    assert "truncated" in done.stderr


def test_one_message_in_full(store: QueueStore, mta_queue: MtaQueue) -> None:
    queue_id = defer(store)
    text = mta_queue("show", queue_id).stdout
    assert f"Queue id:     {queue_id}\n" in text
    assert (
        "<user0@posthouse.test> (given as <User0@posthouse.test>)"
        " delivered by virtual: 250 2.0.0 Ok\n"
    ) in text
    assert "deferred by virtual: 450 4.2.0 Busy\n" in text
    assert "not tried\n" in text
    assert text.endswith("\n\nSubject: x\n\n")
    found = json.loads(mta_queue("show", queue_id, "--json").stdout)
    assert found["recipients"][1] == {
        "address": "user1@posthouse.test",
        "original": "User1@posthouse.test",
        "disposition": "deferred",
        "status": "450 4.2.0 Busy",
        "relay": "virtual",
    }
    assert found["header"] == "Subject: x\n\n"


def test_nothing_that_a_peer_wrote_steers_the_terminal(
    store: QueueStore, mta_queue: MtaQueue
) -> None:
    recipient = Recipient("\x9b31m@posthouse.test", "\u202e@posthouse.test")
    origin = Origin("SMTP", "192.0.2.1", 1, "\x9b", "smtp")
    envelope = Envelope("\x9b@x", (recipient,), origin, ARRIVED, body_8bit=False)
    queue_id = enqueue(store, b"Subject: \x1b[31m\x00\x07\r\n\r\n", envelope)
    text = mta_queue("show", queue_id).stdout + mta_queue("list").stdout
    assert "Subject: ?[31m??\n" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_cat_writes_every_octet(store: QueueStore, mta_queue: MtaQueue) -> None:
    content = bytes(range(256)) * 5000 + b"\r\n"
    queue_id = enqueue(store, content)
    done = mta_queue("cat", queue_id)
    assert done.exit_code == 0
    assert done.stdout_bytes == content


@pytest.mark.parametrize("verb", ["show", "cat", "delete", "flush"])
@pytest.mark.parametrize("queue_id", [UNKNOWN, "../../etc/passwd", "x\x1b"])
def test_an_unknown_id_is_named(
    store: QueueStore, mta_queue: MtaQueue, verb: str, queue_id: str
) -> None:
    done = mta_queue(verb, queue_id)
    assert done.exit_code == os.EX_NOINPUT
    assert f"no message with queue id {queue_id.replace(chr(27), '?')}" in done.stderr


def test_delete_takes_a_message_from_wherever_it_is(store: QueueStore, mta_queue: MtaQueue) -> None:
    first, second, third, kept = defer(store), enqueue(store), enqueue(store), enqueue(store)
    store.quarantine(third, "incoming")
    done = mta_queue("delete", first, UNKNOWN, second, third)
    assert done.exit_code == os.EX_NOINPUT
    assert done.stdout == "3 deleted.\n"
    assert UNKNOWN in done.stderr
    assert [entry["queue_id"] for entry in json.loads(mta_queue("list", "--json").stdout)] == [kept]


def test_delete_reads_ids_from_standard_input(store: QueueStore, mta_queue: MtaQueue) -> None:
    wanted = [enqueue(store) for _ in range(3)]
    done = mta_queue("delete", "-", stdin="\n".join(wanted) + "\n\n")
    assert (done.exit_code, done.stdout) == (0, "3 deleted.\n")
    assert list(store.scan("incoming")) == []


@pytest.mark.parametrize(
    ("arguments", "answer", "left"),
    [(["--yes"], "", 0), ([], "y\n", 0), ([], "n\n", 2), ([], "", 2)],
)
def test_delete_all_asks_before(
    store: QueueStore, mta_queue: MtaQueue, arguments: list[str], answer: str, left: int
) -> None:
    defer(store)
    enqueue(store)
    done = mta_queue("delete", "--all", *arguments, stdin=answer)
    assert (done.exit_code == 0) == (left == 0)
    assert sum(len(list(store.scan(state))) for state in ("incoming", "deferred")) == left


@pytest.mark.parametrize("arguments", [[], ["--all", UNKNOWN]])
def test_delete_wants_ids_or_all(mta_queue: MtaQueue, arguments: list[str]) -> None:
    done = mta_queue("delete", *arguments)
    assert done.exit_code != 0
    assert "give queue ids, or --all" in done.stderr


def test_a_queue_that_is_not_there(mta_queue: MtaQueue, short_path: Path) -> None:
    done = mta_queue("list", directory=short_path / "none")
    assert done.exit_code == os.EX_NOINPUT
    assert str(short_path / "none") in done.stderr


def test_flush_without_a_queue_manager(store: QueueStore, mta_queue: MtaQueue) -> None:
    done = mta_queue("flush")
    assert done.exit_code == os.EX_UNAVAILABLE
    assert "the running system does not answer: public/qmgr" in done.stderr


@pytest.mark.parametrize("everything", [True, False])
def test_flush_asks_the_queue_manager(
    store: QueueStore, mta_queue: MtaQueue, short_path: Path, everything: bool
) -> None:
    queue_id = "" if everything else defer(store)
    with ScriptedService(short_path, "public/qmgr", Flush, lambda *_: Accepted(7)) as manager:
        done = mta_queue("flush", *([queue_id] if queue_id else []))
    assert manager.requests == [Flush(queue_id)]
    assert (done.exit_code, done.stdout) == (0, "7 to be tried now.\n")


def test_a_large_envelope_is_shown_whole(store: QueueStore, mta_queue: MtaQueue) -> None:
    queue_id = enqueue(store, envelope=make_envelope(1000))
    assert mta_queue("show", queue_id).stdout.count("Recipient:") == 1000
