"""What the shipped profiles hold: tests of a row come to life with the row."""

from pathlib import Path
from typing import Final

import yaml

__all__ = ["ENOUGH", "ROWS", "SHIPPED", "has_row"]

SHIPPED: Final = Path(__file__).resolve().parents[2] / "mta" / "config" / "profiles"

_CORE = {
    *("log", "qmgr", "smtp", "cleanup", "rewrite", "lookup", "resolver", "outbound"),
    *("bounce", "discard"),
}
ROWS: Final[dict[str, set[str]]] = {
    "hub": _CORE | {"error", "lmtp", "local", "mailuser", "pickup", "showq", "virtual"},
    "relay": _CORE | {"error"},
    "null_client": _CORE | {"pickup", "showq"},
    "maildrop_client": set(),
}
# What main.yml has to say for each, beside places and names.
ENOUGH: Final = {
    "hub": "",
    "relay": "relay_domains: [example.com]\ndouble_bounce_recipient: postmaster@example.com\n",
    "null_client": 'relayhost: "[mail.example.com]"\n',
    "maildrop_client": "",
}


def has_row(name: str, profile: str = "hub") -> bool:
    """Whether the profile has a row of that name."""
    text = (SHIPPED / f"{profile}.yml").read_text()
    return name in yaml.safe_load(text)["services"]
