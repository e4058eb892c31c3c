"""One real lookup process; its master and its client are played by the test."""

import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from mta.ipc.connection import encode
from mta.ipc.messages import FRAME_LIMIT, Find, Found, Goodbye, Key, LookupReply, Message, Refused
from mta.master.channel import Crossing
from support.own_master import DaemonProcess, write_snapshot
from support.scripted_service import listen_ipc

__all__ = ["LookupHouse"]

LISTENER = "ipc:private/lookup"
Heard = Found | Refused | Goodbye


class LookupHouse:
    """Has the `parameters`, and a row `other` with these `settings`."""

    def __init__(
        self, parameters: Mapping[str, object], settings: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp")
        directory = Path(self._folder.name)
        row = {"name": "lookup", "daemon": "lookup", "listen": [LISTENER]}
        snapshot = write_snapshot(directory, row, parameters=parameters)
        (first,) = snapshot.services
        other = msgspec.structs.replace(
            first, name="other", daemon="rewrite", listen=(), settings=dict(settings or {})
        )
        both = msgspec.structs.replace(snapshot, services=(first, other))
        (directory / "config" / "1.json").write_bytes(msgspec.json.encode(both))
        self._listener = listen_ipc(directory, "private/lookup")
        self.daemon = DaemonProcess(
            ["-m", "mta.daemons.lookup"],
            directory,
            [(LISTENER, self._listener.fileno())],
            service="lookup",
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = self.new_client()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        self.daemon.__exit__(kind, error, trace)
        self._listener.close()
        self._folder.cleanup()

    def new_client(self) -> socket.socket:
        """A connection of its own."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(10)
        client.connect(self._listener.getsockname())
        return client

    def send(self, request: Message) -> None:
        """Ask without waiting for the reply."""
        self._number += 1
        self._client.send(encode(self._number, request))

    def hear(self) -> Heard:
        """The next reply, whatever request it is for."""
        data = self._client.recv(FRAME_LIMIT)
        _, _, body = msgspec.msgpack.decode(data, type=tuple[int, int, LookupReply])
        return body

    def ask(self, parameter: str, *keys: str, row: str = "lookup", partial: bool = False) -> Heard:
        """Ask for keys, all of them parts of addresses if `partial`."""
        self.send(Find(row, parameter, tuple(Key(key, partial) for key in keys)))
        return self.hear()

    def value(self, parameter: str, key: str, row: str = "lookup") -> str | None:
        """What a parameter's tables have for one key; a refusal fails the test."""
        reply = self.ask(parameter, key, row=row)
        assert isinstance(reply, Found), reply
        return reply.value if reply.key >= 0 else None

    def reason(self, parameter: str, key: str) -> str:
        """Why it is not known what the tables have for a key; another reply fails the test."""
        reply = self.ask(parameter, key)
        assert isinstance(reply, Refused), reply
        assert (reply.status.code, reply.status.enhanced) == (451, "4.3.0")
        return reply.reason
