"""The copy of the code that root runs: whole, open to all, and made once for each content."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "roles" / "runtime" / "files" / "install_code.py"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small source tree, made under a mask that shuts others out."""
    tree = tmp_path / "source"
    for name, text in (("mta/__init__.py", "x = 1\n"), ("mta/sub/a.py", ""), ("templates/t", "t")):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    (tree / "mta" / "__pycache__").mkdir()
    (tree / "mta" / "__pycache__" / "stale.pyc").touch()
    (tree / "README").touch()
    return tree


def install(source: Path, destination: Path, status: int = 0) -> tuple[str, Path]:
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, source, destination],
        capture_output=True,
        text=True,
        umask=0o077,
        check=False,
    )
    assert done.returncode == status, done.stderr
    word, _, path = done.stdout.rstrip("\n").partition(" ")
    return word, Path(path)


def test_a_copy_is_whole_compiled_and_open_to_all(source: Path, tmp_path: Path) -> None:
    word, copy = install(source, tmp_path / "code")
    assert word == "installed"
    assert copy.parent == tmp_path / "code"
    files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    compiled = {name for name in files if name.endswith(".pyc")}
    assert files - compiled == {"mta/__init__.py", "mta/sub/a.py", "templates/t"}
    assert len(compiled) == 2
    for path in (copy, *copy.rglob("*")):
        assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644), path
    assert [path for path in copy.parent.iterdir() if path != copy] == []


def test_the_same_content_is_installed_once(source: Path, tmp_path: Path) -> None:
    _, copy = install(source, tmp_path / "code")
    (source / "mta" / "__init__.py").touch()
    (source / "README").write_text("not code")
    assert install(source, tmp_path / "code") == ("present", copy)


def test_other_content_lies_beside_it_and_the_oldest_goes(source: Path, tmp_path: Path) -> None:
    copies = []
    for number in range(4):
        (source / "mta" / "__init__.py").write_text(f"x = {number}\n")
        copies.append(install(source, tmp_path / "code")[1])
        os.utime(copies[-1], (number, number))
    assert len(set(copies)) == 4
    assert set((tmp_path / "code").iterdir()) == set(copies[2:])


def test_what_is_removed_from_the_source_is_not_installed(source: Path, tmp_path: Path) -> None:
    install(source, tmp_path / "code")
    shutil.rmtree(source / "mta" / "sub")
    _, copy = install(source, tmp_path / "code")
    assert not (copy / "mta" / "sub").exists()


def test_a_failure_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    (source / "mta" / "link").symlink_to("/proc/self/mem")  # a file that cannot be read
    install(source, tmp_path / "code", status=1)
    assert list((tmp_path / "code").iterdir()) == []
