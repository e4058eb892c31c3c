"""The master: the one guarded pass in Supervisor's loop, and what it needs to act.

Callbacks record; the pass, run once a turn before Supervisor polls, applies what was recorded,
asks each row's pool what is due, and does it. Whatever goes wrong in it is logged and tried again
a second later: an exception that reached the loop would end the house.
"""

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from supervisor.medusa import asyncore_25
from supervisor.states import SupervisorStates

from mta.master.channel import Bye, Checkin, Command, Counters, Crossing, encode
from mta.master.plugin.actions import Action, Kill, Say, Start, Tell
from mta.master.plugin.drain import Drain
from mta.master.plugin.groups import free_slot, own_group, prune_group
from mta.master.plugin.listeners import Listener
from mta.master.plugin.loop import (
    DemandDispatcher,
    PassDispatcher,
    readable_among,
)
from mta.master.plugin.poller import TurnPoller
from mta.master.plugin.pool import Pool, Times
from mta.master.plugin.process import ServiceProcess
from mta.master.plugin.report import Report
from mta.master.plugin.seam import Group, Supervisord
from mta.master.plugin.table import Row, Table
from mta.util.house import RELOAD_PROGRAM
from mta.util.listen import InetAddress, ListenAddress, PipeAddress

__all__ = ["Master"]

LOG_PIPE: Final = PipeAddress("log")
_SAMPLE_PAUSE: Final = 1.0  # seconds between two looks for stuck listeners
_SHUTDOWN_PAUSE: Final = 0.05  # seconds; Supervisor takes one turn of its loop for each program
_RETRY_PAUSE: Final = 1.0  # seconds after a pass that failed


class Master:
    """Everything that the plugin keeps for the life of one supervisord."""

    def __init__(
        self, supervisord: Supervisord, table: Table, listeners: dict[ListenAddress, Listener]
    ) -> None:
        self.supervisord = supervisord
        self.options = supervisord.options
        self.table = table
        self.listeners = listeners
        self.report = Report(self.options.logger, table.generation)
        self.pools: dict[str, Pool] = {}
        self.drain: Drain | None = None
        self._events: deque[Callable[[], None]] = deque()
        self._newborn: list[ServiceProcess] = []
        self._dirty: set[str] = set()
        self._reload_asked = False
        self._deadline = -math.inf
        self._next_sample = 0.0
        for row in table.rows.values():
            self.add_pool(row)
            own_group(self.group(row.name), self)
        PassDispatcher(self.run_pass)
        self.options.poller = TurnPoller(self.options, lambda: self._deadline)
        self.rewire()

    # What others ask for: recorded, and done by the next pass.

    @property
    def running(self) -> bool:
        """Whether Supervisor is not shutting down: a process started then would hold it up."""
        return bool(self.options.mood == SupervisorStates.RUNNING)

    def touch(self, *rows: str) -> None:
        """Let the next turn's pass look at these rows; the next turn comes without a pause."""
        self._dirty.update(rows)
        self._deadline = -math.inf

    def ask_reload(self, reason: str) -> None:
        """Start the reload program, once it is not running."""
        self._reload_asked = True
        self.report.note(f"{reason}: starting {RELOAD_PROGRAM}")
        self.touch()

    def ask_drain(self, reason: str) -> None:
        """Begin the staged stop; asking twice is asking once."""
        if self.drain is None:
            self.drain = Drain()
            self.report.say("info", "drain", f"{reason}: draining")
        self.touch()

    def group(self, row: str) -> Group:
        """Supervisor's group of a row."""
        return self.supervisord.process_groups[row]

    def process(self, row: str, name: str) -> ServiceProcess:
        """A slot of a row; KeyError if it has none of that name."""
        process: ServiceProcess = self.group(row).processes[name]
        return process

    def add_pool(self, row: Row) -> None:
        """Begin to run a row."""
        times = Times(self.table.checkin_time, self.table.throttle_time)
        self.pools[row.name] = Pool(row, times, time.monotonic())
        self._dirty.add(row.name)

    def rewire(self) -> None:
        """Bind listeners to the pools whose demand they show, and the report to the log pipe."""
        for row in self.table.rows.values():
            for address in row.listen:
                if address in self.listeners:
                    descriptor = self.listeners[address].descriptor
                    watcher = DemandDispatcher(self.pools[row.name], self.touch)
                    asyncore_25.socket_map[descriptor] = watcher
        self.report.generation = self.table.generation
        self.report.writer = self.listeners[LOG_PIPE].writer if LOG_PIPE in self.listeners else -1

    def close_listeners(self, addresses: Iterable[ListenAddress]) -> None:
        """Close these addresses; the processes that share them are told on their own channel."""
        for address in list(addresses):
            listener = self.listeners.pop(address)
            asyncore_25.socket_map.pop(listener.descriptor, None)
            listener.close()

    # What processes tell (the Keeper of mta.master.plugin.process): recorded.

    def may_spawn(self, process: ServiceProcess) -> bool:
        """The gate: nothing starts while Supervisor stops, or against the pool's judgement."""
        pool = self.pools.get(process.row)
        return self.running and pool is not None and pool.may_start(time.monotonic())

    def spawned(self, process: ServiceProcess) -> None:
        """Count the process at once, for the gate; the pass checks it in."""
        self.pools[process.row].spawned(process.name, time.monotonic())
        self._newborn.append(process)
        self.touch(process.row)

    def spawn_failed(self, process: ServiceProcess, reason: str) -> None:
        """Record a failure."""
        self._record(process, lambda pool, now: pool.spawn_failed(process.name, reason, now))

    def heard(self, process: ServiceProcess, packet: Crossing | Counters | Bye) -> None:
        """Record a packet."""
        self._record(process, lambda pool, now: pool.heard(process.name, packet, now))

    def distrusted(self, process: ServiceProcess, reason: str) -> None:
        """Say what a daemon broke; with its channel closed it ends by itself."""
        text = f"{process.name} breaks the pact, its channel is closed: {reason}"
        said = Say("error", "channel", text, {"row": process.row})
        self._record(process, lambda _pool, _now: [said])

    def stopping(self, process: ServiceProcess) -> None:
        """An operator's stop holds until somebody starts the row again."""
        if self.running:
            self.pools[process.row].stop(process.name)
            self.touch(process.row)

    def exited(self, process: ServiceProcess, status: int, text: str) -> None:
        """Record an end."""
        self._record(process, lambda pool, now: pool.exited(process.name, status, text, now))

    def _record(
        self, process: ServiceProcess, event: Callable[[Pool, float], Sequence[Action]]
    ) -> None:
        pool, now = self.pools[process.row], time.monotonic()
        self._events.append(lambda: self.perform(pool, event(pool, now)))
        self.touch(process.row)

    # The pass.

    def run_pass(self) -> None:
        """Do what is due; cheap when nothing is. Nothing is raised."""
        now = time.monotonic()
        if now < self._deadline and self.running:
            return
        self._deadline = math.inf
        due = [self._guarded(self._apply_events, now)]
        if self.running:
            steps = (self._start_reload, self._advance_drain, self._sample, self._serve)
            due += [self._guarded(step, now) for step in (*steps, self._check_in)]
        else:
            due.append(self._guarded(self._stand_by, now))
        # Whatever was touched meanwhile, or spawned, has set the deadline to "at once".
        self._deadline = min(self._deadline, *due)

    def _guarded(self, step: Callable[[float], float], now: float) -> float:
        """Run one step, which returns when it is due again; one that fails, a second later."""
        try:
            return step(now)
        except Exception:  # noqa: BLE001 - an exception in the loop would end supervisord
            self.report.say("error", "pass", f"a pass failed:\n{traceback.format_exc()}")
            return now + _RETRY_PAUSE

    def _apply_events(self, _now: float) -> float:
        while self._events:
            self._events.popleft()()
        return math.inf

    def _stand_by(self, now: float) -> float:
        """Supervisor shuts down: demand has no meaning any more."""
        for pool in self.pools.values():
            pool.watching = False
        return now + _SHUTDOWN_PAUSE

    def _serve(self, now: float) -> float:
        """Let each row that has changed, or is due, decide."""
        dirty, self._dirty = self._dirty, set()
        for name, pool in list(self.pools.items()):
            if name in dirty or now >= pool.deadline:
                pool.deadline = self._guarded(partial(self._serve_row, pool), now)
        return min((pool.deadline for pool in self.pools.values()), default=math.inf)

    def _serve_row(self, pool: Pool, now: float) -> float:
        self.perform(pool, pool.decide(now))
        self._tidy(pool)
        return pool.deadline

    def perform(self, pool: Pool, actions: Sequence[Action]) -> None:
        """Do what a pool decided."""
        for action in actions:
            match action:
                case Start():
                    self._start(pool)
                case Tell(name, command):
                    self._tell(self.process(pool.row.name, name), Command(command))
                case Kill(name, number):
                    self.process(pool.row.name, name).kill(number)
                case Say():
                    self.report.pass_on(action)

    def _start(self, pool: Pool) -> None:
        slot = free_slot(self.group(pool.row.name))
        if slot is None:
            self.perform(pool, pool.no_slot())
        else:
            slot.spawn()

    def _tell(self, process: ServiceProcess, command: Command) -> None:
        try:
            process.send(encode(command))
        except OSError as error:
            # Ending already, or not reading: the deadlines of its pool see to it.
            self.report.note(f"{process.name} does not hear {command.name}: {error}")

    def _check_in(self, _now: float) -> float:
        """Hand each new process its listeners; it waits for them on fd 0."""
        newborn, self._newborn = self._newborn, []
        for process in newborn:
            row = self.table.rows.get(process.row)
            if row is None or any(address not in self.listeners for address in row.listen):
                process.close_channel()  # its addresses have just been closed
                continue
            writer = () if self.report.writer < 0 else (self.report.writer,)
            packet = Checkin(
                generation=self.table.generation,
                service=row.name,
                process=process.name,
                listeners=tuple(str(address) for address in row.listen),
                log=bool(writer),
            )
            listeners = (self.listeners[address].descriptor for address in row.listen)
            try:
                process.send(encode(packet), (*writer, *listeners))
            except OSError as error:
                self.report.note(f"{process.name} does not check in: {error}")
        return math.inf

    def _start_reload(self, now: float) -> float:
        if not self._reload_asked:
            return math.inf
        group = self.supervisord.process_groups.get(RELOAD_PROGRAM)
        if group is None:
            self._reload_asked = False
            self.report.say("error", "reload", f"cannot reload: no program {RELOAD_PROGRAM}")
            return math.inf
        for program in group.processes.values():
            if program.pid:  # it may have read the configuration already: run it once more
                return now + _RETRY_PAUSE
            self._reload_asked = False
            program.spawn()
        return math.inf

    def _advance_drain(self, now: float) -> float:
        if self.drain is None:
            return math.inf
        self.close_listeners(a for a in self.listeners if isinstance(a, InetAddress))
        for pool, actions in self.drain.step(self.pools, now):
            self.perform(pool, actions)
            self.touch(pool.row.name)
        if self.drain.finished:
            self.close_listeners(a for a in self.listeners if not isinstance(a, PipeAddress))
            self.options.mood = SupervisorStates.SHUTDOWN
        return self.drain.deadline

    def _sample(self, now: float) -> float:
        """Look for clients that wait although somebody claims to be free."""
        watched = {
            self.listeners[address].descriptor: pool
            for pool in self.pools.values()
            if pool.claims_free
            for address in pool.row.listen
            if address in self.listeners and not isinstance(address, PipeAddress)
        }
        if not watched or now < self._next_sample:
            return self._next_sample if watched else math.inf
        self._next_sample = now + _SAMPLE_PAUSE
        waiting = {watched[descriptor].row.name for descriptor in readable_among(watched)}
        for pool in set(watched.values()):
            self.perform(pool, pool.sample(pool.row.name in waiting, now))
        return self._next_sample

    def _tidy(self, pool: Pool) -> None:
        """Remove what the table no longer has, once it is empty."""
        name = pool.row.name
        prune_group(self.group(name))
        if name in self.table.rows or pool.members:
            return
        if self.supervisord.remove_process_group(name):
            del self.pools[name]
        else:
            self.touch(name)  # Supervisor gives up a failed start in this turn
