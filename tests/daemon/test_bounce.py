"""The bounce daemon as a real process: a queue file and its journal in, a report to cleanup out."""

import email
import email.utils
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.message import Message as Mail
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.queue_files import ARRIVED, enqueue, make_envelope
from support.scripted_service import ask, listen_ipc
from support.smtpd_house import QUEUE_IDS, Cleanup, Rewrite, Submission
from support.waiting import wait_until

from mta.ipc.connection import encode
from mta.ipc.messages import FRAME_LIMIT, Message, Refused, Report, Reported
from mta.master.channel import Crossing
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import Disposition, ReportKind, Status
from mta.queue.journal import Attempted, JournalRecord, Notified, Retry
from mta.queue.layout import create_layout, path_of
from mta.queue.store import QueueStore

Reply = TypeVar("Reply", bound=Message)

FAILURE, DELAY = ReportKind.FAILURE, ReportKind.DELAY
DELIVERED, DEFERRED = Disposition.DELIVERED, Disposition.DEFERRED
BOUNCED = Disposition.BOUNCED
SENDER = "Alice@example.org"
DOUBLE_BOUNCE = "double-bounce@posthouse.test"
CONTENT = b"Received: by posthouse.test\r\nSubject: x\r\n\r\nbody\r\n"
WORDS = {
    DELIVERED: Status(250, "2.0.0", "delivered"),
    DEFERRED: Status(450, "4.2.1", "mailbox busy"),
    BOUNCED: Status(550, "5.1.1", "no such mailbox"),
}


def attempted(index: int, disposition: Disposition) -> Attempted:
    return Attempted(ARRIVED + 1, index, disposition, WORDS[disposition], "virtual")


class Bench:
    """A queue, the daemon, its neighbours, and clients that play the queue manager."""

    def __init__(self, directory: Path, stack: ExitStack, **parameters: object) -> None:
        self.directory = directory
        create_layout(str(directory))
        self.queue = QueueStore(str(directory))
        stack.callback(self.queue.close)
        row = {
            "name": "bounce",
            "daemon": "bounce",
            "listen": ["ipc:private/bounce"],
            "client_limit": 100,
        }
        snapshot = write_snapshot(directory, row, parameters=parameters)
        self.rewrite = Rewrite(directory / "private/rewrite", snapshot)
        stack.callback(self.rewrite.close)
        self.cleanup = Cleanup(directory / "private/cleanup")
        stack.callback(self.cleanup.close)
        listener = stack.enter_context(listen_ipc(directory, "private/bounce"))
        self.daemon = stack.enter_context(
            DaemonProcess(
                ["-m", "mta.daemons.bounce"],
                directory,
                [("ipc:private/bounce", listener.fileno())],
                service="bounce",
            )
        )
        self.daemon.hear_until(Crossing("free"))

    def enqueue(
        self,
        *records: JournalRecord,
        sender: str = SENDER,
        recipients: int = 3,
        content: bytes = CONTENT,
    ) -> str:
        """A message with that journal; its recipients are user0, user1 and so on."""
        envelope = msgspec.structs.replace(make_envelope(recipients), sender=sender)
        queue_id = enqueue(self.queue, content, envelope)
        if records:
            self.queue.append_log("incoming", queue_id, records)
        return queue_id

    def path(self, queue_id: str) -> Path:
        return self.directory / path_of("incoming", queue_id)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(10)
        client.connect(str(self.directory / "private/bounce"))
        return client

    def ask(
        self,
        queue_id: str,
        reply_type: type[Reply],
        kind: ReportKind = FAILURE,
        path: Path | None = None,
    ) -> Reply:
        """The reply to a report of this message, or of the file at `path` in its name."""
        descriptor = os.open(path or self.path(queue_id), os.O_RDONLY)
        try:
            with self.connect() as client:
                return ask(client, 1, Report(kind, queue_id), reply_type, [descriptor])
        finally:
            os.close(descriptor)

    def report(self, queue_id: str, kind: ReportKind = FAILURE) -> Submission:
        """The report that was committed, by its id."""
        reply = self.ask(queue_id, Reported, kind)
        assert reply.queue_id, "nobody was told"
        return self.cleanup.submissions[QUEUE_IDS.index(reply.queue_id)]

    def begin(self, queue_id: str) -> socket.socket:
        """A client whose request is sent; the answer is still to be read."""
        client = self.connect()
        with self.path(queue_id).open("rb") as file:
            frame = encode(1, Report(FAILURE, queue_id))
            socket.send_fds(client, [frame], [file.fileno()])
        return client

    def wait_submitted(self, count: int) -> None:
        """Wait until so many reports are whole at cleanup."""
        wait_until(
            lambda: len([it for it in self.cleanup.submissions if it.complete]) == count,
            f"{count} reports",
        )


NewBench = Callable[..., Bench]


@pytest.fixture
def new_bench(short_path: Path) -> Iterator[NewBench]:
    with ExitStack() as stack:
        yield lambda **parameters: Bench(short_path, stack, **parameters)


@pytest.fixture
def bench(new_bench: NewBench) -> Bench:
    return new_bench()


def parsed(submission: Submission) -> Mail:
    assert submission.complete
    message = email.message_from_bytes(submission.content)
    assert not message.defects
    return message


def part(submission: Submission, number: int) -> Mail:
    found = parsed(submission).get_payload(number)
    assert isinstance(found, Mail)
    return found


def recipients(submission: Submission) -> list[dict[str, str]]:
    """The groups of fields of the recipients."""
    groups = part(submission, 1).get_payload()
    assert isinstance(groups, list)
    return [dict(group.items()) for group in groups[1:] if isinstance(group, Mail) and group.keys()]


def named(submission: Submission) -> list[str]:
    return [group["Final-Recipient"] for group in recipients(submission)]


# Who is told, of whom


def test_the_sender_is_told_of_a_failure(bench: Bench) -> None:
    queue_id = bench.enqueue(attempted(0, DELIVERED), attempted(1, BOUNCED))
    submission = bench.report(queue_id)
    assert submission.begin.sender == ""
    assert submission.begin.origin == Origin("", "", 0, "", "bounce")
    assert submission.begin.body_8bit is False
    assert submission.recipients == [Recipient(SENDER, SENDER)]
    message = parsed(submission)
    assert message["To"] == f"<{SENDER}>"
    assert message["From"] == "MAILER-DAEMON@posthouse.test (Mail Delivery System)"
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    head = part(submission, 1).get_payload(0)
    assert isinstance(head, Mail)
    assert head["Reporting-MTA"] == "dns; posthouse.test"
    assert head["X-Posthouse-Queue-ID"] == queue_id
    assert head["X-Posthouse-Sender"] == f"rfc822; {SENDER}"
    (group,) = recipients(submission)
    assert group.pop("Last-Attempt-Date")
    assert group == {
        "Original-Recipient": "rfc822;User1@posthouse.test",
        "Final-Recipient": "rfc822; user1@posthouse.test",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "x-posthouse; no such mailbox",
    }
    (line,) = bench.daemon.events("report")
    assert (line["queue_id"], line["kind"], line["to"]) == (queue_id, "failed", SENDER)
    assert (line["recipients"], line["report"]) == (1, QUEUE_IDS[0])


@pytest.mark.parametrize(
    ("kind", "journal", "told"),
    [
        (FAILURE, [attempted(0, BOUNCED), attempted(2, BOUNCED)], [0, 2]),
        (FAILURE, [attempted(2, BOUNCED), attempted(0, BOUNCED)], [0, 2]),
        (FAILURE, [attempted(0, DEFERRED), attempted(0, BOUNCED)], [0]),
        (FAILURE, [attempted(0, BOUNCED), Notified(ARRIVED, DELAY)], [0]),
        (FAILURE, [attempted(0, BOUNCED), Notified(ARRIVED, FAILURE), attempted(1, BOUNCED)], [1]),
        (DELAY, [attempted(0, DEFERRED), attempted(1, DELIVERED), attempted(2, BOUNCED)], [0]),
        (DELAY, [attempted(1, DELIVERED), Retry(ARRIVED, 1, ARRIVED, "busy")], [0, 2]),
        (DELAY, [], [0, 1, 2]),
    ],
)
def test_the_journal_says_of_whom(
    bench: Bench, kind: ReportKind, journal: list[JournalRecord], told: list[int]
) -> None:
    submission = bench.report(bench.enqueue(*journal), kind)
    assert named(submission) == [f"rfc822; user{index}@posthouse.test" for index in told]
    assert {group["Action"] for group in recipients(submission)} == {kind.value}


@pytest.mark.parametrize(
    ("kind", "journal"),
    [
        (FAILURE, []),
        (FAILURE, [attempted(0, DELIVERED), attempted(1, DEFERRED)]),
        (FAILURE, [attempted(0, BOUNCED), Notified(ARRIVED, FAILURE)]),
        (DELAY, [attempted(0, DELIVERED), attempted(1, BOUNCED), attempted(2, DELIVERED)]),
    ],
)
def test_where_there_is_nothing_to_report_the_request_is_refused(
    bench: Bench, kind: ReportKind, journal: list[JournalRecord]
) -> None:
    refused = bench.ask(bench.enqueue(*journal), Refused, kind)
    assert refused.status == Status(451, "4.3.0", "Nothing to report")
    assert bench.cleanup.submissions == []


def test_a_delay_says_until_when_it_is_tried(new_bench: NewBench) -> None:
    bench = new_bench(maximal_queue_lifetime=2 * 86400)
    submission = bench.report(bench.enqueue(attempted(0, DEFERRED), recipients=1), DELAY)
    assert parsed(submission)["Subject"] == "Delayed Mail (still being retried)"
    (group,) = recipients(submission)
    until = email.utils.parsedate_to_datetime(group["Will-Retry-Until"])
    assert until.timestamp() == int(ARRIVED) + 2 * 86400
    assert "is 2 days old" in str(part(submission, 0).get_payload())


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("postmaster", "postmaster@posthouse.test"),
        ("Bounces@Example.NET", "Bounces@example.net"),
    ],
)
def test_the_postmaster_is_told_of_a_report_that_failed(
    new_bench: NewBench, setting: str, address: str
) -> None:
    bench = new_bench(double_bounce_recipient=setting)
    submission = bench.report(bench.enqueue(attempted(0, BOUNCED), sender=""))
    assert submission.begin.sender == DOUBLE_BOUNCE
    assert [it.address for it in submission.recipients] == [address]
    message = parsed(submission)
    assert message["To"] == f"<{address}>"
    assert message["Subject"] == "Postmaster Copy: Undelivered Mail"


@pytest.mark.parametrize("sender", [DOUBLE_BOUNCE, "Double-Bounce@posthouse.test"])
def test_of_a_notice_that_failed_nobody_is_told(bench: Bench, sender: str) -> None:
    queue_id = bench.enqueue(attempted(0, BOUNCED), sender=sender)
    assert bench.ask(queue_id, Reported) == Reported("")
    (line,) = bench.daemon.events("nobody_to_tell")
    assert (line["level"], line["queue_id"], line["sender"]) == ("error", queue_id, sender)
    assert bench.cleanup.submissions == []


@pytest.mark.parametrize("sender", ["", DOUBLE_BOUNCE])
def test_nobody_is_told_that_a_report_is_late(bench: Bench, sender: str) -> None:
    queue_id = bench.enqueue(attempted(0, DEFERRED), sender=sender)
    assert bench.ask(queue_id, Reported, DELAY) == Reported("")
    assert bench.daemon.events("nobody_to_tell") == []
    assert bench.cleanup.submissions == []


@pytest.mark.parametrize(
    "sender", ["alice@", "not an address", "<alice@example.org>", "\xe4@x.test"]
)
def test_a_sender_that_is_no_address_cannot_be_told(bench: Bench, sender: str) -> None:
    queue_id = bench.enqueue(attempted(0, BOUNCED), sender=sender)
    assert bench.ask(queue_id, Reported) == Reported("")
    (line,) = bench.daemon.events("nobody_to_tell")
    assert "550 5.1.3" in line["reason"]


def test_the_report_goes_to_the_canonical_address(bench: Bench) -> None:
    submission = bench.report(bench.enqueue(attempted(0, BOUNCED), sender="a@EXAMPLE.org"))
    assert submission.recipients == [Recipient("a@example.org", "a@EXAMPLE.org")]


# What of the message comes back


def returned(submission: Submission) -> bytes:
    boundary = parsed(submission).get_boundary()
    assert boundary is not None
    return submission.content.split(b"\r\n--" + boundary.encode())[3].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("size", "limit", "whole"),
    [(50_000, 50_000, True), (50_001, 50_000, False), (200, 0, False), (400_000, 2**30, True)],
)
def test_a_message_within_the_limit_is_returned_whole(
    new_bench: NewBench, size: int, limit: int, whole: bool
) -> None:
    bench = new_bench(bounce_size_limit=limit)
    content = CONTENT + b"\xe4" * (size - len(CONTENT))
    submission = bench.report(bench.enqueue(attempted(0, BOUNCED), content=content))
    third = part(submission, 2)
    if whole:
        assert third.get_content_type() == "message/rfc822"
        assert returned(submission) == content
    else:
        assert third.get_content_type() == "text/rfc822-headers"
        assert returned(submission) == CONTENT[: CONTENT.index(b"\r\n\r\n") + 2]
    assert submission.begin.body_8bit is whole


def test_a_header_section_is_cut_between_its_lines(new_bench: NewBench) -> None:
    bench = new_bench(bounce_size_limit=0, header_size_limit=1024)
    lines = [f"X-{number}: {'x' * 50}\r\n".encode() for number in range(100)]
    content = b"".join(lines) + b"\r\n"
    submission = bench.report(bench.enqueue(attempted(0, BOUNCED), content=content))
    section = returned(submission)
    assert 900 < len(section) <= 1024
    assert content.startswith(section)
    assert section.endswith(b"\r\n")


def test_a_report_fits_what_cleanup_takes(new_bench: NewBench) -> None:
    bench = new_bench(message_size_limit=100_000, bounce_size_limit=2**30)
    bounced = [attempted(index, BOUNCED) for index in range(3000)]
    content = CONTENT + b"x" * 45_000
    submission = bench.report(bench.enqueue(*bounced, recipients=3000, content=content))
    assert returned(submission) == content
    assert 70_000 < len(submission.content) <= 100_000
    count = len(recipients(submission))
    assert f"names {count} in all" in str(part(submission, 0).get_payload())
    (line,) = bench.daemon.events("report")
    assert line["recipients"] == 3000


# What comes over the socket is gossip


def refused_file(bench: Bench, queue_id: str, path: Path | None = None) -> str:
    """Why the file was refused; the daemon goes on."""
    refused = bench.ask(queue_id, Refused, path=path)
    assert refused.status == Status(451, "4.3.0", "Queue file not usable")
    assert bench.cleanup.submissions == []
    return refused.reason


def test_only_a_complete_queue_file_is_read(bench: Bench) -> None:
    queue_id = bench.enqueue(attempted(0, BOUNCED))
    path = bench.path(queue_id)
    whole = path.read_bytes()
    path.chmod(0o755)
    assert "has mode 0755" in refused_file(bench, queue_id)
    path.chmod(0o600)
    assert "incomplete" in refused_file(bench, queue_id)
    path.chmod(0o700)
    other = bench.enqueue(attempted(0, BOUNCED))
    assert "is the queue file" in refused_file(bench, other, path)
    (bench.directory / "link").hardlink_to(path)
    assert "2 links" in refused_file(bench, queue_id)
    (bench.directory / "link").unlink()
    path.write_bytes(whole[:100])
    assert "truncated" in refused_file(bench, queue_id)
    path.write_bytes(b"\xff" * 1000)
    assert "not a queue file" in refused_file(bench, queue_id)
    assert "not a regular file" in refused_file(bench, queue_id, Path("/dev/zero"))
    assert "not a regular file" in refused_file(bench, queue_id, bench.directory)
    path.write_bytes(whole)
    assert named(bench.report(queue_id)) == ["rfc822; user0@posthouse.test"]


@pytest.mark.requires("root")
def test_a_file_of_another_user_is_none_of_ours(bench: Bench) -> None:
    queue_id = bench.enqueue(attempted(0, BOUNCED))
    os.chown(bench.path(queue_id), 65534, -1)
    assert "belongs to uid 65534" in refused_file(bench, queue_id)


def test_a_file_that_has_left_the_queue_is_none(bench: Bench) -> None:
    queue_id = bench.enqueue(attempted(0, BOUNCED))
    with bench.path(queue_id).open("rb") as file, bench.connect() as client:
        bench.path(queue_id).unlink()
        refused = ask(client, 1, Report(FAILURE, queue_id), Refused, [file.fileno()])
    assert "no such queue file" in refused.reason


def test_hostile_texts_stay_texts(bench: Bench) -> None:
    """What a server, or somebody who writes journals, says becomes no field and no part."""
    said = "no\r\n\r\nAction: delivered\r\n--x--\r\n" + "\U0001f600" * 400
    bounced = Attempted(ARRIVED, 0, BOUNCED, Status(550, "5.0.0", said), "a\r\nb[192.0.2.1]:25")
    submission = bench.report(bench.enqueue(bounced, recipients=1))
    (group,) = recipients(submission)
    assert group["Action"] == "failed"
    assert "Remote-MTA" not in group
    assert len(parsed(submission).get_payload()) == 3


# What goes wrong is never taken for a report


@pytest.mark.parametrize(
    "refusal",
    [Status(452, "4.3.1", "Insufficient system storage"), Status(552, "5.3.4", "Message too big")],
)
def test_what_cleanup_refuses_is_asked_for_again(bench: Bench, refusal: Status) -> None:
    bench.cleanup.refusal = refusal
    queue_id = bench.enqueue(attempted(0, BOUNCED))
    refused = bench.ask(queue_id, Refused)
    assert refused.status == Status(451, "4.3.0", "Report not queued")
    assert refusal.text in refused.reason
    assert bench.daemon.events("report") == []
    bench.cleanup.refusal = None
    assert named(bench.report(queue_id)) == ["rfc822; user0@posthouse.test"]


def test_without_cleanup_there_is_no_report(bench: Bench) -> None:
    bench.cleanup.close()
    refused = bench.ask(bench.enqueue(attempted(0, BOUNCED)), Refused)
    assert refused.status.code == 451


def test_without_rewrite_there_is_no_report(bench: Bench) -> None:
    bench.rewrite.close()
    refused = bench.ask(bench.enqueue(attempted(0, BOUNCED)), Refused)
    assert refused.status.code == 451
    assert bench.daemon.events("nobody_to_tell") == []
    assert bench.cleanup.submissions == []


def test_cleanup_that_dies_with_a_report_has_not_committed_it(bench: Bench) -> None:
    bench.cleanup.committing.clear()
    with bench.begin(bench.enqueue(attempted(0, BOUNCED))) as client:
        bench.wait_submitted(1)
        bench.cleanup.close()
        reply = msgspec.msgpack.decode(client.recv(FRAME_LIMIT))[2]
    assert msgspec.convert(reply, Refused).status == Status(451, "4.3.0", "Report not queued")
    bench.cleanup.committing.set()


def test_a_daemon_that_is_killed_has_answered_nothing(bench: Bench) -> None:
    bench.cleanup.committing.clear()
    with bench.begin(bench.enqueue(attempted(0, BOUNCED))) as client:
        bench.wait_submitted(1)
        bench.daemon.process.kill()
        assert client.recv(FRAME_LIMIT) == b""
    bench.cleanup.committing.set()


# Many at once


def test_many_requests_are_served_a_few_at_a_time(bench: Bench) -> None:
    bench.cleanup.committing.clear()
    clients = [bench.begin(bench.enqueue(attempted(0, BOUNCED))) for _ in range(30)]
    bench.wait_submitted(4)
    assert len(bench.cleanup.submissions) == 4
    bench.cleanup.committing.set()
    replies = [
        msgspec.convert(msgspec.msgpack.decode(client.recv(FRAME_LIMIT))[2], Reported)
        for client in clients
    ]
    assert sorted(reply.queue_id for reply in replies) == QUEUE_IDS[:30]
    for client in clients:
        client.close()


def test_requests_of_one_connection_are_answered_one_by_one(bench: Bench) -> None:
    with bench.connect() as client:
        for number in range(1, 4):
            queue_id = bench.enqueue(attempted(0, BOUNCED))
            with bench.path(queue_id).open("rb") as file:
                frame = encode(number, Report(FAILURE, queue_id))
                socket.send_fds(client, [frame], [file.fileno()])
        numbers = [msgspec.msgpack.decode(client.recv(FRAME_LIMIT))[1] for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_the_lock_on_the_queue_file_is_gone_with_the_reply(bench: Bench) -> None:
    queue_id = bench.enqueue(attempted(0, BOUNCED))
    with bench.path(queue_id).open("rb") as file, bench.connect() as client:
        fcntl.flock(file, fcntl.LOCK_SH)
        ask(client, 1, Report(FAILURE, queue_id), Reported, [file.fileno()])

    def unlocked() -> bool:
        with bench.path(queue_id).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_until(unlocked, "the end of the daemon's lock")


def test_a_client_that_goes_away_changes_nothing(bench: Bench) -> None:
    """A report that has begun is made: the queue manager may hear of it too late, and repeat it."""
    bench.cleanup.committing.clear()
    bench.begin(bench.enqueue(attempted(0, BOUNCED))).close()
    bench.wait_submitted(1)
    bench.cleanup.committing.set()
    wait_until(lambda: bench.daemon.events("report"), "the report")
