"""The virtual daemon's program: what it needs, its handler, one call."""

from mta.daemons.virtual.handler import VirtualHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS = Needs(write=("$virtual_mailbox_base",), tables=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=VirtualHandler)
