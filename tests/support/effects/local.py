"""What local does with mail: its decisions, with tables that are real and users who are not."""

import os
from collections.abc import Callable, Mapping
from unittest import mock

from mta.daemons.local.house import Alias
from mta.daemons.local.tables import LocalTables
from mta.daemons.local.world import Letter, World
from mta.delivery.content import ContentReader
from mta.ipc.maps import Finder
from mta.ipc.messages import (
    CommandEnded,
    Deliver,
    DeliverRecipient,
    MailboxKind,
    RunCommand,
    Stored,
    StoreMessage,
)
from mta.proto.status import Status
from support.effects.scene import Scene
from support.local_house import HERE, LocalHouse

__all__ = ["asked_of_mailuser", "done"]


class _House(LocalHouse):
    """A LocalHouse with the tables of its parameters."""

    def __init__(self, scene: Scene, files: Mapping[str, str | None]) -> None:
        super().__init__(files=files, whole=scene.parameters)
        self._tables = LocalTables(scene.parameters, mock.Mock(spec=Finder))

    async def alias(self, name: str) -> Alias | None:
        found = await self._tables.alias(name)
        return None if found is None else Alias(found.value)

    async def find(self, parameter: str, name: str) -> str | None:
        return await self._tables.find(parameter, name)


def done(to: str, files: Mapping[str, str | None] | None = None) -> Callable[[Scene], str]:
    """What is done with mail for a user of HERE, or what its sender is told."""

    def look(scene: Scene) -> str:
        house = _House(scene, files or {})
        status = house.deliver(f"{to}@{HERE}")
        seen = [it for it in house.done if "reads" not in it]
        return str(status) if status.is_permanent or not seen else "; ".join(seen)

    return look


def asked_of_mailuser(parameter: str) -> Callable[[Scene], object]:
    """A field of what mailuser is asked for: of a mailbox, or of a command."""

    def look(scene: Scene) -> object:
        asked: list[StoreMessage | RunCommand] = []

        class Mailuser:
            async def store(self, request: StoreMessage, _: int) -> Stored:
                asked.append(request)
                return Stored(Status(250, "2.0.0", "stored"))

            async def run(self, request: RunCommand, _: int) -> CommandEnded:
                asked.append(request)
                return CommandEnded(0, False, b"")

            def close(self) -> None:
                """Nothing is open."""

        async def scenario() -> None:
            world = World(scene.context("local"), Mailuser())  # type: ignore[arg-type]
            to = (DeliverRecipient(0, "ann@here.test", ""),)
            request = Deliver("B" * 22, "a@far.test", to, "here.test", 0.0, 0, 0)
            descriptor = os.open("/dev/null", os.O_RDONLY)
            letter = Letter(world, request, ContentReader(descriptor, 0, 0))
            if parameter in RunCommand.__struct_fields__:
                await letter.run("ann", "/bin/x", "/", (), b"")
            else:
                await letter.store("ann", MailboxKind.MBOX, "/m", "a@far.test", b"")
            os.close(descriptor)
            world.close()

        scene.play(scenario())
        (request,) = asked
        return getattr(request, parameter)

    return look
