"""Root gives itself up before it looks at what daemons wrote."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.users import identity

from mta.commands.privilege import become_queue_owner
from mta.queue.layout import Keepers, create_layout

SCRIPT = """\
import os, sys
from mta.commands.privilege import become_queue_owner
become_queue_owner(sys.argv[1])
become_queue_owner(sys.argv[1])
print(os.getresuid(), os.getresgid(), os.getgroups())
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""


def _after(queue: Path) -> list[str]:
    command = [sys.executable, "-I", "-c", SCRIPT, str(queue)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()


@pytest.mark.requires("root")
def test_root_becomes_the_queues_owner_for_good(short_path: Path) -> None:
    create_layout(str(short_path), Keepers.separated("daemon", "sys"))
    uid, gid, _ = identity("daemon")
    assert _after(short_path) == [f"{(uid,) * 3} {(gid,) * 3} [{gid}]", "for good"]


@pytest.mark.requires("root")
def test_a_link_is_taken_for_what_it_is(short_path: Path) -> None:
    """It is root's; the folder that it leads to says nothing."""
    (short_path / "elsewhere").mkdir()
    shutil.chown(short_path / "elsewhere", "daemon", "daemon")
    (short_path / "incoming").symlink_to("elsewhere")
    assert _after(short_path)[0].startswith("(0, 0, 0)")


def test_others_stay_who_they_are(short_path: Path) -> None:
    create_layout(str(short_path))
    become_queue_owner(str(short_path))
    assert os.access(short_path / "incoming", os.W_OK)


def test_no_queue(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(FileNotFoundError):
        become_queue_owner(str(short_path / "nothing"))
