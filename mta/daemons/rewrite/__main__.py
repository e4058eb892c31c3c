"""The rewrite daemon's program: what it needs, its handler, one call."""

from mta.daemons.rewrite.handler import RewriteHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS = Needs(tables=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=RewriteHandler)
