"""Tables that parameters name: what is wrong with them is told before a daemon finds it."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from support.configuration import ConfigurationFolder
from support.users import STRANGER, attempt_as

from mta.config.parameters import Parameters
from mta.config.tables import TABLE_PARAMETERS
from mta.lookup.compile import compile_table

QUERY = "SELECT target FROM aliases WHERE address = '%s'"


def warnings(folder: ConfigurationFolder) -> list[str]:
    return [str(problem) for problem in folder.compile().warnings]


def test_every_parameter_of_tables_is_judged() -> None:
    named = {name for name in Parameters.__struct_fields__ if name.endswith("_maps")}
    assert set(TABLE_PARAMETERS) == named


def test_sound_tables(folder: ConfigurationFolder, tmp_path: Path) -> None:
    """One of each type: nothing is said."""
    (tmp_path / "text").write_text("a b\n")
    compile_table(f"{tmp_path}/text")
    (tmp_path / "rules").write_text("/a/ b\n")
    (tmp_path / "networks").write_text("192.0.2.0/24 b\n")
    (tmp_path / "query").write_text(f"dbpath = {tmp_path}/db\nquery = {QUERY}\n")
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as made:
        made.execute("CREATE TABLE aliases (address TEXT, target TEXT)")
        made.commit()
    names = {"text": "texthash cdb", "rules": "pcre regexp", "networks": "cidr", "query": "sqlite"}
    tables = [
        f"{kind}:{tmp_path}/{file}" for file, kinds in names.items() for kind in kinds.split()
    ]
    tables += ["inline:{a=b}", "static:b", "socketmap:inet:localhost:2000:aliases"]
    tables.append(f"unionmap:{{{tables[0]}, pipemap:{{static:a, {tables[1]}}}}}")
    listed = "".join(f"  - '{table}'\n" for table in tables)
    folder.main(f"canonical_maps:\n{listed}")
    assert warnings(folder) == []


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            "hash:/etc/aliases",
            (
                "at character 1: expected TYPE:NAME with a type of aliases, cdb, cidr, inline, "
                "pcre, pipemap, regexp, socketmap, sqlite, static, texthash, unionmap, unix, "
                'got "hash"'
            ),
        ),
        ("inline:{a}", "at character 10: expected = after the key, got nothing"),
        (
            "socketmap:localhost:2000",
            "expected inet:HOST:PORT:NAME or unix:/PATH:NAME, got",
        ),
        ("texthash:HERE/none", "got texthash:HERE/none: No such file or directory"),
        (
            "cdb:HERE/none",
            (
                "got cdb:HERE/none: HERE/none.cdb: there is no such file: run mta map build "
                "cdb:HERE/none"
            ),
        ),
        ("texthash:HERE", "got texthash:HERE: expected a file, got a directory"),
        ("texthash:HERE/bad", "got HERE/bad:2:2: expected KEY WHITE-SPACE VALUE, got no value"),
        ("unionmap:{static:a, texthash:HERE/bad}", "got HERE/bad:2:2: expected KEY"),
        ("pcre:HERE/bad", "got HERE/bad:1:1: expected /PATTERN/FLAGS RESULT"),
        ("regexp:{{/a(/ b}}", "expected a closing parenthesis"),
        ("cidr:{{192.0.2.1/24 b}}", "perhaps 192.0.2.0/24 is meant"),
        ("sqlite:HERE/bad", "got HERE/bad:1:1: expected NAME = VALUE"),
        ("sqlite:HERE/query", "got sqlite:HERE/query: HERE/db: No such file or directory"),
    ],
)
def test_table_that_is_wrong(
    folder: ConfigurationFolder, tmp_path: Path, table: str, problem: str
) -> None:
    """The place is that of the item in main.yml; a file's own place comes with what is wrong."""
    (tmp_path / "bad").write_text("key value\nx\n")
    (tmp_path / "query").write_text(f"dbpath = {tmp_path}/db\nquery = {QUERY}\n")
    named = table.replace("HERE", str(tmp_path))
    folder.main(f"virtual_alias_maps:\n  - static:a\n  - '{named}'\n")
    (found,) = folder.problems()
    assert found.startswith("main.yml:7:5: main.virtual_alias_maps[1]: expected ")
    assert problem.replace("HERE", str(tmp_path)) in found


def test_table_of_a_row(folder: ConfigurationFolder, tmp_path: Path) -> None:
    folder.services(
        "profile: hub\nservices:\n  rewrite:\n    settings:\n"
        f"      canonical_maps: ['texthash:{tmp_path}/none']\n"
    )
    (found,) = folder.problems()
    assert found.startswith("services.yml:5:24: services.rewrite.settings.canonical_maps[0]: ")


def test_source_that_is_newer(folder: ConfigurationFolder, tmp_path: Path) -> None:
    """An operator has edited, and not built: mail goes by the old table."""
    source = tmp_path / "virtual"
    source.write_text("a b\n")
    compile_table(str(source))
    later = os.stat(f"{source}.cdb").st_mtime_ns + 1
    os.utime(source, ns=(later, later))
    folder.main(f"virtual_alias_maps: ['cdb:{source}']\n")
    (found,) = warnings(folder)
    assert found.endswith(
        f"main.virtual_alias_maps[0]: expected a table that is as new as its source, {source}, got "
        f"an older one; run mta map build cdb:{source}"
    )


def test_table_that_blocks_needs_the_row_for_it(folder: ConfigurationFolder) -> None:
    folder.main("canonical_maps: ['socketmap:inet:localhost:2000:a']\n")
    folder.services("profile: hub\nservices:\n  lookup: {enabled: false}\n")
    (found,) = folder.problems()
    assert "main.canonical_maps[0]: expected a table that daemons can read themselves" in found
    assert "enable a row that listens on ipc:private/lookup" in found


@pytest.mark.requires("root")
def test_table_that_is_another_users(folder: ConfigurationFolder, short_path: Path) -> None:
    """The daemon may read it: who checks the configuration need not."""
    table = short_path / "secret"
    table.write_text("a b\n")
    table.chmod(0o600)
    folder.main(f"canonical_maps: ['texthash:{table}']\n")
    assert warnings(folder) == []
    for path in (folder.directory, *folder.directory.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o005)
    check = (
        "__import__('mta.config.compile').config.compile.compile_configuration"
        f"({str(folder.directory)!r}).warnings[0].found"
    )
    assert attempt_as(STRANGER, check, short_path) == f"texthash:{table}: Permission denied"
