"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability.proof import Proof
from reliability.storage import prove as prove_storage

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        "storage",
        "A full, sick or read-only disk refuses mail for now or lets it wait, and loses none.",
        "faults",
        size=64,
        short=4,
        prove=prove_storage,
        needs=("root", "mkfs.ext4", "mount", "strace"),
    ),
)
