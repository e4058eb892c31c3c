"""What a configuration makes of addresses, asked without a daemon.

rules = AddressRules({"virtual_alias_maps": ["inline:{a@x.test=b@y.test}"]})
rules.expand("a@x.test")
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import convert

from mta.config.parameters import Parameters
from mta.daemons.rewrite.handler import Rules
from mta.ipc.messages import (
    AddressRole,
    Expand,
    Expanded,
    Message,
    Resolve,
    Resolved,
    Rewrite,
    Rewritten,
)
from mta.lookup.table import Hit, Key

__all__ = ["AddressRules"]


class AddressRules:
    """The rules of one configuration, whose tables answer at once; failures are MailErrors."""

    def __init__(
        self, parameters: Mapping[str, Any] | Parameters, rows: Collection[str] = ()
    ) -> None:
        if not isinstance(parameters, Parameters):
            parameters = convert({"myhostname": "posthouse.test", **parameters}, Parameters)
        self._rules = Rules(parameters, rows, 1, _Nobody())

    def answer(self, request: Message) -> Message:
        """The reply to a request of the service."""
        assert isinstance(request, Resolve | Rewrite | Expand)
        coroutine = self._rules.answer(request)
        while True:
            try:
                coroutine.send(None)
            except StopIteration as done:
                reply: Message = done.value
                return reply

    def resolve(self, address: str, *, sender: str = "", listed: bool = False) -> Resolved:
        found = self.answer(Resolve(address, sender, listed))
        assert isinstance(found, Resolved)
        return found

    def route(self, address: str, *, sender: str = "") -> tuple[str, str, str]:
        """Class, transport and nexthop."""
        found = self.resolve(address, sender=sender)
        return found.domain_class.value, found.transport, found.nexthop

    def refusal(self, address: str) -> str:
        """What a client hears that names the address, or nothing."""
        status = self.resolve(address, listed=True).refusal
        return "" if status is None else str(status)

    def rewrite(self, address: str, role: str = "envelope_sender") -> str:
        return self._rewritten(address, AddressRole(role)).address

    def sender_copy(self, address: str) -> str:
        return self._rewritten(address, AddressRole.ENVELOPE_SENDER).copy

    def expand(self, address: str) -> list[str]:
        """All recipients, however many frames they take."""
        found: list[str] = []
        more = True
        while more:
            reply = self._expanded(address, len(found))
            found += reply.addresses
            more = reply.more
        return found

    def recipient_copy(self, address: str) -> str:
        return self._expanded(address, 0).copy

    def _expanded(self, address: str, first: int) -> Expanded:
        found = self.answer(Expand(address, first))
        assert isinstance(found, Expanded)
        return found

    def _rewritten(self, address: str, role: AddressRole) -> Rewritten:
        found = self.answer(Rewrite(address, role))
        assert isinstance(found, Rewritten)
        return found


class _Nobody:
    """No service is asked by these rules."""

    async def find(self, parameter: str, keys: Sequence[Key]) -> Hit | None:
        raise AssertionError(f"{parameter} was asked for {keys}")
