"""Heron: what it expects, that it hears nothing of the future, and that it leads."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.errors import UsageError
from optmodels.forecast import FixedForecast
from optmodels.policy import replay
from optmodels.routing.sites.audit import audit, facts_of
from optmodels.routing.sites.dispatch import Decisions
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.policies import POLICIES
from optmodels.routing.sites.policies.heron import Expectation, Heron
from optmodels.routing.sites.replay import RoutingEnvironment, decisions, joined_series
from tests.routing.sites.clocked import clocked
from tests.routing.sites.instances import small


def played(
    instance: RoutingInstance, policy: Heron, told: RoutingInstance | None = None
) -> Decisions:
    """What Heron decides, told the truth of some instance as a forecast."""
    forecast = None if told is None else FixedForecast(joined_series(told))
    environment = RoutingEnvironment(instance, forecast=forecast)
    replay(environment, policy)
    assert audit(instance, decisions(environment)).ok
    return environment.decisions


# ---------------------------------------------------------------------------------- expectations
def test_expected_power_is_hedged_by_the_quantile_of_past_errors() -> None:
    """After slots that ended at -2, -1, 0, 1, 2 kW of the first period, the 20 % quantile is -1.2.

    Errors have to be those of whole slots against what was expected of them, not of periods.
    """
    expectation = Expectation(1, 2, 96, None)
    power = np.array([10.0])
    for moved in (-4.0, -2.0, 0.0, 2.0, 4.0):
        expectation.at(power[:, None], None, 0.2)
        # Two periods: as expected, then moved; on average half of it.
        power = np.append(power, [power[-1] + moved, 10.0])
    found = expectation.at(power[:, None], None, 0.2)
    assert found.tolist() == pytest.approx([10.0 + np.quantile([-2, -1, 0, 1, 2], 0.2)])


def test_each_site_believes_what_was_closer() -> None:
    """Site 0's forecast is exact and its present value is not; at site 1 it is the other way."""
    rng = np.random.default_rng(0)
    truth = np.column_stack([50 + rng.normal(0, 10, 40), np.full(40, 30.0)])
    told = np.column_stack([truth[:, 0], np.full(40, 5.0)])
    expectation = Expectation(2, 1, 96, None)
    for t in range(40):
        found = expectation.at(truth[: t + 1], told[t:], 0.2)
    # The period that starts is metered: only what is expected of a longer slot can be wrong.
    np.testing.assert_allclose(found, truth[-1])
    slow = Expectation(2, 2, 96, None)
    for t in range(0, 40, 2):
        found = slow.at(truth[: t + 1], told[t:], 0.5)
    assert found[0] == pytest.approx(truth[38:, 0].mean())
    assert found[1] == 30.0


def test_the_past_tells_how_far_the_power_moves() -> None:
    """With a past the first slot is hedged already; without, the present value stands."""
    past = np.tile([[8.0], [4.0]], (10, 1))
    assert Expectation(1, 2, 96, past).at(np.array([[10.0]]), None, 0.2).tolist() == [8.0]
    assert Expectation(1, 2, 96, None).at(np.array([[10.0]]), None, 0.2).tolist() == [10.0]
    falling = np.tile([[8.0], [0.0]], (10, 1))
    assert Expectation(1, 2, 96, falling).at(np.array([[1.0]]), None, 0.2).tolist() == [0.0]


# ---------------------------------------------------------------------------------------- fair play
@pytest.mark.parametrize(
    "more",
    [{}, {"backup_kw": 8.0}, {"gpu_idle_kw": 0.05, "keep_warm": True}, {"reload_seconds": 700.0}],
)
def test_plans_pass_the_audit(more: dict[str, float]) -> None:
    """No limit is ever broken: gusts, dark sites, grid power, warm GPUs, slow loading."""
    played(clocked(1, periods=9, power=0.6, **more), Heron())
    played(small(2, periods=9, carbon=300.0 if "backup_kw" in more else None, **more), Heron())


def test_nobody_peeks() -> None:
    """Another future behind the same forecast does not change what was decided before it."""
    instance = clocked(3, periods=9)
    power, demand = instance.power_kw.copy(), instance.demand.copy()
    power[6:], demand[6:] = power[6:] * 0.2, demand[6:] * 3
    other = clocked(3, periods=9, power_kw=power, demand=demand)
    first, second = played(instance, Heron(), instance), played(other, Heron(), instance)
    for t in range(6):
        for name in ("configured", "running", "flow"):
            one, two = (getattr(made.at(t, instance.arcs.shape), name) for made in (first, second))
            np.testing.assert_array_equal(one, two)


def test_spare_runs_only_where_nobody_is_turned_away() -> None:
    """With ample power more runs than is needed; where power is short, spare costs nothing."""
    rich = clocked(5, periods=3, gpus=200, power_kw=500.0)
    profile = rich.profile
    served = []
    for spare in (0.0, 0.25):
        made = played(rich, Heron(spare=spare))
        running = made.at(1, rich.arcs.shape).running.sum(axis=0)
        served.append(np.bincount(profile.row_class, weights=running * profile.rate))
        assert facts_of(rich, made)["attainment"] == pytest.approx(1)
    demand = rich.demand[1].sum(axis=0)
    assert (served[1] >= 1.2 * demand).all()
    assert (served[0].sum() - demand.sum()) < 0.5 * (served[1].sum() - demand.sum())
    poor = clocked(5, periods=6, gpus=48, power=0.3, load=3)
    goodput = [
        facts_of(poor, played(poor, Heron(spare=spare)))["goodput_per_s"] for spare in (0.0, 0.25)
    ]
    assert goodput[1] == pytest.approx(goodput[0], rel=0.01)


def test_heron_leads_where_power_is_short_and_more_so_the_shorter_it_is() -> None:
    """The paper's order: ahead of every baseline, by a ratio that grows as power shrinks."""
    lead = []
    for power in (0.8, 0.2):
        instance = clocked(11, periods=12, gpus=96, power=power, load=2)
        goodput = {}
        for name, kind in POLICIES.items():
            environment = RoutingEnvironment(instance)
            replay(environment, kind())
            goodput[name] = facts_of(instance, environment.decisions)["goodput_per_s"]
        best = max(value for name, value in goodput.items() if name != Heron.name)
        lead.append(goodput[Heron.name] / best)
    assert lead[0] > 1
    assert lead[1] > lead[0]


@pytest.mark.parametrize("arguments", [{"quantile": 1.1}, {"headroom": -1}, {"spare": 11}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    """Each is named with what it may be."""
    with pytest.raises(UsageError, match=rf"{next(iter(arguments))} is .*allowed"):
        Heron(**arguments)
