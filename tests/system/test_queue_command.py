"""`mta queue`: what waits and why, while the system runs."""

import json

import pytest
from support.instance import Instance, NewInstance
from support.load import Ledger


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
