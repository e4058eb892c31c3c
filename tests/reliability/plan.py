"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability import clock, powercut, soak, storage, torture
from reliability.corruption import trial as corruption
from reliability.disk import prove as disk
from reliability.faults import FAULTS
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        name="torture",
        claim="A message that was acknowledged survives the death of any process.",
        unit="deaths",
        size=3000,
        short=60,
        prove=torture.prove,
        needs=("strace",),
    ),
    Proof(
        name="powercut",
        claim="Whatever a power cut may leave of a run, nothing acknowledged is missing.",
        unit="starts",
        size=3000,
        short=12,
        prove=powercut.prove,
        needs=("strace",),
    ),
    Proof(
        name="filesystems",
        claim="After a power cut ext4, xfs and btrfs still hold whatever was acknowledged.",
        unit="cuts",
        size=900,
        short=6,
        prove=disk.prove,
        needs=("root", "/dev/fuse", "/dev/loop-control", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"),
    ),
    FAULTS,
    Proof(
        name="fulldisk",
        claim="A full, sick or read-only disk refuses mail for now or lets it wait: none is lost.",
        unit="faults",
        size=64,
        short=4,
        prove=storage.prove,
        needs=("root", "mkfs.ext4", "mount", "strace"),
    ),
    Proof(
        name="corruption",
        claim="What lies in the queue harms no message beside it, is not delivered damaged, and "
        "is not lost.",
        unit="damaged files",
        size=corruption.FULL,
        short=600,
        prove=corruption.prove,
    ),
    Proof(
        name="clock",
        claim="A clock that is set by years, or a machine that sleeps, loses, repeats, delays and "
        "returns nothing.",
        unit="jumps",
        size=150,
        short=10,
        prove=clock.prove,
    ),
    Proof(
        name="soak",
        claim="In a long run with reloads, kills and faults nothing grows: no memory, "
        "descriptors, processes or temporary files; and the log has no gap.",
        unit="seconds",
        size=3600,
        short=60,
        prove=soak.prove,
        needs=("strace",),
    ),
)
