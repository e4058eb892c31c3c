"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability.corruption import trial as corruption
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        name="corruption",
        claim="Nothing that lies in the queue harms a message beside it, is delivered damaged, or "
        "is lost.",
        unit="damaged files",
        size=corruption.FULL,
        short=600,
        prove=corruption.prove,
    ),
)
