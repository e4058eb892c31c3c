import os
import resource
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from support.queue_files import ARRIVED, enqueue

from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete, QueueFileMissing
from mta.queue.journal import Retry
from mta.queue.layout import State, path_of
from mta.queue.store import Kind, QueueStore

UNKNOWN = "0" * 22
RETRY = Retry(ARRIVED, 1, ARRIVED, "busy")


def test_the_scan_finds_complete_messages_alone(queue: QueueStore, tmp_path: Path) -> None:
    found = {enqueue(queue) for _ in range(20)}
    (tmp_path / path_of("incoming", UNKNOWN)).touch(0o600)  # being written
    (tmp_path / "incoming/0/README").touch(0o700)
    (tmp_path / "incoming/1" / UNKNOWN).touch(0o700)  # an id that does not belong there
    assert sorted(queue.scan("incoming")) == sorted(found)
    assert list(queue.scan("deferred")) == []


def test_a_folder_that_is_gone_hides_nothing_else(queue: QueueStore, tmp_path: Path) -> None:
    (tmp_path / "hold/0").rmdir()
    while (queue_id := enqueue(queue)).endswith("0"):
        pass  # that folder is gone
    queue.move(queue_id, "incoming", "hold")
    assert list(queue.scan("hold")) == [queue_id]


def test_all_else_is_found_as_what_it_is(queue: QueueStore, tmp_path: Path) -> None:
    for name in ("README", "0/README", "1/" + UNKNOWN, "0/\udcff\n", "0/" + "x" * 255):
        (tmp_path / "incoming" / name).touch()
    (tmp_path / "incoming/00").mkdir()
    (tmp_path / path_of("incoming", UNKNOWN)).touch(0o600)
    found = {kind: set[str]() for kind in Kind}
    for kind, name in queue.look("incoming"):
        found[kind].add(name)
    assert found == {
        Kind.MESSAGE: set(),
        Kind.UNFINISHED: {UNKNOWN},
        Kind.FOREIGN: {
            "README",
            "00",
            "0/README",
            "1/" + UNKNOWN,
            "0/\udcff\n",
            "0/" + "x" * 255,
        },
    }


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_that_is_none_hides_nothing_else(
    queue: QueueStore, tmp_path: Path, kind: str
) -> None:
    queue_ids = {enqueue(queue) for _ in range(20)}
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / UNKNOWN).touch(0o700)
    for path in (tmp_path / "incoming/0").iterdir():
        queue_ids.remove(path.name)
        path.unlink()
    (tmp_path / "incoming/0").rmdir()
    if kind == "file":
        (tmp_path / "incoming/0").touch()
    else:
        (tmp_path / "incoming/0").symlink_to(elsewhere)
    found = queue.look("incoming")
    assert {next(found).name for _ in queue_ids} == queue_ids
    with pytest.raises(NotADirectoryError, match="incoming/0"):
        next(found)


@pytest.mark.parametrize(
    ("state", "act"),
    [
        ("corrupt", lambda queue, queue_id: queue.quarantine(queue_id, "incoming")),
        ("deferred", lambda queue, queue_id: queue.move(queue_id, "incoming", "deferred")),
    ],
)
def test_a_folder_that_is_missing_is_no_missing_message(
    queue: QueueStore, tmp_path: Path, state: State, act: Callable[[QueueStore, str], object]
) -> None:
    """Else the queue manager would forget the message, and find it again with each scan."""
    queue_id = enqueue(queue)
    (tmp_path / path_of(state, queue_id)).parent.rmdir()
    with pytest.raises(FileNotFoundError):
        act(queue, queue_id)


def test_a_record_that_the_disk_took_in_part_hides_none_behind_it(
    queue: QueueStore, tmp_path: Path
) -> None:
    queue_id = enqueue(queue)
    size = (tmp_path / path_of("incoming", queue_id)).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for taken in (1, 5, 12, 40):  # of the mark, of the head, of the record's octets
        size += taken
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(OSError, match=f"wrote {taken} of"):
                queue.append_log("incoming", queue_id, [RETRY, RETRY])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    queue.append_log("incoming", queue_id, [msgspec.structs.replace(RETRY, attempts=7)])
    with queue.open_message("incoming", queue_id) as message:
        assert message.attempts == 7


def test_a_message_moves_and_goes(queue: QueueStore) -> None:
    queue_id = enqueue(queue)
    queue.move(queue_id, "incoming", "deferred")
    queue.append_log("deferred", queue_id, [RETRY])
    with queue.open_message("deferred", queue_id) as message:
        assert (message.state, message.attempts) == ("deferred", 1)
    queue.set_due("deferred", queue_id, ARRIVED + 300.5)
    assert queue.due("deferred", queue_id) == ARRIVED + 300.5
    queue.remove(queue_id, "deferred")
    assert list(queue.scan("deferred")) == []


@pytest.mark.parametrize(
    "act",
    [
        lambda queue: queue.open_message("incoming", UNKNOWN),
        lambda queue: queue.append_log("incoming", UNKNOWN, [RETRY]),
        lambda queue: queue.set_due("incoming", UNKNOWN, ARRIVED),
        lambda queue: queue.due("incoming", UNKNOWN),
        lambda queue: queue.move(UNKNOWN, "incoming", "deferred"),
        lambda queue: queue.remove(UNKNOWN, "incoming"),
        lambda queue: queue.quarantine(UNKNOWN, "incoming"),
    ],
)
def test_a_message_that_is_gone_is_normal(
    queue: QueueStore, act: Callable[[QueueStore], object]
) -> None:
    with pytest.raises(QueueFileMissing):
        act(queue)


def test_what_is_no_id_is_never_looked_for(queue: QueueStore) -> None:
    with pytest.raises(ValueError, match="not a queue id"):
        queue.remove("../../etc/passwd", "incoming")


def test_quarantine_keeps_what_lies_there(queue: QueueStore, tmp_path: Path) -> None:
    path = tmp_path / path_of("incoming", UNKNOWN)
    places = set()
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        places.add(queue.quarantine(UNKNOWN, "incoming"))
    assert {(tmp_path / place).read_bytes() for place in places} == {b"one", b"two", b"three"}
    assert path_of("corrupt", UNKNOWN) in places
    assert {path_of("corrupt", name) for name in queue.scan("corrupt")} == places
    assert list(queue.scan("incoming")) == []


def link(path: Path) -> None:
    (path.parent / "target").touch(0o700)
    path.symlink_to("target")


def hard_link(path: Path) -> None:
    path.touch(0o700)
    os.link(path, path.parent / "another")


@pytest.mark.parametrize(
    "make",
    [
        link,
        hard_link,
        lambda path: os.mkfifo(path, 0o700),
        lambda path: path.mkdir(0o700),
        lambda path: path.touch(0o640),
        lambda path: path.touch(0o700),
    ],
    ids=["link", "hard link", "pipe", "folder", "mode", "empty"],
)
def test_what_is_no_queue_file_can_be_set_aside(
    queue: QueueStore, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    before = os.umask(0)
    try:
        make(tmp_path / path_of("incoming", UNKNOWN))
    finally:
        os.umask(before)
    assert list(queue.scan("incoming")) == [UNKNOWN]
    with pytest.raises(QueueFileCorrupt):
        queue.open_message("incoming", UNKNOWN)
    assert queue.quarantine(UNKNOWN, "incoming") == path_of("corrupt", UNKNOWN)
    assert list(queue.scan("incoming")) == []


@pytest.mark.requires("root")
def test_a_file_of_another_user_is_none_of_ours(queue: QueueStore, tmp_path: Path) -> None:
    queue_id = enqueue(queue)
    os.chown(tmp_path / path_of("incoming", queue_id), 65534, -1)
    with pytest.raises(QueueFileCorrupt, match="belongs to uid 65534"):
        queue.open_message("incoming", queue_id)


def test_an_unfinished_file_is_not_corrupt(queue: QueueStore, tmp_path: Path) -> None:
    (tmp_path / path_of("incoming", UNKNOWN)).touch(0o600)
    with pytest.raises(QueueFileIncomplete):
        queue.open_message("incoming", UNKNOWN)


def test_an_unfinished_file_that_nobody_can_complete_is(queue: QueueStore, tmp_path: Path) -> None:
    """Files are completed in incoming/ alone."""
    (tmp_path / path_of("deferred", UNKNOWN)).touch(0o600)
    with pytest.raises(QueueFileCorrupt, match="mode 0600"):
        queue.open_message("deferred", UNKNOWN)


def test_a_failed_open_leaks_no_descriptor(queue: QueueStore, tmp_path: Path) -> None:
    (tmp_path / path_of("incoming", UNKNOWN)).touch(0o700)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(QueueFileCorrupt):
            queue.open_message("incoming", UNKNOWN)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_error_of_the_system_says_nothing_about_the_file(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = enqueue(queue)

    def full(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="Too many open files"):
        queue.open_message("incoming", queue_id)


def test_a_file_that_we_may_not_read_is_none_of_ours(
    queue: QueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator who copied it in as root must not make the queue manager try for ever."""
    queue_id = enqueue(queue)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(QueueFileCorrupt, match="belongs to uid"):
        queue.open_message("incoming", queue_id)
