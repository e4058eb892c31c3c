"""The pickup daemon's program: what it needs, its handler, one call."""

from typing import Final

from mta.daemons.pickup.handler import PickupHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

_SHARED: Final = "$maildrop_directory"
_FOLDERS: Final = ("maildrop", _SHARED, "corrupt")

# The folder of the user database, for a file in it is replaced as a whole when a user is added.
NEEDS: Final = Needs(
    write=(*_FOLDERS, "pid"),
    move=_FOLDERS,
    distant=(_SHARED,),
    replaced=("/etc/passwd",),
    strangers=True,
)

if __name__ == "__main__":
    run(needs=NEEDS, handler=PickupHandler)
