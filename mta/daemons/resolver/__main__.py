"""The resolver daemon's program: what it needs, its handler, one call."""

from mta.daemons.resolver.handler import ResolverHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS = Needs(name_servers=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=ResolverHandler)
