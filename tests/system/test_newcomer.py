"""The first minutes: a fresh clone, an ordinary user, and the words of the Makefile."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.dialogue import Dialogue
from support.ports import free_port
from support.processes import kill, processes_in
from support.smtp_peer import SmtpPeer
from support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534


@dataclass(frozen=True)
class Clone:
    """A clone in a folder of its own, and a user with an empty home."""

    path: Path
    home: Path

    def make(self, *words: str) -> str:
        """Run make as an ordinary user; what it printed."""
        # Root steps down: nothing of the roll-out may need it.
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        command = ["make", "-C", str(self.path), *words]
        done = subprocess.run(
            [*become, *command] if os.geteuid() == 0 else command,
            env={**self._kept_environment(), "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @staticmethod
    def _kept_environment() -> dict[str, str]:
        """The system's commands, and how this machine reaches its package index."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy")
            or name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
            or (name.startswith("PIP_") and name != "PIP_CACHE_DIR")
        }
        return {**kept, "PATH": "/usr/local/bin:/usr/bin:/bin"}

    @property
    def queue(self) -> Path:
        return self.path / ".local" / "queue"

    def master(self) -> int:
        return int((self.queue / "pid" / "supervisord.pid").read_text())

    def files(self) -> set[str]:
        """Every file of the clone, but for compiled modules."""
        return {
            str(path.relative_to(self.path))
            for path in self.path.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


@pytest.fixture
def clone(short_path: Path) -> Iterator[Clone]:
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    fresh = Clone(short_path / "posthouse", short_path / "home")
    fresh.home.mkdir()
    for name in filter(None, listing.split("\0")):
        if (REPOSITORY / name).exists():
            (fresh.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, fresh.path / name)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(short_path)], check=True)
    yield fresh
    for process in processes_in(fresh.queue):
        kill(process)


@pytest.mark.requires("git", "make", "setpriv")
@pytest.mark.timeout(290)
def test_from_a_fresh_clone_to_a_clean_one(clone: Clone) -> None:
    before = clone.files()
    port, other_port = free_port(), free_port()

    shown = clone.make("up", f"PORT={port}")
    (message,) = (clone.path / ".local" / "mail").rglob("new/*")
    assert str(message.parent.parent.relative_to(clone.path)) in shown
    with Dialogue("127.0.0.1", port) as client:
        client.greeted().mail("a@example.org", ["b@posthouse.test"], b"Subject: next\r\n\r\n")
    master = clone.master()

    assert "changed=0 " in clone.make("up", f"PORT={port}")
    assert clone.master() == master

    with SmtpPeer() as relay:
        clone.make("up", f"PORT={other_port}", f"RELAYHOST=[127.0.0.1]:{relay.port}")
        assert clone.master() == master, "another port is a reload, not a restart"
        with Dialogue("127.0.0.1", other_port) as client:
            client.greeted().mail("a@posthouse.test", ["c@elsewhere.test"], b"Subject: out\r\n\r\n")
        wait_until(lambda: relay.messages, "the message at the relay host")
    with pytest.raises(ConnectionRefusedError):
        Dialogue("127.0.0.1", port)

    clone.make("down")
    assert processes_in(clone.queue) == []
    clone.make("down")  # nothing runs: fine, and said so

    clone.make("clean")
    assert clone.files() == before
    used = {path.name for path in clone.home.iterdir()}
    assert used <= {".cache"}, "only pip's cache of packages may be in the home"
