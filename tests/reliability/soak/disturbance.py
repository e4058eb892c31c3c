"""What befalls a house in a long run: each kind is a function that does one such thing.

The law: a disturbance returns when it is over and the house goes on as before, or is left to the
next one with its mail in order; it says whether it could happen. How far it reaches decides in
which part of a run it may happen.
"""

import enum
import json
import os
import re
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from support.dialogue import Dialogue
from support.dns_server import answering, silent
from support.tracing import Fault
from support.waiting import wait_until

from reliability.load import BOXES, SENDER
from reliability.soak.scene import Scene

__all__ = ["DISTURBANCES", "Disturbance", "Reach"]

_BURST: Final = 100
_IDLE: Final = 5
_ANEW: Final = re.compile(r"^(\S+): queued anew as (\S+)$", re.MULTILINE)
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close(2) resets the connection
_PATIENCE: Final = 30.0  # seconds


class Reach(enum.IntEnum):
    """What ends by a disturbance."""

    NOBODY = 0
    DAEMONS = 1
    EVERYBODY = 2


@dataclass(frozen=True)
class Disturbance:
    """One kind."""

    name: str
    reach: Reach
    act: Callable[[Scene], bool]  # whether it happened
    weight: int = 1  # how often it comes, relative to others


# Neighbours and clients


def _next_host_away(scene: Scene) -> bool:
    with scene.house.peer.away():
        scene.linger()
    return True


def _name_server_silent(scene: Scene) -> bool:
    server = scene.house.dns
    asked = len(server.asked)
    server.udp = server.tcp = silent
    with suppress(AssertionError):  # what is known is not asked for
        wait_until(lambda: len(server.asked) > asked, "a question", 5 * scene.seconds)
        scene.linger()
    server.udp = server.tcp = answering
    return len(server.asked) > asked


def _burst(scene: Scene) -> bool:
    try:
        clients = [scene.house.instance.smtp(timeout=_PATIENCE) for _ in range(_BURST)]
        for client in clients:
            client.greeted()
        for client in clients:
            client.say("QUIT", 221)
            client.close()
    except (OSError, EOFError, AssertionError) as error:
        scene.problems.append(f"one of {_BURST} clients at once: {error}")
    return True


def _idle_clients(scene: Scene) -> bool:
    for _ in range(_IDLE):
        try:
            scene.idle.append(scene.house.instance.smtp(timeout=_PATIENCE).greeted())
        except (OSError, EOFError, AssertionError) as error:
            scene.problems.append(f"a client that stays idle: {error}")
    return True


def _hang_up(scene: Scene) -> bool:
    """Clients go without a word, at each stage; every second one resets its connection."""
    stages = ("NOOP", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{BOXES[0]}>", "DATA")
    for count in range(len(stages) + 1):
        with scene.client() as client:
            for command in stages[:count]:
                client.send(command)
                reply = client.reply()
                if reply.code // 100 == 4:  # its disk has failed, and it remembers that
                    break
                assert reply.code == (354 if command == "DATA" else 250), reply
            if count % 2:
                _reset(client)
    return True


def _reset(client: Dialogue) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


# Faults of the kernel


def _failed_fsync(scene: Scene) -> bool:
    return scene.fault("cleanup", Fault("fsync,fdatasync", "error=EIO", "1+"))


def _no_space(scene: Scene) -> bool:
    # Not at write: strace cannot tell the mailbox from the pipe to the log.
    return scene.fault("virtual", Fault("renameat,renameat2", "error=ENOSPC", "1+"))


def _no_descriptors(scene: Scene) -> bool:
    return scene.fault("smtp", Fault("accept,accept4", "error=EMFILE", "1+"))


# The operator


def _rotate(scene: Scene) -> bool:
    """As logrotate does: a new name; the old file is still written to until that is noticed."""
    scene.changes += 1
    log = scene.house.instance.log_file
    log.rename(log.with_name(f"{log.name}-{scene.changes}"))
    wait_until(log.exists, "a new log file", _PATIENCE)
    for old in sorted(log.parent.glob(f"{log.name}-*"), key=lambda path: path.stat().st_mtime)[:-3]:
        old.unlink()
    return True


def _look(scene: Scene) -> bool:
    entries = json.loads(scene.operate("queue", "list", "--json", fair=(0,)).stdout)
    for entry in scene.source.sample(entries, min(2, len(entries))):
        scene.operate("queue", "show", entry["queue_id"])
    return True


def _status(scene: Scene) -> bool:
    scene.operate("status", fair=(0,))
    return True


def _trace(scene: Scene) -> bool:
    messages = scene.house.ledger.messages()
    if messages:
        scene.operate("trace", scene.source.choice(messages[-20:]).queue_id, fair=(0, 66))
    return bool(messages)


def _hold(scene: Scene) -> bool:
    """What waits is put on hold, and released until nothing is left there."""
    held = scene.operate("queue", "hold", "--state", "deferred", "--all", "--yes").stdout

    def released() -> bool:
        scene.operate("queue", "release", "--state", "hold", "--all", "--yes")
        return not scene.house.instance.queue_files("hold")

    wait_until(released, "an empty hold/", _PATIENCE)
    return not held.startswith("0 ")


def _requeue(scene: Scene) -> bool:
    done = scene.operate("queue", "requeue", "--state", "deferred", "--all", "--yes")
    anew: list[tuple[str, str]] = _ANEW.findall(done.stdout)
    scene.successors.update(anew)
    return bool(anew)


def _flush(scene: Scene) -> bool:
    scene.operate("queue", "flush", fair=(0,))
    return True


def _reload(scene: Scene) -> bool:
    scene.operate("reload", fair=(0,))
    return True


def _reload_changed(scene: Scene) -> bool:
    scene.change()
    return _reload(scene)


def _hangup_signal(scene: Scene) -> bool:
    """SIGHUP for supervisord is a reload."""
    before = scene.house.instance.status()["generation"]
    scene.change()
    os.kill(scene.house.instance.supervisord.pid, signal.SIGHUP)
    scene.house.instance.wait_status(
        lambda status: bool(status["generation"] > before), "a new generation", _PATIENCE
    )
    return True


def _restart(scene: Scene) -> bool:
    rows = [row["name"] for row in scene.house.instance.status()["services"] if row["running"]]
    scene.operate("restart", scene.source.choice(rows), fair=(0,))
    return True


# Crashes


def _kill(scene: Scene) -> bool:
    """One process of one row; a row with many is struck no more often than one with few."""
    processes = [each for each in scene.house.instance.processes() if each.daemon]
    row = scene.source.choice(sorted({process.service for process in processes}))
    scene.kill(scene.source.choice([each for each in processes if each.service == row]))
    return True


def _kill_master(scene: Scene) -> bool:
    scene.kill_master()
    return True


DISTURBANCES: Final = (
    Disturbance("the next host away", Reach.NOBODY, _next_host_away),
    Disturbance("the name server silent", Reach.NOBODY, _name_server_silent),
    Disturbance("a hundred clients at once", Reach.NOBODY, _burst),
    Disturbance("clients that stay idle", Reach.NOBODY, _idle_clients),
    Disturbance("clients that hang up", Reach.NOBODY, _hang_up),
    Disturbance("fsync fails in cleanup (EIO)", Reach.NOBODY, _failed_fsync),
    Disturbance("no space for virtual (ENOSPC)", Reach.NOBODY, _no_space),
    Disturbance("no descriptors for smtpd (EMFILE)", Reach.NOBODY, _no_descriptors),
    Disturbance("the log rotated", Reach.NOBODY, _rotate),
    Disturbance("mta queue list, show", Reach.NOBODY, _look),
    Disturbance("mta queue hold, release", Reach.NOBODY, _hold),
    Disturbance("mta queue requeue", Reach.NOBODY, _requeue),
    Disturbance("mta queue flush", Reach.NOBODY, _flush),
    Disturbance("mta status", Reach.NOBODY, _status),
    Disturbance("mta trace", Reach.NOBODY, _trace),
    Disturbance("mta reload, nothing changed", Reach.DAEMONS, _reload),
    Disturbance("mta reload, a parameter changed", Reach.DAEMONS, _reload_changed),
    Disturbance("SIGHUP, a parameter changed", Reach.DAEMONS, _hangup_signal),
    Disturbance("mta restart of a row", Reach.DAEMONS, _restart),
    Disturbance("a daemon killed", Reach.DAEMONS, _kill, weight=4),
    Disturbance("supervisord killed", Reach.EVERYBODY, _kill_master),
)
