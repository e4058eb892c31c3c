"""The service table: a profile's rows, the user's rows merged over them by name, each one checked.

    profile: hub
    services:
      smtp: {listen: ["inet:127.0.0.1:2525"], numprocs: 4}
      virtual: {enabled: false}

A row's keys are the fields of `Service`, and `enabled`. What a row does not say, the profile's row
of that name says, and then the defaults; settings merge one by one.
"""

import os
import pkgutil
from dataclasses import dataclass
from typing import Any, Final

import mta
from mta.config.parameters import Parameters
from mta.config.snapshot import Name, Service
from mta.config.source import Node, Place, Problems, load, suggestion
from mta.config.uses import SHARED
from mta.config.validate import check_field, check_fields, mapping
from mta.util.house import RELOAD_PROGRAM
from mta.util.listen import parse_listen

__all__ = ["SERVICES", "Row", "Table", "daemons", "profiles", "read_table"]

# The file that the operator writes; profiles are ours.
SERVICES: Final = "services.yml"
_PROFILES: Final = os.path.join(os.path.dirname(__file__), "profiles")


@dataclass(frozen=True)
class Row:
    """An enabled row, and where each of its keys stands."""

    service: Service
    place: Place
    nodes: dict[str, Node]

    def place_of(self, key: str, index: int | None = None) -> Place:
        """The place of a key's value, or of one item of it; the row's own if it has no such key."""
        node = self.nodes.get(key)
        if node is None:
            return self.place
        if index is not None and isinstance(node.value, list):
            return node.value[index].place
        return node.place


@dataclass(frozen=True)
class Table:
    """The rows by name, in the order of the profile."""

    profile: str
    rows: dict[str, Row]  # those that are enabled
    names: frozenset[str]  # of all rows


def profiles() -> list[str]:
    """The names of the profiles that are shipped."""
    names = (os.path.splitext(name) for name in sorted(os.listdir(_PROFILES)))
    return [name for name, extension in names if extension == ".yml"]


def daemons() -> frozenset[str]:
    """The names of the daemons that are shipped; none of them is imported for that."""
    folder = os.path.join(os.path.dirname(mta.__file__), "daemons")
    return frozenset(module.name for module in pkgutil.iter_modules([folder]))


def read_table(root: Node, problems: Problems) -> Table:
    """Check the service table of `services.yml`; rows that are not sound are left out."""
    entries = mapping(root, "", problems)
    for name in entries.keys() - {"profile", "services"}:
        text = f"unknown name{suggestion(name, ('profile', 'services'))}"
        problems.add(entries[name].key, name, text)
    profile = _profile_name(root, entries, problems)
    base: dict[str, Node] = {}
    if profile:
        shipped = load(os.path.join(_PROFILES, f"{profile}.yml"), problems)
        if shipped is not None:
            base = mapping(mapping(shipped, "", problems)["services"], "services", problems)
    own: dict[str, Node] = {}
    if "services" in entries:
        own = mapping(entries["services"], "services", problems)
    rows = {}
    for name in base | own:
        row = _read_row(name, base.get(name), own.get(name), set(base), problems)
        if row is not None:
            rows[name] = row
    return Table(profile, rows, frozenset(base | own))


def _profile_name(root: Node, entries: dict[str, Node], problems: Problems) -> str:
    known = profiles()
    node = entries.get("profile")
    if node is None:
        problems.add(root.place, "profile", f"required: {' or '.join(known)}")
    elif node.value not in known:
        close = suggestion(str(node.value), known)
        problems.add(node.place, "profile", f"expected {' or '.join(known)}, got {node}{close}")
    else:
        return str(node.value)
    return ""


def _read_row(
    name: str, base: Node | None, own: Node | None, shipped: set[str], problems: Problems
) -> Row | None:
    path = f"services.{name}"
    last = own or base
    assert last is not None, "a row comes from one of the two"
    count = len(problems.found)
    named = Node(name, last.key, last.key)
    check_field(named, Name, path, problems)
    if name == RELOAD_PROGRAM:
        problems.add(last.key, path, "this name is the master's own")
    nodes = _merged(base, own, path, problems)
    enabled = nodes.pop("enabled", Node(value=True, place=last.place, key=last.key))
    check_field(enabled, bool, f"{path}.enabled", problems)
    if "daemon" not in nodes:
        close = suggestion(name, shipped)
        problems.add(
            last.key, f"{path}.daemon", f"required, for the profile has no row {name}{close}"
        )
    values = _values(nodes, path, problems)
    if len(problems.found) > count or not enabled.value:
        return None
    return Row(Service(name=name, **values), last.place, nodes)


def _merged(base: Node | None, own: Node | None, path: str, problems: Problems) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for layer in (base, own):
        if layer is None:
            continue
        entries = dict(mapping(layer, path, problems))
        below, above = nodes.get("settings"), entries.get("settings")
        if below is not None and above is not None:
            settings = mapping(below, path, problems) | mapping(above, f"{path}.settings", problems)
            entries["settings"] = Node(settings, above.place, above.key)
        nodes |= entries
    return nodes


def _values(nodes: dict[str, Node], path: str, problems: Problems) -> dict[str, Any]:
    plain = dict(nodes)
    name = plain.pop("name", None)
    if name is not None:
        problems.add(name.key, f"{path}.name", "unknown name: the row's key is its name")
    settings = plain.pop("settings", None)
    values = check_fields(plain, Service, path, problems)
    if settings is not None:
        values["settings"] = _settings(settings, f"{path}.settings", problems)
    if "daemon" in values and not values.get("command"):
        known = daemons()
        if values["daemon"] not in known:
            text = f"no such daemon: {nodes['daemon']}{suggestion(values['daemon'], known)}"
            problems.add(nodes["daemon"].place, f"{path}.daemon", text)
    for index, address in enumerate(values.get("listen", ())):
        try:
            parse_listen(address)
        except ValueError as error:
            item = nodes["listen"].value
            place = item[index].place if isinstance(item, list) else nodes["listen"].place
            problems.add(place, f"{path}.listen[{index}]", str(error))
    return values


def _settings(node: Node, path: str, problems: Problems) -> dict[str, Any]:
    entries = mapping(node, path, problems)
    for name in SHARED & entries.keys():
        text = "this parameter is for the whole system: set it in main.yml"
        problems.add(entries[name].key, f"{path}.{name}", text)
    return check_fields(entries, Parameters, path, problems)
