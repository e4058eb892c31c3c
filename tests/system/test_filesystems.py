"""The power cut on real file systems can find what it looks for: a daemon that lies about fsync."""

import os
import sys
from pathlib import Path

import pytest
from reliability.filesystems import lying
from reliability.filesystems.device import loop_device
from reliability.filesystems.filesystems import FILE_SYSTEMS
from reliability.filesystems.medium import served_medium
from reliability.filesystems.prove import prove_on
from reliability.proof import Run
from reliability.run import prepared_folder

pytestmark = pytest.mark.requires("root", "/dev/fuse", "/dev/loop-control")

CUTS = 6  # two of them right after a 250
BLOCK = 4096


@pytest.mark.parametrize(
    ("row", "how", "found"),
    [
        ("cleanup", "never", "neither queued nor delivered"),
        ("cleanup", "late", "neither queued nor delivered"),
        ("virtual", "never", "no whole message"),
    ],
)
def test_a_missing_fsync_is_found(row: str, how: str, found: str) -> None:
    command = [sys.executable, "-I", lying.__file__, how, f"mta.daemons.{row}"]
    ext4 = [kind for kind in FILE_SYSTEMS if kind.name == "ext4"]
    with prepared_folder(Path("/var/tmp")) as folder:
        run = Run(1, CUTS, folder, lambda *_: None)
        report = prove_on(run, ext4, {row: {"command": command}})
    assert any(found in failure for failure in report.failures), report


def test_a_flush_of_the_device_reaches_the_log(tmp_path: Path) -> None:
    with served_medium(tmp_path / "medium", 1 << 20) as medium:
        backing = os.open(medium.path, os.O_RDWR)
        with loop_device(backing, direct=True) as device:
            disk = os.open(device, os.O_RDWR)
            os.pwrite(disk, b"x" * BLOCK, BLOCK)
            os.fsync(disk)
            position = medium.position
            os.close(disk)
            history = medium.history()
            holder = Path("/sys/block", Path(device).name, "loop/backing_file")
            assert holder.read_text().strip() == str(medium.path)
        os.close(backing)
        (write,) = history.writes(0, history.covered(position))
        assert (write.offset, bytes(write.data)) == (BLOCK, b"x" * BLOCK)
    assert not holder.exists() or str(medium.path) not in holder.read_text()
    assert str(medium.path) not in Path("/proc/self/mounts").read_text()
