"""Mail into Debian's Dovecot, over LMTP and a UNIX socket: each recipient has an answer of its own.

Dovecot knows Bob and Alice; whether there is an Eve, Posthouse cannot tell before it asks.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.debian import PackageUnavailable
from support.dovecot import Dovecot
from support.instance import NewInstance
from support.waiting import wait_until

pytestmark = pytest.mark.requires("root", "unshare", "nsenter", "setpriv")

ALICE, BOB, EVE = (f"{name}@posthouse.test" for name in ("alice", "bob", "eve"))
MESSAGE = b"Subject: To two people\r\n\r\n.\r\nOne of whom is not there.\r\n"
PATIENCE = 30.0  # seconds


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # it has users of its own
        try:
            made = Dovecot(Path(name), [ALICE, BOB])
        except PackageUnavailable as error:
            pytest.skip(str(error))
        try:
            yield made
        finally:
            made.stop()


def test_one_recipient_is_accepted_and_one_refused(
    dovecot: Dovecot, new_instance: NewInstance
) -> None:
    dovecot.start()
    instance = new_instance({"virtual_transport": dovecot.transport})
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB, EVE], MESSAGE)
    sent = instance.wait_log("delivery", PATIENCE, to=BOB, status="sent")
    bounced = instance.wait_log("delivery", PATIENCE, to=EVE, status="bounced")
    assert (sent["dsn"], bounced["dsn"]) == ("2.0.0", "5.1.1")
    assert "User doesn't exist" in bounced["text"]
    (mail,) = dovecot.mailbox(BOB)
    assert f"Return-Path: <{ALICE}>\n".encode() in mail
    assert mail.endswith(b"\n\n.\nOne of whom is not there.\n")
    wait_until(lambda: dovecot.mailbox(ALICE), "the report to the sender", PATIENCE)
    (report,) = dovecot.mailbox(ALICE)
    assert b"Final-Recipient: rfc822; eve@posthouse.test\n" in report
    assert BOB.encode() not in report.partition(b"Final-Recipient")[2].partition(b"\n\n")[0]
    assert dovecot.mailbox(EVE) == []
    assert instance.messages() == []


def test_mail_waits_while_dovecot_is_away(dovecot: Dovecot, new_instance: NewInstance) -> None:
    instance = new_instance({"virtual_transport": dovecot.transport})
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB], MESSAGE)
    instance.wait_log("delivery", PATIENCE, to=BOB, status="deferred")
    dovecot.start()
    instance.mta("queue", "flush")
    instance.wait_log("delivery", PATIENCE, to=BOB, status="sent")
    assert len(dovecot.mailbox(BOB)) == 1
