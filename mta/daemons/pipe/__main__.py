"""The pipe daemon's program: what it needs, its handler, one call."""

from mta.daemons.pipe.handler import PipeHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS = Needs(commands="$pipe_writable", tcp_connect_any=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=PipeHandler)
