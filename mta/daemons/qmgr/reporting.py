"""What the sender is told: the reports of one attempt, made by the bounce service.

The law: a report is made from the journal, so what it tells is on the file before it is asked for;
and it is on stable storage before the journal says that the sender was told. A crash in between
repeats a report and loses none; so does an answer that is lost.
"""

import time
from collections.abc import Awaitable, Callable

from mta.config.parameters import Parameters
from mta.daemons.qmgr.message import Attempt
from mta.ipc.bounce import RequestLost
from mta.proto.status import MailError, ReportKind
from mta.queue.reader import StoredMessage
from mta.util.log import Log

__all__ = ["Reporter"]


class Reporter:
    """Has senders told through `report(kind, queue_id, descriptor)`: see `BounceClient`."""

    def __init__(
        self,
        report: Callable[[ReportKind, str, int], Awaitable[str]],
        parameters: Parameters,
        log: Log,
    ) -> None:
        self._report = report
        self._parameters = parameters
        self._log = log

    async def tell(
        self,
        message: StoredMessage,
        attempt: Attempt,
        age: float,
        record: Callable[[StoredMessage, Attempt], None],
    ) -> None:
        """Have all that is owed told; what could not be stays owed, and the attempt knows why.

        `age` is the message's, in seconds.
        `record` writes what the attempt has unwritten to the journal; its OSErrors pass.
        """
        while (kind := attempt.owed(age, self._parameters)) is not None:
            record(message, attempt)
            try:
                report = await self._report(kind, message.queue_id, message.descriptor)
            except (MailError, RequestLost) as error:
                self._log.warning(
                    "report_failed", queue_id=message.queue_id, kind=kind.value, reason=str(error)
                )
                attempt.not_told(str(error))
                return
            if report or kind is ReportKind.DELAY:
                attempt.told(time.time(), kind)
            else:
                attempt.nobody_to_tell()
            self._log.info("reported", queue_id=message.queue_id, report=report, kind=kind.value)
