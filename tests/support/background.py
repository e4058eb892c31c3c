"""Work beside a test: threads that go on until the end of a context."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Background"]


class Background:
    """Runs functions, each in a thread of its own; they return soon after `ending` is set."""

    def __init__(self, *work: Callable[[], None]) -> None:
        self.ending = threading.Event()
        self._threads = [threading.Thread(target=each) for each in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ending.set()
        for thread in self._threads:
            thread.join()
