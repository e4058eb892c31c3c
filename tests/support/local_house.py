"""The world as local sees it, in memory: aliases, users, files; and what was done to it.

house = LocalHouse(aliases={"root": "ann"}, files={"/home/ann/.forward": "bob"})
house.deliver("root@here.test")     the outcome; house.done tells what happened, in its order
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from mta.config.parameters import Parameters
from mta.daemons.local.expansion import Expansion
from mta.daemons.local.house import Alias, Environment, Route
from mta.ipc.messages import CommandEnded, FileRead, FileState, MailboxKind
from mta.proto import address
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, Status, permanent
from mta.util.accounts import Account

__all__ = ["HERE", "LocalHouse"]

HERE = "here.test"
SENDER = "sender@far.test"


class LocalHouse:
    """A House; `whole` are its parameters, or else `parameters` over the defaults.

    Users have their homes below /home. A file that is None is an unsafe one.
    """

    def __init__(
        self,
        aliases: Mapping[str, str] | None = None,
        files: Mapping[str, str | None] | None = None,
        users: Sequence[str] = ("ann", "bob", "joe"),
        owner: Account | None = None,
        whole: Parameters | None = None,
        **parameters: object,
    ) -> None:
        given = {"recipient_delimiter": "+", **parameters}
        self.parameters = whole or msgspec.convert(given, Parameters)
        self.aliases = dict(aliases or {})
        self.files = dict(files or {})
        self.accounts = {
            name: Account(name, 1000 + number, 1000, f"/home/{name}", "/bin/sh")
            for number, name in enumerate(users)
        }
        self.tables: dict[str, dict[str, str]] = {}
        self.owner = owner
        self.done: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.prefixes: list[bytes] = []
        self.forwarded: list[tuple[str, tuple[Recipient, ...], str]] = []
        self.warnings: list[str] = []
        self.ended = CommandEnded(0, False, b"")
        self.failures: dict[str, MailError] = {}  # by the path, user, command, row that fails

    def deliver(
        self,
        recipient: str,
        *,
        sender: str = SENDER,
        original: str = "",
        delivered_to: Sequence[str] = (),
        seen: set[tuple[str, ...]] | None = None,
    ) -> Status:
        """Deliver one message to one recipient."""
        origin = Origin("ESMTP", "192.0.2.1", 1, "client.test", "smtp")
        expansion = Expansion(
            self.parameters, self, origin, frozenset(delivered_to), set() if seen is None else seen
        )

        async def scenario() -> Status:
            try:
                to = Recipient(recipient, original or recipient)
                return await expansion.deliver(to, sender)
            except MailError as error:
                return error.status

        return asyncio.run(scenario())

    async def alias(self, name: str) -> Alias | None:
        self._fail(f"alias {name}")
        value = self.aliases.get(name)
        return None if value is None else Alias(value, self.owner)

    async def find(self, parameter: str, name: str) -> str | None:
        return self.tables.get(parameter, {}).get(name)

    async def account(self, name: str) -> Account | None:
        self._fail(f"user {name}")
        return self.accounts.get(name)

    async def route(self, text: str) -> Route:
        try:
            mailbox = address.parse(text)
        except ValueError as error:
            permanent("5.1.3", "Bad address syntax", str(error))
        whole = text if mailbox.domain else f"{text}@{HERE}"
        return Route(whole, is_local=mailbox.domain in ("", HERE))

    async def read(self, user: str, path: str) -> FileRead:
        self._fail(path)
        if path not in self.files:
            return FileRead(FileState.MISSING)
        content = self.files[path]
        if content is None:
            return FileRead(FileState.UNSAFE, b"", "writable for others")
        self.done.append(f"{user} reads {path}")
        return FileRead(FileState.READ, content.encode())

    async def store(
        self, user: str, kind: MailboxKind, path: str, sender: str, prefix: bytes
    ) -> Status:
        self._fail(path)
        self.done.append(f"{user} {kind.value} {path}")
        self.prefixes.append(prefix)
        return Status(250, "2.0.0", "stored")

    async def run(
        self, user: str, command: str, directory: str, environment: Environment, prefix: bytes
    ) -> CommandEnded:
        self._fail(command)
        where = "" if directory == "/" else f" in {directory}"
        self.done.append(f"{user} runs {command}{where}")
        self.environments.append(dict(environment))
        self.prefixes.append(prefix)
        return self.ended

    async def hand_over(self, transport: str, recipient: Recipient) -> Status:
        self._fail(transport)
        self.done.append(f"{transport} gets {recipient.address}")
        return Status(250, "2.0.0", f"handed to {transport}")

    async def forward(self, sender: str, recipients: Sequence[Recipient], delivered: str) -> str:
        self._fail("cleanup")
        self.forwarded.append((sender, tuple(recipients), delivered))
        self.done.append(f"forward from {sender}: {' '.join(it.address for it in recipients)}")
        return "B" * 22

    async def turn(self) -> None:
        await asyncio.sleep(0)

    def warn(self, event: str, **fields: object) -> None:
        self.warnings.append(event)

    def _fail(self, what: str) -> None:
        if what in self.failures:
            raise self.failures[what]
