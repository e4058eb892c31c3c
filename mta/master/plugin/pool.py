"""When a row starts, wakes, retires and gives up processes: decisions only, the clock is given.

    demand              a listener is readable and no process is free
    start               one at a time: the next when the last is ready and full, or when it takes
                        twice as long as the one before it took to be ready
    limit               numprocs accepting processes; said once each time the row stands at it
    failure             an exit before the first `free`, a status other than 0, a missed check-in,
                        a failed spawn, a resident that ends before it has proved itself:
                        the row pauses 1 s, doubling to service_throttle_time
    recovery            a process that served, or stayed ready for 10 s, ends the doubling
    retiree             does not count towards numprocs; of a resident row without inet listeners
                        the successor waits for it, because two queue managers may not meet
    stopped, closed     by the operator, or for good: nothing starts

Events come in by the methods; `decide` returns what is to be done now, and sets `watching`
(whether demand matters) and `deadline` (when to ask again at the latest).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mta.master.channel import Bye, Counters, Crossing
from mta.master.plugin.actions import Action, Kill, Say, Start, Tell
from mta.master.plugin.member import Member, Phase
from mta.master.plugin.stuck import StuckWatch
from mta.master.plugin.table import Row
from mta.master.plugin.throttle import PROVEN_LIFETIME, Throttle
from mta.util.listen import InetAddress

__all__ = ["RETIREMENT_LIMIT", "USUAL_START", "Pool", "Times"]

# Seconds from spawn to the first `free`, until a row's own time is known: generous, because on a
# busy host the client of the first process must not start a second one.
USUAL_START: Final = 0.5
LIMIT_PAUSE: Final = 10.0  # seconds between two lines about a limit
RETIREMENT_LIMIT: Final = 330.0  # seconds; a daemon ends itself after 300


@dataclass(frozen=True)
class Times:
    """The parameters that a pool needs, in seconds."""

    checkin: float
    throttle: float


class Pool:
    """The processes of one row."""

    def __init__(self, row: Row, times: Times, now: float) -> None:
        self.row = row
        self.times = times
        self.members: dict[str, Member] = {}
        self.throttle = Throttle()
        self.stuck = StuckWatch()
        self.stopped = False  # by the operator
        self.closed = False  # draining, or dropped from the table
        self.watching = False
        self.deadline = now
        self.spawned_total = 0
        self.last_exit = ""
        self._served_before = 0  # by processes that have ended
        self._demanded = False
        self._wake_pending = False
        self._next_wake = now if row.wakeup else math.inf
        self._watch_from = now
        self._start_time = USUAL_START
        self._at_limit = False
        self._limit_said_at = -math.inf

    # What happened.

    def demand(self) -> None:
        """A watched listener is readable."""
        self._demanded = True
        self.watching = False

    def spawned(self, process: str, now: float) -> None:
        """A process exists."""
        self.members[process] = Member(process, now)
        self.spawned_total += 1
        self.watching = False
        self._watch_from = now + 2 * self._start_time
        self._wake_pending = False

    def spawn_failed(self, process: str, reason: str, now: float) -> list[Action]:
        """A process could not even be created."""
        self.last_exit = f"{process}: {reason}"
        return [self._failed(process, reason, now)]

    def heard(self, process: str, packet: Crossing | Counters | Bye, now: float) -> list[Action]:
        """A process said something on its channel."""
        member = self.members.get(process)
        if member is None:
            return []
        match packet:
            case Crossing(name):
                self._at_limit = False
                if member.ready_at is None:
                    member.ready_at = now
                    self._start_time = max(now - member.spawned_at, USUAL_START / 2)
                if member.accepting:
                    member.phase = Phase.FREE if name == "free" else Phase.FULL
                    if member.phase is Phase.FULL:
                        self._watch_from = now
            case Counters(clients, served):
                member.clients = clients
                member.served = max(member.served, served)
            case Bye():
                self._at_limit = False
                if member.accepting:
                    member.phase = Phase.RETIRING
                    member.retiring_since = now
        return []

    def exited(self, process: str, status: int, text: str, now: float) -> list[Action]:
        """A process is gone; `text` tells how, `status` is 0 for a clean exit."""
        member = self.members.pop(process, None)
        if member is None:
            return []
        self._at_limit = False
        self._served_before += member.served
        if member.ready_at is None and not member.ordered:
            text = f"{text} before it was ready"
        if member.killed:
            text = f"{text}: {member.killed}"
        self.last_exit = f"{process}: {text}"
        self._reward(member, now)
        if member.ordered:
            said = Say("warning", "killed", f"service {self.row.name}: {self.last_exit}")
            return [said] if member.killed else []
        if status == 0 and member.ready_at is not None:
            if self.row.restart != "always" or member.has_proved_itself(now, PROVEN_LIFETIME):
                return []
            text = f"{text}, too soon for a resident service"
        return [self._failed(process, text, now)]

    # What the operator or the master wants.

    def stop(self, process: str = "") -> None:
        """The operator stops the row, or ends one process of it: none is started any more."""
        self.stopped = True
        if process in self.members:
            self.members[process].ordered = True

    def reconfigure(self, row: Row, times: Times, now: float) -> None:
        """The row of a new generation is in force; one that was dropped may be back."""
        if row.wakeup != self.row.wakeup:
            self._next_wake = now if row.wakeup else math.inf
        self.row, self.times, self.closed = row, times, False
        self.throttle.reset()  # what failed may have been repaired

    def release(self) -> None:
        """The operator wants the row to run: forget that it was stopped, or why it is throttled."""
        self.stopped = False
        self.throttle.reset()

    def retire(self, now: float, *, expire: bool = False) -> list[Action]:
        """Ask every process to end, soon if `expire`; successors may start."""
        told: list[Action] = []
        for member in self.members.values():
            if not member.ordered:
                told.append(Tell(member.name, "retire"))
                member.ordered = True
            if member.accepting:
                member.phase = Phase.RETIRING
                member.retiring_since = now
            if expire and not member.expiring:
                member.expiring = True
                told.append(Tell(member.name, "expire"))
        return told

    def close(self, now: float, *, expire: bool) -> list[Action]:
        """End the row for good: nothing starts any more."""
        self.closed = True
        self.watching = False
        return self.retire(now, expire=expire)

    def no_slot(self) -> list[Action]:
        """A start found every slot taken: retirees are asked to hurry."""
        self._at_limit = True
        late = [m for m in self.members.values() if not m.accepting and not m.expiring]
        if not late:
            return []
        for member in late:
            member.expiring = True
        name = self.row.name
        said = Say(
            "warning",
            "slots",
            f"service {name} has no slot for a new process: retiring ones are told to hurry",
            {"row": name},
        )
        return [said, *(Tell(member.name, "expire") for member in late)]

    def sample(self, readable: bool, now: float) -> list[Action]:
        """Take note, about once a second, whether a listening socket is readable right now."""
        if not self.stuck.sample(readable and self.claims_free, self.served, now):
            return []
        name = self.row.name
        text = f"service {name} says that it is free, yet clients wait unserved for 5 s"
        actions: list[Action] = [Say("error", "stuck", text, {"row": name})]
        if self._counted >= self.row.numprocs:
            # What claims to be free and does not accept is as good as gone: let it go.
            for member in self.members.values():
                if member.phase is Phase.FREE:
                    member.phase, member.retiring_since = Phase.RETIRING, now
                    member.ordered = True
                    actions.append(Tell(member.name, "retire"))
        return [*actions, Start()]

    # What to do.

    def may_start(self, now: float) -> bool:
        """The gate that every spawn passes, whoever asks for it."""
        return (
            not self.stopped
            and not self.closed
            and not self.throttle.active(now)
            and not (self.throttle.failures and self._has(Phase.STARTING))
            and self._counted < self.row.numprocs
        )

    def decide(self, now: float) -> list[Action]:
        """All that is due now."""
        actions = list(self._overdue(now))
        for member in self.members.values():
            self._reward(member, now)
        actions += self._wake(now)
        actions += self._meet_demand(now)
        self.watching = self._should_watch(now)
        self.deadline = min(self._deadlines(now), default=math.inf)
        return actions

    def _overdue(self, now: float) -> Iterator[Action]:
        for member in self.members.values():
            if member.killed:
                continue
            if member.phase is Phase.STARTING and now >= member.spawned_at + self.times.checkin:
                member.killed = f"it was not ready within {self.times.checkin:g} s"
                yield Kill(member.name)
            elif not member.accepting and now >= member.retiring_since + RETIREMENT_LIMIT:
                member.killed = f"it had not ended {RETIREMENT_LIMIT:g} s after it was to"
                yield Kill(member.name)

    def _wake(self, now: float) -> list[Action]:
        if now >= self._next_wake:
            self._next_wake = now + self.row.wakeup
            ready = [m for m in self.members.values() if m.phase in (Phase.FREE, Phase.FULL)]
            if ready:
                return [Tell(member.name, "wake") for member in ready]
            self._wake_pending = not self._has(Phase.STARTING)
        return []

    def _meet_demand(self, now: float) -> list[Action]:
        demanded, self._demanded = self._demanded, False
        if self._has(Phase.FREE) or (self._has(Phase.STARTING) and not self._may_overlap(now)):
            demanded = False  # it is being met
        if not self.may_start(now):
            return self._stand_at_limit(now) if demanded else []
        room = self.row.numprocs - self._counted
        if self.row.restart == "always":
            wanted = room
        else:
            ahead = sum(m.phase in (Phase.FREE, Phase.STARTING) for m in self.members.values())
            wanted = max(self.row.min_free - ahead, int(demanded or self._wake_pending))
            wanted = 0 if self.row.restart == "never" else min(wanted, room)
        return [Start()] * (min(wanted, 1) if self.throttle.failures else wanted)

    def _stand_at_limit(self, now: float) -> list[Action]:
        if self._has(Phase.STARTING) or self._counted < self.row.numprocs:
            return []
        self._at_limit = True
        if self.accepting < self.row.numprocs or now < self._limit_said_at + LIMIT_PAUSE:
            return []
        self._limit_said_at = now
        name, limit = self.row.name, self.row.numprocs
        noun = "process" if limit == 1 else "processes"
        text = f"service {name} stands at its limit of {limit} {noun}"
        return [Say("warning", "limit", text, {"row": name, "numprocs": limit})]

    def _should_watch(self, now: float) -> bool:
        starting = self._has(Phase.STARTING)
        return not (
            self.stopped
            or self.closed
            or self.row.restart == "never"
            or self.throttle.active(now)
            or self._has(Phase.FREE)
            or self._at_limit
            or (starting and not self._may_overlap(now))
        )

    def _may_overlap(self, now: float) -> bool:
        """Whether demand could start another process beside one that is still starting."""
        return (
            now >= self._watch_from
            and self._counted < self.row.numprocs
            and not self.throttle.failures
        )

    def _deadlines(self, now: float) -> Iterator[float]:
        for member in self.members.values():
            if member.killed:
                continue
            if member.phase is Phase.STARTING:
                yield member.spawned_at + self.times.checkin
            elif not member.accepting:
                yield member.retiring_since + RETIREMENT_LIMIT
            elif self.throttle.failures and member.ready_at is not None:
                yield member.ready_at + PROVEN_LIFETIME
        if self.closed or self.stopped:
            return
        yield self._next_wake
        if self.throttle.active(now):
            yield self.throttle.until
        elif self._has(Phase.STARTING) and self._watch_from > now:
            yield self._watch_from

    def _reward(self, member: Member, now: float) -> None:
        """End the doubling, if a process begun after the last failure has proved itself."""
        newer = member.spawned_at >= self.throttle.failed_at
        if self.throttle.failures and newer and member.has_proved_itself(now, PROVEN_LIFETIME):
            self.throttle.reset()

    def _failed(self, process: str, reason: str, now: float) -> Action:
        pause = self.throttle.failed(now, self.times.throttle)
        name = self.row.name
        text = f"service {name} failed: {process}: {reason}; it is tried again in {pause:g} s"
        return Say("error", "failed", text, {"row": name, "pause": pause})

    # What it looks like.

    @property
    def accepting(self) -> int:
        """Processes that count towards numprocs."""
        return sum(member.accepting for member in self.members.values())

    @property
    def clients(self) -> int:
        """Clients connected now, to retiring processes too."""
        return sum(member.clients for member in self.members.values())

    @property
    def served(self) -> int:
        """Units of work since the master began."""
        return self._served_before + sum(member.served for member in self.members.values())

    @property
    def claims_free(self) -> bool:
        """Whether some process says that it would take a client."""
        return self._has(Phase.FREE)

    def state(self, now: float) -> str:
        """One word for `mta status`."""
        if self.stopped:
            return "stopped"
        if self.closed:
            return "draining"
        if self._has(Phase.FREE) or self._has(Phase.FULL):
            return "running"
        if self.throttle.active(now):
            return "throttled"
        return "starting" if self._has(Phase.STARTING) else "idle"

    @property
    def _counted(self) -> int:
        waits = self.row.restart == "always" and not any(
            isinstance(address, InetAddress) for address in self.row.listen
        )
        return len(self.members) if waits else self.accepting

    def _has(self, phase: Phase) -> bool:
        return any(member.phase is phase for member in self.members.values())
