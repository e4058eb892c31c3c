"""Every record of the mail log carries the generation that its writer works with."""

import socket
import time
from collections import defaultdict

from support.instance import Instance, NewInstance
from support.load import message
from support.waiting import wait_until


def _knock(instance: Instance) -> None:
    """Connect to each row, so that the master starts a process of it, and leave."""
    for row in instance.status()["services"]:
        kind, _, address = row["listeners"][0].partition(":")
        if kind == "ipc":
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(str(instance.queue / address))
        elif kind == "inet":
            with instance.smtp() as session:
                session.greeted()


def _wait_started(instance: Instance, generation: int) -> None:
    """Wait until a process of every row has written a record with that generation."""
    rows = {row["name"] for row in instance.status()["services"]}

    def missing() -> set[str]:
        records = instance.log_records("started", generation=generation)
        return rows - {record["service"] for record in records}

    wait_until(lambda: not missing(), f"a record of every row with generation {generation}", 20)


def test_through_a_reload(new_instance: NewInstance) -> None:
    """Old processes say what they began with; what begins after the reload says the new one."""
    instance = new_instance()
    instance.start()
    _knock(instance)
    _wait_started(instance, 1)
    instance.configure({"hopcount_limit": 9})
    instance.reload()
    instance.wait_status(
        lambda status: not any(row["retiring"] for row in status["services"]),
        "the end of the old processes",
        timeout=20.0,
    )
    reloaded = time.time()
    _knock(instance)
    _wait_started(instance, 2)
    with instance.smtp() as client:
        client.greeted().mail("a@example.org", ["one@posthouse.test"], message("one"))
    instance.maildir("one").wait(1)
    instance.stop()
    records = instance.log_records()
    assert [record for record in records if record.get("generation") not in (1, 2)] == []
    later = [record for record in records if record["time"] > reloaded]
    assert {record["generation"] for record in later} == {2}
    assert {"master", "smtp", "cleanup", "qmgr", "virtual"} <= {it["service"] for it in later}
    assert instance.log_records("reload", service="master", generation=2)
    of_process = defaultdict(set)
    for record in records:
        if record["service"] != "master":
            of_process[record["pid"]].add(record["generation"])
    assert {len(generations) for generations in of_process.values()} == {1}
