"""`mta config rollback`: the way back is a reload; what cannot be had leaves all as it is."""

import json
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.certificates import make_pair
from support.instance import Instance, NewInstance, separated
from support.load import Ledger, Load
from support.ports import free_port


def _files(instance: Instance) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in instance.config.iterdir()}


def _object(instance: Instance, *arguments: str) -> Any:  # noqa: ANN401 - what JSON holds
    return json.loads(instance.mta("config", *arguments, "--json").stdout)


def test_no_connection_is_refused_and_no_mail_is_lost(new_instance: NewInstance) -> None:
    instance = new_instance({"smtpd_banner": "first"}, {"smtp": {"numprocs": 2}})
    instance.start()
    first = _files(instance)
    ledger = Ledger(instance, "load")
    with Load(ledger, instance) as load:
        load.wait_acknowledged(25)
        instance.configure({"smtpd_banner": "second", "smtpd_timeout": "90s"})
        instance.reload()
        load.wait_acknowledged(25)
        instance.mta("config", "rollback")
        load.wait_acknowledged(25)
        instance.mta("config", "rollback", "2")
        load.wait_acknowledged(25)
        instance.mta("config", "rollback", "1")
        load.wait_acknowledged(25)
    assert load.failures == []
    copies = ledger.wait_delivered()
    assert max(copies.values()) == 1
    assert _files(instance) == first
    with instance.smtp() as client:
        assert client.expect(220).text == "first"
    assert instance.status()["generation"] == 5


def test_what_is_in_force_is_shown_and_compared(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    instance.configure({"hopcount_limit": 9}, {"virtual": {"enabled": False}})
    instance.mta("render")  # and not yet in force
    assert [entry["in_force"] for entry in _object(instance, "list")] == [True, False]
    assert _object(instance, "show")["generation"] == 1
    instance.reload()
    found = _object(instance, "diff")
    assert (found["from"], found["to"]) == (1, 2)
    assert found["parameters"] == [{"name": "hopcount_limit", "old": 50, "new": 9}]
    assert found["services"]["stopped"] == ["virtual"]
    instance.stop()
    assert "starts next" in instance.mta("config", "list").stdout.splitlines()[-1]
    instance.mta("config", "rollback")
    instance.start()
    assert instance.status()["generation"] == 3
    assert instance.service("virtual")["state"] == "idle"


def test_what_is_no_longer_valid_is_refused(new_instance: NewInstance, short_path: Path) -> None:
    """The certificate has gone since: what is live stays as it is."""
    pair = make_pair(short_path / "tls")
    pair.key.chmod(0o640)
    if separated():
        shutil.chown(pair.key, "root", "mtatls")
    instance = new_instance(
        {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(pair.certificate),
            "smtpd_tls_key_file": str(pair.key),
        }
    )
    instance.start()
    instance.configure({"smtpd_tls_security_level": "none"})
    instance.reload()
    pair.certificate.unlink()
    files = _files(instance)
    refused = instance.try_mta("config", "rollback")
    assert refused.returncode == 78
    assert "generation 1 is not valid any more" in refused.stderr
    assert "smtpd_tls_cert_file" in refused.stderr
    assert _files(instance) == files
    assert instance.status()["generation"] == 2
    assert len(_object(instance, "list")) == 2


@pytest.mark.requires("root")
def test_users_are_asked_for_before_anything_is_replaced(new_instance: NewInstance) -> None:
    """Generation 1 has a row of a user that this host has lost since."""
    instance = new_instance()
    instance.start()
    instance.configure({"hopcount_limit": 9})
    instance.reload()
    origin = instance.queue / "config" / "1.origin.json"
    record = json.loads(origin.read_text())
    record["files"]["services.yml"] = "profile: hub\nservices:\n  smtp: {user: gone}\n"
    origin.write_text(json.dumps(record))
    files = {path: path.stat().st_ino for path in instance.config.iterdir()}
    refused = instance.try_mta("config", "rollback")
    assert refused.returncode == 78
    assert "generation 1 is not valid any more" in refused.stderr
    assert "services.smtp.user: expected a user of this host" in refused.stderr
    assert {path: path.stat().st_ino for path in instance.config.iterdir()} == files
    assert instance.status()["generation"] == 2


def test_what_the_master_refuses_is_put_back(new_instance: NewInstance) -> None:
    """The address has another holder now."""
    instance = new_instance()
    instance.start()
    first, second = instance.port, free_port()
    instance.configure(services={"smtp": {"listen": [f"inet:127.0.0.1:{second}"]}})
    instance.reload()
    (instance.config / "main.yml").write_text("queue_directory: [\n")
    files = _files(instance)
    with socket.create_server(("127.0.0.1", first)):
        refused = instance.try_mta(
            "config", "--queue-directory", str(instance.queue), "rollback", "1"
        )
    assert refused.returncode == 69
    assert f"127.0.0.1:{first}" in refused.stderr
    assert _files(instance) == files
    with instance.smtp(port=second) as client:
        client.greeted()
    instance.mta("config", "--queue-directory", str(instance.queue), "rollback", "2")
    assert instance.status()["generation"] > 2
    assert (instance.config / "main.yml.unused").read_text() == "queue_directory: [\n"


def test_the_commands_of_the_manual_run(new_instance: NewInstance) -> None:
    """One after the other, as they stand there, on a system that was changed twice."""
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "roll-back.md"
    commands = re.findall(r"^ {4,}mta (.*)$", page.read_text(), re.MULTILINE)
    assert len(commands) > 5
    instance = new_instance()
    instance.start()
    for limit in (8, 9):
        instance.configure({"hopcount_limit": limit})
        instance.reload()
    for command in commands:
        here = command.replace("/var/spool/posthouse", str(instance.queue))
        instance.mta(*here.split())


def test_at_the_same_time_as_a_reload(new_instance: NewInstance) -> None:
    """One waits for the other: what is in force in the end is what the files say."""
    instance = new_instance({"smtpd_banner": "first"})
    instance.start()
    for number in range(4):
        instance.configure({"smtpd_banner": f"text {number}"})
        with ThreadPoolExecutor() as pool:
            both = (("reload",), ("config", "rollback", "1"))
            done = list(pool.map(lambda command: instance.try_mta(*command), both))
        assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
        check = json.loads(instance.mta("check", "--json").stdout)
        assert check["changes"] == []
