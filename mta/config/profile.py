"""A profile: rows that are shipped, and what they make of main.yml's parameters.

    services: {...}                  rows as in services.yml, each of them whole
    requires: {relayhost: "..."}     parameters that must be set, and what to set them to
    refuses: {relay_domains: "..."}  parameters that must stay empty, and the way out

The files are ours, and so the tests hold them, not the check.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from mta.config.problems import Problems
from mta.config.source import Node, load
from mta.config.validate import mapping

__all__ = ["Profile", "profiles", "read_profile"]

_FOLDER: Final = os.path.join(os.path.dirname(__file__), "profiles")


@dataclass(frozen=True)
class Profile:
    """One profile; an empty one stands for a table that names none."""

    rows: dict[str, Node] = field(default_factory=dict)
    requires: dict[str, str] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)


def profiles() -> list[str]:
    """The names of the profiles that are shipped."""
    names = (os.path.splitext(name) for name in sorted(os.listdir(_FOLDER)))
    return [name for name, extension in names if extension == ".yml"]


def read_profile(name: str, problems: Problems) -> Profile:
    """One of those profiles."""
    root = load(os.path.join(_FOLDER, f"{name}.yml"), problems)
    parts = {} if root is None else mapping(root, "", problems)
    found = {key: mapping(node, key, problems) for key, node in parts.items()}
    requires, refuses = (
        {key: str(node.value) for key, node in found.get(part, {}).items()}
        for part in ("requires", "refuses")
    )
    return Profile(found.get("services", {}), requires, refuses)
