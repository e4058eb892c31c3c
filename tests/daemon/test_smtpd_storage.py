"""What the queue would not take is refused before it is read: the rule, then smtpd itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.smtpd_house import House, open_house
from support.waiting import wait_until

from mta.config.parameters import Parameters
from mta.daemons.smtpd.storage import Storage
from mta.proto.status import INTERNAL_ERROR, MailError
from mta.queue.room import NO_SPACE, WRITE_ERROR
from mta.util.log import Log

MESSAGE = b"Subject: hi\r\n\r\nhi\r\n"
LEAST = 1500  # octets: for messages of 1000


class Bench:
    """A Storage with a clock and a disk of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, log: Path, minfree: int) -> None:
        self.now = 100.0
        self.free = 10 * LEAST
        monkeypatch.setattr(os, "statvfs", lambda _: self)
        self._log = log
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
        parameters = Parameters(
            queue_directory="/q", log_file="/l", message_size_limit=1024, queue_minfree=minfree
        )
        self.storage = Storage(parameters, lambda: self.now, Log(descriptor, "smtp", "smtp", 1))

    f_flag = f_files = 0
    f_frsize = 1

    @property
    def f_bavail(self) -> int:
        return self.free

    def said(self) -> list[str]:
        return [json.loads(line)["event"] for line in self._log.read_text().splitlines()]

    def may_announce(self, size: int = 0) -> str:
        """The refusal of a message of that size at MAIL, if there is one."""
        try:
            self.storage.check(size)
        except MailError as error:
            return str(error.status)
        return ""

    def may_send(self) -> bool:
        """Whether DATA is answered 354."""
        try:
            self.storage.begin()
        except MailError:
            return False
        return True


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, tmp_path / "log", 0)


def test_a_full_disk_is_told_once_and_so_is_its_end(bench: Bench) -> None:
    assert bench.may_announce() == ""
    bench.free = 1500
    bench.now += 1
    for _ in range(3):
        assert bench.may_announce() == str(NO_SPACE)
        assert not bench.may_send()
    assert bench.said() == ["storage_refused"]
    bench.free = 10_000
    bench.now += 0.9
    assert not bench.may_send()  # the last look counts for a second
    bench.now += 0.1
    assert bench.may_announce() == ""
    assert bench.said() == ["storage_refused", "storage_accepted"]


def test_what_a_client_announces_must_fit_beside_the_reserve(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = Bench(monkeypatch, tmp_path / "log", minfree=500)
    bench.free = 1000
    assert bench.may_announce(size=500) == ""
    assert bench.may_announce(size=501) == str(NO_SPACE)
    assert bench.may_announce() == ""
    assert bench.said() == []  # that is one client's message


@pytest.mark.parametrize("status", [NO_SPACE, WRITE_ERROR])
def test_a_disk_that_failed_is_left_alone_then_tried_by_one_message_a_second(
    bench: Bench, status: object
) -> None:
    bench.storage.refused(MailError(status, "EIO"))  # type: ignore[arg-type]
    assert bench.may_announce() == str(status)
    assert not bench.may_send()
    bench.now += 10
    assert bench.may_announce() == bench.may_announce() == ""
    assert [bench.may_send(), bench.may_send()] == [True, False]
    assert bench.may_announce() == str(status)
    bench.now += 1  # that client went away, or is slow
    assert [bench.may_send(), bench.may_send()] == [True, False]
    bench.storage.refused(MailError(WRITE_ERROR, "EIO"))
    bench.now += 9.9
    assert bench.may_announce() == str(WRITE_ERROR)
    bench.now += 0.1
    assert bench.may_send()
    assert bench.said() == ["storage_refused"]
    bench.storage.accepted()
    assert [bench.may_send(), bench.may_send()] == [True, True]
    assert bench.said() == ["storage_refused", "storage_accepted"]


def test_a_refusal_that_the_look_explains_is_over_with_it(bench: Bench) -> None:
    bench.storage.refused(MailError(NO_SPACE, "No space left on device"))
    bench.free = 0
    bench.now += 1
    assert bench.may_announce() == str(NO_SPACE)
    bench.free = 10_000
    bench.now += 1
    assert [bench.may_send(), bench.may_send()] == [True, True]
    assert bench.said() == ["storage_refused", "storage_accepted"]


def test_other_refusals_say_nothing_about_the_disk(bench: Bench) -> None:
    bench.storage.refused(MailError(INTERNAL_ERROR))
    assert bench.may_send()
    assert bench.said() == []


@pytest.fixture
def full_house(short_path: Path) -> Iterator[House]:
    with open_house(short_path, queue_minfree=2**50) as opened:
        yield opened


@pytest.fixture
def house(short_path: Path) -> Iterator[House]:
    with open_house(short_path) as opened:
        yield opened


def test_no_message_is_begun_on_a_full_disk(full_house: House) -> None:
    with full_house.client() as client:
        client.greeted()
        for _ in range(2):
            refusal = client.say("MAIL FROM:<alice@client.test>", 452)
            assert refusal.text == "4.3.1 Insufficient system storage"
        client.say("RCPT TO:<bob@posthouse.test>", 503)
        client.say("QUIT", 221)
    assert full_house.cleanup.submissions == []
    (told,) = full_house.logged("storage_refused")
    assert told["level"] == "error"
    assert "octets free" in told["reason"]
    refused = full_house.logged("reject")[0]
    assert (refused["command"], refused["sender"]) == ("MAIL", "alice@client.test")


def test_what_cleanup_cannot_write_one_client_sends_and_no_other(house: House) -> None:
    house.cleanup.refusal = WRITE_ERROR
    with house.client() as first, house.client() as second:
        second.greeted()
        second.say("MAIL FROM:<alice@client.test>", 250)
        second.say("RCPT TO:<bob@posthouse.test>", 250)
        first.greeted()
        first.say("MAIL FROM:<alice@client.test>", 250)
        first.say("RCPT TO:<bob@posthouse.test>", 250)
        first.content(MESSAGE, 451)
        first.say("MAIL FROM:<alice@client.test>", 451)
        assert second.say("DATA", 451).text == "4.3.0 Queue file write error"
        second.say("MAIL FROM:<alice@client.test>", 451)
    assert len(house.cleanup.submissions) == 1
    assert [each["reason"] for each in house.logged("storage_refused")] == ["the test wants it"]


def test_mail_is_taken_again_by_itself(house: House) -> None:
    house.cleanup.refusal = NO_SPACE
    with house.client(timeout=20) as client:
        client.greeted()
        client.say("MAIL FROM:<alice@client.test>", 250)
        client.say("RCPT TO:<bob@posthouse.test>", 250)
        client.content(MESSAGE, 452)
        house.cleanup.refusal = None

        def is_taken() -> bool:
            assert house.logged("storage_refused")  # and the log's pipe is empty again
            client.send("MAIL FROM:<alice@client.test>")
            return client.reply().code == 250

        wait_until(is_taken, "the end of the pause", 20)
        client.say("RCPT TO:<bob@posthouse.test>", 250)
        client.content(MESSAGE)
        client.mail("alice@client.test", ["bob@posthouse.test"], MESSAGE)
    assert len(house.logged("storage_accepted")) == 1
