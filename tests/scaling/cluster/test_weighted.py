"""Carbon against energy: weighted sums, their bounds, and what the ends of the front are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.scaling.cluster.optimum import solve
from optmodels.scaling.cluster.weighted import OBJECTIVES, weighted
from tests.scaling.cluster.instances import cluster, small

STEEP = [("steep", 1, 1.0, 0.0), ("steep", 2, 1.5, 0.0)]


def value(plan, weights):
    """Weighted sum of a plan's own columns."""
    return sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in weights.items())


def test_when_energy_counts_more_scaling_stops():
    """1.5 of work, slots of 10 and 25 g/kWh: two servers in the first slot cost 20 g and 2 kWh.

    One server and then half a slot: 22.5 g and 1.5 kWh. The break is at 5 g/kWh.
    """
    instance = cluster([10, 25], [(0, 1.5)], queues=[("only", 0, 1.0)], profiles=STEEP)
    for per_kwh, expected in ((4.9, (20, 2.0)), (5.1, (22.5, 1.5))):
        found = weighted(instance, {"carbon_g": 1.0, "energy_kwh": per_kwh})
        assert (found.plan.objective, found.plan.cost["energy_kwh"]) == pytest.approx(expected)
        assert found.value == pytest.approx(expected[0] + per_kwh * expected[1])
        assert found.bound == pytest.approx(found.value)


def test_lateness_keeps_its_price_under_any_weight():
    """Three jobs due at once on one server: 1 + 2 slots late at 3 g, in grams of carbon."""
    instance = cluster([3, 2, 1], [(0, 1.0)] * 3, capacity=1)
    for weights in ({"carbon_g": 2.0}, {"carbon_g": 2.0, "energy_kwh": 7.0}):
        found = weighted(instance, weights)
        assert found.plan.cost["late_g"] == pytest.approx(9)
        assert found.value == pytest.approx(2 * (6 + 9) + weights.get("energy_kwh", 0) * 3)
        assert found.bound == pytest.approx(found.value, rel=1e-4)


@settings(deadline=None, derandomize=True, max_examples=12)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
    st.sampled_from([0.0, 50.0, 500.0]),
    st.sampled_from([0.5, 1.3]),
)
def test_bounds_hold_for_every_plan(seed, per_gram, per_kwh, utilisation):
    """No plan that another weighting or method makes has a weighted sum below the bound."""
    if per_gram == per_kwh == 0:
        per_gram = 1.0
    weights = {"carbon_g": per_gram, "energy_kwh": per_kwh}
    instance = small(seed, jobs=8, slots=30, utilisation=utilisation, start_kwh=0.02 * (seed % 2))
    found = weighted(instance, weights, time_limit_s=10)
    assert found.value == pytest.approx(value(found.plan, weights), rel=1e-12)
    assert found.bound <= found.value
    others = [solve(instance, method=name) for name in ("greedy", "prices")]
    others.append(weighted(instance, {"energy_kwh": 1.0}).plan)
    for plan in others:
        assert found.bound <= value(plan, weights) * (1 + 1e-9)


def test_carbon_alone_is_the_oracle():
    """Weight on nothing else: the same objective and bound."""
    instance = small(2, utilisation=0.5)
    found, plan = weighted(instance, {"carbon_g": 1.0}), solve(instance)
    assert found.value == pytest.approx(plan.objective, rel=1e-9)
    assert found.bound == pytest.approx(plan.bound, rel=1e-9)
    assert found.plan.fingerprint == instance.fingerprint
