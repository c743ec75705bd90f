"""The CVXPY front end: linear, integer, quadratic and cone problems, in CVXPY's own terms."""

from __future__ import annotations

import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, NoSolutionError, UsageError
from optmodels.solver import compile_model, explain_model, export_model, solve_model
from optmodels.solver.cones import cone_violation
from optmodels.solver.linear import LinearModel


def variables() -> tuple[cp.Variable, cp.Variable, list[cp.Constraint]]:
    """A vector and a matrix variable with bounds, and constraints of every linear kind."""
    x = cp.Variable(3, name="x", nonneg=True)
    y = cp.Variable((2, 2), name="y", bounds=[0, 5])
    level = cp.Parameter(value=2.0, name="level")
    rows = [
        cp.sum(x) <= level,
        x[0] >= 0.5,
        cp.sum(y) == 3,
        cp.abs(x[1] - 1) <= 0.5,
        y[:, 0] <= 1,
    ]
    return x, y, rows


def problems() -> dict[str, cp.Problem]:
    """Convex continuous problems of each class, with unique optima and duals."""
    x, y, rows = variables()
    cost = np.array([[1.0, 2.0], [4.0, 8.0]])
    linear = cp.sum(cp.multiply(cost, y)) + x @ np.array([3.0, 1.0, 2.0])
    return {
        "lp": cp.Problem(cp.Minimize(linear + 3), rows),
        "lp max": cp.Problem(cp.Maximize(3 - linear), rows),
        "qp": cp.Problem(cp.Minimize(cp.sum_squares(x - 0.7) + linear + 1), rows),
        "qp with cross terms": cp.Problem(
            cp.Minimize(cp.quad_form(x, np.array([[2, 1, 0], [1, 2, 0.5], [0, 0.5, 1]])) + y[0, 0]),
            [*rows, y[1, 1] == 0.25, y[0, 1] == 1.5],
        ),
        "qp max": cp.Problem(cp.Maximize(5 - cp.sum_squares(x - 0.7) - linear), rows),
        "socp": cp.Problem(cp.Minimize(cp.norm(x - 2) + linear), rows),
        "exponential": cp.Problem(cp.Maximize(cp.sum(cp.log(x + 1)) - linear), rows),
    }


@pytest.mark.parametrize("name", problems())
def test_agrees_with_cvxpy(name: str) -> None:
    """Objective, values and duals equal CVXPY's own; the bound is within 1e-6 and on its side."""
    problem = problems()[name]
    solution = solve_model(problem)
    assert all(variable.value is None for variable in problem.variables())
    assert solution.status == "optimal"
    problem.solve(solver=cp.CLARABEL)
    scale = max(1.0, abs(problem.value))
    assert solution.objective == pytest.approx(problem.value, abs=2e-6 * scale)
    assert abs(solution.objective - solution.bound) <= 1e-6 * scale
    if solution.sense == "maximize":
        assert solution.bound >= solution.objective
    else:
        assert solution.bound <= solution.objective
    for variable in problem.variables():
        ours = solution.values[variable.name()].to_numpy()
        assert np.allclose(ours, np.ravel(variable.value), atol=2e-3)
    for place, constraint in enumerate(problem.constraints):
        ours = solution.duals[f"constraint_{place}"].to_numpy()
        assert np.allclose(ours, np.ravel(constraint.dual_value), atol=2e-3), place


@pytest.mark.parametrize("name", ["lp", "qp", "socp"])
def test_loading_fills_the_problem(name: str) -> None:
    """After `load_into_model` the problem looks as if CVXPY had solved it."""
    problem = problems()[name]
    solution = solve_model(problem).load_into_model()
    assert problem.value == pytest.approx(solution.objective, rel=1e-6)
    assert problem.status == "optimal"
    for variable in problem.variables():
        assert np.allclose(np.ravel(variable.value), solution.values[variable.name()].to_numpy())
    assert problem.constraints[1].dual_value is not None


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6))
def test_quadratic_optima_satisfy_their_conditions(seed: int) -> None:
    """Random convex QPs, some singular: the tangent bound closes to 1e-9."""
    rng = np.random.default_rng(seed)
    n = 4
    factor = rng.normal(0, 1, (int(rng.integers(1, n + 1)), n))
    x = cp.Variable(n, name="x")
    matrix, centre = rng.normal(0, 1, (3, n)), rng.normal(0, 1, n)
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(factor @ (x - centre)) + rng.normal(0, 1, n) @ x),
        [matrix @ x <= matrix @ centre + rng.random(3), x >= -3, x <= 3],
    )
    solution = solve_model(problem)
    assert solution.status == "optimal"
    assert abs(solution.objective - solution.bound) <= 1e-7 * max(1, abs(solution.objective))
    problem.solve(solver=cp.CLARABEL)
    assert solution.objective == pytest.approx(problem.value, rel=1e-6, abs=1e-6)


def knapsack(items: int = 8) -> tuple[cp.Problem, float]:
    """A binary knapsack with an integer extra, and its optimum by enumeration."""
    rng = np.random.default_rng(2)
    weight, worth = rng.integers(1, 9, items), rng.integers(1, 9, items)
    z = cp.Variable(items, boolean=True, name="z")
    w = cp.Variable(integer=True, name="w")
    room = int(weight.sum() // 2)
    problem = cp.Problem(
        cp.Maximize(worth @ z + 0.5 * w + 1), [weight @ z + 2 * w <= room, w <= 3.5, w >= -1.5]
    )
    best = -np.inf
    for bits in range(2**items):
        chosen = np.array([bits >> i & 1 for i in range(items)])
        for extra in range(-1, 4):
            if weight @ chosen + 2 * extra <= room:
                best = max(best, float(worth @ chosen + 0.5 * extra + 1))
    return problem, best


def test_integer_problem_against_enumeration() -> None:
    """Booleans and integers are exactly that; a maximisation with a constant; no duals."""
    problem, best = knapsack()
    solution = solve_model(problem, mip_gap=0.0)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(best, abs=1e-9)
    assert set(solution.values["z"]) <= {0.0, 1.0}
    assert solution.values["w"].item() == round(solution.values["w"].item())
    with pytest.raises(UsageError, match="no duals"):
        _ = solution.duals
    solution.load_into_model()
    assert problem.value == pytest.approx(best)


def market_split() -> cp.Problem:
    """A market split: no incumbent within any short limit (and usually none at all)."""
    rng = np.random.default_rng(0)
    demand = rng.integers(0, 100, (5, 40))
    z = cp.Variable(40, boolean=True, name="z")
    return cp.Problem(cp.Minimize(0), [demand @ z == np.floor(demand.sum(axis=1) / 2)])


def test_time_limit_gives_no_violating_point() -> None:
    """CVXPY itself fills x.value with a point that breaks the equalities; we give none.

    The first half shows the danger in CVXPY, so that the test means something.
    """
    problem = market_split()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem.solve(solver=cp.HIGHS, time_limit=0.2)
    value = problem.variables()[0].value
    if value is not None:
        assert np.max(problem.constraints[0].violation()) > 1
    fresh = market_split()
    solution = solve_model(fresh, time_limit_s=0.2)
    assert solution.status == "no_solution_at_limit"
    for ask in (solution.require, solution.load_into_model):
        with pytest.raises(NoSolutionError):
            ask()
    assert fresh.variables()[0].value is None


@pytest.mark.parametrize("cone", [False, True])
def test_infeasible_and_unbounded(cone: bool) -> None:
    """Told apart for linear and cone problems; infeasible ones load nothing."""
    x = cp.Variable(2, name="x")
    free = cp.Variable(name="free")
    limit = cp.norm(x) if cone else cp.norm_inf(x)
    assert solve_model(cp.Problem(cp.Minimize(free), [limit <= 1])).status == "unbounded"
    assert solve_model(cp.Problem(cp.Maximize(free), [limit <= 1])).status == "unbounded"
    both = cp.Problem(cp.Minimize(free), [limit <= 1, x[0] >= 2])
    solution = solve_model(both)
    assert solution.status == "infeasible"
    with pytest.raises(InfeasibleError):
        solution.load_into_model()
    assert x.value is None


def test_semidefinite_and_power_cones() -> None:
    """Known optima: a 2 x 2 completion (2 + 1.5^2 / 2), and a weighted geometric mean."""
    s = cp.Variable((2, 2), PSD=True, name="S")
    completion = solve_model(cp.Problem(cp.Minimize(cp.trace(s)), [s[0, 1] == 1.5, s[0, 0] >= 2]))
    assert completion.status == "optimal"
    assert completion.objective == pytest.approx(2 + 1.5**2 / 2, rel=1e-6)
    assert completion.values["S"].loc[(0, 1)] == pytest.approx(1.5, abs=1e-6)
    x = cp.Variable(3, name="x")
    mean = solve_model(
        cp.Problem(cp.Maximize(x[2]), [cp.PowCone3D(x[0], x[1], x[2], 0.3), x[0] + x[1] <= 2])
    )
    assert mean.objective == pytest.approx(0.6**0.3 * 1.4**0.7, rel=1e-6)


def test_cone_check_sees_each_kind_of_breach() -> None:
    """A point moved out of its cone is caught, for every cone; inside it is not."""
    x = cp.Variable(3, name="x", nonneg=True)
    square = cp.Variable((3, 3), symmetric=True)
    cases = {
        "soc": cp.Problem(cp.Minimize(cp.norm(x - 2)), [cp.sum(x) == 1]),
        "exp": cp.Problem(cp.Maximize(cp.sum(cp.log(x))), [cp.sum(x) == 1]),
        "psd": cp.Problem(
            cp.Minimize(cp.lambda_max(square)), [square[0, 1] == 1, cp.trace(square) == 2]
        ),
        "p3d": cp.Problem(
            cp.Maximize(x[2]), [cp.PowCone3D(x[0], x[1], x[2], 0.3), x[0] + x[1] <= 2]
        ),
    }
    for name, problem in cases.items():
        data, chain, _ = problem.get_problem_data(cp.CLARABEL, solver_opts={})
        point = np.array(chain.solver.solve_via_data(data, False, False, {}).x)
        assert cone_violation(data, point) <= 1e-7, name
        step = np.asarray(data["c"], dtype=float)
        assert cone_violation(data, point - 0.05 * step / np.abs(step).max()) > 1e-3, name


def test_time_limit_of_a_cone_problem() -> None:
    """An interior point method cut off has no feasible point: none is given out."""
    rng = np.random.default_rng(0)
    x = cp.Variable(300, name="x")
    matrix = rng.normal(0, 1, (200, 300))
    problem = cp.Problem(
        cp.Minimize(cp.sum([cp.norm(x[i : i + 3]) for i in range(0, 300, 3)])),
        [matrix @ x == rng.normal(0, 1, 200)],
    )
    solution = solve_model(problem, time_limit_s=1e-9)
    assert solution.status == "no_solution_at_limit"
    with pytest.raises(NoSolutionError):
        _ = solution.values


def test_constants_and_empty_problems() -> None:
    """Problems without variables, constraints without variables, no constraints at all."""
    assert solve_model(cp.Problem(cp.Maximize(3))).objective == 3
    assert solve_model(cp.Problem(cp.Minimize(3), [cp.Constant(3) <= 2])).status == "infeasible"
    x = cp.Variable(name="x", nonneg=True)
    assert solve_model(cp.Problem(cp.Minimize(x + 2))).objective == 2
    assert solve_model(cp.Problem(cp.Minimize(x), [cp.Constant(1) <= 2])).status == "optimal"
    assert solve_model(cp.Problem(cp.Minimize(x), [cp.Constant(3) <= 2])).status == "infeasible"


def test_parameters_change_between_solves() -> None:
    """The same problem with another parameter value gives the other answer."""
    level = cp.Parameter(name="level")
    x = cp.Variable(name="x")
    problem = cp.Problem(cp.Minimize(x + level), [x >= level])
    with pytest.raises(UsageError, match="level"):
        solve_model(problem)
    for value in (1.0, 2.5):
        level.value = value
        assert solve_model(problem).objective == 2 * value


def test_beyond_the_layer() -> None:
    """Mixed-integer cones, integer quadratics, non-convex problems: refused in clear words."""
    z = cp.Variable(3, boolean=True, name="z")
    x = cp.Variable(name="x", nonneg=True)
    with pytest.raises(UsageError, match=r"integer.*cones"):
        solve_model(cp.Problem(cp.Minimize(cp.norm(z)), [cp.sum(z) >= 1]))
    with pytest.raises(UsageError, match="quadratic"):
        solve_model(cp.Problem(cp.Minimize(cp.sum_squares(z - 0.4))))
    with pytest.raises(UsageError, match="DCP"):
        solve_model(cp.Problem(cp.Minimize(cp.sqrt(x))))
    cone = cp.Problem(cp.Minimize(cp.norm(cp.hstack([x, 1]))))
    with pytest.raises(UsageError, match=r"Clarabel.*presolve"):
        solve_model(cone, options={"presolve": "off"})
    for room in (explain_model, lambda p: export_model(p, "model.lp")):
        with pytest.raises(UsageError, match="second-order"):
            room(cone)


def test_names_know_their_places() -> None:
    """Columns and rows carry the names of the problem although CVXPY reorders and clips them.

    Each named column must have the objective coefficient that the problem gives it; sending the
    places through the bounds' projection would squeeze them (y into [0, 5], z into {0, 1}).
    """
    x, y, rows = variables()
    z = cp.Variable(2, boolean=True, name="z")
    weights = np.array([[10.0, 20.0], [30.0, 40.0]])
    problem = cp.Problem(
        cp.Maximize(cp.sum(cp.multiply(weights, y)) + z @ np.array([5.0, 6.0]) - x[2]),
        [*rows, x[:2] <= 1 + z],
    )
    model = compile_model(problem)
    assert isinstance(model, LinearModel)
    columns = model.labels.columns
    assert model.cost[columns["y"].positions].tolist() == [10, 20, 30, 40]
    assert model.cost[columns["z"].positions].tolist() == [5, 6]
    assert model.cost[columns["x"].positions].tolist() == [0, 0, -1]
    dense = model.matrix.toarray()
    link = model.labels.rows["constraint_5"].positions
    assert (np.abs(dense[link][:, columns["z"].positions]) == np.eye(2)).all()
    total = model.labels.rows["constraint_2"].positions
    assert (np.abs(dense[total][:, columns["y"].positions]) == 1).all()


def test_warm_start_by_name() -> None:
    """A feasible start by variable names is taken, and may not beat the answer."""
    problem, best = knapsack()
    solution = solve_model(problem, mip_gap=0.0, warm_start={"z": 0.0, "w": -1.0})
    assert solution.objective == pytest.approx(best)


def test_equal_names_stay_apart() -> None:
    """Two variables of one name get different keys."""
    a, b = cp.Variable(name="x"), cp.Variable(name="x")
    solution = solve_model(cp.Problem(cp.Minimize(a + 2 * b), [a >= 1, b >= 2]))
    assert {key: value.item() for key, value in solution.values.items()} == {"x": 1.0, "x#2": 2.0}
