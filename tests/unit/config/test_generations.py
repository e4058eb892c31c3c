"""Generations on disk: numbered, whole, never changed, and only as many as are of use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.configuration import SERVICES, ConfigurationFolder

from mta.config.generations import Rendered, write_generation
from mta.config.snapshot import load_snapshot

NOW = 1_700_000_000.0


@pytest.fixture
def config(folder: ConfigurationFolder) -> Path:
    """The folder of generations."""
    path = folder.queue / "config"
    path.mkdir(parents=True)
    return path


def write(folder: ConfigurationFolder, in_force: int | None = None) -> Rendered:
    return write_generation(folder.compile(), NOW, in_force)


def names(config: Path) -> set[str]:
    return {path.name for path in config.iterdir()}


def test_first_generation_is_what_daemons_load(folder: ConfigurationFolder, config: Path) -> None:
    assert write(folder) == Rendered(1, ("first generation",))
    assert names(config) == {"1.json", "supervisord.conf"}
    snapshot = load_snapshot(1, str(config))
    assert snapshot.created == NOW
    assert snapshot.python == sys.executable
    assert snapshot.parameters.myhostname == "posthouse.test"
    assert snapshot.service("smtp").listen == ("inet:127.0.0.1:2525",)
    assert {path.stat().st_mode & 0o777 for path in config.iterdir()} == {0o644}


def test_nothing_is_written_when_nothing_changed(folder: ConfigurationFolder, config: Path) -> None:
    folder.services(SERVICES.replace("}", ", settings: {mynetworks: [], smtpd_timeout: 5}}"))
    write(folder)
    before = _written(config)
    folder.main("# a comment changes nothing\n")
    assert write(folder) == Rendered(1, ())
    assert _written(config) == before


def _written(config: Path) -> dict[Path, tuple[int, int, int]]:
    """What each file is and when it was written; reading one changes only when it was read."""
    found = {path: path.stat() for path in config.iterdir()}
    return {path: (it.st_ino, it.st_ctime_ns, it.st_size) for path, it in found.items()}


def test_changes_are_named(folder: ConfigurationFolder, config: Path) -> None:
    write(folder)
    folder.main("hopcount_limit: 9\n")
    folder.services(
        """\
profile: hub
services:
  smtp: {listen: ["inet:127.0.0.1:2526"]}
  virtual: {enabled: false}
  submission: {daemon: smtpd, listen: ["inet:127.0.0.1:2587"]}
"""
    )
    assert write(folder).changes == (
        "services added: submission",
        "services removed: virtual",
        "services changed: smtp",
        "parameters changed: hopcount_limit",
    )
    assert "generation=2\n" in (config / "supervisord.conf").read_text()


def test_ten_are_kept_and_the_one_in_force(folder: ConfigurationFolder, config: Path) -> None:
    """A running master starts daemons from its own generation, however old that is."""
    for limit in range(1, 14):
        folder.main(f"hopcount_limit: {limit}\n")
        write(folder, in_force=2)
    kept = {2, *range(4, 14)}
    assert names(config) == {f"{number}.json" for number in kept} | {"supervisord.conf"}


def test_damaged_generation_is_replaced_by_the_next(
    folder: ConfigurationFolder, config: Path
) -> None:
    write(folder)
    (config / "1.json").write_text("{")
    assert write(folder).generation == 2
    assert load_snapshot(2, str(config)).generation == 2


def test_lost_conf_is_written_again(folder: ConfigurationFolder, config: Path) -> None:
    write(folder)
    conf = (config / "supervisord.conf").read_text()
    (config / "supervisord.conf").write_text("half")
    assert write(folder) == Rendered(1, ())
    assert (config / "supervisord.conf").read_text() == conf


def test_generation_that_cannot_be_stored_leaves_the_old_one(
    folder: ConfigurationFolder, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder)
    before = (config / "supervisord.conf").read_text()
    folder.main("hopcount_limit: 9\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(folder)
    assert "2.json" not in names(config)
    assert (config / "supervisord.conf").read_text() == before


def test_every_file_is_on_stable_storage_before_it_has_its_name(
    folder: ConfigurationFolder, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def traced_fsync(descriptor: int) -> None:
        calls.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def traced_rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        calls.append(f"rename {target}")
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    write(folder)
    assert calls == [
        *("fsync .1.json.new", "rename 1.json", "fsync config"),
        *("fsync .supervisord.conf.new", "rename supervisord.conf", "fsync config"),
    ]


def test_two_renderings_at_once_make_two_generations(
    folder: ConfigurationFolder, config: Path
) -> None:
    """Processes, for a lock is between processes: every one writes a different value."""
    script = (
        "import sys; from mta.config.compile import compile_configuration;"
        "from mta.config.generations import write_generation;"
        "print(write_generation(compile_configuration(sys.argv[1]), 0.0).generation)"
    )
    runs = []
    for limit in range(1, 5):
        folder.main(f"hopcount_limit: {limit}\n")
        other = folder.directory.parent / f"etc{limit}"
        other.mkdir()
        for path in folder.directory.iterdir():
            (other / path.name).write_text(path.read_text())
        command = [sys.executable, "-I", "-c", script, str(other)]
        runs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    numbers = sorted(int(run.communicate(timeout=30)[0]) for run in runs)
    assert numbers == [1, 2, 3, 4]
    found = {json.loads((config / f"{n}.json").read_text())["generation"] for n in numbers}
    assert found == {1, 2, 3, 4}
