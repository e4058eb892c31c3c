"""The log daemon, given a pipe by its master: every line in the file, or its loss told."""

import contextlib
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.waiting import wait_until

from mta.master.channel import Bye, Command, Crossing
from mta.util.log import Log


class Plant:
    """The log daemon's surroundings: the pipe that all write to, and the file."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self.place = place
        self.stack = stack
        self.file = place / "log" / "mail.log"
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, self.reader)
        stack.callback(os.close, self.writer)
        self.log = Log(self.writer, "smtp", "smtp_000", 1)
        row = {"name": "log", "daemon": "log", "listen": ["pipe:log"], "restart": "always"}
        write_snapshot(place, row)

    def begin(self) -> DaemonProcess:
        daemon = DaemonProcess(
            ["-m", "mta.daemons.log"], self.place, [("pipe:log", self.reader)], service="log"
        )
        self.stack.enter_context(daemon)
        assert daemon.hear() == Crossing("free")
        return daemon

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self.writer, view) :]

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        text = (path or self.file).read_text()
        assert text.endswith("\n") or not text
        return [json.loads(line) for line in text.splitlines()]

    def has(self, event: str) -> Callable[[], bool]:
        return lambda: any(line["event"] == event for line in self.lines())


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with contextlib.ExitStack() as stack:
        yield Plant(tmp_path, stack)


def test_lines_come_whole_and_in_order(plant: Plant) -> None:
    plant.begin()
    for number in range(2000):
        plant.write(json.dumps({"event": "line", "number": number}).encode() + b"\n")
    wait_until(lambda: len(plant.lines()) == 2000, "all lines")
    assert [line["number"] for line in plant.lines()] == list(range(2000))


def test_a_renamed_file_is_followed_by_itself(plant: Plant) -> None:
    plant.begin()
    plant.log.info("before")
    wait_until(plant.has("before"), "the first line")
    rotated = plant.file.rename(plant.file.with_suffix(".1"))

    def written() -> bool:
        plant.log.info("after")
        return plant.file.exists() and plant.has("after")()

    wait_until(written, "a line in the new file", 5)
    assert plant.lines(rotated)[0]["event"] == "before"


def test_wake_opens_the_file_at_once(plant: Plant) -> None:
    daemon = plant.begin()
    plant.log.info("before")
    wait_until(plant.has("before"), "the first line")
    plant.file.rename(plant.file.with_suffix(".1"))
    daemon.tell(Command("wake"))
    wait_until(plant.file.exists, "the new file", 0.9)


GARBAGE = [
    b"no json at all",
    b"",
    b"{",
    b'{"event":"nested","fields":{"a":1}}',
    b"[1,2]",
    b'{"event":"x"} {"event":"y"}',
    b'{"event":"\x1b[2J"}',
    b'{"event":"\xff\xfe"}',
    b"\x00" * 100,
    b'{"event":"' + b"x" * 5000 + b'"}',
    b"y" * 300_000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_quoted_and_harms_no_line_beside_it(plant: Plant, garbage: bytes) -> None:
    daemon = plant.begin()
    plant.log.info("before")
    plant.write(garbage + b"\n")
    plant.log.info("after")
    # What the daemon says itself goes to the log descriptor: here, to the test.
    (record,) = wait_until(lambda: daemon.events("garbage"), "the report")
    wait_until(plant.has("after"), "the line after it")
    assert [line["event"] for line in plant.lines()] == ["before", "after"]
    assert record["text"].startswith(garbage[:1].decode("utf-8", "backslashreplace"))
    assert len(record["text"]) <= 4 * 512


def test_memory_is_bounded_whatever_comes(plant: Plant) -> None:
    daemon = plant.begin()
    status = Path(f"/proc/{daemon.process.pid}/statm")
    before = int(status.read_text().split()[1])
    plant.write(b"z" * 20_000_000)
    plant.write(b"\n")
    plant.log.info("after")
    wait_until(plant.has("after"), "the line after it")
    pages = int(status.read_text().split()[1]) - before
    assert pages * resource.getpagesize() < 8_000_000


def test_retire_takes_along_what_is_in_the_pipe(plant: Plant) -> None:
    daemon = plant.begin()
    daemon.process.send_signal(signal.SIGSTOP)
    for number in range(100):
        plant.log.info("line", number=number)
    daemon.tell(Command("retire"))
    daemon.process.send_signal(signal.SIGCONT)
    daemon.hear_until(Bye("retired"))
    assert daemon.ended() == 0
    assert [line["number"] for line in plant.lines()] == list(range(100))


def test_without_its_master_it_takes_along_what_is_in_the_pipe(plant: Plant) -> None:
    daemon = plant.begin()
    daemon.process.send_signal(signal.SIGSTOP)
    plant.log.info("last")
    daemon.channel.close()
    daemon.process.send_signal(signal.SIGCONT)
    assert daemon.ended(5) == 0
    assert plant.has("last")()


def test_a_successor_goes_on_where_the_first_one_ended(plant: Plant) -> None:
    first = plant.begin()
    plant.log.info("one")
    wait_until(plant.has("one"), "the first line")
    first.process.kill()
    first.ended()
    plant.log.info("two")
    plant.begin()
    plant.log.info("three")
    wait_until(plant.has("three"), "the last line")
    assert [line["event"] for line in plant.lines()] == ["one", "two", "three"]


def test_a_full_disk_loses_no_line_that_the_pipe_can_hold(plant: Plant) -> None:
    daemon = plant.begin()
    plant.log.info("before")
    wait_until(plant.has("before"), "the first line")
    size = plant.file.stat().st_size
    # A limit on the file's size stands in for a full disk: a line is cut, then refused.
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size + 50, -1))
    for number in range(20):
        plant.log.info("line", number=number)
    (blocked,) = wait_until(lambda: daemon.events("log_blocked"), "the complaint")
    assert blocked["reason"] == "[Errno 27] File too large"
    assert plant.file.stat().st_size == size + 50
    plant.log.info("waits in the pipe")
    before = daemon.cpu_seconds()
    time.sleep(0.5)
    assert daemon.cpu_seconds() - before < 0.2
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
    assert len(wait_until(lambda: daemon.events("log_resumed"), "the relief")) == 1
    wait_until(plant.has("waits in the pipe"), "the file to go on")
    numbers = [line["number"] for line in plant.lines() if line["event"] == "line"]
    assert numbers == list(range(20))


def test_a_file_rotated_while_the_disk_was_full_holds_whole_lines(plant: Plant) -> None:
    daemon = plant.begin()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (50, -1))
    plant.log.info("cut")
    wait_until(lambda: daemon.events("log_blocked"), "the complaint")
    plant.file.rename(plant.file.with_suffix(".1"))
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
    wait_until(lambda: plant.file.exists() and plant.has("cut")(), "the whole line", 5)
    assert plant.file.with_suffix(".1").stat().st_size == 50


def test_what_cannot_be_written_before_the_end_is_told_on_stderr(plant: Plant) -> None:
    daemon = plant.begin()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (50, -1))
    plant.log.info("cut")
    wait_until(lambda: daemon.events("log_blocked"), "the complaint")
    daemon.tell(Command("retire"))
    assert daemon.ended() == 0
    assert daemon.process.stderr is not None
    said = [json.loads(line)["event"] for line in daemon.process.stderr.read().splitlines()]
    assert said == ["log_blocked", "log_lost"]


def test_a_missing_folder_is_named(plant: Plant) -> None:
    (plant.place / "log").rmdir()
    with DaemonProcess(
        ["-m", "mta.daemons.log"], plant.place, [("pipe:log", plant.reader)], service="log"
    ) as daemon:
        assert daemon.ended() == os.EX_CONFIG
        (record,) = daemon.events("start_failed")
        assert record["reason"] == f"NEEDS {plant.place}/log: No such file or directory"


def test_the_folder_is_all_that_it_may_touch(plant: Plant) -> None:
    daemon = plant.begin()
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    plant.file.unlink()
    plant.file.symlink_to(plant.place / "elsewhere")
    daemon.tell(Command("wake"))
    wait_until(lambda: daemon.events("log_blocked"), "the complaint")
    assert not (plant.place / "elsewhere").exists()
