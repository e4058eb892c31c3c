"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability.clock.prove import prove as clock
from reliability.corruption.prove import FULL
from reliability.corruption.prove import prove as corruption
from reliability.faults.prove import prove as faults
from reliability.filesystems.prove import prove as filesystems
from reliability.fulldisk.prove import prove as fulldisk
from reliability.maildrop.client import NEEDS as NAMESPACES
from reliability.maildrop.prove import prove as maildrop
from reliability.powercut.prove import prove as powercut
from reliability.proof import Proof
from reliability.soak.prove import prove as soak
from reliability.torture.prove import prove as torture

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        name="torture",
        claim="A message that was acknowledged survives the death of any process.",
        unit="deaths",
        size=3000,
        short=60,
        prove=torture,
        needs=("strace",),
    ),
    Proof(
        name="powercut",
        claim="Whatever a power cut may leave of a run, nothing acknowledged is missing.",
        unit="starts",
        size=1000,
        short=12,
        prove=powercut,
        needs=("strace",),
    ),
    Proof(
        name="filesystems",
        claim="After a power cut ext4, xfs and btrfs still hold whatever was acknowledged.",
        unit="cuts",
        size=900,
        short=6,
        prove=filesystems,
        needs=("root", "/dev/fuse", "/dev/loop-control", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"),
    ),
    Proof(
        name="faults",
        claim="No error of a system call loses a message, bounces one, or needs a hand.",
        unit="cells",
        size=2000,
        short=20,
        prove=faults,
        needs=("strace",),
    ),
    Proof(
        name="fulldisk",
        claim="A full, sick or read-only disk refuses mail for now or lets it wait: none is lost.",
        unit="faults",
        size=64,
        short=4,
        prove=fulldisk,
        needs=("root", "mkfs.ext4", "mount", "strace"),
    ),
    Proof(
        name="corruption",
        claim="What lies in the queue harms no message beside it, is not delivered damaged, and "
        "is not lost.",
        unit="damaged files",
        size=FULL,
        short=600,
        prove=corruption,
    ),
    Proof(
        name="maildrop",
        claim="What sendmail has left in a folder that hosts share is delivered, whoever dies.",
        unit="messages",
        size=10_000,
        short=60,
        prove=maildrop,
        needs=NAMESPACES,
    ),
    Proof(
        name="clock",
        claim="A clock that is set by years, or a machine that sleeps, loses, repeats, delays and "
        "returns nothing.",
        unit="jumps",
        size=150,
        short=10,
        prove=clock,
    ),
    Proof(
        name="soak",
        claim="In a long run with reloads, kills and faults nothing grows: no memory, "
        "descriptors, processes or temporary files; and the log has no gap.",
        unit="seconds",
        size=3600,
        short=35,
        prove=soak,
        needs=("strace",),
    ),
)
