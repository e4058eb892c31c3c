"""Durations as people write them: a number and a unit, `100s 5m 4h 5d 1w`."""

import re
from typing import Final

__all__ = ["parse_duration"]

_FORM: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhdw])\Z", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_duration(text: str) -> float | None:
    """Seconds; None if the text is no duration."""
    found = _FORM.match(text)
    return float(found[1]) * _SECONDS[found[2]] if found else None
