"""Debian's Dovecot as a mail store that takes mail over LMTP, on a UNIX socket.

store = Dovecot(folder, ["bob@posthouse.test"])
store.start()
... virtual_transport: store.transport
store.mailbox("bob@posthouse.test")
"""

from collections.abc import Sequence
from pathlib import Path

from support.debian import unpacked
from support.enclosure import Enclosure
from support.waiting import wait_until

__all__ = ["Dovecot"]

_START = 20.0  # seconds
_CONFIGURATION = """\
protocols = lmtp
log_path = /var/log/dovecot.log
ssl = no
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_location = maildir:/var/store/%d/%n
postmaster_address = postmaster@posthouse.test
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = passwd-file
  args = /etc/dovecot/users
  default_fields = uid=store gid=store home=/var/store/%d/%n
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
"""


class Dovecot:
    """One in a folder of its own, with mailboxes for these addresses."""

    def __init__(self, folder: Path, users: Sequence[str]) -> None:
        """PackageUnavailable when there is no such package."""
        package = unpacked("dovecot-lmtpd")
        self._enclosure = Enclosure(folder, package, ("store", "dovecot", "dovenull"))
        self._enclosure.make("var/store", "store")
        self._enclosure.make("var/lib/dovecot")
        self._enclosure.write("etc/dovecot/dovecot.conf", _CONFIGURATION)
        people = "".join(f"{user}:{{PLAIN}}secret::::::\n" for user in users)
        self._enclosure.write("etc/dovecot/users", people)
        self._socket = folder / "run" / "dovecot" / "lmtp"

    @property
    def transport(self) -> str:
        """The transport that brings mail here."""
        return f"lmtp:unix:{self._socket}"

    def start(self) -> None:
        """Run, and listen."""
        self._enclosure.start("/usr/sbin/dovecot", "-F")
        wait_until(self._listens, f"dovecot to listen\n{self._enclosure.story()}", _START)

    def mailbox(self, user: str) -> list[bytes]:
        """What came for a user."""
        name, _, domain = user.partition("@")
        new = self._enclosure.folder / "var" / "store" / domain / name / "new"
        return [path.read_bytes() for path in sorted(new.glob("*"))]

    def stop(self) -> None:
        """End it, and show its story if the test fails."""
        print(self._enclosure.story())
        self._enclosure.stop()

    def _listens(self) -> bool:
        assert self._enclosure.is_running, self._enclosure.story()
        return self._socket.exists()
