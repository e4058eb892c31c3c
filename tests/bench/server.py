"""The seam between what is measured and who is measured.

The law: an experiment knows a server by this contract alone, so both are treated alike. Each runs
in its own folder on the same disk with its own defaults; mail for `SINK_DOMAIN` goes on to the
sink, mail for `BOX_DOMAIN` into a Maildir.
"""

from pathlib import Path
from typing import Protocol

from support.waiting import wait_until

from bench.figures import ServerName

__all__ = ["BOX_DOMAIN", "SINK_DOMAIN", "TABLE_PARAMETERS", "BenchError", "Server", "wait_empty"]

SINK_DOMAIN = "sink.test"
BOX_DOMAIN = "box.test"
TABLE_PARAMETERS = ("canonical_maps", "virtual_alias_maps", "sender_bcc_maps", "transport_maps")
_PATIENCE = 90.0  # seconds until a queue is empty


class BenchError(Exception):
    """A measurement that has no result; the text tells why."""


class Server(Protocol):
    """A mail server that can be started, asked for its processes, and stopped."""

    name: ServerName
    version: str
    directory: Path  # all that it writes
    port: int  # of SMTP on 127.0.0.1

    def start(self) -> None:
        """Start it; it may return before mail is taken. BenchError when it does not start."""

    def stop(self) -> None:
        """Stop it and wait until no process is left; nothing happens when none runs."""

    @property
    def master(self) -> int:
        """The root of its process tree; BenchError when it does not run."""

    def daemons(self) -> dict[int, str]:
        """Its living processes by pid, named by their daemon: smtpd, cleanup, qmgr, master ..."""

    def end_listeners(self) -> None:
        """Have the processes that serve SMTP end, as after their idle time."""

    def waiting(self) -> int:
        """How many messages wait for their first attempt or are being attempted."""

    def maildir(self) -> Path:
        """The mailbox of all users of `BOX_DOMAIN`; it may not exist yet."""

    def use_table(self, table: str) -> None:
        """Look addresses up in this table, TYPE:NAME, or in none if it is empty."""

    def fill(self, count: int) -> None:
        """Put so many messages into the deferred queue, not due for a day; it must not run."""

    def empty(self) -> None:
        """Remove all deferred messages; it must not run."""


def wait_empty(server: Server) -> None:
    """Wait until all mail has left the queue, so that its work is not counted for the next run."""
    try:
        wait_until(lambda: server.waiting() == 0, f"an empty queue of {server.name}", _PATIENCE)
    except AssertionError as error:
        raise BenchError(str(error)) from error
