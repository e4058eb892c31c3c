"""How far a long command is: a count or percents on stderr, for people at a terminal alone."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self, TypeVar

import click

__all__ = ["Counted", "Percents"]

Item = TypeVar("Item")

_PAUSE: Final = 0.25  # seconds between two numbers; what is done sooner shows none


class _Line:
    """A line that is written over itself, and gone when the work is done."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PAUSE
        self._shown = False

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._next and sys.stderr.isatty()

    def show(self, text: str) -> None:
        click.echo(f"\r{text} ...\x1b[K", err=True, nl=False)
        self._next = time.monotonic() + _PAUSE
        self._shown = True

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)


class Counted(_Line):
    """How many things have been done; `done` follows the count: "deleted"."""

    def __init__(self, done: str) -> None:
        super().__init__()
        self._done = done
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def count(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass the items on, counting them."""
        for item in items:
            yield item
            self._count += 1
            if self.is_due:
                self.show(f"{self._count} {self._done}")


class Percents(_Line):
    """How much of a whole has been done; `subject` stands before the number."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self._subject = subject

    def __enter__(self) -> Self:
        return self

    def tell(self, done: int, whole: int) -> None:
        """So much of the whole is done."""
        if self.is_due:
            self.show(f"{self._subject}: {min(99, 100 * done // max(whole, 1))} %")
