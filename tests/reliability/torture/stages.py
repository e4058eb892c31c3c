"""The stages at which daemons are killed: a row, and a system call or a log record of its work.

At a call: strace kills the process as it enters one of `calls`; which of them is left to chance,
and what was struck is told by the call as strace shows it: the first stage of the row whose pattern
it matches. At a record: the process is killed when the log has the record.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["MASTER", "ROWS", "STAGES", "AtCall", "AtRecord", "Stage", "classify"]

MASTER: Final = "supervisord"


@dataclass(frozen=True)
class AtCall:
    """A death at the entry of a system call."""

    row: str
    event: str
    calls: str  # strace's names, comma-separated
    pattern: str  # of the call, as a regular expression
    most: int = 8  # the kill is at one of the first so many calls

    def __str__(self) -> str:
        return f"{self.row}: {self.event}"


@dataclass(frozen=True)
class AtRecord:
    """A death when the row's process has written this record."""

    row: str
    event: str

    def __str__(self) -> str:
        return f"{self.row}: has logged {self.event}"


Stage = AtCall | AtRecord

_SMTPD: Final = (
    AtCall("smtp", "takes a connection", "accept4", r"accept4\("),
    AtCall("smtp", "greets", "write", r'"220 '),
    AtCall("smtp", "answers EHLO", "write", r'"250-'),
    AtCall("smtp", "answers the envelope", "write", r'"250 2\.1\.', 20),
    AtCall("smtp", "asks for content", "write", r'"354 ', 20),
    AtCall("smtp", "acknowledges", "write", r'"250 2\.0\.0 ', 20),
    AtCall("smtp", "reads from its client", "read", r"read\(\d+<(TCP|socket)", 20),
    AtCall("smtp", "asks for a route", "sendto", r"Resolve"),
    AtCall("smtp", "sends a message to cleanup", "sendto", r"Begin"),
    AtCall("smtp", "sends more of it", "sendto", r"More"),
    AtCall("smtp", "hears from another daemon", "recvmsg", r"recvmsg\("),
    AtCall("smtp", "connects to another daemon", "connect", r"private/"),
    AtCall("smtp", "writes its log", "write", r"pipe:", 20),
)
_CLEANUP: Final = (
    AtCall("cleanup", "takes a connection", "accept4", r"accept4\("),
    AtCall("cleanup", "reads a frame", "recvmsg", r"recvmsg\(", 20),
    AtCall("cleanup", "creates a file", "openat", r"incoming/.*O_CREAT"),
    AtCall("cleanup", "writes a file", "writev", r"incoming/"),
    AtCall("cleanup", "patches the head in", "pwrite64", r"incoming/", 2),
    AtCall("cleanup", "makes a file complete", "fchmod", r"0700"),
    AtCall("cleanup", "flushes a file", "fsync", r"incoming/"),
    AtCall("cleanup", "closes a file", "close", r"incoming/", 20),
    AtCall("cleanup", "acknowledges", "sendto", r"Committed", 10),
    AtCall("cleanup", "tells the queue manager", "sendto", r"Arrived", 10),
    AtCall("cleanup", "drops a file", "unlink,unlinkat", r"incoming/", 1),
)
_REWRITE: Final = (
    AtCall("rewrite", "takes a connection", "accept4", r"accept4\(", 2),
    AtCall("rewrite", "reads a question", "recvmsg", r"recvmsg\("),
    AtCall("rewrite", "answers", "sendto", r"Resolved"),
)
_QMGR: Final = (
    AtCall("qmgr", "takes a connection", "accept4", r"accept4\(", 2),
    AtCall("qmgr", "reads a frame", "recvmsg", r"recvmsg\(", 30),
    AtCall("qmgr", "opens a file", "openat", r"incoming/\w/\w+\".*O_RDONLY", 20),
    AtCall("qmgr", "opens a deferred file", "openat", r"deferred/\w/\w+\".*O_RDONLY", 20),
    AtCall("qmgr", "locks a file", "flock", r"LOCK_", 20),
    AtCall("qmgr", "asks for a route", "sendto", r"Resolve", 20),
    AtCall("qmgr", "hands a message over", "sendmsg", r"Deliver", 20),
    AtCall("qmgr", "asks for a report", "sendmsg", r"Report", 10),
    AtCall("qmgr", "opens a journal", "openat", r"O_WRONLY.*O_APPEND", 20),
    AtCall("qmgr", "writes a journal", "write", r"(incoming|deferred)/", 40),
    AtCall("qmgr", "sets a time", "utimensat", r"utimensat\("),
    AtCall("qmgr", "moves a file", "rename,renameat,renameat2", r"rename"),
    AtCall("qmgr", "removes a file", "unlink,unlinkat", r"(incoming|deferred)/", 20),
    AtCall("qmgr", "scans a folder", "getdents64", r"getdents64\(", 60),
    AtCall("qmgr", "closes a file", "close", r"(incoming|deferred)/", 40),
)
_VIRTUAL: Final = (
    AtCall("virtual", "takes a connection", "accept4", r"accept4\(", 2),
    AtCall("virtual", "reads a request", "recvmsg", r"recvmsg\("),
    AtCall("virtual", "reads the content", "pread64", r"(incoming|deferred)/"),
    AtCall("virtual", "creates a file", "openat", r"/tmp>.*O_CREAT"),
    AtCall("virtual", "writes a file", "write", r"/tmp/\d+\.M", 10),
    AtCall("virtual", "flushes a file", "fsync", r"/tmp/\d+\.M", 6),
    AtCall("virtual", "shows a file", "renameat", r"/tmp>"),
    AtCall("virtual", "flushes a folder", "fsync", r"/new>", 6),
    AtCall("virtual", "answers", "sendto", r"Outcomes"),
)
_OUTBOUND: Final = (
    AtCall("outbound", "takes a connection", "accept4", r"accept4\(", 2),
    AtCall("outbound", "reads a frame", "recvmsg", r"recvmsg\("),
    AtCall("outbound", "asks for mail hosts", "sendto", r"FindMailHosts", 4),
    AtCall("outbound", "connects to the host", "connect", r"127\.0\.0\.2", 2),
    AtCall("outbound", "says EHLO", "write", r"EHLO ", 10),
    AtCall("outbound", "sends the envelope", "write", r"MAIL FROM", 10),
    AtCall("outbound", "sends content", "write", r'"(Received|\.|\w[\w. ]*\\r)', 10),
    AtCall("outbound", "reads the content", "pread64", r"(incoming|deferred)/"),
    AtCall("outbound", "reads a reply", "read", r"127\.0\.0\.2|read\(", 12),
    AtCall("outbound", "answers", "sendto", r"Outcomes"),
)
_OTHERS: Final = (
    AtCall("resolver", "reads a question", "recvmsg", r"recvmsg\(", 2),
    AtCall("resolver", "answers", "sendto", r"MailHosts", 2),
    AtCall("bounce", "reads a request", "recvmsg", r"recvmsg\(", 4),
    AtCall("bounce", "reads the file", "pread64", r"(incoming|deferred)/"),
    AtCall("bounce", "sends the report to cleanup", "sendto", r"Begin", 4),
    AtCall("bounce", "answers", "sendto", r"Reported", 4),
    AtCall("discard", "reads a request", "recvmsg", r"recvmsg\(", 2),
    AtCall("discard", "answers", "sendto", r"Outcomes", 2),
    AtCall("log", "reads records", "readv", r"readv\("),
    AtCall("log", "writes records", "write", r"mail\.log"),
)
_MASTER: Final = (
    AtCall(MASTER, "starts a process", "clone,clone3,fork,vfork", r"clone|fork", 3),
    AtCall(MASTER, "hands listeners over", "sendmsg", r"sendmsg\(", 3),
    AtCall(MASTER, "hears from a daemon", "recvmsg,recvfrom", r"recv", 20),
    AtCall(MASTER, "waits", "poll,epoll_wait", r"poll|epoll", 20),
    AtCall(MASTER, "collects a dead child", "wait4", r"wait4\(", 4),
)
_RECORDS: Final = (
    AtRecord("smtp", "connect"),
    AtRecord("smtp", "accepted"),
    AtRecord("cleanup", "committed"),
    AtRecord("qmgr", "active"),
    AtRecord("qmgr", "deferred"),
    AtRecord("qmgr", "reported"),
    AtRecord("qmgr", "removed"),
    AtRecord("virtual", "delivery"),
    AtRecord("outbound", "delivery"),
    AtRecord("discard", "delivery"),
)

STAGES: Final[tuple[Stage, ...]] = (
    *_SMTPD,
    *_CLEANUP,
    *_REWRITE,
    *_QMGR,
    *_VIRTUAL,
    *_OUTBOUND,
    *_OTHERS,
    *_RECORDS,
    *_MASTER,
)
ROWS: Final = tuple(dict.fromkeys(stage.row for stage in STAGES))


def classify(row: str, call: str) -> Stage | None:
    """The stage of a row that this call belongs to; None where it is none of them."""
    for stage in STAGES:
        if isinstance(stage, AtCall) and stage.row == row:
            name = call.partition("(")[0]
            if name in stage.calls.split(",") and re.search(stage.pattern, call):
                return stage
    return None
