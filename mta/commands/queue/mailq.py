"""`mta queue mailq`: the queue in the form that Postfix's mailq has, for programs that read that.

    -Queue ID-              --Size-- ----Arrival Time---- -Sender/Recipient-------
    0RQ5GhLmJ4Vw9bKzTnXp3d*     1234 Wed Nov 25 14:00:00  alice@example.org
                                  (connect to mx.example.net[192.0.2.1]:25: timed out)
                                                          bob@example.net

"*" behind an id: the queue manager has not put it off yet; "!": on hold. What is damaged is in no
queue, and not listed.
"""

import itertools
import time
from collections.abc import Iterator
from typing import Final

import click

from mta.commands.main import Target
from mta.commands.queue.access import opened
from mta.commands.queue.view import printable
from mta.queue.entry import Entry, entries
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
    with opened(options) as store:
        found = {entry.queue_id: entry for entry in entries(store, _STATES)}
    for line in classic_list([found[queue_id] for queue_id in sorted(found)]):
        click.echo(line)


def classic_list(listed: list[Entry]) -> Iterator[str]:
    """The lines for these messages."""
    sound = [entry for entry in listed if not entry.damaged]
    if not sound:
        yield "Mail queue is empty"
        return
    yield _HEAD
    for entry in sound:
        yield from _lines(entry)
        yield ""
    kibibytes = -(-sum(entry.size for entry in sound) // _KIBIBYTE)
    yield f"-- {kibibytes} Kbytes in {len(sound)} Request{'s' if len(sound) > 1 else ''}."


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
