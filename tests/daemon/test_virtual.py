"""The virtual delivery agent as a real process: requests with a queue file in, mail in Maildirs."""

import fcntl
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import ask, listen_ipc
from support.waiting import wait_until

from mta.ipc.messages import Deliver, DeliverRecipient, Outcome, Outcomes
from mta.master.channel import Crossing
from mta.proto.status import Disposition

QUEUE_ID = "0" * 22
HEAD = b"head of the queue file"


class Bench:
    """One agent, its mailboxes, and a client that plays the queue manager."""

    def __init__(self, directory: Path, stack: ExitStack, base: str | None = None) -> None:
        self.directory = directory
        self.mail = directory / "mail"
        self.mail.mkdir()
        row = {"name": "virtual", "daemon": "virtual", "listen": ["ipc:private/virtual"]}
        parameters = {
            "virtual_mailbox_base": str(self.mail) if base is None else base,
            "virtual_mailbox_domains": ["posthouse.test"],
            "myhostname": "mx.posthouse.test",
        }
        write_snapshot(directory, row, parameters=parameters)
        listener = stack.enter_context(listen_ipc(directory, "private/virtual"))
        listeners = [("ipc:private/virtual", listener.fileno())]
        command = ["-m", "mta.daemons.virtual"]
        self.daemon = stack.enter_context(
            DaemonProcess(command, directory, listeners, service="virtual")
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self._client.settimeout(10)
        self._client.connect(str(directory / "private/virtual"))
        self._number = 0

    def deliver(
        self, *recipients: str, content: bytes = b"A: 1\r\n\r\nhi\r\n", missing: int = 0
    ) -> list[Outcome]:
        """The outcomes; the queue file is `missing` octets short."""
        path = self.directory / "queue-file"
        path.write_bytes(HEAD + content)
        request = Deliver(
            QUEUE_ID,
            "sender@example.org",
            tuple(DeliverRecipient(n, to, to.title()) for n, to in enumerate(recipients)),
            "posthouse.test",
            time.time() - 2,
            len(HEAD),
            len(content) + missing,
        )
        self._number += 1
        with path.open("rb") as file:
            reply = ask(self._client, self._number, request, Outcomes, [file.fileno()])
        return list(reply.outcomes)

    def mailbox(self, user: str, domain: str = "posthouse.test") -> list[bytes]:
        return [file.read_bytes() for file in (self.mail / domain / user / "new").glob("*")]


@pytest.fixture
def bench(short_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(short_path, stack)


def test_a_message_arrives_with_its_trace_and_unix_line_ends(bench: Bench) -> None:
    (outcome,) = bench.deliver("Bob@posthouse.test", content=b"A: 1\r\n\r\nhi\r\n\r\nthere\r\n")
    assert outcome.disposition is Disposition.DELIVERED
    (delivered,) = bench.mailbox("bob")
    assert delivered == (
        b"Return-Path: <sender@example.org>\n"
        b"X-Original-To: Bob@Posthouse.Test\n"
        b"Delivered-To: Bob@posthouse.test\n"
        b"A: 1\n\nhi\n\nthere\n"
    )


def test_the_outcome_and_the_log_name_the_file(bench: Bench) -> None:
    (outcome,) = bench.deliver("bob@posthouse.test")
    found = re.fullmatch(r"delivered to maildir (/.*/bob/new/\S+)", outcome.status.text)
    assert found is not None
    assert Path(found[1]).is_file()
    assert (outcome.status.code, outcome.relay) == (250, "virtual")
    (line,) = bench.daemon.events("delivery")
    assert (line["queue_id"], line["to"], line["status"]) == (
        QUEUE_ID,
        "bob@posthouse.test",
        "sent",
    )
    assert line["text"] == outcome.status.text


def test_each_recipient_has_an_outcome_of_its_own(bench: Bench) -> None:
    (bench.mail / "posthouse.test").mkdir()
    (bench.mail / "posthouse.test" / "ann").symlink_to("/tmp")
    outcomes = bench.deliver("ann@posthouse.test", "bob@posthouse.test", "x/y@posthouse.test")
    assert [(it.index, it.status.enhanced) for it in outcomes] == [
        (0, "4.2.0"),
        (1, "2.0.0"),
        (2, "5.1.3"),
    ]
    assert len(bench.mailbox("bob")) == 1


@pytest.mark.parametrize(
    ("recipient", "enhanced"),
    [
        ("a/../../b@posthouse.test", "5.1.3"),
        ('".hidden"@posthouse.test', "5.1.3"),
        ('".."@posthouse.test', "5.1.3"),
        ("x" * 256 + "@posthouse.test", "5.1.3"),
        ("bob", "4.3.5"),
        ("bob@elsewhere.test", "4.3.5"),
        ("bob@../..", "5.1.3"),
        ("not an address", "5.1.3"),
        ("bob@mx.posthouse.test", "4.3.5"),
    ],
)
def test_an_address_that_can_have_no_mailbox(bench: Bench, recipient: str, enhanced: str) -> None:
    (outcome,) = bench.deliver(recipient)
    assert outcome.status.enhanced == enhanced
    assert list(bench.mail.iterdir()) == []


def test_postmaster_of_the_host_always_has_a_mailbox(bench: Bench) -> None:
    (outcome,) = bench.deliver("Postmaster@mx.posthouse.test")
    assert outcome.disposition is Disposition.DELIVERED
    assert len(bench.mailbox("postmaster", "mx.posthouse.test")) == 1


@pytest.mark.parametrize(
    ("headers", "loops"),
    [
        (b"Delivered-To: bob@posthouse.test\r\n", True),
        (b"delivered-to :\r\n Bob@POSTHOUSE.test\r\n", True),
        (b"Delivered-To: ann@posthouse.test\r\nDelivered-To: bob@posthouse.test\r\n", True),
        (b"Delivered-To: ann@posthouse.test\r\n", False),
        (b"X-Delivered-To: bob@posthouse.test\r\n", False),
        (b"A: 1\r\n\r\nDelivered-To: bob@posthouse.test\r\n", False),
    ],
)
def test_loops_end(bench: Bench, headers: bytes, loops: bool) -> None:
    (outcome,) = bench.deliver("bob@posthouse.test", content=headers + b"\r\nbody\r\n")
    assert outcome.status.enhanced == ("5.4.6" if loops else "2.0.0")
    assert outcome.disposition is (Disposition.BOUNCED if loops else Disposition.DELIVERED)


def test_a_truncated_queue_file_is_not_delivered(bench: Bench) -> None:
    (outcome,) = bench.deliver("bob@posthouse.test", content=b"A: 1\r\n\r\n", missing=1)
    assert (outcome.status.enhanced, outcome.status.text) == ("4.3.0", "queue file truncated")
    assert bench.mailbox("bob") == []
    assert list((bench.mail / "posthouse.test" / "bob" / "tmp").iterdir()) == []


def test_mailboxes_that_are_not_there_are_a_deferral(bench: Bench) -> None:
    bench.mail.rmdir()
    (outcome,) = bench.deliver("bob@posthouse.test")
    assert outcome.status.enhanced == "4.3.5"


def test_without_a_place_for_mailboxes_all_mail_is_deferred(short_path: Path) -> None:
    with ExitStack() as stack:
        (outcome,) = Bench(short_path, stack, base="").deliver("bob@posthouse.test")
    assert outcome.disposition is Disposition.DEFERRED
    assert outcome.status.enhanced == "4.3.5"


def test_the_lock_on_the_queue_file_is_gone_with_the_reply(bench: Bench) -> None:
    bench.deliver("bob@posthouse.test")

    def unlocked() -> bool:
        with (bench.directory / "queue-file").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_until(unlocked, "the end of the agent's lock")


def test_a_large_message_of_awkward_lines_arrives_whole(bench: Bench) -> None:
    body = b"".join(b"x" * length + b"\r\n" for length in range(900)) + b"lone \r and \n" * 30000
    bench.deliver("bob@posthouse.test", content=b"A: 1\r\n\r\n" + body)
    (delivered,) = bench.mailbox("bob")
    assert delivered.partition(b"\n\n")[2] == body.replace(b"\r\n", b"\n")


def test_replies_fit_what_the_queue_manager_accepts(bench: Bench) -> None:
    """Fifty recipients: the largest request there can be."""
    recipients = [f"{'x' * 60}{number}@posthouse.test" for number in range(50)]
    outcomes = bench.deliver(*recipients)
    assert [it.status.code for it in outcomes] == [250] * 50
