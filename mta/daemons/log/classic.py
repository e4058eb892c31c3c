"""Records as Postfix would log them: for fail2ban, pflogsumm and eyes that are used to it.

    Nov 24 18:00:00 HOST SYSLOG_NAME/DAEMON[PID]: TEXT

TEXT has the form that Postfix gives to such an event. An event without one, or whose fields are not
what its form needs, reads "LEVEL: QUEUEID: EVENT field=value ...", without the level where that is
no more than info. Whatever a value holds, it stays within its line: what does not print is escaped.

Postfix's lines have no place for a generation. A process has one for as long as it lives, so the
first line of each process, "generation=N", tells of those that follow.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from mta.config.parameters import Parameters
from mta.config.snapshot import Snapshot
from mta.daemons.log.lines import Form, Record
from mta.util.log import Value
from mta.util.text import visible

__all__ = ["ClassicForm", "classic_form"]

_REJECT: Final = (
    "NOQUEUE: reject: {command} from {client}: {status};{envelope} proto={protocol} helo=<{helo}>"
    "{explanation}"
)
_DELIVERY: Final = (
    "{queue_id}: to=<{to}>,{given_address} relay={relay}, delay={age}, dsn={dsn}, status={status}"
    " ({outcome})"
)
# Event -> its forms; the first whose fields are all there is taken.
_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    # smtpd
    "connect": ("connect from {client}",),
    "disconnect": ("disconnect from {client} commands={commands}",),
    "tls": (
        "Anonymous TLS connection established from {client}: {tls}",
        "{queue_id}: Untrusted TLS connection established to {relay}: {tls}",  # an agent's
    ),
    "tls_failed": ("SSL_accept error from {client}: {reason}",),
    "reject": (_REJECT,),
    "accepted": ("{queue_id}: client={client}",),
    # cleanup
    "committed": ("{queue_id}: message-id=<{message_id}>",),
    # qmgr
    "active": ("{queue_id}: from=<{sender}>, size={size}, nrcpt={recipients} (queue active)",),
    "removed": ("{queue_id}: removed",),
    # whoever decides what becomes of a recipient
    "delivery": (_DELIVERY,),
    # bounce
    "report": ("{queue_id}: {notification}: {report}",),
}
_HEAD: Final = frozenset(
    ("time", "level", "service", "process", "pid", "generation", "event", "dropped", "queue_id")
)
_NOTABLE: Final = ("warning", "error")
_PROCESSES: Final = 1024  # whose generation was told; beyond that the oldest is told again
_CLIENT: Final = re.compile(r"\[([^]]*)\]:\d+")
_NOTIFICATIONS: Final = {
    "failed": "sender non-delivery notification",
    "delayed": "sender delay notification",
}


class ClassicForm:
    """Writes records; `programs` has the name of each service: "posthouse/smtpd" for "smtp"."""

    def __init__(self, hostname: str, programs: Mapping[str, str]) -> None:
        self._hostname = hostname
        self._programs = programs
        self._second = -1
        self._date = ""
        self._generations: dict[tuple[Value, Value], Value] = {}

    def __call__(self, line: bytes, record: Record) -> bytes:
        """The line of a record; another one before it when lines were lost."""
        del line
        service = _printable(record.get("service"))
        program = self._programs.get(service, service)
        date = self._local_time(record.get("time"))
        head = f"{date} {self._hostname} {program}[{_printable(record.get('pid'))}]: "
        lost = record.get("dropped")
        loss = f"{head}warning: log_lost lines={_printable(lost)}\n" if lost else ""
        told = self._generation(record)
        first = f"{head}generation={told}\n" if told else ""
        return f"{first}{loss}{head}{_text(record)}\n".encode()

    def _generation(self, record: Record) -> str:
        """The generation of the record's process, if it was not yet told."""
        process = record.get("service"), record.get("pid")
        generation = record.get("generation")
        if generation is None or self._generations.get(process) == generation:
            return ""
        if len(self._generations) >= _PROCESSES:
            del self._generations[next(iter(self._generations))]
        self._generations[process] = generation
        return _printable(generation)

    def _local_time(self, seconds: Value) -> str:
        """The time as syslog writes it; of what cannot be a time, the present."""
        now = time.time()
        known = isinstance(seconds, float) and 0.0 <= seconds <= now + 86400.0
        second = int(seconds if isinstance(seconds, float) and known else now)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%b %e %H:%M:%S", time.localtime(second))
        return self._date


def classic_form(snapshot: Snapshot, parameters: Parameters) -> Form:
    """The form for the rows of a generation; a row's settings may give it a name of its own."""
    programs = {
        row.name: f"{snapshot.parameters_for(row).syslog_name}/{row.daemon}"
        for row in snapshot.services
    }
    return ClassicForm(parameters.myhostname, programs)


def _text(record: Record) -> str:
    fields = _Fields(record)
    for form in _FORMS.get(str(record.get("event")), ()):
        try:
            return form.format_map(fields)
        except KeyError:
            continue
    level = record.get("level")
    words = [f"{level}:"] if level in _NOTABLE else []
    if record.get("queue_id"):
        words.append(f"{_queue_id(record)}:")
    words.append(_printable(record.get("event")))
    words += [
        f"{_printable(name)}={_quoted(value)}"
        for name, value in record.items()
        if name not in _HEAD and value is not None
    ]
    return " ".join(words)


class _Fields:
    """What the braces of a form stand for: fields of the record, and what is made of several.

    KeyError: the record does not have what the form needs.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    def __getitem__(self, name: str) -> str:
        made = _MADE.get(name)
        return made(self._record) if made is not None else _field(self._record, name)


def _field(record: Record, name: str) -> str:
    value = record.get(name)
    if value is None:
        raise KeyError(name)
    return _printable(value)


def _queue_id(record: Record) -> str:
    if not record.get("queue_id"):
        raise KeyError("queue_id")
    return _printable(record["queue_id"])


def _client(record: Record) -> str:
    """Postfix's "name[address]"; nobody asked the DNS for a name."""
    text = _field(record, "client")
    if text == "local":
        return "localhost[127.0.0.1]"
    match = _CLIENT.fullmatch(text)
    if match is None:
        raise KeyError("client")
    return f"unknown[{match[1]}]"


def _envelope(record: Record) -> str:
    parts = []
    if record.get("sender") is not None:
        parts.append(f" from=<{_field(record, 'sender')}>")
    if record.get("recipient"):
        parts.append(f" to=<{_field(record, 'recipient')}>")
    return "".join(parts)


def _explanation(record: Record) -> str:
    return f" ({_field(record, 'reason')})" if record.get("reason") else ""


def _given_address(record: Record) -> str:
    original = record.get("original_to")
    differs = original and original != record.get("to")
    return f" orig_to=<{_printable(original)}>," if differs else ""


def _age(record: Record) -> str:
    delay = record.get("delay")
    if not isinstance(delay, int | float):
        raise KeyError("delay")
    return f"{delay:.2f}".rstrip("0").rstrip(".")


def _outcome(record: Record) -> str:
    reason = record.get("reason")
    return _field(record, "text") + (f": {_printable(reason)}" if reason else "")


def _notification(record: Record) -> str:
    notification = _NOTIFICATIONS.get(str(record.get("kind")))
    if notification is None or not record.get("report"):
        raise KeyError("kind")
    return notification


_MADE: Final[Mapping[str, Callable[[Record], str]]] = {
    "queue_id": _queue_id,
    "client": _client,
    "envelope": _envelope,
    "explanation": _explanation,
    "given_address": _given_address,
    "age": _age,
    "outcome": _outcome,
    "notification": _notification,
}


def _printable(value: Value) -> str:
    return visible(value if isinstance(value, str) else json.dumps(value))


def _quoted(value: Value) -> str:
    """A value of the general form: in quotes where its end could not be told."""
    text = _printable(value)
    if text and not text.startswith('"') and " " not in text:
        return text
    return '"' + text.replace('"', '\\"') + '"'
