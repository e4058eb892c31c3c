"""Durations as people write them: a number and a unit, `100s 5m 4h 5d 1w`."""

import re
from typing import Final

__all__ = ["DURATION_PATTERN", "format_duration", "parse_duration"]

DURATION_PATTERN: Final = r"\A([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhdw])\Z"
_FORM: Final = re.compile(DURATION_PATTERN, re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def parse_duration(text: str) -> float | None:
    """Seconds; None if the text is no duration."""
    found = _FORM.match(text)
    return float(found[1]) * _SECONDS[found[2]] if found else None


def format_duration(seconds: float) -> str:
    """The duration with the largest unit that leaves a whole number: `5m`, `100s`, `0.5s`.

    What so few digits cannot hold is a bare number of seconds, which means the same.
    """
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    text = f"{seconds!r}".removesuffix(".0") + "s"
    return text if parse_duration(text) == seconds else repr(seconds)
