"""A valid configuration for each test to change."""

from pathlib import Path

import pytest
from support.configuration import ConfigurationFolder


@pytest.fixture
def folder(tmp_path: Path) -> ConfigurationFolder:
    return ConfigurationFolder(tmp_path)
