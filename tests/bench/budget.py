"""How many system calls and frames one message costs each daemon of Posthouse.

Counted by strace over single messages, one after the other: under load several share a wake-up, so
these are the most that a message costs. tests/system/test_budget.py holds them.
"""

import contextlib
from dataclasses import dataclass

from support.budget import CallCounter
from support.dialogue import Dialogue
from support.load import message

from bench.experiment import Experiment, Setting
from bench.figures import Figure
from bench.proc import process_tree
from bench.server import SINK_DOMAIN, Server, wait_empty
from bench.sink import CountingSink

__all__ = ["Budget"]

_WARMING = 5


@dataclass(frozen=True, kw_only=True)
class Budget(Experiment):
    """System calls and frames a message, by daemon."""

    messages: int

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        with (
            CountingSink(setting.sink, setting.scratch / "sink.txt"),
            Dialogue("127.0.0.1", server.port, 30.0) as client,
        ):
            client.greeted("EHLO bench.test")
            _send(server, client, _WARMING)
            names = {
                pid: name
                for pid, name in server.daemons().items()
                if pid in process_tree(server.master)
            }
            with contextlib.ExitStack() as stack:
                counters = [
                    (name, stack.enter_context(CallCounter(pid, setting.scratch / f"{pid}.calls")))
                    for pid, name in names.items()
                ]
                _send(server, client, self.messages)
        found: dict[Figure, float] = {}
        for name, counter in counters:
            cost = counter.cost(self.messages)
            for unit, count in (("system calls", cost.calls), ("frames sent", cost.frames)):
                figure = Figure(name, unit, "less")
                found[figure] = found.get(figure, 0.0) + count
        return found

    def row(self, figure: Figure) -> str:
        return figure.name


def _send(server: Server, client: Dialogue, count: int) -> None:
    for number in range(count):
        client.mail("from@bench.test", [f"to@{SINK_DOMAIN}"], message(f"budget-{number}", 4000))
        wait_empty(server)
