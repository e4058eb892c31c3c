"""From the lines of a log to the trail of one message, in two passes.

    the first     what is related: reports on the message, what it reports on, who brought it in
    the second    the records of all that, in the order of time

A line is looked at only if it holds what is searched for, and at most `LIMIT` of them are kept: the
log may be far larger than memory.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from mta.commands.trace.files import LogReader
from mta.queue.queue_id import ALPHABET, QUEUE_ID_LENGTH, is_queue_id

__all__ = ["LIMIT", "Entry", "Trail", "search"]

LIMIT: Final = 10_000  # entries of a trail
_RELATED_LIMIT: Final = 100  # ids
_LATEST: Final = 2.0**40  # seconds since the epoch that a calendar can still tell

Record = dict[str, Any]

_ID: Final = rf"[{ALPHABET}]{{{QUEUE_ID_LENGTH}}}"
# The classic form of a report, from the beginning of the line: what strangers say stands behind.
_NOTIFICATION: Final = re.compile(
    r"\w{3} [ \d]\d [\d:]{8} \S+ [^\s\[]+\[\d+\]: "
    rf"({_ID}): sender (?:non-delivery|delay) notification: ({_ID})"
)
_ANY_ID: Final = re.compile(rf"(?<!\w){_ID}(?!\w)")
_decode = msgspec.json.Decoder(Record).decode


@dataclass(frozen=True)
class Entry:
    """One line: its record, or the text where it is in classic form."""

    time: float  # seconds since the epoch; of a classic line, that of the record before it
    order: int  # in the files
    line: str
    record: Record | None


@dataclass
class Trail:
    """What was found."""

    queue_id: str
    entries: list[Entry] = field(default_factory=list)
    skipped: int = 0  # records beyond the limit


@dataclass(frozen=True)
class _Session:
    """The client that brought a message in, as smtpd knows it, and when it had done so."""

    pid: int
    client: str
    accepted: float


def search(reader: LogReader, queue_id: str) -> Trail:
    """Follow one message through the log."""
    related, sessions = _clues(reader, queue_id)
    trail = Trail(queue_id)
    beside: list[Entry] = []
    needles = [*related, *(session.client for session in sessions)]
    for entry in _entries(reader, needles):
        if not related.isdisjoint(_ids(entry)):
            kept = trail.entries
        elif any(_is_of(entry, session) for session in sessions):
            kept = beside
        else:
            continue
        if len(kept) < LIMIT:
            kept.append(entry)
        else:
            trail.skipped += 1
    trail.entries += (entry for session in sessions for entry in _within(beside, session))
    trail.entries.sort(key=lambda entry: (entry.time, entry.order))
    return trail


def _clues(reader: LogReader, queue_id: str) -> tuple[set[str], list[_Session]]:
    """The message's id with those related to it, and the sessions that brought it in."""
    related = {queue_id}
    sessions: list[_Session] = []
    for entry in _entries(reader, [queue_id]):
        ids = _related(entry)
        if queue_id in ids and len(related) < _RELATED_LIMIT:
            related |= ids
        match entry.record:
            case {"event": "accepted", "queue_id": str(own), "pid": int(pid), "client": str(name)}:
                if own == queue_id and len(sessions) < _RELATED_LIMIT:
                    sessions.append(_Session(pid, name, entry.time))
    return related, sessions


def _entries(reader: LogReader, words: Iterable[str]) -> Iterator[Entry]:
    """The lines that hold one of these words."""
    needles = [word.encode() for word in words]
    time = 0.0
    for order, line in enumerate(reader.lines()):
        if not any(needle in line for needle in needles):
            continue
        record = _record(line)
        if record is not None:
            time = record["time"]
        yield Entry(time, order, line.decode("utf-8", "backslashreplace"), record)


def _record(line: bytes) -> Record | None:
    """The record that a line is; None if it is in classic form, or nothing that we wrote."""
    try:
        record = _decode(line)
    except ValueError:  # malformed, or not UTF-8
        return None
    time = record.get("time")
    return record if isinstance(time, float) and 0.0 <= time <= _LATEST else None


def _ids(entry: Entry) -> Iterable[str]:
    """The messages that an entry is about."""
    return _related(entry) if entry.record is not None else _ANY_ID.findall(entry.line)


def _related(entry: Entry) -> set[str]:
    """The messages that an entry says belong together."""
    if entry.record is None:
        match = _NOTIFICATION.fullmatch(entry.line)
        return set(match.groups()) if match else set()
    named = (entry.record.get("queue_id"), entry.record.get("report"))
    return {each for each in named if isinstance(each, str) and is_queue_id(each)}


def _is_of(entry: Entry, session: _Session) -> bool:
    record = entry.record
    return (
        record is not None
        and record.get("client") == session.client
        and record.get("pid") == session.pid
        and not record.get("queue_id")
    )


def _within(entries: Iterable[Entry], session: _Session) -> Iterator[Entry]:
    """What belongs to the one session, of all that came from the same address and port."""
    own = [entry for entry in entries if _is_of(entry, session)]
    began = [
        each.time for each in own if _event(each) == "connect" and each.time <= session.accepted
    ]
    ended = [
        each.time for each in own if _event(each) == "disconnect" and each.time >= session.accepted
    ]
    first, last = max(began, default=session.accepted), min(ended, default=session.accepted)
    return (entry for entry in own if first <= entry.time <= last)


def _event(entry: Entry) -> object:
    return None if entry.record is None else entry.record.get("event")
