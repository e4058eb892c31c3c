"""How many processes who runs commands may have: what forks for ever ends there."""

import resource
from typing import Final

__all__ = ["limit_processes"]

# All processes and threads of the user count, those of a desktop too: only a flood has more.
_PROCESSES: Final = 4096


def limit_processes() -> None:
    """Bind this process and all that come of it; the kernel counts nothing of root's."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = _PROCESSES if hard == resource.RLIM_INFINITY else min(_PROCESSES, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
