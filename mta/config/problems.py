"""What is wrong with a configuration: where, what was expected, what was found, the way out.

    main.yml:5:21: main.message_size_limit: expected an integer of at least 1024, got "ten"
    services.yml:3:10: services.smtp.numproc: expected a key of a row, got "numproc"; did you mean
    "numprocs"?

Errors keep a configuration from being used, warnings keep nobody from anything. What strangers
wrote is shown with control characters escaped and cut to a length, and no more than a hundred of a
kind are kept, so that a message is fit for a terminal whatever the files hold.
"""

import difflib
import enum
from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec import Struct

from mta.config.errors import ConfigError
from mta.util.text import visible

__all__ = ["KEPT", "Place", "Problem", "Problems", "Severity", "complaint", "quoted"]

KEPT: Final = 100  # problems of one severity
_NAME_LIMIT: Final = 160  # characters
_TEXT_LIMIT: Final = 1000
_GUESSED: Final = 64  # characters of a name; a longer one is no slip of the fingers


class Severity(enum.StrEnum):
    """Whether the configuration can be used."""

    ERROR = "error"
    WARNING = "warning"


class Place(Struct, frozen=True, order=True):
    """A place in a configuration file; line and column count from 1, 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        file = visible(self.file)
        return f"{file}:{self.line}:{self.column}" if self.line else file


class Problem(Struct, frozen=True, order=True):
    """One thing that is wrong; `name` is the setting (`services.smtp.numprocs`), "" the file.

    `session` are the lines of an SMTP session that proves an open relay.
    """

    place: Place
    name: str
    expected: str
    found: str
    suggestion: str = ""
    session: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines for people; each begins with the place, so that editors find it."""
        warning = "warning: " if self.severity is Severity.WARNING else ""
        name = f"{self.name}: " if self.name else ""
        way_out = f"; {self.suggestion}" if self.suggestion else ""
        first = f"{warning}{name}expected {self.expected}, got {self.found}{way_out}"
        return tuple(f"{self.place}: {line}" for line in (first, *self.session))

    @property
    def fields(self) -> dict[str, Any]:
        """The object for programs."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "name": self.name,
            "expected": self.expected,
            "found": self.found,
            "suggestion": self.suggestion,
            "session": list(self.session),
        }

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Problems:
    """Everything found wrong so far, so that an operator sees all of it at once."""

    def __init__(self) -> None:
        self._kept: dict[Severity, set[Problem]] = {severity: set() for severity in Severity}
        self._left_out: dict[tuple[Severity, str], int] = {}
        self.count = 0  # errors noted, those that were not kept included

    def add(
        self,
        place: Place,
        name: str,
        expected: str,
        found: str,
        suggestion: str = "",
        *,
        session: Sequence[str] = (),
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem of the setting `name` (`services.smtp.numprocs`)."""
        self.count += severity is Severity.ERROR
        kept = self._kept[severity]
        if len(kept) >= KEPT:
            which = (severity, place.file)
            self._left_out[which] = self._left_out.get(which, 0) + 1
            return
        problem = Problem(
            place,
            _fit(name, _NAME_LIMIT),
            expected=_fit(expected, _TEXT_LIMIT),
            found=_fit(found, _TEXT_LIMIT),
            suggestion=_fit(suggestion, _TEXT_LIMIT),
            session=tuple(map(visible, session)),
            severity=severity,
        )
        kept.add(problem)

    def warn(
        self, place: Place, name: str, expected: str, found: str, suggestion: str = ""
    ) -> None:
        """Note what keeps nobody from using the configuration."""
        self.add(place, name, expected, found, suggestion, severity=Severity.WARNING)

    def unknown(
        self, place: Place, path: str, expected: str, name: str, known: Collection[str]
    ) -> None:
        """Note a name that is not one of the `known`."""
        self.add(place, path, expected, quoted(name), self.suggest(name, known))

    def suggest(self, name: str, known: Collection[str]) -> str:
        """What an error about an unknown name says at its end: `did you mean "..."?`, or nothing.

        Guessing takes its time, so nothing is guessed for an error that will not be kept.
        """
        if len(self._kept[Severity.ERROR]) >= KEPT or len(name) > _GUESSED:
            return ""
        close = difflib.get_close_matches(name, known, 1)
        return f'did you mean "{close[0]}"?' if close else ""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The errors in the order of the files, and how many there are beyond those."""
        return self._told(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings, likewise."""
        return self._told(Severity.WARNING)

    def raise_if_any(self) -> None:
        """Raise ConfigError when there is an error."""
        if self.errors:
            raise ConfigError(self.errors, self.warnings)

    def _told(self, severity: Severity) -> tuple[Problem, ...]:
        rest = [
            Problem(
                Place(file), "", f"at most {KEPT} {kind}s to tell", f"{count} more", severity=kind
            )
            for (kind, file), count in self._left_out.items()
            if kind is severity
        ]
        return (*sorted(self._kept[severity]), *sorted(rest))


def complaint(error: ValueError, text: str) -> tuple[str, str]:
    """What was expected, and what was found, in a parser's `expected X, got Y` about a text."""
    expected, got, found = str(error).removeprefix("expected ").rpartition(", got ")
    return (expected, found) if got else (str(error), quoted(text))


def quoted(text: str) -> str:
    """A text as a message shows it."""
    return f'"{_fit(text, 80)}"'


def _fit(text: str, limit: int) -> str:
    shown = visible(text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
