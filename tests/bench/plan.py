"""The plan: every experiment by its name, in the order of the report.

Counts are chosen so that a run takes some seconds on a machine of two cores and the whole plan, at
five pairs, about a quarter of an hour; a quick run has a tenth of the messages, and the smaller
sizes.
"""

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from bench.budget import Budget
from bench.experiment import Experiment
from bench.latency import Acceptance, ColdStart, RelayLatency
from bench.loads import Backlog, Daemons, Load
from bench.memories import IdleMemory, IdleSessions, LoadMemory
from bench.server import BOX_DOMAIN
from bench.tables import Lookups, TableLoad
from bench.traffic import Traffic

__all__ = ["GROUPS", "make_plan", "select"]

# The headings of the report, and what stands below them.
GROUPS: Final = {
    "Relaying": "From smtp-source to smtp-sink. CPU is that of the whole process tree.",
    "Tables": "A `cdb` table of a million entries: asked by itself (Posthouse from Python, Postfix "
    "by `postmap -q -`), and while mail flows, for canonical_maps, virtual_alias_maps, "
    "sender_bcc_maps and transport_maps.",
    "Sessions": "The first kind of message over more and more sessions at once.",
    "Backlog": "Start-up and relaying beside deferred messages, none of them due.",
    "Latency": "Single messages on an idle system; connections to an SMTP port.",
    "Memory": "PSS: a page that several processes share is divided among them.",
    "Idle sessions": "Clients that say EHLO and then nothing.",
    "CPU by daemon": "Milliseconds of CPU a message: 4 KB, one a connection, 20 sessions.",
    "Calls and frames": "Of Posthouse, for single messages one after the other; under load several "
    "share a wake-up. Frames are counted where they are sent.",
}

_SESSIONS: Final = (1, 4, 16, 100, 400, 1000)
_BACKLOGS: Final = (0, 10_000, 100_000)


def make_plan(*, quick: bool) -> list[Experiment]:
    """All experiments."""
    share = 10 if quick else 1
    return [
        *_relaying(share),
        *_tables(share),
        *_sessions(quick),
        *_backlogs(quick),
        *_others(share),
    ]


def select(plan: list[Experiment], names: tuple[str, ...]) -> list[Experiment]:
    """Those that a name or pattern (fnmatch) chooses, all if there is none.

    ValueError tells of a name that chooses nothing.
    """
    for name in names:
        if not any(fnmatchcase(one.name, name) for one in plan):
            raise ValueError(f"no experiment {name}")
    return [one for one in plan if not names or any(fnmatchcase(one.name, n) for n in names)]


def _relaying(share: int) -> Iterator[Experiment]:
    for name, case, traffic, seconds in (
        ("relay-4k", "4 KB, one a connection, 20 sessions", Traffic(4000, 20), 7.0),
        ("relay-keep", "4 KB, many a connection, 20 sessions", Traffic(4000, 20, keep=True), 6.0),
        ("relay-100", "4 KB, one a connection, 100 sessions", Traffic(4000, 100), 7.0),
        ("relay-1m", "1 MB, one a connection, 20 sessions", Traffic(300, 20, 1_000_000), 6.0),
        ("relay-10", "4 KB, 10 recipients, 20 sessions", Traffic(2000, 20, recipients=10), 6.0),
        (
            "mailbox",
            "4 KB into one mailbox, 20 sessions",
            Traffic(2000, 20, domain=BOX_DOMAIN),
            5.0,
        ),
    ):
        yield Load(
            name=name,
            group="Relaying",
            case=case,
            seconds=seconds / share,
            traffic=replace(traffic, messages=traffic.messages // share),
        )


def _tables(share: int) -> Iterator[Experiment]:
    entries = 1_000_000 // share
    yield Lookups(
        name="tables-lookup",
        group="Tables",
        case="a table by itself",
        size=entries,
        seconds=10.0 / share,
        lookups=100_000 // share,
    )
    yield TableLoad(
        name="relay-tables",
        group="Tables",
        case="4 KB, one a connection, 20 sessions",
        size=entries,
        seconds=8.0,
        traffic=Traffic(4000 // share, 20),
    )


def _sessions(quick: bool) -> Iterator[Experiment]:
    for sessions in _SESSIONS[:4] if quick else _SESSIONS:
        messages = max(sessions * 2, 300 if sessions < 4 else 1000) // (10 if quick else 1)
        yield Load(
            name=f"sessions-{sessions}",
            group="Sessions",
            case=f"{sessions:,} at once",
            size=sessions,
            seconds=4.0,
            traffic=Traffic(max(sessions, messages), sessions),
        )


def _backlogs(quick: bool) -> Iterator[Experiment]:
    for waiting in (0, 1000) if quick else _BACKLOGS:
        yield Backlog(
            name=f"backlog-{waiting}",
            group="Backlog",
            case=f"{waiting:,} deferred",
            size=waiting,
            seconds=8.0,
            traffic=Traffic(150 if quick else 1500, 20),
        )


def _others(share: int) -> Iterator[Experiment]:
    yield RelayLatency(
        name="latency-relay",
        group="Latency",
        case="4 KB to the next host",
        seconds=5.0 / share,
        messages=100 // share,
    )
    yield Acceptance(
        name="latency-mailbox",
        group="Latency",
        case="4 KB into a mailbox",
        seconds=5.0 / share,
        messages=100 // share,
    )
    yield ColdStart(
        name="cold-start",
        group="Latency",
        case="a connection",
        seconds=3.0,
        starts=max(2, 10 // share),
    )
    yield IdleMemory(name="memory-idle", group="Memory", case="", seconds=3.0)
    traffic = Traffic(2000 // share, 100)
    yield LoadMemory(name="memory-load", group="Memory", case="", seconds=6.0, traffic=traffic)
    clients = 1000 // share
    yield IdleSessions(
        name="idle-sessions",
        group="Idle sessions",
        case=f"{clients:,} clients",
        seconds=10.0,
        size=clients,
    )
    traffic = Traffic(4000 // share, 20)
    yield Daemons(name="daemons", group="CPU by daemon", case="", seconds=8.0, traffic=traffic)
    yield Budget(
        name="budget",
        group="Calls and frames",
        case="",
        seconds=6.0,
        only_posthouse=True,
        messages=100 // share,
    )
