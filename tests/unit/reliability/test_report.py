"""The page has a place for each proof; a run fills its own."""

from pathlib import Path

import msgspec
import pytest
from reliability.plan import PROOFS
from reliability.proof import Proof, Table
from reliability.report import Result, as_json, as_markdown, insert

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"

RESULT = Result(
    "torture",
    "claim",
    "make torture",
    "2026-01-01",
    90.0,
    "2 cores",
    {"killed": "3"},
    [Table("Stages", ("row", "deaths"), (("a|b", "1"),))],
    ["lost: one\nof them"],
)


def test_for_people() -> None:
    text = as_markdown(RESULT)
    assert "`make torture`, 2026-01-01, 1.5 minutes; 2 cores." in text
    assert "| killed | 3 |" in text
    assert "| a\\|b | 1 |" in text
    assert "- lost: one of them" in text


def test_for_programs() -> None:
    assert msgspec.json.decode(as_json(RESULT), type=Result) == RESULT


def test_a_run_fills_its_own_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- figures: x -->\nold\n<!-- end -->\nb\n<!-- figures: y -->\n<!-- end -->\n"
    )
    for _ in range(2):
        insert(page, "x", "new \\1\n")
    assert page.read_text() == (
        "a\n<!-- figures: x -->\n\nnew \\1\n\n<!-- end -->\nb\n<!-- figures: y -->\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="expected a line"):
        insert(page, "z", "")


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_each_proof_has_its_place_and_its_command(proof: Proof) -> None:
    name = proof.name
    assert f"<!-- figures: {name} -->\n" in PAGE.read_text()
    assert f"`make {name}`" in PAGE.read_text()
    assert name in (PAGE.parents[1] / "Makefile").read_text()
