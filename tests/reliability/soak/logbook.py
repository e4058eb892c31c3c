"""What the log tells of each message, and whether it tells the whole story.

The law: nothing is missing from the log but what a kill took along. An acknowledged message was
accepted, committed and taken up, each recipient has an outcome, each report was made, and the
message was removed; a line that is missing is excused by a kill of the row that writes it, of the
log's own row or of supervisord within the message's time. The lines of one process come in the
order in which they were written. A process that had to drop lines says how many.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from support.instance import DOMAIN

from reliability.ledger import Sent

__all__ = ["LogVerdict", "Logbook", "Struck"]

# The rows that write what belongs to each message, whatever its recipients.
_ALWAYS: Final[Mapping[str, str]] = {
    "accepted": "smtp",
    "committed": "cleanup",
    "active": "qmgr",
    "removed": "qmgr",
}
_KEEPERS: Final = ("log", "supervisord")  # whose end can take any line along
_AFTER: Final = 1.0  # seconds; the lines that follow the last that we have may be lost
_DROPPING: Final = 30.0  # seconds after the end of a keeper in which the pipe may have been full
# What no disturbance explains: each tells of a defect.
_ALARMS: Final = frozenset(
    (
        "channel",
        "channel_garbage",
        "corrupt",
        "discard_failed",
        "finished_twice",
        "garbage",
        "held",
        "internal_error",
        "ipc_malformed",
        "log_lost",
        "nobody_to_tell",
        "pass",
        "scan_failed",
        "session_failed",
        "stop_late",
        "stranger",
        "unhandled",
        "unreadable",
    )
)


@dataclass(frozen=True)
class Struck:
    """A process that was killed: when, and of which row (`supervisord` for the master)."""

    time: float  # seconds since the epoch
    row: str


@dataclass
class _Story:
    """What was heard of one queue id."""

    events: set[str] = field(default_factory=set)
    outcomes: dict[str, str] = field(default_factory=dict)  # the last status by recipient
    last: float = 0.0


@dataclass
class LogVerdict:
    """What came of it."""

    told: int = 0  # stories that are whole
    excused: int = 0  # stories of which a kill took lines along
    gaps: list[str] = field(default_factory=list)


class Logbook:
    """Hears every record; one thread tells, and nothing is asked before the end."""

    def __init__(self) -> None:
        self.records = 0
        self.retired = 0  # processes that went because of max_use
        self.dropped: list[tuple[float, str, int]] = []  # when it was told, by which process
        self.backwards: list[str] = []
        self.alarms: list[str] = []
        self._stories: dict[str, _Story] = defaultdict(_Story)
        self._latest: dict[tuple[str, int], float] = {}

    def hear(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        self.records += 1
        moment, event = record["time"], record["event"]
        speaker = record.get("process", ""), record.get("pid", 0)
        if moment < self._latest.get(speaker, 0.0):
            self.backwards.append(f"{speaker[0]}[{speaker[1]}]: {event} at {moment:.6f}")
        self._latest[speaker] = moment
        self.retired += event == "retiring" and record.get("reason") == "max_use"
        if "dropped" in record:
            self.dropped.append((moment, str(speaker[0]), record["dropped"]))
        if event in _ALARMS:
            self.alarms.append(f"{speaker[0]}: {event}: {_shown(record)}")
        if record.get("queue_id"):
            self._note(self._stories[record["queue_id"]], record)

    def _note(self, story: _Story, record: Mapping[str, Any]) -> None:
        story.events.add(record["event"])
        story.last = max(story.last, record["time"])
        if record["event"] == "delivery":
            story.outcomes[record["to"]] = record["status"]

    def judge(
        self, messages: Iterable[Sent], kills: Sequence[Struck], successors: Mapping[str, str]
    ) -> LogVerdict:
        """Judge the acknowledged messages; `successors` are the ids of those queued anew."""
        verdict = LogVerdict()
        struck: dict[str, list[float]] = defaultdict(list)
        for kill in sorted(kills, key=lambda kill: kill.time):
            struck[kill.row].append(kill.time)
        for sent in messages:
            story = self._whole(sent.queue_id, successors)
            missing = list(_missing(sent, story))
            end = max(story.last, sent.acknowledged or 0.0) + _AFTER
            gaps = [
                event
                for event, row in missing
                if not any(_within(struck[each], sent.began, end) for each in (row, *_KEEPERS))
            ]
            verdict.told += not missing
            verdict.excused += bool(missing) and not gaps
            if gaps:
                verdict.gaps.append(f"{sent.mark} ({sent.kind}, {sent.queue_id}): {gaps}")
        return verdict

    def unexcused_drops(self, kills: Sequence[Struck]) -> list[str]:
        """Lines that were dropped while nobody had killed the reader of the pipe."""
        keepers = sorted(kill.time for kill in kills if kill.row in _KEEPERS)
        return [
            f"{process} dropped {count} lines"
            for moment, process, count in self.dropped
            if not _within(keepers, moment - _DROPPING, moment)
        ]

    def _whole(self, queue_id: str, successors: Mapping[str, str]) -> _Story:
        """The story of a message under all the ids that it had."""
        whole = _Story()
        following: str | None = queue_id
        while following is not None:
            part = self._stories.get(following, _Story())
            whole.events |= part.events
            whole.outcomes |= part.outcomes
            whole.last = max(whole.last, part.last)
            following = successors.get(following)
        return whole


def _missing(sent: Sent, story: _Story) -> Iterable[tuple[str, str]]:
    """The events that the story lacks, with the row that should have written each."""
    for event, row in _ALWAYS.items():
        if event not in story.events:
            yield event, row
    for recipient in sent.delivered_to:
        if story.outcomes.get(recipient) != "sent":
            yield f"delivery to {recipient}", _agent(recipient)
    for recipient in sent.reported:
        if story.outcomes.get(recipient) != "bounced":
            yield f"bounce of {recipient}", _agent(recipient)
    if sent.reported:
        if "report" not in story.events:
            yield "report", "bounce"
        if "reported" not in story.events:
            yield "reported", "qmgr"


def _agent(recipient: str) -> str:
    return "virtual" if recipient.endswith(f"@{DOMAIN}") else "outbound"


def _within(times: Sequence[float], begin: float, end: float) -> bool:
    """Whether one of the sorted times lies between the two."""
    first = bisect_left(times, begin)
    return first < len(times) and times[first] <= end


def _shown(record: Mapping[str, Any]) -> str:
    fields = ("text", "reason", "queue_id", "listener", "traceback")
    return " ".join(f"{name}={record[name]!r}" for name in fields if record.get(name))
