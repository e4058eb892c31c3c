"""The program as it is called: what it refuses before it starts anything, and with which status."""

import os
from pathlib import Path

import msgspec
import pytest
from bench.figures import Machine, Results
from bench.run import main
from click.testing import CliRunner, Result

NOTHING = Results(
    "2026-01-02",
    Machine("A processor", 2, 2**30, "6.1", "A system", "ext4", 0.0, "3.11", "0.1.0", "3.7"),
    quick=False,
    pairs=5,
    minutes=0.0,
    commands=(),
    measures=(),
    failures=(),
)


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_names_are_listed() -> None:
    listed = bench("--list")
    assert listed.exit_code == 0
    assert {"relay-4k", "backlog-100000", "budget"} <= set(listed.output.split())
    assert bench("--list", "budget", "relay-4*").output.split() == ["relay-4k", "budget"]


def test_unknown_name_is_a_wrong_command_line() -> None:
    refused = bench("relay-5k")
    assert refused.exit_code == os.EX_USAGE
    assert "no experiment relay-5k" in refused.stderr


def test_an_ordinary_user_is_told_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = bench("budget")
    assert refused.exit_code == os.EX_NOPERM
    assert "root" in refused.stderr


@pytest.mark.parametrize(("failures", "status"), [((), 0), (("budget: too dear",), 1)])
def test_an_earlier_run_is_reported(tmp_path: Path, failures: tuple[str, ...], status: int) -> None:
    raw = tmp_path / "raw.json"
    raw.write_bytes(msgspec.json.encode(msgspec.structs.replace(NOTHING, failures=failures)))
    done = bench("--from", str(raw), "--output", str(tmp_path / "report"))
    assert done.exit_code == status
    assert (tmp_path / "report" / "README.md").read_text().startswith("# Benchmarks")
