"""A configuration that is being judged: what is known of it, and what each judgement may read.

    a check reads     it is asked
    parameters        of main.yml, and of each row that gives one of them a value of its own
    rows              whenever it is known of all rows which they are
    keys of a row     of each enabled row

and only while all that it reads is sound: what follows from a mistake is not told beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from mta.config.parameters import Parameters
from mta.config.problems import Place, Problems, Severity
from mta.config.source import Node
from mta.config.table import Row, Table, item_place

__all__ = ["RowCheck", "View", "ViewCheck", "Whole", "WholeCheck"]


@dataclass(frozen=True)
class Whole:
    """Both files; an unsound parameter has its default."""

    parameters: Parameters
    main: dict[str, Node]
    place: Place  # of main.yml
    unsound: frozenset[str]
    table: Table
    problems: Problems

    def place_of(self, name: str, index: int | None = None) -> Place:
        """Where main.yml sets the parameter; the file's beginning if it does not."""
        return item_place(self.main[name], index) if name in self.main else self.place

    def views(self) -> Iterator["View"]:
        """The parameters as main.yml sets them, then as each row with settings sees them."""
        yield View(self, None, self.parameters, self.unsound)
        for row in self.table.rows.values():
            if row.service.settings and "settings" not in row.unsound:
                yield self.view(row)

    def view(self, row: Row) -> "View":
        """The parameters as the row sees them."""
        own = row.service.settings
        parameters = msgspec.structs.replace(self.parameters, **own)
        unsound = self.unsound - own.keys() | row.unsound_settings
        if "settings" in row.unsound:
            unsound = frozenset(Parameters.__struct_fields__)
        return View(self, row, parameters, unsound)


@dataclass(frozen=True)
class View:
    """The parameters as somebody sees them: main.yml itself, or a row."""

    whole: Whole
    row: Row | None
    parameters: Parameters
    unsound: frozenset[str]

    def sets(self, name: str) -> bool:
        """Whether the parameter has a value of its own here."""
        if self.row is None:
            return name in self.whole.main
        return name in self.row.service.settings

    def complain(
        self,
        names: tuple[str, ...],
        expected: str,
        found: str,
        suggestion: str = "",
        *,
        index: int | None = None,
        severity: Severity = Severity.ERROR,
        session: tuple[str, ...] = (),
    ) -> None:
        """Note a problem of the first of these parameters, or of the first that is set here."""
        name = next(filter(self.sets, names), names[0])
        item = index if name == names[0] else None
        if self.row is None:
            path, place = f"main.{name}", self.whole.place_of(name, item)
        else:
            path = f"services.{self.row.service.name}.settings.{name}"
            place = self.row.place_of_setting(name, index=item)
        if item is not None:
            path += f"[{item}]"
        self.whole.problems.add(
            place, path, expected, found, suggestion, severity=severity, session=session
        )


@dataclass(frozen=True)
class ViewCheck:
    """A judgement of parameters alone."""

    reads: tuple[str, ...]
    run: Callable[[View], None]

    def __call__(self, whole: Whole) -> None:
        """Ask it of main.yml, and of each row that sets one of the parameters itself."""
        for view in whole.views():
            # What a row inherits whole was said of main.yml already.
            concerned = view.row is None or any(map(view.sets, self.reads))
            if concerned and view.unsound.isdisjoint(self.reads):
                self.run(view)


@dataclass(frozen=True)
class WholeCheck:
    """A judgement of parameters and rows; the rows' `keys` must be sound."""

    reads: tuple[str, ...]
    keys: tuple[str, ...]
    run: Callable[[Whole], None]

    def __call__(self, whole: Whole) -> None:
        """Ask it if all that it reads is known."""
        rows = whole.table.rows.values()
        known = whole.table.complete and all(row.unsound.isdisjoint(self.keys) for row in rows)
        if known and whole.unsound.isdisjoint(self.reads):
            self.run(whole)


@dataclass(frozen=True)
class RowCheck:
    """A judgement of one row."""

    keys: tuple[str, ...]
    run: Callable[[Whole, Row], None]
    reads: tuple[str, ...] = ()

    def __call__(self, whole: Whole) -> None:
        """Ask it of each row of which all that it reads is known."""
        if whole.unsound.isdisjoint(self.reads):
            for row in whole.table.rows.values():
                if row.unsound.isdisjoint(self.keys):
                    self.run(whole, row)
