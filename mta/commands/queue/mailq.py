"""`mta queue mailq`: the queue in the form that Postfix's mailq has, for programs that read that.

    -Queue ID-              --Size-- ----Arrival Time---- -Sender/Recipient-------
    0RQ5GhLmJ4Vw9bKzTnXp3d*     1234 Wed Nov 25 14:00:00  alice@example.org
                                  (connect to mx.example.net[192.0.2.1]:25: timed out)
                                                          bob@example.net

"*" behind an id: the queue manager has not put it off yet; "!": on hold. What is damaged is in no
queue: it is counted on stderr, and not listed.

Who may read the queue reads it, whether or not the system runs; all others ask the running system.
A message is shown as soon as it is read.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import click

from mta.commands.control import Control
from mta.commands.main import Target
from mta.commands.queue.access import may_read, opened
from mta.commands.queue.view import DamagedFiles, printable
from mta.queue.entry import Entry, oldest_first
from mta.queue.layout import State

__all__ = ["classic_list", "mailq"]

_STATES: Final[dict[State, str]] = {"incoming": "*", "deferred": " ", "hold": "!"}
_HEAD: Final = f"{'-Queue ID-':<23} --Size-- {'----Arrival Time----'} -Sender/Recipient-------"
_COLUMN: Final = 54  # where senders and recipients begin
_WIDTH: Final = 78  # where reasons end, as far as they are short enough
_KIBIBYTE: Final = 1024


@click.command()
@click.pass_obj
def mailq(options: Target) -> None:
    """List all messages as Postfix's mailq does, the oldest first."""
    damaged = DamagedFiles()
    for line in classic_list(_messages(options, damaged)):
        click.echo(line)
    if damaged.count:
        click.echo(f"mta: queue: {damaged.count} damaged: see `mta queue list`", err=True)


def classic_list(messages: Iterable[Entry]) -> Iterator[str]:
    """The lines for these messages."""
    count = size = 0
    for entry in messages:
        if not count:
            yield _HEAD
        count += 1
        size += entry.size
        yield from _lines(entry)
        yield ""
    if count:
        yield f"-- {-(-size // _KIBIBYTE)} Kbytes in {count} Request{'s' if count > 1 else ''}."
    else:
        yield "Mail queue is empty"


def _messages(options: Target, damaged: DamagedFiles) -> Iterator[Entry]:
    if not may_read(options):
        from mta.commands.queue.asking import listed  # noqa: PLC0415 - takes long to import

        yield from listed(options, damaged)
        return
    _tell_of_no_system(options)
    with opened(options) as store:
        for entry in oldest_first(store, _STATES):
            if entry.damaged:
                damaged.count += 1
            else:
                yield entry


def _tell_of_no_system(options: Target) -> None:
    with suppress(PermissionError):  # the queue's owner may not see the master's lock
        if Control(options.queue_directory).master() is None:
            click.echo("mta: Mail system is down -- accessing queue directly", err=True)


def _lines(entry: Entry) -> Iterator[str]:
    when = time.strftime("%a %b %e %H:%M:%S", time.localtime(entry.arrived))
    name = entry.queue_id + _STATES[entry.state]
    sender = printable(entry.sender) or "MAILER-DAEMON"
    yield f"{name:<23} {entry.size:>8} {when:<20} {sender}"
    outcomes = zip(entry.statuses, entry.recipients, strict=True)
    for reason, group in itertools.groupby(outcomes, lambda outcome: outcome[0] or entry.reason):
        if reason:
            yield f"({printable(reason)})".rjust(_WIDTH)
        for _, address in group:
            yield " " * _COLUMN + printable(address)
