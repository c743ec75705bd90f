"""Two stages: the order of the three costs, by hand and on random scenarios."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError, UsageError
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.model import Scenario
from optmodels.rightsizing.sites.optimum import solve
from optmodels.rightsizing.sites.stochastic import (
    expected_cost,
    sampled_weeks,
    solve_two_stage,
    stochastic_values,
)
from tests.rightsizing.sites.instances import fleet, small


def course(power: Any, demand: float, probability: float = 0.5) -> Scenario:
    """Scenario of one-hour slots."""
    values = np.asarray(power, dtype=float)
    return Scenario(values, np.full(len(values), demand), np.ones(len(values)), probability)


def test_values_by_hand() -> None:
    """One hour; the wind feeds 0 or 4 GPUs, each with probability 1/2; K = 1, v = 3, c_g = 4.

    A GPU costs 1 and is useful half of the time: gain 3/2 - 1 > 0, so four are installed: RP = 4 +
    (16 + 4) / 2 = 14. Known before: none are built in the calm, WS = (16 + 8) / 2 = 12. The mean
    course feeds 2: two are built, EEV = 2 + (16 + (8 + 2)) / 2 = 15.
    """
    inst = fleet([[4.0]], demand=4.0)
    found = stochastic_values(inst, [course([[0.0]], 4.0), course([[4.0]], 4.0)])
    assert found.wait_and_see == pytest.approx(12)
    assert found.stochastic == pytest.approx(14)
    assert found.expected_value == pytest.approx(15)
    assert (found.vss, found.evpi) == pytest.approx((1, 2))
    assert found.fleet.gpus.tolist() == pytest.approx([4])
    assert found.mean_fleet.gpus.tolist() == pytest.approx([2])
    assert found.to_frame()["usd"].tolist() == pytest.approx([12, 14, 15, 1, 2])


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 4), st.booleans(), st.booleans())
def test_order_of_the_three_costs(seed: int, count: int, whole: bool, firm: bool) -> None:
    """WS <= RP <= EEV with and without integers, batteries and firmness."""
    rng = np.random.default_rng(seed)
    more: dict[str, Any] = {"module_gpus": 16, "opening": 1e4} if whole else {"battery_kwh": 50.0}
    inst = small(seed, slots=12, demand=200.0, unmet_share_max=0.95 if firm else None, **more)
    chances = rng.dirichlet(np.ones(count))
    scenarios = [
        Scenario(
            inst.power_kw * rng.uniform(0.3, 1.0, size=inst.power_kw.shape),
            inst.demand * rng.uniform(0.5, 1.5, size=12),
            np.ones(12),
            float(chance),
        )
        for chance in chances
    ]
    found = stochastic_values(inst, scenarios, mip_gap=0.0)
    slack = 1e-7 * found.stochastic
    assert found.evpi >= -slack
    assert found.vss >= -slack


def test_one_scenario_is_the_instance() -> None:
    """Without uncertainty all three costs are the optimum of the instance."""
    inst = small(5, slots=24, demand=300.0)
    one = Scenario(inst.power_kw, inst.demand, np.ones(24))
    found = stochastic_values(inst, [one])
    assert found.stochastic == pytest.approx(solve(inst).objective, rel=1e-9)
    assert found.vss == pytest.approx(0, abs=1e-6 * found.stochastic)
    assert found.evpi == pytest.approx(0, abs=1e-6 * found.stochastic)


def test_mean_sizes_may_not_be_firm() -> None:
    """Sizes for the mean course break a promise in the calm scenario: EEV is infinite."""
    inst = fleet([[8.0]], demand=4.0, nameplate_kw=[8.0], backup_kw=8.0, unmet_share_max=0.2)
    calm, windy = course([[0.0]], 4.0), course([[8.0]], 0.5)
    found = stochastic_values(inst, [calm, windy])
    assert found.expected_value == np.inf
    with pytest.raises(InfeasibleError):
        solve_two_stage(
            inst.replace(sites=inst.tables["sites"].assign(backup_kw=0.0)), [calm, windy]
        )


def test_weeks_are_drawn_from_the_series() -> None:
    """Each week is a piece of the series, none twice, and all together stand for its length."""
    inst = small(1, slots=4 * 168 + 5, demand=300.0)
    weeks = sampled_weeks(inst, 3, seed=1)
    starts = {week.power_kw[0].tobytes() for week in weeks}
    assert len(starts) == 3
    assert starts <= {inst.power_kw[168 * k].tobytes() for k in range(4)}
    for week in weeks:
        assert week.hours.sum() == pytest.approx(inst.hours)
    found = solve_two_stage(inst, weeks)
    assert found.bound <= found.cost * (1 + 1e-9)
    assert expected_cost(inst, weeks, found.fleet) == pytest.approx(found.cost, rel=1e-9)
    with pytest.raises(UsageError, match="1 to 4 whole"):
        sampled_weeks(inst, 5)


def test_opening_is_paid_by_fixed_fleets() -> None:
    """The expected cost of a fleet that stands has its openings in it."""
    inst = fleet([[4.0]], demand=4.0, opening=8760.0)
    scenarios = [course([[4.0]], 4.0, 1.0)]
    cost = expected_cost(inst, scenarios, Fleet(np.array([4.0]), np.zeros(1)))
    assert cost == pytest.approx(4 + 4 + 1)


def test_scenarios_that_do_not_fit() -> None:
    """Shapes, ranges, hours and probabilities: all flaws at once."""
    inst = small(1, slots=2)
    bad = [
        Scenario(np.ones((2, 3)), np.ones(2), np.ones(2), 0.5),
        Scenario(-np.ones((3, 3)), np.ones(2), np.full(2, 2.0), 0.0),
    ]
    with pytest.raises(InputError) as caught:
        solve_two_stage(inst, bad)
    text = str(caught.value)
    for name in ("power_kw", "hours", "probability"):
        assert name in text
    with pytest.raises(InputError, match="empty"):
        solve_two_stage(inst, [])
