"""Postfix as Debian ships it, from a configuration directory of its own.

Debian's main.cf and master.cf are taken as they are, but for the place, the names, the one relay
host and the port. The installed system's own configuration is neither read nor touched.
"""

import os
import pwd
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.dialogue import Dialogue
from support.load import message
from support.ports import free_port
from support.waiting import wait_until

from bench.figures import ServerName
from bench.proc import process_tree
from bench.server import BOX_DOMAIN, SINK_DOMAIN, TABLE_PARAMETERS, BenchError

__all__ = ["PostfixServer"]

_SHIPPED: Final = Path("/usr/share/postfix")
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_LISTENER: Final = re.compile(r"^smtp +inet .*$", re.MULTILINE)
_NAMES: Final = {"trivial-rewrite": "rewrite", "postlogd": "log"}  # as Posthouse calls them
_DAY: Final = 86400.0  # seconds

_MAIN: Final = """
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
myhostname = postfix.test
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
virtual_mailbox_domains = {box}
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""


class PostfixServer:
    """One instance of Postfix; `directory` exists, is empty, and lies where anybody may pass."""

    name: ServerName = "postfix"

    def __init__(self, directory: Path, sink: int) -> None:
        self.directory = directory
        self.port = free_port()
        self.version = _postconf("-d", "-h", "mail_version")
        self._config = directory / "etc"
        self._queue = directory / "queue"
        self._write_configuration(sink)

    def _write_configuration(self, sink: int) -> None:
        nobody = pwd.getpwnam("nobody")
        for name in ("etc", "queue", "data", "mail"):
            (self.directory / name).mkdir()
        os.chown(self.directory / "data", pwd.getpwnam("postfix").pw_uid, -1)
        os.chown(self.directory / "mail", nobody.pw_uid, nobody.pw_gid)
        own = _MAIN.format(
            directory=self.directory,
            sink=sink,
            box=BOX_DOMAIN,
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
        )
        (self._config / "main.cf").write_text((_SHIPPED / "main.cf.debian").read_text() + own)
        table = (_SHIPPED / "master.cf.dist").read_text()
        row = f"127.0.0.1:{self.port} inet n - y - - smtpd"
        (self._config / "master.cf").write_text(_LISTENER.sub(row, table, count=1))

    def _postfix(self, verb: str) -> None:
        command = ["postfix", "-c", str(self._config), verb]
        done = subprocess.run(
            command,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        self._postfix("start")

    def stop(self) -> None:
        if self._master() is not None:
            self._postfix("stop")
            wait_until(lambda: self._master() is None, "the end of Postfix", 20.0)

    @property
    def master(self) -> int:
        pid = self._master()
        if pid is None:
            raise BenchError("Postfix does not run")
        return pid

    def _master(self) -> int | None:
        try:
            pid = int((self._queue / "pid" / "master.pid").read_text())
            # A number in a file may have become somebody else's.
            alive = Path(f"/proc/{pid}/comm").read_text().strip() == "master"
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if alive else None

    def daemons(self) -> dict[int, str]:
        tree = process_tree(self.master).values()
        return {process.pid: _NAMES.get(process.command, process.command) for process in tree}

    def end_listeners(self) -> None:
        self._postfix("reload")
        wait_until(lambda: "smtpd" not in self.daemons().values(), "the end of smtpd")

    def waiting(self) -> int:
        return sum(1 for state in ("incoming", "active") for _ in _files(self._queue / state))

    def maildir(self) -> Path:
        return self.directory / "mail" / "all"

    def use_table(self, table: str) -> None:
        settings = [f"{name}={table}" for name in TABLE_PARAMETERS]
        _postconf("-c", str(self._config), "-e", *settings)
        self._postfix("reload")

    def fill(self, count: int) -> None:
        if not count:
            return
        content = self._one_deferred()
        owner = pwd.getpwnam("postfix")
        due = time.time() + _DAY  # a deferred file's time of modification is its next attempt
        for number in range(count):
            made = self._queue / "deferred" / "new"
            made.write_bytes(content)
            made.chmod(0o700)
            os.chown(made, owner.pw_uid, owner.pw_gid)
            os.utime(made, (due, due))
            # Microseconds and the inode's number: what Postfix itself would have called it.
            queue_id = f"{number % 0xFFFFF:05X}{made.stat().st_ino:X}"
            folder = self._queue / "deferred" / queue_id[0]
            if not folder.exists():
                folder.mkdir(0o700)
                os.chown(folder, owner.pw_uid, owner.pw_gid)
            made.rename(folder / queue_id)

    def _one_deferred(self) -> bytes:
        """A queue file as Postfix itself defers it: nobody listens where it relays to."""
        self.start()
        try:
            with Dialogue("127.0.0.1", self.port) as client:
                recipient = f"waiting@{SINK_DOMAIN}"
                client.greeted().mail("from@bench.test", [recipient], message("waiting"))
            deferred = wait_until(
                lambda: list(_files(self._queue / "deferred")), "a deferred message", 30.0
            )
            wait_until(lambda: self.waiting() == 0, "the end of its attempt")
            return deferred[0].read_bytes()
        finally:
            self.stop()
            self.empty()

    def empty(self) -> None:
        for state in ("deferred", "defer"):
            for path in _files(self._queue / state):
                path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _postconf(*arguments: str) -> str:
    command = ["postconf", *arguments]
    done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
