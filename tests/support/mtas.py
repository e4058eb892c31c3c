"""Other people's MTAs, run from Debian's packages: they send to us, and take what we send.

mta = Exim(folder)
mta.start(relay_to=instance.port)
mta.submit(message, "alice@example.org", ["bob@posthouse.test"])

Each takes mail for sink.test on its port and keeps it, and relays all other mail to a port of this
host. They need root, and mount namespaces.
"""

import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from support.debian import unpacked
from support.enclosure import Enclosure
from support.ports import free_port
from support.waiting import wait_until

__all__ = ["SINK", "Exim", "Mta", "OpenSmtpd", "Postfix"]

SINK = "sink.test"
_KEEPER = "sink"  # the user whose Maildir all mail for SINK lies in
_START = 20.0  # seconds


class Mta(ABC):
    """One MTA in a folder of its own; nothing runs until `start`."""

    package: ClassVar[str]
    users: ClassVar[tuple[str, ...]]
    program: ClassVar[tuple[str, ...]]  # in the foreground
    sendmail: ClassVar[tuple[str, ...]] = ("/usr/sbin/sendmail",)

    def __init__(self, folder: Path) -> None:
        """PackageUnavailable when there is no such package."""
        self.port = free_port()
        self.enclosure = Enclosure(folder, unpacked(self.package), (_KEEPER, *self.users))
        self.enclosure.make("var/sink", _KEEPER)

    def start(self, relay_to: int) -> None:
        """Listen on 127.0.0.1, and send mail for others than SINK to that port there."""
        self.prepare(relay_to)
        self.run_with_configuration()

    def run_with_configuration(self) -> None:
        """Listen, with the configuration that is there."""
        self.enclosure.start(*self.program)
        wait_until(self._listens, f"{self.package} to listen\n{self.enclosure.story()}", _START)

    def submit(self, message: bytes, sender: str, recipients: list[str]) -> None:
        """Hand in a message, whose lines end in LF, by the MTA's own sendmail command."""
        self.enclosure.run(*self.sendmail, "-i", "-f", sender, *recipients, stdin=message)

    def received(self) -> list[bytes]:
        """What came for SINK, a message for each recipient, with the MTA's fields before it."""
        folder = self.enclosure.folder / "var" / "sink" / "all" / "new"
        return [path.read_bytes() for path in sorted(folder.glob("*"))]

    def stop(self) -> None:
        """End it, and show its story if the test fails."""
        print(self.enclosure.story())
        self.enclosure.stop()

    @abstractmethod
    def prepare(self, relay_to: int) -> None:
        """Write its configuration and make its folders."""

    def _listens(self) -> bool:
        assert self.enclosure.is_running, self.enclosure.story()
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


class Postfix(Mta):
    """Postfix; its limit on the lines that it sends is off."""

    package = "postfix"
    users = ("postfix", "postdrop")
    program = ("/usr/sbin/postfix", "start-fg")

    def prepare(self, relay_to: int) -> None:
        """Write its configuration and make its folders."""
        self.enclosure.make("var/spool/postfix")
        self.enclosure.make("var/lib/postfix", "postfix")
        keeper = self.enclosure.make("var/sink").stat().st_uid
        self.enclosure.write(
            "etc/postfix/main.cf",
            f"""\
compatibility_level = 3.6
myhostname = postfix.peer.test
mydestination =
local_recipient_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /var/log/maillog
alias_maps =
alias_database =
append_dot_mydomain = no
biff = no
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
relayhost = [127.0.0.1]:{relay_to}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_line_length_limit = 0
virtual_mailbox_domains = {SINK}
virtual_mailbox_base = /var/sink
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{keeper}
virtual_gid_maps = static:{keeper}
virtual_minimum_uid = 1
""",
        )
        self.enclosure.write(
            "etc/postfix/master.cf",
            f"""\
127.0.0.1:{self.port} inet n - n - - smtpd
pickup  unix       n - n 60   1 pickup
cleanup unix       n - n -    0 cleanup
qmgr    unix       n - n 300  1 qmgr
rewrite unix       - - n -    - trivial-rewrite
bounce  unix       - - n -    0 bounce
defer   unix       - - n -    0 bounce
trace   unix       - - n -    0 bounce
flush   unix       n - n 1000 0 flush
smtp    unix       - - n -    - smtp
showq   unix       n - n -    - showq
error   unix       - - n -    - error
retry   unix       - - n -    - error
virtual unix       - n n -    - virtual
anvil   unix       - - n -    1 anvil
postlog unix-dgram n - n -    1 postlogd
""",
        )


class Exim(Mta):
    """Exim 4; its limit on the lines that it sends is off."""

    package = "exim4-daemon-light"
    users = ("Debian-exim",)
    program = ("/usr/sbin/exim4", "-bdf")
    sendmail = ("/usr/sbin/exim4",)

    def prepare(self, relay_to: int) -> None:
        """Write its configuration and make its folders."""
        for folder in ("var/spool/exim4", "var/log/exim4", "run/exim4"):
            self.enclosure.make(folder, "Debian-exim")
        self.enclosure.write(
            "etc/exim4/exim4.conf",
            f"""\
primary_hostname = exim.peer.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
acl_smtp_rcpt = everything
message_size_limit = 0
keep_environment =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts =

begin acl
everything:
  accept

begin routers
sink:
  driver = accept
  domains = {SINK}
  transport = maildir
relay:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = smtp

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = /var/sink/all
  create_directory
  user = {_KEEPER}
  group = {_KEEPER}
  return_path_add
  envelope_to_add
smtp:
  driver = smtp
  port = {relay_to}
  message_linelength_limit = 1M
  hosts_avoid_tls = *

begin retry
* * F,1h,1m
""",
        )


class OpenSmtpd(Mta):
    """OpenSMTPD."""

    package = "opensmtpd"
    users = ("opensmtpd", "opensmtpq")
    program = ("/usr/sbin/smtpd", "-d")
    # Installed, the command would be set-gid.
    sendmail = ("setpriv", "--regid", "opensmtpq", "--clear-groups", "/usr/sbin/sendmail")

    def prepare(self, relay_to: int) -> None:
        """Write its configuration and make its folders."""
        self.enclosure.make("var/lib/opensmtpd/empty")
        self.enclosure.make("var/spool/smtpd", mode=0o711)
        self.enclosure.write(
            "etc/smtpd.conf",
            f"""\
smtp max-message-size 100M
table sinks {{ "@{SINK}" = "{_KEEPER}" }}
listen on 127.0.0.1 port {self.port} hostname opensmtpd.peer.test
action "sink" maildir "/var/sink/all" virtual <sinks>
action "relay" relay host "smtp+notls://127.0.0.1:{relay_to}" helo opensmtpd.peer.test
match from any for domain "{SINK}" action "sink"
match from any for any action "relay"
""",
        )
