"""The formulation: hand-checked optima, three forms of one model, brute force, hulls."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.hulls import all_columns, lower_hull, needed_columns, undominated
from optmodels.routing.sites.model import concrete_model, formulation, model_data, relaxation
from optmodels.routing.sites.programme import Costs, Programme
from optmodels.solver import compile_model, solve_model
from optmodels.solver.pyomo_standard import compile_pyomo
from optmodels.solver.template import instance_of
from tests.routing.sites.fleets import fleet, random_question
from tests.routing.sites.instances import small, toy_h1
from tests.solver.comparing import assert_same, read_back

TWO_PHASES = 1e-6


def toy(power=(4.0, 2.0)):
    """The toy H1 as a fleet, its power and its demand."""
    instance = toy_h1(power)
    return Fleet.of(instance), instance.power_kw, instance.demand


def phases(form, made, power, demand, costs, **more):
    """Loss and second objective by two solves of a formulation."""
    columns = all_columns(made)
    data = model_data(made, columns, power, demand, **more)
    lost = solve_model(form, data=data).objective
    second = {
        "lost_weight": 0.0,
        "most_lost": lost + TWO_PHASES * max(1.0, lost) + 1e-9,
        "running_cost": costs.running[columns.row],
        "flow_cost": costs.flow[data["arcs"][0], made.bins.site[data["arcs"][1]]],
        "idle_cost": np.tile(costs.idle, 0 if more.get("free") else made.sites),
    }
    return lost, solve_model(form, data=data | second).objective


# -- by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "name", "value"),
    [
        (formulation, "power", 5.2),
        (relaxation, "power", 5.2),
        (formulation, "latency", 34.8),
        (relaxation, "latency", 26.4),
    ],
)
def test_toy_by_hand(form, name, value):
    """Two sites, four rows: nothing is lost.

    A1 + 2 B1 and 2 A1 draw 5.2 kW, which no fractions undercut; A2 + 2 B1 and A2 hold 34.8
    requests, fractions 26.4. A model whose latency counts instances instead of requests (without λ)
    gives another number.
    """
    made, power, demand = toy()
    lost, second = phases(form(), made, power, demand, Costs.second(made, name))
    assert lost == pytest.approx(0.0, abs=1e-9)
    assert second == pytest.approx(value, rel=2e-6)


def test_toy_with_a_dark_site():
    """Site 2 without power: 2.5 requests a second are lost in whole instances, and it runs none."""
    made, power, demand = toy((4.0, 0.0))
    data = model_data(made, all_columns(made), power, demand)
    solved = solve_model(formulation(), data=data)
    assert solved.objective == pytest.approx(2.5)
    running = solved.values["running"]
    assert running[running.index.get_level_values(1) == 1].sum() == 0
    assert solve_model(relaxation(), data=data).objective == pytest.approx(18 / 11)


# -- three forms ---------------------------------------------------------------------------------


def some_data():
    """Both models: reaches, reloading, warm idling, free rows, several periods."""
    for seed, idle in ((0, 0.0), (1, 0.1)):
        made, power, demand = random_question(seed, idle_kw=idle, backup_kw=1.5)
        power, demand = np.stack([power, power * 0.5]), np.stack([demand, demand * 1.1])
        before = np.full((made.sites, len(made.degrees)), 1.0)
        columns = all_columns(made)
        kept = {"before": before, "reload_share": 0.25}
        yield formulation(), model_data(made, columns, power, demand, **kept)
        yield relaxation(), model_data(made, columns, power, demand, **kept)
        yield relaxation(), model_data(made, columns, power, demand, free=True)


@pytest.mark.parametrize("place", range(6))
def test_three_forms_are_one_model(tmp_path, place):
    """Compiled from traces, through Pyomo's objects and read back from files: one matrix."""
    form, data = list(some_data())[place]
    compiled = compile_model(form, data)
    assert_same(compiled, compile_pyomo(instance_of(form, data)))
    for suffix in (".mps", ".lp"):
        assert_same(compiled, read_back(compiled, tmp_path, suffix))


def test_no_pyomo_model_is_made(monkeypatch):
    """The planners compile the traced formulation; they need no Pyomo instance."""

    def refuse(*_, **__):
        raise AssertionError("an instance was made")

    monkeypatch.setattr(pyo.AbstractModel, "create_instance", refuse)
    made, power, demand = toy()
    assert Programme(made).solve(power[0], demand[0]).lost == pytest.approx(0.0, abs=1e-9)


def test_the_model_says_what_it_is():
    """Every constraint is named and described; the formulation holds no data."""
    for form in (formulation(), relaxation()):
        assert not form.is_constructed()
        assert all(c.doc for c in form.component_objects(pyo.Constraint))
        assert all(s.doc for s in (form.rows, form.bins, form.arcs))
    model = concrete_model(small(0))
    assert {c.name for c in model.component_objects(pyo.Constraint)} >= {
        "gpu_limit",
        "power_limit",
        "balance",
        "capacity",
        "loading",
    }


def test_an_instance_gives_an_ordinary_model():
    """`RoutingInstance.model()` is the first slot, which a solver of one's own can solve."""
    solved = solve_model(toy_h1((4.0, 0.0)).model())
    assert solved.objective == pytest.approx(2.5)


# -- brute force ---------------------------------------------------------------------------------


def flows_by_rows(made, capacity, demand):
    """Least loss with given capacities (S, R): flows from origins to rows, without any bins."""
    arcs = np.argwhere(made.ok & (capacity > 0)[None])
    total = float(demand.sum(axis=0) @ made.weight)
    if not len(arcs):
        return total
    origin, site, row = arcs.T
    n = len(arcs)
    at_row, place = np.unique(site * made.rows + row, return_inverse=True)
    of_demand = origin * made.classes + made.row_class[row]
    matrix = np.zeros((len(at_row) + demand.size, n))
    matrix[place.ravel(), np.arange(n)] = 1
    matrix[len(at_row) + of_demand, np.arange(n)] = 1
    limit = np.concatenate([capacity.ravel()[at_row], demand.ravel()])
    return total + linprog(-made.weight[made.row_class[row]], A_ub=matrix, b_ub=limit).fun


def brute_force(made, power, demand):
    """Least loss over all whole instances of all rows."""
    pairs = np.argwhere(made.ok.any(axis=0))
    most = [
        int(min(made.gpus[s] // made.tp[r], (power[s] + made.backup_kw[s]) // made.kw[r]))
        for s, r in pairs
    ]
    best = np.inf
    for counts in product(*(range(m + 1) for m in most)):
        running = np.zeros((made.sites, made.rows))
        running[pairs[:, 0], pairs[:, 1]] = counts
        configured = made.of_degree(running)
        if (running @ made.tp > made.gpus).any():
            continue
        if (made.power_of(running, configured) > power + made.backup_kw + 1e-9).any():
            continue
        best = min(best, flows_by_rows(made, running * made.rate, demand))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_brute_force(seed):
    """The least loss of tiny fleets is that over all whole instances, flows going to single rows.

    A model whose bins let a near row serve far origins loses less than what is possible.
    """
    made, power, demand = random_question(
        seed,
        per_kind=1,
        gpus=5,
        degrees=(1, 2),
        idle_kw=0.1 * (seed % 2),
        backup_kw=0.3 * (seed % 3),
    )
    data = model_data(made, all_columns(made), power[None], demand[None])
    solved = solve_model(formulation(), data=data, mip_gap=0.0).objective
    assert solved == pytest.approx(brute_force(made, power, demand), rel=1e-6, abs=1e-6)


def test_loading_takes_a_share():
    """Ten instances, four of them new, a quarter of the period for loading: nine serve.

    A model that lets loading instances serve loses nothing here.
    """
    made = fleet([(0, 1, 1.0, 1.0, 1.0)], [10])
    power, demand = np.array([[10.0]]), np.array([[[10.0]]])
    for form in (formulation(), relaxation()):
        data = model_data(
            made, all_columns(made), power, demand, before=np.array([[6.0]]), reload_share=0.25
        )
        assert solve_model(form, data=data).objective == pytest.approx(1.0)
    free = model_data(made, all_columns(made), power, demand, free=True)
    assert solve_model(relaxation(), data=free).objective == pytest.approx(0.0, abs=1e-9)


def test_loading_couples_periods():
    """A change of degree pays only if it lasts.

    With loading for a whole period it is made a period ahead. Without coupling the second period
    would lose nothing either way.
    """
    rows = [(0, 1, 1.0, 1.0, 1.0), (1, 2, 3.0, 1.0, 1.0)]
    made = fleet(rows, [2])
    power = np.full((2, 1), 10.0)
    demand = np.array([[[2.0, 0.0]], [[0.0, 3.0]]])
    data = model_data(made, all_columns(made), power, demand, reload_share=1.0)
    # Serve both in the first period and load in the second, or the other way round.
    assert solve_model(formulation(), data=data).objective == pytest.approx(2.0)


def test_warm_instances_draw_power():
    """Where idle instances stay on, three of them take 0.6 of 1.5 kW: one may still run.

    Its 0.8 kW take the place of its own idle power, or two would be too many.
    """
    made = fleet([(0, 1, 1.0, 0.8, 1.0)], [4], idle_kw=0.2)
    data = model_data(made, all_columns(made), np.array([[1.5]]), np.array([[[4.0]]]))
    solved = solve_model(formulation(), data=data)
    assert solved.objective == pytest.approx(3.0)
    held = data | {"most_configured": np.array([3.0]), "least_configured": np.array([3.0])}
    relaxed = solve_model(relaxation(), data=held)
    assert relaxed.objective == pytest.approx(4.0 - 0.9 / 0.6)


# -- hulls ---------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@example(seed=0, name="power", free=True, idle=0.15)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(["power", "latency"]),
    free=st.booleans(),
    idle=st.sampled_from([0.0, 0.15]),
)
def test_hulls_leave_the_optimum_as_it_is(seed, name, free, idle):
    """Both phases have the value that they have with all rows (T1.3), with and without degrees.

    A hull over rows of different reach, or one that ignores the third measure, misses it.
    """
    made, power, demand = random_question(seed, idle_kw=idle, load=0.9)
    before = None if free else np.full((made.sites, len(made.degrees)), 2.0)
    costs = Costs.second(made, name)
    kept = {} if free else {"before": before, "reload_share": 0.2}
    few = Programme(made, costs, free=free).solve(power, demand, **kept)
    every = Programme(made, costs, free=free, columns=all_columns(made))
    every = every.solve(power, demand, **kept)
    assert few.lost == pytest.approx(every.lost, rel=1e-7, abs=1e-7)
    assert few.cost == pytest.approx(every.cost, rel=1e-5, abs=1e-5)


def test_hulls_are_small():
    """Of hundreds of rows a site needs some dozens, and all sites alike need the same."""
    made, _, _ = random_question(3, sites=3, origins=1, per_kind=60)
    same = replace(made, ok=np.ones_like(made.ok))
    columns = needed_columns(same)
    assert 0 < len(columns) < 0.2 * len(all_columns(same))
    rows = [set(columns.row[columns.site == s].tolist()) for s in range(3)]
    assert rows[0] == rows[1] == rows[2]
    assert len(needed_columns(same, free_degree=True)) < len(columns)
    assert len(columns) < len(needed_columns(same, timed=True))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_lower_hull_is_what_weighted_sums_choose(points):
    """For any positive weights a corner is least; every corner is so for some weights."""
    x, y = np.array(points, dtype=float).T
    corners = lower_hull(x, y)
    angles = np.linspace(0.001, np.pi / 2 - 0.001, 400)
    values = np.cos(angles)[:, None] * x + np.sin(angles)[:, None] * y
    assert np.allclose(values.min(axis=1), values[:, corners].min(axis=1))
    winners = values[:, corners].argmin(axis=1)
    assert set(winners.tolist()) == set(range(len(corners)))
    kept = undominated(np.stack([x, y], axis=1))
    better = (x[:, None] >= x[kept]) & (y[:, None] >= y[kept])
    assert better.any(axis=1).all()
    assert len(np.unique(np.stack([x, y], axis=1)[kept], axis=0)) == len(kept)
