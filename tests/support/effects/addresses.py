"""What rewrite makes of addresses, and what cleanup then makes of a message's."""

import re
from collections.abc import Callable

from mta.daemons.cleanup.message import IncomingMessage
from mta.daemons.cleanup.rewriting import Rules
from mta.ipc.messages import Begin
from mta.ipc.rewrite import Expansion, RewriteClient
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError
from mta.queue.reader import StoredMessage, open_message
from support.address_rules import AddressRules
from support.effects.scene import Scene

__all__ = [
    "copy_of_recipient",
    "copy_of_sender",
    "expanded",
    "recipients",
    "refused",
    "rewritten",
    "route",
    "sender_field",
]

_CONTENT = b"From: alice\r\n\r\nbody\r\n"


class _Unchanged(RewriteClient):
    """Tables that have nothing."""

    def __init__(self) -> None:
        """No service is asked."""

    async def expand(self, address: str) -> Expansion:
        return Expansion((address,), "")


def _stored(scene: Scene, client: str, seen: Callable[[StoredMessage], str]) -> str:
    """What is seen of a message from a client in the queue."""
    begin = Begin(
        "a@example.org", Origin("ESMTP", client, 40000, "c", "smtp"), False, (), b"", True
    )
    to = (Recipient("bob@posthouse.test", "bob@posthouse.test"),)
    parameters = scene.parameters
    with scene.queue() as store:
        message = IncomingMessage(store.descriptor, begin, parameters, Rules(parameters))
        message.add(to, _CONTENT)
        message.end()
        if message.must_ask:
            scene.play(message.ask(_Unchanged()))
        message.seal()
        with open_message(store.descriptor, "incoming", message.queue_id) as stored:
            return seen(stored)


def sender_field(client: str) -> Callable[[Scene], str]:
    """The field `From: alice` of a client's message, as it is stored."""

    def seen(stored: StoredMessage) -> str:
        found = re.search(rb"^From: (.*)\r$", b"".join(stored.content()), re.MULTILINE)
        assert found is not None
        return found[1].decode()

    return lambda scene: _stored(scene, client, seen)


def recipients(scene: Scene) -> str:
    """Who gets a message for bob@posthouse.test."""

    def seen(stored: StoredMessage) -> str:
        return " ".join(each.address for each in stored.envelope.recipients)

    return _stored(scene, "192.0.2.1", seen)


# rewrite


def _rules(scene: Scene) -> AddressRules:
    return AddressRules(scene.parameters, [row.name for row in scene.snapshot.services])


def route(address: str, sender: str = "") -> Callable[[Scene], str]:
    """Where mail for the address goes: class, transport and nexthop."""

    def look(scene: Scene) -> str:
        found = _rules(scene).resolve(address, sender=sender)
        return f"{found.domain_class.name} {found.transport}:{found.nexthop}"

    return look


def rewritten(address: str, role: str = "envelope_sender") -> Callable[[Scene], str]:
    """The address where it stands."""
    return lambda scene: _rules(scene).rewrite(address, role)


def expanded(address: str) -> Callable[[Scene], str]:
    """Whom mail for the address is for; or why that cannot be said."""

    def look(scene: Scene) -> str:
        try:
            return " ".join(_rules(scene).expand(address))
        except MailError as error:
            return str(error.status)

    return look


def refused(address: str) -> Callable[[Scene], str]:
    """What a client hears that names it, or nothing."""
    return lambda scene: _rules(scene).refusal(address)


def copy_of_sender(address: str) -> Callable[[Scene], str]:
    """Who gets a copy of what the address sends."""
    return lambda scene: _rules(scene).sender_copy(address)


def copy_of_recipient(address: str) -> Callable[[Scene], str]:
    """Who gets a copy of what the address gets."""
    return lambda scene: _rules(scene).recipient_copy(address)
