"""`mta trace`: one message's way through the log, whatever became of the log's files meanwhile."""

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from support.commands import RunMta
from support.configuration import ConfigurationFolder

from mta.commands.main import mta
from mta.commands.trace.search import LIMIT

BEGAN = time.mktime((2026, 11, 24, 18, 0, 0, 0, 0, -1))
MINE, REPORT, OTHER = ("0" * 21 + letter for letter in "BCD")
CLIENT = "[192.0.2.1]:4444"

Record = dict[str, Any]


def record(offset: float, service: str, event: str, **fields: Any) -> Record:  # noqa: ANN401
    head = {"time": BEGAN + offset, "level": "info", "service": service, "process": service}
    return {**head, "pid": 7, "generation": 1, "event": event, **fields}


def lines(*records: Record) -> bytes:
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in records)


CONNECT = record(0.0, "smtp", "connect", client=CLIENT)
REJECT = record(0.1, "smtp", "reject", client=CLIENT, recipient="x@x.test", status="554 5.7.1 no")
ACCEPTED = record(0.2, "smtp", "accepted", queue_id=MINE, client=CLIENT, sender="a@a.test", size=9)
ACTIVE = record(0.3, "qmgr", "active", queue_id=MINE, sender="a@a.test", size=20, recipients=1)
DISCONNECT = record(0.4, "smtp", "disconnect", client=CLIENT, messages=1)
BOUNCED = record(
    *(60.0, "outbound", "delivery"), queue_id=MINE, to="b@b.test", status="bounced", text="550 no"
)
NOTICE = record(60.1, "bounce", "report", queue_id=MINE, report=REPORT, kind="failed")
REMOVED = record(60.2, "qmgr", "removed", queue_id=MINE)
REPORT_SENT = record(61.0, "outbound", "delivery", queue_id=REPORT, to="a@a.test", status="sent")
STORY = [CONNECT, REJECT, ACCEPTED, ACTIVE, DISCONNECT, BOUNCED, NOTICE, REMOVED, REPORT_SENT]
STRANGE = [
    record(0.05, "smtp", "accepted", queue_id=OTHER, client=CLIENT),
    record(0.1, "smtp", "connect", client="[192.0.2.1]:4445"),
    record(0.2, "smtp", "reject", client=CLIENT, status="554 5.7.1 no") | {"pid": 8},
    record(0.3, "qmgr", "active", queue_id=OTHER),
]


@pytest.fixture
def log(folder: ConfigurationFolder) -> Path:
    folder.log.mkdir()
    return folder.log / "mail.log"


def traced(run_mta: RunMta, queue_id: str = MINE) -> list[Record]:
    found: list[Record] = json.loads(run_mta("trace", "--json", queue_id).stdout)
    return found


class TestSearch:
    def test_the_whole_story_and_nothing_else(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(*STRANGE, *STORY))
        assert traced(run_mta) == STORY

    def test_from_a_report_back_to_its_cause(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(*STRANGE, *STORY))
        own = [each for each in STORY if each.get("queue_id")]
        assert traced(run_mta, REPORT) == own

    def test_the_order_is_that_of_time(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(*reversed(STORY)))
        assert traced(run_mta) == STORY

    def test_another_session_from_the_same_port(self, run_mta: RunMta, log: Path) -> None:
        before = [
            record(-9.0, "smtp", "connect", client=CLIENT),
            record(-8.0, "smtp", "disconnect", client=CLIENT),
        ]
        after = [
            record(9.0, "smtp", "connect", client=CLIENT),
            record(9.1, "smtp", "disconnect", client=CLIENT),
        ]
        log.write_bytes(lines(*before, *STORY, *after))
        assert traced(run_mta) == STORY

    def test_rotated_files(self, run_mta: RunMta, log: Path) -> None:
        """The oldest is compressed; an older one has the current one's name in another form."""
        pieces = {
            "mail.log.2.gz": STORY[:2],
            "mail.log-20261124": STORY[2:5],
            "mail.log.1": STORY[5:],
        }
        for age, (name, part) in enumerate(pieces.items()):
            data = lines(*part)
            (log.parent / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
            os.utime(log.parent / name, (BEGAN + age, BEGAN + age))
        log.touch()
        (log.parent / "mail.log.old").write_bytes(lines(record(0, "x", "x", queue_id=MINE)))
        assert traced(run_mta) == STORY

    def test_garbage_between(self, run_mta: RunMta, log: Path) -> None:
        garbage = MINE.encode()
        log.write_bytes(
            garbage * 100_000
            + b"\n"
            + lines(*STORY[:4])
            + b'{"time":1e300,"queue_id":"'
            + garbage
            + b'"}\n[1]\n\xff'
            + b"\n"
            + lines(*STORY[4:])
            + b'{"time":1.0,"que'
        )
        assert [each for each in traced(run_mta) if "line" not in each] == STORY

    def test_a_broken_archive_is_told(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(*STORY))
        (log.parent / "mail.log.1.gz").write_bytes(gzip.compress(lines(*STORY))[:60])
        (log.parent / "mail.log.2.gz").write_bytes(b"no archive")
        result = run_mta("trace", "--json", MINE)
        assert json.loads(result.stdout) == STORY
        assert result.stderr.count("\n") == 2
        assert f"mta: trace: {log.parent}/mail.log.1.gz: " in result.stderr

    def test_a_message_of_too_many_records(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(ACTIVE) * (LIMIT + 5))
        result = run_mta("trace", MINE)
        assert len(result.stdout.splitlines()) == LIMIT + 1
        assert result.stderr == "mta: trace: 5 further records are not shown\n"


class TestFailure:
    @pytest.mark.parametrize("queue_id", [OTHER, "x", "", "\x1b[2J"])
    def test_nothing_is_found(self, run_mta: RunMta, log: Path, queue_id: str) -> None:
        log.write_bytes(lines(*STORY))
        result = run_mta("trace", "--", queue_id, status=os.EX_NOINPUT)
        assert result.stderr.startswith("mta: trace: nothing about ")
        assert "\x1b" not in result.stderr

    def test_there_is_no_log(self, run_mta: RunMta, log: Path) -> None:
        run_mta("trace", MINE, status=os.EX_NOINPUT)
        log.parent.rmdir()
        run_mta("trace", MINE, status=os.EX_NOINPUT)


class TestStory:
    def test_for_people(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(*STORY))
        date = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(BEGAN))
        assert run_mta("trace", MINE).stdout.splitlines() == [
            f"{MINE}, from {date}",
            "    +0.000  smtp       connect      client=[192.0.2.1]:4444",
            (
                "    +0.100  smtp       reject       client=[192.0.2.1]:4444 recipient=x@x.test "
                'status="554 5.7.1 no"'
            ),
            "    +0.200  smtp       accepted     sender=a@a.test size=9",
            "    +0.300  qmgr       active       sender=a@a.test recipients=1 size=20",
            "    +0.400  smtp       disconnect   messages=1",
            '   +60.000  outbound   delivery     status=bounced to=b@b.test text="550 no"',
            f"   +60.100  bounce     report       report={REPORT} kind=failed",
            "   +60.200  qmgr       removed",
            f"   +61.000  outbound   delivery     [{REPORT}] status=sent to=a@a.test",
        ]

    def test_colour_is_for_terminals(self, folder: ConfigurationFolder, log: Path) -> None:
        log.write_bytes(lines(*STORY))
        arguments = ["-c", str(folder.directory), "trace", MINE]
        assert "\x1b[" not in CliRunner().invoke(mta, arguments).stdout
        coloured = CliRunner().invoke(mta, arguments, color=True).stdout
        assert click.style("delivery", fg="red") in coloured

    def test_nothing_steers_the_terminal(self, run_mta: RunMta, log: Path) -> None:
        hostile = "\x1b[2J\nforged\x9b"
        log.write_bytes(
            lines(*STORY, REMOVED | {"event": hostile, "service": hostile, hostile: hostile})
        )
        told = run_mta("trace", MINE).stdout
        assert all(line.isprintable() for line in told.splitlines())
        assert len(told.splitlines()) == len(STORY) + 2


CLASSIC = f"""\
Nov 24 18:00:00 mx.test posthouse/smtpd[7]: connect from unknown[192.0.2.1]
Nov 24 18:00:00 mx.test posthouse/smtpd[7]: {MINE}: client=unknown[192.0.2.1]
Nov 24 18:00:01 mx.test posthouse/qmgr[8]: {OTHER}: from=<a@a.test>, size=20, nrcpt=1 (queue active)
Nov 24 18:00:01 mx.test posthouse/smtp[9]: {MINE}: to=<b@b.test>, status=bounced (x: {OTHER}: \
sender non-delivery notification: {OTHER})
Nov 24 18:00:02 mx.test posthouse/bounce[6]: {MINE}: sender non-delivery notification: {REPORT}
Nov 24 18:00:02 mx.test posthouse/qmgr[8]: {MINE}: removed
Nov 24 18:00:02 mx.test posthouse/smtp[9]: {MINE}{MINE}: something longer
Nov 24 18:00:03 mx.test posthouse/qmgr[8]: {REPORT}: removed
"""


class TestClassicForm:
    def test_lines_that_bear_the_id(self, run_mta: RunMta, log: Path) -> None:
        log.write_text(CLASSIC)
        every = CLASSIC.splitlines()
        mine = [every[number] for number in (1, 3, 4, 5, 7)]
        assert run_mta("trace", MINE).stdout.splitlines() == mine
        assert traced(run_mta) == [{"line": line} for line in mine]

    def test_after_a_change_of_the_form(self, run_mta: RunMta, log: Path) -> None:
        log.write_bytes(lines(*STORY[:5]) + CLASSIC.encode())
        told = run_mta("trace", MINE).stdout.splitlines()
        assert len(told) == 1 + 5 + 5
        assert told[-1].endswith(f"{REPORT}: removed")
