"""What the other daemons and the master do: engines and handlers, each on its own."""

import asyncio
import contextlib
import grp
import math
import os
import pwd
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from unittest import mock

from msgspec.structs import replace

from mta.commands.host import keepers_of
from mta.config.render import render_supervisord
from mta.daemons.bounce.story import addressee, returned
from mta.daemons.cleanup.message import IncomingMessage
from mta.daemons.cleanup.rewriting import Rules
from mta.daemons.log.handler import LogHandler
from mta.daemons.pipe.runs import Runs
from mta.daemons.resolver.handler import ResolverHandler
from mta.daemons.virtual.mailboxes import VirtualMailboxes
from mta.daemons.virtual.places import Place, Places
from mta.delivery.content import ContentReader
from mta.ipc.maps import open_maps
from mta.ipc.messages import Begin, Deliver, DeliverRecipient
from mta.master.plugin.table import load_table
from mta.master.plugin.throttle import Throttle
from mta.master.sandbox import Needs, _granted_to_commands
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, ReportKind
from mta.queue.layout import table
from mta.queue.reader import open_message
from mta.util.log import Log
from support.configuration import ConfigurationFolder
from support.effects.scene import Scene
from support.queue_files import enqueue

__all__ = [
    "content_refused",
    "delivered_again",
    "delivered_to",
    "delivered_to_mbox",
    "delivered_while_locked",
    "group_of_private_sockets",
    "home_of_all_processes",
    "log_lines",
    "longest_pause_of_a_failing_row",
    "name_servers",
    "owner_of_queue_files",
    "patience",
    "piped",
    "place_in",
    "reporting",
    "returned_whole",
    "time_to_check_in",
    "writable_for_commands",
]

_ORIGIN = Origin("ESMTP", "192.0.2.1", 40000, "client.example", "smtp")


# cleanup, bounce


def content_refused(content: bytes) -> Callable[[Scene], str]:
    """What cleanup says of a message with this content."""

    def look(scene: Scene) -> str:
        to = (Recipient("bob@posthouse.test", "bob@posthouse.test"),)
        begin = Begin("a@example.org", _ORIGIN, False, (), b"", False)
        with scene.queue() as store:
            message = IncomingMessage(
                store.descriptor, begin, scene.parameters, Rules(scene.parameters)
            )
            try:
                message.add(to, content)
            except MailError as error:
                return str(error.status)
            message.discard()
        return "taken"

    return look


def returned_whole(scene: Scene) -> bool:
    """Whether a report returns a message of 2000 octets whole."""
    with scene.queue() as store:
        queue_id = enqueue(store, b"Subject: x\r\n\r\n" + b"x" * 1986)
        with open_message(store.descriptor, "incoming", queue_id) as message:
            return returned(message, scene.parameters).whole


def reporting(scene: Scene) -> tuple[str, str]:
    """From whom to whom the bounce of a message with the null sender is reported."""
    found = addressee(ReportKind.FAILURE, "", scene.parameters)
    assert found is not None
    return found.sender, found.address


# virtual, resolver


_BOB = DeliverRecipient(0, "bob@posthouse.test", "")


@contextlib.contextmanager
def _request(scene: Scene) -> Iterator[tuple[Deliver, ContentReader]]:
    """A message for bob@posthouse.test."""
    path = scene.folder / "content"
    path.write_bytes(b"Subject: x\r\n\r\nbody\r\n")
    with path.open("rb") as file:
        request = Deliver("B" * 22, "a@example.org", (_BOB,), "posthouse.test", 0.0, 0, 20)
        yield request, ContentReader(file.fileno(), 0, path.stat().st_size)


def _put(scene: Scene, place: Place) -> str:
    """What virtual says of the message, but for the file's name."""
    with _request(scene) as (request, content):
        try:
            said = str(VirtualMailboxes(scene.parameters).deliver(request, _BOB, content, place))
        except MailError as error:
            said = str(error.status)
    return said.replace(str(scene.folder), "").partition("/new/")[0]


def place_in(maps: str) -> Callable[[Scene], str]:
    """Where virtual looks for bob+x@posthouse.test with such a table."""

    def look(scene: Scene) -> str:
        found = open_maps("virtual_mailbox_maps", [maps], mock.Mock())
        try:
            place = asyncio.run(Places(scene.parameters, found).find("bob+x@posthouse.test"))
        except MailError as error:
            return str(error.status)
        return "/".join(place.names)

    return look


def delivered_to(scene: Scene) -> str:
    return _put(scene, Place(("posthouse.test", "bob"), is_maildir=True))


def delivered_to_mbox(scene: Scene) -> str:
    return _put(scene, Place(("bob",), is_maildir=False))


def delivered_while_locked(scene: Scene) -> str:
    """What becomes of mail for an mbox with a lock file, ten minutes old."""
    lock = scene.folder / "bob.lock"
    lock.touch()
    os.utime(lock, (time.time() - 600, time.time() - 600))
    return delivered_to_mbox(scene)


def patience(scene: Scene) -> tuple[float, float]:
    """How long locks are waited for, and the longest pause between two attempts."""
    found = VirtualMailboxes(scene.parameters)._patience
    return found.longest, found.pause


def delivered_again(scene: Scene) -> str:
    """What virtual says of the second message for a Maildir."""
    delivered_to(scene)
    return delivered_to(scene)


def piped(scene: Scene) -> str:
    """What the row `list` says of the message, which has two recipients and the null sender."""
    with _request(scene) as (request, content):
        both = tuple(DeliverRecipient(n, f"{n}+X@posthouse.test", "") for n in (0, 1))
        bounce = replace(request, sender="", recipients=both)
        results = Runs(scene.parameters, "list", {}).deliver(bounce, math.inf, content)
    said = "; ".join(dict.fromkeys(str(result.status) for result in results))
    return said.replace(str(scene.folder), "").removeprefix("250 2.0.0 delivered via list service ")


def writable_for_commands(scene: Scene) -> tuple[str, ...]:
    return _granted_to_commands(Needs(commands="$pipe_writable"), scene.parameters)[1]


def name_servers(scene: Scene) -> list[str]:
    """Who is asked, on a host whose own name server is 192.0.2.53."""
    conf = scene.folder / "resolv.conf"
    conf.write_text("nameserver 192.0.2.53\n")

    async def scenario() -> list[str]:
        handler = ResolverHandler(scene.context("smtp"), str(conf))
        return [str(server) for server in handler._lookups._questions._resolver.nameservers]

    return scene.play(scenario())


# log


def log_lines(scene: Scene) -> str:
    """Which file has the line of a client's connection, and whose it seems to be."""

    async def scenario() -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        handler = LogHandler(scene.context("log"))
        await handler.start()
        handler.adopt("pipe:log", reader)
        Log(writer, "smtp", "smtp_000", 1).info("connect", client="peer.test[192.0.2.1]")
        os.close(writer)
        await asyncio.sleep(1)
        await handler.stop()
        os.close(reader)

    scene.play_in_no_time(scenario())
    (file,) = scene.folder.glob("*.log")
    line = file.read_text().splitlines()[0]
    shown = "JSON" if line.startswith("{") else line.split()[4].partition("[")[0]
    return f"{file.name}: {shown}"


# The master, and what is rendered for it


def home_of_all_processes(scene: Scene) -> str:
    """Where supervisord and all its processes live, below the folder of all."""
    place = scene.folder / "files"
    place.mkdir()
    folder = ConfigurationFolder(place)
    main = folder.directory / "main.yml"
    main.write_text(main.read_text().replace(str(folder.queue), scene.parameters.queue_directory))
    with mock.patch.object(os, "geteuid", return_value=1000):  # users are another matter
        text = render_supervisord(folder.compile(), 1)
    homes = {line.partition("=")[2] for line in text.splitlines() if line.startswith("directory=")}
    assert len(homes) == 1
    return homes.pop().replace(str(scene.folder), "")


@contextlib.contextmanager
def _accounts() -> Iterator[None]:
    """A host that has every account; its id is the length of its name."""

    def account(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=len(name), pw_gid=len(name), gr_gid=len(name), gr_mem=[])

    with (
        mock.patch.object(pwd, "getpwnam", account),
        mock.patch.object(grp, "getgrnam", account),
        mock.patch.object(os, "geteuid", return_value=0),
    ):
        yield


def owner_of_queue_files(scene: Scene) -> int:
    with _accounts():
        return table(keepers_of(scene.parameters))["incoming"].owner


def group_of_private_sockets(scene: Scene) -> int:
    with _accounts():
        return table(keepers_of(scene.parameters))["private"].group


def time_to_check_in(scene: Scene) -> float:
    """The seconds after which the plugin ends a process that is not ready."""
    scene.write()
    return load_table(1, str(scene.folder / "config")).checkin_time


def longest_pause_of_a_failing_row(scene: Scene) -> float:
    """The seconds from one start to the next, when twenty have failed."""
    scene.write()
    longest = load_table(1, str(scene.folder / "config")).throttle_time
    throttle, pause = Throttle(), 0.0
    for number in range(20):
        pause = throttle.failed(number * 10_000.0, longest)
    return pause


# sendmail
