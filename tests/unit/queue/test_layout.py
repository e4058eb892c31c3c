import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from mta.queue.layout import STATES, create_layout, path_of

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
