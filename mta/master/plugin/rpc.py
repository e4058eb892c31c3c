"""What operators may ask over XML-RPC: `mta.*`, and `supervisor.*` with the house's manners."""

from collections.abc import Callable
from typing import Any, Final

from supervisor.rpcinterface import SupervisorNamespaceRPCInterface
from supervisor.xmlrpc import Faults, RPCError

from mta.master.plugin.plugin import Master
from mta.master.plugin.reload import ReloadError, reload_generation, retire_row
from mta.master.plugin.seam import Supervisord
from mta.master.plugin.status import status_of

__all__ = ["MtaInterface", "SupervisorInterface"]

# What Supervisor returns: a value, or a function that it calls until there is one.
Answer = object

_SAY_RELOAD: Final = "groups follow the service table, and listeners stay open: run `mta reload`"


class MtaInterface:
    """The namespace `mta`."""

    def __init__(self, master: Master) -> None:
        self._master = master

    def status(self) -> dict[str, Any]:
        """The generation, what isolation is missing, and all services."""
        return status_of(self._master)

    def reload(self, generation: int) -> dict[str, list[str]]:
        """Put a rendered generation in force; the fault tells why the old one stays."""
        self._refuse_while_draining()
        try:
            return reload_generation(self._master, int(generation))
        except (ReloadError, ValueError) as error:
            raise RPCError(Faults.CANT_REREAD, str(error)) from error

    def stop(self) -> bool:
        """Begin the staged stop."""
        self._master.ask_drain("mta.stop")
        return True

    def restart(self, service: str) -> bool:
        """Retire a row's processes for new ones; also ends an operator's stop and a throttle."""
        self._refuse_while_draining()
        if service not in self._master.table.rows:
            raise RPCError(Faults.BAD_NAME, f"the service table has no row {service}")
        self._master.pools[service].release()
        retire_row(self._master, service)
        return True

    def _refuse_while_draining(self) -> None:
        if self._master.drain is not None or not self._master.running:
            raise RPCError(Faults.SHUTDOWN_STATE, "the master is stopping")


class SupervisorInterface(SupervisorNamespaceRPCInterface):  # type: ignore[misc]
    """The namespace `supervisor`: what would close listeners or bypass pools is answered here."""

    def __init__(self, supervisord: Supervisord, find_master: Callable[[], Master]) -> None:
        super().__init__(supervisord)
        self._find_master = find_master

    @property
    def master(self) -> Master:
        """The master of this supervisord."""
        return self._find_master()

    def shutdown(self) -> bool:
        """Begin the staged stop, as `mta stop` does."""
        self._update("shutdown")
        self.master.ask_drain("supervisor.shutdown")
        return True

    def restart(self) -> bool:
        """Refused: the listeners would close."""
        raise RPCError(Faults.FAILED, _SAY_RELOAD)

    def reloadConfig(self) -> Answer:  # noqa: N802 - Supervisor's name
        """Refused: `supervisorctl update` would stop whole groups."""
        raise RPCError(Faults.CANT_REREAD, _SAY_RELOAD)

    def addProcessGroup(self, name: str) -> bool:  # noqa: N802 - Supervisor's name
        """Refused, as reloadConfig is."""
        raise RPCError(Faults.FAILED, f"{name}: {_SAY_RELOAD}")

    def removeProcessGroup(self, name: str) -> bool:  # noqa: N802 - Supervisor's name
        """Refused, as reloadConfig is."""
        raise RPCError(Faults.FAILED, f"{name}: {_SAY_RELOAD}")

    def startProcess(self, name: str, wait: bool = True) -> Answer:  # noqa: N802
        """Let a row run again, and start this process of it now if the row has room."""
        self._update("startProcess")
        group, process = self._getGroupAndProcess(name)
        row = group.config.name
        if row in self.master.pools and process is not None:
            self._release(row)
            if not process.pid and not self.master.may_spawn(process):
                raise RPCError(Faults.FAILED, f"service {row} has no room for {name} now")
        return super().startProcess(name, wait)

    def startProcessGroup(self, name: str, wait: bool = True) -> Answer:  # noqa: N802
        """Let a row run again: it starts what it needs; other programs start as ever."""
        self._update("startProcessGroup")
        if name not in self.master.pools:
            return super().startProcessGroup(name, wait)
        self._release(name)
        return []

    def startAllProcesses(self, wait: bool = True) -> Answer:  # noqa: N802
        """Let all rows run again."""
        self._update("startAllProcesses")
        for row in self.master.pools:
            self._release(row)
        return []

    def stopProcessGroup(self, name: str, wait: bool = True) -> Answer:  # noqa: N802
        """Stop a row until somebody starts it again, even if it has no process now."""
        self._update("stopProcessGroup")
        if name in self.master.pools:
            self._hold(name)
        return super().stopProcessGroup(name, wait)

    def stopAllProcesses(self, wait: bool = True) -> Answer:  # noqa: N802
        """Stop all rows until somebody starts them again."""
        self._update("stopAllProcesses")
        for row in self.master.pools:
            self._hold(row)
        return super().stopAllProcesses(wait)

    def _release(self, row: str) -> None:
        self.master.pools[row].release()
        self.master.touch(row)

    def _hold(self, row: str) -> None:
        self.master.pools[row].stop()
        self.master.touch(row)
