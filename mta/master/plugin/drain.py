"""The end of the house, in stages: who takes mail in ends first, who writes the log last.

    1 door       rows with an inet listener, smtpd, postscreen, pickup; inet listeners close
    2 scheduler  qmgr
    3 agents     the delivery agents
    4 services   the rest
    5            Supervisor's shutdown; it ends the log last, by priority

A stage ends when its processes are gone, or after 10 s, when what is left gets SIGTERM. Rows of
later stages start processes on demand until their turn comes.
"""

import signal
from collections.abc import Mapping
from typing import Final

from mta.master.plugin.actions import Action, Kill, Say
from mta.master.plugin.pool import Pool
from mta.util.house import Stage, stage_of

__all__ = ["STAGE_TIME", "Drain"]

STAGE_TIME: Final = 10.0  # seconds
_STAGES: Final = (Stage.DOOR, Stage.SCHEDULER, Stage.AGENTS, Stage.SERVICES)


class Drain:
    """Walks through the stages; `finished` when Supervisor may shut down."""

    def __init__(self) -> None:
        self.finished = False
        self.deadline = 0.0
        self._stages = iter(_STAGES)
        self._stage: Stage | None = None

    def step(self, pools: Mapping[str, Pool], now: float) -> list[tuple[Pool, list[Action]]]:
        """What is to be done now, and to which pools."""
        orders: list[tuple[Pool, list[Action]]] = []
        while not self.finished:
            left = [pool for pool in self._mine(pools) if pool.members]
            if left and now < self.deadline:
                break
            orders += [(pool, _hurry(pool)) for pool in left]
            self._stage = next(self._stages, None)
            self.finished = self._stage is None
            self.deadline = now + STAGE_TIME
            orders += [(pool, pool.close(now, expire=True)) for pool in self._mine(pools)]
        return orders

    def _mine(self, pools: Mapping[str, Pool]) -> list[Pool]:
        rows = ((pool, pool.row) for pool in pools.values())
        return [pool for pool, row in rows if stage_of(row.daemon, row.listen) is self._stage]


def _hurry(pool: Pool) -> list[Action]:
    name = pool.row.name
    text = f"service {name} has not ended within {STAGE_TIME:g} s: its processes get SIGTERM"
    said = Say("warning", "drain", text, {"row": name})
    return [said, *(Kill(process, signal.SIGTERM) for process in pool.members)]
