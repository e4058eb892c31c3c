"""What commands of delivery have in their environment: what the configuration exports, no more.

The law: nothing of ours gets there by itself, and there always is a PATH.
"""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["exported"]

_PATH: Final = "/usr/bin:/bin"


def exported(names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of export_environment: NAME=VALUE, or NAME with the value in `environment`."""
    found = {"PATH": _PATH}
    for text in names:
        name, sign, value = text.partition("=")
        if sign or name in environment:
            found[name] = value if sign else environment[name]
    return found
