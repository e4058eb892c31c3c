"""The pages on delivery: the agent and the command that they show are run, as they stand there."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.documents import blocks
from support.examples import REPOSITORY
from support.folders import reachable_folder
from support.instance import NewInstance, separated
from support.waiting import wait_until

BOB, ANN = "bob@posthouse.test", "ann@posthouse.test"
PATIENCE = 30.0  # seconds
MESSAGE = b"Subject: x\r\n\r\nbody\r\n"


def shown(page: str, language: str) -> list[str]:
    """The blocks of a page in one language."""
    name = f"docs/how-to/{page}.md"
    text = (REPOSITORY / name).read_text()
    return [block.text for block in blocks(name, text) if block.language == language]


@pytest.fixture
def site() -> Iterator[Path]:
    """Where a site has programs of its own."""
    with reachable_folder() as folder:
        yield folder


def test_the_agent_of_the_page_delivers(new_instance: NewInstance, site: Path) -> None:
    (code,) = shown("write-a-delivery-agent", "python")
    assert len(code.splitlines()) < 60
    (table,) = shown("write-a-delivery-agent", "yaml")
    program = site / "database.py"
    program.write_text(code)
    program.chmod(0o644)
    services: dict[str, dict[str, Any]] = yaml.safe_load(table)["services"]
    command = services["virtual"]["command"]
    assert command[1:] == ["-I", "/opt/site/database.py"]
    instance = new_instance()
    services["virtual"]["command"] = [instance.python, "-I", str(program)]
    instance.configure(services=services)
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail("alice@example.org", [BOB, ANN], MESSAGE)
        client.mail("alice@example.org", [BOB], MESSAGE)
    wait_until(lambda: len(instance.log_records("delivery", status="sent")) == 3, "mail", PATIENCE)
    with closing(sqlite3.connect(instance.mail / "mail.sqlite")) as database:
        found = database.execute("SELECT recipient, sender, content FROM mail").fetchall()
    assert sorted(recipient for recipient, _, _ in found) == [ANN, BOB, BOB]
    for _, sender, content in found:
        assert sender == "alice@example.org"
        assert content.endswith(MESSAGE)
    assert {line["relay"] for line in instance.log_records("delivery")} == {"virtual"}


def test_the_command_of_the_page_delivers(new_instance: NewInstance, site: Path) -> None:
    (code,) = shown("pipe-to-a-command", "sh")
    archive = site / "archive"
    archive.mkdir()
    program = site / "bin"
    program.write_text(code.replace("/srv/archive", str(archive)))
    program.chmod(0o755)
    table, main = (
        text.replace("/srv/archive", str(archive)).replace("/usr/local/bin/archive", str(program))
        for text in shown("pipe-to-a-command", "yaml")
    )
    services = yaml.safe_load(table)["services"]
    if separated():
        shutil.chown(archive, services["archive"]["user"])
    instance = new_instance(yaml.safe_load(main), services)
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail("alice@example.org", ["archive@example.com", BOB], MESSAGE)
    line = instance.wait_log("delivery", PATIENCE, relay="archive")
    assert line["text"] == "delivered via archive service (archived for archive)"
    (name,) = os.listdir(archive)
    content = (archive / name).read_text()
    assert content.startswith(
        "Return-Path: <alice@example.org>\n"
        "X-Original-To: archive@example.com\n"
        "Delivered-To: archive@example.com\n"
    )
    assert content.endswith("Subject: x\n\nbody\n")
    instance.maildir("bob").wait(1, timeout=PATIENCE)
