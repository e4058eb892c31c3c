"""Content of a queue file: all of it, or a deferral."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.delivery.content import ContentReader
from mta.proto.status import MailError

MESSAGE = b"A: 1\r\nB: 2\r\n two\r\n\r\nbody\r\n"


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(b"head" + MESSAGE + b"tail")
    handle = os.open(path, os.O_RDONLY)
    yield handle
    os.close(handle)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_all_of_the_content_and_nothing_around_it(descriptor: int, size: int) -> None:
    reader = ContentReader(descriptor, 4, len(MESSAGE))
    for _ in range(2):  # once for each recipient
        assert b"".join(reader.chunks(size)) == MESSAGE
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0  # the position belongs to all holders


def test_a_truncated_file_is_never_delivered_as_if_it_were_whole(descriptor: int) -> None:
    reader = ContentReader(descriptor, 4, len(MESSAGE) + 100)
    with pytest.raises(MailError, match=r"451 4\.3\.0 queue file truncated: 96 octets"):
        list(reader.chunks())


def test_a_descriptor_that_cannot_be_read_is_a_deferral(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(MailError, match=r"451 4\.3\.0 queue file read error"):
            list(ContentReader(folder, 0, 10).chunks())
    finally:
        os.close(folder)


@pytest.mark.parametrize("limit", [5, 12, 21, 1000])
def test_the_header_section_ends_at_the_empty_line_or_at_the_limit(
    descriptor: int, limit: int
) -> None:
    reader = ContentReader(descriptor, 4, len(MESSAGE))
    assert reader.headers(limit) == b"A: 1\r\nB: 2\r\n two\r\n"[:limit]


@pytest.mark.parametrize(
    ("content", "headers"),
    [(b"", b""), (b"\r\nbody", b""), (b"A: 1\r\n", b"A: 1\r\n"), (b"A: 1\r\n\r\n", b"A: 1\r\n")],
)
def test_messages_without_a_body_or_without_headers(
    tmp_path: Path, content: bytes, headers: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    handle = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        assert ContentReader(handle, 0, len(content)).headers(100) == headers
    finally:
        os.close(handle)
