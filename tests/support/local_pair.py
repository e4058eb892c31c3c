"""Posthouse's local and Debian's Postfix's, for the same users, aliases and .forward files.

with LocalPair(instance, folder, persons) as pair:
    pair.start(cases, {"recipient_delimiter": "+"})
    theirs, ours = pair.post(cases[0])

Each side has homes of its own for the same users. %ann% and %bob% stand for the users' names,
%base% for the folder of a side, which has their homes, `spool` for mailboxes, and `open`, where
everybody may write. What is sent to other domains is thrown away, and noted. For root alone.
"""

import os
import pwd
import re
import shutil
import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.instance import Instance
from support.mtas import Postfix
from support.people import Person
from support.waiting import wait_until

__all__ = ["HERE", "Case", "Fate", "LocalPair"]

HERE = "local.test"
SENDER = "writer@far.test"
_LISTS = ("allow_mail_to_commands", "allow_mail_to_files", "propagate_unmatched_extensions")
_PATIENCE = 60.0  # seconds
_TEXT = """\
From: writer@far.test
Date: Mon, 02 Nov 2026 12:00:00 +0000
Message-ID: <1@far.test>
Subject: hello

From me
"""
_FORWARD_PATH = "%base%/$user/.forward+$extension %base%/$user/.forward"
_LINE = re.compile(r" to=<([^>]*)>,.* dsn=([\d.]+), status=(\w+)")
_ADDED = re.compile(r"^(From .*DATE|(Return-Path|X-Original-To|Delivered-To): .*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A letter to a local part here; `files` are below %base%, as %ann%/.forward.

    All cases share one table, so their aliases have different names.
    """

    to: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Fate:
    """What became of it; equal fates show no difference."""

    failed: set[str] = field(default_factory=set)  # status and its code
    sent: set[str] = field(default_factory=set)  # to other domains
    files: dict[str, str] = field(default_factory=dict)  # with what final delivery put in


class _Side:
    """The homes and the aliases of one of the two."""

    def __init__(self, base: Path, persons: Sequence[Person]) -> None:
        self.base = base
        self._persons = dict(zip(("ann", "bob"), persons, strict=False))
        base.mkdir()
        base.chmod(0o755)

    def fill(self, text: str) -> str:
        """The text with names and places in it."""
        for name, person in self._persons.items():
            text = text.replace(f"%{name}%", person.name)
        return text.replace("%base%", str(self.base))

    def write_aliases(self, cases: Sequence[Case], mark: str) -> Path:
        """The aliases of all cases, each with the mark behind its name."""
        path = self.base / "aliases"
        entries = {name: value for case in cases for name, value in case.aliases.items()}
        lines = [f"{name}{mark} {self.fill(value)}\n" for name, value in entries.items()]
        path.write_text("".join([*lines, f"nobody-here{mark} x\n"]))
        return path

    def lay_out(self, case: Case) -> None:
        """Homes and mailboxes as the case has them, and nothing else there."""
        for name in ("spool", "open", *(it.name for it in self._persons.values())):
            shutil.rmtree(self.base / name, ignore_errors=True)
            (self.base / name).mkdir()
            (self.base / name).chmod(0o1777)
        for person in self._persons.values():
            (self.base / person.name).chmod(0o755)
            _give(self.base / person.name, person)
        for path, text in case.files.items():
            place = self.base / self.fill(path)
            place.write_text(self.fill(text))
            place.chmod(case.modes.get(path, 0o644))
            for person in self._persons.values():
                if place.parent.name == person.name:
                    _give(place, person)

    def found(self, case: Case) -> dict[str, str]:
        """All files that the case did not put there; those of a Maildir bear no name."""
        laid = {self.base / self.fill(path) for path in case.files}
        found = {}
        for path in sorted(self.base.rglob("*")):
            if path.is_file() and path not in laid and path.parent != self.base:
                name = path.parent if path.parent.name == "new" else path
                found[self._generic(str(name))] = self._content(path.read_text())
        return found

    def _content(self, text: str) -> str:
        """What delivery has put before the message, and the end of that."""
        text = re.sub(r"^(From \S+  ).*$", r"\1DATE", self._generic(text), flags=re.MULTILINE)
        before, _, message = text.partition("Received: ")
        added = "".join(match[0] for match in _ADDED.finditer(message))
        return before + added + message.partition("Subject: hello")[2]

    def _generic(self, text: str) -> str:
        for name, person in self._persons.items():
            text = text.replace(person.name, f"%{name}%")
        return text.replace(str(self.base), "%base%")


class LocalPair:
    """Both of them; neither runs until `start`."""

    def __init__(self, instance: Instance, folder: Path, persons: Sequence[Person]) -> None:
        """PackageUnavailable when there is no Postfix."""
        self._instance = instance
        self._postfix = Postfix(folder / "enclosure")
        self._ours = _Side(folder / "ours", persons)
        self._theirs = _Side(folder / "theirs", persons)
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

    def start(
        self, cases: Sequence[Case], parameters: Mapping[str, str], *, listed: bool = False
    ) -> None:
        """Start both with these parameters, as main.cf has them, and the aliases of all cases.

        `listed`: who is nobody is refused when he is named, as both have it by default.
        """
        values = {"mail_spool_directory": "%base%/spool", **parameters}
        self._start_ours(cases, values, {} if listed else {"local_recipient_maps": []})
        # Postfix' own default, without the service that would read /etc/passwd for a chroot.
        default = {"local_recipient_maps": "unix:passwd.byname $alias_maps"}
        self._start_theirs(cases, values, default if listed else {})
        self._runs = True

    def name(self, to: str) -> tuple[str, str]:
        """Name a local part in RCPT to both; what each of them says, its code and its class."""
        asked = ((self._postfix.port, self._theirs), (self._instance.port, self._ours))
        theirs, ours = (_named(port, f"{side.fill(to)}@{HERE}") for port, side in asked)
        return theirs, ours

    def post(self, case: Case) -> tuple[Fate, Fate]:
        """Hand a letter in to both, one after the other, and wait until they have done with it."""
        fates = []
        for side, deliver in ((self._theirs, self._by_postfix), (self._ours, self._by_posthouse)):
            side.lay_out(case)
            outcomes = deliver(f"{side.fill(case.to)}@{HERE}")
            fate = Fate(files=side.found(case))
            for to, code, status in outcomes:
                if not to.endswith(f"@{HERE}"):
                    fate.sent.add(to)
                elif status != "sent":
                    fate.failed.add(f"{status} {code}")
            fate.sent.discard(SENDER)  # reports
            fates.append(fate)
        return fates[0], fates[1]

    def _start_ours(
        self, cases: Sequence[Case], parameters: Mapping[str, str], more: Mapping[str, Any]
    ) -> None:
        side = self._ours
        values: dict[str, Any] = {
            name: _value(name, side.fill(value)) for name, value in parameters.items()
        }
        values["forward_path"] = side.fill(_FORWARD_PATH).split()
        values["alias_maps"] = [f"aliases:{side.write_aliases(cases, ':')}"]
        basis: dict[str, Any] = {
            "mydestination": [HERE],
            "myorigin": HERE,
            "virtual_mailbox_domains": [],
            "recipient_delimiter": "+",
            "default_transport": "discard",
            "mailbox_delivery_lock": ["fcntl"],
        }
        self._instance.configure({**basis, **more, **values})
        self._instance.start()

    def _start_theirs(
        self, cases: Sequence[Case], parameters: Mapping[str, str], more: Mapping[str, str]
    ) -> None:
        side, postfix = self._theirs, self._postfix
        postfix.prepare(relay_to=0)
        values = {name: side.fill(value) for name, value in parameters.items()}
        values["forward_path"] = side.fill(_FORWARD_PATH)
        values["alias_maps"] = f"texthash:{side.write_aliases(cases, '')}"
        basis = {
            "mydestination": HERE,
            "myorigin": HERE,
            "relayhost": "",
            "recipient_delimiter": "+",
            "default_transport": "discard",
            "mailbox_delivery_lock": "fcntl",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
        }
        folder = postfix.enclosure.folder / "etc/postfix"
        lines = dict(line.split(" =", 1) for line in (folder / "main.cf").read_text().splitlines())
        lines |= {**basis, **more, **values}
        text = "".join(f"{name} = {value.strip()}\n" for name, value in lines.items())
        (folder / "main.cf").write_text(text)
        with (folder / "master.cf").open("a") as file:
            file.write("local unix - n n - - local\ndiscard unix - - n - - discard\n")
        postfix.run_with_configuration()

    def _by_posthouse(self, to: str) -> list[tuple[str, str, str]]:
        before = len(self._instance.log_records())
        _hand_in(self._instance.port, to)

        def settled() -> list[dict[str, Any]]:
            records = self._instance.log_records()[before:]
            # Who makes a message may tell of it before cleanup does.
            made = _ids(records, committed="queue_id", forwarded="copy", report="report")
            done = _ids(records, removed="queue_id")
            late = {it["queue_id"] for it in records if it.get("status") == "deferred"}
            return records if made and made <= done | late else []

        records = wait_until(settled, "our queue to be empty", _PATIENCE)
        told = [it for it in records if it["event"] == "delivery"]
        return [(it["to"], it["dsn"], it["status"]) for it in told]

    def _by_postfix(self, to: str) -> list[tuple[str, str, str]]:
        log = self._postfix.enclosure.folder / "var/log/maillog"
        before = len(log.read_text())
        _hand_in(self._postfix.port, to)

        def settled() -> str:
            text = log.read_text()[before:]
            made = set(re.findall(r" (\w+): message-id=", text))
            done = set(re.findall(r" (\w+): (?:removed|.*status=deferred)", text))
            return text if made and made <= done else ""

        text = wait_until(settled, "Postfix' queue to be empty", _PATIENCE)
        return [(it[1], it[2], it[3]) for it in _LINE.finditer(text)]


def _value(name: str, text: str) -> str | bool | list[str]:
    """A parameter as main.yml has it, of what main.cf has."""
    if name in _LISTS:
        return re.split(r"[ ,]+", text)
    return {"yes": True, "no": False}.get(text, text)


def _ids(records: Sequence[Mapping[str, Any]], **named: str) -> set[str]:
    """The queue ids that an event names in a field."""
    return {
        str(record[name])
        for event, name in named.items()
        for record in records
        if record["event"] == event
    }


def _hand_in(port: int, to: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=_PATIENCE) as client:
        client.sendmail(SENDER, [to], _TEXT)


def _named(port: int, to: str) -> str:
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=_PATIENCE) as client:
        client.ehlo_or_helo_if_needed()
        client.mail(SENDER)
        code, text = client.rcpt(to)
        return f"{code} {text.decode().partition(' ')[0]}"


def _give(path: Path, person: Person) -> None:
    entry = pwd.getpwnam(person.name)
    os.chown(path, entry.pw_uid, entry.pw_gid)
