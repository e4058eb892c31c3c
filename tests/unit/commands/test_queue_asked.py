"""`mta queue mailq` and `flush` for users who may not read the queue: what showq says, and how."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import MtaQueue
from support.queue_files import defer
from support.scripted_service import ScriptedService

from mta.daemons.showq.portions import portions
from mta.ipc.messages import Accepted, Flush, FlushDomain, Message, Refused, ShowqRequest
from mta.proto.status import INTERNAL_ERROR, Status
from mta.queue.entry import oldest_first
from mta.queue.store import QueueStore

Play = Callable[[Message], ScriptedService[Message]]
REFUSAL = Status(550, "5.7.1", "User ann(1000) is not allowed to view the mail queue")


@pytest.fixture(autouse=True)
def not_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this user be one who may not read the queue."""
    for module in ("mailq", "flush"):  # names that are commands, too
        monkeypatch.setattr(
            sys.modules[f"mta.commands.queue.{module}"], "may_read", lambda _: False
        )


@pytest.fixture
def play(short_path: Path) -> Play:
    return lambda answer: ScriptedService(
        short_path, "public/showq", ShowqRequest, lambda *_: answer
    )


def test_the_list_is_what_the_queues_owner_sees(
    store: QueueStore, mta_queue: MtaQueue, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        defer(store)
    (part,) = portions(oldest_first(store))
    with play(part):
        asked = mta_queue("mailq")
    monkeypatch.undo()
    assert (asked.exit_code, asked.stdout) == (0, mta_queue("mailq").stdout)
    assert asked.stdout.endswith("in 3 Requests.\n")
    assert asked.stderr == ""


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (Refused(REFUSAL), os.EX_NOPERM, f"mta: queue: {REFUSAL.text}\n"),
        (Refused(INTERNAL_ERROR), os.EX_TEMPFAIL, "Internal error"),
        (Accepted(1), os.EX_TEMPFAIL, "no answer to that"),
    ],
)
def test_no_list(mta_queue: MtaQueue, play: Play, answer: Message, status: int, told: str) -> None:
    with play(answer):
        result = mta_queue("mailq")
    assert (result.exit_code, result.stdout) == (status, "")
    assert told in result.stderr


def test_no_system(mta_queue: MtaQueue) -> None:
    for verb, told in (("mailq", "Queue report unavailable"), ("flush", "Cannot flush")):
        result = mta_queue(verb)
        assert (result.exit_code, result.stdout) == (os.EX_UNAVAILABLE, "")
        assert told in result.stderr
        assert "mail system is down" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "asked", "count"),
    [
        ((), [Flush()], 2),
        (("--all",), [Flush()], 2),
        (("--domain", "a.test"), [FlushDomain("a.test")], 2),
        (("B" * 22, "C" * 22, "B" * 22), [Flush("B" * 22), Flush("C" * 22)], 4),
    ],
)
def test_messages_are_tried(
    mta_queue: MtaQueue, play: Play, arguments: tuple[str, ...], asked: list[Message], count: int
) -> None:
    with play(Accepted(2)) as showq:
        result = mta_queue("flush", *arguments)
    assert (result.exit_code, result.stdout) == (0, f"{count} to be tried now.\n")
    assert showq.requests == asked


def test_what_nobody_knows(mta_queue: MtaQueue, play: Play) -> None:
    with play(Accepted(0)) as showq:
        result = mta_queue("flush", "B" * 22, "../x")
    assert result.exit_code == os.EX_NOINPUT
    assert result.stderr.count("no message with queue id") == 2
    assert showq.requests == [Flush("B" * 22)]


@pytest.mark.parametrize("arguments", [("--sender", "a@b"), ("--dry-run",), ("--reason", "x")])
def test_what_needs_the_queue_itself(mta_queue: MtaQueue, arguments: tuple[str, ...]) -> None:
    result = mta_queue("flush", *arguments)
    assert result.exit_code == os.EX_NOPERM
    assert "may not read the queue" in result.stderr
