"""The oracle: audited plans, bounds that nobody undercuts, prices, trade-offs, words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.routing.sites import foresight, optimum
from optmodels.routing.sites.audit import audit
from optmodels.routing.sites.dispatch import tables_of
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.foresight import WAYS, Foresight, question_of
from optmodels.routing.sites.hulls import all_columns
from optmodels.routing.sites.limits import explain
from optmodels.routing.sites.merged import merged_loss
from optmodels.routing.sites.model import formulation, model_data
from optmodels.routing.sites.optimum import solve
from optmodels.routing.sites.prices import least_losses, price_bound
from optmodels.routing.sites.programme import Costs, Programme
from optmodels.routing.sites.synthetic import generate
from optmodels.routing.sites.weighted import OBJECTIVES, weighted
from optmodels.solver import solve_model
from tests.routing.sites.fleets import random_question
from tests.routing.sites.instances import routing, small, toy_h1

MANY = settings(max_examples=10, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)
ONE_ROW = [(0, 1, 1.0, 1.0, 1.0)]


def tiny(seed, **more):
    """Random instance that the formulation solves in a second or two."""
    return small(seed, periods=3, sites=2, classes=2, gpus=8, **more)


# -- plans ---------------------------------------------------------------------------------------


def test_toy():
    """The toy H1 loses nothing, with site 2 dark 2.5 requests a second for 300 s."""
    assert solve(toy_h1()).objective == 0.0
    plan = solve(toy_h1((4.0, 0.0)))
    assert plan.objective == pytest.approx(750.0)
    assert plan.status == "optimal" and plan.bound == pytest.approx(750.0)
    relaxed = solve(toy_h1((4.0, 0.0)), method="repair")
    assert relaxed.bound == pytest.approx(300 * 18 / 11)
    assert relaxed.bound <= plan.objective <= relaxed.objective + 1e-6


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("kind", ["plain", "warm", "grid", "slow loading"])
def test_methods_agree(seed, kind):
    """Bound of "repair" <= bound of "milp" <= its plan <= plan of "repair", all audited.

    A formulation that lets loading instances serve, or forgets idle power, fails its audit or has a
    bound above its own plan.
    """
    more = {
        "plain": {},
        "warm": {"keep_warm": True, "gpu_idle_kw": 0.1},
        "grid": {"backup_kw": 2.0, "carbon": 400.0},
        "slow loading": {"reload_seconds": 450.0},
    }[kind]
    instance = tiny(seed, **more)
    quick = solve(instance, method="repair")
    exact = solve(instance, method="milp", time_limit_s=5, mip_gap=1e-3)
    assert quick.bound <= exact.bound * (1 + 1e-7) + 1e-6
    assert exact.bound <= exact.objective
    assert exact.objective <= quick.objective + 1e-6
    assert exact.audit.ok and quick.audit.ok


def test_foresight_changes_degrees_in_time():
    """A needs degree 1 in the first period, B degree 2 in the second; loading takes a period.

    Whoever plans each period by itself changes in the second one and serves nothing in it; the
    formulation knows both. Nobody serves both.
    """
    rows = [(0, 1, 1.0, 1.0, 1.0), (1, 2, 3.0, 1.0, 1.0)]
    demand = [[[2.0, 0.0]], [[0.0, 3.0]]]
    instance = routing([[10.0], [10.0]], demand, rows, gpus=2, reload_seconds=300.0)
    plan = solve(instance)
    assert plan.objective == pytest.approx(2.0 * 300)
    assert plan.status == "optimal"
    assert least_losses(Fleet.of(instance), instance.power_kw, instance.demand).sum() == 0.0


@pytest.mark.parametrize("way", WAYS)
def test_every_way_passes_the_audit(way):
    """Whatever is configured when: the audit finds nothing, and the same loss."""
    instance = small(5, periods=12, reload_seconds=200.0, backup_kw=1.0, carbon=300.0)
    made, lost = Foresight(question_of(instance, Fleet.of(instance)), "latency").make(way)
    found = audit(instance, tables_of(instance, made))
    assert found.ok, found.frame
    assert found.cost.total == pytest.approx(lost * 300, rel=1e-6)
    assert found.cost["late_requests"] == 0.0


def test_time_limit_keeps_the_usual_plan():
    """Without time there is a plan all the same."""
    plan = solve(small(2, periods=6), time_limit_s=0.0)
    assert foresight.USUAL_WAY in plan.provenance.method


def test_repair_has_no_solver_options():
    """Options that nobody would read are refused."""
    with pytest.raises(UsageError, match="repair"):
        solve(toy_h1(), method="repair", options={"presolve": "off"})


def test_plan_says_how_it_was_made():
    """Maker, status, bound and options are those of the oracle."""
    plan = solve(toy_h1(), method="repair", seed=4)
    assert plan.maker == "optimum" and plan.problem == "routing.sites"
    assert plan.provenance.options["method"] == "repair" and plan.provenance.seed == 4
    assert set(plan.tables) == {"configuration", "running", "flows"}


def test_a_bound_above_the_plan_is_refused(monkeypatch):
    """An oracle whose bound its own plan undercuts raises instead of answering."""
    instance = tiny(1)
    monkeypatch.setattr(
        optimum, "least_losses", lambda fleet, power, demand: demand.sum(axis=(1, 2)) * 1.1
    )
    with pytest.raises(optimum.SolverError, match="bound"):
        solve(instance, method="repair")


def test_no_policy_undercuts_the_bound():
    """Heron with perfect forecasts loses no less than the bound, the oracle no more than Heron."""
    from optmodels.forecast import FixedForecast
    from optmodels.policy import replay
    from optmodels.routing.sites.policies.heron import Heron
    from optmodels.routing.sites.replay import RoutingEnvironment, decisions, joined_series

    instance = small(7, periods=24)
    environment = RoutingEnvironment(instance, forecast=FixedForecast(joined_series(instance)))
    replay(environment, Heron())
    heron = audit(instance, decisions(environment)).cost.total
    plan = solve(instance)
    assert plan.bound <= heron * (1 + 1e-9)
    assert plan.objective <= heron


# -- bounds --------------------------------------------------------------------------------------


@MANY
@given(seed=SEEDS, idle=st.sampled_from([0.0, 0.1]))
def test_price_bound_is_the_linear_programme(seed, idle):
    """Computed from prices alone on all rows, the bound is the optimum of the linear programme."""
    made, power, demand = random_question(seed, sites=3, idle_kw=idle, backup_kw=0.5)
    costs = Costs.loss(made)
    point = Programme(made, free=True).solve(power, demand)
    bound = price_bound(made, costs, power, demand, point)
    assert bound == pytest.approx(point.lost, rel=1e-8, abs=1e-8)


@MANY
@given(seed=SEEDS)
def test_any_prices_give_a_bound(seed):
    """Prices that are plain wrong give a lower bound that holds all the same.

    One that forgets to stretch the prices of power and GPUs lies above the optimum.
    """
    made, power, demand = random_question(seed, sites=2)
    rng = np.random.default_rng(seed)
    point = Programme(made, free=True).solve(power, demand)
    wrong = replace(
        point,
        demand_price=rng.uniform(-0.5, 2.5, demand.shape),
        power_price=rng.uniform(-0.2, 3.0, made.sites) * rng.integers(0, 2, made.sites),
        gpu_price=rng.uniform(-0.2, 3.0, made.sites) * rng.integers(0, 2, made.sites),
    )
    assert price_bound(made, Costs.loss(made), power, demand, wrong) <= point.lost + 1e-9
    cheap = replace(
        point,
        demand_price=np.broadcast_to(made.weight, demand.shape),
        power_price=np.full(made.sites, 1e-3),
        gpu_price=np.full(made.sites, 1e-3),
    )
    assert price_bound(made, Costs.loss(made), power, demand, cheap) <= point.lost + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_bound_is_below_whole_instances(seed):
    """Period by period no whole plan loses less than the bound, nor all sites as one more."""
    instance = tiny(seed)
    fleet = Fleet.of(instance)
    least = least_losses(fleet, instance.power_kw, instance.demand)
    as_one = merged_loss(fleet, instance.power_kw, instance.demand)
    for t in range(instance.periods):
        data = model_data(
            fleet, all_columns(fleet), instance.power_kw[t : t + 1], instance.demand[t : t + 1]
        )
        exact = solve_model(formulation(), data=data, time_limit_s=5).objective
        assert as_one[t] - 1e-7 <= least[t] <= exact + 1e-6


def test_bound_of_darkness():
    """Without power everything is lost, and the bound says so to the last digit."""
    instance = routing(np.zeros((2, 2)), np.ones((2, 1, 1)) * 3.7, ONE_ROW, gpus=4)
    plan = solve(instance)
    assert plan.objective == plan.bound == pytest.approx(2 * 3.7 * 300)
    assert plan.status == "optimal"


# -- trade-offs ----------------------------------------------------------------------------------


@MANY
@given(
    seed=SEEDS,
    per_kwh=st.sampled_from([0.0, 100.0, 3000.0]),
    per_gram=st.sampled_from([0.0, 1.0]),
    usd=st.sampled_from([0.0, 5000.0]),
    dear_wind=st.booleans(),
)
def test_weighted_bounds(seed, per_kwh, per_gram, usd, dear_wind):
    """The bound on a weighted sum is below any plan: its own, the oracle's, and doing nothing.

    Also where the wind costs more than the grid; a bound that imports as it likes there is too low,
    one that never does too high.
    """
    instance = tiny(
        seed,
        backup_kw=3.0,
        carbon=300.0,
        usd=0.1,
        wind_usd_per_kwh=0.3 if dear_wind else 0.02,
        wind_g_per_kwh=500.0 if dear_wind else 10.0,
    )
    weights = {"lost_requests": 1.0, "energy_kwh": per_kwh, "carbon_g": per_gram, "usd": usd}
    found = weighted(instance, weights)
    assert found.bound <= found.value
    assert found.plan.audit.ok
    other = solve(instance, method="repair")
    total = sum(w * other.cost[OBJECTIVES[name]] for name, w in weights.items())
    nothing = float((instance.demand * instance.weight).sum()) * instance.period_seconds
    assert found.bound <= min(total, nothing) * (1 + 1e-9) + 1e-6


def test_weighted_by_hand():
    """A request per second for 300 s costs 1/12 kWh.

    It is served while 300 lost requests weigh more than that, and not when they weigh less.
    """
    instance = routing([[5.0]], [[[2.0]]], ONE_ROW, gpus=8)
    for per_kwh, lost, energy in ((3500.0, 0.0, 2 / 12), (3700.0, 600.0, 0.0)):
        found = weighted(instance, {"lost_requests": 1.0, "energy_kwh": per_kwh})
        assert found.plan.objective == pytest.approx(lost, abs=1e-6)
        assert found.plan.cost["energy_kwh"] == pytest.approx(energy, abs=1e-9)
        assert found.bound == pytest.approx(found.value, rel=1e-9)


def test_weighted_by_hand_with_grid():
    """Wind for one request a second, the grid for the other.

    At 100 USD per kWh and 0.05 USD for a lost request the wind is used and the grid is not; at 0.5
    USD per kWh both are.
    """
    for usd, lost, imported in ((1000.0, 300.0, 0.0), (0.5, 0.0, 1 / 12)):
        instance = routing([[1.0]], [[[2.0]]], ONE_ROW, gpus=8, backup_kw=1.0, carbon=1.0, usd=usd)
        found = weighted(instance, {"lost_requests": 0.05, "usd": 1.0})
        assert found.plan.objective == pytest.approx(lost, abs=1e-6)
        assert found.plan.cost["imported_kwh"] == pytest.approx(imported, abs=1e-9)
        assert found.bound == pytest.approx(found.value, rel=1e-9, abs=1e-9)


def test_weights_of_energy_alone_serve_nobody():
    """The least energy is none."""
    found = weighted(tiny(0), {"energy_kwh": 2.0})
    assert found.value == found.bound == 0.0


def test_loss_alone_is_the_oracle():
    """With all weight on losses the plan is that of the oracle's usual way."""
    instance = small(4, periods=8)
    found = weighted(instance, {"lost_requests": 2.0})
    plan = solve(instance, method="repair")
    assert found.bound == pytest.approx(2 * plan.bound, rel=1e-6, abs=1e-6)
    assert found.value >= 2 * plan.objective - 1e-6


# -- words ---------------------------------------------------------------------------------------


def test_explain_is_empty_where_nothing_must_be_lost():
    """The toy H1 has power for everybody."""
    assert explain(toy_h1()) == []


def test_explain_names_site_and_time():
    """With site 2 dark: how many are lost at least, when, where power is short, which is dark."""
    words = "\n".join(explain(toy_h1((4.0, 0.0))))
    assert "490.909 of 4,500" in words
    assert "from 2023-11-13T00:00:00+00:00 to 2023-11-13T00:05:00+00:00" in words
    assert "power: more would serve more at" in words and "s00 in 1 of 1 periods" in words
    assert "without any power are then s01 in 1 periods" in words


def test_explain_names_limits_that_nobody_keeps():
    """Origin o01 is 900 ms away and class c00 allows 500 ms: nobody can serve it."""
    instance = routing(
        [[50.0]],
        [[[1.0], [1.0]]],
        ONE_ROW,
        gpus=8,
        rtt_ms=[[10.0], [900.0]],
        limits=(0.5, 1.0, 5.0),
    )
    words = "\n".join(explain(instance))
    assert "class c00" in words and "o01" in words and "o00" not in words
    assert "300 of 600" in words


def test_explain_tells_gpus_from_power():
    """Where power is plenty GPUs are what is short."""
    words = "\n".join(explain(routing([[50.0]], [[[20.0]]], ONE_ROW, gpus=8)))
    assert "GPUs: more would serve more at s00" in words and "power:" not in words


def test_the_planning_policy_does_not_beat_the_oracle_where_nothing_need_be_lost() -> None:
    """With wind for everybody no plan of the periods one by one, made whole, loses nothing here.

    The planning policy does, with its own forecasts. The oracle, who tries it with perfect ones,
    must find a plan that loses nothing as well.
    """
    instance = generate(1, hours=4, sites=3, gpus=1200, classes=6)
    plan = solve(instance, method="repair")
    assert plan.objective == pytest.approx(0.0, abs=1e-6)
    assert plan.bound == pytest.approx(0.0, abs=1e-6)
