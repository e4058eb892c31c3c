"""The files of the maildrop: whose turn it is, and what became of each.

    committed, then removed        cleanup has it on stable storage
    put off                        it cannot be read, or cleanup cannot take it now
    set aside                      it is no file of sendmail's, or cleanup refused it for good

The law: a file is removed when its message is committed, and not before; until it is gone it is the
only one in that state, so that a crash makes one extra copy at most. Several files are read and
sent to cleanup side by side meanwhile, up to their last frame.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from mta.daemons.pickup.folder import Folder, Look
from mta.daemons.pickup.later import Later
from mta.daemons.pickup.lock import MaildropLock
from mta.daemons.pickup.passage import Passage, Services
from mta.daemons.pickup.report import compose, send
from mta.daemons.pickup.turns import TurnLimits
from mta.ipc.client import Unavailable
from mta.master.daemon import Context
from mta.proto.status import MailError
from mta.queue.errors import QueueFileCorrupt, QueueFileMissing
from mta.queue.layout import MAILDROP
from mta.queue.maildrop import DroppedMessage
from mta.queue.room import NO_SPACE, WRITE_ERROR
from mta.queue.store import QueueStore
from mta.util.threads import WorkerPool

__all__ = ["Collector"]

Found = TypeVar("Found")

_STREAMS: Final = 4  # files that are read at once
_REST: Final = 0.05  # seconds between two rounds; at least as long as the look took
_PUT_OFF: Final = 30.0  # seconds for a file, so that the next wakeup tries it
_RETRY: Final = 10.0  # seconds for the whole maildrop
_SETTLED: Final = 11.0  # seconds of life: who ends before has failed to the master
_FOR_GOOD: Final = 86_400.0  # seconds for what cannot be moved away
_BATCH: Final = 262_144  # octets that a thread reads at a time


class Collector:
    """Takes all files, round by round, whenever it is told to `look`."""

    def __init__(self, context: Context, services: Services) -> None:
        self._context = context
        self._log = context.log
        self._services = services
        parameters = context.parameters
        self._path = parameters.maildrop_directory or MAILDROP
        self._limits = TurnLimits(
            parameters.maildrop_turn_file_limit, parameters.maildrop_turn_size_limit
        )
        self._store = QueueStore()
        self._lock = MaildropLock()
        self._threads = WorkerPool(_STREAMS, context.service.name)
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._window = asyncio.Lock()  # from the last frame of a message to the end of its file
        self._later = Later(context.loop.time)
        self._committed: dict[str, str] = {}  # files that could not be removed, and queue ids
        self._running: asyncio.Task[None] | None = None
        self._progress = 0  # files dealt with
        self._trouble = False  # of all files: the round is over
        self._began = context.loop.time()

    def start(self) -> None:
        """Begin to work, until `stop`."""
        self._running = self._context.loop.create_task(self._run())

    def look(self) -> None:
        """Have the maildrop looked at, soon."""
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._progress, self._trouble, rest = 0, False, _REST
            try:
                await self._lock.acquire()
                rest = max(rest, await self._round())
            except OSError as error:
                self._unusable(str(error))
            except Exception as error:  # noqa: BLE001 - a round must not be the last one
                self._log.failure("internal_error", error)
                self._context.loop.call_later(_RETRY, self.look)
            finally:
                if not self._committed:  # else another process would take those again
                    self._lock.release()
            await asyncio.sleep(rest)

    async def stop(self) -> None:
        """Finish the file that is being committed, and let go of everything."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._threads.shutdown(wait=False)
        self._lock.close()
        self._store.close()

    async def _round(self) -> float:
        """One look and the turns that it gives; how many seconds the look took."""
        try:
            folder = await self._in_thread(lambda: Folder(self._path))
        except PermissionError:
            # Mounted over the folder that the sandbox grants, or away when we entered that: a new
            # process is granted what is there now. If it is refused, too, they are not to be many.
            age = self._context.loop.time() - self._began
            if age >= _SETTLED:
                self._context.retire()
            else:
                self._context.loop.call_later(_SETTLED - age, self.look)
            raise
        try:
            if not await self._remove_committed(folder):
                return 0.0
            began = self._context.loop.time()
            passed_over = self._later.names()
            look = await self._in_thread(
                lambda: folder.look(self._limits, passed_over, time.time())
            )
            took = self._context.loop.time() - began
            await self._take_turns(folder, look)
            return took
        finally:
            folder.close()

    async def _take_turns(self, folder: Folder, look: Look) -> None:
        if look.failure is not None:  # of some files, and no reason to leave the others
            self._log.warning("look_failed", directory=self._path, reason=str(look.failure))
            self._context.loop.call_later(_RETRY, self.look)
        for name in look.strange:
            await self._set_aside(folder, name, "no file of sendmail's")
        names = look.turns.names()
        async with asyncio.TaskGroup() as group:
            for _ in range(_STREAMS):
                group.create_task(self._stream(folder, names))
        if look.turns.left_out:
            self._log.info("turn_full", files=look.turns.left_out)
            if self._progress and not self._trouble:
                self.look()
        if look.leftovers:
            for name in await self._in_thread(lambda: folder.sweep(look.leftovers)):
                self._log.warning("leftover_removed", file=name)

    async def _stream(self, folder: Folder, names: Iterator[str]) -> None:
        for name in names:
            if self._trouble:
                return
            try:
                dropped = await self._open(folder, name)
                if dropped is None:
                    continue
                try:
                    await self._pass_on(folder, dropped)
                finally:
                    dropped.close()
            except QueueFileMissing:
                self._later.forget(name)
            except QueueFileCorrupt as error:
                await self._set_aside(folder, name, error.reason)
            except OSError as error:
                self._put_off(name, str(error))
            except Exception as error:  # noqa: BLE001 - one file must not keep others waiting
                self._log.failure("internal_error", error, file=name)
                self._put_off(name, repr(error))

    async def _open(self, folder: Folder, name: str) -> DroppedMessage | None:
        size_limit = self._context.parameters.message_size_limit
        try:
            return await self._in_thread(lambda: folder.open(name, size_limit))
        except PermissionError as error:
            if not await self._in_thread(lambda: folder.is_closed_to_us(name)):
                raise
            await self._set_aside(folder, name, str(error))
            return None

    async def _pass_on(self, folder: Folder, dropped: DroppedMessage) -> None:
        """Hand one message to cleanup, and remove its file; QueueFileCorrupt if it is damaged."""
        submission = dropped.submission
        passage = Passage(self._services, dropped.owner, submission.sender, submission.body_8bit)
        try:
            await passage.recipients(submission.recipients)
            batches = _batches(dropped.content())
            while not passage.failed:
                batch = await self._in_thread(lambda: next(batches, b""))
                if not batch:
                    break
                await passage.content(batch)
            await _to_the_end(self._commit(folder, dropped, passage))
        except MailError as error:
            passage.abort()
            await self._refused(folder, dropped, passage, error)
        except BaseException:
            passage.abort()
            raise

    async def _commit(self, folder: Folder, dropped: DroppedMessage, passage: Passage) -> None:
        async with self._window:
            if self._trouble:  # the one before could not be removed: no second one beside it
                passage.abort()
                return
            queue_id = await passage.commit()
            self._committed[dropped.name] = queue_id
            self._context.used()
            await self._remove_committed(folder)
        self._later.forget(dropped.name)
        self._progress += 1
        self._log.info(
            "submitted",
            queue_id=queue_id,
            uid=dropped.owner,
            sender=passage.sender,
            recipients=passage.count,
            size=passage.size,
            file=dropped.name,
            host=dropped.submission.host,
        )

    async def _remove_committed(self, folder: Folder) -> bool:
        """Remove what has been committed; whether all of it is gone."""
        for name, queue_id in list(self._committed.items()):
            try:
                await self._in_thread(lambda name=name: folder.remove(name))  # type: ignore[misc]
            except OSError as error:
                self._log.error("not_removed", file=name, queue_id=queue_id, reason=str(error))
                self._trouble = True
                self._context.loop.call_later(_RETRY, self.look)
                return False
            del self._committed[name]
        return True

    async def _refused(
        self, folder: Folder, dropped: DroppedMessage, passage: Passage, error: MailError
    ) -> None:
        """What cleanup does not take stays, or goes back to its sender."""
        status, name = error.status, dropped.name
        if not status.is_permanent:
            if isinstance(error, Unavailable) or status in (NO_SPACE, WRITE_ERROR):
                self._unusable(str(error))
            else:
                self._put_off(name, str(error))
            return
        try:
            if not passage.sender:
                self._log.error("nobody_to_tell", file=name, reason=str(error))
            else:
                report = await self._in_thread(
                    lambda: compose(dropped, passage.sender, status, self._context.parameters)
                )
                report_id = await send(report, passage.sender, self._services)
                self._log.warning("returned", file=name, report=report_id, reason=str(error))
        except MailError as failure:
            self._put_off(name, str(failure))
            return
        await self._set_aside(folder, name, str(error))

    async def _set_aside(self, folder: Folder, name: str, reason: str) -> None:
        try:
            path = await self._in_thread(lambda: folder.set_aside(self._store, name))
        except QueueFileMissing:
            return
        except OSError as error:
            if self._later.add(name, _FOR_GOOD):
                self._log.error("not_moved", file=name, reason=reason, obstacle=str(error))
            return
        self._later.forget(name)
        self._progress += 1
        self._log.error("set_aside", file=name, reason=reason, path=path)

    def _put_off(self, name: str, reason: str) -> None:
        if self._later.add(name, _PUT_OFF):
            self._log.warning("put_off", file=name, reason=reason)

    def _unusable(self, reason: str) -> None:
        if not self._trouble:
            self._log.error("maildrop_unusable", directory=self._path, reason=reason)
            self._context.loop.call_later(_RETRY, self.look)
        self._trouble = True

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        """Do what may block. It ends before a cancelled task does, and with that the descriptor."""
        return await _to_the_end(self._context.loop.run_in_executor(self._threads, work))


async def _to_the_end(work: Awaitable[Found]) -> Found:
    """Await work that a cancellation must not leave in the middle."""
    step = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


def _batches(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same octets in pieces that are worth a thread's while; the last piece comes alone.

    For what is wrong with a file shows in place of its last piece, and must show in time.
    """
    gathered = bytearray()
    for piece in pieces:
        if len(gathered) + len(piece) > _BATCH:
            yield bytes(gathered)
            gathered.clear()
        gathered += piece
    if gathered:
        yield bytes(gathered)
