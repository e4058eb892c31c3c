"""The lookup daemon's program: what it needs, its handler, one call."""

from mta.daemons.lookup.handler import LookupHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS = Needs(tables=True, table_servers=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=LookupHandler)
