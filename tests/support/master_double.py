"""A master that only answers XML-RPC, as it is told."""

import fcntl
import os
import socketserver
import threading
import xmlrpc.client
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

__all__ = ["MasterDouble", "status_of"]


def status_of(generation: int = 1, **states: str) -> dict[str, Any]:
    """What `mta.status` answers: each row in the state given."""
    return {
        "generation": generation,
        "isolation": {"mode": "rootless", "missing": ["something"]},
        "services": [
            {
                "name": name,
                "daemon": name,
                "state": state,
                "running": int(state == "running"),
                "numprocs": 2,
                "retiring": 0,
                "clients": 3,
                "served": 7,
                "spawned": 1,
                "last_exit": "exit status 1" if state == "throttled" else "",
                "throttled_until": 4e9 if state == "throttled" else 0.0,
                "listeners": [f"ipc:private/{name}"],
            }
            for name, state in states.items()
        ],
    }


class _Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/RPC2",)
    disable_nagle_algorithm = False  # a UNIX socket has none

    def address_string(self) -> str:
        return "unix"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class MasterDouble(socketserver.ThreadingUnixStreamServer, SimpleXMLRPCDispatcher):
    """Answers by functions in the queue directory's `pid/supervisor.sock`, and holds the lock."""

    daemon_threads = True

    def __init__(self, queue: Path, **methods: Callable[..., Any]) -> None:
        SimpleXMLRPCDispatcher.__init__(self, allow_none=False, encoding="utf-8")
        self.calls: list[tuple[object, ...]] = []
        for name, method in methods.items():
            self.register_function(self._recorded(name, method), f"mta.{name}")
        folder = os.open(queue, os.O_PATH)
        super().__init__(f"/proc/self/fd/{folder}/pid/supervisor.sock", _Handler)
        os.chmod(queue / "pid" / "supervisor.sock", 0o700)
        os.close(folder)
        self._lock = os.open(queue / "pid" / "master.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def _recorded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object) -> object:
            self.calls.append((name, *arguments))
            return method(*arguments)

        return call

    def _dispatch(self, method: str, params: Iterable[Any]) -> Any:  # noqa: ANN401 - as inherited
        try:
            return super()._dispatch(method, params)
        except OSError as error:  # a test's way to say: answer this fault
            raise xmlrpc.client.Fault(1, str(error)) from error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        os.close(self._lock)
