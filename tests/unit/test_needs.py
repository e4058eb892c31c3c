"""A test that cannot run here is seen: skipped with its reason, or failed where none may skip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SUITE = """
import pytest

@pytest.mark.requires("no-such-command")
def test_with_a_need() -> None:
    raise AssertionError("must not run")

def test_that_skips_by_itself() -> None:
    pytest.skip("a reason of its own")

@pytest.mark.xfail(reason="known", raises=AssertionError)
def test_known_to_fail() -> None:
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("require_all", "status", "verdict"),
    [("", 0, "2 skipped, 1 xfailed"), ("1", 1, "1 failed, 1 xfailed, 1 error")],
)
def test_skips(tmp_path: Path, require_all: str, status: int, verdict: str) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE)
    options = ["-p", "no:cacheprovider", "-ra", "-o", f"pythonpath={TESTS}", "--rootdir=."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        env={**os.environ, "REQUIRE_ALL": require_all},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert verdict in done.stdout.splitlines()[-1]
    assert "needs the command no-such-command" in done.stdout
    assert "a reason of its own" in done.stdout
