"""One session with a server, whatever the server does: a verdict for everyone, in bounded time.

All of it runs under uvloop, as the daemons do.
"""

import asyncio
import os
import socket
import ssl
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import uvloop
from support.certificates import Pair, make_pair
from support.smtp_peer import (
    Action,
    Deaf,
    Drip,
    Flood,
    HangUp,
    InTurn,
    Reset,
    Script,
    Silent,
    SmtpPeer,
)

from mta.config.parameters import Parameters
from mta.delivery.client.connection import Connection, Interrupted
from mta.delivery.client.session import (
    ClientSession,
    Endpoint,
    Mail,
    SessionFailed,
    Terms,
    Verdict,
)
from mta.delivery.content import ContentReader
from mta.proto.smtp.client import ClientEngine
from mta.proto.smtp.client_events import Ready, Stage
from mta.proto.status import MailError

Found = TypeVar("Found")
Loop = asyncio.AbstractEventLoop

SOON = 0.2  # seconds: the timeout of a stage whose timeout is the test's subject
HOST = "mx.test[127.0.0.1]"
LETTER = b"Subject: x\r\n\r\n.dots\r\n..\r\nbody\r\n"
BIG = (b"x" * 78 + b"\r\n") * 100_000  # more than what the kernel keeps for both sides
BOB, EVE = "bob@mx.test", "eve@mx.test"
TERMS = msgspec.structs.replace(
    Terms.of(Parameters(queue_directory="/", log_file="/"), lmtp=False),
    helo_name="client.test",
    tls_level="none",
    **dict.fromkeys((name for name in Terms.__struct_fields__ if name.endswith("_timeout")), 20.0),
)


def run(main: Callable[[Loop], Awaitable[Found]]) -> Found:
    async def inner() -> Found:
        return await main(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(inner())


async def until(look: Callable[[], bool]) -> None:
    """Run the loop until something is so that a thread of the peer brings about."""
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def terms(**changes: object) -> Terms:
    return msgspec.structs.replace(TERMS, **changes)


def endpoint(peer: SmtpPeer) -> Endpoint:
    return Endpoint("mx.test", peer.address, peer.port)


class Letters:
    """Makes mail out of octets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptors: list[int] = []

    def mail(
        self,
        content: bytes = LETTER,
        *recipients: str,
        body_8bit: bool = False,
        missing: int = 0,
    ) -> Mail:
        """One message; octets may be `missing` at the end of its file."""
        path = self._folder / f"letter-{len(self._descriptors)}"
        path.write_bytes(b"head" + content + (b"" if missing else b"tail"))
        descriptor = os.open(path, os.O_RDONLY)
        self._descriptors.append(descriptor)
        reader = ContentReader(descriptor, 4, len(content) + missing)
        return Mail("alice@client.test", recipients or (BOB, EVE), body_8bit, reader)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[Letters]:
    made = Letters(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"), "mx.test")


def words(verdict: Verdict) -> str:
    """A verdict in one line, for tables."""
    status = verdict.status
    way = ", elsewhere" if verdict.elsewhere else ""
    return f"{status.code} {status.enhanced}{way}: {status.text}".replace(HOST, "HOST")


async def deliver_once(loop: Loop, where: Endpoint, by: Terms, mail: Mail) -> list[str]:
    session = await ClientSession.open(loop, where, by)
    try:
        return [words(verdict) for verdict in await session.deliver(mail)]
    finally:
        session.close()


async def failure(loop: Loop, where: Endpoint, by: Terms) -> str:
    """Why no session could be opened."""
    with pytest.raises(SessionFailed) as caught:
        await ClientSession.open(loop, where, by)
    return words(Verdict(caught.value.status, caught.value.elsewhere))


@dataclass(frozen=True)
class Row:
    """What a server does, and what becomes of bob and eve; one line: of both."""

    name: str
    script: Script
    verdicts: str | tuple[str, str]
    terms: dict[str, object] = field(default_factory=dict)
    content: bytes = LETTER
    body_8bit: bool = False

    def __str__(self) -> str:
        return self.name


def said(code: str, reply: str, command: str, *, elsewhere: bool = False) -> str:
    way = ", elsewhere" if elsewhere else ""
    return f"{code}{way}: host HOST said: {reply} (in reply to {command})"


def lost(doing: str, *, elsewhere: bool = True) -> str:
    way = ", elsewhere" if elsewhere else ""
    return f"451 4.4.2{way}: lost connection with HOST while {doing}"


def slow(doing: str, *, elsewhere: bool = True) -> str:
    way = ", elsewhere" if elsewhere else ""
    return f"451 4.4.2{way}: conversation with HOST timed out while {doing}"


DELIVERED = "250 2.0.0: 250 2.0.0 ok: queued as PEER"
MAYBE = "sending end of data -- message may be sent more than once"
ALONE = Script(extensions=())  # without PIPELINING: one command at a time

OUTCOMES = [
    Row("all is well", Script(), DELIVERED),
    Row("one at a time", ALONE, DELIVERED),
    Row("EHLO unknown", Script(ehlo="502 what?"), DELIVERED),
    Row("bare LF", Script(greeting=b"220 x\n", mail=b"250 ok\n", end=b"250 2.0.0 a\n"),
        "250 2.0.0: 250 2.0.0 a"),
    Row("a slow reply", Script(end=Drip("250 ok", 0.01)), "250 2.0.0: 250 ok"),
    Row("a long reply",
        Script(end="250-2.0.0 a\n250 2.0.0 b"), "250 2.0.0: 250 2.0.0 a b"),
    # 4yz and 5yz at each stage
    Row("MAIL 4yz", Script(mail="451 4.1.8 no domain"),
        said("451 4.1.8", "451 4.1.8 no domain", "MAIL FROM command", elsewhere=True)),
    Row("MAIL 5yz", Script(mail="550-5.7.1 go\n550 5.7.1 away"),
        said("550 5.7.1", "550 5.7.1 go away", "MAIL FROM command")),
    Row("RCPT 5yz for one", Script(rcpt={BOB: "550 no"}),
        (said("550 5.0.0", "550 no", "RCPT TO command"), DELIVERED)),
    Row("RCPT 4yz for one", Script(rcpt={EVE: "452 4.5.3 too many"}),
        (DELIVERED, said("452 4.5.3", "452 4.5.3 too many", "RCPT TO command", elsewhere=True))),
    Row("RCPT 5yz for both", Script(rcpt="550 5.1.1 no"),
        said("550 5.1.1", "550 5.1.1 no", "RCPT TO command")),
    Row("DATA 4yz", Script(data="451 4.3.0 no"),
        said("451 4.3.0", "451 4.3.0 no", "DATA command", elsewhere=True)),
    Row("DATA 5yz, and one refused before", Script(rcpt={BOB: "450 later"}, data="554 no"),
        (said("450 4.0.0", "450 later", "RCPT TO command", elsewhere=True),
         said("554 5.0.0", "554 no", "DATA command"))),
    Row("end 4yz", Script(end="451 4.7.1 greylisted"),
        said("451 4.7.1", "451 4.7.1 greylisted", "end of DATA command", elsewhere=True)),
    Row("end 5yz", Script(end="554 5.7.1 spam"),
        said("554 5.7.1", "554 5.7.1 spam", "end of DATA command")),
    # The end of the connection at each stage
    Row("MAIL reset", Script(mail=Reset()), lost("sending MAIL FROM")),
    Row("MAIL closed", Script(extensions=(), mail=HangUp()), lost("sending MAIL FROM")),
    Row("RCPT reset", Script(rcpt={EVE: Reset()}), lost("sending RCPT TO")),
    Row("RCPT closed, one at a time", Script(extensions=(), rcpt={EVE: HangUp()}),
        lost("sending RCPT TO")),
    Row("RCPT closed, after one was refused",
        Script(rcpt={BOB: "550 5.1.1 no", EVE: HangUp()}),
        (said("550 5.1.1", "550 5.1.1 no", "RCPT TO command"), lost("sending RCPT TO"))),
    Row("DATA reset", Script(data=Reset()), lost("receiving the answer to DATA")),
    Row("DATA closed", Script(data=HangUp()), lost("receiving the answer to DATA")),
    Row("content reset", Script(content=Reset()), lost("sending message body"), content=BIG),
    Row("content closed", Script(content=HangUp()), lost("sending message body"), content=BIG),
    Row("end reset", Script(end=Reset()), lost(MAYBE, elsewhere=False)),
    Row("end closed", Script(end=HangUp()), lost(MAYBE, elsewhere=False)),
    # 421 at each stage
    Row("421 to MAIL", Script(mail=HangUp("421 4.3.2 bye")),
        said("421 4.3.2", "421 4.3.2 bye", "MAIL FROM command", elsewhere=True)),
    Row("421 to RCPT", Script(rcpt={EVE: HangUp("421 4.3.2 bye")}),
        said("421 4.3.2", "421 4.3.2 bye", "RCPT TO command", elsewhere=True)),
    Row("421 to DATA", Script(data=HangUp("421 4.3.2 bye")),
        said("421 4.3.2", "421 4.3.2 bye", "DATA command", elsewhere=True)),
    Row("421 to the end", Script(end=HangUp("421 4.3.2 bye")),
        said("421 4.3.2", "421 4.3.2 bye", "end of DATA command", elsewhere=True)),
    # A server that gives up in the middle of the content, and hangs up at once
    Row("421 in the content", Script(content=HangUp("421 4.3.2 bye")),
        said("421 4.3.2", "421 4.3.2 bye", "message body", elsewhere=True), content=BIG),
    Row("552 in the content, and reset", Script(content=Reset("552 5.3.4 too big")),
        said("552 5.3.4", "552 5.3.4 too big", "message body"), content=BIG),
    Row("552 in the content, of a server that reads no more",
        Script(content=Deaf("552 5.3.4 too big"), receive_buffer=4096),
        said("552 5.3.4", "552 5.3.4 too big", "message body"), content=BIG),
    Row("552 in the content, of a server that reads on",
        Script(content=Silent("552 5.3.4 too big")),
        said("552 5.3.4", "552 5.3.4 too big", "message body"), content=BIG),
    # Silence at each stage
    Row("MAIL silent", Script(mail=Silent()), slow("sending MAIL FROM"), {"mail_timeout": SOON}),
    Row("RCPT silent", Script(rcpt={EVE: Silent()}), slow("sending RCPT TO"),
        {"rcpt_timeout": SOON}),
    Row("RCPT silent, one at a time", Script(extensions=(), rcpt={EVE: Silent()}),
        slow("sending RCPT TO"), {"rcpt_timeout": SOON}),
    Row("DATA silent", Script(data=Silent()), slow("receiving the answer to DATA"),
        {"data_init_timeout": SOON}),
    Row("content not read", Script(content=Deaf(), receive_buffer=4096),
        slow("sending message body"), {"data_xfer_timeout": SOON}, BIG),
    Row("end silent", Script(end=Silent()), slow(MAYBE, elsewhere=False),
        {"data_done_timeout": SOON}),
    Row("an octet now and then buys no time", Script(mail=Drip("250 " + "x" * 400)),
        slow("sending MAIL FROM"), {"mail_timeout": SOON}),
    # What is no SMTP
    Row("no code", Script(mail=b"hello\r\n"),
        "451 4.5.0, elsewhere: HOST: malformed reply while sending MAIL FROM: "
        "expected a reply code, got 'hello'"),
    Row("ten megabytes", Script(rcpt=Flood("250")),
        "451 4.5.0, elsewhere: HOST: malformed reply while sending RCPT TO: "
        "a reply of more than 128 lines"),
    Row("250 to DATA", Script(data="250 ok"),
        "451 4.5.0, elsewhere: HOST: malformed reply while receiving the answer to DATA: "
        "unexpected reply '250 ok'"),
    Row("no code at the end", Script(end=b"\xff\r\n"),
        f"451 4.5.0: HOST: malformed reply while {MAYBE}: expected a reply code, got '?'"),
    # What the server said it cannot take
    Row("SIZE is too small", Script(extensions=("SIZE 10",)),
        f"552 5.3.4: message size {len(LETTER)} exceeds size limit 10 of server HOST"),
    Row("SIZE is right", Script(extensions=(f"SIZE {len(LETTER)}",)), DELIVERED),
    Row("8-bit content, no 8BITMIME", ALONE,
        "554 5.6.3: message has 8-bit content, but 8BITMIME was not offered by host HOST",
        content=b"\r\n\xe4\r\n", body_8bit=True),
    Row("8-bit mail with 7-bit content, no 8BITMIME", ALONE, DELIVERED, body_8bit=True),
    Row("8-bit content that nobody declared", ALONE, DELIVERED, content=b"\r\n\xe4\r\n"),
    Row("a server that offers PIPELINING and cannot do it",
        Script(mail="250 ok", rcpt="503 5.5.1 slowly", data="503 5.5.1 slowly", strict=False),
        said("503 5.5.1", "503 5.5.1 slowly", "RCPT TO command")),
]  # fmt: skip


@pytest.mark.parametrize("row", OUTCOMES, ids=str)
def test_outcomes(row: Row, letters: Letters) -> None:
    mail = letters.mail(row.content, body_8bit=row.body_8bit)
    with SmtpPeer(row.script) as peer:
        verdicts = run(lambda loop: deliver_once(loop, endpoint(peer), terms(**row.terms), mail))
    assert tuple(verdicts) == (
        (row.verdicts,) * 2 if isinstance(row.verdicts, str) else row.verdicts
    )
    received = [message.content for visit in peer.visits for message in visit.ended]
    # Nobody gets a part of a message, and each verdict about its end is about the whole of it.
    whole = any(mark in "".join(verdicts) for mark in ("250 2", "end of DATA", "end of data"))
    assert received == ([row.content] if whole else [])


REFUSALS = [
    Row("silent", Script(greeting=Silent()),
        slow("receiving the initial server greeting"), {"helo_timeout": SOON}),
    Row("greeting drips", Script(greeting=Drip("220 " + "x" * 400)),
        slow("receiving the initial server greeting"), {"helo_timeout": SOON}),
    Row("closed", Script(greeting=HangUp()), lost("receiving the initial server greeting")),
    Row("greeting 4yz", Script(greeting="450 4.3.2 later"),
        "450 4.3.2, elsewhere: host HOST refused to talk to me: 450 4.3.2 later"),
    Row("greeting 5yz", Script(greeting="554-5.7.1 no\n554 5.7.1 never"),
        "454 4.7.1, elsewhere: host HOST refused to talk to me: 554 5.7.1 no never"),
    Row("greeting 421", Script(greeting=HangUp("421 no")),
        "421 4.0.0, elsewhere: host HOST refused to talk to me: 421 no"),
    Row("greeting 10 MB", Script(greeting=Flood("220")),
        "451 4.5.0, elsewhere: HOST: malformed reply while receiving the initial server "
        "greeting: a reply of more than 128 lines"),
    Row("EHLO 4yz", Script(ehlo="450 4.3.2 later"),
        "450 4.3.2, elsewhere: host HOST refused to talk to me: 450 4.3.2 later"),
    Row("EHLO 421", Script(ehlo=HangUp("421 later")),
        "421 4.0.0, elsewhere: host HOST refused to talk to me: 421 later"),
    Row("EHLO and HELO 5yz", Script(ehlo="500 what?", helo="550 5.7.1 no"),
        "550 5.7.1, elsewhere: host HOST refused to talk to me: 550 5.7.1 no"),
    Row("EHLO silent", Script(ehlo=Silent()),
        slow("performing the EHLO handshake"), {"helo_timeout": SOON}),
    Row("EHLO reset", Script(ehlo=Reset()), lost("performing the EHLO handshake")),
    Row("HELO closed", Script(ehlo="500 what?", helo=HangUp()),
        lost("performing the HELO handshake")),
    Row("no TLS", Script(),
        "450 4.7.4, elsewhere: TLS is required, but was not offered by host HOST",
        {"tls_level": "encrypt"}),
    Row("STARTTLS 454", Script(extensions=("STARTTLS",), starttls="454 4.7.0 no"),
        "450 4.7.4, elsewhere: TLS is required, but host HOST refused to start TLS: 454 4.7.0 no",
        {"tls_level": "encrypt"}),
    Row("STARTTLS silent", Script(extensions=("STARTTLS",), starttls=Silent()),
        slow("performing the STARTTLS handshake"),
        {"tls_level": "encrypt", "starttls_timeout": SOON}),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_no_session(row: Row) -> None:
    with SmtpPeer(row.script) as peer:
        reason = run(lambda loop: failure(loop, endpoint(peer), terms(**row.terms)))
        assert reason == row.verdicts
        (visit,) = peer.wait_over()
        assert "MAIL" not in visit.verbs


def test_a_reset_in_place_of_a_greeting() -> None:
    """It may strike before or after the client has learnt that it is connected."""
    with SmtpPeer(Script(greeting=Reset())) as peer:
        reason = run(lambda loop: failure(loop, endpoint(peer), TERMS))
    assert reason in (
        f"451 4.4.1, elsewhere: connect to HOST:{peer.port}: Connection reset by peer",
        lost("receiving the initial server greeting"),
    )


def test_nobody_listens(tmp_path: Path) -> None:
    with SmtpPeer(refuse=True) as peer:
        where = endpoint(peer)
        reason = run(lambda loop: failure(loop, where, TERMS))
    way = f"451 4.4.1, elsewhere: connect to HOST:{where.port}: Connection refused"
    assert reason == way
    nowhere = Endpoint("lmtp", str(tmp_path / "socket"), 0)
    assert run(lambda loop: failure(loop, nowhere, TERMS)) == (
        f"451 4.4.1, elsewhere: connect to lmtp[{tmp_path}/socket]: No such file or directory"
    )


@pytest.mark.parametrize("address", ["mx.test", "127.0.0.1.", "::1%lo", ""])
def test_an_address_is_never_looked_up(address: str) -> None:
    where = Endpoint("mx.test", address, 25)
    reason = run(lambda loop: failure(loop, where, TERMS))
    assert reason.startswith(f"451 4.4.1, elsewhere: connect to mx.test[{address}]:25: illegal IP")


def test_a_full_backlog_of_a_unix_socket_is_waited_for(short_path: Path) -> None:
    path = short_path / "lmtp"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        where = Endpoint("lmtp", str(path), 0)
        reason = run(lambda loop: failure(loop, where, terms(connect_timeout=SOON)))
    assert reason.endswith(f"connect to lmtp[{path}]: Connection timed out")


class TestKeptSessions:
    """Several messages over one connection, and what becomes of one that waits for the next."""

    def test_one_after_the_other(self, letters: Letters) -> None:
        mails = [letters.mail(b"%d\r\n" % number) for number in range(3)]

        async def main(loop: Loop) -> list[str]:
            session = await ClientSession.open(loop, endpoint(peer), TERMS)
            assert session.opened <= loop.time()
            told = []
            for number, mail in enumerate(mails):
                assert session.usable
                assert session.messages == number
                told += [words(verdict) for verdict in await session.deliver(mail)]
            session.close()
            assert not session.usable
            return told

        with SmtpPeer() as peer:
            assert run(main) == [DELIVERED] * 6
            (visit,) = peer.wait_over()
        assert [message.content for message in peer.messages] == [b"0\r\n", b"1\r\n", b"2\r\n"]
        assert visit.verbs == ["EHLO", *["MAIL", "RCPT", "RCPT", "DATA"] * 3, "QUIT"]

    @pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
    @pytest.mark.parametrize(
        ("script", "reset"),
        [
            (Script(rcpt={BOB: "550 5.1.1 no", EVE: "550 5.1.1 no"}), True),
            (Script(data="451 4.3.0 no"), True),
            (Script(mail="451 4.3.0 no"), False),
            (Script(end="554 5.7.1 no"), False),
            (Script(), False),
        ],
        ids=["rcpt", "data", "mail", "end", "delivered"],
    )
    def test_a_transaction_that_was_abandoned_is_reset(
        self, letters: Letters, script: Script, reset: bool, extensions: tuple[str, ...]
    ) -> None:
        first, second = letters.mail(), letters.mail(LETTER, "joe@mx.test")
        script = replace(script, extensions=extensions)

        async def main(loop: Loop) -> None:
            session = await ClientSession.open(loop, endpoint(peer), TERMS)
            await session.deliver(first)
            assert session.usable
            await session.deliver(second)
            assert session.usable
            session.close()

        with SmtpPeer(script) as peer:
            run(main)
            (visit,) = peer.wait_over()
        assert visit.verbs.count("MAIL") == 2
        assert ("RSET" in visit.verbs) == reset
        nested = [line for line in visit.replies if line.startswith("503 5.5.1 nested")]
        assert nested == []

    @pytest.mark.parametrize(
        ("unasked", "said"),
        [
            (HangUp(), "lost connection with HOST while sending MAIL FROM"),
            (HangUp("421 4.4.2 idle"), "lost connection with HOST while sending MAIL FROM"),
            (Reset(), "lost connection with HOST while sending MAIL FROM"),
            ("250 what?", "lost connection with HOST while sending MAIL FROM"),
            (b"\r\n", "lost connection with HOST while sending MAIL FROM"),
        ],
        ids=["closed", "421", "reset", "babble", "noise"],
    )
    def test_one_that_ends_is_not_usable_by_itself(
        self, letters: Letters, unasked: Action, said: str
    ) -> None:
        first, second = letters.mail(), letters.mail()

        async def main(loop: Loop) -> list[str]:
            session = await ClientSession.open(loop, endpoint(peer), TERMS)
            assert [words(verdict) for verdict in await session.deliver(first)] == [DELIVERED] * 2
            before = session.lost_at_first
            await until(lambda: not session.usable)
            told = [words(verdict) for verdict in await session.deliver(second)]
            assert (before, session.lost_at_first) == (False, True)
            session.close()
            return told

        with SmtpPeer(Script(unasked=unasked)) as peer:
            assert run(main) == [f"451 4.4.2, elsewhere: {said}"] * 2
        assert len(peer.messages) == 1

    @pytest.mark.parametrize(
        ("script", "gone"),
        [
            (Script(mail=InTurn("250 ok", HangUp())), True),
            (Script(mail=InTurn("250 ok", HangUp("421 4.4.2 too late"))), True),
            (Script(mail=InTurn("250 ok", Reset())), True),
            (Script(mail=InTurn("250 ok", "451 4.3.0 later")), False),
            (Script(mail=InTurn("250 ok", Silent())), False),
            (Script(data=InTurn("354 go", HangUp())), False),
            (Script(end=InTurn("250 ok", HangUp())), False),
        ],
        ids=["closed", "421", "reset", "refused", "silent", "data", "end"],
    )
    def test_lost_at_first_is_the_end_of_a_kept_session_before_any_answer(
        self, letters: Letters, script: Script, gone: bool
    ) -> None:
        first, second = letters.mail(), letters.mail()
        by = terms(mail_timeout=SOON)

        async def main(loop: Loop) -> tuple[bool, bool]:
            session = await ClientSession.open(loop, endpoint(peer), by)
            await session.deliver(first)
            before = session.lost_at_first
            verdicts = await session.deliver(second)
            assert {verdict.status.code // 100 for verdict in verdicts} == {4}
            session.close()
            return before, session.lost_at_first

        with SmtpPeer(script) as peer:
            assert run(main) == (False, gone)

    def test_a_fresh_session_that_ends_is_no_kept_one(self, letters: Letters) -> None:
        mail = letters.mail()

        async def main(loop: Loop) -> bool:
            session = await ClientSession.open(loop, endpoint(peer), TERMS)
            await session.deliver(mail)
            return session.lost_at_first

        with SmtpPeer(Script(mail=HangUp())) as peer:
            assert not run(main)

    @pytest.mark.parametrize("rset", ["500 what?", HangUp("421 bye"), HangUp(), Silent()])
    def test_a_server_that_does_not_reset_is_left(self, letters: Letters, rset: Action) -> None:
        first, second = letters.mail(), letters.mail()
        script = Script(rcpt="550 5.1.1 no", rset=rset)

        async def main(loop: Loop) -> tuple[list[Verdict], bool]:
            session = await ClientSession.open(loop, endpoint(peer), terms(rset_timeout=SOON))
            await session.deliver(first)
            verdicts = await session.deliver(second)
            assert not session.usable
            return verdicts, session.lost_at_first

        with SmtpPeer(script) as peer:
            verdicts, lost_at_first = run(main)
        assert all(verdict.status.is_temporary and verdict.elsewhere for verdict in verdicts)
        assert lost_at_first == (not isinstance(rset, Silent))


class TestTls:
    OFFER = Script(extensions=("PIPELINING", "STARTTLS"))

    @pytest.mark.parametrize("level", ["may", "encrypt"])
    def test_a_message_over_tls(self, letters: Letters, certificate: Pair, level: str) -> None:
        small, big = letters.mail(), letters.mail(BIG)

        async def main(loop: Loop) -> str:
            session = await ClientSession.open(loop, endpoint(peer), terms(tls_level=level))
            for mail in (small, big):
                assert [words(it) for it in await session.deliver(mail)] == [DELIVERED] * 2
            session.close()
            return session.tls

        with SmtpPeer(self.OFFER, certificate=certificate) as peer:
            assert run(main).startswith("TLSv1.3 with cipher TLS_")
            (visit,) = peer.wait_over()
        assert [(it.content, it.tls) for it in peer.messages] == [(LETTER, True), (BIG, True)]
        assert visit.verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]
        assert visit.verbs[-1] == "QUIT"

    def test_what_was_offered_before_tls_is_forgotten(
        self, letters: Letters, certificate: Pair
    ) -> None:
        script = replace(self.OFFER, extensions_over_tls=("SIZE 10",))
        mail = letters.mail()
        with SmtpPeer(script, certificate=certificate) as peer:
            told = run(
                lambda loop: deliver_once(loop, endpoint(peer), terms(tls_level="may"), mail)
            )
        assert told[0].startswith("552 5.3.4: message size")

    def test_tls_1_1_is_no_tls(self, certificate: Pair) -> None:
        with SmtpPeer(self.OFFER, certificate=certificate) as peer:
            assert peer.context is not None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                peer.context.minimum_version = ssl.TLSVersion.TLSv1
                peer.context.maximum_version = ssl.TLSVersion.TLSv1_1
            peer.context.set_ciphers("ALL:@SECLEVEL=0")
            reason = run(lambda loop: failure(loop, endpoint(peer), terms(tls_level="encrypt")))
        assert reason.startswith(
            "450 4.7.5, elsewhere: Cannot start TLS: handshake failure with host HOST: "
        )

    @pytest.mark.parametrize(
        "script",
        [
            Script(starttls="454 4.7.0 not now"),
            Script(starttls=HangUp()),
            Script(starttls=Silent()),
            Script(starttls=b"220 go\r\n250 injected\r\n", handshake=Silent()),
            Script(starttls=b"what?\r\n"),
            Script(handshake=b"garbage" * 100),
            Script(handshake=HangUp()),
            Script(handshake=Reset()),
            Script(handshake=Silent()),
        ],
        ids=[
            *("refused", "closed", "silent", "injection", "no-smtp"),
            *("garbage", "handshake-closed", "handshake-reset", "handshake-silent"),
        ],
    )
    @pytest.mark.parametrize("level", ["may", "encrypt"])
    def test_starttls_that_fails(self, letters: Letters, script: Script, level: str) -> None:
        """Opportunistic TLS must not cost the delivery, nor required TLS become none."""
        script = replace(script, extensions=("STARTTLS",))
        by = terms(tls_level=level, starttls_timeout=SOON)
        mail = letters.mail()
        with SmtpPeer(script) as peer:
            if level == "may":
                told = run(lambda loop: deliver_once(loop, endpoint(peer), by, mail))
                assert told == [DELIVERED] * 2
                first, second = peer.wait_over(2)
                assert first.verbs[:2] == ["EHLO", "STARTTLS"]
                assert second.verbs[:2] == ["EHLO", "MAIL"]
            else:
                assert ", elsewhere: " in run(lambda loop: failure(loop, endpoint(peer), by))
                (visit,) = peer.wait_over()
                assert "MAIL" not in visit.verbs

    def test_ehlo_that_fails_over_tls(self, letters: Letters, certificate: Pair) -> None:
        script = replace(self.OFFER, ehlo_over_tls=HangUp())
        by, mail = terms(tls_level="may"), letters.mail()
        with SmtpPeer(script, certificate=certificate) as peer:
            told = run(lambda loop: deliver_once(loop, endpoint(peer), by, mail))
            assert told == [DELIVERED] * 2
        assert [message.tls for message in peer.messages] == [False]

    def test_a_level_of_none_never_says_starttls(self, letters: Letters, certificate: Pair) -> None:
        mail = letters.mail()
        with SmtpPeer(self.OFFER, certificate=certificate) as peer:
            run(lambda loop: deliver_once(loop, endpoint(peer), TERMS, mail))
        assert [message.tls for message in peer.messages] == [False]

    @pytest.mark.parametrize(
        ("script", "verdict"),
        [
            (Script(mail=HangUp()), lost("sending MAIL FROM")),
            (Script(end=HangUp()), lost(MAYBE, elsewhere=False)),
            (Script(end=Reset()), lost(MAYBE, elsewhere=False)),
            (Script(end="554 no"), said("554 5.0.0", "554 no", "end of DATA command")),
            (
                Script(content=Deaf("552 5.3.4 too big")),
                said("552 5.3.4", "552 5.3.4 too big", "message body"),
            ),
            (Script(content=Deaf()), slow("sending message body")),
        ],
        ids=["mail-closed", "end-closed", "end-reset", "end-refused", "content-refused", "deaf"],
    )
    def test_outcomes(
        self, letters: Letters, certificate: Pair, script: Script, verdict: str
    ) -> None:
        script = replace(script, extensions=("STARTTLS",), receive_buffer=4096)
        by = terms(tls_level="encrypt", data_xfer_timeout=SOON if script.content else 20.0)
        mail = letters.mail(BIG if script.content else LETTER)
        with SmtpPeer(script, certificate=certificate) as peer:
            told = run(lambda loop: deliver_once(loop, endpoint(peer), by, mail))
            assert told == [verdict] * 2


class TestLittleContent:
    """Content that is at hand goes out with the 354, while the session still waits for an event."""

    LITTLE = (b"x" * 78 + b"\r\n") * 800

    def test_a_server_that_does_not_read_it_may_be_asked_elsewhere(self, letters: Letters) -> None:
        """As long as the kernel has a part of it, the final dot is not on its way."""
        mail = letters.mail(self.LITTLE)

        async def main(loop: Loop) -> list[str]:
            session = await ClientSession.open(loop, endpoint(peer), by)
            session._connection._peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            told = [words(verdict) for verdict in await session.deliver(mail)]
            session.close()
            return told

        by = terms(data_xfer_timeout=SOON)
        with SmtpPeer(Script(content=Deaf(), receive_buffer=4096)) as peer:
            assert run(main) == [slow("sending message body")] * 2
        assert peer.messages == []

    def test_a_server_that_reads_it_slowly_has_time_to_answer(self, letters: Letters) -> None:
        mail = letters.mail(self.LITTLE)

        async def main(loop: Loop) -> list[str]:
            session = await ClientSession.open(loop, endpoint(peer), TERMS)
            session._connection._peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            told = [words(verdict) for verdict in await session.deliver(mail)]
            session.close()
            return told

        with SmtpPeer(Script(receive_buffer=4096)) as peer:
            assert run(main) == [DELIVERED] * 2
        assert [message.content for message in peer.messages] == [self.LITTLE]

    def test_a_go_ahead_that_was_the_last_word_sends_nothing(self) -> None:
        """The server hung up behind its 354: it has nothing, and another host may be asked."""

        async def main(loop: Loop) -> Stage:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                engine = ClientEngine("client.test")
                connection = Connection(loop, engine, TERMS, ours)
                engine.receive(b"220 x\r\n250-x\r\n250 PIPELINING\r\n")
                assert engine.next_event() == Ready()
                engine.begin("", [BOB], 4, body_8bit=False, content=b"hi\r\n")
                engine.data_to_send()
                theirs.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
                connection.connection_lost(None)
                with pytest.raises(Interrupted) as caught:
                    await connection.event()
                return caught.value.stage

        assert run(main) is Stage.CONTENT


class TestLmtp:
    def test_each_recipient_has_an_answer_over_a_unix_socket(
        self, letters: Letters, short_path: Path
    ) -> None:
        script = Script(
            extensions=("PIPELINING", "STARTTLS"),  # no use for it on a UNIX socket
            rcpt={"no@mx.test": "550 5.1.1 no"},
            end={BOB: "250 2.0.0 saved", EVE: "452 4.2.2 full"},
        )
        mail = letters.mail(LETTER, BOB, "no@mx.test", EVE)
        by = terms(lmtp=True, tls_level="encrypt")
        with SmtpPeer(script, path=short_path / "lmtp", lmtp=True) as peer:
            where = Endpoint("store", peer.address, 0)
            told = run(lambda loop: deliver_once(loop, where, by, mail))
            (visit,) = peer.wait_over()
        host = f"store[{peer.address}]"
        full = "452 4.2.2 full (in reply to end of DATA command)"
        assert str(where) == host
        assert told == [
            "250 2.0.0: 250 2.0.0 saved",
            f"550 5.1.1: host {host} said: 550 5.1.1 no (in reply to RCPT TO command)",
            f"452 4.2.2, elsewhere: host {host} said: {full}",
        ]
        assert visit.verbs[0] == "LHLO"

    def test_an_answer_that_is_missing_is_missing_for_one(self, letters: Letters) -> None:
        mail = letters.mail()
        with SmtpPeer(Script(end={EVE: HangUp()}), lmtp=True) as peer:
            told = run(lambda loop: deliver_once(loop, endpoint(peer), terms(lmtp=True), mail))
        assert told == ["250 2.0.0: 250 2.0.0 ok", lost(MAYBE, elsewhere=False)]


class TestContent:
    def test_a_queue_file_that_ends_early_is_never_sent_as_if_it_were_whole(
        self, letters: Letters
    ) -> None:
        truncated = letters.mail(BIG, missing=1)

        async def main(loop: Loop) -> None:
            session = await ClientSession.open(loop, endpoint(peer), TERMS)
            with pytest.raises(MailError, match=r"451 4\.3\.0 queue file truncated"):
                await session.deliver(truncated)
            assert not session.usable
            session.close()

        with SmtpPeer() as peer:
            run(main)
            peer.wait_over()
        assert peer.messages == []

    def test_memory_does_not_grow_with_the_message(self, letters: Letters) -> None:
        mail = letters.mail(BIG)

        async def main(loop: Loop) -> int:
            session = await ClientSession.open(loop, endpoint(peer), terms(data_xfer_timeout=SOON))
            tracemalloc.start()
            try:
                await session.deliver(mail)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                session.close()

        with SmtpPeer(Script(content=Deaf(), receive_buffer=4096)) as peer:
            assert run(main) < len(BIG) // 8


def test_a_lone_dot_is_no_message_for_anyone(letters: Letters) -> None:
    """RFC 2920, 3.1: a server that says 354 although it took no recipient."""
    first, second = letters.mail(), letters.mail(LETTER, "joe@mx.test")
    script = Script(
        rcpt={BOB: "550 5.1.1 no", EVE: "550 5.1.1 no"},
        end=InTurn("554 5.5.1 no recipients", "250 2.0.0 ok"),
        strict=False,
    )

    async def main(loop: Loop) -> list[str]:
        session = await ClientSession.open(loop, endpoint(peer), TERMS)
        told = [*await session.deliver(first), *await session.deliver(second)]
        session.close()
        return [words(verdict) for verdict in told]

    with SmtpPeer(script) as peer:
        told = run(main)
    refused = said("550 5.1.1", "550 5.1.1 no", "RCPT TO command")
    assert told == [refused, refused, "250 2.0.0: 250 2.0.0 ok"]
    (visit,) = peer.visits
    lone, message = visit.ended
    assert (lone.recipients, lone.content) == ((), b"")
    assert (message.recipients, message.content) == (("joe@mx.test",), LETTER)
    assert peer.messages == [message]


def test_an_abandoned_delivery_leaves_no_session_behind(letters: Letters) -> None:
    """The daemon's deadline cancels it: what the server holds then is no message."""
    mail = letters.mail()

    async def main(loop: Loop) -> None:
        session = await ClientSession.open(loop, endpoint(peer), TERMS)
        delivery = loop.create_task(session.deliver(mail))
        await until(lambda: "DATA" in peer.visits[0].verbs)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        assert not session.usable
        session.close()

    with SmtpPeer(Script(data=Silent())) as peer:
        run(main)
        peer.wait_over()
    assert peer.messages == []


def test_addresses_that_smtp_cannot_carry(letters: Letters) -> None:
    mail = letters.mail(LETTER, BOB, "b\u00f6b@mx.test", EVE)
    with SmtpPeer() as peer:
        told = run(lambda loop: deliver_once(loop, endpoint(peer), TERMS, mail))
    refusal = "550 5.6.7: the address is not ASCII"
    assert told == [DELIVERED, refusal, DELIVERED]
    assert peer.messages[0].recipients == (BOB, EVE)


def test_a_long_answer_is_cut_before_what_it_answers(letters: Letters) -> None:
    mail = letters.mail(LETTER, BOB)
    reply = "\n".join([f"550-5.1.1 {'x' * 400}"] * 9 + ["550 5.1.1 end"])
    with SmtpPeer(Script(rcpt=reply)) as peer:
        (told,) = run(lambda loop: deliver_once(loop, endpoint(peer), TERMS, mail))
    text = told.partition(": ")[2].replace("HOST", HOST)
    assert len(text) == 512
    assert text.endswith("x (in reply to RCPT TO command)")
