"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability import clock
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        "clock",
        "A clock that is set by years, or a machine that sleeps, loses, repeats, delays and "
        "returns nothing.",
        "jumps",
        size=150,
        short=10,
        prove=clock.prove,
    ),
)
