"""The compiler benchmark measures the same model on every path, or it measures nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _compiler_paths as paths  # noqa: E402
import compiler  # noqa: E402
from _compiler_models import SHAPES  # noqa: E402

TINY = 600


@pytest.mark.parametrize("shape", SHAPES)
def test_every_path_makes_the_same_model(shape: str) -> None:
    """Counts, sums and optima agree for all installed paths.

    A forgotten row, a swapped cost or a wrong sign in any of the hand-written versions would make
    its time meaningless; each changes a count, a sum of sizes or the optimum.
    """
    case = paths.Case(shape, TINY, 0)
    with compiler._quiet():
        made = {
            path: compiler.facts(paths.timed(case, path)[2], solve=True)
            for path in sorted(paths.available())
        }
    if made[paths.CVXPY]["counts"]["rows"] > made[paths.RAW]["counts"]["rows"]:
        # Older versions of CVXPY make rows of bounds: only the optimum can be compared.
        made[paths.CVXPY] = {**made[paths.RAW], "optimum": made[paths.CVXPY]["optimum"]}
    sums, optima = compiler.differences(made)
    assert sums <= 1e-12
    assert optima <= 1e-9
    assert made[paths.RAW]["optimum"] > 0


def test_another_model_is_noticed() -> None:
    """A changed sum, count or optimum is a difference: the comparison can fail."""
    base = {"counts": {"rows": 2}, "sums": [1.0, 2.0], "optimum": 4.0}
    same = compiler.differences({paths.RAW: base, "x": dict(base)})
    assert same == (0.0, 0.0)
    assert compiler.differences({paths.RAW: base, "x": {**base, "sums": [1.0, 2.5]}})[0] == 0.25
    assert compiler.differences({paths.RAW: base, "x": {**base, "optimum": 5.0}})[1] == 0.25
    assert np.isinf(
        compiler.differences({paths.RAW: base, "x": {**base, "counts": {"rows": 3}}})[0]
    )
