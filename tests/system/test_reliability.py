"""The short form of each proof: see tests/reliability."""

import random
from pathlib import Path

import pytest
from reliability.plan import PROOFS
from reliability.proof import Proof, Run
from reliability.run import prepared_folder
from support.needs import missing


def _quiet(done: float, text: str) -> None:
    del done, text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_nothing_is_refuted(proof: Proof) -> None:
    for need in proof.needs:
        if reason := missing(need):
            pytest.skip(reason)
    seed = random.SystemRandom().randrange(10**6)
    with prepared_folder(Path("/var/tmp")) as folder:
        report = proof.prove(Run(seed, proof.short, folder, _quiet))
    assert not report.failures, f"seed {seed}:\n" + "\n".join(report.failures)
    assert report.figures
