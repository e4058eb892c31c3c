"""A file replaced whole."""

import os
import stat
from pathlib import Path

import pytest

from mta.util.replace import replace_file


def _replace(folder: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        replace_file(descriptor, "file", data, mode, owner)
    finally:
        os.close(descriptor)


def test_content_and_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    old = os.open(tmp_path / "file", os.O_RDONLY)
    _replace(tmp_path, b"new", 0o640)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert os.read(old, 9) == b"old"  # who has it open reads on
    os.close(old)
    assert os.listdir(tmp_path) == ["file"]


def test_what_an_earlier_one_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half of something long")
    _replace(tmp_path, b"new", 0o600)
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / ".file.new").symlink_to("other")
    with pytest.raises(OSError, match="symbolic links"):
        _replace(tmp_path, b"new", 0o600)
    assert (tmp_path / "other").read_bytes() == b"other"


@pytest.mark.requires("root")
def test_owner(tmp_path: Path) -> None:
    _replace(tmp_path, b"new", 0o640, (54321, 54322))
    found = (tmp_path / "file").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (54321, 54322, 0o640)
