"""Room for descriptors: what root may grant, daemons that are not root any more cannot take.

A daemon raises its own soft limit as far as its row needs, up to the hard limit that it was born
with.
"""

import contextlib
import os
import resource
from typing import Final

__all__ = ["raise_descriptor_limit"]

_WANTED: Final = 65536  # qmgr's 20,000 active messages need two thirds of it


def raise_descriptor_limit() -> None:
    """Raise the hard limit, where root runs the master and may (CAP_SYS_RESOURCE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.geteuid() == 0 and hard != resource.RLIM_INFINITY and hard < _WANTED:
        with contextlib.suppress(ValueError, PermissionError):  # daemons say when it is too little
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, _WANTED))
