"""Do something as another user, with that user's groups and none of root's."""

import contextlib
import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.needs import missing

__all__ = ["STRANGER", "attempt_as", "identity", "new_user", "ordinary_user"]

STRANGER: Final = "54321"  # a uid without a name, a group or anything of its own

_SCRIPT: Final = """\
import errno, os, pathlib, socket, sys
def connect(path):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(path)
    client.settimeout(10)
    return client
try:
    result = eval(sys.argv[1])
except OSError as error:
    result = errno.errorcode[error.errno or 0]
print(result)
"""


def identity(user: str) -> tuple[int, int, list[int]]:
    """The user's uid, primary group and further groups."""
    if user.isdigit():
        return int(user), int(user), []
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, [g.gr_gid for g in grp.getgrall() if user in g.gr_mem]


def attempt_as(user: str, expression: str, directory: Path) -> str:
    """Evaluate a Python expression as the user: its value in text, or the name of the errno.

    It sees os, pathlib, socket, and connect(PATH), a client of a SEQPACKET socket.
    """
    uid, gid, groups = identity(user)
    done = subprocess.run(
        [sys.executable, "-I", "-c", _SCRIPT, expression],
        user=uid,
        group=gid,
        extra_groups=groups,
        cwd=directory,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Without root's right to read everything."""
    if missing("root"):
        yield
        return
    os.seteuid(int(STRANGER))
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def new_user(home: Path, *groups: str) -> Iterator[pwd.struct_passwd]:
    """A user of this host, gone afterwards, with a group of the same name and these; for root."""
    name = f"mta-{os.urandom(4).hex()}"
    further = ("--groups", ",".join(groups)) if groups else ()
    options = ("--no-create-home", "--home-dir", str(home), "--user-group", *further)
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    subprocess.run(["useradd", *options, name], check=True, env=path)
    try:
        entry = pwd.getpwnam(name)
        home.mkdir(mode=0o755)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        yield entry
    finally:
        subprocess.run(["userdel", "--force", name], check=True, env=path, capture_output=True)
