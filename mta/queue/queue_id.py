"""Queue ids: when a message arrived and 64 random bits, in 22 characters safe in any file name.

    TTTTTTTTTTRRRRRRRRRRRR     10 of time (microseconds since the epoch), 12 of randomness

Both are numbers in base 52 with the digits "0-9 consonants" in ASCII order: ids sort by time, and
none of them spells a word. An id is unique without a look at the disk, over hosts and reboots, and
it is checked against this form before it becomes part of a path.
"""

import re
from typing import Final

__all__ = ["ALPHABET", "QUEUE_ID_LENGTH", "arrival_time", "is_queue_id", "new_queue_id"]

ALPHABET: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
QUEUE_ID_LENGTH: Final = 22

_BASE: Final = len(ALPHABET)
_TIME_DIGITS: Final = 10
_RANDOM_DIGITS: Final = 12
_RANDOM_OCTETS: Final = 8
_VALUES: Final = {digit: value for value, digit in enumerate(ALPHABET)}
# Two digits at a time: half the divisions of the innermost loop of every message.
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)
_FORM: Final = re.compile(rf"[{ALPHABET}]{{{QUEUE_ID_LENGTH}}}", re.ASCII)


def new_queue_id(now: float, random: bytes) -> str:
    """A new queue id from the time (seconds since the epoch) and 8 octets of randomness.

    ValueError if the time is before the epoch or after the year 6500, or `random` is not 8 octets.
    """
    if len(random) != _RANDOM_OCTETS:
        raise ValueError(f"expected {_RANDOM_OCTETS} random octets, got {len(random)}")
    microseconds = int(now * 1_000_000)
    if not 0 <= microseconds < _BASE**_TIME_DIGITS:
        raise ValueError(f"no queue id can bear the time {now}")
    return _digits(microseconds, _TIME_DIGITS) + _digits(
        int.from_bytes(random, "big"), _RANDOM_DIGITS
    )


def _digits(number: int, count: int) -> str:
    pairs = []
    for _ in range(count // 2):
        number, pair = divmod(number, _BASE * _BASE)
        pairs.append(_PAIRS[pair])
    pairs.reverse()
    return "".join(pairs)


def is_queue_id(text: str) -> bool:
    """Whether the text has the form of a queue id, and so may become part of a path."""
    return _FORM.fullmatch(text) is not None


def arrival_time(queue_id: str) -> float:
    """When the id was made, in seconds since the epoch; ValueError if it is no queue id."""
    if not is_queue_id(queue_id):
        raise ValueError(f"not a queue id: {queue_id!r}")
    microseconds = 0
    for digit in queue_id[:_TIME_DIGITS]:
        microseconds = microseconds * _BASE + _VALUES[digit]
    return microseconds / 1_000_000
