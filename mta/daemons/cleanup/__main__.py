"""The cleanup daemon's program: what it needs, its handler, one call."""

from mta.daemons.cleanup.handler import CleanupHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS = Needs(write=("incoming",))

if __name__ == "__main__":
    run(needs=NEEDS, handler=CleanupHandler)
