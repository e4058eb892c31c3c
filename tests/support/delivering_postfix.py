"""Debian's Postfix delivering to commands and mailboxes of its own, for comparison with ours.

postfix = DeliveringPostfix(folder, {"t0": Row("flags=R", ["/bin/cat"])})
postfix.start()
postfix.submit(message, sender, ["bob@t0.test"])
postfix.outcome("bob@t0.test")          what its log says of a recipient

Mail for NAME.test goes to the row NAME; mail for box.test to mboxes of virtual(8).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.mtas import Postfix
from support.ports import free_port
from support.waiting import wait_until

__all__ = ["MAILBOX_LIMIT", "DeliveringPostfix", "Row"]

MAILBOX_LIMIT = 100_000  # octets

_PATIENCE = 60.0  # seconds
_LINE = re.compile(
    r"(?:pipe|virtual)\[.*? to=<(?P<to>.*?)>(?:, orig_to=<.*?>)?, relay=.*?"
    r"dsn=(?P<dsn>[0-9.]+), status=(?P<status>\w+) \((?P<text>.*)\)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Row:
    """A row of pipe(8): its attributes but argv, and argv."""

    attributes: str
    argv: Sequence[str]

    def __str__(self) -> str:
        program, *words = self.argv
        arguments = "".join(f" {{{word}}}" for word in words)
        return f"user=sink {self.attributes} argv={program}{arguments}"


class DeliveringPostfix(Postfix):
    """Its commands and mailboxes are the user sink's, below `place`."""

    def __init__(
        self, folder: Path, rows: Mapping[str, Row], mailboxes: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder)
        self._rows = rows
        self._mailboxes = mailboxes or {}
        self.place = folder / "var" / "sink"

    def run(self) -> None:
        """Listen, and be ready for `submit`."""
        self.start(free_port())

    def prepare(self, relay_to: int) -> None:
        """As its base, with these rows."""
        super().prepare(relay_to)
        etc = self.enclosure.folder / "etc" / "postfix"
        transports = "".join(f"{name}.test {name}:\n" for name in self._rows)
        (etc / "transport").write_text(transports)
        (etc / "mailboxes").write_text(
            "".join(f"{address} {place}\n" for address, place in self._mailboxes.items())
        )
        main = (etc / "main.cf").read_text()
        for old, new in (
            ("static:all/", "texthash:/etc/postfix/mailboxes"),
            ("virtual_mailbox_domains = sink.test", "virtual_mailbox_domains = box.test"),
            ("virtual_mailbox_limit = 0", f"virtual_mailbox_limit = {MAILBOX_LIMIT}"),
            ("message_size_limit = 0", f"message_size_limit = {MAILBOX_LIMIT}"),
        ):
            assert old in main
            main = main.replace(old, new)
        main += "transport_maps = texthash:/etc/postfix/transport\nrecipient_delimiter = +\n"
        for name in self._rows:
            main += f"{name}_destination_recipient_limit = 1\n{name}_time_limit = 2s\n"
        (etc / "main.cf").write_text(main)
        master = (etc / "master.cf").read_text()
        master += "".join(f"{name} unix - n n - - pipe {row}\n" for name, row in self._rows.items())
        (etc / "master.cf").write_text(master)

    def outcome(self, recipient: str) -> tuple[str, str, str]:
        """The enhanced status, what became of it, and the text."""

        def look() -> list[tuple[str, str, str]]:
            log = (self.enclosure.folder / "var" / "log" / "maillog").read_text()
            found = [line for line in _LINE.finditer(log) if line["to"] == recipient]
            return [(line["dsn"], line["status"], line["text"]) for line in found]

        return wait_until(look, f"an outcome of {recipient}", _PATIENCE)[-1]
