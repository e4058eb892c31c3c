"""Threads for work that blocks: it is done, or it is refused, never both.

The law: who hears that work could not begin may do it again, or elsewhere. The library's executor
queues the work before it finds that no further thread can be had (EAGAIN, clone(2)), and a thread
that is free later would do it all the same, with descriptors that are long another's.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["WorkerPool"]

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


class WorkerPool(ThreadPoolExecutor):
    """An executor whose `submit` raises RuntimeError only for work that is never done."""

    def submit(
        self, work: Callable[Arguments, Found], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Found]:
        """Have the work done by a thread; RuntimeError if there is none, and none to be had."""
        ticket: Future[Found] = Future()

        def redeem() -> None:
            if not ticket.set_running_or_notify_cancel():
                return
            try:
                found = work(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is for whoever waits
                ticket.set_exception(error)
            else:
                ticket.set_result(found)

        try:
            super().submit(redeem)
        except RuntimeError:
            if ticket.cancel():  # or else a thread that became free has it in hand
                raise
        return ticket
