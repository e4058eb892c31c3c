"""The mark of a replacement that was begun: the two files may not belong together.

While `mta config rollback` replaces one file after the other, `rollback.unfinished` lies beside
them. Whatever ends it there, nobody compiles the mixture: an old service table under new
parameters may be valid, and still be what nobody ever wrote.
"""

import os
from typing import Final

from mta.config.problems import Place, Problems

__all__ = ["UNFINISHED", "refuse_unfinished"]

UNFINISHED: Final = "rollback.unfinished"
_EXPECTED: Final = "two files of one generation"
_FOUND: Final = "the mark of an interrupted rollback: they may be of different ones"
_WAY_OUT: Final = (
    "repeat `mta config rollback` (the file says to which), or remove the file if they are right"
)


def refuse_unfinished(directory: str, problems: Problems) -> None:
    """Note the problem if there is one."""
    if os.path.lexists(os.path.join(directory, UNFINISHED)):
        problems.add(Place(UNFINISHED), "", _EXPECTED, _FOUND, _WAY_OUT)
