"""Posthouse and Debian's Postfix under the same parameters, given the same letters.

pair.configure({"canonical_maps": ["inline:{a@old.test=b@new.test}"]})
pair.post(letters)              a Fate of each letter, theirs and ours

Both carry mail to peers of their own by the names alpha, beta and gamma: where a value holds
%alpha%, it gets that peer's port; %smtp% is the transport that speaks SMTP.
"""

import re
import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mta.proto.address import parse
from mta.proto.addressfields import AddressFields
from support.instance import Instance
from support.mtas import Postfix
from support.smtp_peer import Message, SmtpPeer
from support.waiting import wait_until

__all__ = ["HOST", "Fate", "Letter", "Pair"]

HOST = "here.test"
Value = str | bool | int | list[str]
_PEERS = ("alpha", "beta", "gamma")
_PATIENCE = 60.0  # seconds
_NUMBER = re.compile(rb"^X-Number: ([0-9]+)\r?$", re.MULTILINE)
_STATUS = re.compile(rb"[245]\.[0-9]+\.[0-9]+ ")
_BASE: dict[str, Value] = {
    "myhostname": HOST,
    "myorigin": HOST,
    "mydestination": [HOST],
    "local_transport": "%smtp%:[127.0.0.1]:%beta%",
    "relayhost": "[127.0.0.1]:%alpha%",
    "relay_transport": "%smtp%",
}
# What Postfix has otherwise unless it is told.
_POSTFIX: dict[str, Value] = {
    "virtual_mailbox_domains": [],
    "virtual_mailbox_maps": [],
    "virtual_alias_domains": [],
    "virtual_alias_maps": [],
    "local_recipient_maps": [],
    "relay_domains": [],
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "local_header_rewrite_clients": "permit_mynetworks",
    "parent_domain_matches_subdomains": "",
    "disable_vrfy_command": "yes",
    "smtp_connection_cache_on_demand": False,
}


@dataclass(frozen=True)
class Letter:
    """What a client hands in; `fields` are header fields."""

    sender: str
    recipients: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass
class Fate:
    """What became of a letter; equal fates show no difference between two MTAs.

    `refused` are the recipients that the client was refused, each with code and enhanced status,
    and so "data" if that was; `sent` is by peer and sender.
    """

    refused: dict[str, str] = field(default_factory=dict)
    sent: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)

    def add(self, peer: str, message: Message) -> None:
        """A message came that is or quotes the letter."""
        found = self.sent.setdefault((peer, message.sender), set())
        found |= {str(parse(recipient)) for recipient in message.recipients}
        section, _, body = message.content.partition(b"\r\n\r\n")
        if not _NUMBER.search(body):  # or else it is a report that quotes the letter
            self.header = [each.address for each in AddressFields(section + b"\r\n").addresses()]


class _Peers:
    """The hosts that one of the two sends its mail to."""

    def __init__(self) -> None:
        self._peers = {name: SmtpPeer() for name in _PEERS}

    def fill(self, value: Value, transport: str) -> Value:
        """The value with the peers' ports, and with the transport's name."""
        if isinstance(value, list):
            return [str(self.fill(item, transport)) for item in value]
        if isinstance(value, str):
            for name, peer in self._peers.items():
                value = value.replace(f"%{name}%", str(peer.port))
            return value.replace("%smtp%", transport)
        return value

    def tell(self, fates: Sequence[Fate]) -> None:
        """Bring what came into the fates, and forget it."""
        for name, peer in self._peers.items():
            for message in peer.messages:
                found = _NUMBER.search(message.content)
                assert found is not None, message.content
                fates[int(found[1])].add(name, message)
            peer.messages.clear()

    def close(self) -> None:
        for peer in self._peers.values():
            peer.close()


class Pair:
    """Both of them; neither runs until `configure`."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        """PackageUnavailable when there is no Postfix."""
        self._instance = instance
        self._postfix = Postfix(folder)
        self._ours, self._theirs = _Peers(), _Peers()
        self._runs = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runs:
            self._postfix.stop()
        self._ours.close()
        self._theirs.close()

    def configure(self, parameters: Mapping[str, Value]) -> None:
        """Start both with these parameters."""
        values: dict[str, Value] = {**_BASE, **parameters}
        mine: dict[str, Any] = {"virtual_mailbox_domains": []} | {
            name: self._ours.fill(value, "outbound") for name, value in values.items()
        }
        self._instance.configure(mine)
        self._instance.start()
        postfix = self._postfix
        postfix.prepare(relay_to=0)
        path = postfix.enclosure.folder / "etc/postfix/main.cf"
        # A line that overrides another makes each daemon warn of it, and the first ones wait then
        # until the one that takes warnings has been started, which waits as well.
        lines = dict(line.split(" =", 1) for line in path.read_text().splitlines())
        for name, value in {**_POSTFIX, **values}.items():
            filled = self._theirs.fill(value, "smtp")
            if isinstance(filled, list):
                filled = ", ".join(filled)
            elif isinstance(filled, bool):
                filled = "yes" if filled else "no"
            lines[name] = f" {filled}"
        path.write_text("".join(f"{name} ={value}\n" for name, value in lines.items()))
        postfix.run_with_configuration()
        self._runs = True

    def post(self, letters: Sequence[Letter]) -> tuple[list[Fate], list[Fate]]:
        """Hand all letters in to both, and wait until both have done with them."""
        theirs = [_hand_in(self._postfix.port, *each) for each in enumerate(letters)]
        ours = [_hand_in(self._instance.port, *each) for each in enumerate(letters)]
        wait_until(lambda: not self._instance.messages(), "our queue to be empty", _PATIENCE)
        wait_until(self._postfix_is_idle, "Postfix' queue to be empty", _PATIENCE)
        self._theirs.tell(theirs)
        self._ours.tell(ours)
        return theirs, ours

    def _postfix_is_idle(self) -> bool:
        spool = self._postfix.enclosure.folder / "var/spool/postfix"
        states = ("maildrop", "incoming", "active", "deferred")
        return not any(path.is_file() for state in states for path in (spool / state).rglob("*"))


def _hand_in(port: int, number: int, letter: Letter) -> Fate:
    fate = Fate()
    lines = [*letter.fields]
    if not any(line.startswith("From:") for line in lines):
        lines.append("From: writer@far.test")
    lines += [f"X-Number: {number}", "Date: Mon, 02 Nov 2026 12:00:00 +0000"]
    lines += [f"Message-ID: <{number}@rewriting.test>", "Subject: rewriting", "", "text", ""]
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=_PATIENCE) as client:
        client.ehlo()
        code, reply = client.mail(letter.sender)
        assert code == 250, reply
        for recipient in letter.recipients:
            code, reply = client.rcpt(recipient)
            if code >= 300:
                fate.refused[recipient] = _said(code, reply)
        if len(fate.refused) < len(letter.recipients):
            code, reply = client.data("\r\n".join(lines))
            if code >= 300:
                fate.refused["data"] = _said(code, reply)
    return fate


def _said(code: int, reply: bytes) -> str:
    status = _STATUS.match(reply)
    return f"{code} {status[0].decode().strip() if status else ''}"
