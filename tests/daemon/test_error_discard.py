"""The delivery agents that deliver nothing, as real processes: error refuses, discard forgets."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import ask, listen_ipc

from mta.ipc.messages import Deliver, DeliverRecipient, Outcome, Outcomes
from mta.master.channel import Crossing
from mta.proto.status import Disposition, Status

DELIVERED, DEFERRED = Disposition.DELIVERED, Disposition.DEFERRED
BOUNCED = Disposition.BOUNCED


class Bench:
    """One agent and a client that plays the queue manager."""

    def __init__(self, directory: Path, stack: ExitStack, daemon: str, row: str = "") -> None:
        path = f"private/{row or daemon}"
        fields = {"name": row or daemon, "daemon": daemon, "listen": [f"ipc:{path}"]}
        write_snapshot(directory, fields)
        listener = stack.enter_context(listen_ipc(directory, path))
        self.daemon = stack.enter_context(
            DaemonProcess(
                ["-m", f"mta.daemons.{daemon}"],
                directory,
                [(f"ipc:{path}", listener.fileno())],
                service=row or daemon,
            )
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self._client.settimeout(10)
        self._client.connect(str(directory / path))
        self._number = 0

    def deliver(self, nexthop: str, recipients: int = 1) -> tuple[Outcome, ...]:
        """The outcomes of a message whose queue file no such agent looks at."""
        self._number += 1
        request = Deliver(
            "0" * 22,
            "sender@example.org",
            tuple(DeliverRecipient(n, f"user{n}@posthouse.test", "") for n in range(recipients)),
            nexthop,
            time.time(),
            0,
            1 << 40,
        )
        with open("/dev/null", "rb") as file:
            return ask(self._client, self._number, request, Outcomes, [file.fileno()]).outcomes


REASONS = [
    # nexthop, outcome, status
    ("5.1.6 moved away", BOUNCED, Status(550, "5.1.6", "moved away")),
    ("4.3.2 under repair", DEFERRED, Status(450, "4.3.2", "under repair")),
    ("no such host", BOUNCED, Status(550, "5.0.0", "no such host")),
    ("example.org", BOUNCED, Status(550, "5.0.0", "example.org")),
    ("5.7.1", BOUNCED, Status(550, "5.7.1", "undeliverable")),
    ("5.7.1  ", BOUNCED, Status(550, "5.7.1", "undeliverable")),
    ("", BOUNCED, Status(550, "5.0.0", "undeliverable")),
    ("2.0.0 of no use here", BOUNCED, Status(550, "5.0.0", "2.0.0 of no use here")),
    ("5.1.1x y", BOUNCED, Status(550, "5.0.0", "5.1.1x y")),
    ("5.1.1.1 y", BOUNCED, Status(550, "5.0.0", "5.1.1.1 y")),
    ("5.1000.1 y", BOUNCED, Status(550, "5.0.0", "5.1000.1 y")),
    ("\u0665.1.1 y", BOUNCED, Status(550, "5.0.0", "\\u0665.1.1 y")),
]


def test_error_refuses_for_the_reason_that_the_route_gives(short_path: Path) -> None:
    with ExitStack() as stack:
        bench = Bench(short_path, stack, "error")
        for nexthop, disposition, status in REASONS:
            (outcome,) = bench.deliver(nexthop)
            assert outcome == Outcome(0, disposition, status, "none")
        lines = bench.daemon.events("delivery")
        assert len(lines) == len(REASONS)
        assert (lines[0]["status"], lines[0]["dsn"], lines[0]["text"]) == (
            "bounced",
            "5.1.6",
            "moved away",
        )
        assert lines[1]["status"] == "deferred"


def test_a_row_named_retry_lets_mail_wait(short_path: Path) -> None:
    """As in Postfix's master.cf: there the name of the service decides."""
    with ExitStack() as stack:
        bench = Bench(short_path, stack, "error", row="retry")
        (outcome,) = bench.deliver("under repair")
        assert outcome == Outcome(0, DEFERRED, Status(450, "4.0.0", "under repair"), "none")


@pytest.mark.parametrize(
    ("nexthop", "text"), [("the list is closed", "the list is closed"), ("", "discarded")]
)
def test_discard_delivers_to_nobody_and_says_so(short_path: Path, nexthop: str, text: str) -> None:
    with ExitStack() as stack:
        bench = Bench(short_path, stack, "discard")
        (outcome,) = bench.deliver(nexthop)
        assert outcome == Outcome(0, DELIVERED, Status(250, "2.0.0", text), "none")
        (line,) = bench.daemon.events("delivery")
        assert (line["status"], line["relay"], line["text"]) == ("sent", "none", text)


@pytest.mark.parametrize("daemon", ["error", "discard"])
def test_each_recipient_has_an_outcome(short_path: Path, daemon: str) -> None:
    with ExitStack() as stack:
        outcomes = Bench(short_path, stack, daemon).deliver("x" * 255, recipients=50)
        assert [outcome.index for outcome in outcomes] == list(range(50))
