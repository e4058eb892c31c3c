"""What a daemon without an event loop waits with, and how it speaks to its master."""

import os
import socket
from collections.abc import Iterator

import pytest
from support.ipc import Journal

from mta.master.channel import Bye, Command, Counters, Crossing, decode, encode, pair
from mta.master.plain_link import PlainLink
from mta.master.watch import Watch


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.close()


def test_a_number_that_is_anothers_by_now() -> None:
    """Two were ready; the first call closes the second, and a new file gets its number."""
    watch, called = Watch(), []
    readers = [os.pipe(), os.pipe()]
    for _, writer in readers:
        os.write(writer, b"x")
    (first, _), (second, _) = readers

    def replace() -> None:
        called.append("first")
        watch.remove(second)
        quiet, _ = fresh = os.pipe()
        os.dup2(quiet, second)
        for descriptor in fresh:
            os.close(descriptor)
        watch.add(second, lambda: called.append("new"))
        watch.remove(first)

    watch.add(first, replace)
    watch.add(second, lambda: called.append("second"))
    watch.wait(1)
    assert called == ["first"]
    watch.wait(0)
    assert called == ["first", "new"]  # its writer is closed, which poll(2) reports
    for descriptor in (*readers[0], *readers[1]):
        os.close(descriptor)


def heard(master: socket.socket) -> list[object]:
    packets: list[object] = []
    while True:
        try:
            packets.append(decode(master.recv(32768)))
        except BlockingIOError:
            return packets


def test_a_master_that_does_not_read(journal: Journal) -> None:
    """Is not waited for, and hears how things are when it reads: not how they were."""
    master, ours = pair()
    watch = Watch()
    link = PlainLink(ours, journal.log, watch, lambda _: None, lambda: None)
    for number in range(1000):
        link.say(Counters(0, number))
        link.say(Crossing("full" if number % 2 else "free"))
    link.say(Bye("retired"))
    early = heard(master)
    assert len(early) < 1000
    watch.wait(1)
    assert heard(master) == [Counters(0, 999), Crossing("full"), Bye("retired")]
    master.close()
    ours.close()


def test_commands_and_what_is_none(journal: Journal) -> None:
    master, ours = pair()
    told: list[str] = []
    watch = Watch()
    PlainLink(ours, journal.log, watch, told.append, lambda: told.append("orphaned"))
    for packet in (encode(Command("retire")), b"garbage", encode(Bye("idle"))):
        master.send(packet)
        watch.wait(1)
    assert len(journal.events("channel_garbage")) == 2
    master.close()
    watch.wait(1)
    watch.wait(0)
    assert told == ["retire", "orphaned"]
    journal.forget()
