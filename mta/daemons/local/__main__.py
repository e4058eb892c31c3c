"""The local delivery agent's program: what it needs, its handler, one call."""

from mta.daemons.local.handler import LocalHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

# The folder of the user database, for a file in it is replaced as a whole when a user is added.
NEEDS = Needs(tables=True, replaced=("/etc/passwd",))

if __name__ == "__main__":
    run(needs=NEEDS, handler=LocalHandler)
