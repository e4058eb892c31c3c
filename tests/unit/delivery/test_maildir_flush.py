"""A flush that fails: the delivery failed, and nobody sees anything of it."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mta.delivery.mailboxes import KnownMailboxes
from mta.delivery.maildir import deliver_to_maildir, open_base
from mta.proto.status import MailError

FOLDERS = ("posthouse.test", "bob")


@pytest.fixture
def base(tmp_path: Path) -> Iterator[int]:
    descriptor = open_base(str(tmp_path))
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("fails", [stat.S_ISREG, stat.S_ISDIR], ids=["file", "folder"])
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EIO, "451 4.3.0 mailbox cannot be written"),
        (errno.ENOSPC, "452 4.3.1 no space for the mailbox"),
        (errno.EDQUOT, "452 4.2.2 mailbox is full"),
    ],
)
def test_a_flush_that_fails_is_a_deferral_that_leaves_nothing(
    base: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[int], bool],
    number: int,
    status: str,
) -> None:
    deliver_to_maildir(base, FOLDERS, "first", [b"x"], KnownMailboxes())
    flush = os.fsync

    def fail(descriptor: int) -> None:
        if fails(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MailError) as refused:
        deliver_to_maildir(base, FOLDERS, "second", [b"x"], KnownMailboxes())
    assert str(refused.value.status) == status
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["first"]
