"""`mta config schema`: schemas on the terminal, or beside the files."""

import json
import os
from pathlib import Path

import pytest
from support.commands import RunMta

from mta.config.schema import main_schema, services_schema


@pytest.mark.parametrize(
    ("name", "schema"), [("main", main_schema()), ("services", services_schema())]
)
def test_one_schema_is_printed(run_mta: RunMta, name: str, schema: object) -> None:
    assert json.loads(run_mta("config", "schema", name).stdout) == schema


def test_schemas_are_written_under_the_names_that_the_files_name(
    run_mta: RunMta, tmp_path: Path
) -> None:
    for _ in range(2):  # a second time, over the first
        assert run_mta("config", "schema", "--output", str(tmp_path)).stdout == ""
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"main.schema.json", "services.schema.json"}
    assert json.loads((tmp_path / "main.schema.json").read_text()) == main_schema()
    assert (tmp_path / "services.schema.json").stat().st_mode & 0o777 == 0o644


def test_one_of_them_is_written(run_mta: RunMta, tmp_path: Path) -> None:
    run_mta("config", "schema", "services", "--output", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["services.schema.json"]


def test_which_one_must_be_said(run_mta: RunMta) -> None:
    assert "main or services?" in run_mta("config", "schema", status=os.EX_USAGE).stderr
    assert "'rows'" in run_mta("config", "schema", "rows", status=os.EX_USAGE).stderr


def test_a_folder_that_does_not_exist_is_named(run_mta: RunMta, tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    result = run_mta("config", "schema", "--output", str(folder), status=os.EX_USAGE)
    assert f"'{folder}' does not exist" in result.stderr


def test_what_was_there_stays_where_the_new_one_cannot_be_put(
    run_mta: RunMta, tmp_path: Path
) -> None:
    (tmp_path / "main.schema.json").mkdir()
    run_mta("config", "schema", "--output", str(tmp_path), status=os.EX_OSERR)
    assert [path.name for path in tmp_path.iterdir()] == ["main.schema.json"]
