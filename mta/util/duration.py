"""Durations as people write them: a number and a unit, `100s 5m 4h 5d 1w`."""

import re
from typing import Final

__all__ = ["DURATION_PATTERN", "format_duration", "parse_duration"]

DURATION_PATTERN: Final = r"\A([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhdw])\Z"
_FORM: Final = re.compile(DURATION_PATTERN, re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LARGEST_FIRST: Final = ("d", "h", "m")


def parse_duration(text: str) -> float | None:
    """Seconds; None if the text is no duration."""
    found = _FORM.match(text)
    return float(found[1]) * _SECONDS[found[2]] if found else None


def format_duration(seconds: float) -> str:
    """The duration in the largest unit, up to days, that divides it; rounded to a microsecond."""
    for unit in _LARGEST_FIRST:
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
