"""The service table: a profile's rows, the user's rows merged over them by name, each one checked.

    profile: hub
    services:
      smtp: {listen: ["inet:127.0.0.1:2525"], numprocs: 4}
      virtual: {enabled: false}

A row's keys are the fields of `Service`, and `enabled`. What a row does not say, the profile's row
of that name says, and then the defaults; settings merge one by one.
"""

import functools
import os
import pkgutil
from dataclasses import dataclass
from typing import Any, Final

import mta
from mta.config.parameters import Parameters
from mta.config.problems import Place, Problems, complaint, quoted
from mta.config.profile import Profile, profiles, read_profile
from mta.config.snapshot import Name, Service
from mta.config.source import Node
from mta.config.uses import SHARED
from mta.config.validate import check_field, check_fields, mapping
from mta.util.house import RELOAD_PROGRAM
from mta.util.listen import parse_listen

__all__ = [
    "NO_TABLE",
    "SERVICES",
    "Row",
    "Table",
    "daemons",
    "item_place",
    "profiles",
    "read_table",
]

# The file that the operator writes; profiles are ours.
SERVICES: Final = "services.yml"


@dataclass(frozen=True)
class Row:
    """An enabled row, and where each of its keys stands; what is not sound has its default."""

    service: Service
    place: Place  # in services.yml: the row, or the profile that it comes from
    nodes: dict[str, Node]
    unsound: frozenset[str] = frozenset()  # keys that must not be judged further
    unsound_settings: frozenset[str] = frozenset()

    def says(self, key: str) -> bool:
        """Whether services.yml sets the key."""
        return key in self.nodes and self.nodes[key].place.file == SERVICES

    def place_of(self, *keys: str, index: int | None = None) -> Place:
        """Where services.yml sets the first of the keys that it sets, or one item of it.

        What a profile says is right by itself: a row that is wrong was made so in services.yml.
        """
        for key in keys:
            if self.says(key):
                return item_place(self.nodes[key], index)
        return self.place

    def place_of_setting(self, *names: str, index: int | None = None) -> Place:
        """Where services.yml gives the row a value of its own for one of the parameters."""
        node = self.nodes.get("settings")
        settings = node.value if node is not None and isinstance(node.value, dict) else {}
        for name in names:
            if name in settings and settings[name].place.file == SERVICES:
                return item_place(settings[name], index)
        return self.place_of("settings")


@dataclass(frozen=True)
class Table:
    """The rows by name, in the order of the profile."""

    profile: str
    rows: dict[str, Row]  # those that are enabled
    names: frozenset[str]  # of all rows
    requires: dict[str, str]  # of main.yml, by the profile: parameters, and what to set them to
    refuses: dict[str, str]  # likewise: parameters that must be empty, and the way out
    complete: bool = True  # whether it is known of all rows which they are


NO_TABLE: Final = Table("", {}, frozenset(), {}, {}, complete=False)


def item_place(node: Node, index: int | None) -> Place:
    """The place of a value, or of one item of it."""
    if index is not None and isinstance(node.value, list):
        return node.value[index].place
    return node.place


@functools.cache
def daemons() -> frozenset[str]:
    """The names of the daemons that are shipped; none of them is imported for that."""
    folder = os.path.join(os.path.dirname(mta.__file__), "daemons")
    return frozenset(module.name for module in pkgutil.iter_modules([folder]))


def read_table(root: Node, problems: Problems) -> Table:
    """Check the service table of `services.yml`, row by row."""
    entries = mapping(root, "", problems)
    if not isinstance(root.value, dict):
        return NO_TABLE
    for name in entries.keys() - {"profile", "services"}:
        expected = "profile or services"
        problems.unknown(entries[name].key, name, expected, name, ("profile", "services"))
    profile = _profile_name(root, entries, problems)
    shipped = read_profile(profile, problems) if profile else Profile()
    base = shipped.rows
    own: dict[str, Node] = {}
    count = problems.count
    if "services" in entries:
        own = mapping(entries["services"], "services", problems)
    complete = bool(profile) and problems.count == count
    place = entries["profile"].place if "profile" in entries else root.place
    rows = {}
    for name in base | own if profile else ():
        row, is_known = _read_row(name, base, own, place, problems)
        complete = complete and is_known
        if row is not None:
            rows[name] = row
    names = frozenset(base | own)
    return Table(profile, rows, names, shipped.requires, shipped.refuses, complete)


def _profile_name(root: Node, entries: dict[str, Node], problems: Problems) -> str:
    known = profiles()
    node = entries.get("profile")
    if node is None:
        problems.add(root.place, "profile", " or ".join(known), "nothing", "write profile: hub")
    elif node.value not in known:
        close = problems.suggest(str(node.value), known)
        problems.add(node.place, "profile", " or ".join(known), str(node), close)
    else:
        return str(node.value)
    return ""


def _read_row(
    name: str,
    base: dict[str, Node],
    own: dict[str, Node],
    profile: Place,
    problems: Problems,
) -> tuple[Row | None, bool]:
    """The row if it is enabled, and whether it is known what row it is."""
    path = f"services.{name}"
    last = own[name] if name in own else base[name]
    count = problems.count
    check_field(Node(name, last.key, last.key), Name, path, problems)
    if name == RELOAD_PROGRAM:
        problems.add(last.key, path, "another name", quoted(name), "this one is the master's own")
    nodes = _merged(base.get(name), own.get(name), path, problems)
    enabled = nodes.pop("enabled", Node(value=True, place=last.place, key=last.key))
    check_field(enabled, bool, f"{path}.enabled", problems)
    is_known = problems.count == count
    if "daemon" not in nodes and is_known:
        known = ", ".join(sorted(daemons()))
        text = f"a daemon ({known}), for the profile has no row {name}"
        problems.add(last.key, f"{path}.daemon", text, "nothing", problems.suggest(name, base))
        is_known = False
    values, unsound_settings = _values(nodes, path, problems)
    unsound = frozenset(nodes) - values.keys()
    if enabled.value is not True or not is_known:
        return None, is_known
    place = own[name].place if name in own else profile
    service = Service(**{"daemon": "", **values, "name": name})
    return Row(service, place, nodes, unsound, unsound_settings), "daemon" not in unsound


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


def _values(
    nodes: dict[str, Node], path: str, problems: Problems
) -> tuple[dict[str, Any], frozenset[str]]:
    """The values of the keys that are sound, and the settings that are not."""
    plain = dict(nodes)
    name = plain.pop("name", None)
    if name is not None:
        way_out = "the row's key is its name"
        problems.add(name.key, f"{path}.name", "a key of a row", quoted("name"), way_out)
    settings = plain.pop("settings", None)
    values = check_fields(plain, Service, path, problems)
    unsound: frozenset[str] = frozenset()
    if settings is not None:
        values["settings"] = _settings(settings, f"{path}.settings", problems)
        entries = settings.value if isinstance(settings.value, dict) else {}
        unsound = frozenset(entries) - values["settings"].keys()
    if "daemon" in values and not values.get("command") and values["daemon"] not in daemons():
        place, daemon = nodes["daemon"].place, values.pop("daemon")
        expected = "a daemon (a module of mta.daemons), or a command in its place"
        problems.unknown(place, f"{path}.daemon", expected, daemon, daemons())
    if not _check_listen(values.get("listen", ()), nodes, path, problems):
        del values["listen"]
    return values, unsound


def _check_listen(
    addresses: tuple[str, ...], nodes: dict[str, Node], path: str, problems: Problems
) -> bool:
    count = problems.count
    for index, address in enumerate(addresses):
        try:
            parse_listen(address)
        except ValueError as error:
            place = item_place(nodes["listen"], index)
            problems.add(place, f"{path}.listen[{index}]", *complaint(error, address))
    return problems.count == count


def _settings(node: Node, path: str, problems: Problems) -> dict[str, Any]:
    entries = dict(mapping(node, path, problems))
    for name in SHARED:
        shared = entries.pop(name, None)
        if shared is not None:
            expected, found = "a parameter that a row may have for itself", quoted(name)
            problems.add(shared.key, f"{path}.{name}", expected, found, "set it in main.yml")
    return check_fields(entries, Parameters, path, problems)
