"""Mail for users of this host, through a whole system: mailboxes, .forward, aliases, commands."""

import os
import re
from collections.abc import Iterator

import pytest
from support.local_mail import HERE, SENDER, LocalMail, local_mail
from support.maildir import Maildir
from support.people import Person


@pytest.fixture(scope="module")
def whole() -> Iterator[LocalMail]:
    """A hub that delivers for HERE; all tests send through it."""
    with local_mail() as made:
        yield made


@pytest.fixture
def mail(whole: LocalMail) -> Iterator[LocalMail]:
    """That hub; what a test leaves behind is removed."""
    yield whole
    whole.tidy()


@pytest.fixture
def ann(mail: LocalMail) -> Person:
    """A user without mail."""
    return mail.persons[0]


def test_an_mbox_as_postfix_writes_it(mail: LocalMail, ann: Person) -> None:
    recipient = f"{ann.name}+first"
    mail.send(recipient)
    assert mail.outcomes(recipient) == ["sent 2.0.0 delivered to mailbox"]
    text = (mail.folder / "spool" / ann.name).read_text()
    lines = text.splitlines()
    assert re.fullmatch(
        rf"From {re.escape(SENDER)}  \w{{3}} \w{{3}} [ \d]\d [\d:]+ \d{{4}}", lines[0]
    )
    assert lines[1:4] == [
        f"Return-Path: <{SENDER}>",
        f"X-Original-To: {recipient}@{HERE}",
        f"Delivered-To: {recipient}@{HERE}",
    ]
    assert text.endswith("Subject: hello\n\n>From me\n\n")


def test_who_does_not_exist_is_refused_when_he_is_named(mail: LocalMail) -> None:
    with mail.house.smtp() as client:
        client.greeted().say(f"MAIL FROM:<{SENDER}>", 250)
        said = client.say(f"RCPT TO:<nobody-at-all@{HERE}>", 550).text
    assert "5.1.1" in said


def test_aliases_lead_to_folders_commands_and_users(mail: LocalMail, ann: Person) -> None:
    keeper = mail.persons[-1]
    target = keeper.home / "seen"
    mail.aliases(
        f"all: {ann.name}, {keeper.home}/Maildir/,\n"
        f'    "|tr a-z A-Z > {target}; env >> {target}"\n',
    )
    mail.send("All")
    (said,) = mail.outcomes("All")
    place = f"{keeper.home}/Maildir/"
    assert said.startswith(f"sent 2.0.0 delivered to mailbox; delivered to maildir: {place}; deliv")
    assert (mail.folder / "spool" / ann.name).exists()
    (message,) = Maildir(keeper.home / "Maildir").messages()
    assert message.fields("Delivered-To") == [f"All@{HERE}"]
    seen = target.read_text()
    assert seen.startswith(f"FROM {SENDER.upper()}  ")
    assert f"\nSENDER={SENDER}\n" in seen
    assert "\nUSER=all\n" in seen
    # Who owns the table runs its commands, and has a home; for root's table nobody does.
    assert ("\nHOME=" in seen) == (os.geteuid() != 0)
    target.unlink()


def test_a_forward_file_makes_a_new_message(mail: LocalMail, ann: Person) -> None:
    ann.write(".forward", f"x@far.test\n\\{ann.name}\n")
    recipient = f"{ann.name}+forwards"
    mail.send(recipient)
    (said,) = mail.outcomes(recipient)
    assert said.startswith("sent 2.0.0 delivered to mailbox; forwarded as ")
    queue_id = said.rpartition(" ")[2]
    record = mail.house.wait_log("delivery", queue_id=queue_id, to="x@far.test")
    assert record["original_to"] == f"{recipient}@{HERE}"
    ann.home.joinpath(".forward").unlink()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 67", "bounced 5.1.1 user unknown"),
        ("echo 4.2.2 full; exit 1", "deferred 4.2.2 full"),
        ("exit 75", "deferred 4.3.0 temporary failure"),
        ("kill -9 $$", "deferred 4.3.0 Command died with signal 9"),
        ("exit 0", "sent 2.0.0 delivered to command"),
        ("/nowhere/at/all", "bounced 5.3.0 Command died with status 127"),
    ],
)
def test_a_command_tells_what_becomes_of_mail(mail: LocalMail, command: str, said: str) -> None:
    name = re.sub(r"\W+", "-", f"run-{command}").strip("-")
    mail.aliases(f'{name}: "|{command};"\n')
    mail.send(name)
    assert mail.outcomes(name)[0].startswith(said)


def test_an_alias_file_with_a_mistake_puts_mail_off(mail: LocalMail) -> None:
    mail.aliases("perhaps nobody\n")
    with mail.house.smtp() as client:
        client.greeted().say(f"MAIL FROM:<{SENDER}>", 250)
        client.say(f"RCPT TO:<perhaps@{HERE}>", 451)
    mail.aliases("perhaps: nobody\n")
