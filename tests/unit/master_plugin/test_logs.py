"""The master's logs on a disk that fails: lines may be lost, and no exception gets out."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from supervisor import loggers

from mta.master.plugin.logs import SteadyFileHandler, steady_logs

FULL = Path("/dev/full")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "supervisord.log"


def say(handler: SteadyFileHandler, text: str) -> None:
    handler.emit(loggers.LogRecord(loggers.LevelsByName.INFO, text))


class Open(Protocol):
    def __call__(self, log: Path, max_bytes: int = 1000) -> SteadyFileHandler: ...


@pytest.fixture
def opened() -> Iterator[Open]:
    with ExitStack() as stack:

        def make(log: Path, max_bytes: int = 1000) -> SteadyFileHandler:
            handler = SteadyFileHandler(str(log), "a", max_bytes, 1)
            handler.setFormat("%(message)s\n")
            stack.callback(handler.close)
            return handler

        yield make


def test_what_a_full_disk_does_not_take_is_counted(log: Path, opened: Open) -> None:
    log.symlink_to(FULL)
    handler = opened(log)
    say(handler, "one")
    say(handler, "two")
    log.unlink()
    say(handler, "three")
    say(handler, "four")
    assert log.read_text() == "lines that could not be written: 2\nthree\nfour\n"


def test_a_count_that_is_not_taken_is_kept(log: Path, opened: Open) -> None:
    log.symlink_to(FULL)
    handler = opened(log)
    for _ in range(3):
        say(handler, "lost")
    handler.reopen()
    say(handler, "lost")
    log.unlink()
    say(handler, "here")
    assert log.read_text() == "lines that could not be written: 4\nhere\n"


def test_a_folder_that_takes_no_file_is_tried_again(log: Path, opened: Open) -> None:
    handler = opened(log.parent / "missing" / log.name)
    say(handler, "one")
    (log.parent / "missing").mkdir()
    say(handler, "two")
    written = (log.parent / "missing" / log.name).read_text()
    assert written == "lines that could not be written: 1\ntwo\n"


def test_a_log_that_cannot_be_rotated_goes_on(
    log: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    handler = opened(log, max_bytes=10)
    with monkeypatch.context() as patch:
        patch.setattr(handler, "_rename", refuse)
        say(handler, "longer than ten")
    say(handler, "next")
    assert "next\n" in log.with_name("supervisord.log.1").read_text()
    assert log.read_text() == ""


def test_logs_are_rotated(log: Path, opened: Open) -> None:
    handler = opened(log, max_bytes=10)
    for text in ("longer than ten", "again so long", "short"):
        say(handler, text)
    assert log.read_text() == "short\n"
    assert log.with_name("supervisord.log.1").read_text() == "again so long\n"


def test_a_defect_is_told(log: Path, opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    handler = opened(log)
    handler.setFormat("%(missing)s\n")
    say(handler, "one")
    assert "KeyError" in capsys.readouterr().err


def test_a_file_can_be_removed_and_closed_twice(log: Path, opened: Open) -> None:
    handler = opened(log)
    handler.remove()
    handler.remove()
    handler.close()
    say(handler, "anew")
    assert log.read_text() == "anew\n"


@pytest.fixture
def _supervisors_own() -> Iterator[None]:
    own = loggers.RotatingFileHandler
    yield
    loggers.RotatingFileHandler = own


@pytest.mark.usefixtures("_supervisors_own")
def test_all_logs_of_supervisord_are_replaced(log: Path) -> None:
    logger = loggers.getLogger(loggers.LevelsByName.INFO)
    loggers.handle_file(logger, str(log), "%(levelname)s %(message)s\n", True, 1000, 3)
    options: Any = SimpleNamespace(logger=logger)
    steady_logs(options)
    logger.info("one")
    assert log.read_text() == "INFO one\n"
    (handler,) = logger.handlers
    assert isinstance(handler, SteadyFileHandler)
    assert (handler.maxBytes, handler.backupCount) == (1000, 3)
    child = loggers.getLogger(loggers.LevelsByName.INFO)
    loggers.handle_file(child, str(log), "%(message)s", True, 1000, 3)
    assert isinstance(child.handlers[0], SteadyFileHandler)
    for each in (logger, child):
        each.close()
