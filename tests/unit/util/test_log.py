"""A log line is whole, bounded and honest about what was lost, whatever is thrown at it."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.util.log import LINE_LIMIT, Log, Value

HEAD = ["time", "level", "service", "process", "pid", "generation", "event"]
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20).filter(
    lambda name: name not in {*HEAD, "dropped", "shortened"}
)
LONG = st.builds(lambda text, times: text * times, st.text(max_size=20), st.integers(0, 2000))
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | LONG


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def lines(self) -> list[dict[str, Any]]:
        try:
            data = os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return []
        assert data.endswith(b"\n")
        return [json.loads(line) for line in data.split(b"\n")[:-1]]

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_the_head_comes_first_and_in_order(pipe: Pipe) -> None:
    before = time.time()
    Log(pipe.writer, "smtp", "smtp_000", 3).info("connect", client="192.0.2.1", port=25)
    (line,) = pipe.lines()
    assert list(line) == [*HEAD, "client", "port"]
    assert before - 0.001 <= line.pop("time") <= time.time() + 0.001
    assert line == {
        "level": "info",
        "service": "smtp",
        "process": "smtp_000",
        "pid": os.getpid(),
        "generation": 3,
        "event": "connect",
        "client": "192.0.2.1",
        "port": 25,
    }


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels(pipe: Pipe, level: str) -> None:
    getattr(Log(pipe.writer, "smtp", "smtp_000", 3), level)("event")
    assert [line["level"] for line in pipe.lines()] == [level]


def test_a_failure_bears_its_traceback(pipe: Pipe) -> None:
    log = Log(pipe.writer, "smtp", "smtp_000", 3)
    try:
        raise KeyError
    except KeyError as error:
        log.failure("crashed", error, where="here")
    (line,) = pipe.lines()
    assert line["level"] == "error"
    assert line["reason"] == "KeyError"
    assert line["where"] == "here"
    assert "test_a_failure_bears_its_traceback" in line["traceback"]


@given(event=LONG | ANY_TEXT, fields=st.dictionaries(NAMES, VALUES, max_size=30))
def test_any_record_is_one_line_within_the_limit(event: str, fields: dict[str, Value]) -> None:
    pipe = Pipe()
    try:
        Log(pipe.writer, "smtp", "smtp_000", 3).info(event, **fields)
        data = os.read(pipe.reader, 1 << 20)
    finally:
        pipe.close()
    assert len(data) <= LINE_LIMIT
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    line = json.loads(data)
    assert list(line)[: len(HEAD)] == HEAD
    assert "shortened" in line or list(line)[len(HEAD) :] == list(fields)


@given(short=st.text(max_size=50), long=st.text(min_size=1, max_size=20).map(lambda t: t * 5000))
def test_only_long_strings_are_shortened(short: str, long: str) -> None:
    pipe = Pipe()
    try:
        Log(pipe.writer, "smtp", "smtp_000", 3).info("event", short=short, long=long, number=7)
        (line,) = pipe.lines()
    finally:
        pipe.close()
    assert line["short"] == short
    assert line["number"] == 7
    assert line["long"].endswith("…")
    assert long.startswith(line["long"][:-1])


def test_shortening_uses_the_room_there_is(pipe: Pipe) -> None:
    Log(pipe.writer, "smtp", "smtp_000", 3).info("event", text="x" * 5000)
    assert LINE_LIMIT - 4 <= len(os.read(pipe.reader, 10000)) <= LINE_LIMIT


def test_a_record_of_too_many_fields_says_so(pipe: Pipe) -> None:
    fields = {f"name_of_a_field_{number}": "x" for number in range(500)}
    Log(pipe.writer, "smtp", "smtp_000", 3).info("event", **fields)
    (line,) = pipe.lines()
    assert line["event"] == "event"
    assert line["shortened"] == 500


def test_a_full_pipe_drops_and_the_next_line_tells(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, 4096)
    log = Log(pipe.writer, "smtp", "smtp_000", 3)
    for _ in range(100):
        log.info("event", text="x" * 200)
    came = len(pipe.lines())
    assert 0 < came < 100
    log.info("event")
    log.info("event")
    assert [line.get("dropped") for line in pipe.lines()] == [100 - came, None]


def test_a_broken_pipe_falls_back_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        log = Log(writer, "smtp", "smtp_000", 3)
        log.info("first")
        log.info("second")
    finally:
        os.close(writer)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["log_lost", "first", "second"]


def test_a_name_in_the_head_is_bounded(pipe: Pipe) -> None:
    Log(pipe.writer, "s" * 9000, "p" * 9000, 3).info("event", text="x" * 9000)
    (line,) = pipe.lines()
    assert line["event"] == "event"
