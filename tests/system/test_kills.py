"""Each daemon of the path in is killed at each event of a message; nothing acknowledged is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.instance import Instance, NewInstance
from support.kills import Stage, strike
from support.load import Ledger
from support.tracing import Kill

STREAMED = 300_000  # octets: more than one frame, and more than cleanup keeps in memory


STAGES = (
    Stage("smtp", "connect", Kill("accept4"), "accept4("),
    Stage("smtp", "before the greeting", Kill("write", 2), "220 "),
    Stage("smtp", "before MAIL", Kill("read", 2), "read("),
    Stage("smtp", "before the answer to RCPT", Kill("write", 5), "250 2.1.5"),
    Stage("smtp", "before the content", Kill("read", 5), "read("),
    Stage("smtp", "mid-content", Kill("sendto", 6), "More", STREAMED),
    Stage("smtp", "commit not yet heard of", Kill("recvmsg", 2), "recvmsg("),
    Stage("smtp", "before the answer", Kill("write", 8), "250 2.0.0"),
    Stage("smtp", "after the answer", Kill("read", 6), "read("),
    Stage("cleanup", "connect", Kill("accept4"), "accept4("),
    Stage("cleanup", "before the envelope", Kill("recvmsg"), "recvmsg("),
    Stage("cleanup", "mid-content", Kill("recvmsg", 6), "recvmsg(", STREAMED),
    Stage("cleanup", "before the file", Kill("openat"), "incoming/"),
    Stage("cleanup", "before its octets", Kill("writev"), "incoming/"),
    Stage("cleanup", "before it is complete", Kill("fchmod"), "0700"),
    Stage("cleanup", "streamed, before it is complete", Kill("fchmod"), "0700", STREAMED),
    Stage("cleanup", "before the commit", Kill("fsync"), "incoming/"),
    Stage("cleanup", "after the commit", Kill("write"), "eventfd"),
    Stage("cleanup", "before the answer", Kill("sendto", 2), "Committed"),
    Stage("cleanup", "after the answer, before the notification", Kill("connect"), "qmgr"),
    Stage("rewrite", "before the question", Kill("recvmsg"), "recvmsg("),
    Stage("rewrite", "before the answer", Kill("sendto", 2), "Resolved"),
    Stage("qmgr", "connect", Kill("accept4"), "accept4("),
    Stage("qmgr", "before the notification", Kill("recvmsg"), "recvmsg("),
    Stage("qmgr", "before it opens the file", Kill("openat"), "incoming/"),
    Stage("qmgr", "before it locks the file", Kill("flock"), "LOCK_EX"),
    Stage("qmgr", "before the route", Kill("connect"), "rewrite"),
    Stage("qmgr", "before the request", Kill("sendmsg"), "Deliver"),
    Stage("qmgr", "before it removes the file", Kill("unlink,unlinkat"), "incoming/"),
    Stage("qmgr", "after it removed the file", Kill("write", 2), "removed"),
    Stage("virtual", "connect", Kill("accept4"), "accept4("),
    Stage("virtual", "before the request", Kill("recvmsg"), "recvmsg("),
    Stage("virtual", "before it reads the content", Kill("pread64"), "incoming/"),
    Stage("virtual", "before the mailbox exists", Kill("mkdirat"), "posthouse.test"),
    Stage("virtual", "before the file's octets", Kill("write"), "/tmp/"),
    Stage("virtual", "mid-file", Kill("write", 2), "/tmp/", STREAMED),
    Stage("virtual", "before the file's fsync", Kill("fsync", 6), "/tmp/"),
    Stage("virtual", "before the rename", Kill("renameat"), "/tmp>"),
    Stage("virtual", "after the rename", Kill("fsync", 7), "/new>"),
    Stage("virtual", "after the folder's fsync", Kill("write", 2), "eventfd"),
    Stage("virtual", "before the answer", Kill("sendto", 2), "Outcomes"),
    Stage("log", "before the records", Kill("readv"), "pipe:"),
    Stage("log", "before they are written", Kill("write"), "mail.log"),
)


@pytest.mark.requires("strace")
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_a_kill_loses_nothing(
    new_instance: NewInstance,
    short_path: Path,
    record_property: Callable[[str, object], None],
    stage: Stage,
) -> None:
    # Where cleanup dies qmgr may hear of nothing, and finds the message by its scan. Elsewhere
    # the scan's system calls shall not be mistaken for those of the message.
    scan = "2s" if stage.service == "cleanup" else "60s"
    instance = _all_ready(new_instance, scan)
    ledger = Ledger(instance, "bob")
    strike(instance, stage, ledger, short_path / "trace", record_property)
    with instance.smtp(timeout=30.0) as client:
        ledger.send(client.greeted(), "after")
    copies = ledger.wait_delivered()
    assert copies.pop("after") == 1
    assert copies.get(str(stage), 0) <= 2, "one crash made more than one extra copy"


def _all_ready(new_instance: NewInstance, scan: str) -> Instance:
    """A system with one process of each row, each of them without a client yet."""
    rows = ("smtp", "cleanup", "rewrite", "virtual")
    instance = new_instance(
        {
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "queue_run_delay": scan,
        },
        {row: {"min_free": 1, "numprocs": 1} for row in rows},
    )
    instance.start()
    ready = {*rows, "qmgr", "log"}
    instance.wait_status(
        lambda status: all(
            row["state"] == "running" for row in status["services"] if row["name"] in ready
        ),
        "all rows ready",
    )
    return instance
