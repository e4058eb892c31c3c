"""Mail for users of this host, through a whole system: mailboxes, .forward, aliases, commands.

Run by root, the users are made for the test; run by anybody else, he is the one user.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.folders import reachable_folder
from support.instance import Instance
from support.maildir import Maildir
from support.people import Person, people
from support.waiting import wait_until

HERE = "local.test"
SENDER = "alice@example.org"
MESSAGE = b"Subject: hello\r\n\r\nFrom me\r\n"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where everything of these tests lies; all users may enter it."""
    with reachable_folder() as made:
        (made / "spool").mkdir()
        (made / "spool").chmod(0o1777)
        yield made


@pytest.fixture(scope="module")
def persons(folder: Path) -> Iterator[list[Person]]:
    with people(folder, 2) as made:
        yield made


@pytest.fixture(scope="module")
def house(folder: Path, persons: list[Person]) -> Iterator[Instance]:
    """A hub that delivers for HERE; all tests send through it."""
    (folder / "aliases").write_text("nobody-else: /dev/null\n")
    instance = Instance(
        folder / "house",
        {
            "mydestination": [HERE],
            "myorigin": HERE,
            "recipient_delimiter": "+",
            "alias_maps": [f"aliases:{folder}/aliases"],
            "mail_spool_directory": f"{folder}/spool",
            "forward_path": [f"{folder}/$user/.forward+$extension", f"{folder}/$user/.forward"],
            "default_privs": persons[-1].name,
            "default_transport": "discard",
        },
    )
    try:
        instance.start()
        yield instance
    finally:
        instance.close()


@pytest.fixture
def ann(persons: list[Person], folder: Path) -> Iterator[Person]:
    """A user without mail; what a test leaves behind is removed."""
    yield persons[0]
    for place in (persons[0].home, folder / "spool"):
        for path in place.iterdir():
            if not path.is_dir():
                path.unlink()


def aliases(folder: Path, text: str) -> None:
    """Put other aliases in place, as an editor does."""
    (folder / "aliases.new").write_text(text)
    os.replace(folder / "aliases.new", folder / "aliases")


def send(house: Instance, recipient: str) -> None:
    """Send a message to a recipient here."""
    with house.smtp() as client:
        client.greeted().mail(SENDER, [f"{recipient}@{HERE}"], MESSAGE)


def outcomes(house: Instance, recipient: str, count: int = 1) -> list[str]:
    """What is told of a recipient here, once that many deliveries have ended."""

    def look() -> list[str]:
        records = house.log_records("delivery", to=f"{recipient}@{HERE}", relay="local")
        return [f"{it['status']} {it['dsn']} {it['text']}" for it in records]

    return wait_until(lambda: found if len(found := look()) >= count else [], "outcomes")


def test_an_mbox_as_postfix_writes_it(house: Instance, folder: Path, ann: Person) -> None:
    recipient = f"{ann.name}+first"
    send(house, recipient)
    assert outcomes(house, recipient) == ["sent 2.0.0 delivered to mailbox"]
    text = (folder / "spool" / ann.name).read_text()
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


def test_who_does_not_exist_is_refused_when_he_is_named(house: Instance) -> None:
    with house.smtp() as client:
        client.greeted().say(f"MAIL FROM:<{SENDER}>", 250)
        said = client.say(f"RCPT TO:<nobody-at-all@{HERE}>", 550).text
    assert "5.1.1" in said


def test_aliases_lead_to_folders_commands_and_users(
    house: Instance, folder: Path, persons: list[Person], ann: Person
) -> None:
    keeper = persons[-1]
    target = keeper.home / "seen"
    aliases(
        folder,
        f"all: {ann.name}, {keeper.home}/Maildir/,\n"
        f'    "|tr a-z A-Z > {target}; env >> {target}"\n',
    )
    send(house, "All")
    (said,) = outcomes(house, "All")
    place = f"{keeper.home}/Maildir/"
    assert said.startswith(f"sent 2.0.0 delivered to mailbox; delivered to maildir: {place}; deliv")
    assert (folder / "spool" / ann.name).exists()
    (message,) = Maildir(keeper.home / "Maildir").messages()
    assert message.fields("Delivered-To") == [f"All@{HERE}"]
    seen = target.read_text()
    assert seen.startswith(f"FROM {SENDER.upper()}  ")
    assert f"\nSENDER={SENDER}\n" in seen
    assert "\nUSER=all\n" in seen
    # Who owns the table runs its commands, and has a home; for root's table nobody does.
    assert ("\nHOME=" in seen) == (os.geteuid() != 0)
    target.unlink()


def test_a_forward_file_makes_a_new_message(house: Instance, folder: Path, ann: Person) -> None:
    ann.write(".forward", f"x@far.test\n\\{ann.name}\n")
    recipient = f"{ann.name}+forwards"
    send(house, recipient)
    (said,) = outcomes(house, recipient)
    assert said.startswith("sent 2.0.0 delivered to mailbox; forwarded as ")
    queue_id = said.rpartition(" ")[2]
    record = house.wait_log("delivery", queue_id=queue_id, to="x@far.test")
    assert record["original_to"] == f"{recipient}@{HERE}"
    ann.home.joinpath(".forward").unlink()


def test_a_forward_file_that_all_may_write_is_not_looked_at(
    house: Instance, folder: Path, ann: Person
) -> None:
    ann.write(".forward", "x@far.test\n", mode=0o666)
    send(house, f"{ann.name}+unsafe")
    assert outcomes(house, f"{ann.name}+unsafe") == ["sent 2.0.0 delivered to mailbox"]
    assert house.wait_log("forward_unsafe")["path"] == str(ann.home / ".forward")


def test_a_list_that_holds_itself_ends(house: Instance, folder: Path) -> None:
    """The second time around Delivered-To tells, and the sender is told."""
    aliases(folder, f"trip: :include:{folder}/trip\n")
    (folder / "trip").write_text("trip\n")
    send(house, "trip")
    first, second = outcomes(house, "trip", 2)
    assert first.startswith("sent 2.0.0 forwarded as ")
    assert second == f"bounced 5.4.6 mail forwarding loop for trip@{HERE}"


@pytest.mark.requires("root")
def test_forward_files_that_lead_to_each_other_end(
    house: Instance, persons: list[Person], ann: Person
) -> None:
    other = persons[1]
    ann.write(".forward", other.name)
    path = other.write(".forward", ann.name)
    recipient = ann.name.upper()
    send(house, recipient)
    house.wait_log("delivery", dsn="5.4.6", original_to=f"{recipient}@{HERE}")
    path.unlink()


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
def test_a_command_tells_what_becomes_of_mail(
    house: Instance, folder: Path, command: str, said: str
) -> None:
    name = re.sub(r"\W+", "-", f"run-{command}").strip("-")
    aliases(folder, f'{name}: "|{command};"\n')
    send(house, name)
    assert outcomes(house, name)[0].startswith(said)


def test_aliases_that_lead_to_each_other_bounce(house: Instance, folder: Path) -> None:
    aliases(folder, "chicken: egg\negg: chicken\n")
    send(house, "chicken")
    (said,) = outcomes(house, "chicken")
    assert said.startswith("bounced 5.4.6 alias database loop for ")


def test_an_alias_file_with_a_mistake_puts_mail_off(house: Instance, folder: Path) -> None:
    aliases(folder, "perhaps nobody\n")
    with house.smtp() as client:
        client.greeted().say(f"MAIL FROM:<{SENDER}>", 250)
        client.say(f"RCPT TO:<perhaps@{HERE}>", 451)
    aliases(folder, "perhaps: nobody\n")


def test_a_mailbox_that_is_a_link_is_not_written_to(
    house: Instance, folder: Path, ann: Person
) -> None:
    target = ann.write("elsewhere", "")
    (folder / "spool" / ann.name).symlink_to(target)
    send(house, f"{ann.name}+symlink")
    assert outcomes(house, f"{ann.name}+symlink")[0].startswith("deferred 4.")
    assert not target.read_text()
