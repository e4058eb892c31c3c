"""A look at what may be away: an answer, an error, or nothing within bounds."""

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.util.distant import open_distant

TIMEOUT = 0.2
Opener = Callable[..., int]


def test_what_is_there_is_handed_over(tmp_path: Path) -> None:
    before = _children()
    (tmp_path / "link").symlink_to(tmp_path)
    opened = open_distant(str(tmp_path / "link"), 10.0)
    found = tmp_path.stat()
    assert (opened.status.st_mode, opened.status.st_uid) == (found.st_mode, found.st_uid)
    assert stat.S_ISDIR(opened.status.st_mode)
    assert os.path.samestat(os.fstat(opened.descriptor), found)
    assert not os.get_inheritable(opened.descriptor)
    opened.close()
    assert _children() == before


def test_what_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        open_distant(str(tmp_path / "nothing"), 10.0)
    assert raised.value.filename == str(tmp_path / "nothing")


def hang(*_: object, **__: object) -> int:
    while True:
        signal.pause()


def die(*_: object, **__: object) -> int:
    os._exit(1)


@pytest.mark.parametrize(
    ("opener", "error"), [(hang, TimeoutError), (die, OSError)], ids=["away", "dead"]
)
def test_without_an_answer_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opener: Opener, error: type[OSError]
) -> None:
    descriptors = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opener)
        with pytest.raises(error):
            open_distant(str(tmp_path), TIMEOUT)
    assert os.listdir("/proc/self/fd") == descriptors


def test_the_child_holds_nothing_of_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A master that waits for the end of a channel must not wait for a file server."""
    before = _children()
    reader, writer = os.pipe()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", hang)
        patched.setattr(os, "kill", lambda *_: None)  # it goes on, as within the kernel
        with pytest.raises(TimeoutError):
            open_distant(str(tmp_path), TIMEOUT)
    (child,) = _children() - before
    os.close(writer)
    assert os.read(reader, 1) == b""  # the end, though the child is there
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _children() -> set[int]:
    pid = os.getpid()
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
