"""How supervisord gets its master: the conditions checked, the lock taken, the addresses opened."""

import os

from supervisor.loggers import LevelsByName

from mta.master.plugin.limits import raise_descriptor_limit
from mta.master.plugin.listeners import BIND_PATIENCE, inherited_sockets, open_all
from mta.master.plugin.lock import MasterLockedError, take_master_lock
from mta.master.plugin.logs import steady_logs
from mta.master.plugin.plugin import Master
from mta.master.plugin.rpc import MtaInterface, SupervisorInterface
from mta.master.plugin.seam import Supervisord
from mta.master.plugin.signals import take_over_signals
from mta.master.plugin.table import Table, TableError, load_table

__all__ = ["make_interface", "make_supervisor_interface"]

# Two HTTP sections call each factory twice for one supervisord.
_masters: dict[Supervisord, Master] = {}


def make_interface(supervisord: Supervisord, generation: str) -> MtaInterface:
    """Supervisor's factory of the namespace `mta`; ValueError makes supervisord exit."""
    if supervisord not in _masters:
        try:
            _masters[supervisord] = _install(supervisord, generation)
        except (ValueError, OSError, TableError, MasterLockedError) as error:
            text = f"the master cannot run: {error}"
            supervisord.options.logger.log(LevelsByName.CRIT, text)
            raise ValueError(text) from error
    return MtaInterface(_masters[supervisord])


def make_supervisor_interface(supervisord: Supervisord) -> SupervisorInterface:
    """Supervisor's factory of the namespace `supervisor`; the master may be made after it."""
    return SupervisorInterface(supervisord, lambda: _masters[supervisord])


def _install(supervisord: Supervisord, generation: str) -> Master:
    options = supervisord.options
    steady_logs(options)
    if not options.nodaemon:
        raise ValueError("[supervisord] nodaemon must be true: a fork would lose the lock")
    if options.user is not None:
        raise ValueError("[supervisord] user must not be set: rows name their own users")
    if not generation.isdigit():
        raise ValueError(f"[rpcinterface:mta] generation: expected a number, got {generation!r}")
    table = load_table(int(generation))
    _check_programs(supervisord, table)
    if os.path.realpath(table.queue_directory) != os.getcwd():
        raise ValueError(f"supervisord must be started in {table.queue_directory}")
    take_master_lock()
    raise_descriptor_limit()
    inherited = inherited_sockets()
    addresses = [address for row in table.rows.values() for address in row.listen]
    listeners = open_all(addresses, inherited, BIND_PATIENCE)
    for stranger in inherited:
        text = f"closing a socket of systemd that no row lists: {stranger!r}"
        options.logger.log(LevelsByName.WARN, text)
        stranger.close()
    for listener in listeners.values():
        listener.publish()
    master = Master(supervisord, table, listeners)
    take_over_signals(master)
    return master


def _check_programs(supervisord: Supervisord, table: Table) -> None:
    for row in table.rows.values():
        group = supervisord.process_groups.get(row.name)
        if group is None or len(group.processes) < row.numprocs:
            raise ValueError(f"supervisord.conf has too few slots for {row.name}: render again")
