"""What the tests of one daemon, or of the plugin alone, share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plugin_house import House
from support.ports import free_port


@pytest.fixture
def house(short_path: Path) -> Iterator[House]:
    """A supervisord with the plugin and stub daemons, not started."""
    made = House(short_path / "queue")
    yield made
    made.close()


@pytest.fixture
def port() -> int:
    """A port for the house's listener."""
    return free_port()
