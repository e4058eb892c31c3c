"""The daemon as the skeleton sees it: requests in, runs of a command out, waited for in threads."""

import os
import time
from functools import partial
from typing import Final

from mta.daemons.pipe.runs import Runs
from mta.delivery.agent import DeliveryAgent, DeliveryThreads, Result
from mta.delivery.content import ContentReader
from mta.ipc.messages import Deliver
from mta.master.daemon import Context

__all__ = ["PipeHandler"]

_THREADS: Final = 50  # commands at once


class PipeHandler(DeliveryAgent):
    """Delivery requests in, commands out."""

    def __init__(self, context: Context) -> None:
        name = context.service.name
        parameters = context.parameters
        self._runs = Runs(parameters, name, os.environ)
        self._patience = parameters.delivery_timeout
        self._threads = DeliveryThreads(name, min(_THREADS, context.service.client_limit))
        super().__init__(name, context.log, context.used, self._begin)

    async def stop(self) -> None:
        """Let the threads end."""
        self._threads.close()

    async def _begin(self, request: Deliver, content: ContentReader) -> list[Result]:
        due = time.monotonic() + self._patience  # from now on, for there may be no thread at once
        return await self._threads.run(content, partial(self._runs.deliver, request, due))
