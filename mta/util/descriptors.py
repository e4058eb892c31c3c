"""Closing what was only read.

The law: work that is done is not undone by a close. An error of close(2) tells of octets that were
written, and the descriptor is gone all the same: who has written looks at it, a reader need not.
"""

import errno
import os

__all__ = ["close_read"]


def close_read(descriptor: int) -> None:
    """Close a descriptor through which nothing was written; OSError only if it is not open."""
    try:
        os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EBADF:  # a defect of ours, and perhaps another's descriptor next
            raise
