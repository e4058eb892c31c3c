import errno
import fcntl
import grp
import os
import pwd
import shutil
import stat
from pathlib import Path

import pytest

from mta.queue.layout import STATES, Keepers, create_layout, path_of

QUEUE_ID = "0" * 21 + "z"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_what_everyone_may_enter_is_open(tmp_path: Path) -> None:
    queue = tmp_path / "deep" / "queue"
    create_layout(str(queue))
    assert {path.name: oct(mode(path)) for path in queue.iterdir()} == {
        "incoming": "0o700",
        "deferred": "0o700",
        "hold": "0o700",
        "corrupt": "0o700",
        "maildrop": "0o3733",
        "pid": "0o700",
        "private": "0o700",
        "public": "0o755",
        "config": "0o755",
    }
    assert {len(list((queue / state).iterdir())) for state in STATES} == {52}
    assert (queue / path_of("incoming", QUEUE_ID)).parent.is_dir()


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        create_layout(str(tmp_path / "queue"))
    finally:
        os.umask(before)
    assert mode(tmp_path / "queue" / "public") == 0o755


def test_a_second_run_changes_nothing_and_a_changed_mode_is_repaired(tmp_path: Path) -> None:
    assert create_layout(str(tmp_path))
    assert create_layout(str(tmp_path)) == []
    (tmp_path / "private").chmod(0o755)
    assert create_layout(str(tmp_path)) == [str(tmp_path / "private")]
    assert mode(tmp_path / "private") == 0o700


def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "incoming").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match="incoming: expected a directory"):
        create_layout(str(tmp_path))


def test_what_a_file_system_does_not_know_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> bytes:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(fcntl, "ioctl", unknown)
    create_layout(str(tmp_path))
    assert create_layout(str(tmp_path)) == []


def test_nothing_but_a_queue_id_becomes_a_path() -> None:
    with pytest.raises(ValueError, match="not a queue id"):
        path_of("incoming", "../../../../etc/passwd")


def owned(path: Path) -> tuple[str, str, str]:
    found = path.lstat()
    owner, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    return owner, group, oct(mode(path))


@pytest.fixture
def separated() -> Keepers:
    """Keepers with users and groups of any Debian: daemon has the mail, sys may connect."""
    return Keepers.separated("daemon", "sys")


@pytest.mark.requires("root")
def test_root_keeps_all_but_the_queue_files(tmp_path: Path, separated: Keepers) -> None:
    queue = tmp_path / "queue"
    create_layout(str(queue), separated)
    assert owned(queue) == ("root", "root", "0o755")
    expected = {
        "maildrop": ("daemon", "daemon", "0o3733"),
        "pid": ("root", "root", "0o711"),
        "private": ("root", "sys", "0o710"),
        "public": ("root", "root", "0o755"),
        "config": ("root", "root", "0o755"),
    }
    for state in STATES:
        expected[state] = ("daemon", "daemon", "0o700")
    assert {path.name: owned(path) for path in queue.iterdir()} == expected
    inner = {owned(path) for state in STATES for path in (queue / state).iterdir()}
    assert inner == {("daemon", "daemon", "0o700")}
    assert owned(queue / "pid" / "qmgr.lock") == ("daemon", "daemon", "0o600")
    assert create_layout(str(queue), separated) == []


@pytest.mark.requires("root")
def test_what_root_alone_had_becomes_the_mail_owners(tmp_path: Path, separated: Keepers) -> None:
    """A system that root ran before it had users."""
    create_layout(str(tmp_path))
    assert create_layout(str(tmp_path), separated)
    assert owned(tmp_path / "incoming" / "z") == ("daemon", "daemon", "0o700")
    assert create_layout(str(tmp_path), separated) == []


@pytest.mark.requires("root")
@pytest.mark.parametrize("name", ["incoming", "private", "pid", "config", "pid/qmgr.lock"])
def test_in_roots_folder_root_takes_it_back(tmp_path: Path, separated: Keepers, name: str) -> None:
    create_layout(str(tmp_path), separated)
    before = owned(tmp_path / name)
    shutil.chown(tmp_path / name, "bin", "bin")
    assert create_layout(str(tmp_path), separated) == [str(tmp_path / name)]
    assert owned(tmp_path / name) == before


@pytest.mark.requires("root")
@pytest.mark.parametrize("name", ["", "hold/z"])
def test_what_others_may_have_put_there_is_left_alone(
    tmp_path: Path, separated: Keepers, name: str
) -> None:
    create_layout(str(tmp_path), separated)
    shutil.chown(tmp_path / name, "bin", "bin")
    with pytest.raises(PermissionError, match="belongs to bin bin"):
        create_layout(str(tmp_path), separated)
    assert owned(tmp_path / name)[0] == "bin"


@pytest.mark.parametrize("name", ["pid/qmgr.lock", "incoming/z", "public"])
def test_a_link_is_never_followed(tmp_path: Path, name: str) -> None:
    create_layout(str(tmp_path / "queue"))
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o711)
    place = tmp_path / "queue" / name
    place.unlink() if place.is_file() else place.rmdir()
    place.symlink_to(victim)
    with pytest.raises(OSError, match=name):
        create_layout(str(tmp_path / "queue"))
    assert mode(victim) == 0o711


def test_a_lock_that_is_no_file_is_named(tmp_path: Path) -> None:
    create_layout(str(tmp_path))
    (tmp_path / "pid" / "qmgr.lock").unlink()
    os.mkfifo(tmp_path / "pid" / "qmgr.lock")
    with pytest.raises(OSError, match=r"expected a regular file.*pid/qmgr\.lock"):
        create_layout(str(tmp_path))
