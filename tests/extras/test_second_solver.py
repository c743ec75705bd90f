"""HiGHS against CBC, GLPK, SCIP (where they are installed) and Clarabel on random instances."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from optmodels.solver import LinearModel
from tests.differential.running import PROBLEMS, tallied
from tests.differential.solvers import by_file, clarabel, compared_model, versions

SOLVERS = {
    "CBC": shutil.which("cbc"),
    "GLPK": shutil.which("glpsol"),
    "SCIP": find_spec("pyscipopt"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_optima_of_random_models(problem: str) -> None:
    """Formulations of random instances, and their relaxations, have one optimum by all solvers."""
    found = tallied(problem, 0, range(2), "solvers")
    assert not found.faults, found.faults


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_takes_part(name: str) -> None:
    """A solver that is installed is asked, and says that a model without any solution has none."""
    if not SOLVERS[name]:
        pytest.skip(f"{name} is not installed")
    assert name in by_file() and name in versions()
    for integer in (False, True):
        for least, most in ((1.0, 2.0), (3.0, np.inf)):
            found = {one.what: one for one in compared_model(_row(least, most, integer=integer))}
            assert found[name].difference <= 1e-9
            assert np.isinf(found[name].theirs) == (least > 2)


def test_clarabel_says_infeasible() -> None:
    """So does the interior point method, which has no file."""
    assert clarabel(_row(1.0, 2.0, integer=False)) == pytest.approx(1.0)
    assert clarabel(_row(3.0, np.inf, integer=False)) == np.inf


def _row(least: float, most: float, *, integer: bool) -> LinearModel:
    """Least sum of two variables up to 1 each, within these limits."""
    return LinearModel(
        cost=np.ones(2),
        starts=np.array([0, 1, 2], dtype=np.int32),
        indices=np.zeros(2, dtype=np.int32),
        coefficients=np.ones(2),
        row_lower=np.array([least]),
        row_upper=np.array([most]),
        column_lower=np.zeros(2),
        column_upper=np.ones(2),
        integer=np.full(2, integer),
    )
