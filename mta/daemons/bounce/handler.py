"""Requests of the queue manager: each is read, told, and answered when the report is committed.

Reading, which may wait for the disk, and composing, which may take long for a hundred thousand
recipients, is done in threads, a piece at a time; cleanup sets the pace.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from mta.daemons.bounce.story import Addressee, addressee, concerned, returned
from mta.ipc.cleanup import CleanupClient
from mta.ipc.connection import Descriptors
from mta.ipc.messages import BounceRequest, Report, Reported
from mta.ipc.rewrite import RewriteClient
from mta.ipc.server import RequestServer
from mta.master.daemon import Context
from mta.proto.dsn import DeliveryReport, Notification, RecipientStatus
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, ReportKind, temporary
from mta.queue.errors import QueueFileError
from mta.queue.queue_id import new_queue_id
from mta.queue.reader import QueueFile, read_passed
from mta.util.threads import WorkerPool

__all__ = ["BounceHandler"]

Found = TypeVar("Found")

_REPORTS: Final = 4  # made at once, for each holds an envelope in memory
_BATCH: Final = 65536  # octets of a report that a thread makes at a time


class BounceHandler(RequestServer[Report]):
    """Makes a report of each request."""

    def __init__(self, context: Context) -> None:
        # One request of a connection at a time: what waits holds a descriptor, and no more.
        super().__init__(BounceRequest, context.log, context.used, self._report, concurrency=1)
        self._context = context
        self._parameters = context.parameters
        self._origin = Origin("", "", 0, "", context.service.name)
        timeout = self._parameters.ipc_timeout
        self._rewrite = RewriteClient(context.loop, timeout, context.log)
        self._cleanup = CleanupClient(context.loop, timeout, context.log)
        self._places = asyncio.Semaphore(_REPORTS)
        self._threads = WorkerPool(_REPORTS, context.service.name)

    async def stop(self) -> None:
        """Let go of the other services and of the threads."""
        self._rewrite.close()
        self._cleanup.close()
        self._threads.shutdown(wait=False)

    async def _report(self, request: Report, descriptors: Descriptors) -> Reported:
        try:
            # Who asked waits no longer: a report made later would be one more than is known of.
            async with asyncio.timeout(self._parameters.ipc_timeout):
                await self._places.acquire()
        except TimeoutError:
            temporary("4.3.2", "Too many reports at once")
        try:
            file = await self._in_thread(lambda: _read(request.queue_id, descriptors[0]))
            return Reported(await self._tell(request.kind, file))
        finally:
            self._places.release()

    async def _tell(self, kind: ReportKind, file: QueueFile) -> str:
        """The queue id of the report, or nothing if there is nobody to tell."""
        recipients = await self._in_thread(lambda: concerned(kind, file))
        if not recipients:
            temporary("4.3.0", "Nothing to report", f"{file.queue_id}: no recipient {kind.value}")
        whom = addressee(kind, file.envelope.sender, self._parameters)
        if whom is None:
            if kind is ReportKind.FAILURE:
                self._nobody(file, "a notice to the postmaster bounced")
            return ""
        try:
            to = (await self._rewrite.resolve(whom.address)).address
        except MailError as error:
            if not error.status.is_permanent:
                raise
            self._nobody(file, f"{whom.address!r}: {error}")
            return ""
        report = await self._in_thread(lambda: self._compose(kind, file, recipients, whom, to))
        report_id = await self._submit(report, whom, to)
        self._context.log.info(
            "report",
            queue_id=file.queue_id,
            report=report_id,
            kind=kind.value,
            to=to,
            recipients=len(recipients),
        )
        return report_id

    def _nobody(self, file: QueueFile, reason: str) -> None:
        self._context.log.error(
            "nobody_to_tell", queue_id=file.queue_id, sender=file.envelope.sender, reason=reason
        )

    def _compose(
        self,
        kind: ReportKind,
        file: QueueFile,
        recipients: list[RecipientStatus],
        whom: Addressee,
        to: str,
    ) -> DeliveryReport:
        """The report, not yet as octets; blocks while it reads what is returned."""
        parameters, now = self._parameters, time.time()
        notification = Notification(
            kind=kind,
            report_id=new_queue_id(now, os.urandom(8)),
            hostname=parameters.myhostname,
            to=to,
            to_postmaster=whom.is_postmaster,
            queue_id=file.queue_id,
            sender=file.envelope.sender,
            arrived=file.envelope.arrived,
            lifetime=parameters.maximal_queue_lifetime,
            offset=time.localtime(now).tm_gmtoff,
        )
        limit = parameters.message_size_limit
        return DeliveryReport(notification, recipients, returned(file, parameters), limit)

    async def _submit(self, report: DeliveryReport, whom: Addressee, to: str) -> str:
        """Have the report committed; its queue id. MailError, a temporary one, if it is not."""
        transaction = self._cleanup.begin(whom.sender, self._origin, report.body_8bit)
        batches = _batches(report.pieces())
        try:
            transaction.recipients((Recipient(to, whom.address),))
            while not transaction.failed:
                batch = await self._in_thread(lambda: next(batches, b""))
                if not batch:
                    break
                await transaction.content(batch)
        except BaseException:
            transaction.abort()
            raise
        try:
            return await transaction.commit()
        except MailError as error:
            temporary("4.3.0", "Report not queued", str(error))

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        """Do what may block. It ends before a cancelled task does, and with that the descriptor."""
        step = self._context.loop.run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise


def _read(queue_id: str, descriptor: int) -> QueueFile:
    try:
        return read_passed(queue_id, descriptor)
    except QueueFileError as error:
        temporary("4.3.0", "Queue file not usable", str(error))


def _batches(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets in pieces that are worth a thread's while."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _BATCH:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
