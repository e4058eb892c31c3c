"""One delivery agent as a real process, and a client that plays the queue manager.

with ExitStack() as stack:
    bench = DeliveryBench(folder, stack, "pipe", {"pipe_command": ["/bin/cat"]})
    (outcome,) = bench.deliver("bob@posthouse.test")
"""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from mta.ipc.messages import Deliver, DeliverRecipient, Outcome, Outcomes
from mta.master.channel import Crossing
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.queue.format import Body, encode_envelope, encode_head
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import ask, listen_ipc

__all__ = ["QUEUE_ID", "DeliveryBench"]

QUEUE_ID = "0" * 22
ORIGIN = Origin("ESMTP", "192.0.2.7", 40123, "client.example", "smtp")


class DeliveryBench:
    """`command` is what is run in place of the daemon's module."""

    def __init__(
        self,
        directory: Path,
        stack: ExitStack,
        daemon: str,
        parameters: Mapping[str, object],
        command: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        address = f"ipc:private/{daemon}"
        row = {"name": daemon, "daemon": daemon, "listen": [address]}
        given = {"myhostname": "mx.posthouse.test", **parameters}
        write_snapshot(directory, row, parameters=given)
        listener = stack.enter_context(listen_ipc(directory, f"private/{daemon}"))
        self.daemon = stack.enter_context(
            DaemonProcess(
                command or ["-m", f"mta.daemons.{daemon}"],
                directory,
                [(address, listener.fileno())],
                service=daemon,
                environment=environment,
            )
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self._client.settimeout(30)
        self._client.connect(str(directory / "private" / daemon))
        self._number = 0

    def deliver(
        self,
        *recipients: str,
        sender: str = "sender@example.org",
        content: bytes = b"A: 1\r\n\r\nhi\r\n",
        missing: int = 0,
        nexthop: str = "posthouse.test",
    ) -> list[Outcome]:
        """The outcomes; the queue file is `missing` octets short."""
        people = tuple(Recipient(to, to.title()) for to in recipients)
        encoded = encode_envelope(Envelope(sender, people, ORIGIN, 1.0, False))
        head = encode_head(QUEUE_ID, Body(len(encoded), len(content))) + encoded
        path = self.directory / "queue-file"
        path.write_bytes(head + content)
        request = Deliver(
            QUEUE_ID,
            sender,
            tuple(DeliverRecipient(n, it.address, it.original) for n, it in enumerate(people)),
            nexthop,
            time.time() - 2,
            len(head),
            len(content) + missing,
        )
        self._number += 1
        with path.open("rb") as file:
            reply = ask(self._client, self._number, request, Outcomes, [file.fileno()])
        return list(reply.outcomes)
