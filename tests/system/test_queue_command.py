"""`mta queue`: what waits and why, and what an operator does about it, while the system runs."""

import fcntl
import json

import pytest
from support.instance import DOMAIN, Instance, NewInstance
from support.load import Ledger
from support.profile import has_row


@pytest.fixture
def waiting(new_instance: NewInstance) -> Instance:
    """A system whose mailboxes cannot be written: what comes in is deferred."""
    instance = new_instance({"minimal_backoff_time": "1h", "maximal_backoff_time": "1h"})
    instance.start()
    (instance.mail / "posthouse.test").write_text("a file where a folder should be")
    return instance


def _defer(instance: Instance, ledger: Ledger, mark: str) -> str:
    with instance.smtp() as client:
        queue_id = ledger.send(client.greeted(), mark)
    instance.wait_log("deferred", queue_id=queue_id)
    return queue_id


def test_an_operator_looks_deletes_and_flushes(waiting: Instance) -> None:
    ledger = Ledger(waiting, "bob")
    first, second = (_defer(waiting, ledger, mark) for mark in ("first", "second"))

    listed = json.loads(waiting.mta("queue", "list", "--json").stdout)
    assert [entry["queue_id"] for entry in listed] == [first, second]
    assert {entry["state"] for entry in listed} == {"deferred"}
    table = waiting.mta("queue", "list").stdout
    assert first in table
    assert "mailbox is not a directory" in table

    shown = json.loads(waiting.mta("queue", "show", first, "--json").stdout)
    assert shown["queue_id"] == first
    assert "Subject: first" in waiting.mta("queue", "cat", first).stdout

    waiting.mta("queue", "delete", first)
    assert waiting.mta("queue", "show", first, succeeds=False).returncode == 66
    ledger.acknowledged.remove("first")

    (waiting.mail / "posthouse.test").unlink()
    waiting.mta("queue", "flush", second)
    ledger.wait_delivered()
    assert list(ledger.copies()) == ["second"]
    assert json.loads(waiting.mta("queue", "list", "--json").stdout) == []


def test_a_retry_time_survives_a_restart(waiting: Instance) -> None:
    """The queue is its own database: qmgr learns from the files what is due, and when."""
    ledger = Ledger(waiting, "bob")
    queue_id = _defer(waiting, ledger, "waits")
    (entry,) = json.loads(waiting.mta("queue", "list", "--json").stdout)
    waiting.stop()
    waiting.start()
    assert json.loads(waiting.mta("queue", "list", "--json").stdout) == [entry]
    (waiting.mail / "posthouse.test").unlink()
    waiting.mta("queue", "flush")
    ledger.wait_delivered()
    assert waiting.wait_log("removed", queue_id=queue_id)


def _tree(instance: Instance) -> dict[str, bytes]:
    """Every queue file, octet for octet."""
    return {str(path): path.read_bytes() for path in instance.queue_files()}


def test_a_held_message_is_not_delivered_until_it_is_released(waiting: Instance) -> None:
    ledger = Ledger(waiting, "bob")
    held, other = (_defer(waiting, ledger, mark) for mark in ("held", "other"))
    assert waiting.mta("queue", "hold", held).stdout == "1 put on hold.\n"

    (waiting.mail / "posthouse.test").unlink()
    waiting.mta("queue", "flush")
    waiting.wait_log("removed", queue_id=other)
    waiting.stop()
    waiting.start()
    waiting.mta("queue", "flush")
    waiting.mta("probe")
    assert list(ledger.copies()) == ["other"]
    (entry,) = json.loads(waiting.mta("queue", "list", "--json").stdout)
    assert (entry["queue_id"], entry["state"]) == (held, "hold")

    # Its next attempt was to be in an hour.
    assert waiting.mta("queue", "release", held).stdout == "1 released.\n"
    assert ledger.wait_delivered() == {"held": 1, "other": 1}


def test_release_right_after_hold(waiting: Instance) -> None:
    """The queue manager still remembers the message where it was."""
    ledger = Ledger(waiting, "bob")
    ids = [_defer(waiting, ledger, mark) for mark in ("first", "second", "third")]
    (waiting.mail / "posthouse.test").unlink()
    waiting.mta("queue", "hold", *ids)
    waiting.mta("queue", "release", "--state", "hold", "--yes")
    assert ledger.wait_delivered() == {"first": 1, "second": 1, "third": 1}


def test_hold_wins_against_attempts_that_never_rest(new_instance: NewInstance) -> None:
    """Whatever the queue manager has just opened: what is said to be on hold is not delivered."""
    instance = new_instance({"minimal_backoff_time": 0.1, "maximal_backoff_time": 0.1})
    instance.start()
    blocked = instance.mail / DOMAIN
    blocked.write_text("a file where a folder should be")
    ledger = Ledger(instance, "bob")
    with instance.smtp() as client:
        client.greeted()
        ids = [ledger.send(client, f"held-{number}") for number in range(30)]
    for queue_id in ids:
        instance.wait_log("deferred", queue_id=queue_id)
    assert instance.mta("queue", "hold", *ids).stdout == "30 put on hold.\n"
    blocked.unlink()
    instance.mta("probe")
    assert ledger.copies() == {}
    instance.mta("queue", "release", *ids)
    assert ledger.wait_delivered() == dict.fromkeys(ledger.acknowledged, 1)


def test_a_requeued_message_is_a_new_one(waiting: Instance) -> None:
    ledger = Ledger(waiting, "bob")
    old = _defer(waiting, ledger, "again")
    (waiting.mail / "posthouse.test").unlink()
    said = waiting.mta("queue", "requeue", old).stdout
    new = said.split("queued anew as ")[1].split()[0]
    assert ledger.wait_delivered() == {"again": 1}
    waiting.wait_log("removed", queue_id=new)
    (delivered,) = waiting.maildir("bob").messages()
    assert [old in field for field in delivered.fields("Received")] == [False, True]
    assert new in delivered.fields("Received")[0]
    assert delivered.fields("X-Original-To") == ["bob@posthouse.test"]


def test_what_is_chosen_by_criteria_goes_and_nothing_else(waiting: Instance) -> None:
    bob, carol = Ledger(waiting, "bob"), Ledger(waiting, "carol")
    kept = _defer(waiting, bob, "kept")
    gone = _defer(waiting, carol, "gone")
    choice = ["--recipient", "carol@posthouse.test", "--reason", "mailbox is not a directory"]

    before = _tree(waiting)
    for verb in ("hold", "requeue", "bounce", "delete", "flush"):
        told = waiting.mta("queue", verb, *choice, "--dry-run").stdout
        assert gone in told
        assert kept not in told
    assert _tree(waiting) == before

    assert waiting.mta("queue", "delete", *choice).stdout == "1 deleted.\n"
    assert [path.name for path in waiting.messages()] == [kept]
    # Without a terminal nobody can say yes to more than one.
    other = _defer(waiting, carol, "other")
    assert waiting.mta("queue", "delete", "--all", succeeds=False).returncode == 1
    assert sorted(path.name for path in waiting.messages()) == sorted([kept, other])
    assert waiting.mta("queue", "delete", "--all", "--yes").stdout == "2 deleted.\n"


def test_a_message_that_is_being_worked_on_cannot_be_held(waiting: Instance) -> None:
    ledger = Ledger(waiting, "bob")
    busy, idle = (_defer(waiting, ledger, mark) for mark in ("busy", "idle"))
    (path,) = (path for path in waiting.messages("deferred") if path.name == busy)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as an agent has it
        done = waiting.mta("queue", "hold", busy, idle, succeeds=False)
    assert done.returncode == 75
    assert done.stdout == "1 put on hold.\n"
    assert busy in done.stderr
    assert idle not in done.stderr
    assert [path.name for path in waiting.messages("hold")] == [idle]
    assert waiting.mta("queue", "hold", busy).stdout == "1 put on hold.\n"


if has_row("bounce"):

    def test_bounced_messages_return_to_their_senders(waiting: Instance) -> None:
        with waiting.smtp() as client:
            client.greeted()
            sent = [
                client.mail(
                    f"alice@{DOMAIN}", [f"bob@{DOMAIN}"], f"Subject: {mark}\r\n\r\n".encode()
                ).text.split()[-1]
                for mark in ("waiting", "held")
            ]
        for queue_id in sent:
            waiting.wait_log("deferred", queue_id=queue_id)
        waiting.mta("queue", "hold", sent[1])
        done = waiting.mta("queue", "bounce", *sent)
        assert done.stdout.endswith("2 being returned.\n")
        for queue_id in sent:
            waiting.wait_log("removed", queue_id=queue_id)
        (waiting.mail / DOMAIN).unlink()
        waiting.mta("queue", "flush")
        reports = waiting.maildir("alice").wait(2)
        assert {report.fields("Return-Path")[0] for report in reports} == {"<>"}
        assert not waiting.maildir("bob").messages()
