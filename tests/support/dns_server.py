"""Name servers for tests: one whose misbehaviour is scripted, and Debian's nsd, which has none.

Both answer for one zone, given as text, on a port of the loopback, over UDP and TCP.
"""

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

from support.ports import free_port
from support.waiting import wait_until

__all__ = [
    "HEAD",
    "Nsd",
    "Reaction",
    "ScriptedDns",
    "answering",
    "forged_first",
    "garbage",
    "refused",
    "servfail",
    "silent",
    "truncated",
    "wrong_id",
]

HEAD: Final = """\
$ORIGIN example.test.
$TTL 300
@ IN SOA ns.example.test. hostmaster.example.test. 1 3600 600 86400 60
@ IN NS ns.example.test.
ns IN A 127.0.0.1
"""

_ALIASES: Final = 20  # a server too must stop somewhere

# What is sent over UDP or TCP in place of the proper answer to a question.
Reaction = Callable[[dns.message.Message, dns.message.Message], list[bytes]]


def answering(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    """The proper answer."""
    return [answer.to_wire()]


def servfail(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    return [_with_code(question, dns.rcode.SERVFAIL)]


def refused(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    return [_with_code(question, dns.rcode.REFUSED)]


def silent(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    return []


def garbage(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    """Right id and flags, and nothing that could follow them."""
    return [answer.to_wire()[:4] + b"\xff" * 40]


def wrong_id(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    wire = answer.to_wire()
    return [struct.pack("!H", question.id ^ 1) + wire[2:]]


def forged_first(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    """A blind guess arrives before the answer."""
    return [*wrong_id(question, _code(question, dns.rcode.NXDOMAIN)), answer.to_wire()]


def truncated(question: dns.message.Message, answer: dns.message.Message) -> list[bytes]:
    """What a server does whose answer is larger than a datagram (RFC 1035, 4.2.1)."""
    short = dns.message.make_response(question)
    short.flags |= dns.flags.TC
    return [short.to_wire()]


def _code(question: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    answer = dns.message.make_response(question)
    answer.set_rcode(code)
    return answer


def _with_code(question: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    return _code(question, code).to_wire()


@dataclass
class ScriptedDns:
    """Answers out of its zone, except where `udp`, `tcp` or `by_question` says otherwise.

    `by_question` has reactions for "NAME TYPE"; `asked` has "NAME TYPE TRANSPORT" for each one.
    While `holding`, what would be sent over UDP is kept until `release`. `authentic` sets the AD
    flag of all answers.
    """

    zone: str
    by_question: dict[str, Reaction] = field(default_factory=dict)
    udp: Reaction = answering
    tcp: Reaction = answering
    authentic: bool = False
    holding: bool = False
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.load(self.zone)
        self._held: list[tuple[bytes, tuple[str, int]]] = []
        self._lock = threading.Lock()
        self.port, self._datagrams, self._listener = _bind()
        threads = [threading.Thread(target=run) for run in (self._serve_udp, self._serve_tcp)]
        for thread in threads:
            thread.start()
        self._threads = threads
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._datagrams.close()
        self._listener.close()

    @property
    def address(self) -> str:
        """As dns_servers names it."""
        return f"[127.0.0.1]:{self.port}"

    def load(self, zone: str) -> None:
        """Answer out of another zone from now on."""
        self._zone = dns.zone.from_text(zone, "example.test.", relativize=False)

    def count(self, question: str) -> int:
        """How often "NAME TYPE" was asked, over whatever transport."""
        return sum(each.rpartition(" ")[0] == question for each in self.asked)

    def release(self) -> None:
        """Send what was held, and hold nothing more."""
        with self._lock:
            self.holding = False
            for data, peer in self._held:
                self._datagrams.sendto(data, peer)
            self._held.clear()

    def _serve_udp(self) -> None:
        while True:
            data, peer = self._datagrams.recvfrom(65535)
            if not data:
                return
            for reply in self._react(data, "udp"):
                with self._lock:
                    if self.holding:
                        self._held.append((reply, peer))
                    else:
                        self._datagrams.sendto(reply, peer)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):  # shut down at the end
            while True:
                client, _ = self._listener.accept()
                client.settimeout(5)
                with (
                    client,
                    client.makefile("rb") as stream,
                    contextlib.suppress(OSError, struct.error),
                ):
                    (length,) = struct.unpack("!H", stream.read(2))
                    for reply in self._react(stream.read(length), "tcp"):
                        client.sendall(struct.pack("!H", len(reply)) + reply)

    def _react(self, data: bytes, transport: str) -> list[bytes]:
        question = dns.message.from_wire(data)
        (asked,) = question.question
        name = asked.name.to_text(omit_final_dot=True)
        text = f"{name} {dns.rdatatype.to_text(asked.rdtype)}"
        self.asked.append(f"{text} {transport}")
        usual = self.udp if transport == "udp" else self.tcp
        return self.by_question.get(text, usual)(question, self._answer(question))

    def _answer(self, question: dns.message.Message) -> dns.message.Message:
        (asked,) = question.question
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.AA | (dns.flags.AD if self.authentic else 0)
        name: dns.name.Name | None = asked.name
        if not asked.name.is_subdomain(dns.name.from_text("example.test.")):
            answer.set_rcode(dns.rcode.REFUSED)
            return answer
        for _ in range(_ALIASES):
            if name is not None:
                name = self._add_records(answer, name, asked.rdtype)
        if not answer.answer or answer.answer[-1].rdtype != asked.rdtype:
            answer.authority.append(self._rrset("example.test.", dns.rdatatype.SOA))
        return answer

    def _add_records(
        self, answer: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.name.Name | None:
        """Add what the zone has under a name; the name that a CNAME leads to."""
        node = self._zone.get_node(name)
        if node is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif self._zone.get_rdataset(name, kind) is not None:
            answer.answer.append(self._rrset(name.to_text(), kind))
        elif (alias := self._zone.get_rdataset(name, dns.rdatatype.CNAME)) is not None:
            answer.answer.append(self._rrset(name.to_text(), dns.rdatatype.CNAME))
            return dns.name.from_text(alias[0].to_text())
        return None

    def _rrset(self, name: str, kind: dns.rdatatype.RdataType) -> dns.rrset.RRset:
        return self._zone.find_rrset(name, kind)


def _bind() -> tuple[int, socket.socket, socket.socket]:
    """A port that is free for both transports."""
    while True:
        port = free_port()
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(("127.0.0.1", port))
            return port, datagrams, socket.create_server(("127.0.0.1", port))
        except OSError:
            datagrams.close()


class Nsd:
    """An authoritative server of the real world, run by whoever runs the test, in `directory`."""

    def __init__(self, directory: Path, zone: str) -> None:
        self.port = free_port()
        (directory / "zone").write_text(zone)
        (directory / "nsd.conf").write_text(_NSD.format(directory=directory, port=self.port))
        program = shutil.which("nsd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-d", "-c", directory / "nsd.conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._answers, "nsd's first answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)

    @property
    def address(self) -> str:
        """As dns_servers names it."""
        return f"[127.0.0.1]:{self.port}"

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._process.communicate()[0].decode()
        question = dns.message.make_query("example.test.", "SOA")
        with contextlib.suppress(OSError, dns.exception.Timeout):
            return bool(dns.query.udp(question, "127.0.0.1", 0.5, self.port).answer)
        return False


_NSD: Final = """\
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    database: ""
    zonesdir: "{directory}"
    zonelistfile: "{directory}/zone.list"
    xfrdfile: "{directory}/xfrd.state"
    xfrdir: "{directory}"
    pidfile: "{directory}/nsd.pid"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "example.test"
    zonefile: "zone"
"""
