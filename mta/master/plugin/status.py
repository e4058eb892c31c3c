"""What `mta status` shows: plain values for XML-RPC."""

import os
import pwd
import time
from collections.abc import Iterator
from typing import Any

from supervisor.xmlrpc import capped_int

from mta.master.plugin.plugin import Master
from mta.master.plugin.pool import Pool

__all__ = ["status_of"]


def status_of(master: Master) -> dict[str, Any]:
    """The whole status; times are seconds since the epoch."""
    now = time.monotonic()
    return {
        "generation": master.table.generation,
        "isolation": _isolation(master),
        "services": [_service(pool, now) for pool in master.pools.values()],
    }


def _service(pool: Pool, now: float) -> dict[str, Any]:
    until = pool.throttle.until
    return {
        "name": pool.row.name,
        "daemon": pool.row.daemon,
        "state": pool.state(now),
        "running": pool.accepting,
        "numprocs": pool.row.numprocs,
        "retiring": len(pool.members) - pool.accepting,
        "clients": capped_int(pool.clients),
        "served": capped_int(pool.served),
        "spawned": capped_int(pool.spawned_total),
        "last_exit": pool.last_exit,
        "throttled_until": time.time() + until - now if until > now else 0.0,
        "listeners": [str(address) for address in pool.row.listen],
    }


def _isolation(master: Master) -> dict[str, Any]:
    missing = list(_missing(master))
    return {"mode": "rootless" if _is_rootless(master) else "users", "missing": missing}


def _is_rootless(master: Master) -> bool:
    return os.getuid() != 0 or not any(row.user for row in master.table.rows.values())


def _missing(master: Master) -> Iterator[str]:
    uid = os.getuid()
    if _is_rootless(master):
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:
            user = str(uid)
        yield f"Every daemon runs as {user}: no uid separates the network, queue and mailboxes."
        yield "Sockets in private/ admit every process of that user, not the house's alone."
        if uid == 0:
            yield "That user is root: only the sandbox limits what a taken-over daemon may do."
        return
    for row in master.table.rows.values():
        if not row.user:
            yield f"Service {row.name} names no user: it runs as root."
