"""`mta map`: tables built, asked and checked by an operator."""

import contextlib
import io
import json
import sqlite3
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import RunMta
from support.configuration import ConfigurationFolder

from mta.commands import progress
from mta.commands.main import mta
from mta.commands.progress import Percents
from mta.lookup.constant import ConstantTable


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "virtual"
    path.write_text("bob@example.org bob@example.net\nBOB@example.org other\nann ann@a.test\n")
    return path


def test_build(run_mta: RunMta, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its name as a parameter has it, or as the file's; the same again changes nothing."""
    monkeypatch.chdir(source.parent)
    for name in (f"cdb:{source}", "virtual"):
        result = run_mta("map", "build", name)
        assert result.stdout == f"{source}.cdb: 2 keys\n"
        assert result.stderr == (
            f'{source}:2: warning: expected each key once, got "bob@example.org" again; the one in '
            "line 1 counts\n"
        )
    assert ConstantTable(str(source)).find("Bob@example.org") == "bob@example.net"
    assert json.loads(run_mta("map", "build", "--json", "virtual").stdout) == [
        {
            "table": f"cdb:{source}",
            "file": f"{source}.cdb",
            "keys": 2,
            "repeated": [{"key": "bob@example.org", "line": 2, "first": 1}],
        }
    ]


def test_build_of_what_is_wrong(run_mta: RunMta, source: Path, tmp_path: Path) -> None:
    """The old table stays, the others are built, and the status is the worst one's."""
    run_mta("map", "build", str(source))
    source.write_text("bob@example.org\n")
    (tmp_path / "sound").write_text("a b\n")
    result = run_mta("map", "build", str(source), str(tmp_path / "sound"), status=65)
    assert result.stderr == f"mta: {source}:1:16: expected KEY WHITE-SPACE VALUE, got no value\n"
    assert result.stdout == f"{tmp_path}/sound.cdb: 1 keys\n"
    assert ConstantTable(str(source)).find("ann") == "ann@a.test"
    result = run_mta("map", "build", f"{tmp_path}/none", status=66)
    assert f"{tmp_path}/none: No such file or directory" in result.stderr
    assert "only such tables are built" in run_mta("map", "build", "static:a", status=64).stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("pause", [0.0, 3600.0])
def test_how_far_a_long_build_is(monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    """Percents, that are gone at the end; of what is done at once none."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PAUSE", pause)
    with Percents("/etc/virtual") as percents:
        percents.tell(10, 40)
    shown = "\r/etc/virtual: 25 % ...\x1b[K\r\x1b[K"
    assert terminal.getvalue() == ("" if pause else shown)


def test_query_of_a_table(run_mta: RunMta, source: Path) -> None:
    run_mta("map", "build", str(source))
    table = f"cdb:{source}"
    assert run_mta("map", "query", table, "ann").stdout == "ann@a.test\n"
    assert run_mta("map", "query", table, "nobody", status=1).stdout == ""
    several = run_mta("map", "query", table, "ann", "nobody", "bob@example.org", status=1)
    assert several.stdout == "ann\tann@a.test\nbob@example.org\tbob@example.net\n"
    assert json.loads(
        run_mta("map", "query", "--json", table, "ann", "nobody", status=1).stdout
    ) == [
        {"key": "ann", "value": "ann@a.test"},
        {"key": "nobody", "value": None},
    ]


def test_query_from_standard_input(folder: ConfigurationFolder) -> None:
    command = ["-c", str(folder.directory), "map", "query", "inline:{a=b, c=d}", "-"]
    result = CliRunner().invoke(mta, command, input=b"a\n\nc\n")
    assert (result.exit_code, result.stdout) == (0, "a\tb\nc\td\n")
    result = CliRunner().invoke(mta, command, input=b"\xff\xfe\n")
    assert (result.exit_code, result.stdout) == (1, "")


def test_query_of_a_parameter(run_mta: RunMta, folder: ConfigurationFolder) -> None:
    """As main.yml names them now, in force or not, and whatever else is wrong in it."""
    folder.main("nonsense: 1\nvirtual_alias_maps: ['inline:{a=first}', 'inline:{a=b, c=d}']\n")
    assert run_mta("map", "query", "virtual_alias_maps", "a").stdout == "first\n"
    assert run_mta("map", "query", "virtual_alias_maps", "c").stdout == "d\n"
    assert "names no tables" in run_mta("map", "query", "canonical_maps", "a", status=78).stderr
    assert "expected TYPE:NAME" in run_mta("map", "query", "myhostname", "a", status=64).stderr


def test_query_of_a_database(run_mta: RunMta, tmp_path: Path) -> None:
    (tmp_path / "cf").write_text(
        f"dbpath = {tmp_path}/db\nquery = SELECT v FROM t WHERE k = '%s'\n"
    )
    failed = run_mta("map", "query", f"sqlite:{tmp_path}/cf", "a", status=75)
    assert failed.stderr == f"mta: sqlite:{tmp_path}/cf: {tmp_path}/db: No such file or directory\n"
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as made:
        made.execute("CREATE TABLE t AS SELECT 'a' AS k, 'b\x1b[31m' AS v")
        made.commit()
    # What could steer a terminal is escaped.
    assert run_mta("map", "query", f"sqlite:{tmp_path}/cf", "a").stdout == "b\\x1b[31m\n"


def test_check(run_mta: RunMta, source: Path) -> None:
    result = run_mta("map", "check", f"texthash:{source}", "static:a")
    assert result.stdout == f"texthash:{source}: can be used\nstatic:a: can be used\n"
    warning = f'{source}:2:17: expected each key once, got "bob@example.org" again'
    assert result.stderr.startswith(f"warning: {warning}")
    source.write_text("bob\n")
    result = run_mta("map", "check", f"texthash:{source}", "static:a", status=65)
    error = f"{source}:1:4: expected KEY WHITE-SPACE VALUE, got no value"
    assert (result.stdout, result.stderr) == ("static:a: can be used\n", f"{error}\n")
    told = json.loads(run_mta("map", "check", "--json", f"texthash:{source}", status=65).stdout)
    assert told == [{"table": f"texthash:{source}", "errors": [error], "warnings": []}]


@pytest.mark.parametrize("verb", ["build", "query", "check"])
def test_what_is_no_table(run_mta: RunMta, verb: str) -> None:
    assert "expected" in run_mta("map", verb, "hash:/etc/aliases", "x", status=64).stderr
