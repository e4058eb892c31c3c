"""A Maildir as its owner sees it: whole messages in new/, and nothing else, whatever fails."""

import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.mailboxes import LEFTOVER_AGE, KnownMailboxes
from mta.delivery.maildir import MaildirNames, crlf_to_lf, deliver_to_maildir, open_base
from mta.proto.status import MailError


@pytest.fixture
def base(tmp_path: Path) -> Iterator[int]:
    descriptor = open_base(str(tmp_path))
    yield descriptor
    os.close(descriptor)


def deliver(base: int, folders: Sequence[str], name: str, pieces: Iterable[bytes]) -> None:
    """The first delivery of a process."""
    deliver_to_maildir(base, folders, name, pieces, KnownMailboxes())


def modes(top: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in top.rglob("*") if path.is_dir()}


def test_the_first_message_makes_the_mailbox(base: int, tmp_path: Path) -> None:
    os.umask(os.umask(0o77))
    deliver(base, ("example.org", "bob"), "n1", [b"Subject: x\n", b"\nhi\n"])
    mailbox = tmp_path / "example.org" / "bob"
    assert (mailbox / "new" / "n1").read_bytes() == b"Subject: x\n\nhi\n"
    assert stat.S_IMODE((mailbox / "new" / "n1").stat().st_mode) == 0o600
    assert sorted(path.name for path in mailbox.iterdir()) == ["cur", "new", "tmp"]
    assert list((mailbox / "tmp").iterdir()) == []
    assert modes(tmp_path) == {0o700}


def test_messages_gather(base: int, tmp_path: Path) -> None:
    for name in ("n1", "n2"):
        deliver(base, ("bob",), name, [name.encode()])
    assert {path.name for path in (tmp_path / "bob" / "new").iterdir()} == {"n1", "n2"}


def test_a_message_larger_than_the_buffer(base: int, tmp_path: Path) -> None:
    pieces = [os.urandom(70_000) for _ in range(7)]
    deliver(base, ("bob",), "big", pieces)
    assert (tmp_path / "bob" / "new" / "big").read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("folder", ["bob", "bob/tmp", "bob/new", "bob/cur"])
def test_no_symbolic_link_turns_a_delivery_elsewhere(
    base: int, tmp_path: Path, folder: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    (tmp_path / folder).symlink_to(elsewhere)
    with pytest.raises(MailError) as failure:
        deliver(base, ("bob",), "n1", [b"x"])
    assert (failure.value.status.code, failure.value.status.enhanced) == (451, "4.2.0")
    assert list(elsewhere.iterdir()) == []


def test_a_file_in_place_of_the_mailbox(base: int, tmp_path: Path) -> None:
    (tmp_path / "bob").write_text("not a mailbox")
    with pytest.raises(MailError, match=r"4\.2\.0 mailbox is not a directory"):
        deliver(base, ("bob",), "n1", [b"x"])


def test_a_place_that_may_not_be_written_is_a_deferral() -> None:
    """Nobody may make folders in /sys, not even root."""
    base = open_base("/sys")
    try:
        with pytest.raises(MailError, match=r"451 4\.3\.0 mailbox cannot be written"):
            deliver(base, ("bob",), "n1", [b"x"])
    finally:
        os.close(base)


def test_a_message_that_cannot_appear_in_new_leaves_nothing_behind(
    base: int, tmp_path: Path
) -> None:
    """A folder bears the message's name, so that the rename fails: for root and all others."""
    (tmp_path / "bob" / "new" / "n1").mkdir(parents=True)
    with pytest.raises(MailError, match=r"451 4\.3\.0"):
        deliver(base, ("bob",), "n1", [b"x"])
    assert list((tmp_path / "bob" / "tmp").iterdir()) == []


def test_content_that_breaks_off_leaves_nothing_behind(base: int, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 300_000
        raise RuntimeError("truncated")

    with pytest.raises(RuntimeError, match="truncated"):
        deliver(base, ("bob",), "n1", broken())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_file_system_is_a_deferral(base: int, tmp_path: Path) -> None:
    """/dev/full stands in for a full disk only for writes, so the file limit is used instead."""
    pid = os.fork()
    if pid == 0:
        import resource  # noqa: PLC0415 - in the child alone
        import signal  # noqa: PLC0415

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            deliver(base, ("bob",), "n1", [b"x" * 5000])
        except MailError as error:
            os._exit(0 if str(error.status) == "452 4.2.2 mailbox is full" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_descriptor_is_left_open(base: int) -> None:
    before = os.listdir("/proc/self/fd")
    deliver(base, ("a", "b"), "n1", [b"x"])
    with pytest.raises(MailError):
        deliver(base, ("a", "b", "new", "n1"), "n2", [b"x"])
    assert len(os.listdir("/proc/self/fd")) == len(before)


OLD_NAME = MaildirNames("posthouse.test").new()
HOUR = 3600.0


def lie(path: Path, age: float) -> None:
    """Make a file look as old as that."""
    then = path.lstat().st_mtime - age
    os.utime(path, (then, then), follow_symlinks=False)


def test_what_a_killed_delivery_left_in_tmp_is_removed(base: int, tmp_path: Path) -> None:
    tmp = tmp_path / "bob" / "tmp"
    tmp.mkdir(parents=True)
    names = MaildirNames("posthouse.test")
    old, young, link, folder = (tmp / names.new() for _ in range(4))
    foreign, target = tmp / "1700000000.P1.host", tmp_path / "target"
    for path in (old, young, foreign, target):
        path.write_bytes(b"half a message")
    link.symlink_to(target)
    folder.mkdir()
    for path in (old, link, folder, foreign, target):
        lie(path, LEFTOVER_AGE + HOUR)
    lie(young, LEFTOVER_AGE - HOUR)
    known = KnownMailboxes()
    deliver_to_maildir(base, ("bob",), "n1", [b"x"], known)
    assert set(tmp.iterdir()) == {young, link, folder, foreign}
    assert target.exists()
    old.touch()
    lie(old, LEFTOVER_AGE + HOUR)
    deliver_to_maildir(base, ("bob",), "n2", [b"x"], known)
    assert old.exists(), "not with each delivery: that would be a look into the folder each time"


def test_a_living_delivery_whose_file_is_taken_for_a_leftover_fails_for_now(
    base: int, tmp_path: Path
) -> None:
    """The clock jumped by days, and another process delivers to the same mailbox."""

    def pieces() -> Iterator[bytes]:
        yield b"x"
        lie(tmp_path / "bob" / "tmp" / OLD_NAME, LEFTOVER_AGE + HOUR)
        deliver(base, ("bob",), "n2", [b"y"])

    with pytest.raises(MailError, match=r"451 4\.3\.0"):
        deliver(base, ("bob",), OLD_NAME, pieces())
    assert [path.name for path in (tmp_path / "bob" / "new").iterdir()] == ["n2"]


def test_the_memory_of_mailboxes_is_bounded(
    base: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.delivery.mailboxes._LIMIT", 3)
    known = KnownMailboxes()
    for number in range(10):
        deliver_to_maildir(base, (f"bob{number}",), "n1", [b"x"], known)
        assert len(known._names_need_syncs) <= 3
    assert len(list(tmp_path.glob("*/new/n1"))) == 10


@pytest.mark.parametrize("covered", [True, False])
def test_where_a_flush_covers_no_names_all_folders_above_are_flushed(
    base: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, covered: bool
) -> None:
    """Another delivery has made the folders, and may die before it flushes their names."""
    for folder in ("tmp", "cur", "new"):
        (tmp_path / "example.org" / "bob" / folder).mkdir(parents=True)
    monkeypatch.setattr("mta.delivery.mailboxes.fsync_covers_name", lambda _: covered)
    flushed = []
    flush = os.fsync

    def record(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        flushed.append(path.relative_to(tmp_path).as_posix())
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    known = KnownMailboxes()
    above = [] if covered else [".", "example.org", "example.org/bob"]
    for name in ("n1", "n2"):
        flushed.clear()
        deliver_to_maildir(base, ("example.org", "bob"), name, [b"x"], known)
        file, new = f"example.org/bob/tmp/{name}", "example.org/bob/new"
        assert flushed == [*above, file, new]


def test_names_differ_and_are_safe_in_a_folder() -> None:
    names = MaildirNames("a/b:c" + "x" * 300)
    made = {names.new() for _ in range(1000)}
    assert len(made) == 1000
    for name in made:
        assert "/" not in name
        assert ":" not in name
        assert len(name) <= 255
        assert name.split(".")[2].startswith("a\\057b\\072c")


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc\r"]), max_size=30),
    st.lists(st.integers(0, 40), max_size=10),
)
def test_line_ends_are_converted_wherever_the_chunks_break(
    parts: list[bytes], breaks: list[int]
) -> None:
    content = b"".join(parts)
    edges = sorted({0, len(content), *(edge for edge in breaks if edge < len(content))})
    chunks = [content[start:end] for start, end in itertools.pairwise(edges)]
    assert b"".join(crlf_to_lf(chunks)) == content.replace(b"\r\n", b"\n")
