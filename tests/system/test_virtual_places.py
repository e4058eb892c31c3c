"""Mailboxes where a table says, as the whole system has them: from RCPT to the file."""

import mailbox
from contextlib import closing
from pathlib import Path

from support.instance import Instance, NewInstance
from support.waiting import wait_until

PATIENCE = 20.0  # seconds
MESSAGE = b"Subject: x\r\n\r\nFrom here\r\n"


def write_table(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o644)
    return f"texthash:{path}"


def subjects(instance: Instance, place: str) -> list[str]:
    path = instance.mail / place
    if not path.exists():
        return []
    with closing(mailbox.mbox(path, create=False)) as found:
        return [message["Subject"] for message in found]


def test_a_table_says_who_exists_and_where(short_path: Path, new_instance: NewInstance) -> None:
    table = write_table(short_path / "people", "bob@posthouse.test box\n@b.posthouse.test all/\n")
    instance = new_instance(
        {
            "virtual_mailbox_maps": [table],
            "virtual_mailbox_domains": ["posthouse.test", "b.posthouse.test"],
            "minimal_backoff_time": "1s",
        }
    )
    instance.start()
    with instance.smtp() as client:
        client.greeted()
        client.mail("alice@example.org", ["bob@posthouse.test", "x@b.posthouse.test"], MESSAGE)
        client.say("MAIL FROM:<alice@example.org>", 250)
        refusal = client.say("RCPT TO:<eve@posthouse.test>", 550)
    assert "5.1.1 <eve@posthouse.test>" in str(refusal)
    wait_until(lambda: subjects(instance, "box") == ["x"], "the mbox", PATIENCE)
    wait_until(lambda: list((instance.mail / "all" / "new").glob("*")), "the Maildir", PATIENCE)

    # A table is asked anew once it has changed.
    write_table(short_path / "people", "bob@posthouse.test other\n")
    with instance.smtp() as client:
        client.greeted().mail("alice@example.org", ["bob@posthouse.test"], MESSAGE)
    wait_until(lambda: subjects(instance, "other") == ["x"], "the other mbox", PATIENCE)
    assert subjects(instance, "box") == ["x"]
    assert instance.messages() == []


def test_a_place_that_is_none_waits_for_its_repair(
    short_path: Path, new_instance: NewInstance
) -> None:
    table = write_table(short_path / "people", "bob@posthouse.test ../box\n")
    instance = new_instance({"virtual_mailbox_maps": [table], "minimal_backoff_time": "1s"})
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail("alice@example.org", ["bob@posthouse.test"], MESSAGE)
    line = instance.wait_log("delivery", PATIENCE, status="deferred")
    assert (line["dsn"], line["text"]) == ("4.3.5", "the mailbox has no sound place")
    assert "../box" in line["reason"]
    write_table(short_path / "people", "bob@posthouse.test box\n")
    instance.mta("queue", "flush")
    wait_until(lambda: subjects(instance, "box") == ["x"], "the mbox", PATIENCE)
