from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.queue.layout import create_layout
from mta.queue.store import QueueStore


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[QueueStore]:
    """An empty queue in `tmp_path`."""
    create_layout(str(tmp_path))
    store = QueueStore(str(tmp_path))
    yield store
    store.close()
