"""Tables by a question to a database: what is asked, what comes of it, and what is refused."""

import contextlib
import io
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.postmap import POSTFIX_SQLITE, Postmap

from mta.lookup.expansions import Parts
from mta.lookup.patience import Patience
from mta.lookup.sqlite import SqliteTable
from mta.lookup.sqlite_source import read_query
from mta.lookup.table import TableError

ROWS = [
    ("bob@example.org", "bob@example.net", 1),
    ("list@example.org", "a@example.net", 2),
    ("list@example.org", "b@mail.example.net", 3),
    ("list@example.org", "unqualified", 4),
    ("example.org", "relay:[mail.example.org]", 5),
    ("o'brien@example.org", "it's", 6),
    ("50%@example.org", "half", 7),
    ('"quoted local"@example.org', "quoted", 8),
    ("null@example.org", None, 9),
]
KEYS = [
    *(row[0] for row in ROWS),
    *("BOB@Example.ORG", "bob", "@example.org", "bob@", "a@b.c.example.org", "example", "a@com"),
    *("'", "' OR 1 = 1 --", "%", "bob@example.org@example.org", "nobody@example.org", "5", "x y"),
    "\u00fc@example.org",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `db` is a database with the rows."""
    place = tmp_path_factory.mktemp("sqlite")
    with contextlib.closing(sqlite3.connect(place / "db")) as made:
        made.execute("CREATE TABLE t (a TEXT, v TEXT, n INTEGER, \"odd name\" TEXT DEFAULT 'odd')")
        made.executemany("INSERT INTO t (a, v, n) VALUES (?, ?, ?)", ROWS)
        made.commit()
    return place


@pytest.fixture(scope="module")
def postmap(tmp_path_factory: pytest.TempPathFactory) -> Postmap:
    return Postmap(tmp_path_factory.mktemp("postmap"))


def table(folder: Path, settings: str) -> SqliteTable:
    path = folder / "table.cf"
    path.write_text(f"dbpath = {folder}/db\n{settings}\n")
    os.utime(path, (0, 0))  # Postfix waits until nobody can be writing it
    return SqliteTable(str(path), Patience(10))


BY_ADDRESS = "query = SELECT v FROM t WHERE a = '%s'"
SETTINGS = [
    BY_ADDRESS,
    "query = SELECT v FROM t WHERE a = '%S' ORDER BY n DESC",
    "query = SELECT v FROM t WHERE a = '%u@%d'",
    "query = SELECT v FROM t WHERE a = '%U@%D'",
    "query = SELECT '%1', v FROM t WHERE a = '%2.%1'",
    "query = SELECT '%d' || '/' || '%u' || '/%%'",
    "query = SELECT '%3.%2.%1'",
    "query = SELECT v FROM t WHERE a LIKE '%%%s' ORDER BY n",
    "query = SELECT v FROM t\n  WHERE a = '%s'\n# a comment\n  AND v <> 'it''s'",
    "query = SELECT 'a''b' FROM t WHERE a = '%s' LIMIT 1",
    "query = SELECT \"odd name\" FROM t WHERE a = '%s' LIMIT 1",
    "query = SELECT n FROM t WHERE a = '%s'",
    "query = SELECT n %% 2 FROM t WHERE a = '%s'",
    "query = SELECT v FROM t WHERE n = '%s'",
    f"{BY_ADDRESS} ORDER BY n\nresult_format = <%s>",
    f"{BY_ADDRESS} ORDER BY n\nresult_format = %u at %d",
    f"{BY_ADDRESS} ORDER BY n\nresult_format = %s of %S (%U, %D) %%",
    f"{BY_ADDRESS} ORDER BY n\nresult_format = %2-%1",
    f"{BY_ADDRESS} ORDER BY n\nresult_format = fixed",
    f"{BY_ADDRESS}\ndomain = example.org, example.net",
    f"{BY_ADDRESS}\ndomain = Example.ORG",
    f"{BY_ADDRESS}\ndomain = other.test",
    f"{BY_ADDRESS} ORDER BY n\nexpansion_limit = 3",
]


@pytest.mark.requires(*POSTFIX_SQLITE)
@pytest.mark.parametrize("settings", SETTINGS)
def test_as_postfix(folder: Path, postmap: Postmap, settings: str) -> None:
    ours = table(folder, settings)
    found = {key: value for key in KEYS if (value := ours.find(key)) is not None}
    assert postmap.query(f"sqlite:{folder}/table.cf", KEYS) == found


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        (BY_ADDRESS, "BOB@example.org", "bob@example.net"),
        (
            f"{BY_ADDRESS} ORDER BY n",
            "list@example.org",
            "a@example.net,b@mail.example.net,unqualified",
        ),
        (BY_ADDRESS, "null@example.org", None),
        (BY_ADDRESS, "x' OR a = 'bob@example.org", None),
        # Without quotes it is a parameter just the same.
        ("query = SELECT v FROM t WHERE a = %s", "bob@example.org", "bob@example.net"),
        ("query = SELECT v FROM t WHERE n = %s", "5", "relay:[mail.example.org]"),
        ("query = SELECT v FROM t WHERE n = %s", "5 OR 1 = 1", None),
        (
            "query = SELECT v /* %s */ FROM t WHERE a = '%s' -- %z",
            "example.org",
            "relay:[mail.example.org]",
        ),
        (f"{BY_ADDRESS}\nresult_format = %u", "bob@example.org", "bob"),
        ("query = SELECT 'same for all'", "x", "same for all"),
        ("query = SELECT '' UNION ALL SELECT 'a' UNION ALL SELECT NULL", "x", "a"),
        (BY_ADDRESS, "bob@example.org\udcff", None),
        (BY_ADDRESS, "x" * (1 << 20), None),
    ],
)
def test_answers(folder: Path, settings: str, key: str, value: str | None) -> None:
    assert table(folder, settings).find(key) == value


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("query = SELECT v FROM nowhere WHERE a = '%s'", "db: no such table: nowhere"),
        ("query = DELETE FROM t WHERE a = '%s'", "attempt to write a readonly database"),
        ("query = SELECT v FROM t; SELECT '%s'", "one statement at a time"),
        ("query = SELECT v FROM t WHERE a = ?", "0 supplied"),
        ("query = SELECT x'ff00' WHERE '%s' <> ''", "a result is no UTF-8"),
        ("query = SELECT CAST(x'ff' AS TEXT) WHERE '%s' <> ''", "Could not decode to UTF-8"),
        ("query = SELECT 'a' || char(0) WHERE '%s' <> ''", "a result has a NUL in it"),
        ("query = SELECT zeroblob(50001)", "a result has a NUL in it"),
        ("query = SELECT printf('%%.*c', 50001, 'x')", "results of more than 50000 octets"),
        ("query = SELECT zeroblob(2000000)", "too big"),
        (f"{BY_ADDRESS}\nexpansion_limit = 2", "more results than expansion_limit allows"),
    ],
)
def test_failures(folder: Path, settings: str, reason: str) -> None:
    """Each is temporary, names the table, and leaves it as it was."""
    asked = table(folder, settings)
    for _ in range(2):
        with pytest.raises(TableError) as caught:
            asked.find("list@example.org")
        assert str(caught.value).startswith(f"sqlite:{folder}/table.cf: {folder}/db: ")
        assert reason in str(caught.value)


MISTAKES = [
    ("query = SELECT 1", "table.cf: expected a value for dbpath, got nothing"),
    ("dbpath = /db\nquery =", "table.cf: expected a value for query, got nothing"),
    ("dbpath = db\nquery = SELECT 1", "table.cf:1:10: expected an absolute path"),
    ("dbpath /db", "table.cf:1:1: expected NAME = VALUE"),
    (
        "dbpath = /db\ntable = t",
        (
            "table.cf:2:1: expected query = SELECT ... FROM ... WHERE ... = '%s', got its older "
            "form: table"
        ),
    ),
    (
        "hosts = a",
        'table.cf:1:1: expected dbpath, query, result_format, domain, expansion_limit, got "hosts"',
    ),
    ("dbpath = /a\ndbpath = /b", "table.cf:2:1: expected each name once, got dbpath again"),
    (
        "dbpath = /db\nquery = SELECT '%x'",
        'table.cf:2:9: expected %s %u %d %S %U %D %1 to %9 or %%, got "%x"',
    ),
    (
        'dbpath = /db\nquery = SELECT 1 FROM "%s"',
        'table.cf:2:9: expected no expansion but in single quotes, got "%s"',
    ),
    ("dbpath = /db\nquery = SELECT 1 %", 'got "%"'),
    ("dbpath = /db\nquery = SELECT 1\nresult_format = 5%", "table.cf:3:17: expected %s"),
    (
        "dbpath = /db\nquery = SELECT 1\ndomain = hash:/etc/domains",
        'table.cf:3:10: expected names of domains alone, got "hash:/etc/domains"',
    ),
    (
        "dbpath = /db\nquery = SELECT 1\nexpansion_limit = -1",
        'table.cf:3:19: expected a number from 0 to 1000000, got "-1"',
    ),
    ("dbpath = /db\nquery = SELECT '\xff'".encode("latin-1"), "expected UTF-8, got the octet 0xff"),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes(text: str | bytes, problem: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(TableError) as caught:
        read_query(io.BytesIO(data), "table.cf")
    assert problem in str(caught.value)


WORDS = st.sampled_from(
    ["'", "''", '"', "`", "[", "]", "%s", "%1", "%%", "%", "--", "/*", "*/", "a"]
)


@given(st.lists(WORDS, max_size=12).map("".join), st.text("a@.'\"%-\u00fc", max_size=12))
def test_any_file_is_read_or_refused(query: str, key: str) -> None:
    """And no key ever becomes a part of the statement."""
    source = f"dbpath = /db\nquery = SELECT {query}\n".encode()
    try:
        found = read_query(io.BytesIO(source), "table.cf")
    except TableError:
        return
    before = found.sql
    arguments = found.arguments(Parts.of(key))
    assert found.sql == before
    assert arguments is None or len(arguments) == len(found.parameters) <= found.sql.count("?")


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(TableError):
        read_query(io.BytesIO(data), "table.cf")


@given(st.text(max_size=20))
def test_parts_make_the_whole(text: str) -> None:
    parts = Parts.of(text)
    assert text == (f"{parts.user}@{parts.domain}" if "@" in text else parts.user)
    assert ".".join(reversed(parts.labels)) == parts.domain


def test_replaced_database_is_opened_anew(tmp_path: Path) -> None:
    asked = None
    for value in ("old", "new"):
        with contextlib.closing(sqlite3.connect(tmp_path / "made")) as made:
            made.execute(f"CREATE TABLE t AS SELECT 'a' AS a, '{value}' AS v")
            made.commit()
        (tmp_path / "made").rename(tmp_path / "db")
        asked = asked or table(tmp_path, BY_ADDRESS)
        assert asked.find("a") == value


def test_other_question_counts_at_once(folder: Path) -> None:
    asked = table(folder, BY_ADDRESS)
    assert asked.find("bob@example.org") == "bob@example.net"
    (folder / "new").write_text(f"dbpath = {folder}/db\nquery = SELECT 'new'\n")
    (folder / "new").rename(folder / "table.cf")
    assert asked.find("bob@example.org") == "new"


@given(st.data())
def test_damaged_database_gives_the_truth_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Never that a key is missing: SQLite has no checksums, so what is asked for is structure."""
    place = tmp_path_factory.mktemp("damaged")
    with contextlib.closing(sqlite3.connect(place / "db")) as made:
        made.execute("CREATE TABLE t (a TEXT PRIMARY KEY, v TEXT)")
        made.executemany("INSERT INTO t VALUES (?, ?)", [(str(n), "v" * n) for n in range(300)])
        made.commit()
    asked = table(place, BY_ADDRESS)
    whole = (place / "db").read_bytes()
    size = data.draw(st.integers(0, len(whole) - 1))
    (place / "db").write_bytes(whole[:size])
    try:
        assert asked.find("299") == "v" * 299
    except TableError:
        return


def test_check_finds_damage(folder: Path, tmp_path: Path) -> None:
    table(folder, BY_ADDRESS).check()
    (tmp_path / "db").write_bytes((folder / "db").read_bytes()[:-4096])
    with pytest.raises(TableError, match="malformed"):
        table(tmp_path, BY_ADDRESS).check()
    with pytest.raises(TableError, match="syntax error"):
        table(folder, "query = SELEC '%s'").check()
