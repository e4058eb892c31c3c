"""Supervisor's poller, replaced: what a turn does not ask for is not polled."""

import os
import threading
import time

import pytest

from mta.master.plugin.poller import TurnPoller

SOON = 0.05  # seconds


@pytest.fixture
def poller() -> TurnPoller:
    return TurnPoller(None, lambda: time.monotonic() + 60)


def test_what_is_ready_is_told(poller: TurnPoller) -> None:
    reader, writer = os.pipe()
    poller.register_readable(reader)
    poller.register_writable(writer)
    assert poller.poll(SOON) == ([], [writer])
    os.write(writer, b"x")
    poller.register_readable(reader)
    assert poller.poll(SOON) == ([reader], [])
    os.close(reader)
    os.close(writer)


def test_a_number_that_became_another_file_is_forgotten(poller: TurnPoller) -> None:
    """A process ended, and its pipe's number was given to a pipe that nobody reads.

    The kernel reports an error on that one at once and for ever: supervisord never slept again.
    """
    reader, writer = os.pipe()
    poller.register_readable(reader)
    assert poller.poll(0) == ([], [])
    os.close(reader)
    os.close(writer)
    gone, unread = os.pipe()
    if unread != reader:
        os.dup2(unread, reader)
        os.close(unread)
    if gone != reader:
        os.close(gone)
    idle, idle_writer = os.pipe()
    poller.register_readable(idle)
    threading.Timer(SOON, os.write, (idle_writer, b"x")).start()
    assert poller.poll(30.0) == ([idle], []), "it did not sleep until there was something to do"
    for descriptor in (reader, idle, idle_writer):
        os.close(descriptor)


def test_an_error_is_told_to_whoever_asked(poller: TurnPoller) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    poller.register_writable(writer)
    assert poller.poll(SOON) == ([], [writer])
    os.close(writer)


def test_it_sleeps_no_longer_than_until_the_next_pass() -> None:
    poller = TurnPoller(None, time.monotonic)
    reader, writer = os.pipe()
    poller.register_readable(reader)
    assert poller.poll(3600.0) == ([], [])
    os.close(reader)
    os.close(writer)
