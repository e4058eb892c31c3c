"""What there is to try: each call that a row is seen to make, with each error it can give there.

The law: the calls are those that were seen, under the load, of a process at work and of one that
starts; the errors are the table's (system_calls). A call that the table does not know is told.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from random import Random
from typing import Final

from support.tracing import Call
from support.waiting import wait_until

from reliability.faults.strikes import MASTER, TURNED, Cell, Striker, ordinals, spots, until_started
from reliability.faults.system_calls import Spot, errors_of, is_known, persists

__all__ = ["ROWS", "Matrix"]

ROWS: Final = (
    *("smtp", "cleanup", "rewrite", "qmgr", "virtual", "outbound", "resolver", "bounce", "log"),
    MASTER,
)
_WATCHED: Final = 3.0  # seconds that a process of each row is watched
_RARE: Final = 3.0  # calls a second: what is made less often is awaited in a process that starts
_DEPTH: Final = 6  # the n-th call is struck, with n up to here


class Matrix:
    """Finds the cells of one running system."""

    def __init__(self, striker: Striker, source: Random, serving: Container[int]) -> None:
        """`source` decides about the order; `serving` holds the pids of daemons that serve."""
        self.unknown: list[str] = []  # calls that the table does not have
        self._striker = striker
        self._source = source
        self._serving = serving
        # Of a process that starts: at the how manieth call of that name it is of that kind.
        self._places: dict[tuple[str, Spot], Sequence[int]] = {}

    def cells(self, *, whole: bool) -> list[Cell]:
        """The cells, the rows taking turns; all of them, or those of calls that are often made."""
        for row in ROWS:
            self._await_serving(row)
        running = self._watch({row: self._striker.youngest(row) for row in ROWS})
        by_row = {row: [*self._at_work(row, spots(running[row]), whole=whole)] for row in ROWS}
        if whole:
            begun = {row: self._watch_start(row) for row in ROWS}
            self._add_fresh(by_row, begun)
        for cells in by_row.values():
            self._source.shuffle(cells)
        return [cell for turn in zip_longest(*by_row.values()) for cell in turn if cell]

    def nths(self, cell: Cell, source: Random) -> Iterator[int]:
        """Which calls to strike, one attempt after the other, without an end."""
        places: Sequence[int] = range(1, 2 if cell.stays else _DEPTH + 1)
        if cell.fresh:
            places = self._places.get((cell.row, cell.spot), places)
        while True:
            yield source.choice(places)

    # What calls there are

    def _await_serving(self, row: str) -> None:
        def serves() -> bool:
            return row == MASTER or self._striker.youngest(row) in self._serving

        wait_until(serves, f"a process of {row}")

    def _watch(self, pids: Mapping[str, int]) -> dict[str, list[Call]]:
        """The calls of a process of each row."""
        with ExitStack() as stack:
            traces = {
                row: stack.enter_context(self._striker.watch(row, pid)) for row, pid in pids.items()
            }
            time.sleep(_WATCHED)
        return {row: trace.calls() for row, trace in traces.items()}

    def _watch_start(self, row: str) -> list[Call]:
        """The calls of a process that starts; of the master, while it starts one."""
        if row != MASTER:
            return self._watch({row: self._striker.turn_over(row)})[row]
        with self._striker.watch(MASTER, self._striker.youngest(MASTER)) as trace:
            self._striker.turn_over(TURNED)
            time.sleep(_WATCHED)
        return trace.calls()

    # Cells

    def _at_work(self, row: str, calls: Counter[Spot], *, whole: bool) -> Iterator[Cell]:
        often = {spot for spot, count in calls.items() if count >= _RARE * _WATCHED}
        yield from self._cells(row, often, fresh=False)
        if whole:
            yield from self._cells(row, calls.keys() - often, fresh=True)

    def _add_fresh(
        self, by_row: Mapping[str, list[Cell]], begun: Mapping[str, Sequence[Call]]
    ) -> None:
        """Add the calls of processes that start, and of the master that starts them.

        Until it serves each is Python and the skeleton of daemons: one row stands for all.
        """
        shared: dict[Spot, list[str]] = defaultdict(list)
        for row, calls in begun.items():
            self._places |= {(row, spot): nths for spot, nths in ordinals(calls).items()}
            border = until_started(calls)
            known = {cell.spot for cell in by_row[row]}
            own = spots(calls[border:]).keys() - known
            by_row[row].extend(self._cells(row, own, fresh=True))
            for spot in spots(calls[:border]).keys() - own - known:
                shared[spot].append(row)
        for spot, rows in sorted(shared.items()):
            row = self._source.choice(rows)
            by_row[row].extend(self._cells(row, [spot], fresh=True))

    def _cells(self, row: str, calls: Iterable[Spot], *, fresh: bool) -> Iterator[Cell]:
        for spot in sorted(calls):
            if not is_known(spot):
                self.unknown.append(f"{row} calls {spot}: the table does not know it")
            for error in errors_of(spot):
                yield Cell(row, spot, error, fresh=fresh)
                if persists(spot[0], error):
                    yield Cell(row, spot, error, stays=True, fresh=fresh)
