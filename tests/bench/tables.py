"""The experiments with lookup tables: what one costs by itself, and what it costs a message.

Lookups     a table is made of its source, and asked
TableLoad   traffic while recipients and senders are looked up in a large table
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench.experiment import Experiment, Setting
from bench.figures import Figure
from bench.lookup import ask_postfix, build, read, write_source
from bench.proc import memory
from bench.server import Server
from bench.traffic import Traffic, send

__all__ = ["Lookups", "TableLoad"]

_BUILDING: Final = Figure("making it of its source", "s", "less")
_RATE: Final = Figure("look-ups a second", "", "more")
_CPU: Final = Figure("CPU a look-up", "us", "less")
_MEMORY: Final = Figure("memory of all processes, with the table", "MiB", "less")
_WARMING: Final = 20  # messages that start the processes that a burst needs first
_MICROSECOND: Final = 1e-6
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Lookups(Experiment):
    """`size` entries, `lookups` keys: half of them are there. Postfix is asked through postmap."""

    lookups: int

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        table = write_source(setting.scratch, self.size)
        try:
            if server.name == "postfix":
                theirs = ask_postfix(table, self.size, self.lookups)
                building, rate, cpu = theirs.building, theirs.per_second, theirs.cpu
            else:
                building = build(table).seconds
                ours = read(table, self.size, self.lookups)
                rate, cpu = ours.per_second, ours.cpu
        finally:
            _remove(table)
        return {_BUILDING: building, _RATE: rate, _CPU: cpu / _MICROSECOND}

    def command(self) -> str:
        return f"python -m bench.lookup --entries {self.size} --lookups {self.lookups}"


@dataclass(frozen=True, kw_only=True)
class TableLoad(Experiment):
    """A table of `size` entries for canonical, alias, bcc and transport maps; it has no address."""

    traffic: Traffic
    tables: dict[str, Path] = field(default_factory=dict)  # by the server's name

    def prepare(self, server: Server, setting: Setting) -> None:
        folder = setting.scratch / server.name
        folder.mkdir()
        self.tables[server.name] = table = write_source(folder, self.size)
        build(table)
        server.use_table(f"cdb:{table}")
        send(server, replace(self.traffic, messages=_WARMING, sessions=_WARMING), setting)

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        figures = send(server, self.traffic, setting).figures()
        return {**figures, _MEMORY: memory(server.daemons()) / _MEBIBYTE}

    def finish(self, server: Server, setting: Setting) -> None:
        del setting
        server.use_table("")
        table = self.tables.pop(server.name)
        _remove(table)
        table.parent.rmdir()


def _remove(table: Path) -> None:
    table.unlink()
    table.with_name(f"{table.name}.cdb").unlink(missing_ok=True)
