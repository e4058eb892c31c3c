"""One configuration, a folder, and what the pieces of the house need to live in it."""

import asyncio
import contextlib
import selectors
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from mta.config.parameters import Parameters
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot
from mta.master.session import Context
from mta.queue.layout import create_layout
from mta.queue.store import QueueStore
from support.ipc import Journal

__all__ = ["PORT", "Scene", "scene"]

PORT: Final = 2600  # at which the row smtp would listen
_ROWS: Final[tuple[dict[str, object], ...]] = (
    {"name": "log", "daemon": "log", "listen": ["pipe:log"], "restart": "always"},
    {"name": "qmgr", "daemon": "qmgr", "listen": ["ipc:public/qmgr"], "restart": "always"},
    {"name": "smtp", "daemon": "smtpd", "listen": [f"inet:127.0.0.2:{PORT}"]},
    {"name": "outbound", "daemon": "smtp", "listen": ["ipc:private/outbound"]},
    {"name": "virtual", "daemon": "virtual", "listen": ["ipc:private/virtual"]},
    {"name": "local", "daemon": "local", "listen": ["ipc:private/local"]},
)
_GRACE: Final = 0.005  # seconds for the kernel, before a wait is taken for one of time alone

Seen = TypeVar("Seen")


class Scene:
    """The snapshot of one configuration; `folder` is its queue directory."""

    def __init__(self, folder: Path, parameters: Mapping[str, object]) -> None:
        for name in ("config", "pid", "private", "public"):
            (folder / name).mkdir()
        self.folder = folder
        values = {
            "queue_directory": str(folder),
            "log_file": str(folder / "mail.log"),
            "myhostname": "posthouse.test",
            **parameters,
        }
        fields = {
            "version": 1,
            "generation": 1,
            "created": time.time(),
            "profile": "hub",
            "python": sys.executable,
            "parameters": values,
            "services": _ROWS,
        }
        self.snapshot = msgspec.convert(fields, Snapshot)
        self.journal = Journal()

    @property
    def parameters(self) -> Parameters:
        return self.snapshot.parameters

    def context(self, row: str) -> Context:
        """What the skeleton would tell a daemon of that row."""
        return Context(
            log=self.journal.log,
            parameters=self.parameters,
            snapshot=self.snapshot,
            service=self.snapshot.service(row),
            loop=asyncio.get_running_loop(),
            used=lambda units=1: None,
            retire=lambda: None,
        )

    @contextlib.contextmanager
    def queue(self) -> Iterator[QueueStore]:
        """The queue, with its many folders, which few pieces need."""
        create_layout(str(self.folder))
        with contextlib.closing(QueueStore(str(self.folder))) as store:
            yield store

    def write(self) -> None:
        """Write the generation, as `mta render` does."""
        path = self.folder / SNAPSHOT_DIRECTORY / "1.json"
        path.write_bytes(msgspec.json.encode(self.snapshot))

    def play(self, scenario: Coroutine[Any, Any, Seen]) -> Seen:
        """Let time pass as it does."""
        with contextlib.chdir(self.folder), asyncio.Runner() as runner:
            return runner.run(asyncio.wait_for(scenario, 20))

    def play_in_no_time(self, scenario: Coroutine[Any, Any, Seen]) -> Seen:
        """Let time pass at once when nothing else happens; there must be no threads."""
        with contextlib.chdir(self.folder), asyncio.Runner(loop_factory=_HurriedLoop) as runner:
            return runner.run(scenario)

    def close(self) -> None:
        self.journal.close()


class _HurriedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._selected = _HurriedSelector()
        super().__init__(self._selected)

    def time(self) -> float:
        return super().time() + self._selected.ahead


class _HurriedSelector(selectors.DefaultSelector):
    ahead = 0.0  # seconds that nobody waited for

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= _GRACE:
            return super().select(timeout)
        ready = super().select(_GRACE)
        if not ready:
            self.ahead += timeout - _GRACE
        return ready


@contextlib.contextmanager
def scene(folder: Path, parameters: Mapping[str, object]) -> Iterator[Scene]:
    """A scene in a new folder."""
    folder.mkdir()
    made = Scene(folder, parameters)
    try:
        yield made
    finally:
        made.close()
