"""The C library's calls that Python does not wrap, with errors as OSError."""

import ctypes
import os
from collections.abc import Iterable
from typing import Final

__all__ = ["keep_capabilities", "no_new_privileges", "not_dumpable", "system_call"]

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words a set

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
    _control(_PR_SET_NO_NEW_PRIVS, 1)


def not_dumpable() -> None:
    """Let no process of the same user look into this one, until an execve (ptrace(2))."""
    _control(_PR_SET_DUMPABLE, 0)


def keep_capabilities(numbers: Iterable[int]) -> None:
    """Give up all capabilities but these (capabilities(7)): effective, permitted, inheritable.

    The bounding set stays: what an execve of root, or of a set-uid program, brings is no matter of
    this call.
    """
    kept = sum(1 << number for number in numbers)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    if _libc.capget(header, words) != 0:
        raise _last_error()
    lower, upper = kept & 0xFFFFFFFF, kept >> 32
    for index, mask in enumerate((lower, lower, 0, upper, upper, 0)):
        words[index] &= mask
    if _libc.capset(header, words) != 0:
        raise _last_error()


def _control(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
