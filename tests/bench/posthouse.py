"""Posthouse in one folder, run by the commands of an operator, with the defaults of its profile."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Final

from support.instance import Instance
from support.load import message
from support.waiting import wait_until

import mta
from bench.figures import ServerName
from bench.server import BOX_DOMAIN, SINK_DOMAIN, TABLE_PARAMETERS, BenchError
from mta.proto.envelope import Envelope, Origin, Recipient
from mta.queue.journal import Retry
from mta.queue.queue_id import new_queue_id
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

__all__ = ["PosthouseServer"]

_DAY: Final = 86400.0  # seconds


class PosthouseServer:
    """One instance of Posthouse; `directory` exists and is empty."""

    name: ServerName = "posthouse"
    version = mta.__version__

    def __init__(self, directory: Path, sink: int) -> None:
        self.directory = directory
        parameters: dict[str, object] = {
            "virtual_mailbox_domains": [BOX_DOMAIN],
            "relayhost": f"[127.0.0.1]:{sink}",
        }
        self.instance = Instance(directory, parameters)
        self.port = self.instance.port

    def start(self) -> None:
        try:
            self.instance.start()
        except AssertionError as error:
            raise BenchError(str(error)) from error

    def stop(self) -> None:
        if not (self.instance.queue.exists() and self.instance.processes()):
            return
        try:
            self.instance.stop()
            self.instance.wait_gone()
        except AssertionError as error:
            with contextlib.redirect_stdout(sys.stderr):  # where it tells its story
                self.instance.close()
            raise BenchError(str(error)) from error

    @property
    def master(self) -> int:
        try:
            return self.instance.supervisord.pid
        except (AssertionError, FileNotFoundError, ValueError) as error:
            raise BenchError(f"Posthouse does not run: {error}") from error

    def daemons(self) -> dict[int, str]:
        processes = self.instance.processes()
        return {process.pid: process.daemon or "master" for process in processes}

    def end_listeners(self) -> None:
        self.instance.restart("smtp")
        wait_until(lambda: not self.instance.pids("smtp"), "the end of smtpd")

    def waiting(self) -> int:
        return len(self.instance.queue_files("incoming"))

    def maildir(self) -> Path:
        return self.instance.mail / BOX_DOMAIN / "to"

    def use_table(self, table: str) -> None:
        # Each has a list of its own: YAML would write a shared one as an anchor, which is refused.
        self.instance.configure({name: [table] if table else [] for name in TABLE_PARAMETERS})
        self.instance.reload()

    def fill(self, count: int) -> None:
        if not count:
            return
        store = QueueStore(str(self.instance.queue))
        try:
            for _ in range(count):
                self._defer_one(store)
        finally:
            store.close()

    def _defer_one(self, store: QueueStore) -> None:
        now = time.time()
        address = f"waiting@{SINK_DOMAIN}"
        envelope = Envelope(
            "from@bench.test",
            (Recipient(address, address),),
            Origin("ESMTP", "127.0.0.1", 40000, "bench.test", "smtp"),
            now,
            body_8bit=False,
        )
        writer = QueueWriter(store.descriptor, new_queue_id(now, os.urandom(8)), envelope)
        writer.write(message("waiting"))
        writer.seal()
        writer.close()
        retry = Retry(now, 1, now + _DAY, "Connection refused")
        store.append_log("incoming", writer.queue_id, [retry])
        store.set_due("incoming", writer.queue_id, now + _DAY)
        store.move(writer.queue_id, "incoming", "deferred")
        path = self.instance.queue / "deferred" / writer.queue_id[-1] / writer.queue_id
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)

    def empty(self) -> None:
        for path in self.instance.queue_files("deferred"):
            path.unlink()
