"""Where each value of a configuration comes from: a place in a file, or the profile."""

from collections.abc import Iterator

from mta.config.problems import Place
from mta.config.source import Node
from mta.config.table import SERVICES, Row, Table

__all__ = ["origins"]


def origins(main: Node, services: Node, table: Table) -> dict[str, str]:
    """Each value that is set, by its name in `Provenance.origins`; defaults are not named.

    The documents must be sound, and `table` be read from `services`.
    """
    found = {f"main.{name}": str(node.place) for name, node in _entries(main).items()}
    if "profile" in _entries(services):
        found["profile"] = str(_entries(services)["profile"].place)
    own = _entries(_entries(services).get("services"))
    for name, row in table.rows.items():
        found[f"services.{name}"] = _told(own[name].place if name in own else None, table)
        for key, place in _of_row(row):
            found[key] = _told(place, table)
    for name in sorted(table.names - table.rows.keys()):
        entries = _entries(own.get(name))
        switch = entries["enabled"].place if "enabled" in entries else None
        found[f"services.{name}.enabled"] = _told(switch, table)
    return found


def _of_row(row: Row) -> Iterator[tuple[str, Place]]:
    path = f"services.{row.service.name}"
    for key, node in row.nodes.items():
        if key == "settings":
            for name, setting in _entries(node).items():
                yield f"{path}.settings.{name}", setting.place
        else:
            yield f"{path}.{key}", node.place


def _told(place: Place | None, table: Table) -> str:
    """What is not in the operator's file is the profile's."""
    if place is None or place.file != SERVICES:
        return f"profile {table.profile}"
    return str(place)


def _entries(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}
