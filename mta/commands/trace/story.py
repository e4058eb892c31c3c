"""A trail for people: when, who, what, and the fields that matter."""

import time
from collections.abc import Iterator
from typing import Final

import click

from mta.commands.trace.search import Entry, Record, Trail
from mta.util.text import visible

__all__ = ["story"]

_HEAD: Final = ("time", "level", "service", "process", "pid", "generation", "event", "queue_id")
# Event -> the fields that matter; of other events, all of them.
_SHOWN: Final = {
    "connect": ("client",),
    "tls": ("tls", "relay"),
    "accepted": ("sender", "recipients", "size", "helo", "protocol"),
    "disconnect": ("messages", "commands", "seconds"),
    "committed": ("message_id", "size"),
    "active": ("sender", "recipients", "size"),
    "delivery": ("status", "to", "relay", "dsn", "text", "reason"),
    "deferred": ("attempts", "next", "reason"),
    "report": ("report", "kind", "to", "recipients"),
    "reported": ("report", "kind"),
}
_COLOURS: Final = {"sent": "green", "deferred": "yellow", "bounced": "red"}
_LEVELS: Final = {"warning": "yellow", "error": "red"}


def story(trail: Trail) -> Iterator[str]:
    """Lines of text: times are seconds since the first record, ids only those of other messages."""
    began = next((entry.time for entry in trail.entries if entry.record is not None), None)
    if began is not None:
        date = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(began))
        yield click.style(f"{trail.queue_id}, from {date}", bold=True)
    for entry in trail.entries:
        if entry.record is None:
            yield visible(entry.line)
        else:
            yield _told(entry, entry.record, trail.queue_id, entry.time - (began or entry.time))


def _told(entry: Entry, record: Record, queue_id: str, offset: float) -> str:
    event = visible(str(record.get("event")))
    shown = _SHOWN.get(event) or [name for name in record if name not in _HEAD]
    words = [
        f"{visible(name)}={_value(name, record[name])}"
        for name in shown
        if record.get(name) not in (None, "")
    ]
    if record.get("queue_id") not in (queue_id, None, ""):
        words.insert(0, f"[{visible(str(record['queue_id']))}]")
    colour = _COLOURS.get(str(record.get("status"))) or _LEVELS.get(str(record.get("level")))
    service = visible(str(record.get("service")))
    padding = " " * (12 - len(event)) if words else ""
    told = [f"{offset:+10.3f} ", f"{service:<10}", click.style(event, fg=colour) + padding, *words]
    return " ".join(told)


def _value(name: str, value: object) -> str:
    if name == "next" and isinstance(value, float) and 0.0 <= value <= 2.0**40:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(value))
    text = visible(str(value))
    return f'"{text}"' if " " in text else text
