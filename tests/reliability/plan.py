"""The proofs by name, in the order of the page docs/reliability.md."""

from typing import Final

from reliability.faults import FAULTS
from reliability.proof import Proof

__all__ = ["PROOFS"]

PROOFS: Final[tuple[Proof, ...]] = (FAULTS,)
