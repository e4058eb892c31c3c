"""From one generation to the next without refusing anybody.

All that can fail comes first: the new table, the new programs, the new addresses. Then nothing is
undone any more: groups are edited in place, every old process retires, and clients wait in the
accept queues, which never close, until successors take them.
"""

import configparser
import time

from mta.master.plugin.groups import edit_group, own_group, swap_config
from mta.master.plugin.listeners import Listener, open_all
from mta.master.plugin.plugin import Master
from mta.master.plugin.pool import Times
from mta.master.plugin.seam import GroupConfig
from mta.master.plugin.table import Table, TableError, load_table
from mta.util.listen import ListenAddress

__all__ = ["ReloadError", "reload_generation", "retire_row"]


class ReloadError(Exception):
    """The new generation cannot be had; the old one stays in force, untouched."""


def reload_generation(master: Master, generation: int) -> dict[str, list[str]]:
    """Put a rendered generation in force; returns what changed, by name."""
    changes: dict[str, list[str]] = {
        key: [] for key in ("opened", "closed", "added", "removed", "retired")
    }
    if generation == master.table.generation:
        return changes
    table, programs = _prepare(master, generation)
    opened = _open_new(master, table)
    wanted = {address for row in table.rows.values() for address in row.listen}
    dropped = [address for address in master.listeners if address not in wanted]
    changes["opened"] = [str(address) for address in opened]
    changes["closed"] = [str(address) for address in dropped]
    changes["removed"] = [n for n in master.table.rows if n not in table.rows]
    changes["added"] = [n for n in table.rows if n not in master.table.rows]

    master.table = table
    for listener in opened.values():
        listener.publish()
    master.listeners.update(opened)
    master.close_listeners(dropped)
    _edit_groups(master, programs)
    for name in list(master.pools):
        if retire_row(master, name, close=name not in table.rows):
            changes["retired"].append(name)
    master.rewire()
    master.report.say("info", "reload", f"generation {generation} is in force")
    return changes


def retire_row(master: Master, name: str, *, close: bool = False) -> bool:
    """Ask all processes of a row to end, and start none if `close`; whether any was asked."""
    pool = master.pools[name]
    now = time.monotonic()
    orders = pool.close(now, expire=False) if close else pool.retire(now)
    master.perform(pool, orders)
    master.touch(name)
    return bool(orders)


def _prepare(master: Master, generation: int) -> tuple[Table, dict[str, GroupConfig]]:
    """Read the new table and the new programs; nothing is changed if one of them is bad."""
    options = master.options
    before = options.process_group_configs
    try:
        table = load_table(generation)
        if table.queue_directory != master.table.queue_directory:
            raise ReloadError("queue_directory cannot change while the master runs")
        options.process_config(do_usage=False)
        programs = {config.name: config for config in options.process_group_configs}
        for row in table.rows.values():
            slots = len(programs[row.name].process_configs) if row.name in programs else 0
            if slots < row.numprocs:
                raise ReloadError(f"supervisord.conf: {slots} slots for {row.name}: render again")
    except (TableError, ValueError, OSError, configparser.Error) as error:
        options.process_group_configs = before
        raise ReloadError(str(error)) from error
    except ReloadError:
        options.process_group_configs = before
        raise
    return table, programs


def _open_new(master: Master, table: Table) -> dict[ListenAddress, Listener]:
    wanted = [address for row in table.rows.values() for address in row.listen]
    try:
        return open_all([a for a in wanted if a not in master.listeners], [], patience=0)
    except OSError as error:
        raise ReloadError(f"cannot listen on {error.strerror}") from error


def _edit_groups(master: Master, programs: dict[str, GroupConfig]) -> None:
    groups = master.supervisord.process_groups
    times = Times(master.table.checkin_time, master.table.throttle_time)
    for name, row in master.table.rows.items():
        if name in master.pools:
            edit_group(groups[name], programs[name], master)
            master.pools[name].reconfigure(row, times, time.monotonic())
        else:
            master.supervisord.add_process_group(programs[name])
            own_group(groups[name], master)
            master.add_pool(row)
    for name, config in programs.items():
        if name not in master.table.rows and name in groups:
            swap_config(groups[name], config)
