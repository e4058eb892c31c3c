"""10,000 messages to 500 destinations of which 100 are dead: the live ones are not held up."""

import threading
from collections import Counter
from pathlib import Path

import pytest
from support.dialogue import Dialogue
from support.dns_server import HEAD, Nsd
from support.instance import Instance, NewInstance
from support.ports import free_port
from support.smtp_sink import SilentListener, SmtpSink
from support.waiting import wait_until

DESTINATIONS = 500
SILENT = frozenset(range(3, DESTINATIONS, 10))  # they accept, and say nothing for ever
REFUSED = frozenset(range(7, DESTINATIONS, 10))  # nobody listens
MESSAGES = 10_000
CLIENTS = 4

LIVE_ADDRESS, SILENT_ADDRESS, REFUSED_ADDRESS = "127.0.0.2", "127.0.0.3", "127.0.0.4"


@pytest.mark.requires("nsd", "smtp-sink")
@pytest.mark.timeout(300)
def test_dead_destinations_hold_up_nobody(new_instance: NewInstance, short_path: Path) -> None:
    port = free_port()
    dead = SILENT | REFUSED
    live = MESSAGES - MESSAGES // DESTINATIONS * len(dead)
    with (
        Nsd(short_path, _zone()) as dns,
        SmtpSink(short_path / "sink.out", LIVE_ADDRESS, port) as sink,
        SilentListener(SILENT_ADDRESS, port),
    ):
        instance = new_instance(
            {
                "dns_servers": [dns.address],
                "smtp_tcp_port": port,
                # Longer than the test may last: what waits for these waits for ever.
                "smtp_helo_timeout": "1h",
                "minimal_backoff_time": "1h",
            }
        )
        instance.start()
        _send_all(instance)
        wait_until(lambda: sink.messages >= live, f"{live} messages at the sink", timeout=200)
        _check(instance, live)


def _check(instance: Instance, live: int) -> None:
    """Live mail arrived once; all mail to dead hosts waits, most of it without an attempt."""
    wait_until(
        lambda: len(instance.log_records("delivery", status="sent")) >= live, "the last record"
    )
    sent = Counter(
        str(record["to"]).partition("@")[2]
        for record in instance.log_records("delivery", status="sent")
    )
    assert set(sent.values()) == {MESSAGES // DESTINATIONS}
    assert len(sent) == DESTINATIONS - len(SILENT | REFUSED)
    suspended = [str(it["destination"]) for it in instance.log_records("suspended")]
    assert {_number(domain) for domain in suspended} == REFUSED
    assert len(instance.messages("deferred")) >= MESSAGES // DESTINATIONS * len(REFUSED)
    assert len(instance.messages("incoming", "deferred")) == MESSAGES - live


def _zone() -> str:
    hosts = (("live", LIVE_ADDRESS), ("silent", SILENT_ADDRESS), ("refused", REFUSED_ADDRESS))
    lines = [f"{name} IN A {address}" for name, address in hosts]
    for number in range(DESTINATIONS):
        kind = "silent" if number in SILENT else "refused" if number in REFUSED else "live"
        lines.append(f"d{number} IN MX 10 {kind}")
    return HEAD + "\n".join([*lines, ""])


def _number(destination: str) -> int:
    return int(destination.partition(".")[0].removeprefix("d"))


def _send_all(instance: Instance) -> None:
    """Hand all messages in, mixed over all destinations, from a few clients at once."""
    failures: list[Exception] = []

    def send(client: int) -> None:
        try:
            with instance.smtp(timeout=60.0) as session:
                session.greeted()
                for number in range(client, MESSAGES, CLIENTS):
                    _send(session, f"user{number}@d{number % DESTINATIONS}.example.test")
        except (OSError, EOFError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def _send(session: Dialogue, recipient: str) -> None:
    session.send("MAIL FROM:<alice@posthouse.test>", f"RCPT TO:<{recipient}>", "DATA")
    for code in (250, 250, 354):
        session.expect(code)
    session.send_octets(b"Subject: one of many\r\n\r\nHello.\r\n.\r\n")
    session.expect(250)
