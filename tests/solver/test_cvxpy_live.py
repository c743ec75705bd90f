"""Live CVXPY problems: canonicalised once, and at every step what a fresh solve would say."""

from __future__ import annotations

from collections.abc import Iterator

import clarabel
import cvxpy as cp
import numpy as np
import pytest
from cvxpy.reductions.chain import Chain
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError, SolverError, UsageError
from optmodels.solver import LinearModel, Status, solve_model
from optmodels.solver.cvxpy_live import LiveProblem
from optmodels.solver.session import Session

SLOTS = 6


def routing(integer: bool = False) -> cp.Problem:
    """Serve a demand by three sites with limits, prices and ramps."""
    demand = cp.Parameter(SLOTS, nonneg=True, name="demand")
    price = cp.Parameter((3, SLOTS), name="price")
    limit = cp.Parameter(3, nonneg=True, name="limit")
    load = cp.Variable((3, SLOTS), nonneg=True, integer=integer, name="load")
    ramp = cp.Variable((3, SLOTS - 1), nonneg=True, name="ramp")
    served = cp.sum(load, axis=0) >= demand
    return cp.Problem(
        cp.Minimize(cp.sum(cp.multiply(price, load)) + 0.3 * cp.sum(ramp) + 5),
        [
            served,
            load <= cp.reshape(limit, (3, 1), order="F") @ np.ones((1, SLOTS)),
            cp.abs(load[:, 1:] - load[:, :-1]) <= ramp,
        ],
    )


def quadratic() -> cp.Problem:
    """Follow a target at a cost."""
    target = cp.Parameter(SLOTS, name="demand")
    price = cp.Parameter(SLOTS, name="price")
    x = cp.Variable(SLOTS, name="x")
    return cp.Problem(cp.Minimize(cp.sum_squares(x - target) + price @ x), [x >= 0, cp.sum(x) <= 9])


def conic() -> cp.Problem:
    """A norm in the objective and one in a constraint."""
    target = cp.Parameter(SLOTS, name="demand")
    price = cp.Parameter(SLOTS, name="price")
    radius = cp.Parameter(nonneg=True, name="limit")
    x = cp.Variable(SLOTS, name="x")
    cost = cp.norm(x - target) + price @ x
    return cp.Problem(cp.Minimize(cost), [cp.norm(x) <= radius, x >= -5])


def exponential() -> cp.Problem:
    """Log utility, maximised."""
    demand = cp.Parameter(SLOTS, nonneg=True, name="demand")
    limit = cp.Parameter(nonneg=True, name="limit")
    x = cp.Variable(SLOTS, name="x")
    utility = cp.sum(cp.log(x + 1)) - 0.1 * (demand @ x)
    return cp.Problem(cp.Maximize(utility), [cp.sum(x) <= limit, x >= 0])


def values_for(problem: cp.Problem, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random values of all parameters."""
    ranges = {"demand": (0.5, 4.0), "price": (0.1, 3.0), "limit": (1.5, 4.0)}
    return {p.name(): rng.uniform(*ranges[p.name()], p.shape) for p in problem.parameters()}


@pytest.fixture
def chains(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often CVXPY went through a chain of reductions."""
    calls: list[int] = []
    original = Chain.apply

    def counted(self: Chain, *arguments: object) -> object:
        calls.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Chain, "apply", counted)
    yield calls


MAKERS = {
    "lp": routing,
    "mip": lambda: routing(integer=True),
    "qp": quadratic,
    "cones": conic,
    "exponential": exponential,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_sequence_equals_fresh_solves(kind: str, chains: list[int]) -> None:
    """Twelve changes: status, objective and values as `solve_model` has them, one canonicalisation.

    Catches arrays that are stale after an update, a map that is applied to permuted entries, a
    basis or a Clarabel set-up that leads to another problem's answer, and CVXPY going through its
    chain again.
    """
    rng = np.random.default_rng(3)
    problem = MAKERS[kind]()
    live = LiveProblem(problem)
    assert problem.is_dpp()
    tolerance = 1e-6 if kind in ("cones", "exponential", "qp") else 1e-9
    for step in range(12):
        new = values_for(problem, rng)
        # Sometimes all parameters change, sometimes one.
        live.update(**(new if step % 3 == 0 else dict([new.popitem()])))
        found = live.solve()
        assert len(chains) == 1
        fresh = solve_model(cp.Problem(problem.objective, problem.constraints))
        del chains[1:]
        assert found.status == fresh.status
        if fresh.status.has_solution:
            scale = 1 + abs(float(fresh.objective or 0))
            assert found.objective == pytest.approx(fresh.objective, abs=tolerance * scale)
            found.load_into_model()
            assert problem.objective.value == pytest.approx(found.objective, abs=1e-5 * scale)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2**31), st.booleans()), min_size=2, max_size=5))
def test_any_order_of_changes(steps: list[tuple[int, bool]]) -> None:
    """The answer depends on the parameters alone, not on the way that led to them.

    Zeros among the parameters change the pattern of the canonical matrix.
    """
    factor = cp.Parameter(name="factor")
    limit = cp.Parameter(2, name="limit")
    x = cp.Variable(2, name="x", nonneg=True)
    problem = cp.Problem(cp.Maximize(x[0] + 2 * x[1]), [x[0] + factor * x[1] <= limit, x <= 7])
    live = LiveProblem(problem)
    objective = None
    for seed, dense in steps:
        rng = np.random.default_rng(seed)
        live.update(factor=rng.uniform(0.5, 2) if dense else 0, limit=rng.uniform(1, 5, 2))
        objective = live.solve().objective
    assert objective == pytest.approx(solve_model(problem).objective, rel=1e-9)


def test_statuses_in_turns() -> None:
    """Infeasible, solvable, unbounded and solvable again in one solver, each told as it is."""
    low, high, price = (cp.Parameter(name=name) for name in ("low", "high", "price"))
    x = cp.Variable(name="x")
    problem = cp.Problem(cp.Minimize(price * x), [x >= low, x - 1 <= high])
    live = LiveProblem(problem)
    told = []
    for values in ((2, 0, 1), (0, 1, 1), (0, 1, -1), (3, 1, 1), (0, 5, -2)):
        live.update(low=values[0], high=values[1], price=values[2])
        found = live.solve()
        told.append((str(found.status), found.objective))
    assert told == [
        ("infeasible", None),
        ("optimal", 0.0),
        ("optimal", -2.0),
        ("infeasible", None),
        ("optimal", -12.0),
    ]
    with pytest.raises(InfeasibleError):
        _ = live_infeasible(live).values
    free = cp.Problem(cp.Minimize(price * x), [x >= low])
    turns = LiveProblem(free)
    turns.update(low=0, price=-1)
    assert turns.solve().status is Status.UNBOUNDED
    turns.update(price=2)
    assert turns.solve().objective == 0.0


def live_infeasible(live: LiveProblem) -> object:
    """The same, made infeasible."""
    live.update(low=9, high=0)
    return live.solve()


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_cones_in_turns(radius: float) -> None:
    """A kept Clarabel tells infeasible from solvable as a fresh one does."""
    live = LiveProblem(conic_with_floor())
    for floor in (1.0, 4.0, 1.0, 0.2):
        live.update(radius=radius, floor=floor)
        found, fresh = live.solve(), solve_model(live.problem)
        assert found.status == fresh.status
        assert (found.status is Status.INFEASIBLE) == (floor > radius)
        if fresh.objective is not None:
            assert found.objective == pytest.approx(fresh.objective, abs=1e-6)


def test_clarabels_set_up_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Clarabel is made, and given new numbers."""
    if not hasattr(clarabel.DefaultSolver, "update"):
        pytest.skip("this Clarabel takes no new numbers")
    made = []
    original = clarabel.DefaultSolver

    def counted(*arguments: object) -> object:
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(clarabel, "DefaultSolver", counted)
    live = LiveProblem(conic_with_floor())
    for floor in (0.5, 1.0, 1.5):
        live.update(radius=2.0, floor=floor)
        assert live.solve().status is Status.OPTIMAL
    assert len(made) == 1


def conic_with_floor() -> cp.Problem:
    """A point in a ball and above a floor."""
    radius, floor = cp.Parameter(nonneg=True, name="radius"), cp.Parameter(name="floor")
    x = cp.Variable(3, name="x")
    return cp.Problem(cp.Minimize(cp.sum(x)), [cp.norm(x) <= radius, x[0] >= floor])


def test_basis_is_kept() -> None:
    """A right-hand side that hardly moves costs fewer iterations than a cold start."""
    rng = np.random.default_rng(5)
    problem = routing()
    live = LiveProblem(problem)
    first = values_for(problem, rng)
    live.update(**first)
    cold = live.solve()
    live.update(demand=first["demand"] * 1.001)
    warm = live.solve()
    assert warm.statistics["iterations"] < cold.statistics["iterations"] / 2


def test_values_duals_and_facts() -> None:
    """Names, duals and statistics are those of `solve_model`; seconds add up."""
    problem = routing()
    live = LiveProblem(problem, time_limit_s=60, seed=4)
    live.update(**values_for(problem, np.random.default_rng(8)))
    found, fresh = live.solve(), solve_model(problem, time_limit_s=60, seed=4)
    assert found.model is problem
    assert found.sense == fresh.sense
    assert found.options == fresh.options
    assert found.solver == fresh.solver
    assert list(found.values) == list(fresh.values)
    assert float((found.values["load"] * 1).sum()) > 0
    demand = problem.param_dict["demand"].value
    price = found.duals["constraint_0"].to_numpy()
    assert price == pytest.approx(fresh.duals["constraint_0"].to_numpy(), abs=1e-9)
    assert price.shape == demand.shape
    for fact in ("rows", "columns", "nonzeros", "integers"):
        assert found.statistics[fact] == fresh.statistics[fact]
    assert found.seconds["solve"] == pytest.approx(found.seconds["run"] + found.seconds["outside"])
    assert all(seconds > 0 for seconds in found.seconds.values())
    found.load_into_model()
    assert problem.value == pytest.approx(found.objective)


def test_other_solves_of_the_problem_do_not_matter(chains: list[int]) -> None:
    """The caller may solve the same problem by other solvers in between."""
    problem = routing()
    live = LiveProblem(problem)
    rng = np.random.default_rng(0)
    for _ in range(3):
        live.update(**values_for(problem, rng))
        ours = live.solve().objective
        before = len(chains)
        problem.solve(solver=cp.CLARABEL)
        del chains[before:]
        assert ours == pytest.approx(problem.value, rel=1e-6)
        assert live.solve().objective == ours
    assert len(chains) == 1


def test_parameters_may_be_set_directly() -> None:
    """A value set on the Parameter itself counts, as in CVXPY."""
    problem = routing()
    live = LiveProblem(problem)
    live.update(**values_for(problem, np.random.default_rng(1)))
    before = live.solve().objective
    problem.param_dict["price"].value = 2 * problem.param_dict["price"].value
    after = live.solve().objective
    assert after == pytest.approx(solve_model(problem).objective)
    assert after != before


def test_callers_array_may_change_afterwards() -> None:
    """`update` copies: writing into the array later changes nothing."""
    problem = quadratic()
    live = LiveProblem(problem)
    target = np.ones(SLOTS)
    live.update(demand=target, price=np.zeros(SLOTS))
    target[:] = 100
    assert live.solve().objective == pytest.approx(0.0, abs=1e-8)


# ------------------------------------------------------------------------------------ refusals
def test_not_dpp_names_the_part_and_the_way_out() -> None:
    """The message names constraint and objective, the smallest wrong expression, and a fix."""
    a, b = cp.Parameter(name="a", nonneg=True), cp.Parameter(name="b", nonneg=True)
    P = cp.Parameter((2, 2), PSD=True, name="P")
    x = cp.Variable(2, name="x")
    problem = cp.Problem(
        cp.Minimize(cp.quad_form(x, P)),
        [cp.sum(x) >= 1, cp.sum(a * b * x) <= 2],
    )
    with pytest.raises(UsageError) as caught:
        LiveProblem(problem)
    text = str(caught.value)
    assert "constraint_1: a * b" in text.replace("@", "*")
    assert "objective: QuadForm(x, P)" in text
    assert "constraint_0" not in text
    assert "sum_squares" in text
    assert "new Parameter" in text


def test_not_convex_is_refused() -> None:
    """A problem that is not even DCP is refused as `solve_model` refuses it."""
    x = cp.Variable(name="x")
    with pytest.raises(UsageError, match="not convex"):
        LiveProblem(cp.Problem(cp.Minimize(cp.sqrt(x))))


def test_wrong_objects_names_and_options() -> None:
    """No problem, two parameters of one name, unknown options and limits."""
    with pytest.raises(UsageError, match="LiveModel"):
        LiveProblem(object())  # type: ignore[arg-type]
    one, two = cp.Parameter(name="p"), cp.Parameter(name="p")
    x = cp.Variable(name="x")
    with pytest.raises(UsageError, match="called p"):
        LiveProblem(cp.Problem(cp.Minimize(x), [x >= one, x >= two]))
    with pytest.raises(UsageError, match="no_such"):
        LiveProblem(routing(), options={"no_such": 1})
    with pytest.raises(UsageError, match="time_limit_s"):
        LiveProblem(routing(), time_limit_s=-1)


def test_update_is_all_or_nothing() -> None:
    """Every bad value is named, and none of the good ones is kept."""
    problem = routing()
    live = LiveProblem(problem)
    good = values_for(problem, np.random.default_rng(2))
    live.update(**good)
    bad = {"demand": -np.ones(SLOTS), "price": np.full((3, SLOTS), np.nan), "limit": np.ones(3)}
    with pytest.raises(InputError) as caught:
        live.update(**bad)
    assert {flaw.field for flaw in caught.value.flaws} == {"demand", "price"}
    with pytest.raises(InputError, match="demand"):
        live.update(demand=np.ones(SLOTS + 1))
    with pytest.raises(InputError, match="price"):
        live.update(price="much")
    for name, value in good.items():
        assert problem.param_dict[name].value == pytest.approx(value)
    with pytest.raises(UsageError, match="demand"):
        live.update(demands=np.ones(SLOTS))


def test_a_computed_parameter_follows_and_cannot_be_set() -> None:
    """A product of parameters as CallbackParam is DPP, follows its factors, and cannot be set."""
    rate, hours = cp.Parameter(name="rate"), cp.Parameter(name="hours")
    work = cp.CallbackParam(lambda: rate.value * hours.value)
    level = cp.Parameter(name="level", value=1.0)
    x = cp.Variable(name="x")
    live = LiveProblem(cp.Problem(cp.Minimize(x), [x >= work, x >= level]))
    for a, b in ((2.0, 3.0), (4.0, 5.0)):
        rate.value, hours.value = a, b
        assert live.solve().objective == pytest.approx(a * b)
    with pytest.raises(InputError, match="computed"):
        live.update(level=50.0, **{work.name(): 1.0})
    assert level.value == 1.0


def test_missing_values_are_named() -> None:
    """Solving before every parameter has a value says which has none; afterwards it works."""
    problem = routing()
    live = LiveProblem(problem)
    new = values_for(problem, np.random.default_rng(2))
    live.update(demand=new["demand"])
    with pytest.raises(UsageError, match=r"price.*limit|limit.*price"):
        live.solve()
    live.update(**new)
    assert live.solve().status is Status.OPTIMAL


def test_options_for_highs_are_refused_for_cones() -> None:
    """As in `solve_model`, HiGHS options do not fit a cone programme."""
    live = LiveProblem(conic(), options={"presolve": "off"})
    live.update(**values_for(live.problem, np.random.default_rng(0)))
    with pytest.raises(UsageError, match="Clarabel"):
        live.solve()


def test_a_refused_push_does_not_spoil_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """After HiGHS has refused a change, the next solve starts from a clean solver."""
    problem = routing()
    live = LiveProblem(problem)
    rng = np.random.default_rng(4)
    live.update(**values_for(problem, rng))
    live.solve()

    def refuse(session: Session, model: LinearModel) -> None:
        session.model = model
        raise SolverError("HiGHS refused a change of the model.")

    live.update(**values_for(problem, rng))
    with monkeypatch.context() as patched:
        patched.setattr(Session, "update", refuse)
        with pytest.raises(SolverError):
            live.solve()
    assert live.solve().objective == pytest.approx(solve_model(problem).objective, rel=1e-9)


def test_without_parameters_and_without_variables() -> None:
    """A problem without parameters is solved again; one without variables is a constant."""
    x = cp.Variable(name="x")
    plain = LiveProblem(cp.Problem(cp.Minimize(x), [x >= 2]))
    assert [plain.solve().objective for _ in range(2)] == [2.0, 2.0]
    p = cp.Parameter(name="p")
    constant = LiveProblem(cp.Problem(cp.Minimize(p + 1), [p <= 3]))
    told = []
    for value in (1, 5, 2):
        constant.update(p=value)
        found = constant.solve()
        told.append((str(found.status), found.objective))
    assert told == [("optimal", 2.0), ("infeasible", None), ("optimal", 3.0)]
