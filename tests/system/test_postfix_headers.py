"""Header fields as Postfix reads them: the same addresses in all of them, and the same rewritten.

Debian's Postfix has canonical_maps, takes a message and stores it. It writes each field in a form
of its own, so that addresses are compared, and not octets.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.debian import PackageUnavailable
from support.mtas import SINK, Postfix
from support.ports import free_port
from support.waiting import wait_until

from mta.proto.addressfields import AddressFields

pytestmark = pytest.mark.requires("root", "unshare", "nsenter", "setpriv")

FIELDS = [
    "From: alice@old.test",
    'From: "Doe, Alice" <alice@old.test>',
    "From: Alice Q. Doe <alice@old.test>",
    "From: alice@old.test (Alice <x@old.test>)",
    "Sender: =?utf-8?q?D=C3=B6?= <alice@old.test>",
    "Reply-To: alice@old.test, bob@other.test",
    "Errors-To: <alice@old.test>",
    "Resent-From: alice@old.test",
    "To: a@old.test, b@old.test,\n\tc@other.test",
    "To: friends: a@old.test, B <b@old.test>;, c@old.test",
    "To: undisclosed-recipients:;",
    "To: user",
    "To: User <user>",
    'To: "a b"@old.test',
    'To: "a,b@old.test" <c@old.test>',
    "To: a@old.test (one (two) three), b@old.test",
    "To: <@relay.test:a@old.test>",
    "To: a@[192.0.2.1], b@old.test",
    "To: x@old.test <y@old.test>",
    "Cc: , a@old.test,, b@old.test,",
    "Resent-Cc: a@old.test",
    "Apparently-To: a@old.test",
    "Disposition-Notification-To: a@old.test",
    "Return-Receipt-To: a@old.test",
    "Mail-Followup-To: a@old.test",
    "X-Other: a@old.test",
    "Subject: a@old.test",
]


class CanonicalPostfix(Postfix):
    """Postfix that renames old.test."""

    def prepare(self, relay_to: int) -> None:
        """Write its configuration, and the table."""
        super().prepare(relay_to)
        main = self.enclosure.folder / "etc/postfix/main.cf"
        text = main.read_text()
        self.enclosure.write(
            "etc/postfix/main.cf", f"{text}canonical_maps = regexp:/etc/postfix/canonical\n"
        )
        self.enclosure.write("etc/postfix/canonical", "/^(.*)@old[.]test$/ ${1}@new.test\n")


@pytest.fixture(scope="module")
def postfix() -> Iterator[CanonicalPostfix]:
    with tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # it has users of its own
        try:
            made = CanonicalPostfix(Path(name))
        except PackageUnavailable as error:
            pytest.skip(str(error))
        try:
            made.start(relay_to=free_port())
            yield made
        finally:
            made.stop()


def ours(field: str) -> list[str]:
    """The addresses of the field in the end, as cleanup would have them."""
    section = field.replace("\n", "\r\n").encode() + b"\r\n"
    fields = AddressFields(section)
    new = {}
    for found in fields.addresses():
        address = found.address if "@" in found.address else f"{found.address}@postfix.peer.test"
        new[found] = address.replace("@old.test", "@new.test")
    return [found.address for found in AddressFields(fields.replaced(new)).addresses()]


def test_postfix_has_the_same_addresses(postfix: CanonicalPostfix) -> None:
    for number, field in enumerate(FIELDS):
        message = f"{field}\nX-Number: {number}.\n\nbody\n"
        postfix.submit(message.encode(), "s@other.test", [f"all@{SINK}"])
    wait_until(lambda: len(postfix.received()) == len(FIELDS), "all messages", 60)
    stored = {}
    for octets in postfix.received():
        lines = octets.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode()
        number = int(lines.partition("X-Number: ")[2].partition(".")[0])
        name = FIELDS[number].partition(":")[0]
        rest = lines[lines.index(f"\n{name}: ") + 1 :]
        text = rest.partition("\nX-Number")[0].replace("\n", "\r\n")
        section = text.encode() + b"\r\n"
        stored[FIELDS[number]] = [it.address for it in AddressFields(section).addresses()]
    assert stored == {field: ours(field) for field in FIELDS}
