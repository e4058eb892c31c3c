"""`mta probe` through a real system: where the message landed, or why it did not."""

import json
import os
from pathlib import Path

from support.instance import Instance, NewInstance


def test_probe_shows_the_file(instance: Instance) -> None:
    record = json.loads(instance.mta("probe", "--json").stdout)
    assert (record["event"], record["status"]) == ("delivery", "sent")
    assert record["to"] == "probe@posthouse.test"
    shown = instance.mta("probe", "bob@posthouse.test").stdout
    path = Path(shown.rpartition(" ")[2].rstrip(")\n"))
    assert b"Subject: Probe\n" in path.read_bytes()
    assert path.is_relative_to(instance.mail / "posthouse.test" / "bob" / "new")


def test_probe_that_is_refused(new_instance: NewInstance) -> None:
    # The loopback networks may relay, but there is no transport to relay by.
    instance = new_instance(parameters={"default_transport": ""})
    instance.start()
    refused = instance.mta("probe", "bob@elsewhere.test", succeeds=False)
    assert refused.returncode == os.EX_UNAVAILABLE
    assert refused.stderr.startswith("mta: refused: 5")


def test_probe_that_is_deferred(new_instance: NewInstance) -> None:
    instance = new_instance(services={"virtual": {"enabled": False}})
    instance.start()
    deferred = instance.mta("probe", succeeds=False)
    assert deferred.returncode == os.EX_TEMPFAIL
    assert "deferred" in deferred.stdout


def test_probe_without_a_door(new_instance: NewInstance) -> None:
    instance = new_instance(services={"smtp": {"enabled": False}})
    instance.start()
    failed = instance.mta("probe", succeeds=False)
    assert failed.returncode == os.EX_UNAVAILABLE
    assert failed.stderr == (
        "mta: probe: the service table (profile hub) takes no mail over SMTP\n"
    )
