"""The compiled service table as the master reads it: what it uses is checked, the rest is ignored.

`mta render` has validated the whole snapshot; the master, which may be root, believes none of it.
"""

import json
import os
from dataclasses import dataclass
from typing import Any, Final

from mta.util.listen import ListenAddress, PipeAddress, parse_listen

__all__ = ["Row", "Table", "TableError", "load_table"]

_SIZE_LIMIT: Final = 4 * 1024 * 1024
_RESTARTS: Final = ("on_demand", "always", "never")


class TableError(Exception):
    """The snapshot is missing, damaged, or not of the generation asked for."""


@dataclass(frozen=True)
class Row:
    """One service: what the master must know to run it."""

    name: str
    daemon: str
    listen: tuple[ListenAddress, ...]
    user: str
    numprocs: int  # accepting processes at most
    min_free: int
    restart: str  # on_demand | always | never
    wakeup: float  # seconds; 0 = never


@dataclass(frozen=True)
class Table:
    """One generation of the service table."""

    generation: int
    queue_directory: str
    rows: dict[str, Row]
    checkin_time: float  # seconds that a process may take until its first `free`
    throttle_time: float  # seconds that a failing row pauses at most

    @property
    def pipes(self) -> tuple[str, ...]:
        """The names of all pipes that some row reads."""
        return tuple(
            address.name
            for row in self.rows.values()
            for address in row.listen
            if isinstance(address, PipeAddress)
        )


def load_table(generation: int, directory: str = "config") -> Table:
    """Read `config/GENERATION.json`; TableError names the file and what is wrong with it."""
    path = os.path.join(directory, f"{generation}.json")
    try:
        with open(path, "rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
        if len(data) > _SIZE_LIMIT:
            raise TableError(f"{path}: larger than {_SIZE_LIMIT} octets")
        body = json.loads(data)
        table = Table(
            generation=_integer(body, "generation", 1, 2**31 - 1),
            queue_directory=_text(body["parameters"], "queue_directory"),
            rows={row.name: row for row in map(_row, body["services"])},
            checkin_time=_seconds(body["parameters"], "service_checkin_time", 10.0),
            throttle_time=_seconds(body["parameters"], "service_throttle_time", 60.0),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise TableError(f"{path}: {error}; run `mta render`") from error
    if table.generation != generation:
        raise TableError(f"{path}: holds generation {table.generation}")
    _check_addresses(path, table)
    return table


def _row(body: dict[str, Any]) -> Row:
    restart = _text(body, "restart")
    if restart not in _RESTARTS:
        raise ValueError(f"restart: expected one of {_RESTARTS}, got {restart!r}")
    return Row(
        name=_text(body, "name"),
        daemon=_text(body, "daemon"),
        listen=tuple(parse_listen(str(address)) for address in body["listen"]),
        user=_text(body, "user"),
        numprocs=_integer(body, "numprocs", 1, 1000),
        min_free=_integer(body, "min_free", 0, 10_000),
        restart=restart,
        wakeup=_seconds(body, "wakeup", 0.0),
    )


def _check_addresses(path: str, table: Table) -> None:
    owners: dict[ListenAddress, str] = {}
    for row in table.rows.values():
        for address in row.listen:
            if address in owners:
                raise TableError(
                    f"{path}: {row.name} and {owners[address]} both listen on {address}"
                )
            owners[address] = row.name


def _text(body: dict[str, Any], key: str) -> str:
    value = body[key]
    if not isinstance(value, str):
        raise TypeError(f"{key}: expected text, got {value!r}")
    return value


def _integer(body: dict[str, Any], key: str, least: int, most: int) -> int:
    value = body[key]
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{key}: expected an integer from {least} to {most}, got {value!r}")
    return value


def _seconds(body: dict[str, Any], key: str, default: float) -> float:
    value = body.get(key, default)
    if not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise ValueError(f"{key}: expected seconds, got {value!r}")
    return float(value)
