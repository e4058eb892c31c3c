"""The `mta` command in this process, on a configuration of the test's own."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.commands import RunMta
from support.configuration import ConfigurationFolder

from mta.commands.main import mta


@pytest.fixture
def folder(short_path: Path) -> ConfigurationFolder:
    """Where `mta check` finds nothing wrong: users of daemons get through to it."""
    return ConfigurationFolder(short_path)


@pytest.fixture
def run_mta(folder: ConfigurationFolder) -> RunMta:
    """Run one subcommand; its status must be the expected one."""

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(mta, ["-c", str(folder.directory), *arguments])
        assert result.exit_code == status, (result.output, result.exception)
        return result

    return run
