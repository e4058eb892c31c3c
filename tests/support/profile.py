"""What a shipped profile holds: tests of a row come to life with the row."""

from pathlib import Path

import yaml

__all__ = ["has_row"]

_PROFILES = Path(__file__).resolve().parents[2] / "mta" / "config" / "profiles"


def has_row(name: str, profile: str = "hub") -> bool:
    """Whether the profile has a row of that name."""
    text = (_PROFILES / f"{profile}.yml").read_text()
    return name in yaml.safe_load(text)["services"]
