"""`mta trace`: what the log tells of one message, over all daemons, in the order of time.

    files     the log file and what it was rotated into; lines, the oldest first
    search    two passes over the lines: what is related, then all records of it
    story     records -> text for people

With the message come those that are related to it (a report to its sender, or the message that it
reports on), and what the log says of the client's session that brought it in.

    EX_NOINPUT (66)       the log tells nothing of that message, or there is no log

The rest is as for every `mta` command.
"""

import os

import click

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.output import as_text
from mta.commands.trace.files import LogReader
from mta.commands.trace.search import Entry, search
from mta.commands.trace.story import story
from mta.queue.queue_id import is_queue_id
from mta.util.text import visible

__all__ = ["trace"]


@click.command()
@click.argument("queue_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Write the records as one JSON array.")
@click.pass_obj
def trace(options: Target, queue_id: str, as_json: bool) -> None:
    """Tell what the log knows of one message, from the client to the last delivery."""
    reader = LogReader(options.log_file)
    trail = search(reader, queue_id) if is_queue_id(queue_id) else None
    for problem in reader.problems:
        click.echo(f"mta: trace: {problem}", err=True)
    if trail is None or not trail.entries:
        where = f"{reader.path} and what it was rotated into"
        text = f"trace: nothing about {visible(queue_id)} in {where}"
        raise Failure(text, os.EX_NOINPUT)
    if trail.skipped:
        click.echo(f"mta: trace: {trail.skipped} further records are not shown", err=True)
    if as_json:
        click.echo(as_text([_plain(entry) for entry in trail.entries]))
    else:
        click.echo("\n".join(story(trail)))


def _plain(entry: Entry) -> object:
    return {"line": entry.line} if entry.record is None else entry.record
