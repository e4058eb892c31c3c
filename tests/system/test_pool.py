"""Processes come with demand, up to the limit, are used again, and go when idle."""

import selectors
import threading

from support.dialogue import Dialogue
from support.instance import Instance, NewInstance
from support.load import message
from support.waiting import wait_until

SESSIONS = 200
NUMPROCS = 2
CLIENT_LIMIT = 10


class Census:
    """A thread that counts a row's processes in /proc for as long as it is asked to."""

    def __init__(self, instance: Instance, service: str) -> None:
        self.most = 0
        self._instance = instance
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while not self._stop.wait(0.01):
            self.most = max(self.most, len(self._instance.pids(self._service)))

    def close(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.most


def test_sessions_beyond_the_limit_wait_and_are_served(new_instance: NewInstance) -> None:
    limits = {"numprocs": NUMPROCS, "client_limit": CLIENT_LIMIT, "max_use": 0}
    instance = new_instance(services={"smtp": limits})
    instance.start()
    census = Census(instance, "smtp")
    clients = [instance.smtp() for _ in range(SESSIONS)]
    try:
        served = _serve_all(clients)
        assert served.most == NUMPROCS * CLIENT_LIMIT
        assert served.total == SESSIONS
    finally:
        most = census.close()
        for client in clients:
            client.close()
    assert most == NUMPROCS
    (said,) = instance.log_records("limit", service="master", row="smtp")[:1]
    assert said["level"] == "warning"


class Served:
    """How many sessions stood greeted at once, and how many were greeted in all."""

    def __init__(self) -> None:
        self.most = 0
        self.total = 0


def _serve_all(clients: list[Dialogue]) -> Served:
    """Greet as many as there is room for, then let them go one by one.

    A freed place must be taken by the next client within 5 seconds.
    """
    served = Served()
    greeted: list[Dialogue] = []
    with selectors.DefaultSelector() as waiting:
        for client in clients:
            waiting.register(client.socket, selectors.EVENT_READ, client)
        while waiting.get_map():
            ready = waiting.select(timeout=5.0)
            assert ready, f"{len(waiting.get_map())} clients were not greeted within 5 s"
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                client = key.data
                greeted.append(client.greeted())
                served.total += 1
            served.most = max(served.most, len(greeted))
            room_is_left = len(greeted) < min(NUMPROCS * CLIENT_LIMIT, len(waiting.get_map()))
            if not room_is_left:
                leaving = greeted.pop(0)
                leaving.say("QUIT", 221)
                leaving.close()
    return served


def test_an_idle_pool_goes_and_comes_back(new_instance: NewInstance) -> None:
    rows = {name: {"max_idle": "1s"} for name in ("smtp", "cleanup", "rewrite", "virtual")}
    instance = new_instance(services=rows)
    instance.start()
    assert not [instance.pids(name) for name in rows if instance.pids(name)]
    for mark in ("first", "second"):
        with instance.smtp() as client:
            client.greeted().mail("a@example.org", ["bob@posthouse.test"], message(mark))
        instance.maildir("bob").wait(1 if mark == "first" else 2)
        wait_until(lambda: not any(map(instance.pids, rows)), "the end of the idle pools", 15.0)
    status = {row["name"]: row for row in instance.status()["services"]}
    for name in rows:
        assert (status[name]["running"], status[name]["state"]) == (0, "idle")
        assert status[name]["spawned"] >= 2


def test_a_process_retires_after_its_uses(new_instance: NewInstance) -> None:
    instance = new_instance(services={"smtp": {"numprocs": 1, "max_use": 5, "max_idle": "60s"}})
    instance.start()
    seen: set[int] = set()
    for _ in range(20):
        with instance.smtp() as client:
            client.greeted().say("QUIT", 221)
            client.expect_end()
        seen.update(instance.pids("smtp"))
    assert len(seen) >= 3, "20 sessions at 5 uses each need about 4 processes"
    assert not instance.log_records("failed")


def test_one_client_starts_one_process(instance: Instance) -> None:
    with instance.smtp() as client:
        client.greeted().mail("a@example.org", ["bob@posthouse.test"], message("lonely"))
        instance.maildir("bob").wait(1)
        status = {row["name"]: row for row in instance.status()["services"]}
        for name in ("smtp", "cleanup", "rewrite", "virtual"):
            assert status[name]["spawned"] == 1


def test_min_free_starts_ahead_of_demand(new_instance: NewInstance) -> None:
    rows = {"smtp": {"numprocs": 3, "client_limit": 1, "min_free": 1}}
    instance = new_instance(services=rows)
    instance.start()
    wait_until(lambda: len(instance.pids("smtp")) == 1, "one process ahead")
    with instance.smtp() as client:
        client.greeted()
        wait_until(lambda: len(instance.pids("smtp")) == 2, "another one ahead")


def test_wakeup_starts_a_row_again_and_again(new_instance: NewInstance) -> None:
    instance = new_instance(services={"rewrite": {"wakeup": "1s", "max_idle": "0s"}})
    instance.start()
    instance.wait_status(
        lambda status: next(
            row["spawned"] >= 2 for row in status["services"] if row["name"] == "rewrite"
        ),
        "two starts of rewrite by the clock",
        15.0,
    )
