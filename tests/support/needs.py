"""What a test needs of the machine: missing, it is skipped with the reason in sight.

Under REQUIRE_ALL=1, as in CI, a skip is a failure: there the machine has everything.
"""

import os
import shutil

__all__ = ["missing", "require_all"]

_SBIN = ":/usr/sbin:/sbin"  # where Debian keeps smtp-source and runuser


def require_all() -> bool:
    """Whether this run must not skip."""
    return os.environ.get("REQUIRE_ALL") == "1"


def missing(need: str) -> str:
    """The reason to skip when the machine lacks a need, or nothing.

    A need is a command's name, the path of a device, or `root`.
    """
    if need == "root":
        return "" if os.geteuid() == 0 else "needs root"
    if need.startswith("/"):
        return "" if os.path.exists(need) else f"needs {need}"
    path = os.environ.get("PATH", os.defpath) + _SBIN
    return "" if shutil.which(need, path=path) else f"needs the command {need}"
