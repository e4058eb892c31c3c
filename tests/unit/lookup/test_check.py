"""`mta map check`: all that is wrong with a table is told at once."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from mta.lookup.check import FOUND_LIMIT, inspect
from mta.lookup.compile import compile_table
from mta.lookup.syntax import parse


def found(table: str) -> list[str]:
    return [f"{it.severity}: {it.text}" for it in inspect(parse(table))]


def test_sound_tables(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\n")
    compile_table(f"{tmp_path}/text")
    (tmp_path / "rules").write_text("if /a/\n/b/ c\nendif\n")
    (tmp_path / "networks").write_text("192.0.2.0/24 a\n")
    tables = f"texthash:{tmp_path}/text, cdb:{tmp_path}/text, pcre:{tmp_path}/rules"
    more = f"regexp:{tmp_path}/rules, cidr:{tmp_path}/networks, static:a, inline:{{a=b}}"
    assert found(f"unionmap:{{{tables}, {more}, pcre:{{{{/a/ b}}}}}}") == []


@pytest.mark.parametrize("kind", ["texthash", "cdb"])
def test_all_lines_that_are_wrong(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text"
    path.write_text("a b\n")
    compile_table(str(path))
    path.write_text('a b\nc\n  # comment\nd e\n  continued\n"x y\nA again\n')
    os.utime(path, (0, 0))
    assert found(f"{kind}:{path}") == [
        f"error: {path}:2:2: expected KEY WHITE-SPACE VALUE, got no value",
        f"error: {path}:6:1: expected a second double quote",
        f'warning: {path}:7:3: expected each key once, got "a" again; the one in line 1 counts',
    ]


def test_all_rules_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text("/a(/ b\n/b/\nif /c/\n/d/q e\nendif\nendif\nif /f/\n/g/ $1\n")
    texts = found(f"pcre:{path}")
    lines = [text.removeprefix(f"error: {path}:").partition(":")[0] for text in texts]
    assert lines == ["1", "2", "4", "6", "8", "7"]
    (tmp_path / "networks").write_text("1.2.3.4/8 a\nx b\n")
    assert len(found(f"cidr:{tmp_path}/networks")) == 2


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x\n" * (FOUND_LIMIT + 7))
    texts = found(f"texthash:{tmp_path}/text")
    assert len(texts) == FOUND_LIMIT + 1
    assert texts[-1] == f"error: {tmp_path}/text: 7 more errors"


def test_compiled_table(tmp_path: Path) -> None:
    """Damage anywhere is found, though no look-up may come upon it for years."""
    path = tmp_path / "text"
    path.write_text("".join(f"key{n} value{n}\n" for n in range(2000)))
    compile_table(str(path))
    compiled = tmp_path / "text.cdb"
    whole = compiled.read_bytes()
    later = compiled.stat().st_mtime_ns + 1
    os.utime(path, ns=(later, later))
    way_out = f"run mta map build cdb:{path}"
    assert found(f"cdb:{path}") == [f"warning: {path} is newer than {compiled}: {way_out}"]
    os.utime(path, (0, 0))
    compiled.write_bytes(whole[:10_000] + bytes([whole[10_000] ^ 1]) + whole[10_001:])
    (text,) = found(f"cdb:{path}")
    assert text == (
        f"error: cdb:{path}: {compiled}: it is damaged at octets 8192 to 12287: {way_out}"
    )
    compiled.unlink()
    assert found(f"cdb:{path}") == [
        f"error: cdb:{path}: {compiled}: there is no such file: {way_out}"
    ]


def test_table_needs_no_source(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\n")
    compile_table(f"{tmp_path}/text")
    (tmp_path / "text").unlink()
    assert found(f"cdb:{tmp_path}/text") == []


def test_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "query").write_text(f"dbpath = {tmp_path}/db\nquery = SELECT v FROM t\n")
    assert found(f"sqlite:{tmp_path}/query") == [
        f"error: sqlite:{tmp_path}/query: {tmp_path}/db: No such file or directory"
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as made:
        made.execute("CREATE TABLE t (v TEXT)")
        made.commit()
    assert found(f"sqlite:{tmp_path}/query") == []
    assert found("socketmap:localhost:25") == [
        (
            "error: socketmap:localhost:25: expected inet:HOST:PORT:NAME or unix:/PATH:NAME, got "
            '"localhost:25"'
        )
    ]
    assert found(f"texthash:{tmp_path}") == [f"error: {tmp_path}: expected a file, got a directory"]
    assert found(f"cidr:{tmp_path}/none") == [f"error: {tmp_path}/none: No such file or directory"]
    (text,) = found("pcre:{{/a(/ b}}")
    assert text.startswith("error: pcre:{...}:1:4: missing closing parenthesis")
