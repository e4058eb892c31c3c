"""One real showq over a real queue; its master, its clients and the queue manager are played."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from mta.ipc.messages import Accepted, Flush, QmgrRequest, ShowqReply
from mta.queue.layout import create_layout
from mta.queue.store import QueueStore
from support.daemon_house import DaemonHouse
from support.own_master import write_snapshot
from support.scripted_service import ScriptedService

__all__ = ["ShowqHouse"]


class ShowqHouse(DaemonHouse):
    """Has a queue in `directory`, and a queue manager whose every answer is 1."""

    service = "showq"
    replies = ShowqReply

    def __init__(self, **parameters: object) -> None:
        self._parameters = parameters
        self._stack = ExitStack()
        super().__init__()

    @classmethod
    def listener(cls) -> str:
        return "ipc:public/showq"

    def write_snapshot(self, directory: Path) -> None:
        self.directory = directory
        directory.chmod(0o711)
        create_layout(str(directory))
        row = {"name": "showq", "daemon": "showq", "listen": [self.listener()], "client_limit": 50}
        write_snapshot(directory, row, parameters=self._parameters)
        self.queue = QueueStore(str(directory))
        self._stack.callback(self.queue.close)
        self.qmgr: ScriptedService[Flush] = ScriptedService(
            directory, "public/qmgr", QmgrRequest, lambda *_: Accepted(1)
        )
        self._stack.enter_context(self.qmgr)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._stack.close()

    def flushed(self) -> list[str]:
        """What the queue manager was asked to try."""
        return [request.queue_id for request in self.qmgr.requests]
