"""The commands' client of showq: what it makes of answers, of silence and of noise."""

from pathlib import Path

import pytest
from support.scripted_service import Answer, ScriptedService, listen_ipc

from mta.ipc.client import Unavailable
from mta.ipc.messages import (
    Accepted,
    Flush,
    FlushDomain,
    Goodbye,
    Listed,
    ListQueue,
    Message,
    Refused,
    ShowqRequest,
)
from mta.ipc.showq import ShowqClient
from mta.proto.status import MailError, Status

REFUSAL = Status(550, "5.7.1", "User ann(1000) is not allowed to view the mail queue")


def service(folder: Path, answer: Answer[Message]) -> ScriptedService[Message]:
    return ScriptedService(folder, "public/showq", ShowqRequest, answer)


def client(folder: Path, timeout: float = 20.0) -> ShowqClient:
    return ShowqClient(timeout, str(folder / "public/showq"))


def test_each_request_has_its_answer(tmp_path: Path) -> None:
    def answer(request: Message, _: list[int]) -> Message:
        return Listed((), more=False) if isinstance(request, ListQueue) else Accepted(7)

    with service(tmp_path, answer) as showq:
        assert list(client(tmp_path).listing()) == [Listed((), more=False)]
        assert client(tmp_path).flush("B" * 22) == 7
        assert client(tmp_path).flush_domain("a.test") == 7
    assert showq.requests == [ListQueue(), Flush("B" * 22), FlushDomain("a.test")]


def test_a_refusal(tmp_path: Path) -> None:
    with service(tmp_path, lambda *_: Refused(REFUSAL)), pytest.raises(MailError) as raised:
        list(client(tmp_path).listing())
    assert raised.value.status == REFUSAL


def test_the_next_process_is_asked_when_one_retires(tmp_path: Path) -> None:
    answers: list[Message] = [Goodbye(0), Goodbye(0), Accepted(3)]
    with service(tmp_path, lambda *_: answers.pop(0)):
        assert client(tmp_path).flush() == 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "the connection was lost"),
        (Goodbye(0), "has just retired"),
        (Listed((), more=False), "Listed is no answer to that"),
        (b"\x00", "no sound answer"),
        (b"\x93\x02\x01\x92\xa8Accepted\x01", "no sound answer"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, answer: Message | bytes | None, told: str) -> None:
    """It is never taken for an answer, and always for a reason to try later."""
    with service(tmp_path, lambda *_: answer), pytest.raises(Unavailable) as raised:
        client(tmp_path).flush()
    assert told in raised.value.reason


def test_a_list_is_no_count(tmp_path: Path) -> None:
    with service(tmp_path, lambda *_: Accepted(1)), pytest.raises(Unavailable):
        list(client(tmp_path).listing())


def test_who_waits_waits_within_bounds(tmp_path: Path) -> None:
    with listen_ipc(tmp_path, "public/showq"), pytest.raises(Unavailable) as raised:
        client(tmp_path, timeout=0.05).flush()
    assert "no answer within 0.05 s" in raised.value.reason


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client(tmp_path).flush()
