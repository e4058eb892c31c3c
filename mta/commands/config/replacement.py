"""The operator's two files replaced by those of a generation, and put back.

    .rollback-*            where the files of a generation are checked; removed afterwards
    rollback.unfinished    lies there while one file is replaced, and the other is not
    NAME.unused            what an operator wrote and no generation has, kept under a free name

Each file is replaced whole, and keeps its mode and owner; a symbolic link stays, and the file that
it leads to is replaced.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from mta.commands.failure import Failure
from mta.config.provenance import Files
from mta.config.unfinished import UNFINISHED
from mta.util.replace import replace_file

__all__ = ["Replacement", "candidate", "replace"]

_PREFIX: Final = ".rollback-"
_MODE: Final = 0o644  # of a file that was missing
_LARGEST: Final = 64 * 1024 * 1024  # octets: what can be put back
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class _Old:
    """A file as it was."""

    path: str  # where symbolic links lead
    data: bytes | None  # None: there was none
    mode: int = _MODE
    owner: tuple[int, int] | None = None


@dataclass(frozen=True)
class Replacement:
    """What was done to a configuration folder."""

    directory: str
    in_force: int  # the generation that stays so until the master has loaded another
    old: tuple[_Old, ...]
    unused: tuple[str, ...]  # paths: what was kept

    def undo(self) -> None:
        """Put the files back as they were."""
        with _unfinished(self.directory, self.in_force):
            for old in self.old:
                if old.data is not None:
                    _write(old, old.data)
                elif os.path.exists(old.path):
                    os.unlink(old.path)
        for path in self.unused:
            os.unlink(path)


@contextlib.contextmanager
def candidate(directory: str, files: Files) -> Iterator[str]:
    """A folder beside the configuration that holds these files while the block lasts.

    The folder of configurations must be locked: what an earlier one left is removed.
    """
    for name in os.listdir(directory):
        if name.startswith(_PREFIX):
            shutil.rmtree(os.path.join(directory, name))
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=directory)
    try:
        for name, text in files.by_name().items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text.encode())
        yield folder
    finally:
        shutil.rmtree(folder)


def replace(
    directory: str, files: Files, generation: int, *, in_force: int, known: Collection[Files]
) -> Replacement:
    """Replace the two files by those of a generation.

    A text that is in none of `known` is kept beside the file. OSError: the files are as they were;
    if not even that could be done, the folder is marked as unfinished.
    """
    texts = {name: text.encode() for name, text in files.by_name().items()}
    old = {name: _look(os.path.realpath(os.path.join(directory, name))) for name in texts}
    unused = []
    for name, found in old.items():
        written = {each.by_name()[name].encode() for each in known}
        if found.data is not None and found.data not in written:
            unused.append(_keep(found.path))
    done = Replacement(directory, in_force, tuple(old.values()), tuple(unused))
    try:
        with _unfinished(directory, generation):
            for name, found in old.items():
                if found.data != texts[name]:
                    _write(found, texts[name])
    except BaseException:
        done.undo()
        raise
    return done


def _look(path: str) -> _Old:
    """Read a file; Failure if what is there cannot be put back."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _Old(path, None)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Failure(f"{path}: not a regular file: move it away", os.EX_CONFIG)
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise Failure(f"{path}: larger than {_LARGEST} octets: move it away", os.EX_CONFIG)
    return _Old(path, data, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))


def _keep(path: str) -> str:
    """Give the file a second name that was free; the first one is about to be another file's."""
    number = 1
    while True:
        name = f"{path}.unused" if number == 1 else f"{path}.unused-{number}"
        try:
            os.link(path, name)
        except FileExistsError:
            number += 1
        else:
            return name


def _write(old: _Old, data: bytes) -> None:
    directory, name = os.path.split(old.path)
    folder = os.open(directory, _FOLDER)
    try:
        replace_file(folder, name, data, old.mode, old.owner)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _unfinished(directory: str, generation: int) -> Iterator[None]:
    """Mark the folder until the block has ended well; the generation is what would mend it."""
    folder = os.open(directory, _FOLDER)
    try:
        replace_file(folder, UNFINISHED, b"rollback to generation %d\n" % generation, _MODE)
        yield
        os.unlink(UNFINISHED, dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)
