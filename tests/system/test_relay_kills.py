"""Each daemon of the way out is killed at each event of a message; what was acknowledged arrives.

Two ways: mail to another host, found through the DNS; and mail that bounces, whose sender is told.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.dns_server import HEAD, ScriptedDns
from support.instance import Instance, NewInstance
from support.kills import Stage, strike
from support.load import Ledger, message
from support.smtp_peer import SmtpPeer
from support.tracing import Kill
from support.waiting import wait_until

STREAMED = 300_000  # octets: more than the socket takes at once
ZONE = HEAD + "@ IN MX 10 mx\nmx IN A 127.0.0.2\n"

RELAYED = (
    Stage("outbound", "connect", Kill("accept4"), "accept4("),
    Stage("outbound", "before the request", Kill("recvmsg"), "recvmsg("),
    Stage("outbound", "before the question", Kill("sendto", 2), "FindMailHosts"),
    Stage("outbound", "before the answer to that", Kill("recvmsg", 2), "recvmsg("),
    Stage("outbound", "before it connects to the host", Kill("connect", 2), "127.0.0.2"),
    Stage("outbound", "before EHLO", Kill("write"), "EHLO "),
    Stage("outbound", "before the envelope", Kill("write", 2), "MAIL FROM"),
    Stage("outbound", "before the content", Kill("pread64"), "incoming/"),
    Stage("outbound", "before the end of the content", Kill("write", 3), "Subject"),
    Stage("outbound", "mid-content", Kill("pread64", 3), "incoming/", STREAMED),
    Stage("outbound", "before the host's 250", Kill("read", 4), "read("),
    Stage("outbound", "after the host's 250", Kill("write", 4), "delivery"),
    Stage("outbound", "before the outcomes", Kill("sendto", 3), "Outcomes"),
    Stage("resolver", "connect", Kill("accept4"), "accept4("),
    Stage("resolver", "before the request", Kill("recvmsg"), "recvmsg("),
    Stage("resolver", "before the question", Kill("sendmsg,sendmmsg"), "example"),
    Stage("resolver", "before its answer", Kill("sendto", 2), "MailHosts"),
    Stage("qmgr", "before the outcomes", Kill("recvmsg", 3), "recvmsg("),
    Stage("qmgr", "before it removes the file", Kill("unlink,unlinkat"), "incoming/"),
)
BOUNCED = (
    Stage("error", "before the request", Kill("recvmsg"), "recvmsg("),
    Stage("error", "before the outcomes", Kill("sendto", 2), "Outcomes"),
    Stage("qmgr", "before the outcomes are on the file", Kill("write", 2), "Attempted"),
    Stage("qmgr", "before it asks for the report", Kill("sendmsg", 2), "Report"),
    Stage("qmgr", "after the report, before it removes the file", Kill("unlink,unlinkat"), "/0"),
    Stage("bounce", "connect", Kill("accept4"), "accept4("),
    Stage("bounce", "before the request", Kill("recvmsg"), "recvmsg("),
    Stage("bounce", "before it reads the file", Kill("pread64"), "incoming/"),
    Stage("bounce", "before it asks for the address", Kill("connect"), "rewrite"),
    Stage("bounce", "before the report", Kill("sendto", 3), "Begin"),
    Stage("bounce", "before the commit is heard of", Kill("recvmsg", 4), "recvmsg("),
    Stage("bounce", "after the commit, before the answer", Kill("sendto", 4), "Reported"),
)


@pytest.mark.requires("strace")
@pytest.mark.parametrize("stage", RELAYED, ids=str)
def test_a_kill_on_the_way_out_loses_nothing(
    new_instance: NewInstance,
    short_path: Path,
    record_property: Callable[[str, object], None],
    stage: Stage,
) -> None:
    with SmtpPeer(host="127.0.0.2") as peer, ScriptedDns(ZONE) as dns:
        instance = _ready(
            new_instance,
            {"dns_servers": [dns.address], "smtp_tcp_port": peer.port},
            ("smtp", "cleanup", "rewrite", "outbound", "resolver"),
        )
        ledger = Ledger(instance, "bob", "example.test")
        strike(instance, stage, ledger, short_path / "trace", record_property)
        with instance.smtp(timeout=30.0) as client:
            ledger.send(client.greeted(), "after")

        def copies() -> dict[str, int]:
            return _copies([each.content for each in peer.messages])

        wait_until(lambda: set(copies()) >= set(ledger.acknowledged), "all mail", 30.0)
        wait_until(lambda: not instance.messages(), "an empty queue", 30.0)
        assert copies().pop("after") == 1
        assert copies().get(str(stage), 0) <= 2, "one crash made more than one extra copy"


@pytest.mark.requires("strace")
@pytest.mark.parametrize("stage", BOUNCED, ids=str)
def test_a_kill_on_the_way_back_loses_no_report(
    new_instance: NewInstance,
    short_path: Path,
    record_property: Callable[[str, object], None],
    stage: Stage,
) -> None:
    instance = _ready(
        new_instance,
        {
            "default_transport": "error:5.1.1 nobody of that name",
            "smtpd_reject_unlisted_recipient": False,
        },
        ("smtp", "cleanup", "rewrite", "error", "bounce", "virtual"),
    )
    ledger = Ledger(instance, "bob", "example.test", sender="alice@posthouse.test")
    strike(instance, stage, ledger, short_path / "trace", record_property)
    assert ledger.acknowledged == [str(stage)]

    def reports() -> int:
        return len(instance.maildir("alice").messages())

    wait_until(lambda: reports() >= 1, "the report", 30.0)
    wait_until(lambda: not instance.messages(), "an empty queue", 30.0)
    assert reports() <= 2, "one crash made more than one extra report"


def _ready(
    new_instance: NewInstance, parameters: dict[str, object], rows: tuple[str, ...]
) -> Instance:
    """A system with one process of each of these rows, none of which has had a client yet."""
    instance = new_instance(
        {
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "queue_run_delay": "60s",
            **parameters,
        },
        {row: {"min_free": 1, "numprocs": 1} for row in rows},
    )
    instance.start()
    for row in (*rows, "qmgr", "log"):
        instance.wait_service(row, state="running")
    return instance


def _copies(contents: list[bytes]) -> dict[str, int]:
    """How often each mark was received."""
    found: dict[str, int] = {}
    for content in contents:
        subject = content.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode()
        assert content.endswith(message(subject)[-70:]), "a message was cut short"
        found[subject] = found.get(subject, 0) + 1
    return found
