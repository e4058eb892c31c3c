"""cleanup as its clients meet it: a real process, its real socket, a real queue."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from support.cleanup_house import MESSAGE, ORIGIN, Cleanup, begin, recipients, refusal
from support.own_master import DaemonProcess
from support.waiting import wait_until

from mta.ipc.messages import (
    CONTENT_LIMIT,
    Arrived,
    Begin,
    Committed,
    Goodbye,
    More,
)
from mta.master.channel import Command
from mta.queue.layout import create_layout

NewCleanup = Callable[..., Cleanup]


@pytest.fixture
def new_cleanup(short_path: Path) -> Iterator[NewCleanup]:
    with ExitStack() as stack:
        yield lambda **parameters: Cleanup(short_path, stack, **parameters)


@pytest.fixture
def cleanup(new_cleanup: NewCleanup) -> Cleanup:
    return new_cleanup()


def test_a_message_of_one_frame_is_stored_and_the_queue_manager_told(cleanup: Cleanup) -> None:
    before = time.time()
    reply = cleanup.connect().ask(1, begin())
    message, content = cleanup.stored(reply)
    assert message.envelope.sender == "alice@example.org"
    assert message.envelope.recipients == recipients()
    assert message.envelope.origin == ORIGIN
    assert before <= message.envelope.arrived <= time.time()
    trace, _, rest = content.partition(b"Subject: ")
    assert rest == MESSAGE.removeprefix(b"Subject: ")
    assert re.fullmatch(
        rb"Received: from client\.example \(\[192\.0\.2\.1\]\)\r\n"
        rb"\tby posthouse\.test \(Posthouse\) with ESMTP id " + message.queue_id.encode() + rb"\r\n"
        rb"\tfor <user0@posthouse\.test>; \w{3}, \d+ \w{3} \d{4} [\d:]{8} [+-]\d{4}\r\n",
        trace,
    )
    _, news = cleanup.qmgr().hear()
    assert news == Arrived((message.queue_id,))
    (record,) = wait_until(lambda: cleanup.daemon.events("committed"), "the log")
    assert record["queue_id"] == message.queue_id
    assert record["message_id"] == "a@b.example"
    assert record["size"] == len(MESSAGE)


def test_many_frames_make_one_message(cleanup: Cleanup) -> None:
    client = cleanup.connect()
    body = os.urandom(CONTENT_LIMIT * 11)
    client.say(1, begin(b"", to=recipients(40), last=False))
    client.say(1, More(recipients(40), b"", last=False))
    client.say(1, More(recipients(20), b"Subject: x\r", last=False))
    client.say(1, More((), b"\nX: y\r\n\r\n", last=False))
    for start in range(0, len(body), CONTENT_LIMIT):
        client.say(1, More((), body[start : start + CONTENT_LIMIT], last=False))
    message, content = cleanup.stored(client.ask(1, More((), b"", last=True)))
    assert message.envelope.recipients == recipients(40) * 2 + recipients(20)
    assert b" for <" not in content.partition(b"Subject")[0]
    assert content.endswith(b"Subject: x\r\nX: y\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("message", "added", "separator"),
    [
        (MESSAGE, [], b""),
        (b"Date: today\r\n\r\n", ["Message-ID"], b""),
        (b"Message-ID: <a@b>\r\n\r\nDate: x\r\n", ["Date"], b""),
        (b"", ["Date", "Message-ID"], b""),
        (b"\r\nbody\r\n", ["Date", "Message-ID"], b""),
        (b"no header\r\nat all\r\n", ["Date", "Message-ID"], b"\r\n"),
        (b" indented\r\n", ["Date", "Message-ID"], b"\r\n"),
    ],
)
def test_what_is_put_before_a_message(
    cleanup: Cleanup, message: bytes, added: list[str], separator: bytes
) -> None:
    stored, content = cleanup.stored(cleanup.connect().ask(1, begin(message)))
    assert content.endswith(separator + message)
    prefix = content.removesuffix(message).removesuffix(separator).decode()
    assert re.findall(r"^([\w-]+):", prefix, re.MULTILINE) == ["Received", *added]
    if "Message-ID" in added:
        assert prefix.endswith(f"Message-ID: <{stored.queue_id}@posthouse.test>\r\n")


def test_an_empty_line_parts_header_and_body_where_none_did(cleanup: Cleanup) -> None:
    message = MESSAGE.replace(b"\r\n\r\n", b"\r\n")
    _, content = cleanup.stored(cleanup.connect().ask(1, begin(message)))
    assert content.endswith(b"Message-ID: <a@b.example>\r\n\r\nbody\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (begin(to=()), "554 5.5.1"),
        (begin(b"Received: x\r\n" * 5 + MESSAGE), "554 5.4.6"),
        (begin(b"A: " + b"x" * 4096 + b"\r\n\r\n"), "552 5.3.4"),
        (begin(b"A: x\r\n " + b"x" * 4096, last=False), "552 5.3.4"),
    ],
    ids=["nobody to receive it", "too many hops", "large header", "endless header"],
)
def test_what_is_refused_leaves_nothing_behind(
    cleanup: Cleanup, request_: Begin, status: str
) -> None:
    client = cleanup.connect()
    assert refusal(client.ask(1, request_)) == status
    assert cleanup.files() == []
    cleanup.stored(client.ask(2, begin()))  # and the next one is welcome


def test_four_hops_are_not_too_many(cleanup: Cleanup) -> None:
    cleanup.stored(cleanup.connect().ask(1, begin(b"Received: x\r\n" * 4 + MESSAGE)))


def test_too_large_a_message_is_refused_as_soon_as_it_is_known(cleanup: Cleanup) -> None:
    client = cleanup.connect()
    client.say(1, begin(MESSAGE, last=False))
    for _ in range(12):
        client.say(1, More((), b"x" * CONTENT_LIMIT, last=False))
    assert wait_until(cleanup.files, "a file that grows")
    client.say(1, More((), b"x" * CONTENT_LIMIT, last=False))
    number, reply = client.hear()
    assert (number, refusal(reply)) == (1, "552 5.3.4")
    client.say(1, More((), b"the rest", last=True))  # was on its way
    cleanup.stored(client.ask(2, begin()))
    assert len(cleanup.files()) == 1


def test_a_client_that_goes_away_takes_its_message_with_it(cleanup: Cleanup) -> None:
    client = cleanup.connect()
    client.say(1, begin(MESSAGE, last=False))
    for _ in range(10):
        client.say(1, More((), b"x" * CONTENT_LIMIT, last=False))
    wait_until(cleanup.files, "a file that grows")
    client.close()
    wait_until(lambda: not cleanup.files(), "the file to be gone")
    assert cleanup.daemon.events("committed") == []


@pytest.mark.parametrize(
    "frames",
    [
        [msgspec.msgpack.encode((1, 1, More((), b"", last=True)))],
        [msgspec.msgpack.encode((1, 1, begin(last=False)))] * 2,
        [b"\xff garbage"],
        [msgspec.msgpack.encode((1, 1, Arrived(("0" * 22,))))],
    ],
    ids=["More first", "Begin twice", "garbage", "for another daemon"],
)
def test_a_client_that_breaks_the_protocol_is_cut_off(
    cleanup: Cleanup, frames: list[bytes]
) -> None:
    client = cleanup.connect()
    for frame in frames:
        client.say_octets(frame)
    with pytest.raises((EOFError, ConnectionResetError)):
        client.hear()
    wait_until(lambda: cleanup.daemon.events("ipc_malformed"), "a line in the log")
    assert cleanup.files() == []
    cleanup.stored(cleanup.connect().ask(1, begin()))


def test_recipients_after_content_are_refused(cleanup: Cleanup) -> None:
    client = cleanup.connect()
    client.say(1, begin(MESSAGE, last=False))
    assert refusal(client.ask(1, More(recipients(), b"", last=True))).startswith("503")
    assert cleanup.files() == []


def test_the_reserve_is_for_what_the_house_itself_has_to_say(new_cleanup: NewCleanup) -> None:
    """As in Postfix: who takes mail from outside keeps it free, and reports may use it."""
    cleanup = new_cleanup(queue_minfree=2**50)
    cleanup.stored(cleanup.connect().ask(1, begin()))


def test_a_queue_that_cannot_be_written_is_a_temporary_failure(cleanup: Cleanup) -> None:
    for folder in (cleanup.directory / "incoming").iterdir():
        folder.rmdir()
    client = cleanup.connect()
    assert refusal(client.ask(1, begin())) == "451 4.3.0"
    create_layout(str(cleanup.directory))
    cleanup.stored(client.ask(2, begin()))


def test_the_mail_goes_on_without_a_queue_manager(cleanup: Cleanup) -> None:
    (cleanup.directory / "public/qmgr").unlink()
    client = cleanup.connect()
    for number in range(1, 4):
        cleanup.stored(client.ask(number, begin()))


def test_many_clients_at_once(cleanup: Cleanup) -> None:
    clients = [cleanup.connect() for _ in range(9)]
    for number in range(1, 20):
        for client in clients:
            client.say(number, begin())
        assert {client.hear()[0] for client in clients} == {number}
    assert len(list(cleanup.queue.scan("incoming"))) == 9 * 19


def test_a_retiring_daemon_finishes_what_it_has_begun(cleanup: Cleanup) -> None:
    client, idle = cleanup.connect(), cleanup.connect()
    client.say(7, begin(MESSAGE, last=False))
    cleanup.stored(idle.ask(1, begin()))
    cleanup.daemon.tell(Command("retire"))
    assert idle.hear() == (0, Goodbye(1))
    assert client.hear() == (0, Goodbye(7))
    cleanup.stored(client.ask(7, More((), b"more body\r\n", last=True)))
    assert cleanup.daemon.ended() == 0


@contextmanager
def stopped(daemon: DaemonProcess) -> Iterator[None]:
    daemon.process.send_signal(signal.SIGSTOP)
    yield
    daemon.process.send_signal(signal.SIGCONT)


def test_a_message_that_is_whole_is_stored_even_if_nobody_hears_the_answer(
    cleanup: Cleanup,
) -> None:
    client = cleanup.connect()
    with stopped(cleanup.daemon):
        client.say(1, begin())
        client.close()
    wait_until(lambda: cleanup.daemon.events("committed"), "the message to be stored")
    (queue_id,) = cleanup.queue.scan("incoming")
    cleanup.stored(Committed(queue_id))


def test_a_killed_daemon_leaves_no_message_that_is_half_there(cleanup: Cleanup) -> None:
    client = cleanup.connect()
    client.say(1, begin(MESSAGE, last=False))
    for _ in range(10):
        client.say(1, More((), b"x" * CONTENT_LIMIT, last=False))
    wait_until(cleanup.files, "a file that grows")
    cleanup.daemon.process.kill()
    cleanup.daemon.ended()
    assert list(cleanup.queue.scan("incoming")) == []
