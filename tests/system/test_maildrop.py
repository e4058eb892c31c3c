"""The maildrop on a started system: hosts that share it, a pickup that dies, users who abuse it."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.instance import Instance, NewInstance, separated
from support.maildrop import drop, encoded, put
from support.scripted_service import notify
from support.tracing import Kill, Trace
from support.users import attempt_as
from support.waiting import wait_until

from mta.ipc.connection import encode
from mta.ipc.messages import Begin, Dropped
from mta.proto.envelope import Origin, Recipient

WRITERS = 4
MESSAGES = 250  # of each writer
KILLS = 12
NOBODY = 65534
_PROGRAM = Path(__file__).resolve().parents[1] / "support" / "drop_messages.py"


@pytest.fixture
def hub(new_instance: NewInstance) -> Instance:
    """A hub that finds files soon, and whose pickup may die often."""
    instance = new_instance(
        {"service_throttle_time": "1s"}, {"pickup": {"wakeup": "1s", "numprocs": 1}}
    )
    instance.start()
    return instance


@dataclass(frozen=True)
class Stage:
    """A kill at one event of a file, and the extra copies that it makes."""

    event: str
    kill: Kill
    copies: int

    def __str__(self) -> str:
        return self.event


class Host(threading.Thread):
    """A host of its own name and boot that leaves messages, and what was acknowledged there."""

    def __init__(self, hub: Instance, number: int) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        boot = hub.directory / f"boot-{number % 2}"
        boot.write_text(f"{number % 2:08x}-1111-2222-3333-444444444444\n")
        name = f"host{number % 2}.test"
        first = str(number * MESSAGES)
        command = [hub.queue / "maildrop", name, boot, first, str(MESSAGES)]
        user = [str(NOBODY)] if separated() else []
        self.process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), *map(str, command), *user],
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            self.acknowledged += [line.strip() for line in said]
        self.process.wait()


@pytest.fixture
def hosts(hub: Instance) -> Iterator[list[Host]]:
    made = [Host(hub, number) for number in range(WRITERS)]
    for host in made:
        host.start()
    yield made
    for host in made:
        host.process.kill()
        host.join()


def submitted(hub: Instance) -> int:
    return len(hub.log_records("submitted"))


def delivered(hub: Instance) -> int:
    """Quick to find, so that pickup is struck while there is work left."""
    return len(hub.maildir("bob").messages())


def nudge(hub: Instance) -> None:
    with suppress(OSError):
        notify(hub.queue, "public/pickup", Dropped())


def test_no_kill_loses_or_copies_more_than_it_must(
    hub: Instance, hosts: list[Host], record_property: Callable[[str, object], None]
) -> None:
    """Two hosts share one folder; a kill strikes whatever pickup is at."""
    kills = 0
    step = WRITERS * MESSAGES // (KILLS + 2)
    while kills < KILLS:
        goal = delivered(hub) + step + kills
        nudge(hub)
        wait_until(lambda goal=goal: delivered(hub) >= goal or _is_done(hub, hosts), "work", 60.0)  # type: ignore[misc]
        if _is_done(hub, hosts):
            break
        for pid in hub.pids("pickup"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
    for host in hosts:
        host.join()
        assert host.process.returncode == 0
    acknowledged = [mark for host in hosts for mark in host.acknowledged]
    assert len(acknowledged) == WRITERS * MESSAGES
    nudge(hub)
    wait_until(lambda: not list((hub.queue / "maildrop").iterdir()), "an empty maildrop", 60.0)
    wait_until(lambda: not hub.messages("incoming", "deferred"), "an empty queue", 60.0)
    copies = Counter(
        mark for each in hub.maildir("bob").messages() for mark in each.fields("Subject")
    )
    record_property("pickup", f"{kills} kills, {copies.total() - len(copies)} extra copies")
    assert kills >= KILLS // 2
    assert set(copies) == set(acknowledged), "lost, or not sent"
    assert copies.total() - len(copies) <= kills
    for each in hub.maildir("bob").messages():
        assert len(each.octets) > 2000, "half a message"
    assert hub.log_records("set_aside") == []


def _is_done(hub: Instance, hosts: list[Host]) -> bool:
    """Whether nothing is left to be killed at: who dies may not have told of its last file."""
    return not any(host.is_alive() for host in hosts) and not os.listdir(hub.queue / "maildrop")


STAGES = (
    Stage("before it opens the file", Kill("openat"), 0),
    Stage("before it reads the content", Kill("pread64", 4), 0),
    Stage("before the beginning is sent", Kill("sendto"), 0),
    Stage("before the file is removed", Kill("unlinkat"), 1),
)


@pytest.mark.requires("strace")
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_a_kill_at_each_event_of_a_file(hub: Instance, tmp_path: Path, stage: Stage) -> None:
    """Only between cleanup's answer and the removal does one make a copy."""
    folder = hub.queue / "maildrop"
    first = drop(folder)
    nudge(hub)
    hub.wait_log("submitted", file=first)
    (pid,) = hub.wait_ready("pickup")
    with Trace(pid, tmp_path / "trace", stage.kill.calls, stage.kill) as trace:
        for _ in range(3):
            drop(folder)
        nudge(hub)
        wait_until(trace.struck, f"the death of {stage}")
    nudge(hub)
    wait_until(lambda: not list(folder.iterdir()), "an empty maildrop", 30.0)
    hub.maildir("bob").wait(4 + stage.copies, 30.0)
    told = hub.log_records("set_aside") + hub.log_records("put_off")
    assert told == []


def test_mail_comes_from_the_user_whom_the_kernel_names(hub: Instance) -> None:
    """Incomplete addresses are completed; the trace names the user."""
    name = drop(hub.queue / "maildrop", recipients=["bob@posthouse.test"], sender="root")
    nudge(hub)
    message = hub.maildir("bob").only()
    said = hub.wait_log("submitted", file=name)
    assert said["uid"] == os.geteuid()
    assert said["sender"] == "root@posthouse.test"
    (received,) = message.fields("Received")
    assert f"(Posthouse, from userid {os.geteuid()}) id {said['queue_id']}" in received


@pytest.mark.requires("root")
def test_any_user_hands_mail_in(hub: Instance) -> None:
    """Over the socket, which asks nobody who he is: the kernel says it."""
    to = (Recipient("bob@posthouse.test", "bob@posthouse.test"),)
    forged = Origin("ESMTP", "192.0.2.1", 25, "forged.example", "smtp")
    frame = encode(1, Begin("eve", forged, False, to, b"Subject: x\r\n\r\nText\r\n", last=True))
    said = f"(c := connect('public/pickup'), c.send({frame!r}), c.recv(1000))"
    assert "Committed" in attempt_as("nobody", said, hub.queue)
    message = hub.maildir("bob").only()
    (received,) = message.fields("Received")
    assert f"(Posthouse, from userid {NOBODY}) id " in received
    assert "forged" not in received
    assert hub.wait_log("submitted")["sender"] == "eve@posthouse.test"


@pytest.mark.requires("root")
def test_a_squashed_root_is_a_user_as_any_other(hub: Instance) -> None:
    """A file server names nobody as the owner of what a client's root has written."""
    folder = hub.queue / "maildrop"
    path = put(folder, encoded(), owner=NOBODY)
    nudge(hub)
    assert hub.wait_log("submitted", file=path.name)["uid"] == NOBODY


@pytest.mark.requires("root")
def test_a_user_over_his_turn_stops_nobody(new_instance: NewInstance) -> None:
    hub = new_instance({"maildrop_turn_file_limit": 5})
    folder = hub.queue / "maildrop"
    hub.mta("render")
    greedy = {put(folder, encoded(), owner=NOBODY).name for _ in range(60)}
    modest = put(folder, encoded(), owner=1).name
    hub.start()
    nudge(hub)
    wait_until(lambda: submitted(hub) == 61, "all of it", 30.0)
    order = [record["file"] for record in hub.log_records("submitted")]
    assert order.index(modest) < 10
    assert set(order) == greedy | {modest}
    assert hub.log_records("turn_full")


@pytest.mark.requires("root")
@pytest.mark.parametrize(
    "trap",
    [
        "os.symlink('/etc/shadow', 'maildrop/README')",
        "os.mkfifo('maildrop/fifo')",
        "os.mkdir('maildrop/folder')",
        "pathlib.Path('maildrop/noise').write_bytes(os.urandom(1000))",
        "pathlib.Path('maildrop/' + 'x' * 255).touch()",
        "os.truncate(os.open('maildrop/huge', os.O_CREAT | os.O_RDWR, 0o640), 2**40)",
        "socket.socket(socket.AF_UNIX).bind('maildrop/socket')",
        "os.close(os.open('maildrop/closed', os.O_CREAT, 0))",
    ],
    ids=["link", "fifo", "folder", "noise", "long", "huge", "socket", "closed"],
)
def test_no_users_trap_stops_mail(hub: Instance, trap: str) -> None:
    attempt_as("nobody", trap, hub.queue)
    assert len(list((hub.queue / "maildrop").iterdir())) == 1
    for _ in range(3):
        name = drop(hub.queue / "maildrop")
        nudge(hub)
        hub.wait_log("submitted", file=name)
    wait_until(lambda: hub.log_records("set_aside") or hub.log_records("not_moved"), "a word of it")
    told = [*hub.log_records("set_aside"), *hub.log_records("not_moved")]
    assert len(told) == 1
