"""The Pyomo front end: every kind of component, and duals in Pyomo's own signs."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError, UsageError
from optmodels.solver import compile_model, solve_model

from .models import dispatch


def two_sided(seed: int) -> pyo.ConcreteModel:
    """A random LP whose rows are written in every way Pyomo allows."""
    rng = np.random.default_rng(seed)
    m = pyo.ConcreteModel()
    m.I = pyo.RangeSet(0, 3)
    m.x = pyo.Var(m.I, bounds=lambda m, i: (float(rng.integers(-3, 1)), float(rng.integers(1, 5))))
    m.rows = pyo.ConstraintList()
    for kind in range(6):
        body = sum(float(rng.integers(-4, 5)) * m.x[i] for i in m.I) + 0.5 * m.x[kind % 4]
        level = float(rng.integers(1, 4))
        relation = (
            lambda b=body, v=level: b <= v,
            lambda b=body, v=level: v >= b,
            lambda b=body, v=level: -v <= b,
            lambda b=body, v=level: b >= -v,
            lambda b=body, v=level: pyo.inequality(-v, b, v),
            lambda b=body, v=level: b == 0.25 * v,
        )[kind]
        m.rows.add(relation())
    sense = pyo.maximize if rng.integers(0, 2) else pyo.minimize
    m.goal = pyo.Objective(expr=sum(float(rng.normal()) * m.x[i] for i in m.I) + 2.0, sense=sense)
    m.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    m.rc = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    return m


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6))
def test_duals_and_reduced_costs_agree_with_pyomo(seed: int) -> None:
    """Signs and sizes of duals equal those of Pyomo's own HiGHS interface.

    A convention of the solver's instead of the model's would flip the sign for maximisation, or
    for rows written as ``a >= body``.
    """
    model = two_sided(seed)
    solution = solve_model(model)
    theirs = pyo.SolverFactory("appsi_highs").solve(model, load_solutions=False)
    condition = str(theirs.solver.termination_condition)
    if solution.status != "optimal":
        assert condition != "optimal"
        return
    pyo.SolverFactory("appsi_highs").solve(model)
    assert solution.objective == pytest.approx(pyo.value(model.goal), rel=1e-9)
    if not has_unique_duals(model):
        return
    duals = [model.dual[data] for data in model.rows.values()]
    reduced = [model.rc[model.x[i]] for i in model.I]
    assert np.allclose(solution.duals["rows"].to_numpy(), duals, atol=1e-7)
    assert np.allclose(solution.reduced_costs["x"].to_numpy(), reduced, atol=1e-7)


def has_unique_duals(model: pyo.ConcreteModel) -> bool:
    """Whether as many limits are active at the model's point as it has variables."""

    def touches(level: float, *sides: object) -> bool:
        return any(side is not None and abs(level - pyo.value(side)) < 1e-9 for side in sides)

    active = sum(touches(v.value, v.lb, v.ub) for v in model.x.values()) + sum(
        touches(pyo.value(data.body), data.lower, data.upper) for data in model.rows.values()
    )
    return active == len(model.x)


def test_the_comparison_of_duals_is_not_vacuous() -> None:
    """Most optimal random models of the comparison above do have unique duals."""
    judged = []
    for seed in range(40):
        model = two_sided(seed)
        solution = solve_model(model)
        if solution.status == "optimal":
            solution.load_into_model()
            judged.append(has_unique_duals(model))
    assert sum(judged) >= 10


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("way", ["lower", "lower flipped", "upper", "upper flipped", "ranged", "="])
def test_dual_is_the_change_of_the_objective(maximize: bool, way: str) -> None:
    """A dual is d objective / d right-hand side, measured by moving the right-hand side.

    This defines the sign independently of any interface, for each way of writing the row.
    """

    def objective(level: float) -> tuple[float, float]:
        m = pyo.ConcreteModel()
        m.x = pyo.Var(bounds=(0, 10))
        m.row = pyo.Constraint(
            expr={
                "lower": 2 * m.x >= level,
                "lower flipped": level <= 2 * m.x,
                "upper": 2 * m.x <= level,
                "upper flipped": level >= 2 * m.x,
                "ranged": pyo.inequality(level, 2 * m.x, level + 2),
                "=": 2 * m.x == level,
            }[way]
        )
        # The objective always presses against the row, whichever way it is written.
        towards_less = not way.startswith("upper")
        cost = 3 if towards_less != maximize else -3
        sense = pyo.maximize if maximize else pyo.minimize
        m.goal = pyo.Objective(expr=cost * m.x, sense=sense)
        solution = solve_model(m)
        return solution.objective, float(solution.duals["row"].iloc[0])

    (before, dual), (after, _) = objective(4.0), objective(4.5)
    assert dual != 0
    assert dual == pytest.approx((after - before) / 0.5)


def test_every_kind_of_row_and_variable() -> None:
    """Ranged, fixed, unused, deactivated and constant parts, all values labelled."""
    m = pyo.ConcreteModel()
    m.S = pyo.Set(initialize=["a", "b"])
    m.T = pyo.RangeSet(2)
    m.x = pyo.Var(m.S, m.T, bounds=(0, 5))
    m.unused = pyo.Var(bounds=(3, 7))
    m.fixed = pyo.Var(m.T, initialize=2.0)
    m.fixed[1].fix()
    m.fixed[2].fix(4.0)
    m.block = pyo.Block(m.T)
    for t in m.T:
        m.block[t].y = pyo.Var(within=pyo.NonNegativeReals)
    m.ranged = pyo.Constraint(
        m.S,
        rule=lambda m, s: pyo.inequality(1, sum(m.x[s, t] for t in m.T) + m.fixed[1], 4),
    )
    m.off = pyo.Constraint(m.S, rule=lambda m, s: m.x[s, 1] >= 100)
    m.off.deactivate()
    m.true = pyo.Constraint(expr=m.fixed[1] <= 2.5)
    m.skipped = pyo.Constraint(m.T, rule=lambda m, t: pyo.Constraint.Skip)
    m.nothing = pyo.Constraint(expr=(float("-inf"), m.x["a", 1], float("inf")))
    m.side = pyo.Constraint(expr=m.block[1].y + m.block[2].y <= 6)
    m.goal = pyo.Objective(
        expr=sum(m.x[i] for i in m.x) + 2 * m.block[1].y + m.fixed[2] + 1, sense=pyo.maximize
    )
    solution = solve_model(m)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(2 * 2 + 12 + 4 + 1)
    assert solution.bound == pytest.approx(solution.objective, rel=1e-9)
    values = solution.values
    assert values["x"].index.names == ["S", "T"]
    assert values["x"].groupby("S").sum().to_dict() == {"a": 2.0, "b": 2.0}
    assert values["fixed"].to_dict() == {1: 2.0, 2: 4.0}
    assert 3 <= values["unused"].item() <= 7
    assert values["block[1].y"].item() == pytest.approx(6)
    assert solution.duals["ranged"].to_dict() == {"a": 1.0, "b": 1.0}
    assert solution.duals["true"].item() == 0.0
    assert "off" not in solution.duals
    assert np.isnan(solution.reduced_costs["fixed"].to_numpy()).all()
    assert solution.statistics["rows"] == 4
    compiled = compile_model(m)
    assert (compiled.row_lower[:2] == -1).all()
    assert (compiled.row_upper[:2] == 2).all()


def test_loading_writes_values_and_suffixes_only_when_told() -> None:
    """Solving leaves the model alone; `load_into_model` writes values, duals, reduced costs."""
    m = two_sided(3)
    m.rows.deactivate()
    m.cover = pyo.Constraint(expr=m.x[0] + m.x[1] >= 1)
    m.goal.set_value(2 * m.x[0] + 3 * m.x[1] + m.x[2] - m.x[3])
    m.goal.sense = pyo.minimize
    solution = solve_model(m)
    assert all(variable.value is None for variable in m.x.values())
    solution.load_into_model()
    assert pyo.value(m.goal) == pytest.approx(solution.objective)
    assert m.dual[m.cover] == pytest.approx(solution.duals["cover"].item())
    assert m.rc[m.x[3]] == pytest.approx(-1.0)
    m.never = pyo.Constraint(expr=m.x[0] >= 99)
    before = [variable.value for variable in m.x.values()]
    with pytest.raises(InfeasibleError):
        solve_model(m).load_into_model()
    assert [variable.value for variable in m.x.values()] == before


def test_empty_models() -> None:
    """No objective, no constraints, no variables: each has a right status."""
    m = pyo.ConcreteModel()
    assert solve_model(m).objective == 0
    m.x = pyo.Var(bounds=(1, 2))
    only_variables = solve_model(m)
    assert only_variables.status == "optimal"
    assert 1 <= only_variables.values["x"].item() <= 2
    m.goal = pyo.Objective(expr=m.x)
    assert solve_model(m).objective == 1
    m.goal.deactivate()
    m.row = pyo.Constraint(expr=m.x >= 1.5)
    feasibility = solve_model(m)
    assert feasibility.objective == 0
    assert feasibility.values["x"].item() >= 1.5 - 1e-9
    constant = pyo.ConcreteModel()
    constant.goal = pyo.Objective(expr=5.0)
    assert solve_model(constant).objective == 5


@pytest.mark.parametrize(("value", "status"), [(2.0, "optimal"), (0.5, "infeasible")])
def test_constraints_without_variables(value: float, status: str) -> None:
    """True ones vanish, false ones make the model infeasible; no crash, the model unchanged."""
    m = pyo.ConcreteModel()
    m.f = pyo.Var(initialize=value)
    m.f.fix()
    m.x = pyo.Var(bounds=(0, 1))
    m.need = pyo.Constraint(expr=m.f >= 1)
    m.rounded = pyo.Constraint(expr=0.1 * m.f + 0.2 * m.f == 0.3 * value + 1e-16)
    m.goal = pyo.Objective(expr=m.x)
    solution = solve_model(m)
    assert solution.status == status
    assert m.need.active
    assert m.f.fixed


def test_abstract_models() -> None:
    """An AbstractModel takes its data; without it the message says so."""
    m = pyo.AbstractModel()
    m.n = pyo.Param(within=pyo.Integers)
    m.I = pyo.RangeSet(m.n)
    m.x = pyo.Var(m.I, bounds=(0, 1))
    m.goal = pyo.Objective(rule=lambda m: sum(m.x[i] for i in m.I), sense=pyo.maximize)
    solution = solve_model(m, data={None: {"n": {None: 3}}})
    assert solution.objective == 3
    assert len(solution.values["x"]) == 3
    assert solution.model.is_constructed()
    assert not m.is_constructed()
    with pytest.raises(UsageError, match="data="):
        solve_model(m)
    with pytest.raises(UsageError, match="already has its data"):
        solve_model(dispatch(), data={})


def test_components_beyond_a_linear_model_are_refused() -> None:
    """Each refusal says what to do instead."""
    m = dispatch()
    m.square = pyo.Constraint(expr=m.bought[1] ** 2 <= 1)
    with pytest.raises(UsageError, match=r"square.*CVXPY"):
        solve_model(m)
    m.del_component("square")
    m.second = pyo.Objective(expr=m.bought[1])
    with pytest.raises(UsageError, match="cost, second"):
        solve_model(m)
    m.del_component("second")
    m.sos = pyo.SOSConstraint(var=m.bought, sos=1)
    with pytest.raises(UsageError, match=r"SOSConstraint \(sos\)"):
        solve_model(m)
    m.del_component("sos")
    from pyomo.gdp import Disjunct, Disjunction

    m.left, m.right = Disjunct(), Disjunct()
    m.either = Disjunction(expr=[m.left, m.right])
    with pytest.raises(UsageError, match=r"gdp\.bigm"):
        solve_model(m)
    curved = pyo.ConcreteModel()
    curved.x = pyo.Var(bounds=(0, 1))
    curved.goal = pyo.Objective(expr=curved.x**2)
    with pytest.raises(UsageError, match=r"goal.*CVXPY"):
        solve_model(curved)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_are_named(bad: float) -> None:
    """NaN and infinite coefficients, costs, limits and bounds: component and index in the text."""
    m = pyo.ConcreteModel()
    m.I = pyo.RangeSet(3)
    m.x = pyo.Var(m.I, bounds=(0, 1))
    m.p = pyo.Param(m.I, initialize={1: 1.0, 2: bad, 3: 1.0}, mutable=True, within=pyo.Any)
    m.goal = pyo.Objective(expr=sum(m.x[i] for i in m.I))
    m.row = pyo.Constraint(m.I, rule=lambda m, i: m.p[i] * m.x[i] + m.x[1] <= 2)
    with pytest.raises(InputError, match=r"row\[2\].*coefficient of x\[2\]"):
        solve_model(m)
    m.del_component("row")
    m.row = pyo.Constraint(m.I, rule=lambda m, i: m.x[i] <= -m.p[i])
    with pytest.raises(InputError, match=r"row\[2\]"):
        solve_model(m)
    m.del_component("row")
    m.goal.set_value(sum(m.p[i] * m.x[i] for i in m.I))
    with pytest.raises(InputError, match=r"x\[2\]"):
        solve_model(m)


def test_a_fixed_variable_without_value_is_named() -> None:
    """Pyomo fails on it with an InvalidValueError of its own; we name the variable."""
    m = dispatch()
    m.bought[3].fixed = True
    with pytest.raises(InputError, match=r"bought\[3\].*fixed but has no value"):
        solve_model(m)


def test_references_do_not_double_variables() -> None:
    """A Reference shows variables and constraints again under its own name, no new columns."""
    m = dispatch()
    m.again = pyo.Reference(m.power["a", :])
    m.unused = pyo.Var([1, 2])
    m.unused_again = pyo.Reference(m.unused)
    solution = solve_model(m)
    assert solution.statistics["columns"] == 8 * 3 + 2
    assert solution.values["again"].to_list() == solution.values["power"].loc["a"].to_list()


def test_huge_bounds_are_no_bounds() -> None:
    """A bound of 1e30 is infinite to HiGHS, and to the proof of the bound."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1e30, 1e30))
    m.y = pyo.Var(bounds=(0, 1e25))
    m.row = pyo.Constraint(expr=m.x + m.y >= 1)
    m.goal = pyo.Objective(expr=m.x + 2 * m.y)
    solution = solve_model(m)
    assert solution.status == "optimal"
    assert (solution.objective, solution.bound) == (1.0, 1.0)
    m.goal.sense = pyo.maximize
    assert solve_model(m).status == "unbounded"


def test_unfixed_names_are_read_late_but_fixed_values_early() -> None:
    """Labels are lazy; what was fixed while solving is remembered, whatever happens after."""
    m = dispatch()
    m.bought[3].fix(0.25)
    solution = solve_model(m)
    m.bought[3].unfix()
    m.bought[3].value = 99.0
    assert solution.values["bought"][3] == 0.25


def test_warm_start_by_names() -> None:
    """Series over a MultiIndex, dicts and scalars by component name reach the right columns."""
    m = dispatch()
    for variable in m.power.values():
        variable.domain = pyo.Integers
    reference = solve_model(m)
    start = {"power": reference.values["power"], "bought": dict(reference.values["bought"])}
    again = solve_model(m, warm_start=start)
    assert again.objective == pytest.approx(reference.objective)
    with pytest.raises(InputError, match="no index"):
        solve_model(m, warm_start={"power": {("a", 99): 1.0}})


def test_seconds_and_sense() -> None:
    """The solution tells the sense and splits the time."""
    solution = solve_model(dispatch())
    assert solution.sense == "minimize"
    assert set(solution.seconds) == {"build", "solve"}
    assert all(value >= 0 for value in solution.seconds.values())


def test_not_a_model() -> None:
    """Anything else is refused by name."""
    for thing in (3, "model", pyo.Var()):
        with pytest.raises(UsageError, match="ConcreteModel"):
            solve_model(thing)
