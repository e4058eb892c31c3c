"""`mta address ADDRESS...`: what the running system makes of an address, without sending anything.

    $ mta address bob@example.com
    bob@example.com
      sender     bob.smith@example.com
      recipient  carol@example.net: default, outbound to [relay.example.net]

The rewrite service is asked what cleanup, smtpd and the queue manager ask it about a message: what
the address becomes as a sender and in a header, and for a recipient whom its mail is for, and where
it goes. What is asked of the address as it is given is what a client would hear at RCPT.
"""

import asyncio
import os
from typing import Any, Final

import click
import msgspec
from msgspec import Struct

from mta.commands.failure import Failure
from mta.commands.main import Target
from mta.commands.output import as_text
from mta.commands.privilege import become_queue_owner
from mta.ipc.client import Unavailable
from mta.ipc.messages import AddressRole
from mta.ipc.rewrite import RewriteClient
from mta.proto.status import MailError
from mta.util.log import Log

__all__ = ["address"]

_STDERR: Final = 2
_TIMEOUT: Final = 30.0  # seconds for one answer
_WIDTH: Final = len("recipient")


class _Route(Struct, frozen=True):
    """One recipient that mail for the address is for, and where its mail goes."""

    address: str
    domain_class: str
    transport: str
    nexthop: str


class _Answer(Struct, frozen=True):
    """All about one address; `refused` is what a client hears who names it, or what failed."""

    given: str
    refused: str = ""
    sender: str = ""
    header_sender: str = ""
    header_recipient: str = ""
    leaves_as: str = ""  # smtp_generic_maps, of the sender
    recipients: tuple[_Route, ...] = ()
    copies: tuple[str, ...] = ()  # of what it sends, and of what it gets
    status: int = 0  # of the refusal

    @property
    def exit_status(self) -> int:
        """From sysexits.h."""
        if not self.status:
            return 0
        return os.EX_TEMPFAIL if self.status < 500 else os.EX_NOUSER


@click.command()
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--sender", default="", help="Who sends, for sender_dependent_relayhost_maps.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def address(options: Target, addresses: tuple[str, ...], sender: str, as_json: bool) -> None:
    """Show what the running system makes of each ADDRESS: rewritten, expanded, routed.

    Nothing is sent. Exit status 67 if one would be refused, 75 if that is not known now.
    """
    try:
        become_queue_owner(options.queue_directory)
        os.chdir(options.queue_directory)  # the path of a socket has a short limit
    except FileNotFoundError as error:
        raise Failure(f"address: {error}; run `mta render`", os.EX_NOINPUT) from error
    try:
        answers = asyncio.run(_ask_all(addresses, sender))
    except Unavailable as error:
        text = f"address: the running system does not answer: {error.reason}"
        raise Failure(text, os.EX_UNAVAILABLE) from error
    if as_json:
        click.echo(as_text(msgspec.to_builtins(answers)))
    else:
        click.echo("\n".join(line for answer in answers for line in _lines(answer)))
    raise SystemExit(max(answer.exit_status for answer in answers))


async def _ask_all(addresses: tuple[str, ...], sender: str) -> list[_Answer]:
    log = Log(_STDERR, "mta", "address", 0)
    client = RewriteClient(asyncio.get_running_loop(), _TIMEOUT, log)
    try:
        return [await _ask(client, each, sender) for each in addresses]
    finally:
        client.close()


async def _ask(client: RewriteClient, given: str, sender: str) -> _Answer:
    try:
        named = await client.resolve(given, sender=sender, listed=True)
        if named.refusal is not None:
            raise MailError(named.refusal, "")
        return await _follow(client, given, sender)
    except Unavailable:
        raise
    except MailError as error:
        return _Answer(given, refused=str(error), status=error.status.code)


async def _follow(client: RewriteClient, given: str, sender: str) -> _Answer:
    as_sender = await client.rewrite(given, AddressRole.ENVELOPE_SENDER)
    header_sender = await client.rewrite(given, AddressRole.HEADER_SENDER)
    header_recipient = await client.rewrite(given, AddressRole.HEADER_RECIPIENT)
    leaves_as = await client.rewrite(as_sender.address, AddressRole.GENERIC)
    expansion = await client.expand(given)
    routes = []
    for each in expansion.addresses:
        route = await client.resolve(each, sender=sender)
        name = route.domain_class.value
        routes.append(_Route(route.address, name, route.transport, route.nexthop))
    return _Answer(
        given,
        sender=as_sender.address,
        header_sender=header_sender.address,
        header_recipient=header_recipient.address,
        leaves_as=leaves_as.address,
        recipients=tuple(routes),
        copies=tuple(copy for copy in (as_sender.copy, expansion.copy) if copy),
    )


def _lines(answer: _Answer) -> list[str]:
    said: list[tuple[str, Any]] = []
    if answer.refused:
        said.append(("refused", answer.refused))
    else:
        said.append(("sender", answer.sender))
        if answer.header_sender != answer.sender:
            said.append(("in From", answer.header_sender))
        if answer.header_recipient != answer.header_sender:
            said.append(("in To", answer.header_recipient))
        if answer.leaves_as != answer.sender:
            said.append(("leaves as", answer.leaves_as))
        said += [("recipient", _way(route)) for route in answer.recipients]
        said += [("copy", copy) for copy in answer.copies]
    return [click.style(answer.given, bold=True), *(f"  {k.ljust(_WIDTH)}  {v}" for k, v in said)]


def _way(route: _Route) -> str:
    if not route.transport:
        return f"{route.address}: {route.domain_class}, no mail goes there"
    nexthop = f" to {route.nexthop}" if route.nexthop else ""
    return f"{route.address}: {route.domain_class}, {route.transport}{nexthop}"
