"""The local daemon as a real process: requests in, and what it asks of its neighbours."""

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.folders import reachable_folder
from support.own_master import DaemonProcess, write_snapshot
from support.people import people
from support.queue_files import enqueue, make_envelope
from support.scripted_service import ScriptedService, ask, listen_ipc
from support.smtpd_house import QUEUE_IDS, Cleanup, Rewrite
from support.users import STRANGER

from mta.ipc.messages import (
    CommandEnded,
    Deliver,
    DeliverRecipient,
    DeliveryRequest,
    Disposition,
    FileRead,
    FileState,
    MailboxKind,
    MailuserRequest,
    Message,
    Outcome,
    Outcomes,
    ReadFile,
    Refused,
    RunCommand,
    Stored,
    StoreMessage,
)
from mta.master.channel import Bye, Crossing
from mta.proto.status import Status
from mta.queue.layout import create_layout
from mta.queue.reader import open_message
from mta.queue.store import QueueStore

HERE = "here.test"
CONTENT = b"Subject: x\r\n\r\nbody\r\n"
USER = "daemon"  # whom every host has


class Bench:
    """The daemon, its neighbours, and a client that plays the queue manager."""

    def __init__(self, directory: Path, stack: ExitStack, **parameters: object) -> None:
        self.directory = directory
        create_layout(str(directory))
        self.queue = QueueStore(str(directory))
        stack.callback(self.queue.close)
        self.aliases = directory / "tables" / "aliases"
        self.aliases.parent.mkdir()
        self.write("info: x@far.test\n")
        basis = {
            "mydestination": [HERE],
            "myorigin": HERE,
            "recipient_delimiter": "+",
            "alias_maps": [f"aliases:{self.aliases}"],
            "ipc_timeout": 5,
        }
        row = {"name": "local", "daemon": "local", "listen": ["ipc:private/local"]}
        snapshot = write_snapshot(directory, row, parameters={**basis, **parameters})
        self.rewrite = Rewrite(directory / "private/rewrite", snapshot)
        stack.callback(self.rewrite.close)
        self.cleanup = Cleanup(directory / "private/cleanup")
        stack.callback(self.cleanup.close)
        self.asked: list[tuple[Message, bytes]] = []
        self.forward = FileRead(FileState.MISSING)
        self.stored: Message = Stored(Status(250, "2.0.0", "stored"))
        self.ended: Message | None = CommandEnded(0, False, b"")
        self.mailuser = stack.enter_context(
            ScriptedService(directory, "private/mailuser", MailuserRequest, self._as_user)
        )
        listener = stack.enter_context(listen_ipc(directory, "private/local"))
        self.daemon = stack.enter_context(
            DaemonProcess(
                ["-m", "mta.daemons.local"],
                directory,
                [("ipc:private/local", listener.fileno())],
                service="local",
            )
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = stack.enter_context(_client(directory))
        self._number = 0

    def write(self, text: str) -> None:
        """Put other aliases in place."""
        self.aliases.with_suffix(".new").write_text(text)
        os.replace(self.aliases.with_suffix(".new"), self.aliases)

    def deliver(self, *recipients: str, sender: str = "a@far.test") -> list[Outcome]:
        """Have one message delivered to recipients here; the outcomes in their order."""
        queue_id = enqueue(self.queue, CONTENT, make_envelope())
        to = tuple(
            DeliverRecipient(index, f"{it}@{HERE}", f"{it}@old.test")
            for index, it in enumerate(recipients)
        )
        self._number += 1
        with open_message(self.queue.descriptor, "incoming", queue_id) as file:
            request = Deliver(
                queue_id, sender, to, HERE, 0.0, file.content_offset, file.content_length
            )
            reply = ask(self._client, self._number, request, Outcomes, (file.descriptor,))
        return sorted(reply.outcomes, key=lambda it: it.index)

    def said(self, recipient: str) -> str:
        """What is told of one recipient."""
        (outcome,) = self.deliver(recipient)
        return str(outcome.status)

    def _as_user(
        self, request: ReadFile | StoreMessage | RunCommand, descriptors: list[int]
    ) -> Message | None:
        content = b""
        if not isinstance(request, ReadFile):
            length, offset = request.content_length, request.content_offset
            content = os.pread(descriptors[0], length, offset)
        self.asked.append((request, content))
        match request:
            case ReadFile():
                return self.forward
            case StoreMessage():
                return self.stored
            case RunCommand():
                return self.ended


@pytest.fixture
def bench(short_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(short_path, stack)


def test_a_mailbox_is_written_by_mailuser_as_the_user(bench: Bench) -> None:
    assert bench.said(f"{USER}+x") == "250 2.0.0 delivered to mailbox"
    (read, _), (read_again, _), (stored, content) = bench.asked
    assert isinstance(read, ReadFile)
    assert isinstance(read_again, ReadFile)
    assert read.path.endswith("/.forward+x")
    assert read_again.path.endswith("/.forward")
    assert isinstance(stored, StoreMessage)
    assert (stored.user, stored.kind, stored.path) == (USER, MailboxKind.MBOX, f"/var/mail/{USER}")
    assert stored.prefix == (
        b"Return-Path: <a@far.test>\n"
        b"X-Original-To: daemon+x@old.test\n"
        b"Delivered-To: daemon+x@here.test\n"
    )
    assert content == CONTENT
    (line,) = bench.daemon.events("delivery")
    assert (line["to"], line["status"], line["relay"]) == (f"{USER}+x@{HERE}", "sent", "local")


def test_a_forwarded_message_is_committed_before_the_outcome_is_told(bench: Bench) -> None:
    assert bench.said("info") == f"250 2.0.0 forwarded as {QUEUE_IDS[0]}"
    (submission,) = bench.cleanup.submissions
    assert submission.complete
    assert submission.content == b"Delivered-To: info@here.test\r\n" + CONTENT
    (recipient,) = submission.recipients
    assert (recipient.address, recipient.original) == ("x@far.test", "info@old.test")
    origin = submission.begin.origin
    assert (origin.protocol, origin.client_address, origin.service) == ("FORWARD", "", "local")
    (line,) = bench.daemon.events("forwarded")
    assert line["copy"] == QUEUE_IDS[0]


def test_what_cleanup_refuses_is_tried_again(bench: Bench) -> None:
    bench.cleanup.refusal = Status(552, "5.3.4", "Message too large")
    assert bench.said("info") == "451 4.3.0 unable to forward message"


def test_each_recipient_has_an_outcome_of_its_own(bench: Bench) -> None:
    outcomes = bench.deliver("no-such-user-here", "info", "info+x", USER)
    assert [it.status.enhanced for it in outcomes] == ["5.1.1", "2.0.0", "2.0.0", "2.0.0"]
    assert len(bench.cleanup.submissions) == 1  # one for both ways to the same address


def test_a_command_gets_the_client_that_sent_the_message(bench: Bench) -> None:
    bench.write('prog: "|/bin/prog -x"\nshell: "|prog; true"\n')
    bench.deliver("prog", "shell")
    plain, shell = (request for request, _ in bench.asked)
    assert isinstance(plain, RunCommand)
    assert isinstance(shell, RunCommand)
    assert (plain.arguments, plain.shell) == (("/bin/prog", "-x"), False)
    assert (shell.arguments, shell.shell) == (("prog; true",), True)
    environment = dict(plain.environment)
    assert environment["CLIENT_ADDRESS"] == "192.0.2.1"
    assert environment["ORIGINAL_RECIPIENT"] == "prog@old.test"
    assert plain.prefix.startswith(b"From a@far.test  ")


def test_what_a_command_has_in_its_environment_and_where_it_runs(short_path: Path) -> None:
    """Of our own environment nothing but what is exported; of the message, what is told."""
    parameters = {
        "export_environment": ["LIST=x", "NOT_THERE", "LANG", "USER=mallory"],
        "command_execution_directory": "$home",
        "mailbox_command": "/bin/prog",
    }
    with ExitStack() as stack:
        bench = Bench(short_path, stack, **parameters)
        bench.deliver(USER)
        request = bench.asked[-1][0]
    assert isinstance(request, RunCommand)
    assert request.directory == pwd.getpwnam(USER).pw_dir
    environment = dict(request.environment)
    assert environment["LIST"] == "x"
    assert environment["USER"] == USER
    assert environment.keys() - {"LANG"} == {
        *("PATH", "LIST", "HOME", "SHELL", "USER", "LOGNAME", "LOCAL", "DOMAIN", "RECIPIENT"),
        *("ORIGINAL_RECIPIENT", "CLIENT_ADDRESS", "CLIENT_HELO", "CLIENT_PROTOCOL", "SENDER"),
    }


def test_who_owns_the_aliases_runs_their_commands(bench: Bench) -> None:
    """As root the test writes a table of root's, and the commands are default_privs'."""
    bench.write("prog: |/bin/prog\n")
    bench.deliver("prog")
    ((request, _),) = bench.asked
    assert isinstance(request, RunCommand)
    expected = "nobody" if os.geteuid() == 0 else bench.aliases.owner()
    assert request.user == expected


@pytest.mark.requires("root")
def test_aliases_of_nobody_put_mail_off(bench: Bench) -> None:
    bench.write("prog: |/bin/prog\n")
    os.chown(bench.aliases, int(STRANGER), -1)
    assert bench.said("prog") == "451 4.3.5 cannot find the owner of the alias database"
    assert not bench.asked


def test_a_command_that_dies_with_mailuser_is_tried_again(bench: Bench) -> None:
    bench.write("prog: |/bin/prog\n")
    bench.ended = None
    assert bench.said("prog").startswith("451 4.3.0 ")


def test_what_mailuser_refuses_is_told(bench: Bench) -> None:
    bench.stored = Refused(Status(552, "5.2.2", "mailbox is full"))
    assert bench.said(USER) == "552 5.2.2 mailbox is full"


@pytest.mark.requires("root", "useradd")
def test_a_user_who_goes_between_the_question_and_the_deed(bench: Bench) -> None:
    """Whoever was there a moment ago is tried again; then it is known that he is gone."""
    no_more = Status(451, "4.3.0", "no such user on this host")
    bench.stored = Refused(no_more, "ann")
    with reachable_folder() as folder, people(folder, 1) as (ann,):
        assert bench.said(ann.name) == str(no_more)
    asked = len(bench.asked)
    assert bench.said(ann.name) == f'550 5.1.1 unknown user: "{ann.name}"'
    assert len(bench.asked) == asked


def test_an_answer_to_another_question_is_none(bench: Bench) -> None:
    bench.stored = FileRead(FileState.MISSING)
    assert bench.said(USER).startswith("451 4.3.0 ")


def test_a_table_with_a_mistake_puts_mail_off_until_it_is_mended(bench: Bench) -> None:
    bench.write("info x@far.test\n")
    assert bench.said("info") == "451 4.3.0 Temporary lookup failure"
    bench.write("info: x@far.test\n")
    assert bench.said("info").startswith("250 ")


def test_a_table_that_moves_makes_the_process_retire(bench: Bench) -> None:
    elsewhere = bench.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "aliases").write_text("info: x@far.test\n")
    bench.aliases.unlink()
    bench.aliases.symlink_to(elsewhere / "aliases")
    assert bench.said("info").startswith("451 4.3.0 ")
    assert bench.daemon.events("tables_moved")


@pytest.mark.parametrize("alone", [True, False])
def test_another_row_delivers(short_path: Path, alone: bool) -> None:
    """Whom this host does not know, too; and where nobody listens, mail waits."""
    busy = Outcome(0, Disposition.DEFERRED, Status(450, "4.2.1", "busy"), "store")
    with ExitStack() as stack:
        bench = Bench(short_path, stack, mailbox_transport="lmtp:unix:/run/store")
        seen: list[Deliver] = []
        if not alone:

            def answer(request: Deliver, descriptors: list[int]) -> Message:
                seen.append(request)
                assert os.pread(descriptors[0], 7, request.content_offset) == CONTENT[:7]
                return Outcomes((busy,))

            stack.enter_context(
                ScriptedService(short_path, "private/lmtp", DeliveryRequest, answer)
            )
        said = bench.said("no-such-user-here")
    if alone:
        assert said.startswith("451 4.3.0 ")
        return
    assert said == "450 4.2.1 busy"
    ((recipient,), nexthop) = seen[0].recipients, seen[0].nexthop
    assert nexthop == "unix:/run/store"
    assert recipient.address == f"no-such-user-here@{HERE}"


def test_a_row_that_hands_mail_to_itself_says_so(short_path: Path) -> None:
    with ExitStack() as stack:
        bench = Bench(short_path, stack, mailbox_transport="local")
        assert bench.said(USER) == "451 4.3.5 mail system configuration error"


def test_a_malformed_request_costs_its_client_alone(bench: Bench) -> None:
    with _client(bench.directory) as rogue:
        rogue.send(b"\xc1 no request")
        assert rogue.recv(100) == b""
    assert bench.said("info").startswith("250 ")
    assert not bench.daemon.of_kind(Bye)


def _client(directory: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(20)
    client.connect(str(directory / "private/local"))
    return client
