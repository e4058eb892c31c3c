"""Generations on disk: numbered, whole, never changed, and only as many as are of use."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.configuration import SERVICES, ConfigurationFolder

import mta
from mta.config.errors import LockedError, SnapshotError
from mta.config.generations import GenerationFolder
from mta.config.provenance import load_provenance
from mta.config.snapshot import load_snapshot
from mta.config.write import Rendered, write_generation

NOW = 1_700_000_000.0


@pytest.fixture
def config(folder: ConfigurationFolder) -> Path:
    """The folder of generations."""
    path = folder.queue / "config"
    path.mkdir(parents=True)
    return path


def write(folder: ConfigurationFolder, in_force: int | None = None) -> Rendered:
    with GenerationFolder(str(folder.queue)).locked() as locked:
        return write_generation(locked, folder.compile(), NOW, in_force)


def names(config: Path) -> set[str]:
    return {path.name for path in config.iterdir()}


def test_first_generation_is_what_daemons_load(folder: ConfigurationFolder, config: Path) -> None:
    assert write(folder) == Rendered(1, ("first generation",))
    assert names(config) == {"1.json", "1.origin.json", "supervisord.conf"}
    snapshot = load_snapshot(1, str(config))
    assert snapshot.created == NOW
    assert snapshot.python == sys.executable
    assert snapshot.parameters.myhostname == "posthouse.test"
    assert snapshot.service("smtp").listen == ("inet:127.0.0.1:2525",)
    modes = {path.name: path.stat().st_mode & 0o777 for path in config.iterdir()}
    assert modes == {"1.json": 0o644, "1.origin.json": 0o600, "supervisord.conf": 0o644}


def test_generation_keeps_what_it_was_made_from(folder: ConfigurationFolder, config: Path) -> None:
    """The texts to the last comment, and the place of each value that is not a default."""
    folder.main("# why\r\nhopcount_limit: 9\n")
    folder.services(
        """\
profile: hub
services:
  smtp: {listen: ["inet:127.0.0.1:2525"], settings: {smtpd_timeout: 1m}}
  virtual: {enabled: false}
"""
    )
    write(folder)
    found = load_provenance(1, str(config))
    assert found.directory == str(folder.directory)
    assert found.release == mta.__version__
    texts = {name: text.encode() for name, text in found.files.by_name().items()}
    assert texts == {path.name: path.read_bytes() for path in folder.directory.iterdir()}
    assert found.origins["main.hopcount_limit"] == "main.yml:6:17"
    assert "main.smtpd_timeout" not in found.origins
    assert found.origins["profile"] == "services.yml:1:10"
    of_smtp = {name: at for name, at in found.origins.items() if name.startswith("services.smtp")}
    assert of_smtp["services.smtp"] == "services.yml:3:9"
    assert of_smtp["services.smtp.listen"] == "services.yml:3:18"
    assert of_smtp["services.smtp.settings.smtpd_timeout"] == "services.yml:3:69"
    assert of_smtp["services.smtp.daemon"] == "profile hub"
    assert found.origins["services.virtual.enabled"] == "services.yml:4:22"
    assert "services.virtual" not in found.origins
    assert found.origins["services.qmgr"] == "profile hub"


def test_nothing_is_written_when_nothing_changed(folder: ConfigurationFolder, config: Path) -> None:
    folder.services(SERVICES.replace("}", ", settings: {mynetworks: [], smtpd_timeout: 5}}"))
    write(folder)
    before = _written(config)
    assert write(folder) == Rendered(1, ())
    assert _written(config) == before


def test_comment_makes_a_generation_that_changes_nothing_else(
    folder: ConfigurationFolder, config: Path
) -> None:
    """No number stands for two texts: what is rolled back to is what was there."""
    write(folder)
    first = (config / "1.origin.json").read_bytes()
    folder.main("# a comment\n")
    assert write(folder) == Rendered(2, ("files only: main.yml",))
    assert (config / "1.origin.json").read_bytes() == first
    assert load_provenance(2, str(config)).files.main.endswith("# a comment\n")


@pytest.mark.parametrize("damage", [None, "{", '{"directory": "/"}'])
def test_origin_that_is_lost_makes_a_generation_that_has_one(
    folder: ConfigurationFolder, config: Path, damage: str | None
) -> None:
    """As after an update from a release that wrote none."""
    write(folder)
    (config / "1.origin.json").unlink()
    if damage is not None:
        (config / "1.origin.json").write_text(damage)
    assert write(folder) == Rendered(2, ("files only: main.yml services.yml",))
    assert load_provenance(2, str(config)).files.services == SERVICES


def test_what_a_killed_rendering_left_is_removed(folder: ConfigurationFolder, config: Path) -> None:
    """What a number was made from without that generation, and files without their name."""
    (config / "7.origin.json").write_text("{}")
    (config / ".7.json.new").write_text("{")
    write(folder)
    assert names(config) == {"1.json", "1.origin.json", "supervisord.conf"}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b"\xff"), "invalid utf-8|malformed"),
        (lambda path: path.write_bytes(b"[]"), "Expected `object`"),
        (lambda path: path.write_bytes(b'{"files": {"passwd": ""}}'), "unknown field `passwd`"),
        (_large, "larger than"),
        (_pipe, "not a regular file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: None, "No such file"),
    ],
)
def test_origin_is_gossip(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "3.origin.json"
    make(path)
    with pytest.raises(SnapshotError, match=reason) as caught:
        load_provenance(3, str(tmp_path))
    assert str(caught.value).startswith(f"{path}: ")


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
  submission: {daemon: smtpd, user: mtanet, listen: ["inet:127.0.0.1:2587"]}
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
    wanted = {f"{number}{what}.json" for number in kept for what in ("", ".origin")}
    assert names(config) == wanted | {"supervisord.conf"}


def test_none_is_removed_while_it_is_not_known_which_is_in_force(
    folder: ConfigurationFolder, config: Path
) -> None:
    for limit in range(1, 14):
        folder.main(f"hopcount_limit: {limit}\n")
        with GenerationFolder(str(folder.queue)).locked() as locked:
            write_generation(locked, folder.compile(), NOW, prune=False)
    assert {f"{number}.json" for number in range(1, 14)} <= names(config)


def test_who_waits_for_the_lock_is_told(folder: ConfigurationFolder, config: Path) -> None:
    generations = GenerationFolder(str(folder.queue))
    with (
        generations.locked(),
        pytest.raises(LockedError, match="another command"),
        generations.locked(patience=0),
    ):
        pytest.fail("two have it")


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
        *("fsync .1.origin.json.new", "rename 1.origin.json", "fsync config"),
        *("fsync .1.json.new", "rename 1.json", "fsync config"),
        *("fsync .supervisord.conf.new", "rename supervisord.conf", "fsync config"),
    ]


def test_two_renderings_at_once_make_two_generations(
    folder: ConfigurationFolder, config: Path
) -> None:
    """Processes, for a lock is between processes: every one writes a different value."""
    script = (
        "import sys; from mta.config.compile import compile_configuration;"
        "from mta.config.generations import GenerationFolder;"
        "from mta.config.write import write_generation;"
        "configuration = compile_configuration(sys.argv[1]);"
        "folder = GenerationFolder(configuration.parameters.queue_directory).locked();"
        "print(write_generation(folder.__enter__(), configuration, 0.0).generation)"
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
