"""The live model: updated, fixed, moved along, and always the answer of a cold solve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError, UsageError
from optmodels.solver.live import LiveModel, shifted_start
from optmodels.solver.status import Status
from optmodels.solver.template import Formulation

SLOTS, UNITS = 12, 3
TIMES = ("slots", "later")


def dispatch(integer: bool = False) -> pyo.AbstractModel:
    """Units serve a demand; unserved demand and changes of a unit's level cost."""
    m = pyo.AbstractModel()
    m.units, m.slots = pyo.Set(), pyo.Set()
    m.later = pyo.Set(within=m.slots)
    m.price = pyo.Param(m.units, m.slots, mutable=True)
    m.size = pyo.Param(m.units)
    m.demand = pyo.Param(m.slots, mutable=True)
    m.ramp_cost = pyo.Param(mutable=True)
    within = pyo.NonNegativeIntegers if integer else pyo.NonNegativeReals
    m.level = pyo.Var(m.units, m.slots, within=within, bounds=lambda m, u, t: (0, m.size[u]))
    m.missing = pyo.Var(m.slots, within=pyo.NonNegativeReals)
    m.up = pyo.Var(m.units, m.later, within=pyo.NonNegativeReals)

    @m.Constraint(m.slots, doc="demand is met or counted as missing")
    def balance(m, t):
        return sum(m.level[u, t] for u in m.units) + m.missing[t] == m.demand[t]

    @m.Constraint(m.units, m.later, doc="a rise of a level is paid")
    def ramp(m, u, t):
        return m.level[u, t] - m.level[u, t - 1] <= m.up[u, t]

    @m.Objective()
    def cost(m):
        running = sum(m.price[u, t] * m.level[u, t] for u in m.units for t in m.slots)
        rises = sum(m.up[u, t] for u in m.units for t in m.later)
        return running + 50 * sum(m.missing[t] for t in m.slots) + m.ramp_cost * rises

    return m


LINEAR, WHOLE = Formulation(dispatch()), Formulation(dispatch(integer=True))


def series(seed: int, windows: int = 8):
    """Constants, and a function that gives the changing data of a window."""
    rng = np.random.default_rng(seed)
    demand = np.round(rng.uniform(2, 12, SLOTS + windows), 1)
    price = rng.uniform(1, 9, (UNITS, SLOTS + windows))
    constants = {
        "units": ["a", "b", "c"],
        "slots": np.arange(1, SLOTS + 1),
        "later": np.arange(2, SLOTS + 1),
        "size": [3.0, 4.0, 6.0],
        "ramp_cost": 2.0,
    }

    def window(i: int):
        return {"demand": demand[i : i + SLOTS], "price": price[:, i : i + SLOTS]}

    return constants, window


@given(seed=st.integers(0, 2**16), integer=st.booleans(), move=st.booleans())
@settings(deadline=None, derandomize=True, max_examples=20)
def test_every_window_equals_a_cold_solve(seed, integer, move):
    """Warm, moved or not, LP or MIP: the objective is the one of a model made anew.

    A basis or a start that changed more than where the solver begins would change the objective;
    so would a change of data that did not reach the solver.
    """
    formulation = WHOLE if integer else LINEAR
    constants, window = series(seed)
    live = LiveModel(formulation, {**constants, **window(0)}, mip_gap=0.0)
    for i in range(8):
        live.update(**window(i))
        if move:
            live.shift_start(1, TIMES)
        warm = live.solve()
        cold = LiveModel(formulation, {**constants, **window(i)}, mip_gap=0.0).solve()
        assert warm.status is cold.status is Status.OPTIMAL
        assert warm.objective == pytest.approx(cold.objective, rel=1e-9)


def test_a_moved_basis_saves_iterations():
    """After a pure move of the window, the moved basis needs far fewer iterations.

    Moving it the wrong way, or moving columns but not rows, costs more than not moving it at all.
    """
    constants, window = series(1, windows=30)
    counts = {}
    for by in (None, 1, -1):
        live = LiveModel(LINEAR, {**constants, **window(0)})
        live.solve()
        counts[by] = 0
        for i in range(1, 30):
            if by is not None:
                live.shift_start(by, TIMES)
            live.update(**window(i))
            counts[by] += live.solve().statistics["iterations"]
    assert counts[1] < 0.5 * counts[None] < counts[-1]


def test_seconds_are_told_for_every_solve():
    """`run` is a part of `solve`, the rest is `outside`; both count since the solve before."""
    constants, window = series(2)
    live = LiveModel(LINEAR, {**constants, **window(0)})
    for _ in range(2):
        seconds = live.solve().seconds
        assert 0 < seconds["run"] <= seconds["solve"]
        assert seconds["outside"] == pytest.approx(seconds["solve"] - seconds["run"])


def test_fixed_variables_stay_fixed_until_released():
    """Values of some labels, added to and replaced; an update keeps them; release undoes all."""
    constants, window = series(3)
    live = LiveModel(LINEAR, {**constants, **window(0)})
    free = live.solve().objective
    live.fix("level", {("a", 1): 1.5, ("b", 2): 0.25})
    live.fix("level", pd.Series([2.0], index=pd.MultiIndex.from_tuples([("a", 1)])))
    live.update(**window(1))
    level = live.solve().values["level"]
    assert level["a", 1] == 2.0
    assert level["b", 2] == 0.25
    live.release("level")
    live.update(**window(0))
    assert live.solve().objective == pytest.approx(free, rel=1e-12)
    live.fix("missing", 0.0)
    assert (live.solve().values["missing"] == 0).all()
    live.release()
    assert live.solve().objective == pytest.approx(free, rel=1e-12)


def test_fixing_to_the_impossible_is_explained():
    """Fixed variables are part of the model that is solved and of the model that is explained."""
    constants, window = series(4)
    live = LiveModel(LINEAR, {**constants, **window(0)})
    live.fix("level", 0.0)
    live.fix("missing", 0.0)
    with pytest.raises(InfeasibleError):
        live.solve().require()
    assert "demand is met" in " ".join(live.explain().sentences())


@pytest.mark.parametrize(
    ("component", "values", "error", "text"),
    [
        ("levels", 0.0, UsageError, "level"),
        ("level", {("z", 1): 0.0}, InputError, "no index"),
        ("level", {("a", 1): float("nan")}, InputError, "finite"),
        ("missing", "much", InputError, "not a number"),
    ],
)
def test_what_cannot_be_fixed_is_refused(component, values, error, text):
    """Unknown names and labels, and values that are no numbers; the model is left as it was."""
    constants, window = series(5)
    live = LiveModel(LINEAR, {**constants, **window(0)})
    before = live.solve().objective
    with pytest.raises(error, match=text):
        live.fix(component, values)
    assert live.solve().objective == before
    with pytest.raises(UsageError):
        live.release("level")


def test_a_shifted_start_stands_one_step_later():
    """At t the value that was at t + 1; the last slot, and what has no slot, as they were."""
    constants, window = series(6)
    live = LiveModel(WHOLE, {**constants, **window(0)})
    solution = live.solve()
    start = shifted_start(solution, by=1, level="slots")
    old, new = solution.values["level"], start["level"]
    assert new["b", 4] == old["b", 5]
    assert new["b", SLOTS] == old["b", SLOTS]
    pd.testing.assert_series_equal(start["up"], solution.values["up"])
    with pytest.raises(UsageError, match="slots"):
        shifted_start(solution, by=1, level="slot")


def test_a_start_is_taken_up():
    """With no time to search, a model with integers answers with the start that it was given."""
    constants, window = series(7)
    best = LiveModel(WHOLE, {**constants, **window(0)}, mip_gap=0.0).solve()
    options = {"mip_max_nodes": 0, "presolve": "off", "mip_heuristic_effort": 0.0}
    live = LiveModel(WHOLE, {**constants, **window(0)}, options=options)
    live.start_from(best.values)
    assert live.solve().objective == pytest.approx(best.objective, rel=1e-9)


def test_there_is_no_model_to_load():
    """A live model has no Pyomo objects: loading values says so, as for any compiled model."""
    constants, window = series(8)
    with pytest.raises(UsageError, match="AbstractModel"):
        LiveModel(LINEAR, {**constants, **window(0)}).solve().load_into_model()


def test_times_move_by_time():
    """Labels may be timestamps: they move by a Timedelta."""
    m = pyo.AbstractModel()
    m.slots = pyo.Set()
    m.value = pyo.Param(m.slots, mutable=True)
    m.x = pyo.Var(m.slots, bounds=(0, 10))
    m.least = pyo.Constraint(m.slots, rule=lambda m, t: m.x[t] >= m.value[t])
    m.cost = pyo.Objective(rule=lambda m: sum(m.x[t] for t in m.slots))
    times = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC")
    live = LiveModel(m, {"slots": list(times), "value": [1.0, 2.0, 3.0, 4.0]})
    moved = shifted_start(live.solve(), by=pd.Timedelta(hours=1), level="slots")["x"]
    assert moved.tolist() == [2.0, 3.0, 4.0, 4.0]
