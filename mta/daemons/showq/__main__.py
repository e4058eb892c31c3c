"""The showq daemon's program: what it needs, its handler, one call."""

from mta.daemons.showq.handler import ShowqHandler
from mta.master.daemon import Needs, run
from mta.queue.entry import WAITING

__all__ = ["NEEDS"]

# The folder of the user database, for a file in it is replaced as a whole when a user is added.
NEEDS = Needs(read=WAITING, replaced=("/etc/passwd",), strangers=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=ShowqHandler)
