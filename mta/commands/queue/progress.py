"""How far a long command is: a count on stderr, for people at a terminal alone."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self, TypeVar

import click

__all__ = ["Progress"]

Item = TypeVar("Item")

_PAUSE: Final = 0.25  # seconds between two counts; what is done sooner shows none


class Progress:
    """A count that is written over itself, and gone when the work is done."""

    def __init__(self, done: str) -> None:
        """`done` follows the count: "deleted"."""
        self._done = done
        self._count = 0
        self._next = time.monotonic() + _PAUSE
        self._shown = False

    def count(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass the items on, counting them."""
        for item in items:
            yield item
            self._count += 1
            if time.monotonic() >= self._next and sys.stderr.isatty():
                click.echo(f"\r{self._count} {self._done} ...\x1b[K", err=True, nl=False)
                self._next = time.monotonic() + _PAUSE
                self._shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
