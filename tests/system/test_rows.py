"""The service table as the operator's instrument: rows replaced, and rows switched off."""

import os
import re
import sys
from pathlib import Path

import pytest
from support.instance import NewInstance

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "write-a-daemon.md"
ALICE, BOB = "alice@example.org", "bob@posthouse.test"
MESSAGE = b"Subject: rows\r\n\r\nText\r\n"


def test_delivery_by_the_daemon_of_the_how_to(new_instance: NewInstance, tmp_path: Path) -> None:
    """A site's own program takes a row's place: the manual's example, as it is printed."""
    program = tmp_path / "swallow.py"
    (example,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    program.write_text(example)
    command = [sys.executable, "-I", str(program)]
    instance = new_instance(services={"virtual": {"command": command}})
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB], MESSAGE)
    delivery = instance.wait_log("delivery", to=BOB)
    assert (delivery["status"], delivery["relay"]) == ("sent", "swallow")
    instance.wait_log("removed", queue_id=delivery["queue_id"])
    assert not instance.maildir("bob").path.exists()


def test_row_that_is_switched_off_has_no_process_socket_or_port(new_instance: NewInstance) -> None:
    instance = new_instance(
        parameters={"virtual_mailbox_domains": []},
        services={"smtp": {"enabled": False}, "virtual": {"enabled": False}},
    )
    instance.start()
    names = [row["name"] for row in instance.status()["services"]]
    assert "qmgr" in names
    assert not {"smtp", "virtual"} & set(names)
    with pytest.raises(ConnectionRefusedError):
        instance.smtp()
    assert not (instance.queue / "private" / "virtual").exists()


def test_row_is_switched_off_and_on_by_reload(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    instance.configure(services={"smtp": {"enabled": False}})
    instance.reload()
    with pytest.raises(ConnectionRefusedError):
        instance.smtp()
    instance.configure(services={"smtp": {"enabled": True}})
    instance.reload()
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB], MESSAGE)
    instance.maildir("bob").only()


def test_table_that_does_not_fit_changes_nothing(new_instance: NewInstance) -> None:
    """A transport that no row carries: refused by name, and the old configuration stays."""
    instance = new_instance()
    instance.start()
    generation = instance.status()["generation"]
    instance.configure(parameters={"virtual_transport": "virtual2"})
    refused = instance.mta("reload", succeeds=False)
    assert refused.returncode == os.EX_CONFIG
    assert "virtual_transport" in refused.stderr
    assert instance.status()["generation"] == generation
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB], MESSAGE)
    instance.maildir("bob").only()


def test_mail_waits_for_an_agent_that_is_switched_off(new_instance: NewInstance) -> None:
    """No agent is no reason to refuse mail or to lose it: it waits until the row is back."""
    instance = new_instance(
        parameters={"minimal_backoff_time": "1h"}, services={"virtual": {"enabled": False}}
    )
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB], MESSAGE)
    deferred = instance.wait_log("deferred")
    assert deferred["queue_id"] in instance.mta("queue", "list").stdout
    instance.configure(services={"virtual": {"enabled": True}})
    instance.reload()
    instance.mta("queue", "flush")
    instance.maildir("bob").only()
