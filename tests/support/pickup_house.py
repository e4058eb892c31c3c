"""pickup with its real socket and maildrop; its master, rewrite and cleanup are played by the test.

with ExitStack() as stack:
    house = Pickup(directory, stack)
    drop(house.maildrop)
    house.wake()
    wait_until(house.committed, "a message")
"""

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mta.ipc.messages import Committed, Message, PickupReply
from mta.master.channel import Command, Crossing
from mta.queue.layout import create_layout
from support.cleanup_house import Peer
from support.own_master import DaemonProcess, write_snapshot
from support.smtpd_house import Cleanup, Rewrite, Submission

__all__ = ["Pickup"]


class _Cleanup(Cleanup):
    """Refuses mail, and takes reports all the same."""

    def _verdict(self, submission: Submission) -> Message:
        if not submission.begin.origin.protocol:
            return Committed("R" * 22)
        reply = super()._verdict(submission)
        submission.complete = isinstance(reply, Committed)
        return reply


class Pickup:
    """The daemon, its neighbours, and the master's side of it; `start` it, once or again."""

    def __init__(self, directory: Path, stack: ExitStack, **parameters: object) -> None:
        self.directory = directory
        self.maildrop = Path(str(parameters.get("maildrop_directory", directory / "maildrop")))
        self._stack = stack
        create_layout(str(directory))
        row = {"name": "pickup", "daemon": "pickup", "client_limit": 50}
        settings = {"mydestination": ["posthouse.test"], **parameters}
        snapshot = write_snapshot(directory, row, parameters=settings)
        rewrite = Rewrite(directory / "private/rewrite", snapshot)
        stack.callback(rewrite.close)
        self.cleanup = _Cleanup(directory / "private/cleanup")
        stack.callback(self.cleanup.close)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.enter_context(self._listener)
        self._listener.bind(str(directory / "public/pickup"))
        self._listener.listen()
        (directory / "public/pickup").chmod(0o666)
        self.daemon: DaemonProcess

    def start(self) -> None:
        listeners = [("ipc:public/pickup", self._listener.fileno())]
        self.daemon = DaemonProcess(
            ["-m", "mta.daemons.pickup"], self.directory, listeners, service="pickup"
        )
        self._stack.enter_context(self.daemon)
        assert self.daemon.hear() == Crossing("free"), self.daemon.log()

    def wake(self) -> None:
        self.daemon.tell(Command("wake"))

    def connect(self) -> Peer:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stack.enter_context(connection)
        connection.connect(str(self.directory / "public/pickup"))
        return Peer(connection, PickupReply)

    def committed(self) -> list[Submission]:
        """The messages that cleanup has taken."""
        return [each for each in self.cleanup.submissions if each.complete]

    def files(self) -> set[str]:
        """What lies in the maildrop."""
        return set(os.listdir(self.maildrop))

    def corrupt(self) -> list[Path]:
        """What was set aside."""
        return list((self.directory / "corrupt").glob("*/*"))

    def events(self, event: str) -> list[dict[str, Any]]:
        return self.daemon.events(event)
