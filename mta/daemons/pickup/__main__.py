"""The pickup daemon's program: what it needs, its handler, one call."""

from typing import Final

from mta.daemons.pickup.handler import PickupHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

_SHARED: Final = "$maildrop_directory"
_FOLDERS: Final = ("maildrop", _SHARED, "corrupt")

NEEDS: Final = Needs(write=(*_FOLDERS, "pid"), move=_FOLDERS, distant=(_SHARED,), strangers=True)

if __name__ == "__main__":
    run(needs=NEEDS, handler=PickupHandler)
