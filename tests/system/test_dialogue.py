"""Mail through the whole system: what the client says, and what the recipient finds."""

import itertools
import re
import subprocess
from dataclasses import dataclass

import pytest
from support.instance import DOMAIN, Instance, NewInstance
from support.load import message
from support.maildir import Delivered, Maildir

ALICE = "alice@example.org"
MESSAGE = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: Bob <bob@posthouse.test>\r\n"
    b"Date: Mon, 02 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"Subject: A dialogue\r\n"
    b"\r\n"
    b"Dear Bob,\r\n"
    b".\r\n"
    b"..a line with dots, and trailing blanks  \r\n"
    b"\r\n"
    b"\r\n"
)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class User:
    """Somebody of this test alone, whose mailbox is empty."""

    address: str
    mailbox: Maildir


@pytest.fixture
def house(shared_instance: Instance) -> Instance:
    return shared_instance


@pytest.fixture
def bob(house: Instance) -> User:
    name = f"bob-{next(_numbers)}"
    return User(f"{name}@{DOMAIN}", house.maildir(name))


@pytest.fixture
def carol(house: Instance) -> User:
    name = f"carol-{next(_numbers)}"
    return User(f"{name}@{DOMAIN}", house.maildir(name))


def stored(message: bytes) -> bytes:
    """A message as it lies in a Maildir: lines end in LF."""
    return message.replace(b"\r\n", b"\n")


def queue_id_of(text: str) -> str:
    found = re.search(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{22}", text)
    assert found, f"no queue id in {text!r}"
    return found[0]


def test_message_reaches_mailbox_byte_for_byte(house: Instance, bob: User) -> None:
    with house.smtp() as client:
        greeting = client.expect(220)
        assert greeting.text.startswith(DOMAIN)
        features = client.say("EHLO client.test", 250).lines
        assert {"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"} <= set(features)
        client.say(f"MAIL FROM:<{ALICE}>", 250)
        client.say(f"RCPT TO:<{bob.address}>", 250)
        verdict = client.content(MESSAGE)
        client.say("QUIT", 221)
        client.expect_end()

    delivered = bob.mailbox.only()
    assert delivered.octets.endswith(b"\n" + stored(MESSAGE))
    added = delivered.octets.removesuffix(stored(MESSAGE))
    names = re.findall(rb"^([A-Za-z-]+):", added, re.MULTILINE)
    assert names[0] == b"Return-Path"
    assert sorted(names[1:]) == [b"Delivered-To", b"Received", b"X-Original-To"]
    assert delivered.fields("Return-Path") == [f"<{ALICE}>"]
    assert delivered.fields("X-Original-To") == [bob.address]
    assert delivered.fields("Delivered-To") == [bob.address]
    _assert_trace(delivered, queue_id_of(verdict.text))


def _assert_trace(delivered: Delivered, queue_id: str) -> None:
    """RFC 5321, 4.4: from whom, by whom, how, under which id."""
    (received,) = delivered.fields("Received")
    assert re.match(r"from client\.test \(.*\[127\.0\.0\.1\].*\)", received), received
    assert f" by {DOMAIN} " in received
    assert f" with ESMTP id {queue_id}" in received


def test_queue_forgets_what_is_delivered(house: Instance, bob: User) -> None:
    with house.smtp() as client:
        verdict = client.greeted().mail(ALICE, [bob.address], MESSAGE)
    queue_id = queue_id_of(verdict.text)
    house.wait_log("removed", queue_id=queue_id)
    assert queue_id not in [path.name for path in house.queue_files()]
    assert house.mta("queue", "list", "--json").stdout.count(queue_id) == 0


def test_log_tells_the_story_of_a_message(house: Instance, bob: User) -> None:
    with house.smtp() as client:
        queue_id = queue_id_of(client.greeted().mail(ALICE, [bob.address], MESSAGE).text)
    house.wait_log("removed", queue_id=queue_id)
    house.wait_log("delivery", queue_id=queue_id, to=bob.address, status="sent")
    story = {record["event"] for record in house.log_records(queue_id=queue_id)}
    assert story >= {"accepted", "committed", "active", "delivery", "removed"}


def test_missing_date_and_message_id_are_added(house: Instance, bob: User) -> None:
    with house.smtp() as client:
        client.greeted().mail(ALICE, [bob.address], b"Subject: bare\r\n\r\nText\r\n")
    delivered = bob.mailbox.only()
    assert len(delivered.fields("Date")) == 1
    assert len(delivered.fields("Message-ID")) == 1
    assert delivered.octets.endswith(b"\nSubject: bare\n\nText\n")


def test_relaying_for_strangers_is_refused(new_instance: NewInstance) -> None:
    instance = new_instance(parameters={"mynetworks": ["192.0.2.0/24"]})
    instance.start()
    with instance.smtp() as client:
        client.greeted().say(f"MAIL FROM:<{ALICE}>", 250)
        refusal = client.say("RCPT TO:<carol@elsewhere.example>", 554)
        assert refusal.text.startswith("5.7.1 ")
        client.say(f"RCPT TO:<bob@{DOMAIN}>", 250)
        client.content(MESSAGE)
    instance.maildir("bob").only()


def test_any_user_of_the_domain_has_a_mailbox(house: Instance) -> None:
    with house.smtp() as client:
        client.greeted().mail(ALICE, [f"Never.Seen+box@{DOMAIN.upper()}"], MESSAGE)
    delivered = house.maildir("never.seen+box").only()
    assert len(delivered.fields("Delivered-To")) == 1


def test_two_recipients_each_get_a_copy(house: Instance, bob: User, carol: User) -> None:
    with house.smtp() as client:
        client.greeted().mail(ALICE, [bob.address, carol.address], MESSAGE)
    assert bob.mailbox.only().fields("Delivered-To") == [bob.address]
    assert carol.mailbox.only().fields("Delivered-To") == [carol.address]


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_hundred_recipients_each_get_a_copy(house: Instance, size: int) -> None:
    """They and the content take several frames on their way into the queue."""
    names = [f"one-of-{size}-{number}" for number in range(100)]
    with house.smtp() as client:
        client.greeted().mail(ALICE, [f"{name}@{DOMAIN}" for name in names], message("all", size))
    for name in names:
        house.maildir(name).only()


def test_eight_bit_content_is_kept(house: Instance, bob: User) -> None:
    message = b"Subject: latin\r\n\r\n" + bytes(range(128, 256)) + b"\r\n"
    with house.smtp() as client:
        client.greeted()
        client.say(f"MAIL FROM:<{ALICE}> BODY=8BITMIME", 250)
        client.say(f"RCPT TO:<{bob.address}>", 250)
        client.content(message)
    assert bob.mailbox.only().octets.endswith(stored(message))


def test_five_megabytes_arrive_unchanged(house: Instance, bob: User) -> None:
    body = b"".join(b"%07d %s\r\n" % (number, b"x" * 68) for number in range(5_000_000 // 78))
    with house.smtp(timeout=30) as client:
        client.greeted().mail(ALICE, [bob.address], b"Subject: large\r\n\r\n" + body)
    assert bob.mailbox.only(timeout=30).octets.endswith(b"\n\n" + stored(body))


def test_null_sender(house: Instance, bob: User) -> None:
    with house.smtp() as client:
        client.greeted().mail("", [bob.address], MESSAGE)
    assert bob.mailbox.only().fields("Return-Path") == ["<>"]


def test_postmaster_needs_no_domain(house: Instance) -> None:
    with house.smtp() as client:
        client.greeted().mail(ALICE, ["Postmaster"], MESSAGE)
    house.maildir("postmaster").only()


def test_a_pipelined_session(house: Instance, bob: User) -> None:
    """RFC 2920: everything up to DATA in one packet, answered in order."""
    with house.smtp() as client:
        client.greeted().send(f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{bob.address}>", "DATA")
        for code in (250, 250, 354):
            client.expect(code)
        client.send_octets(b"Subject: piped\r\n\r\nText\r\n.\r\nNOOP\r\nQUIT\r\n")
        for code in (250, 250, 221):
            client.expect(code)
        client.expect_end()
    bob.mailbox.only()


def test_many_messages_in_one_session(house: Instance, bob: User) -> None:
    with house.smtp() as client:
        client.greeted()
        for _ in range(20):
            client.mail(ALICE, [bob.address], MESSAGE)
    bob.mailbox.wait(20)


@pytest.mark.parametrize("ending", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r"])
def test_no_message_is_smuggled(house: Instance, bob: User, ending: bytes) -> None:
    """Only CRLF.CRLF ends a message: another server's idea of it must not start a new one."""
    commands = ("MAIL FROM:<eve@example.org>", f"RCPT TO:<{bob.address}>", "DATA")
    smuggled = "\r\n".join(commands).encode() + b"\r\nsmuggled\r\n.\r\n"
    with house.smtp() as client:
        client.greeted()
        client.say(f"MAIL FROM:<{ALICE}>", 250)
        client.say(f"RCPT TO:<{bob.address}>", 250)
        client.say("DATA", 354)
        client.send_octets(b"Subject: one\r\n\r\nText" + ending + smuggled)
        client.expect(550)
        client.say("NOOP", 250)  # in step: exactly one reply came before
        client.mail(ALICE, [bob.address], MESSAGE)
    assert bob.mailbox.only().fields("Return-Path") == [f"<{ALICE}>"]


def test_message_beyond_the_size_limit(new_instance: NewInstance) -> None:
    instance = new_instance(parameters={"message_size_limit": 10_000})
    instance.start()
    with instance.smtp() as client:
        client.expect(220)
        assert "SIZE 10000" in client.say("EHLO client.test", 250).lines
        client.say(f"MAIL FROM:<{ALICE}> SIZE=10001", 552)
        client.say(f"MAIL FROM:<{ALICE}>", 250)
        client.say(f"RCPT TO:<bob@{DOMAIN}>", 250)
        client.content(b"Subject: long\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200, 552)
        client.say(f"MAIL FROM:<{ALICE}>", 250)
    assert instance.queue_files() == []


def test_full_disk_is_told_before_content(new_instance: NewInstance) -> None:
    """A queue without room asks the client to wait: 452, and nothing is kept of the message."""
    instance = new_instance(parameters={"queue_minfree": 2**50})
    instance.start()
    with instance.smtp() as client:
        client.greeted().send(f"MAIL FROM:<{ALICE}>", f"RCPT TO:<bob@{DOMAIN}>", "DATA")
        replies = [client.reply(), client.reply(), client.reply()]
        if replies[-1].code == 354:
            client.send_octets(b".\r\n")
            replies.append(client.reply())
        assert 452 in [reply.code for reply in replies], replies
    assert instance.queue_files() == []


@pytest.mark.requires("swaks")
def test_swaks_is_content(house: Instance, bob: User) -> None:
    """A mail client that we did not write."""
    where = ["--server", f"127.0.0.1:{house.port}"]
    command = ["swaks", *where, "--from", ALICE, "--to", bob.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout
    assert bob.mailbox.only().fields("Subject")[0].startswith("test ")


def test_probe_shows_where_mail_landed(house: Instance) -> None:
    shown = house.mta("probe").stdout
    found = [path for path in house.mail.rglob("new/*") if str(path) in shown]
    assert len(found) == 1, shown
