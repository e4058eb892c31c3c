"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability import powercut
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (
    Proof(
        name="powercut",
        claim="Whatever a power cut may leave of a run, nothing acknowledged is missing.",
        unit="starts",
        size=3000,
        short=12,
        prove=powercut.prove,
        needs=("strace",),
    ),
)
