"""A network of the test's own, where any address is ours: clients come from wherever they like.

One thread lives in a network namespace; sockets made there stay there, whoever holds them later.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["ForeignNetwork", "foreign_network"]

_CLONE_NEWNET = 0x40000000  # sched.h
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ForeignNetwork:
    """Runs what is to see the other network."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call the function there."""
        return self._thread.submit(function, *args, **kwargs).result()


@contextlib.contextmanager
def foreign_network(*addresses: str) -> Iterator[ForeignNetwork]:
    """A network with a loopback and these addresses; needs root and the command ip."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        network = ForeignNetwork(thread)
        network.call(_leave)
        network.call(_ip, "link", "set", "lo", "up")
        for address in addresses:
            length = ("128", "nodad") if ":" in address else ("32",)
            network.call(_ip, "address", "add", f"{address}/{length[0]}", "dev", "lo", *length[1:])
        yield network


def _leave() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], env={"PATH": _PATH}, check=True)
