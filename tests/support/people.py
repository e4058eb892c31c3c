"""Users of this host who get mail: made for a test where root runs it, else who runs it.

Each has a folder of the test under his name, which is his home where the test made him.
"""

import contextlib
import itertools
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

__all__ = ["Person", "people"]

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_NUMBERS = itertools.count()  # of all users that this process makes: some live at the same time
_PATIENCE = 60.0  # seconds; useradd waits for other tests that add users


class Person(Struct, frozen=True):
    """A user who gets mail, and a folder of his."""

    name: str
    home: Path

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """A file of his there."""
        path = self.home / name
        path.write_text(text)
        path.chmod(mode)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(self.name)
            os.chown(path, entry.pw_uid, entry.pw_gid)
        return path


@contextlib.contextmanager
def people(folder: Path, count: int) -> Iterator[list[Person]]:
    """Users with homes below the folder; without root's rights one, who runs the test."""
    if os.geteuid() != 0:
        name = pwd.getpwuid(os.geteuid()).pw_name
        (folder / name).mkdir(mode=0o755)
        yield [Person(name, folder / name)]
        return
    made: list[Person] = []
    try:
        for number in itertools.islice(_NUMBERS, count):
            name = f"mta{os.getpid()}x{number}"
            home = folder / name
            _run("useradd", "--home-dir", str(home), "--create-home", "--no-log-init", name)
            home.chmod(0o755)
            made.append(Person(name, home))
        yield made
    finally:
        for person in made:
            _run("userdel", person.name)


def _run(*command: str) -> None:
    done = subprocess.run(
        command, env=_ENVIRONMENT, capture_output=True, timeout=_PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
