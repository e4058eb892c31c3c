"""Install the code as a copy that only root can change, under a name made from its content.

    install_code.py SOURCE DESTINATION

DESTINATION/DIGEST gets the folders `mta` and `templates` of SOURCE, readable for all, and compiled
modules, which daemons could not write there. It is made under another name and renamed: a copy is
whole or not there, and processes of the former one still find their modules in it. Prints
"installed PATH", or "present PATH" when there was nothing to do.
"""

import compileall
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FOLDERS: Final = ("mta", "templates")
_KEPT: Final = 2  # copies: the new one, and the one that is running
_OPEN: Final = 0o755


def main(source: Path, destination: Path) -> None:
    """Install, unless this very code is there."""
    os.umask(0o022)
    destination.mkdir(parents=True, exist_ok=True)
    copy = destination / _digest(source)
    if copy.is_dir():
        sys.stdout.write(f"present {copy}\n")
        return
    unfinished = Path(tempfile.mkdtemp(prefix=".", dir=destination))
    try:
        for path in _files(source):
            target = unfinished / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        compileall.compile_dir(unfinished, quiet=1, stripdir=unfinished, prependdir=copy)
        unfinished.chmod(_OPEN)
        unfinished.rename(copy)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _prune(destination, copy)
    sys.stdout.write(f"installed {copy}\n")


def _files(source: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        for path in sorted((source / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _digest(source: Path) -> str:
    """A name for the content: of the Python that compiles it, all paths and all octets."""
    digest = hashlib.sha256(sys.version.encode())
    for path in _files(source):
        data = path.read_bytes()
        digest.update(f"\0{path.relative_to(source)}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _prune(destination: Path, copy: Path) -> None:
    others = [path for path in destination.iterdir() if path != copy]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[_KEPT - 1 :]:
        shutil.rmtree(path)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
