"""The loop of the queue manager: what is due is attempted, what was attempted is settled.

    waiting (calendar)  ->  active (one task)  ->  gone | hold/ | waiting again

The law: an id is waiting or active, never both, so that however often it is notified and found it
is handled once. What an attempt brought is on the file before the sender is told of it and before
the file moves, and the file has moved before the id waits again: a crash between two steps repeats
a step, and loses nothing.
"""

import asyncio
import fcntl
import time
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from mta.config.parameters import Parameters
from mta.daemons.qmgr.ages import WallClock, settled
from mta.daemons.qmgr.delivery import Deliveries
from mta.daemons.qmgr.message import Again, Attempt, Hold, Owe, Postpone, Remove, Verdict
from mta.daemons.qmgr.recovery import Recovery
from mta.daemons.qmgr.reporting import Reporter
from mta.daemons.qmgr.scheduler import Calendar, Entry
from mta.delivery.report import log_outcome
from mta.ipc.messages import DeliverRecipient, Outcome
from mta.queue.disposal import Disposer
from mta.queue.errors import QueueFileCorrupt, QueueFileIncomplete, QueueFileMissing
from mta.queue.journal import JournalRecord, Retry
from mta.queue.layout import State
from mta.queue.queue_id import arrival_time
from mta.queue.reader import StoredMessage
from mta.queue.room import RoomWatch
from mta.queue.store import QueueStore
from mta.util.clock import boottime
from mta.util.log import Log
from mta.util.threads import WorkerPool

__all__ = ["Manager"]

_BURST: Final = 50  # attempts begun before others get the loop
_LOCKED_PAUSE: Final = 1.0  # seconds until a file that somebody works on is looked at again
_READ_ONLY_PAUSE: Final = 1.0  # seconds until a disk that cannot be written is looked at again
_FIRST_PAUSE: Final = 1.0  # seconds until a lost request is repeated; doubled each time
_MOST_LOSSES: Final = 10  # in a row; the next one is a deferral


class _Memory(Struct):
    """What must not be forgotten of a message from one attempt to the next in this process."""

    losses: int = 0  # attempts in a row that settled nothing
    unwritten: list[JournalRecord] = []  # the disk would not take them
    given_up: bool = False  # an operator wants no more attempts


class Manager:
    """All messages of one queue, from the moment they are known until they are gone."""

    def __init__(
        self,
        *,
        store: QueueStore,
        deliveries: Deliveries,
        reporter: Reporter,
        parameters: Parameters,
        active_limit: int,
        loop: asyncio.AbstractEventLoop,
        log: Log,
    ) -> None:
        """At most `active_limit` messages are open at once."""
        self._store = store
        self._deliveries = deliveries
        self._reporter = reporter
        self._parameters = parameters
        self._active_limit = active_limit
        self._loop = loop
        self._log = log
        self._clock = WallClock(time.time(), time.monotonic())
        self._recovery = Recovery(store, self._born, log)
        self._calendar = Calendar()
        self._active: dict[str, asyncio.Task[None]] = {}
        self._memories: dict[str, _Memory] = {}
        self._verifier = WorkerPool(1, "verify")
        self._disposer = Disposer(loop, log)
        self._room = RoomWatch(loop.time)
        self._read_only = False
        self._look = asyncio.Event()
        self._begin_at: asyncio.Handle | None = None
        self._begin_time = 0.0  # of the loop; uvloop's handles do not always know theirs
        self._stopping = False

    def __contains__(self, queue_id: object) -> bool:
        return queue_id in self._active or queue_id in self._calendar

    # What others ask for

    def arrived(self, queue_id: str, *, vouched: bool) -> None:
        """A message was committed to incoming/, or so somebody says.

        `vouched` tells whether it is one who writes queue files: what he says is whole needs no
        second look.
        """
        if queue_id not in self:
            birth = self._born(arrival_time(queue_id))
            found = not vouched
            self._wait(Entry(boottime(), queue_id, deferred=False, found=found, born=birth))

    def flush(self, queue_id: str) -> int:
        """Try one message now, or all when `queue_id` is empty; the count of those that waited.

        Suspended destinations are tried as well: an operator knows more than the last failure.
        """
        self._deliveries.probe()
        count = self._calendar.hasten(boottime(), queue_id)
        self._look.set()
        self._schedule(0.0)
        return count

    def give_up(self, queue_id: str) -> int:
        """Return one message to its sender now, after an attempt that is under way; 0 or 1.

        No attempt is made for that. Nothing but this process's memory knows of it until then.
        """
        if queue_id not in self:
            entry = self._recovery.find(queue_id)
            if entry is None:
                return 0
            self._wait(entry)
        self._memories.setdefault(queue_id, _Memory()).given_up = True
        self._calendar.hasten(boottime(), queue_id)
        self._schedule(0.0)
        return 1

    def look(self) -> None:
        """Scan the queue directories now."""
        self._look.set()

    async def watch(self) -> None:
        """Scan at once, then every `queue_run_delay` and whenever asked, for ever."""
        while True:
            self._look.clear()
            self._look_at_clock()
            try:
                async with aclosing(self._recovery.scan(self, self._is_busy)) as found:
                    async for entry in found:
                        self._wait(entry)
            except Exception as error:  # noqa: BLE001 - without the scan messages are forgotten
                self._log.failure("scan_failed", error)
            self._schedule(0.0)  # the loop's timers stood still while the machine slept
            try:
                async with asyncio.timeout(self._parameters.queue_run_delay):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _look_at_clock(self) -> None:
        jump = self._clock.look(time.time(), time.monotonic())
        if jump:
            self._log.warning("clock_jumped", seconds=round(jump, 3))

    def _born(self, arrived: float) -> float:
        self._look_at_clock()
        return self._clock.born(arrived)

    def _is_busy(self) -> bool:
        return bool(self._active)

    async def stop(self) -> None:
        """Begin nothing more; return when the attempts under way are settled."""
        self._stopping = True
        if self._begin_at is not None:
            self._begin_at.cancel()
        self._deliveries.close()
        if self._active:
            self._log.info("retiring", active=len(self._active), waiting=len(self._calendar))
            await asyncio.wait(self._active.values())
        self._verifier.shutdown(wait=False)
        self._disposer.stop()

    # Waiting

    def _wait(self, entry: Entry) -> None:
        # A retry time on a file is gossip, and clocks get set back: nothing waits longer than this.
        now = boottime()
        due = min(entry.due, now + self._parameters.maximal_backoff_time)
        self._calendar.put(entry._replace(due=due))
        self._schedule(due - now)

    def _schedule(self, pause: float) -> None:
        """Have what is due begun after `pause` seconds, or earlier if that is planned."""
        if self._stopping:
            return
        when = self._loop.time() + max(0.0, pause)
        if self._begin_at is not None:
            if self._begin_time <= when:
                return
            self._begin_at.cancel()
        self._begin_time = when
        self._begin_at = self._loop.call_at(when, self._begin)

    def _begin(self) -> None:
        self._begin_at = None
        if not self._is_writable():
            self._schedule(_READ_ONLY_PAUSE)
            return
        now = boottime()
        for _ in range(_BURST):
            if len(self._active) >= self._active_limit:
                return  # the next attempt to end calls again
            entry = self._calendar.take(now)
            if entry is None:
                break
            self._active[entry.queue_id] = self._loop.create_task(self._work(entry))
        due = self._calendar.next_due()
        if due is not None:
            self._schedule(due - now)

    def _is_writable(self) -> bool:
        """Whether what is delivered can be noted; what only this process knew would die with it.

        A full disk is no reason to wait: to remove what was delivered frees it.
        """
        read_only = self._room.room().read_only
        if read_only != self._read_only:
            self._read_only = read_only
            if read_only:
                self._log.error("queue_read_only")
            else:
                self._log.warning("queue_writable")
        return not read_only

    # Active

    async def _work(self, entry: Entry) -> None:
        queue_id = entry.queue_id
        try:
            following = await self._open_and_attempt(entry)
        except OSError as error:
            self._log.error("queue_error", queue_id=queue_id, reason=str(error))
            following = self._soon(entry)
        except Exception as error:  # noqa: BLE001 - whatever it was, the message stays
            self._log.failure("internal_error", error, queue_id=queue_id)
            following = self._soon(entry)
        del self._active[queue_id]
        if following is None:
            self._memories.pop(queue_id, None)
        else:
            self._wait(following)
        self._schedule(0.0)

    async def _open_and_attempt(self, entry: Entry) -> Entry | None:
        """Attempt a message; return its next entry, None when it is no more to be handled."""
        state = _state(entry)
        try:
            with self._store.open_message(state, entry.queue_id) as message:
                if not _lock(message.descriptor):
                    # Its writer has not yet flushed it, or an agent that a former queue manager
                    # asked still delivers it.
                    return entry._replace(due=boottime() + _LOCKED_PAUSE)
                if entry.found and not message.verified:
                    await self._loop.run_in_executor(self._verifier, message.verify_content)
                arrived, tried = message.envelope.arrived, message.tried
                birth = settled(entry.born, time.monotonic(), arrived, tried)
                attempt = await self._attempt(message)
                return await self._settle(entry._replace(born=birth), message, attempt)
        except (QueueFileMissing, QueueFileIncomplete) as error:
            # Notified twice, or an operator was faster; or still being written: cleanup tells.
            self._log.debug("passed_over", queue_id=entry.queue_id, reason=error.reason)
        except QueueFileCorrupt as error:
            self._recovery.set_aside(state, entry.queue_id, error)
        return None

    async def _attempt(self, message: StoredMessage) -> Attempt:
        """Try all recipients that are left; record what comes in while others are pending."""
        memory = self._memories.get(message.queue_id)
        attempt = Attempt(
            message.envelope,
            message.outcomes,
            reported=message.reported,
            delay_reported=message.delay_reported,
            unwritten=memory.unwritten if memory is not None else (),
        )
        if memory is not None and memory.given_up:
            return attempt
        recipients = attempt.recipients()
        self._log.info(
            "active",
            queue_id=message.queue_id,
            sender=message.envelope.sender,
            size=message.content_length,
            recipients=len(recipients),
        )

        def note(outcomes: list[Outcome]) -> None:
            attempt.note(time.time(), outcomes)
            if attempt.pending:
                try:
                    self._record(message, attempt)
                except OSError as error:  # kept, and written with what comes later
                    self._log.error("unrecorded", queue_id=message.queue_id, reason=str(error))

        await self._deliveries.deliver(message, recipients, note)
        return attempt

    # Settling

    async def _settle(self, entry: Entry, message: StoredMessage, attempt: Attempt) -> Entry | None:
        """Tell the sender, and bring the verdict to the file; return the message's next entry."""
        age = time.monotonic() - entry.born
        try:
            self._end(message, attempt, age)
            await self._reporter.tell(message, attempt, age, self._record)
            verdict = attempt.verdict(age, self._parameters)
            return self._apply(verdict, entry, message, attempt)
        except OSError as error:
            self._log.error("queue_error", queue_id=message.queue_id, reason=str(error))
            memory = self._memories.setdefault(message.queue_id, _Memory())
            memory.unwritten = attempt.unwritten
            return self._soon(entry)

    def _end(self, message: StoredMessage, attempt: Attempt, age: float) -> None:
        """Decide about the recipients for whom the attempt was the last, whatever it brought."""
        memory = self._memories.get(message.queue_id)
        if memory is not None and memory.given_up:
            self._decide(message, attempt, attempt.give_up(), age)
        elif memory is not None and memory.losses >= _MOST_LOSSES:
            self._decide(message, attempt, attempt.lose(), age)
        self._decide(message, attempt, attempt.expire(age, self._parameters), age)

    def _decide(
        self, message: StoredMessage, attempt: Attempt, outcomes: list[Outcome], age: float
    ) -> None:
        """Outcomes that no agent gave: the log has them from us."""
        attempt.note(time.time(), outcomes)
        for outcome in outcomes:
            recipient = message.envelope.recipients[outcome.index]
            given = DeliverRecipient(outcome.index, recipient.address, recipient.original)
            log_outcome(self._log, message.queue_id, given, outcome, age)

    def _apply(
        self, verdict: Verdict, entry: Entry, message: StoredMessage, attempt: Attempt
    ) -> Entry | None:
        queue_id = message.queue_id
        match verdict:
            case Remove():
                self._store.remove(queue_id, message.state)
                if len(self._active) > 1:  # a lone message keeps nobody waiting
                    self._disposer.close(message.detach())
                self._log.info("removed", queue_id=queue_id)
                return None
            case Hold(reason):
                self._record(message, attempt)
                self._store.move(queue_id, message.state, "hold")
                self._log.error("held", queue_id=queue_id, reason=reason)
                return None
            case Owe(reason):
                following = self._soon(entry)
                pause = following.due - boottime()
                self._defer(message, attempt, message.attempts, pause, reason)
                return following._replace(deferred=True, found=False)
            case Postpone(pause, reason):
                self._defer(message, attempt, message.attempts + 1, pause, reason)
                memory = self._memories.pop(queue_id, None)
                if memory is not None and memory.given_up:  # while the sender was told of others
                    self._memories[queue_id] = _Memory(given_up=True)
                    pause = 0.0
                # Until then it lies on a disk, which is not trusted either.
                return entry._replace(due=boottime() + pause, deferred=True, found=True)
            case Again():
                self._record(message, attempt)
                return self._soon(entry._replace(found=False))

    def _defer(
        self, message: StoredMessage, attempt: Attempt, attempts: int, pause: float, reason: str
    ) -> None:
        now = time.time()
        due = now + pause
        self._record(message, attempt, Retry(now, attempts, due, reason))
        self._store.set_due(message.state, message.queue_id, due)
        if message.state != "deferred":
            self._store.move(message.queue_id, message.state, "deferred")
        self._log.info(
            "deferred", queue_id=message.queue_id, attempts=attempts, next=due, reason=reason
        )

    def _record(self, message: StoredMessage, attempt: Attempt, *further: JournalRecord) -> None:
        records = [*attempt.unwritten, *further]
        if records:
            self._store.append_log(message.state, message.queue_id, records)
            attempt.unwritten.clear()

    def _soon(self, entry: Entry) -> Entry:
        """The entry of a message whose attempt settled nothing: not counted, and not spinning."""
        memory = self._memories.setdefault(entry.queue_id, _Memory())
        pause = min(_FIRST_PAUSE * 2**memory.losses, self._parameters.minimal_backoff_time)
        memory.losses = min(memory.losses + 1, _MOST_LOSSES)
        return entry._replace(due=boottime() + pause)


def _state(entry: Entry) -> State:
    return "deferred" if entry.deferred else "incoming"


def _lock(descriptor: int) -> bool:
    """Take the lock that agents share; False while anybody else has it.

    It belongs to the open file, so it lives on in the agents' copies when we are gone.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return True
