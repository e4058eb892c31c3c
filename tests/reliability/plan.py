"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability.disk.prove import prove as prove_disk
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        "disk",
        "after a power cut ext4, xfs and btrfs still hold whatever was acknowledged",
        "cuts",
        900,
        15,
        prove_disk,
        ("root", "/dev/fuse", "/dev/loop-control", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"),
    ),
)
