"""The maildrop itself: what a look finds, what is swept away, and where strange things go."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from support.maildrop import drop, encoded, put

from mta.daemons.pickup import folder as module
from mta.daemons.pickup.folder import LEFTOVER_AGE, Folder
from mta.daemons.pickup.turns import TurnLimits
from mta.queue.errors import QueueFileMissing
from mta.queue.layout import create_layout
from mta.queue.store import QueueStore

LIMITS = TurnLimits(100, 10**9)
LATER = LEFTOVER_AGE + 10


@pytest.fixture
def maildrop(tmp_path: Path) -> Path:
    (tmp_path / "maildrop").mkdir()
    return tmp_path / "maildrop"


@pytest.fixture
def opened(maildrop: Path) -> Iterator[Folder]:
    with closing(Folder(str(maildrop))) as folder:
        yield folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QueueStore]:
    create_layout(str(tmp_path / "queue"))
    with closing(QueueStore(str(tmp_path / "queue"))) as store:
        yield store


@pytest.fixture
def other_file_system(store: QueueStore) -> Iterator[Path]:
    """A folder that lies on another one than the queue."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    if folder.stat().st_dev == os.fstat(store.descriptor).st_dev:
        pytest.skip("the queue lies in memory, too")
    yield folder
    shutil.rmtree(folder)


def test_a_look_sorts_by_name_and_kind(maildrop: Path, opened: Folder) -> None:
    name, passed_over = drop(maildrop), drop(maildrop)
    put(maildrop, b"", "README")
    (maildrop / "link").symlink_to("README")
    put(maildrop, b"", ".making")
    (maildrop / ".folder").mkdir()
    found = opened.look(LIMITS, {passed_over}, time.time())
    assert list(found.turns.names()) == [name]
    assert sorted(found.strange) == ["README", "link"]
    assert found.leftovers == []
    assert found.failure is None


@pytest.mark.parametrize("year", [1980, 2000, 2037])
def test_what_a_writers_clock_says_does_not_matter(
    maildrop: Path, opened: Folder, year: int
) -> None:
    """Neither for whole files nor for those in the making: a user may set that time, too."""
    name = drop(maildrop)
    put(maildrop, b"", ".making")
    then = (year - 1970) * 365.25 * 86400
    for path in (maildrop / name, maildrop / ".making"):
        os.utime(path, (then, then))
    found = opened.look(LIMITS, (), time.time())
    assert list(found.turns.names()) == [name]
    assert found.leftovers == []


def test_both_clocks_must_agree_that_a_file_is_forgotten(
    maildrop: Path, opened: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours may have jumped ahead of the file server's."""
    put(maildrop, b"", ".making")
    found = opened.look(LIMITS, (), time.time() + LATER)
    assert found.leftovers == [".making"]
    assert opened.sweep(found.leftovers) == []
    assert (maildrop / ".making").exists()
    monkeypatch.setattr(module, "LEFTOVER_AGE", -10.0)
    assert opened.sweep([".making", ".gone"]) == [".making"]
    assert list(maildrop.iterdir()) == []


def test_what_is_strange_goes_to_corrupt(
    maildrop: Path, opened: Folder, store: QueueStore, tmp_path: Path
) -> None:
    put(maildrop, b"noise", "x" * 255)
    path = opened.set_aside(store, "x" * 255)
    assert (tmp_path / "queue" / path).read_bytes() == b"noise"
    with pytest.raises(QueueFileMissing):
        opened.set_aside(store, "x" * 255)


def test_on_another_file_system_it_stays_there(other_file_system: Path, store: QueueStore) -> None:
    put(other_file_system, encoded(), "strange")
    (other_file_system / "link").symlink_to("/etc/passwd")
    with closing(Folder(str(other_file_system))) as folder:
        paths = {name: folder.set_aside(store, name) for name in ("strange", "link")}
        with pytest.raises(QueueFileMissing):
            folder.set_aside(store, "strange")
        found = folder.look(LIMITS, (), time.time() + LATER)
    assert (other_file_system / paths["strange"]).read_bytes() == encoded()
    assert os.readlink(other_file_system / paths["link"]) == "/etc/passwd"
    assert (found.strange, found.leftovers) == ([], [])


@pytest.mark.requires("root")
def test_a_trap_of_a_user_there_is_not_used(other_file_system: Path, store: QueueStore) -> None:
    put(other_file_system, b"", "strange")
    (other_file_system / ".corrupt").mkdir()
    os.chown(other_file_system / ".corrupt", 65534, -1)
    with closing(Folder(str(other_file_system))) as folder, pytest.raises(PermissionError):
        folder.set_aside(store, "strange")
    assert (other_file_system / "strange").exists()


def test_one_file_that_cannot_be_looked_at_hides_no_other(
    maildrop: Path, opened: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ESTALE of a file server."""
    names = sorted(drop(maildrop) for _ in range(3))

    class Entry:
        def __init__(self, name: str) -> None:
            self.name = name

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self.name == names[1]:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return os.stat(maildrop / self.name, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "scandir", lambda _: nullcontext(map(Entry, names)))
    found = opened.look(LIMITS, (), time.time())
    assert sorted(found.turns.names()) == [names[0], names[2]]
    assert found.failure is not None
