import errno
import os

import pytest

from mta.util.descriptors import close_read


def test_the_descriptor_is_closed() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    close_read(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_an_error_of_the_disk_is_no_matter_of_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", close)
    close_read(0)


def test_a_descriptor_that_is_not_open_is_a_defect() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        close_read(1 << 20)
