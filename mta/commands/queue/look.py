"""`mta queue list|show|cat`: what lies in the queue, and nothing is changed."""

import sys
from dataclasses import asdict

import click

from mta.commands.main import Target
from mta.commands.output import as_text
from mta.commands.queue.access import failure, find, opened
from mta.commands.queue.arguments import may_choose
from mta.commands.queue.choice import Choice, print_entries
from mta.commands.queue.verb import Verb
from mta.commands.queue.view import details, message_lines
from mta.queue.layout import STATES

__all__ = ["cat", "list_messages", "show"]

_LIST = Verb("to be listed", "listed", STATES, damaged=True)


@click.command("list")
@may_choose
def list_messages(options: Target, choice: Choice) -> None:
    """List messages, the oldest first: all of them, or those of the ids or criteria."""
    with opened(options) as store:
        found, problems = choice.find(store, _LIST)
    if not choice.as_json and not found and choice.is_everything:
        click.echo("The queue is empty.")
    print_entries(found, as_json=choice.as_json)
    if problems:
        raise failure(problems)


@click.command()
@click.argument("queue_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def show(options: Target, queue_id: str, as_json: bool) -> None:
    """Show envelope, outcomes and header section of one message."""
    with opened(options) as store, find(store, queue_id) as message:
        found = details(message)
    if as_json:
        click.echo(as_text(asdict(found)))
    else:
        click.echo("\n".join(message_lines(found)))


@click.command()
@click.argument("queue_id", metavar="ID")
@click.pass_obj
def cat(options: Target, queue_id: str) -> None:
    """Write one message to standard output, octet for octet."""
    out = sys.stdout.buffer
    with opened(options) as store, find(store, queue_id) as message:
        for piece in message.content():
            out.write(piece)
    out.flush()
