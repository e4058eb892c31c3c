"""What becomes of mail for other hosts, whatever they do: one table, one system, real servers.

Each row is a domain with mail hosts of its own, found through a real name server; a message goes to
two recipients of it. Times are short, and nothing is tried twice.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from support.certificates import Pair, make_pair
from support.dns_server import HEAD, Nsd
from support.instance import Instance, NewInstance
from support.ports import free_port
from support.smtp_peer import (
    EXTENSIONS,
    Drip,
    Flood,
    HangUp,
    Reset,
    Script,
    Silent,
    SmtpPeer,
)
from support.waiting import wait_until

SHORT = "1s"
SENT, DEFERRED, BOUNCED = "sent", "deferred", "bounced"
BODY = b"Subject: outcome\r\n\r\n.dot\r\n..dots\r\nlast line\r\n"


@dataclass(frozen=True)
class Peer:
    """One mail host of a row; `None` for a script: nobody listens there."""

    script: Script | None = field(default_factory=Script)
    preference: int = 10


@dataclass(frozen=True)
class Row:
    """What the hosts do, and what becomes of the recipients one and two."""

    name: str
    hosts: Script | tuple[Peer, ...]  # a script: of the only one
    outcome: str
    dsn: str = ""
    text: str = ""  # a part of the reason
    second: tuple[str, str] = ("", "")  # outcome and dsn of the second recipient, if they differ
    taken: tuple[int, ...] = ()  # how many messages each host has in the end
    encrypted: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def peers(self) -> tuple[Peer, ...]:
        return (Peer(self.hosts),) if isinstance(self.hosts, Script) else self.hosts


def drips(reply: str) -> Drip:
    """So slowly that the time of a stage is up before it is said."""
    return Drip(reply, 0.1)


GOOD = Peer(preference=20)
LOST, SLOW = "lost connection with", "timed out while"
Tls = partial(Script, extensions=(*EXTENSIONS, "STARTTLS"))
WAYS: tuple[tuple[str, Callable[..., Script]], ...] = (
    ("", Script),
    ("-alone", partial(Script, extensions=("8BITMIME",))),  # no PIPELINING: one by one
)
GARBAGE = b"\x16\x03\x01\x00\x00 what?\r\n"

ROWS = (
    # Connecting
    Row("refused", (Peer(None),), DEFERRED, "4.4.1", "Connection refused"),
    Row("silent", Script(greeting=Silent()), DEFERRED, "4.4.2", "initial server greeting"),
    Row("closed", Script(greeting=HangUp()), DEFERRED, "4.4.2", LOST),
    Row("greets-421", Script(greeting="421 4.3.2 busy"), DEFERRED, "4.3.2", "busy"),
    Row("greets-450", Script(greeting="450 4.3.2 busy"), DEFERRED, "4.3.2", "busy"),
    # A host that does not talk to us says nothing about the domain (smtp_skip_5xx_greeting).
    Row("greets-554", Script(greeting="554 5.7.1 no"), DEFERRED, "4.7.1", "to me: 554 5.7.1 no"),
    Row("not-smtp", Script(greeting="SSH-2.0-OpenSSH_9"), DEFERRED, "4.5.0", "malformed reply"),
    Row("slow-greeting", Script(greeting=drips("220 hello there")), DEFERRED, "4.4.2", SLOW),
    Row("flood", Script(greeting=Flood("220")), DEFERRED, "4.5.0", "reply"),
    # Introductions
    Row("ehlo-reset", Script(ehlo=Reset()), DEFERRED, "4.4.2", "performing the EHLO handshake"),
    Row("ehlo-silent", Script(ehlo=Silent()), DEFERRED, "4.4.2", SLOW),
    Row("ehlo-421", Script(ehlo="421 4.7.0 not you"), DEFERRED, "4.7.0", "not you"),
    Row("ehlo-450", Script(ehlo="450 4.7.0 not now"), DEFERRED, "4.7.0", "not now"),
    Row("ehlo-500", Script(ehlo="500 5.5.2 what?"), SENT, "2.0.0", taken=(1,)),
    Row(
        "helo-550",
        Script(ehlo="500 5.5.2 what?", helo="550 5.7.1 go away"),
        *(BOUNCED, "5.7.1", "go away"),
    ),
    Row("ehlo-flood", Script(ehlo=Flood("250")), DEFERRED, "4.5.0", "a reply of more than"),
    Row("ehlo-drips", Script(ehlo=drips("250 peer.test is slow")), DEFERRED, "4.4.2", SLOW),
    Row(
        "too-small",
        Script(extensions=("PIPELINING", "SIZE 20")),
        *(BOUNCED, "5.3.4", "exceeds size limit 20"),
        taken=(0,),
    ),
    Row("no-extension", Script(extensions=()), SENT, "2.0.0", taken=(1,)),
    Row("nameless-extension", Script(extensions=("",)), SENT, "2.0.0", taken=(1,)),
    Row("lone-lf", Script(mail=b"250-2.1.0 fine\n250 2.1.0 indeed\r\n"), SENT, taken=(1,)),
    # Envelope, in one write and one by one
    *(
        row
        for suffix, script in WAYS
        for row in (
            Row(f"mail-reset{suffix}", script(mail=Reset()), DEFERRED, "4.4.2", LOST),
            Row(f"mail-silent{suffix}", script(mail=Silent()), DEFERRED, "4.4.2", SLOW),
            Row(f"mail-421{suffix}", script(mail="421 4.3.2 bye"), DEFERRED, "4.3.2"),
            Row(f"mail-451{suffix}", script(mail="451 4.1.8 hm"), DEFERRED, "4.1.8"),
            Row(f"mail-550{suffix}", script(mail="550 5.1.8 no"), BOUNCED, "5.1.8"),
            Row(f"mail-garbage{suffix}", script(mail=GARBAGE), DEFERRED, "4.5.0"),
            Row(f"rcpt-reset{suffix}", script(rcpt=Reset()), DEFERRED, "4.4.2", LOST),
            Row(f"rcpt-silent{suffix}", script(rcpt=Silent()), DEFERRED, "4.4.2", SLOW),
            Row(f"rcpt-421{suffix}", script(rcpt="421 4.3.2 bye"), DEFERRED, "4.3.2"),
            Row(f"rcpt-450{suffix}", script(rcpt="450 4.2.1 later"), DEFERRED, "4.2.1"),
            Row(f"rcpt-550{suffix}", script(rcpt="550 5.1.1 who?"), BOUNCED, "5.1.1"),
            Row(f"data-reset{suffix}", script(data=Reset()), DEFERRED, "4.4.2", LOST),
            Row(f"data-silent{suffix}", script(data=Silent()), DEFERRED, "4.4.2", SLOW),
            Row(f"data-421{suffix}", script(data="421 4.3.2 bye"), DEFERRED, "4.3.2"),
            Row(f"data-451{suffix}", script(data="451 4.3.0 hm"), DEFERRED, "4.3.0"),
            Row(f"data-554{suffix}", script(data="554 5.5.1 no"), BOUNCED, "5.5.1"),
            Row(f"data-250{suffix}", script(data="250 2.0.0 ?"), DEFERRED, "4.5.0"),
            Row(
                f"one-of-two{suffix}",
                script(rcpt={f"two@one-of-two{suffix}.example.test": "550 5.1.1 who?"}),
                *(SENT, "2.0.0"),
                second=(BOUNCED, "5.1.1"),
                taken=(1,),
            ),
            Row(
                f"one-later{suffix}",
                script(rcpt={f"one@one-later{suffix}.example.test": "452 4.5.3 many"}),
                *(DEFERRED, "4.5.3"),
                second=(SENT, "2.0.0"),
                taken=(1,),
            ),
        )
    ),
    # Content
    Row("body-reset", Script(content=Reset()), DEFERRED, "4.4.2", LOST, taken=(0,)),
    Row("body-421", Script(content=HangUp("421 4.3.2 bye")), DEFERRED, "4.3.2", taken=(0,)),
    Row("body-552", Script(content=HangUp("552 5.3.4 big")), BOUNCED, "5.3.4", taken=(0,)),
    Row("end-reset", Script(end=Reset()), DEFERRED, "4.4.2", "may be sent more than once"),
    Row("end-silent", Script(end=Silent()), DEFERRED, "4.4.2", "may be sent more than once"),
    Row("end-421", Script(end="421 4.3.2 bye"), DEFERRED, "4.3.2", "bye"),
    Row("end-451", Script(end="451 4.3.0 hm"), DEFERRED, "4.3.0", "in reply to end of DATA"),
    Row("end-554", Script(end="554 5.7.1 spam"), BOUNCED, "5.7.1", "spam"),
    Row("end-flood", Script(end=Flood("250")), DEFERRED, "4.5.0", "reply"),
    Row("end-drips", Script(end=drips("250 2.0.0 I take my time")), DEFERRED, "4.4.2", SLOW),
    Row("many-lines", Script(end="250-2.0.0 first\n250 2.0.0 second"), SENT, "2.0.0", "second"),
    # TLS, which is tried where it is offered, and not insisted on
    Row("tls", Tls(), SENT, taken=(1,), encrypted=True),
    Row("tls-454", Tls(starttls="454 4.7.0 not now"), SENT, taken=(1,)),
    Row("tls-501", Tls(starttls="501 5.5.4 what?"), SENT, taken=(1,)),
    Row("tls-garbage", Tls(handshake=GARBAGE), SENT, taken=(1,)),
    Row("tls-reset", Tls(handshake=Reset()), SENT, taken=(1,)),
    Row("tls-silent", Tls(handshake=Silent()), SENT, taken=(1,)),
    Row(
        "tls-injection",
        Tls(starttls="220 2.0.0 go\n250 2.0.0 injected"),
        *(SENT, "2.0.0"),
        taken=(1,),
    ),
    # The next host
    Row("next-refused", (Peer(None), GOOD), SENT, taken=(0, 1)),
    Row("next-silent", (Peer(Script(greeting=Silent())), GOOD), SENT, taken=(0, 1)),
    Row("next-554", (Peer(Script(greeting="554 5.7.1 no")), GOOD), SENT, taken=(0, 1)),
    Row("next-rcpt-450", (Peer(Script(rcpt="450 4.2.1 later")), GOOD), SENT, taken=(0, 1)),
    Row(
        "next-rcpt-550", (Peer(Script(rcpt="550 5.1.1 who?")), GOOD), BOUNCED, "5.1.1", taken=(0, 0)
    ),
    Row("next-end-451", (Peer(Script(end="451 4.3.0 hm")), GOOD), SENT, taken=(0, 1)),
    Row("next-end-reset", (Peer(Script(end=Reset())), GOOD), DEFERRED, "4.4.2", taken=(0, 0)),
    Row("best-first", (Peer(preference=30), Peer(preference=5)), SENT, taken=(0, 1)),
)


@dataclass(frozen=True)
class House:
    """The running system, and each row's hosts."""

    instance: Instance
    peers: dict[str, tuple[SmtpPeer | None, ...]]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Start everything, send one message a row, and wait until each has been attempted."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp")))
        folder.chmod(0o711)
        pair = make_pair(folder / "tls")
        peers, zone = _peers(stack, port, pair)
        dns = stack.enter_context(Nsd(folder, zone))
        instance = Instance(folder / "house", _parameters(dns, port))
        stack.callback(instance.close)
        instance.start()
        for row in ROWS:
            with instance.smtp() as client:
                recipients = [f"{user}@{row}.example.test" for user in ("one", "two")]
                client.greeted().mail("alice@posthouse.test", recipients, BODY)
        wait_until(
            lambda: len({record["to"] for record in _outcomes(instance)}) == 2 * len(ROWS),
            "an outcome for each recipient",
            timeout=60.0,
        )
        yield House(instance, peers)


def _outcomes(instance: Instance) -> list[dict[str, object]]:
    return [it for it in instance.log_records("delivery") if ".example.test" in str(it["to"])]


def _parameters(dns: Nsd, port: int) -> dict[str, object]:
    stages = ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset")
    return {
        "dns_servers": [dns.address],
        "smtp_tcp_port": port,
        "smtp_starttls_timeout": SHORT,
        "minimal_backoff_time": "1h",
        **{f"smtp_{stage}_timeout": SHORT for stage in stages},
    }


def _peers(
    stack: contextlib.ExitStack, port: int, pair: Pair
) -> tuple[dict[str, tuple[SmtpPeer | None, ...]], str]:
    """Each row's hosts, at addresses of their own, and the zone that names them."""
    lines, peers, number = [], {}, 0
    for row in ROWS:
        opened: list[SmtpPeer | None] = []
        for index, peer in enumerate(row.peers):
            number += 1
            address = f"127.0.{1 + number // 250}.{1 + number % 250}"
            lines.append(f"{row} IN MX {peer.preference} mx{index}.{row}")
            lines.append(f"mx{index}.{row} IN A {address}")
            if peer.script is None:
                opened.append(None)
                continue
            made = SmtpPeer(peer.script, host=address, port=port, certificate=pair)
            opened.append(stack.enter_context(made))
        peers[row.name] = tuple(opened)
    return peers, HEAD + "\n".join([*lines, ""])


@pytest.mark.requires("nsd")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_recipient_has_the_right_outcome(house: House, row: Row) -> None:
    second = (row.outcome, row.dsn) if row.second == ("", "") else row.second
    for user, (outcome, dsn) in (("one", (row.outcome, row.dsn)), ("two", second)):
        (record,) = house.instance.log_records("delivery", to=f"{user}@{row}.example.test")
        assert (record["status"], record["dsn"]) == (outcome, dsn or record["dsn"]), record["text"]
        assert row.text in str(record["text"]) or user == "two"
    for peer, count in zip(house.peers[row.name], row.taken, strict=False):
        assert len(peer.messages if peer is not None else ()) == count
        for message in peer.messages if peer is not None else ():
            assert message.content.endswith(BODY)
            assert message.tls == row.encrypted


@pytest.mark.requires("nsd")
def test_the_senders_are_told_of_what_bounced(house: House) -> None:
    bounced = {str(it["queue_id"]) for it in _outcomes(house.instance) if it["status"] == BOUNCED}
    wait_until(
        lambda: {it["queue_id"] for it in house.instance.log_records("reported")} >= bounced,
        "a report of each message with bounced recipients",
    )
    house.instance.maildir("alice").wait(len(bounced))


@pytest.mark.requires("nsd")
def test_tls_is_told_in_the_log(house: House) -> None:
    (record,) = house.instance.log_records("tls", relay=str(_relay(house, "tls")))
    assert "TLSv1.3 with cipher" in str(record["tls"])


def _relay(house: House, row: str) -> object:
    (record,) = house.instance.log_records("delivery", to=f"one@{row}.example.test")
    return record["relay"]


@pytest.mark.parametrize(
    ("script", "outcome", "dsn"),
    [
        (Tls(), SENT, "2.0.0"),
        (Script(), DEFERRED, "4.7.4"),
        (Tls(starttls="454 4.7.0 not now"), DEFERRED, "4.7.4"),
        # Whether that comes with the 220 or behind it is the network's affair.
        (Tls(handshake=GARBAGE), DEFERRED, ""),
    ],
)
def test_mail_that_must_be_encrypted_is_or_waits(
    new_instance: NewInstance, short_path: Path, script: Script, outcome: str, dsn: str
) -> None:
    with SmtpPeer(script, certificate=make_pair(short_path / "tls")) as peer:
        instance = new_instance(
            {"relayhost": f"[127.0.0.1]:{peer.port}", "smtp_tls_security_level": "encrypt"}
        )
        instance.start()
        with instance.smtp() as client:
            client.greeted().mail("alice@posthouse.test", ["bob@elsewhere.test"], BODY)
        record = instance.wait_log("delivery", to="bob@elsewhere.test")
        assert (record["status"], record["dsn"]) == (outcome, dsn or record["dsn"]), record["text"]
        assert all(message.tls for message in peer.messages)
