"""The C library's calls that Python does not wrap, with errors as OSError."""

import ctypes
import os
from typing import Final

__all__ = ["no_new_privileges", "system_call"]

_PR_SET_NO_NEW_PRIVS: Final = 38

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def system_call(number: int, *arguments: int | bytes | None) -> int:
    """Make a system call; bytes are passed by address. OSError if it fails."""
    converted = (
        ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_char_p(argument)
        for argument in arguments
    )
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        raise _last_error()
    return result


def no_new_privileges() -> None:
    """Give up, for good, whatever privilege an execve could bring (prctl(2))."""
    zero = ctypes.c_ulong(0)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
