"""What cleanup makes of a message's addresses, as they lie in the queue."""

import re
from collections.abc import Callable

from mta.daemons.cleanup.message import IncomingMessage
from mta.daemons.cleanup.rewriting import Rules
from mta.ipc.messages import Begin
from mta.ipc.rewrite import Expansion, RewriteClient
from mta.proto.envelope import Origin, Recipient
from mta.queue.reader import StoredMessage, open_message
from support.effects.scene import Scene

__all__ = ["recipients", "sender_field"]

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
