"""A disk that fills up while mail is written: a deferral, and mailboxes as they were."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_disk import SmallDisk

from mta.delivery.mailboxes import KnownMailboxes
from mta.delivery.maildir import open_maildir
from mta.delivery.maildir_quota import Quota, QuotaKeeper
from mta.delivery.mbox import append_to_mbox
from mta.proto.status import MailError

pytestmark = pytest.mark.requires("root", "mkfs.ext4", "mount")

LARGE = [b"x" * 100_000 + b"\n"] * 40  # the disk has a quarter of it


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    with SmallDisk(place, tmp_path / "image", megabytes=2, inodes=64):
        yield place


@pytest.fixture
def base(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_an_mbox_keeps_what_it_had(folder: Path, base: int) -> None:
    append_to_mbox(base, "bob", "", [b"A: 1\n\nfirst\n"])
    before = (folder / "bob").read_bytes()
    with pytest.raises(MailError, match=r"452 4\.3\.1 no space"):
        append_to_mbox(base, "bob", "", LARGE)
    assert (folder / "bob").read_bytes() == before
    assert os.listdir(folder) == ["bob"]
    append_to_mbox(base, "bob", "", [b"A: 2\n\nsecond\n"])
    assert (folder / "bob").read_bytes().startswith(before + b"From ")


def test_a_maildir_with_a_quota(folder: Path, base: int) -> None:
    keeper = QuotaKeeper(Quota(octets=10**9))
    with open_maildir(base, ["bob"], KnownMailboxes()) as maildir:
        room = keeper.room(maildir.folder, lambda: LARGE)
        with pytest.raises(MailError, match=r"452 4\.3\.1 no space"):
            maildir.deliver(f"n1{room.suffix}", LARGE)
    assert os.listdir(folder / "bob/new") == []
    assert (folder / "bob/maildirsize").read_text() == f"{10**9}S\n0 0\n"
