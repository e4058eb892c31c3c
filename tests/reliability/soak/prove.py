"""A long run: mixed mail, and all that befalls a house in its life; nothing may pile up.

    part         for     what may end meanwhile      so that growth is seen of
    crashes      10 %    everything                  -
    changes      45 %    every process but           supervisord, over many reloads and ends
                         supervisord                 of daemons
    long lives   45 %    no process                  every daemon

In each part rounds of mail with disturbances alternate with rests: the mail pauses and settles, and
what the house holds then is compared with what it held at earlier rests.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from support.dns_server import HEAD

from mta.ipc.pool import IDLE_TIME
from reliability.house import House
from reliability.load import Load
from reliability.proof import Report, Run, Table
from reliability.soak.disturbance import DISTURBANCES, Disturbance, Reach
from reliability.soak.growth import MEMORY, Bound, Growth, growths
from reliability.soak.logbook import Logbook
from reliability.soak.rest import MASTER
from reliability.soak.scene import Scene
from reliability.soak.watch import Rest, Watch, take_rest

__all__ = ["prove"]

_WHOLE: Final = 600  # seconds; a run of that size must have seen everything
_PARAMETERS: Final = {"dns_timeout": "2s"}
# Answers are asked for anew all the time.
_ZONE: Final = HEAD.replace("$TTL 300", "$TTL 2") + "@ IN MX 10 mx\nmx IN A 127.0.0.2\n"
_ROWS: Final = ("smtp", "cleanup", "rewrite", "resolver", "outbound", "virtual", "bounce")
_SHORT_LIVES: Final = {"max_use": 100, "max_idle": "3s"}
_LONG_LIVES: Final = {"max_use": 0, "max_idle": "10m"}
_GONE_IDLE: Final = "idle daemons gone"
_RETIRED: Final = "daemons retired by max_use"
_EXACT: Final = (MASTER, "log")  # rows whose descriptors do not depend on the mail
_DESCRIPTORS: Final = Bound(part=0.0, extra=2.0)
_SHOWN: Final = 5


@dataclass(frozen=True)
class _Part:
    name: str
    share: float  # of the run
    reach: Reach
    lives: Mapping[str, Any]  # settings of the rows


_PARTS: Final = (
    _Part("crashes", 0.10, Reach.EVERYBODY, _SHORT_LIVES),
    _Part("changes", 0.45, Reach.DAEMONS, _SHORT_LIVES),
    _Part("long lives", 0.45, Reach.NOBODY, _LONG_LIVES),
)


@dataclass(frozen=True)
class _Pace:
    """How fast things follow each other; all in seconds but the rate."""

    between: float  # disturbances, on the average
    lasting: float  # a lasting disturbance
    round: float
    quiet: float  # that the house must have been before it is measured
    rate: float  # messages a second of each client

    @classmethod
    def of(cls, size: int) -> "_Pace":
        if size < _WHOLE:
            return cls(between=0.7, lasting=1.0, round=6.5, quiet=1.0, rate=1.5)
        return cls(between=3.0, lasting=3.0, round=min(100.0, size / 30), quiet=11.0, rate=4.0)

    @property
    def outlasts_kept(self) -> bool:
        """Whether a rest closes kept connections; it takes once to twice IDLE_TIME."""
        return self.quiet > 2 * IDLE_TIME


def prove(run: Run) -> Report:
    """Run it."""
    services = {row: dict(_SHORT_LIVES) for row in _ROWS}
    with House(run.folder, _PARAMETERS, services) as house:
        house.dns.load(_ZONE)
        soak = _Soak(run, house)
        with Watch(house.instance) as watch:
            for part in _PARTS:
                soak.live(part, watch)
        settled = house.settle(timeout=120.0)
        house.instance.stop()
        house.settle(timeout=5.0)  # hear what the drain said
    report = Report()
    soak.report(report, watch)
    if not settled:
        report.failures.append(f"the mail did not settle: {house.ledger.missing()[:_SHOWN]}")
    return report


class _Soak:
    """One run."""

    def __init__(self, run: Run, house: House) -> None:
        self._run = run
        self._house = house
        self._pace = _Pace.of(run.size)
        self._random = run.random("disturbances")
        self._load_random = run.random("load")
        self._scene = Scene(house, self._random, run.folder, self._pace.lasting)
        self._logbook = Logbook()
        self._happened: Counter[str] = Counter()
        self._rests: list[Rest] = []
        self._rounds = 0
        self._done = 0.0  # seconds of the parts that are over
        house.log.tell(self._logbook.hear)

    # Life

    def live(self, part: _Part, watch: Watch) -> None:
        """Go through one part of the run."""
        instance = self._house.instance
        instance.configure(services={row: dict(part.lives) for row in _ROWS})
        instance.reload()
        deck = self._deck(part)
        length = part.share * self._run.size
        began = time.monotonic()
        while (passed := time.monotonic() - began) < length:
            left = length - passed
            self._round(deck, min(self._pace.round, left), part, watch)
            done = min(self._run.size, self._done + time.monotonic() - began)
            self._run.progress(done, self._so_far(part))
        self._done += length

    def _deck(self, part: _Part) -> Iterator[Disturbance]:
        """The kinds that the part allows, in an order by chance, again and again."""
        allowed = [each for each in DISTURBANCES if each.reach <= part.reach]
        whole = [each for each in allowed for _ in range(each.weight)]
        while True:
            deck = whole[:]
            self._random.shuffle(deck)
            # What a part is for comes first, for parts may be short.
            first = max(deck, key=lambda each: (each.reach, each.weight))
            deck.remove(first)
            yield from (first, *deck)

    def _round(self, deck: Iterator[Disturbance], length: float, part: _Part, watch: Watch) -> None:
        self._rounds += 1
        end = time.monotonic() + length
        source = random.Random(self._load_random.random())
        prefix = f"r{self._rounds}c"
        instance = self._house.instance
        with Load(self._house.ledger, instance, source, rate=self._pace.rate, prefix=prefix):
            while time.monotonic() < end:
                self._disturb(next(deck))
                time.sleep(self._pace.between * self._random.uniform(0.5, 1.5))
        self._scene.leave_idle()
        self._rest(part, watch)

    def _disturb(self, disturbance: Disturbance) -> None:
        try:
            self._happened[disturbance.name] += disturbance.act(self._scene)
        except AssertionError as error:
            self._scene.problems.append(f"{disturbance.name}: {error}")

    def _rest(self, part: _Part, watch: Watch) -> None:
        if not self._house.settle(timeout=120.0):
            missing = self._house.ledger.missing()[:_SHOWN]
            self._scene.problems.append(f"round {self._rounds} did not settle: {missing}")
        try:
            rest = take_rest(self._house.instance, part.name, self._pace.quiet)
        except AssertionError as error:
            self._scene.problems.append(f"after round {self._rounds}: {str(error)[:300]}")
            return
        self._rests.append(rest)
        self._happened[_GONE_IDLE] += rest.only_residents
        watch.inspect(rest, self._rests[0], self._scene.kills)

    def _so_far(self, part: _Part) -> str:
        acknowledged = self._house.ledger.acknowledged
        problems = len(self._scene.problems)
        return (
            f"{part.name}: {acknowledged} messages, {len(self._rests)} rests, {problems} problems"
        )

    # The end

    def report(self, report: Report, watch: Watch) -> None:
        """Judge it all, once the house is down."""
        self._judge_mail(report)
        self._judge_log(report)
        self._judge_growth(report)
        report.figures |= {
            "rests": str(len(self._rests)),
            "processes, at most at once": str(watch.most_processes),
            "memory of the house (PSS), at most": f"{watch.most_pss / 1024:.0f} MiB",
            "kills": str(len(self._scene.kills)),
        }
        names = [each.name for each in DISTURBANCES] + [_GONE_IDLE, _RETIRED]
        rows = tuple((name, str(self._happened[name])) for name in names)
        report.tables.append(Table("What befell it", ("disturbance", "times"), rows))
        if self._run.size >= _WHOLE:
            report.failures += [f"never happened: {name}" for name, count in rows if count == "0"]
        report.failures += self._scene.problems[:_SHOWN] + watch.told()
        report.failures += [
            f"{name} is not empty: {text[-500:]}" for name, text in self._house.crash_logs().items()
        ]

    def _judge_mail(self, report: Report) -> None:
        verdict = self._house.ledger.judge(self._house.crashes, self._house.attempts)
        report.failures += verdict.failures
        report.figures |= {
            "messages acknowledged": str(verdict.acknowledged),
            "recipients that got them": str(verdict.recipients),
            "recipients reported to senders": str(verdict.reports),
            "extra copies": f"{verdict.extra}, at most {verdict.most_extra} of one recipient",
        }
        if not verdict.acknowledged:
            report.failures.append("no message was acknowledged")

    def _judge_log(self, report: Report) -> None:
        book, kills = self._logbook, self._scene.kills
        verdict = book.judge(self._house.ledger.messages(), kills, self._scene.successors)
        self._happened[_RETIRED] = book.retired
        report.figures |= {
            "log records": str(book.records),
            "stories told whole": str(verdict.told),
            "stories with a line that a kill took along": str(verdict.excused),
            "stories with a gap": str(len(verdict.gaps)),
            "lines dropped and told": str(sum(count for _, _, count in book.dropped)),
        }
        for what, cases in (
            ("the log has a gap", verdict.gaps),
            ("the log goes back in time", book.backwards),
            ("the log has an alarm", book.alarms),
            ("the log lost lines", book.unexcused_drops(kills)),
        ):
            report.failures += [f"{what}: {case}" for case in cases[:_SHOWN]]
            if cases[_SHOWN:]:
                report.failures.append(f"{what}: {len(cases) - _SHOWN} more")

    def _judge_growth(self, report: Report) -> None:
        memory: dict[tuple[str, int], list[float]] = defaultdict(list)
        descriptors: dict[tuple[str, int], list[float]] = defaultdict(list)
        for rest in self._rests:
            for holding in rest.holdings:
                key = holding.row, holding.pid
                memory[key].append(holding.memory)
                descriptors[key].append(holding.descriptors)
        self._tell_growth(report, "memory at rest, KiB", growths(memory, MEMORY))
        if self._pace.outlasts_kept:
            self._tell_growth(report, "descriptors at rest", growths(descriptors, _DESCRIPTORS))
        report.failures += [
            f"{row}[{pid}] has not the same descriptors at all rests: {values}"
            for (row, pid), values in descriptors.items()
            if row in _EXACT and len(set(values)) > 1
        ]

    def _tell_growth(self, report: Report, what: str, found: list[Growth]) -> None:
        report.failures += [f"{what}: {growth}" for growth in found if growth.excessive]
        longest: dict[str, Growth] = {}
        for growth in found:
            if growth.row not in longest or growth.count >= longest[growth.row].count:
                longest[growth.row] = growth
        rows = tuple(
            (it.row, str(it.count), f"{it.first:.0f}", f"{it.last:.0f}", f"{it.limit:.0f}")
            for it in longest.values()
        )
        heads = ("process that lived longest", "rests", "first third", "last third", "bound")
        report.tables.append(Table(f"{what[0].upper()}{what[1:]}", heads, rows))
