"""Nobody peeks: another future leaves every decision before it as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optmodels.forecast import make_forecast
from optmodels.policy import Observation, Policy, replay
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.policies import POLICIES
from optmodels.routing.sites.replay import RoutingEnvironment, joined_series
from tests.routing.sites.instances import small
from tests.routing.sites.simple import Nothing, nothing

PERIODS, CHANGE = 9, 5


def decided(inst: RoutingInstance, policy: Policy, kind: str) -> list[Dispatch]:
    """Every decision of a run, with a forecast that is made of the past alone."""
    source = make_forecast(
        kind, joined_series(inst), slots_per_day=288, rng=np.random.default_rng(0)
    )
    shown = source if "forecast" in policy.needs else None
    environment = RoutingEnvironment(inst, forecast=shown)
    replay(environment, policy)
    made = environment.decisions
    return [made.at(t, inst.arcs.shape) for t in range(inst.periods)]


def other_future(inst: RoutingInstance, seed: int) -> RoutingInstance:
    """The same until a period, and other power and demand from it on."""
    rng = np.random.default_rng(seed)
    tables = inst.tables
    for table, column in (("power", "power_kw"), ("demand", "requests_per_s")):
        frame = tables[table]
        later = (frame["time"] >= inst.times[CHANGE]).to_numpy()
        scale = rng.uniform(0, 1, len(frame))
        frame[column] = np.where(later, frame[column] * scale, frame[column])
    changed = inst.replace(power=tables["power"], demand=tables["demand"])
    assert (changed.power_kw[:CHANGE] == inst.power_kw[:CHANGE]).all()
    assert (changed.power_kw[CHANGE:] != inst.power_kw[CHANGE:]).any()
    return changed


def same(one: Dispatch, two: Dispatch) -> bool:
    """Whether two decisions are equal to the last digit."""
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("configured", "running", "flow")
    )


def make(kind: Any) -> Policy:
    """A policy, with a seed if it draws."""
    made: Policy = kind(seed=1) if kind.randomised else kind()
    return made


@pytest.mark.parametrize("kind", ["persistence", "day-before"])
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_no_policy_peeks(name: str, kind: str) -> None:
    """Two instances that differ from a period on (the last of a slot) share all decisions before.

    From that period on decisions differ, or the test would show nothing.
    """
    inst = small(5, periods=PERIODS, sites=2, gpus=24, calm=0.1)
    changed = other_future(inst, 1)
    one = decided(inst, make(POLICIES[name]), kind)
    two = decided(changed, make(POLICIES[name]), kind)
    assert all(same(a, b) for a, b in zip(one[:CHANGE], two[:CHANGE], strict=True))
    assert not all(same(a, b) for a, b in zip(one[CHANGE:], two[CHANGE:], strict=True))


@pytest.mark.parametrize("kind", ["persistence", "day-before"])
def test_forecasts_of_the_past_do_not_change_with_the_future(kind: str) -> None:
    """What is shown before the change is the same, past, state and forecast."""
    inst = small(5, periods=PERIODS, sites=2, gpus=24, calm=0.1)
    shown: list[list[Observation]] = []
    for one in (inst, other_future(inst, 1)):
        series = joined_series(one)
        source = make_forecast(kind, series, slots_per_day=288, rng=np.random.default_rng(0))
        environment, seen = RoutingEnvironment(one, forecast=source), []
        while (observation := environment.observe()) is not None:
            seen.append(observation)
            environment.act(nothing(environment.header))
        shown.append(seen)
    for a, b in zip(shown[0][:CHANGE], shown[1][:CHANGE], strict=True):
        assert a.forecast is not None
        assert np.array_equal(a.forecast, b.forecast)
        assert all(np.array_equal(a.past[name], b.past[name]) for name in a.past)
    assert not np.array_equal(shown[0][CHANGE].forecast, shown[1][CHANGE].forecast)


def test_a_peeping_policy_would_be_seen() -> None:
    """The test above can fail: a policy that holds the instance itself decides otherwise."""
    inst = small(5, periods=PERIODS, sites=2, gpus=24, calm=0.1)

    class Peeping(Nothing):
        name = "peeping"

        def __init__(self, whole: RoutingInstance) -> None:
            self.whole = whole

        def decide(self, observation: Observation) -> Dispatch:
            """Configure by the power to come."""
            plan = nothing(self.header)
            plan.configured[0, 0] = int(self.whole.power_kw[-1].sum())
            return plan

    changed = other_future(inst, 1)
    one = decided(inst, Peeping(inst), "persistence")
    two = decided(changed, Peeping(changed), "persistence")
    assert not same(one[0], two[0])
