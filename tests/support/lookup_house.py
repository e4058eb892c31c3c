"""One real lookup process; its master and its client are played by the test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mta.ipc.messages import Find, Found, Goodbye, Key, LookupReply, Refused
from support.daemon_house import DaemonHouse
from support.own_master import write_snapshot

__all__ = ["LookupHouse"]

Heard = Found | Refused | Goodbye


class LookupHouse(DaemonHouse):
    """Has the `parameters`, and a row `other` with these `settings`."""

    service = "lookup"
    replies = LookupReply

    def __init__(
        self, parameters: Mapping[str, object], settings: Mapping[str, Any] | None = None
    ) -> None:
        self._parameters = parameters
        self._settings = dict(settings or {})
        super().__init__()

    def write_snapshot(self, directory: Path) -> None:
        row = {"name": self.service, "daemon": self.service, "listen": [self.listener()]}
        snapshot = write_snapshot(directory, row, parameters=self._parameters)
        (first,) = snapshot.services
        other = msgspec.structs.replace(
            first, name="other", daemon="rewrite", listen=(), settings=self._settings
        )
        both = msgspec.structs.replace(snapshot, services=(first, other))
        (directory / "config" / "1.json").write_bytes(msgspec.json.encode(both))

    def hear(self) -> Heard:
        """The next reply, whatever request it is for."""
        body: Heard = self.hear_any()
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
