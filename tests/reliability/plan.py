"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability import torture
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
)
