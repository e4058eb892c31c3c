"""The maildrop: what is written comes back; what is damaged, half-written or no file is no mail."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue.errors import QueueFileCorrupt, QueueFileMissing
from mta.queue.maildrop import (
    NAME_LIMIT,
    PIECE,
    DroppedMessage,
    MaildropEncoder,
    Submission,
    is_dropped_name,
    open_dropped,
)
from mta.queue.maildrop_writer import MaildropWriter, new_name

SUBMISSION = Submission("alice@example.org", ("bob", "carol@example.net"), False, "ws1.example")
CONTENT = b"From: alice\r\nSubject: x\r\n\r\nbody\r\n"
LIMIT = 1_000_000


def octets(submission: Submission = SUBMISSION, content: bytes = CONTENT) -> bytes:
    encoder = MaildropEncoder(submission)
    return encoder.opening() + encoder.content(content) + encoder.ending()


def drop(folder: Path, data: bytes) -> str:
    writer = MaildropWriter(str(folder), "ws1.example")
    writer.write(data)
    writer.seal()
    writer.publish()
    writer.close()
    return writer.name


def read(folder: Path, name: str) -> tuple[Submission, bytes]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        message = open_dropped(descriptor, name, LIMIT)
        try:
            return message.submission, b"".join(message.content())
        finally:
            message.close()
    finally:
        os.close(descriptor)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maildrop")


def judge(scratch: Path, data: bytes) -> tuple[Submission, bytes]:
    """What pickup makes of a file with that content."""
    path = scratch / new_name("h")
    path.write_bytes(data)
    try:
        return read(scratch, path.name)
    finally:
        path.unlink()


@pytest.mark.parametrize("content", [b"", CONTENT, b"x" * PIECE, b"y" * (3 * PIECE + 1)])
def test_what_is_written_comes_back(tmp_path: Path, content: bytes) -> None:
    name = drop(tmp_path, octets(content=content))
    assert read(tmp_path, name) == (SUBMISSION, content)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


def test_a_file_is_invisible_until_it_is_published(tmp_path: Path) -> None:
    writer = MaildropWriter(str(tmp_path), "h")
    writer.write(octets())
    assert not any(map(is_dropped_name, os.listdir(tmp_path)))
    writer.seal()
    assert not any(map(is_dropped_name, os.listdir(tmp_path)))
    writer.publish()
    assert os.listdir(tmp_path) == [writer.name]
    writer.close()


def test_what_is_not_published_is_removed(tmp_path: Path) -> None:
    writer = MaildropWriter(str(tmp_path), "h")
    writer.write(octets())
    writer.seal()
    writer.close()
    assert os.listdir(tmp_path) == []


def test_a_rename_whose_answer_was_lost_has_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def lost(source: str, destination: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        rename(source, destination, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        raise FileNotFoundError(2, "the answer to the repeated request")

    monkeypatch.setattr(os, "rename", lost)
    name = drop(tmp_path, octets())
    assert os.listdir(tmp_path) == [name]


def test_a_rename_that_failed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "rename", fail)
    writer = MaildropWriter(str(tmp_path), "h")
    writer.seal()
    with pytest.raises(OSError, match="Stale"):
        writer.publish()
    writer.close()
    assert os.listdir(tmp_path) == []


def test_what_may_not_last_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MaildropWriter(str(tmp_path), "h")
    writer.seal()

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        writer.publish()
    writer.close()
    assert os.listdir(tmp_path) == []


def test_what_pickup_took_before_it_was_flushed_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = MaildropWriter(str(tmp_path), "h")
    writer.seal()

    def taken(_: int) -> None:
        (tmp_path / writer.name).unlink()
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "fsync", taken)
    writer.publish()
    writer.close()


@pytest.mark.parametrize("host", ["", "a" * 300, "ws1.example", "../..", "m\xfcller", "a b\n"])
def test_every_host_makes_safe_names_of_its_own(host: str) -> None:
    names = {new_name(host) for _ in range(100)}
    assert len(names) == 100
    assert all(map(is_dropped_name, names))
    assert max(map(len, names)) <= NAME_LIMIT


@given(cut=st.integers(0, len(octets()) - 1))
def test_a_truncated_file_is_refused(scratch: Path, cut: int) -> None:
    with pytest.raises(QueueFileCorrupt):
        judge(scratch, octets()[:cut])


@given(at=st.integers(0, len(octets()) - 1), change=st.integers(1, 255))
def test_a_file_with_a_wrong_octet_is_refused(scratch: Path, at: int, change: int) -> None:
    data = bytearray(octets())
    data[at] ^= change
    with pytest.raises(QueueFileCorrupt):
        judge(scratch, bytes(data))


@given(data=st.binary(max_size=200))
def test_noise_is_refused(scratch: Path, data: bytes) -> None:
    with pytest.raises(QueueFileCorrupt):
        judge(scratch, data)


@given(more=st.binary(min_size=1, max_size=60))
def test_more_behind_the_end_is_refused(scratch: Path, more: bytes) -> None:
    with pytest.raises(QueueFileCorrupt):
        judge(scratch, octets() + more)


@pytest.mark.parametrize(
    "submission",
    [
        Submission("a\r\nb", ("bob",), False, "h"),
        Submission("a" * 400, ("bob",), False, "h"),
        Submission("", (), False, "h"),
        Submission("", ("bob",), False, "a b"),
    ],
)
def test_an_envelope_out_of_bounds_is_refused(scratch: Path, submission: Submission) -> None:
    with pytest.raises(QueueFileCorrupt, match="malformed envelope"):
        judge(scratch, octets(submission))


def test_the_end_of_a_changed_message_is_never_handed_out(tmp_path: Path) -> None:
    content = b"z" * (3 * PIECE)
    name = drop(tmp_path, octets(content=content))
    folder = os.open(tmp_path, os.O_RDONLY)
    message = open_dropped(folder, name, LIMIT)
    pieces = message.content()
    assert len(next(pieces)) == PIECE
    with open(tmp_path / name, "r+b") as file:  # its owner keeps it open
        file.seek(PIECE + 1000)
        file.write(b"!")
    assert len(next(pieces)) == PIECE  # not the last one: nothing is committed yet
    with pytest.raises(QueueFileCorrupt, match="damaged content"):
        next(pieces)
    message.close()
    os.close(folder)


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_second_name(path: Path) -> None:
    path.write_bytes(octets())
    path.with_name("other").hardlink_to(path)


def make_huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    "make", [make_link, make_second_name, make_huge, os.mkfifo, os.mkdir, Path.touch]
)
def test_what_is_no_file_of_ours_is_refused_at_once(tmp_path: Path, make: object) -> None:
    assert callable(make)
    name = new_name("h")
    make(tmp_path / name)
    with pytest.raises(QueueFileCorrupt):
        read(tmp_path, name)


_NAME = f"1-2-{'0' * 12}-{'f' * 32}-h"


@pytest.mark.parametrize("name", [".hidden", "..", "a/b", "", "x" * 255, f".{_NAME}"])
def test_other_names_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(QueueFileCorrupt, match="name"):
        read(tmp_path, name)


def test_a_file_that_is_gone_is_normal(tmp_path: Path) -> None:
    with pytest.raises(QueueFileMissing):
        read(tmp_path, new_name("h"))


def test_the_owner_is_the_one_that_the_file_system_names(tmp_path: Path) -> None:
    name = drop(tmp_path, octets())
    folder = os.open(tmp_path, os.O_RDONLY)
    message: DroppedMessage = open_dropped(folder, name, LIMIT)
    assert message.owner == os.geteuid()
    message.close()
    os.close(folder)
