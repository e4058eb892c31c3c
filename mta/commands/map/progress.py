"""How much of a source has been read: percents on stderr, for people at a terminal alone."""

import sys
import time
from typing import Final, Self

import click

__all__ = ["Percents"]

_PAUSE: Final = 0.25  # seconds between two numbers; what is done sooner shows none


class Percents:
    """A number that is written over itself, and gone when the work is done."""

    def __init__(self, subject: str) -> None:
        """`subject` stands before the number."""
        self._subject = subject
        self._next = time.monotonic() + _PAUSE
        self._shown = False

    def tell(self, done: int, whole: int) -> None:
        """So much of the whole is done."""
        if time.monotonic() >= self._next and sys.stderr.isatty():
            share = min(99, 100 * done // max(whole, 1))
            click.echo(f"\r{self._subject}: {share} % ...\x1b[K", err=True, nl=False)
            self._next = time.monotonic() + _PAUSE
            self._shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
