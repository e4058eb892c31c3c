"""Other people's MTAs: what they send arrives octet for octet, and so does what we send them.

Postfix, Exim and OpenSMTPD as Debian ships them, each running on loopback (support.mtas). Until
the profile has a row `outbound`, nothing is sent to them but by the test itself.
"""

import itertools
import smtplib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.debian import PackageUnavailable
from support.instance import DOMAIN, Instance, NewInstance
from support.mtas import SINK, Exim, Mta, OpenSmtpd, Postfix
from support.profile import has_row
from support.waiting import wait_until

pytestmark = pytest.mark.requires("root", "unshare", "nsenter", "setpriv")

PATIENCE = 30.0  # seconds for one delivery
EIGHT_BITS = bytes(octet for octet in range(0x80, 0x100))
BODIES = {
    "plain": b"Dear Bob,\n\ntrailing blanks  \n\n\n",
    "dots": b".\n..\n...\n.a line\n\n.\nQUIT\n.",
    "eight bits": b"Gr\xc3\xbc\xc3\x9fe\n" + EIGHT_BITS + b"\n",
    "long lines": b"x" * 998 + b"\n" + b"y" * 999 + b"\n" + b"z" * 5000 + b"\n",
    "empty": b"",
    "a megabyte": b"".join(b"%07d %s\n" % (n, b"m" * 60) for n in range(15_000)),
}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Letter:
    """A message that no MTA has a reason to change, with a name that no other has."""

    mark: bytes
    octets: bytes  # lines end in LF

    @property
    def on_the_wire(self) -> bytes:
        return self.octets.replace(b"\n", b"\r\n")

    def is_in(self, stored: bytes) -> bool:
        """Whether a mailbox file is a copy of this message, as far as its name tells."""
        return self.mark in stored


def letter(body: bytes) -> Letter:
    mark = b"%d.interoperation@example.org" % next(_numbers)
    header = (
        b"From: Alice <alice@example.org>\n"
        b"To: Bob <bob@posthouse.test>\n"
        b"Date: Mon, 02 Nov 2026 12:00:00 +0000\n"
        b"Message-ID: <" + mark + b">\n"
        b"Subject: Interoperation\n"
        b"MIME-Version: 1.0\n"
        b"Content-Type: text/plain; charset=utf-8\n"
        b"Content-Transfer-Encoding: 8bit\n"
        b"\n"
    )
    body = body if body.endswith(b"\n") or not body else body + b"\n"
    return Letter(mark, header + body)


@pytest.fixture(scope="module", params=[Postfix, Exim, OpenSmtpd], ids=lambda kind: kind.package)
def mta(request: pytest.FixtureRequest, shared_instance: Instance) -> Iterator[Mta]:
    """A running MTA that relays to the shared instance."""
    kind: type[Mta] = request.param
    with tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # it has users of its own
        try:
            made = kind(Path(name))
        except PackageUnavailable as error:
            pytest.skip(str(error))
        try:
            made.start(relay_to=shared_instance.port)
            yield made
        finally:
            made.stop()


@pytest.fixture
def user() -> str:
    """Somebody of this test alone."""
    return f"user-{next(_numbers)}"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_it_sends_arrives(shared_instance: Instance, mta: Mta, user: str, body: bytes) -> None:
    sent = letter(body)
    mta.submit(sent.octets, "alice@example.org", [f"{user}@{DOMAIN}"])
    delivered = shared_instance.maildir(user).only(PATIENCE)
    assert delivered.fields("Return-Path") == ["<alice@example.org>"]
    assert delivered.fields("Delivered-To") == [f"{user}@{DOMAIN}"]
    assert ".peer.test" in delivered.fields("Received")[0]
    assert_ends_with(delivered.octets, sent.octets)


def test_each_recipient_has_a_copy(shared_instance: Instance, mta: Mta, user: str) -> None:
    users = [f"{user}-{number}" for number in range(30)]
    sent = letter(BODIES["dots"])
    mta.submit(sent.octets, "alice@example.org", [f"{name}@{DOMAIN}" for name in users])
    for name in users:
        delivered = shared_instance.maildir(name).only(PATIENCE)
        assert delivered.fields("X-Original-To") == [f"{name}@{DOMAIN}"]
        assert_ends_with(delivered.octets, sent.octets)


def test_a_bounce_of_it_arrives(shared_instance: Instance, mta: Mta, user: str) -> None:
    """The null reverse-path is taken from everybody."""
    sent = letter(BODIES["plain"])
    mta.submit(sent.octets, "<>" if isinstance(mta, Exim) else "", [f"{user}@{DOMAIN}"])
    delivered = shared_instance.maildir(user).only(PATIENCE)
    assert delivered.fields("Return-Path") == ["<>"]
    assert_ends_with(delivered.octets, sent.octets)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_it_receives_it_keeps(mta: Mta, user: str, body: bytes) -> None:
    """The instrument itself: another client than ours speaks to it."""
    sent = letter(body)
    recipients = [f"{user}-1@{SINK}", f"{user}-2@{SINK}"]
    with smtplib.SMTP("127.0.0.1", mta.port, "client.test", PATIENCE) as client:
        client.sendmail(
            "alice@example.org", recipients, sent.on_the_wire, mail_options=["BODY=8BITMIME"]
        )
    for stored in wait_received(mta, sent, len(recipients)):
        assert_ends_with(stored, sent.octets)


def wait_received(mta: Mta, sent: Letter, count: int) -> list[bytes]:
    """Wait until it has that many copies of a message."""

    def look() -> list[bytes]:
        found = [stored for stored in mta.received() if sent.is_in(stored)]
        return found if len(found) >= count else []

    found = wait_until(look, f"{count} copies at {mta.package}", PATIENCE)
    assert len(found) == count
    return found


def assert_ends_with(stored: bytes, sent: bytes) -> None:
    """Insist on every octet, below whatever fields were put before; a megabyte makes no diff."""
    assert stored[-len(sent) :][:2000] == sent[:2000]
    assert stored.endswith(b"\n" + sent)


if has_row("outbound"):

    @pytest.fixture
    def sending(new_instance: NewInstance, mta: Mta) -> Instance:
        """A system whose mail for other domains goes to the MTA."""
        instance = new_instance({"relayhost": f"[127.0.0.1]:{mta.port}"})
        instance.start()
        return instance

    def test_what_we_send_it_receives(sending: Instance, mta: Mta, user: str) -> None:
        """All at once, on as few connections as our side thinks right."""
        letters = {name: letter(body) for name, body in BODIES.items()}
        recipients = [f"{user}-{number}@{SINK}" for number in range(3)]
        with sending.smtp(PATIENCE) as client:
            client.greeted()
            for sent in letters.values():
                client.say("MAIL FROM:<alice@example.org> BODY=8BITMIME", 250)
                for recipient in recipients:
                    client.say(f"RCPT TO:<{recipient}>", 250)
                client.content(sent.on_the_wire)
        for name, sent in letters.items():
            for stored in wait_received(mta, sent, len(recipients)):
                assert b".peer.test" in stored, name
                assert_ends_with(stored, sent.octets)
        wait_until(lambda: not sending.messages(), "an empty queue", PATIENCE)
