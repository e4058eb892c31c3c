"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability import soak
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        name="soak",
        claim=(
            "In a long run with reloads, kills and faults nothing grows: no memory, descriptors, "
            "processes or temporary files; and the log has no gap."
        ),
        unit="seconds",
        size=3600,
        short=35,
        prove=soak.prove,
        needs=("strace",),
    ),
)
