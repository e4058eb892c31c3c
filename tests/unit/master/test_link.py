"""The daemon's end of the channel, when the master is slow, silent or gone."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

import pytest
import uvloop

from mta.master.channel import (
    PACKET_LIMIT,
    Bye,
    Command,
    Counters,
    Crossing,
    Packet,
    decode,
    encode,
    pair,
)
from mta.master.link import Link
from mta.util.log import Log


class Ends:
    """A link, the master's end of it, and what the link passed on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log) -> None:
        self.loop = loop
        self.ours, theirs = pair()
        self.commands: list[str] = []
        self.orphaned = 0
        self.theirs = theirs
        self.link = Link(loop, theirs, log, self.commands.append, self._orphan)

    def _orphan(self) -> None:
        self.orphaned += 1

    def turn(self, seconds: float = 0.01) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def packets(self) -> list[Packet]:
        """What the master can read now."""
        found: list[Packet] = []
        with contextlib.suppress(BlockingIOError):
            while data := self.ours.recv(PACKET_LIMIT):
                found.append(decode(data))
        return found

    def fill(self) -> None:
        """Let the master be so slow that nothing more fits."""
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.theirs.send(encode(Counters(0, 0)))


@pytest.fixture
def ends() -> Iterator[Ends]:
    null = os.open(os.devnull, os.O_WRONLY)
    loop = uvloop.new_event_loop()
    ends = Ends(loop, Log(null, "test", "test", 1))
    yield ends
    ends.ours.close()
    ends.turn()
    loop.close()
    os.close(null)


def test_a_crossing_is_told_only_when_it_changes(ends: Ends) -> None:
    for name in ("free", "free", "full", "full", "free"):
        ends.link.crossing("free" if name == "free" else "full")
    assert ends.packets() == [Crossing("free"), Crossing("full"), Crossing("free")]


def test_a_slow_master_learns_the_present_state(ends: Ends) -> None:
    ends.fill()
    for number in range(1000):
        ends.link.crossing("free" if number % 2 else "full")
        ends.link.counters(number, number)
    ends.turn(0.05)
    ends.link.bye("max_use")
    ends.packets()
    ends.turn()
    assert ends.packets() == [Crossing("free"), Counters(999, 999), Bye("max_use")]


def test_counters_that_did_not_change_are_not_told(ends: Ends) -> None:
    ends.link.counters(1, 1)
    ends.turn()
    assert ends.packets() == [Counters(1, 1)]
    ends.link.counters(1, 1)
    ends.turn(1.1)
    assert ends.packets() == []


def test_last_words_do_not_wait(ends: Ends) -> None:
    ends.link.counters(1, 1)
    ends.turn()
    ends.link.counters(0, 2)
    ends.link.last_words()
    ends.link.last_words()
    assert ends.packets() == [Counters(1, 1), Counters(0, 2)]


def test_commands_come_in_order(ends: Ends) -> None:
    for command in (Command("wake"), Command("retire"), Command("expire")):
        ends.ours.send(encode(command))
    ends.turn()
    assert ends.commands == ["wake", "retire", "expire"]


def test_a_master_that_is_gone_is_told_once_and_spoken_to_no_more(ends: Ends) -> None:
    ends.ours.close()
    ends.link.crossing("free")  # meets the broken channel before the reader does
    ends.turn()
    ends.link.crossing("full")
    ends.link.bye("retired")
    ends.turn()
    assert ends.orphaned == 1
    assert ends.theirs.fileno() == -1


def test_without_a_master_there_is_silence() -> None:
    loop = uvloop.new_event_loop()
    commands: list[str] = []
    log = Log(2, "test", "test", 1)
    link = Link(loop, None, log, commands.append, lambda: commands.append("orphaned"))
    link.crossing("free")
    link.counters(1, 1)
    link.bye("retired")
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert commands == []
