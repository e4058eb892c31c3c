"""A daemon that is told by its fsync what is not so: what the proof has to find, or proves nothing.

python -I lying.py never|late MODULE      as the `command` of the daemon's row
"""

import os
import runpy
import sys
import threading

__all__: list[str] = []

_DELAY = 0.05  # seconds
_honest = os.fsync


def _never(descriptor: int) -> None:
    """Say that it is done."""
    os.fstat(descriptor)


def _late(descriptor: int) -> None:
    """Say that it is done, and do it afterwards."""
    threading.Timer(_DELAY, _sync_and_close, [os.dup(descriptor)]).start()


def _sync_and_close(descriptor: int) -> None:
    _honest(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    how, module = sys.argv.pop(1), sys.argv.pop(1)
    os.fsync = {"never": _never, "late": _late}[how]  # type: ignore[assignment]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
