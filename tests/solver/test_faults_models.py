"""Models without an optimum, without rows, without variables: a status each, and no numbers."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pyomo.environ as pyo
import pytest

from optmodels.errors import InfeasibleError, OptmodelsError, UnboundedError, UsageError
from optmodels.solver import Status, solve_model

INFINITE = float("inf")


def pyomo_model(kind: str, fault: str) -> pyo.ConcreteModel:
    """Least x + y from x + 2 y >= 2, but for the fault; linear, or with whole numbers."""
    m = pyo.ConcreteModel()
    domain = pyo.NonNegativeIntegers if kind == "mip" else pyo.NonNegativeReals
    m.x, m.y = pyo.Var(within=domain), pyo.Var(within=domain)
    m.need = pyo.Constraint(expr=m.x + 2 * m.y >= 2)
    sign = -1 if fault != "infeasible" else 1
    m.cost = pyo.Objective(expr=sign * m.x + m.y)
    if fault != "unbounded":
        # With a cost that falls without end, only the limit says that nothing is feasible.
        m.limit = pyo.Constraint(expr=m.y + (m.x if fault == "infeasible" else 0) <= -1)
    return m


def cvxpy_problem(kind: str, fault: str) -> cp.Problem:
    """The same in CVXPY: linear, whole, quadratic, or with a cone."""
    x = cp.Variable(2, nonneg=True, integer=kind == "mip", name="x")
    objective = x[0] + x[1] if fault == "infeasible" else x[1] - x[0]
    if kind == "qp":
        objective = objective + cp.square(x[1])
    if kind == "cone":
        objective = objective + cp.norm(x[1:] - 1)
    rows = [x[0] + 2 * x[1] >= 2]
    if fault == "infeasible":
        rows.append(cp.sum(x) <= -1)
    elif fault == "both":
        rows.append(x[1] <= -1)
    return cp.Problem(cp.Minimize(objective), rows)


WHAT = {"infeasible": Status.INFEASIBLE, "unbounded": Status.UNBOUNDED, "both": Status.INFEASIBLE}


@pytest.mark.parametrize("fault", WHAT)
@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("lp", pyomo_model),
        ("mip", pyomo_model),
        ("lp", cvxpy_problem),
        ("mip", cvxpy_problem),
        ("qp", cvxpy_problem),
        ("cone", cvxpy_problem),
    ],
)
def test_without_an_optimum(kind, make, fault) -> None:
    """Infeasible and unbounded are told apart for every kind of model, and give no numbers.

    "both" has a cost that would fall without end if anything were feasible.
    """
    solution = solve_model(make(kind, fault))
    assert solution.status is WHAT[fault]
    assert solution.objective is None
    error = InfeasibleError if WHAT[fault] is Status.INFEASIBLE else UnboundedError
    with pytest.raises(error):
        _ = solution.values
    with pytest.raises(error):
        solution.load_into_model()


def test_quadratic_pyomo_is_refused() -> None:
    """A quadratic objective in Pyomo is beyond this layer, and said to be."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var()
    m.cost = pyo.Objective(expr=m.x**2)
    with pytest.raises(OptmodelsError):
        solve_model(m)


def test_quadratic_with_integers_is_refused() -> None:
    """No solver here proves it optimal."""
    x = cp.Variable(integer=True)
    with pytest.raises(UsageError):
        solve_model(cp.Problem(cp.Minimize(cp.square(x - 0.3))))


def test_nothing_to_decide() -> None:
    """No variables, no rows, no objective: a constant, which is optimal."""
    m = pyo.ConcreteModel()
    assert solve_model(m).status is Status.OPTIMAL
    m.cost = pyo.Objective(expr=3.5)
    found = solve_model(m)
    assert (found.status, found.objective, found.bound) == (Status.OPTIMAL, 3.5, 3.5)
    nothing = solve_model(cp.Problem(cp.Minimize(2.0)))
    assert (nothing.status, nothing.objective) == (Status.OPTIMAL, 2.0)


def test_no_rows() -> None:
    """Variables with bounds only go to them, whole numbers to whole ones."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1.5, 2.5))
    m.y = pyo.Var(bounds=(-1.5, 2.5), within=pyo.Integers)
    m.cost = pyo.Objective(expr=m.x - m.y)
    found = solve_model(m)
    assert found.objective == pytest.approx(-3.5)
    assert found.values["y"].iloc[0] == 2


def test_no_objective() -> None:
    """Any feasible point is optimal at 0."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 5), within=pyo.Integers)
    m.row = pyo.Constraint(expr=2 * m.x >= 5)
    found = solve_model(m)
    assert (found.status, found.objective) == (Status.OPTIMAL, 0.0)
    assert found.values["x"].iloc[0] >= 3


@pytest.mark.parametrize(("fixed", "status"), [(1.0, Status.OPTIMAL), (3.0, Status.INFEASIBLE)])
def test_all_variables_fixed(fixed: float, status: Status) -> None:
    """Fixed variables are numbers: their rows hold, or the model is infeasible."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 5))
    m.row = pyo.Constraint(expr=m.x <= 2)
    m.cost = pyo.Objective(expr=2 * m.x)
    m.x.fix(fixed)
    found = solve_model(m)
    assert found.status is status
    if status is Status.OPTIMAL:
        assert found.objective == 2.0


@pytest.mark.parametrize("integer", [False, True])
def test_rows_again_and_again(integer: bool) -> None:
    """Twenty copies of every row, some multiplied, are the same model."""
    x = cp.Variable(2, nonneg=True, integer=integer)
    rows = [k * (x[0] + 2 * x[1]) >= 3 * k for k in range(1, 21)] + [x[0] + 2 * x[1] == 3]
    rows += [x[0] - x[0] == 0, x[1] <= INFINITE]
    found = solve_model(cp.Problem(cp.Minimize(x[0] + 3 * x[1]), rows), mip_gap=0.0)
    assert found.status is Status.OPTIMAL
    assert found.objective == pytest.approx(3.0)


def test_sets_of_size_zero() -> None:
    """Indexed components over an empty set: nothing to decide, a constant, a family without any."""
    m = pyo.AbstractModel()
    m.s = pyo.Set()
    m.c = pyo.Param(m.s)
    m.x = pyo.Var(m.s, within=pyo.NonNegativeReals)

    @m.Constraint(m.s)
    def row(m, i):
        return m.x[i] >= m.c[i]

    @m.Constraint()
    def total(m):
        return sum(m.x[i] for i in m.s) >= 0

    @m.Objective()
    def cost(m):
        return sum(m.c[i] * m.x[i] for i in m.s) + 1.0

    found = solve_model(m, data={"s": np.array([], dtype=int), "c": np.array([])})
    assert (found.status, found.objective) == (Status.OPTIMAL, 1.0)
    assert len(found.values["x"]) == 0


def test_a_row_that_can_never_hold() -> None:
    """A constant row that is false is infeasible, however the rest looks."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.p = pyo.Param(initialize=2.0, mutable=True)
    m.row = pyo.Constraint(expr=m.p * 0 >= 1 + 0 * m.x)
    m.cost = pyo.Objective(expr=m.x)
    assert solve_model(m).status is Status.INFEASIBLE


def test_bounds_that_cross() -> None:
    """A lower bound above the upper one is infeasible, also where no row speaks of it."""
    for within in (pyo.Reals, pyo.Integers):
        m = pyo.ConcreteModel()
        m.x = pyo.Var(within=within)
        m.x.setlb(3)
        m.x.setub(2)
        m.y = pyo.Var(bounds=(0, 1))
        m.cost = pyo.Objective(expr=m.y)
        assert solve_model(m).status is Status.INFEASIBLE
