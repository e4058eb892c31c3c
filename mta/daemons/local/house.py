"""What the decisions of local need of the world: the seam between them and everything that waits.

Each call raises MailError: a temporary one where nothing is known, a permanent one that says why
the mail can never be delivered so.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from mta.ipc.messages import CommandEnded, FileRead, MailboxKind
from mta.proto.envelope import Recipient
from mta.proto.status import Status
from mta.util.accounts import Account

__all__ = ["Alias", "Environment", "House", "Route"]

Environment = Sequence[tuple[str, str]]


class Alias(Struct, frozen=True):
    """The value of an alias, and the owner of its table; none where that is root or nobody."""

    value: str
    owner: Account | None = None


class Route(Struct, frozen=True):
    """What rewrite says of an address; `is_local`: its mail is for this very service."""

    address: str
    is_local: bool


class House(Protocol):
    """The world, as one message sees it."""

    async def alias(self, name: str) -> Alias | None:
        """What alias_maps has for a name in lower case."""

    async def find(self, parameter: str, name: str) -> str | None:
        """What the other tables of that parameter have for a name."""

    async def account(self, name: str) -> Account | None:
        """The user of this host; 451 where the user database cannot be asked."""

    async def route(self, address: str) -> Route:
        """Where mail for an address goes, and its complete form; 550 5.1.3 if it is none."""

    async def read(self, user: str, path: str) -> FileRead:
        """A file of a user's, read as that user."""

    async def store(
        self, user: str, kind: MailboxKind, path: str, sender: str, prefix: bytes
    ) -> Status:
        """Append the message to a mailbox as that user."""

    async def run(
        self, user: str, command: str, directory: str, environment: Environment, prefix: bytes
    ) -> CommandEnded:
        """Run a command there as that user, with the message on its standard input.

        What export_environment names is added where `environment` says nothing else.
        """

    async def hand_over(self, transport: str, recipient: Recipient) -> Status:
        """Have another row deliver the message; `transport` is ROW or ROW:NEXTHOP."""

    async def forward(self, sender: str, recipients: Sequence[Recipient], delivered: str) -> str:
        """Submit the message anew; the queue id under which it is on stable storage."""

    async def turn(self) -> None:
        """Let others have their turn."""

    def warn(self, event: str, **fields: str | int) -> None:
        """Tell the log what an operator or a user should mend."""
