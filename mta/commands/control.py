"""Talks with the running master: XML-RPC over its UNIX socket.

The socket is reached through a descriptor of the queue directory, for its path may be longer than
the 107 octets that a socket address holds. Whoever may open the folder `pid` may command.
"""

import contextlib
import fcntl
import http.client
import os
import socket
import xmlrpc.client
from typing import Final, TypeVar
from xml.parsers.expat import ExpatError

import msgspec
from msgspec import Struct

from mta.commands.failure import ControlError, MasterBusyError, NotRunningError
from mta.util.house import MASTER_LOCK, MASTER_SOCKET

__all__ = [
    "Changes",
    "Control",
    "Isolation",
    "MasterStatus",
    "ServiceStatus",
]

_BUSY: Final = "SHUTDOWN_STATE"


class ServiceStatus(Struct, frozen=True):
    """One row of the service table, as the master sees it."""

    name: str
    daemon: str
    state: str  # idle | running | starting | throttled | stopped | draining
    running: int  # accepting processes
    numprocs: int
    retiring: int
    clients: int
    served: int
    spawned: int
    last_exit: str
    throttled_until: float  # seconds since the epoch, or 0
    listeners: tuple[str, ...]


class Isolation(Struct, frozen=True):
    """How far daemons are kept apart, and what is missing."""

    mode: str
    missing: tuple[str, ...]


class MasterStatus(Struct, frozen=True):
    """What `mta.status` answers."""

    generation: int
    isolation: Isolation
    services: tuple[ServiceStatus, ...]

    @property
    def draining(self) -> bool:
        """Whether the system is on its way down."""
        return any(service.state == "draining" for service in self.services)


class Changes(Struct, frozen=True):
    """What a reload did, by name."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    retired: tuple[str, ...]


_Answer = TypeVar("_Answer", bound=Struct)


class Control:
    """The master of one queue directory; `timeout` is seconds for one answer."""

    def __init__(self, queue_directory: str, timeout: float = 20.0) -> None:
        self._queue_directory = queue_directory
        self._timeout = timeout

    def status(self) -> MasterStatus:
        """What runs; NotRunningError if nothing does."""
        return _typed(self._call("mta.status"), MasterStatus)

    def reload(self, generation: int) -> Changes:
        """Put a rendered generation in force; ControlError tells why the old one stays."""
        return _typed(self._call("mta.reload", generation), Changes)

    def restart(self, service: str) -> None:
        """Retire the processes of one row, for new ones; ControlError if there is no such row."""
        self._call("mta.restart", service)

    def stop(self) -> None:
        """Begin to drain; the master ends by itself."""
        self._call("mta.stop")

    def master(self) -> int | None:
        """The process that holds the master's lock, whether it answers or not."""
        try:
            path = os.path.join(self._queue_directory, MASTER_LOCK)
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(lock, 32).strip()
            return int(text) if text.isdigit() else None  # it may be writing its number just now
        finally:
            os.close(lock)
        return None

    def _call(self, method: str, *arguments: object) -> object:
        transport = _Transport(self._queue_directory, self._timeout)
        try:
            with xmlrpc.client.ServerProxy("http://master", transport=transport) as proxy:
                return getattr(proxy, method)(*arguments)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(f"not running in {self._queue_directory}") from error
        except TimeoutError as error:
            text = f"the master did not answer within {self._timeout:g} s"
            raise MasterBusyError(text) from error
        except (ConnectionError, http.client.HTTPException, ExpatError) as error:
            raise MasterBusyError(
                f"the master ended in the middle of an answer: {error}"
            ) from error
        except xmlrpc.client.ProtocolError as error:
            raise ControlError(f"the master answered {error.errcode} {error.errmsg}") from error
        except xmlrpc.client.Fault as fault:
            name, _, text = fault.faultString.partition(": ")
            if name == _BUSY:
                raise MasterBusyError(text or "the master is starting or stopping") from fault
            raise ControlError(text or name) from fault


def _typed(answer: object, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ControlError(f"the master's answer is not understood: {error}") from error


class _Transport(xmlrpc.client.Transport):
    def __init__(self, queue_directory: str, timeout: float) -> None:
        super().__init__()
        self._queue_directory = queue_directory
        self._timeout = timeout

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        connection = _Connection(self._queue_directory, self._timeout)
        self._connection = str(host), connection  # where close() looks for it
        return connection


class _Connection(http.client.HTTPConnection):
    def __init__(self, queue_directory: str, timeout: float) -> None:
        super().__init__("master", timeout=timeout)
        self._queue_directory = queue_directory
        self._seconds = timeout

    def connect(self) -> None:
        with contextlib.ExitStack() as undo:
            folder = os.open(self._queue_directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, folder)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            abandon = undo.enter_context(contextlib.ExitStack())
            abandon.callback(connection.close)
            connection.settimeout(self._seconds)
            connection.connect(f"/proc/self/fd/{folder}/{MASTER_SOCKET}")
            abandon.pop_all()
        self.sock = connection
