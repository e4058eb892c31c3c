"""A system under a false clock, at the borders of what a clock can say."""

import email.utils
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import DAY, YEAR, FalseClock
from support.folders import reachable_folder
from support.instance import Instance
from support.smtp_peer import Script, SmtpPeer
from support.waiting import wait_until

MESSAGE = b"Subject: when?\r\n\r\nnow\r\n"


class World:
    """A running system, its clock, and a next host that never takes anything."""

    def __init__(self, folder: Path, peer: SmtpPeer) -> None:
        self.clock = FalseClock(folder / "clock")
        parameters = {"relayhost": f"[127.0.0.1]:{peer.port}", "queue_run_delay": 0.5}
        self.instance = Instance(folder / "system", parameters)
        self.instance.python = str(self.clock.python)
        self.instance.start()

    def send(self, recipient: str) -> str:
        """The queue id of one message."""
        with self.instance.smtp() as client:
            reply = client.greeted().mail("alice@example.org", [recipient], MESSAGE)
        return reply.text.split()[-1]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with reachable_folder() as folder, SmtpPeer(Script(rcpt="450 4.2.1 not now")) as peer:
        made = World(folder, peer)
        try:
            yield made
        finally:
            made.instance.close()


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(1.0, id="1970"),
        pytest.param(2.0**31 - 1, id="2038"),
        pytest.param(2.0**32 - 1, id="2106"),
        pytest.param(262 * YEAR, id="2232-as-far-as-linux-goes"),
    ],
)
def test_mail_flows_and_is_shown(world: World, moment: float) -> None:
    instance = world.instance
    world.clock.set(moment)
    user = f"user{moment:.0f}"
    delivered = world.send(f"{user}@posthouse.test")
    mail = instance.maildir(user).only()
    (received,) = mail.fields("Received")
    date = email.utils.parsedate_to_datetime(received.rpartition(";")[2].strip())
    assert abs(date.timestamp() - moment) < DAY
    assert abs(int(mail.path.name.partition(".")[0]) - moment) < DAY
    deferred = world.send("bob@example.net")
    record = instance.wait_log("deferred", queue_id=deferred)
    assert abs(record["time"] - moment) < DAY
    assert 0 < record["next"] - record["time"] < DAY
    year = str(date.year)
    assert year in instance.mta("queue", "show", deferred).stdout
    assert deferred in instance.mta("queue", "list").stdout
    assert year in instance.mta("trace", delivered).stdout
    assert instance.status()["services"]


def test_no_delay_is_negative(world: World) -> None:
    instance = world.instance
    world.clock.set(2.0**31)
    queue_id = world.send("ann@example.net")
    instance.wait_log("deferred", queue_id=queue_id)
    world.clock.jump(-20 * YEAR)
    instance.mta("queue", "flush", queue_id)

    def deliveries() -> list[float]:
        records = instance.log_records("delivery", queue_id=queue_id)
        return [record["delay"] for record in records]

    wait_until(lambda: len(deliveries()) == 2, "another attempt")
    assert min(deliveries()) >= 0.0


def test_jumps_are_told_of(world: World) -> None:
    """One line each, or one of several between two scans: together they are what was set."""
    world.clock.jump(-YEAR)

    def missing() -> float:
        told = sum(record["seconds"] for record in world.instance.log_records("clock_jumped"))
        return float(abs(told - world.clock.offset))

    wait_until(lambda: missing() < 60.0, "a word on each jump")


def test_what_becomes_due_in_sleep_is_tried_on_waking(world: World) -> None:
    """Retry times do not stand still with the machine."""
    instance = world.instance
    queue_id = world.send("carol@example.net")
    instance.wait_log("deferred", queue_id=queue_id)
    with world.clock.sleeping(instance, DAY):
        pass
    wait_until(
        lambda: len(instance.log_records("delivery", queue_id=queue_id)) == 2, "another attempt"
    )
