"""Postfix's postmap and tinycdb's cdb, to put the same questions to them as to our tables."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["POSTFIX_CDB", "POSTFIX_PCRE", "POSTFIX_SQLITE", "Postmap", "tiny_query"]

POSTFIX_CDB: Final = ("postmap", "/usr/lib/postfix/postfix-cdb.so")  # what tests of it need
POSTFIX_PCRE: Final = ("postmap", "/usr/lib/postfix/postfix-pcre.so")
POSTFIX_SQLITE: Final = ("postmap", "/usr/lib/postfix/postfix-sqlite.so")
_ENVIRONMENT: Final = {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
_NOT_FOUND: Final = 1  # exit status of `postmap -q` when no key was found


class Postmap:
    """Postfix with a configuration of its own, below `directory`, that says next to nothing."""

    def __init__(self, directory: Path) -> None:
        self._configuration = directory / "postfix"
        self._configuration.mkdir()
        # At this level keys are folded as UTF-8.
        (self._configuration / "main.cf").write_text("compatibility_level = 3.6\n")

    def build(self, table: str) -> str:
        """Compile TYPE:PATH; the warnings."""
        return self._run(table).stderr

    def query(self, table: str, keys: Iterable[str]) -> dict[str, str]:
        """The keys, as they were asked for, that the table has, and their values."""
        done = self._run("-q", "-", table, keys=keys, statuses=(0, _NOT_FOUND))
        assert not done.stderr, done.stderr
        return dict(line.split("\t", 1) for line in done.stdout.split("\n")[:-1])

    def ask(self, table: str, key: str) -> str | None:
        """The value of one key, which may have newlines; what Postfix warns of does not matter."""
        done = self._run("-q", key, table, statuses=(0, _NOT_FOUND))
        return done.stdout.removesuffix("\n") if done.returncode == 0 else None

    def _run(
        self, *arguments: str, keys: Iterable[str] = (), statuses: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["postmap", "-c", self._configuration, *arguments],
            input="".join(f"{key}\n" for key in keys),
            env=_ENVIRONMENT,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert done.returncode in statuses, done.stderr
        return done


def tiny_query(file: Path, key: str) -> str | None:
    """What tinycdb finds in a file."""
    done = subprocess.run(
        ["cdb", "-q", file, key],
        env=_ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 100), done.stderr
    return done.stdout if done.returncode == 0 else None
