"""Folders that no row needs: the empty ones go, and nothing that holds mail."""

import fcntl
import socket
from pathlib import Path

import pytest

from mta.queue.clearance import clear, holds_mail
from mta.queue.layout import STATES, Parts, create_layout, path_of

NOTHING = Parts(files=False, private=False, public=False, pid=False, maildrop=False)
HOUSE = {"config", "maildrop", "pid", "private", "public"}
QUEUE_ID = "0" * 21 + "z"


def names(queue: Path) -> set[str]:
    return {path.name for path in queue.iterdir()}


@pytest.mark.parametrize(
    ("parts", "there"),
    [
        (Parts(), {*STATES, *HOUSE}),
        (Parts(files=False), HOUSE),
        (Parts(files=False, public=False), HOUSE - {"public"}),
        (NOTHING, {"config"}),
    ],
)
def test_made_and_cleared_is_what_is_needed(tmp_path: Path, parts: Parts, there: set[str]) -> None:
    create_layout(str(tmp_path / "made"), parts=parts)
    assert names(tmp_path / "made") == there
    create_layout(str(tmp_path / "cleared"))
    removed = clear(str(tmp_path / "cleared"), parts)
    assert names(tmp_path / "cleared") == there
    assert set(removed) == {*STATES, *HOUSE} - there
    assert clear(str(tmp_path / "cleared"), parts) == []


@pytest.mark.parametrize("state", STATES)
def test_a_queue_with_mail_stays_whole(tmp_path: Path, state: str) -> None:
    """Its folders are needed to look at it."""
    create_layout(str(tmp_path))
    mail = tmp_path / path_of("hold", QUEUE_ID).replace("hold", state)
    mail.write_bytes(b"a message")
    assert holds_mail(str(tmp_path))
    clear(str(tmp_path), NOTHING)
    assert names(tmp_path) == {*STATES, "config"}
    assert all(len(names(tmp_path / name)) == 52 for name in STATES)
    mail.unlink()
    assert not holds_mail(str(tmp_path))
    clear(str(tmp_path), NOTHING)
    assert names(tmp_path) == {"config"}


def test_what_a_master_left_goes_with_it(tmp_path: Path) -> None:
    create_layout(str(tmp_path))
    (tmp_path / "pid" / "master.lock").write_text("1\n")
    (tmp_path / "pid" / "supervisord.pid").write_text("1\n")
    for place in ("private/cleanup", "pid/supervisor.sock"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / place))
    clear(str(tmp_path), NOTHING)
    assert names(tmp_path) == {"config"}


def test_nothing_goes_while_a_master_runs(tmp_path: Path) -> None:
    create_layout(str(tmp_path))
    before = names(tmp_path)
    with (tmp_path / "pid" / "master.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert clear(str(tmp_path), NOTHING) == []
    assert names(tmp_path) == before


def test_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    create_layout(str(tmp_path / "queue"))
    queue, elsewhere = tmp_path / "queue", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (queue / "public").rmdir()
    (queue / "public").symlink_to(elsewhere)
    (queue / "private" / "notes").write_text("an operator's")
    assert "public" not in clear(str(queue), NOTHING)
    assert names(queue) == {"config", "public", "private"}
    assert (queue / "private" / "notes").exists()
    assert elsewhere.is_dir()
