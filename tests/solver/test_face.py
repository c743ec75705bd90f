"""The public face: cheap to import, complete, and clear about mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from optmodels import solver
from optmodels.errors import UsageError
from optmodels.solver import check_not_worse

ROOT = Path(__file__).resolve().parents[2]


def loaded_after(code: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after some code."""
    heavy = "('pyomo', 'cvxpy', 'highspy', 'clarabel', 'rich')"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nimport sys\nprint(*[n for n in {heavy} if n in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.split())


def test_import_is_lazy() -> None:
    """Importing the package, or even its face, loads no modelling library and no solver."""
    assert loaded_after("import optmodels.solver") == set()
    assert loaded_after("from optmodels.solver import *") == set()


def test_each_model_loads_its_own_library_alone() -> None:
    """A CVXPY user never pays for Pyomo, and the other way round."""
    with_pyomo = "import pyomo.environ as p; m = p.ConcreteModel()"
    with_cvxpy = "import cvxpy as c; m = c.Problem(c.Minimize(c.Variable(nonneg=True)))"
    run = "from optmodels.solver import solve_model; solve_model(m)"
    assert "cvxpy" not in loaded_after(f"{with_pyomo}; {run}")
    assert "pyomo" not in loaded_after(f"{with_cvxpy}; {run}")


def test_every_public_name_is_there() -> None:
    """`__all__` is what the lazy door opens; anything else is an AttributeError."""
    for name in solver.__all__:
        assert getattr(solver, name).__doc__
        assert name in dir(solver)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = solver.nonsense


def test_check_not_worse_takes_a_tolerance() -> None:
    """Within the tolerance nothing happens; a wrong sense or NaN is a wrong call."""
    check_not_worse(100.009, 100.0, "minimize", "gap", tolerance=1e-4)
    check_not_worse(99.995, 100.0, "maximize", "gap", tolerance=1e-4)
    with pytest.raises(UsageError, match="sense"):
        check_not_worse(1, 1, "min", "sense")
    with pytest.raises(UsageError, match="not a number"):
        check_not_worse(float("nan"), 1, "minimize", "value")
