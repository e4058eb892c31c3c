"""The benchmark of tables: it runs, small, and says what it found."""

from pathlib import Path

import msgspec
from bench.lookup import Costs, main
from click.testing import CliRunner


def test_a_small_run(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    done = CliRunner().invoke(main, ["--entries", "2000", "--lookups", "500", "--json", str(raw)])
    assert done.exit_code == 0, done.output
    costs = msgspec.json.decode(raw.read_bytes(), type=Costs)
    assert costs.entries == 2000
    assert 1 <= costs.reading.calls <= 4
    assert "table          2000 entries" in done.stdout
