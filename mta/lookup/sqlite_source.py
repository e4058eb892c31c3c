"""The file that `sqlite:PATH` names, in the form of sqlite_table(5): a database and a question.

    dbpath = /var/lib/mail/accounts.db
    query = SELECT target FROM aliases WHERE address = '%s'
    result_format = %s          (this is what it is by default)
    domain = example.org, example.net
    expansion_limit = 0

What stands for a key never becomes SQL: a literal in single quotes that has an expansion in it is
one parameter, bound to the whole text; so is an expansion without quotes. Names of tables and
columns, which are in other quotes, cannot be asked from a key.
"""

import re
from collections.abc import Mapping
from typing import BinaryIO, Final

from msgspec import Struct

from mta.lookup.expansions import Parts, Template, parse_template
from mta.lookup.fold import fold
from mta.lookup.lines import WHITE_SPACE, Line, SourceError, read_lines

__all__ = ["SIZE_LIMIT", "Query", "read_query"]

SIZE_LIMIT: Final = 64 * 1024  # octets of the file
_EXPANSION_LIMIT: Final = 1_000_000
_NAMES: Final = ("dbpath", "query", "result_format", "domain", "expansion_limit")
_OLD_FORM: Final = frozenset({"select_field", "table", "where_field", "additional_conditions"})
_SETTING: Final = re.compile(rb"\s*([A-Za-z0-9_]+)\s*=\s*", re.ASCII)
_DOMAIN: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_SQL: Final = re.compile(
    r"""(?P<literal> ' (?: [^'] | '' )* ' )
      | (?P<quoted> " (?: [^"] | "" )* " | ` (?: [^`] | `` )* ` | \[ [^\]]* \] )
      | (?P<comment> -- .* | /\* .*? \*/ )
      | (?P<expansion> % .? )
      | [^'"`\[%/-]+ | .""",
    re.VERBOSE | re.DOTALL,
)


class Query(Struct, frozen=True):
    """What to ask of which database, and how to put the answer."""

    database: str  # the path
    sql: str  # with a ? for each parameter
    parameters: tuple[Template, ...]
    result: Template
    domains: frozenset[str]  # of the keys to ask for; none: all keys
    expansion_limit: int  # results; 0: no limit
    codes: frozenset[str]  # what a key must have

    def arguments(self, key: Parts) -> tuple[str, ...] | None:
        """The parameters for a folded key; None if it is none to ask for."""
        if self.domains and not (key.user and key.domain in self.domains):
            return None
        if not key.has(self.codes):
            return None
        return tuple(template.fill(key, key) for template in self.parameters)


class _Setting(Struct, frozen=True):
    """The value of a name, and where it stands."""

    value: str
    line: Line
    offset: int
    file: str

    def error(self, what: str) -> SourceError:
        return self.line.error(self.file, self.offset, what)


def read_query(stream: BinaryIO, name: str) -> Query:
    """What the file says; SourceError with the place of what is wrong. OSError as from the stream.

    `name` is what errors call the file.
    """
    settings: dict[str, _Setting] = {}
    for line in read_lines(stream, name):
        match = _SETTING.match(line.text)
        if match is None:
            raise line.error(name, 0, "expected NAME = VALUE")
        what = match[1].decode()
        if what in _OLD_FORM:
            expected = "query = SELECT ... FROM ... WHERE ... = '%s'"
            raise line.error(name, 0, f"expected {expected}, got its older form: {what}")
        if what not in _NAMES:
            raise line.error(name, 0, f'expected {", ".join(_NAMES)}, got "{what}"')
        if what in settings:
            raise line.error(name, 0, f"expected each name once, got {what} again")
        value = line.decode(name, match.end()).rstrip(WHITE_SPACE.decode())
        settings[what] = _Setting(value, line, match.end(), name)
    for what in ("dbpath", "query"):
        if what not in settings or not settings[what].value:
            raise SourceError(f"{name}: expected a value for {what}, got nothing")
    return _query(settings)


def _query(settings: Mapping[str, _Setting]) -> Query:
    database = settings["dbpath"]
    if not database.value.startswith("/"):
        raise database.error("expected an absolute path")
    result = parse_template("%s")
    if "result_format" in settings:
        result = _template(settings["result_format"], settings["result_format"].value)
    sql, parameters = _parameters(settings["query"])
    # Of a result's own parts a key need not have any.
    codes = {code for code in result.codes if not code.islower()}
    return Query(
        database=database.value,
        sql=sql,
        parameters=parameters,
        result=result,
        domains=_domains(settings["domain"]) if "domain" in settings else frozenset(),
        expansion_limit=_limit(settings["expansion_limit"]) if "expansion_limit" in settings else 0,
        codes=frozenset(codes.union(*(template.codes for template in parameters))),
    )


def _parameters(setting: _Setting) -> tuple[str, tuple[Template, ...]]:
    """The statement with its parameters, and what each of those is bound to."""
    pieces: list[str] = []
    parameters: list[Template] = []
    for match in _SQL.finditer(setting.value):
        piece = match[0]
        if "%" not in piece or match["comment"]:
            pieces.append(piece)
        elif match["quoted"]:
            raise setting.error(f"expected no expansion but in single quotes, got {piece}")
        elif piece == "%%":
            pieces.append("%")
        else:
            text = piece[1:-1].replace("''", "'") if match["literal"] else piece
            pieces.append("?")
            parameters.append(_template(setting, text))
    return "".join(pieces), tuple(parameters)


def _template(setting: _Setting, text: str) -> Template:
    try:
        return parse_template(text)
    except ValueError as error:
        raise setting.error(str(error)) from error


def _domains(setting: _Setting) -> frozenset[str]:
    names = re.split(r"[,\s]+", setting.value.strip(", \t"))
    for name in names:
        if not _DOMAIN.fullmatch(name):
            raise setting.error(f'expected names of domains alone, got "{name}"')
    return frozenset(map(fold, names))


def _limit(setting: _Setting) -> int:
    text = setting.value
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) <= _EXPANSION_LIMIT):
        raise setting.error(f'expected a number from 0 to {_EXPANSION_LIMIT}, got "{text}"')
    return int(text)
