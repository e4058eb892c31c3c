"""Where `make` puts what it makes: beside the clone, or, for root, where daemons can use it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"

pytestmark = pytest.mark.requires("make")


@pytest.fixture
def clone(short_path: Path) -> Path:
    """As much of a clone as the decision looks at; all users get through to it."""
    folder = short_path / "posthouse"
    (folder / "mta").mkdir(parents=True)
    shutil.copy(MAKEFILE, folder)
    return folder


def make(clone: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-C",
            clone,
            "--eval=show: ; @echo '$(LOCAL)' '$(CLONE)'",
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_all_lies_in_the_clone(clone: Path) -> None:
    assert make(clone, "show").split() == [str(clone / ".local"), str(clone)]
    make(clone, "place")
    assert not os.path.lexists(clone / ".local")


@pytest.mark.requires("root")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda clone: clone.chmod(0o700),
        lambda clone: clone.parent.chmod(0o700),
        lambda clone: (clone / "mta").chmod(0o700),
        lambda clone: clone.chmod(0o777),
        lambda clone: shutil.chown(clone / "mta", "nobody"),
        lambda clone: [shutil.chown(clone, group="nogroup"), clone.chmod(0o775)],
    ],
    ids=["private", "in a private folder", "private code", "open", "another's", "a group's"],
)
def test_root_goes_elsewhere(clone: Path, spoil: Callable[[Path], object]) -> None:
    """Daemons could not read it, or somebody else could change what root runs."""
    spoil(clone)
    local, code = make(clone, "show").split()
    assert local.startswith("/var/lib/posthouse-")
    assert code == f"{local}/clone"
    assert make(clone, "show").split() == [local, code], "the same place each time"


@pytest.mark.requires("root")
def test_the_clone_leads_to_the_place(clone: Path) -> None:
    elsewhere = clone.parent / "elsewhere"
    clone.chmod(0o700)
    for _ in range(2):
        make(clone, "place", f"ELSEWHERE={elsewhere}")
        assert (clone / ".local").readlink() == elsewhere
        assert elsewhere.stat().st_mode & 0o7777 == 0o755


@pytest.mark.requires("root")
def test_the_folder_of_another_user_is_not_touched(clone: Path) -> None:
    (clone / ".local").mkdir()
    refused = make(clone, "place", f"ELSEWHERE={clone.parent}/elsewhere", status=2)
    assert "make clean, as the user who made it." in refused
    assert not (clone.parent / "elsewhere").exists()
