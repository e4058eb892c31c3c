"""The `mta` command in this process, on a configuration or a queue of the test's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.commands import MtaQueue, RunMta
from support.configuration import ConfigurationFolder

from mta.commands.main import mta
from mta.commands.queue import queue
from mta.queue.layout import create_layout
from mta.queue.store import QueueStore


@pytest.fixture
def folder(tmp_path: Path) -> ConfigurationFolder:
    return ConfigurationFolder(tmp_path)


@pytest.fixture
def run_mta(folder: ConfigurationFolder) -> RunMta:
    """Run one subcommand; its status must be the expected one."""

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(mta, ["-c", str(folder.directory), *arguments])
        assert result.exit_code == status, (result.output, result.exception)
        return result

    return run


@dataclass
class Options:
    queue_directory: str


@pytest.fixture
def store(short_path: Path) -> Iterator[QueueStore]:
    """An empty queue."""
    create_layout(str(short_path))
    opened = QueueStore(str(short_path))
    yield opened
    opened.close()


@pytest.fixture
def mta_queue(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> MtaQueue:
    """Run `mta queue ARGUMENTS`."""
    monkeypatch.chdir("/")  # most verbs change it

    def run(*arguments: str, stdin: str = "", directory: Path | None = None) -> Result:
        options = Options(str(directory or short_path))
        return CliRunner().invoke(queue, arguments, obj=options, input=stdin)

    return run
