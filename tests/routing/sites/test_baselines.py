"""The baselines: least power at a site, what gives way to the power, and fair play."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from optmodels.errors import UsageError
from optmodels.policy import Policy, replay
from optmodels.routing.sites.audit import audit, facts_of
from optmodels.routing.sites.dispatch import Decisions, Dispatch, Loading
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.policies import flows
from optmodels.routing.sites.policies.dynamollm import (
    GpuIdling,
    GreedyLatency,
    PowerCapping,
    SiteBySite,
    WeightedRoundRobin,
)
from optmodels.routing.sites.policies.least_power import LeastPower, shed, with_spare
from optmodels.routing.sites.policies.reactive import Reactive, Settings
from optmodels.routing.sites.replay import RoutingEnvironment, decisions
from tests.routing.sites.clocked import clocked
from tests.routing.sites.instances import small

BASELINES = (WeightedRoundRobin, GreedyLatency, PowerCapping, GpuIdling, Reactive)


def played(instance: RoutingInstance, policy: Policy) -> Decisions:
    """What a policy decides; its plan must pass the audit."""
    environment = RoutingEnvironment(instance)
    replay(environment, policy)
    assert audit(instance, decisions(environment)).ok
    return environment.decisions


def at(instance: RoutingInstance, made: Decisions, period: int) -> Dispatch:
    """Decisions of one period."""
    return made.at(period, instance.arcs.shape)


def planner(instance: RoutingInstance) -> LeastPower:
    """Planner that may use all rows."""
    profile = instance.profile
    return LeastPower(profile, np.ones(profile.count, dtype=bool), profile.kw)


# ---------------------------------------------------------------------------- least power, whole
@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 10**6), gpus=st.integers(0, 120))
def test_least_power_is_the_optimum_of_the_linear_programme(seed: int, gpus: int) -> None:
    """Walking along the hulls finds what HiGHS finds.

    A hull that keeps a point above it, or steps taken in the wrong order, costs power. Where the
    GPUs do not suffice, what is served of each class is the same share, and no larger one exists.
    """
    instance = small(seed, periods=1)
    profile = instance.profile
    load = instance.demand[0].sum(axis=0)
    found = planner(instance).fractional(load, gpus)
    assert (found >= 0).all()
    assert found @ profile.tp <= gpus * (1 + 1e-9) + 1e-9
    served = np.bincount(profile.row_class, weights=found * profile.rate, minlength=len(load))
    of_class = (profile.row_class[None, :] == np.arange(len(load))[:, None]) * profile.rate
    best = linprog(
        profile.kw, A_ub=profile.tp[None, :], b_ub=[gpus], A_eq=of_class, b_eq=load, method="highs"
    )
    if best.status == 0:
        np.testing.assert_allclose(served, load)
        assert found @ profile.kw == pytest.approx(best.fun, rel=1e-7)
    else:
        share = linprog(
            [*np.zeros(profile.count), -1.0],
            A_ub=[[*profile.tp, 0.0]],
            b_ub=[gpus],
            A_eq=np.column_stack([of_class, -load]),
            b_eq=np.zeros(len(load)),
        )
        np.testing.assert_allclose(served, load * -share.fun, rtol=1e-7)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 10**6), gpus=st.integers(0, 200))
def test_whole_instances_carry_the_load_or_fill_the_site(seed: int, gpus: int) -> None:
    """Nothing is left unserved while an instance that would serve it still fits."""
    instance = small(seed, periods=1)
    profile = instance.profile
    load = instance.demand[0].sum(axis=0)
    counts = planner(instance).whole(load, gpus)
    assert counts.dtype == np.int64
    free = gpus - counts @ profile.tp
    assert free >= 0
    served = np.bincount(profile.row_class, weights=counts * profile.rate, minlength=len(load))
    for c in np.flatnonzero(served < load * (1 - 1e-6)):
        assert profile.tp[profile.row_class == c].min() > free


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    share=st.floats(-0.5, 1.5),
    seed=st.integers(0, 1000),
)
def test_shedding_never_leaves_more_power_than_there_is(
    counts: list[int], share: float, seed: int
) -> None:
    """What goes on fits, no row gains, and each keeps its proportion to within one instance."""
    running = np.array(counts)
    kw = np.random.default_rng(seed).uniform(0.1, 5.0, len(counts))
    drawn = float(kw @ running)
    kept = shed(running, kw, share * drawn)
    assert (kept <= running).all()
    assert (kept >= 0).all()
    assert kw @ kept <= max(share, 0) * drawn
    if share >= 1:
        np.testing.assert_array_equal(kept, running)
    elif drawn > 0:
        part = running * max(share, 0.0)
        assert (kept > part - 1 - 1e-9).all()
        assert (kept < part + 1 + 1e-9).all()


def test_spare_instances_stay_where_they_fit() -> None:
    """What is not needed keeps standing, largest first, on GPUs that nobody else needs."""
    degrees = np.array([1, 2, 4])
    needed, before = np.array([3, 0, 1]), np.array([0, 2, 3])
    np.testing.assert_array_equal(with_spare(needed, before, degrees, 18), [3, 1, 3])
    np.testing.assert_array_equal(with_spare(needed, before, degrees, 7), needed)


# -------------------------------------------------------------------------------------- the fluid
def test_flows_share_what_runs_and_lose_the_rest() -> None:
    """Two origins get their proportion of a site; nothing exceeds what a row serves."""
    instance = clocked(periods=1)
    profile = instance.profile
    serves = np.zeros((3, profile.count))
    rows = np.flatnonzero(profile.row_class == 2)[:2]
    serves[0, rows] = (3.0, 1.0)
    load = np.zeros((2, 3, 3))
    load[:, 0, 2] = (6.0, 2.0)
    flow = flows.spread(profile, load, serves)
    np.testing.assert_allclose(flow[:, 0, rows], [[2.25, 0.75], [0.75, 0.25]])
    assert flow.sum() == pytest.approx(4.0)
    np.testing.assert_allclose(flows.spread(profile, load / 4, serves).sum(), 2.0)


def test_instances_that_load_serve_nothing() -> None:
    """Four instances stand, four more load for a tenth of the period: 7.6 of 8 serve."""
    instance = clocked(periods=1)
    profile = instance.profile
    loading = Loading(0.1)
    configured = np.zeros((3, 3), dtype=np.int64)
    configured[0, 0] = 4
    _, loading = loading.after(configured)
    running = np.zeros((3, profile.count), dtype=np.int64)
    row = int(np.flatnonzero(profile.degree_of == 0)[0])
    running[0, row] = 8
    serves = flows.capacity(profile, running, 2 * configured, loading)
    assert serves[0, row] == pytest.approx(7.6 * profile.rate[row])
    assert serves.sum() == serves[0, row]


# ------------------------------------------------------------------------------------- fair play
@pytest.mark.parametrize("policy", BASELINES)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"backup_kw": 8.0},
        {"gpu_idle_kw": 0.05, "keep_warm": True},
        {"reload_seconds": 700.0},
    ],
)
def test_plans_pass_the_audit(policy: type[Policy], more: dict[str, Any]) -> None:
    """No limit is ever broken: gusts, dark sites, grid power, warm GPUs, slow loading."""
    played(clocked(1, periods=9, power=0.6, **more), policy())
    played(small(2, periods=9, **more, carbon=300.0 if "backup_kw" in more else None), policy())


@pytest.mark.parametrize("policy", BASELINES)
def test_nobody_peeks(policy: type[Policy]) -> None:
    """Another future does not change what was decided before it."""
    instance = clocked(3, periods=9)
    power, demand = instance.power_kw.copy(), instance.demand.copy()
    power[6:], demand[6:] = power[6:] * 0.2, demand[6:] * 3
    other = clocked(3, periods=9, power_kw=power, demand=demand)
    first, second = played(instance, policy()), played(other, policy())
    for t in range(6):
        for name in ("configured", "running", "flow"):
            np.testing.assert_array_equal(
                getattr(at(instance, first, t), name), getattr(at(other, second, t), name)
            )


@pytest.mark.parametrize("policy", BASELINES)
def test_a_policy_may_be_used_again(policy: type[Policy]) -> None:
    """A run leaves nothing behind that would change the next one, on another fleet."""
    again = policy()
    played(small(5, periods=4), again)
    instance = clocked(4, periods=4)
    first, second = played(instance, again), played(instance, policy())
    np.testing.assert_array_equal(first.run_count, second.run_count)
    np.testing.assert_array_equal(first.flow_rate, second.flow_rate)


@pytest.mark.parametrize("policy", BASELINES)
def test_a_dark_site_is_left_and_comes_back(policy: type[Policy]) -> None:
    """Without power nothing runs at a site; with power it serves again."""
    power = np.full((9, 3), 30.0)
    power[3:6, 1] = 0.0
    instance = clocked(0, periods=9, power_kw=power, load=15)
    made = played(instance, policy())
    served = [at(instance, made, t).flow[:, 1].sum() for t in range(9)]
    assert max(served[3:6]) == 0
    assert min(served[:3]) > 0
    assert served[8] > 0


# ------------------------------------------------------------------------------- what each does
def test_round_robin_follows_the_power() -> None:
    """Requests go to the sites as their power, at most what the GPUs draw, says."""
    instance = clocked(0, periods=1, power_kw=[[10.0, 20.0, 1e6]], load=0.2)
    policy = WeightedRoundRobin()
    made = played(instance, policy)
    full = 64 * float((instance.profile.kw / instance.profile.tp).max())
    weight = np.array([10.0, 20.0, full]) / (30 + full)
    given = at(instance, made, 0).flow.sum(axis=(0, 2))
    np.testing.assert_allclose(given / given.sum(), weight, rtol=1e-9)


def test_greedy_fills_the_nearest_site_first() -> None:
    """A light load stays at the nearest site; a site without power is passed over."""
    near = clocked(0, periods=1, power_kw=[[40.0, 40.0, 40.0]], load=0.2)
    assert at(near, played(near, GreedyLatency()), 0).flow[:, 1:].sum() == 0
    dark = clocked(0, periods=1, power_kw=[[0.0, 40.0, 40.0]], load=0.2)
    flow = at(dark, played(dark, GreedyLatency()), 0).flow
    assert flow[:, 1].sum() == pytest.approx(dark.demand[0].sum())


def test_capping_slows_everybody_and_idling_switches_off() -> None:
    """Half the power: the one keeps its instances at one lower clock, the other the full clock."""
    demand = [[[6.0, 2.0, 9.0]] * 2] * 3
    rich = clocked(0, periods=3, power_kw=1e3, demand=demand)
    profile = rich.profile
    planned = at(rich, played(rich, PowerCapping()), 0).running
    need = float((planned @ profile.kw).max())
    power = np.full((3, 3), 1e3)
    power[1:] = 0.6 * need
    poor = clocked(0, periods=3, power_kw=power, demand=demand)
    capped = at(poor, played(poor, PowerCapping()), 1).running
    idled = at(poor, played(poor, GpuIdling()), 1).running
    for s in range(3):
        clocks = np.unique(profile.frequency[capped[s] > 0])
        assert len(clocks) == 1
        assert clocks[0] < 1
        assert capped[s].sum() == planned[s].sum()
        assert (profile.frequency[idled[s] > 0] == 1).all()
        assert 0 < idled[s].sum() < planned[s].sum()


def test_slowing_keeps_class_degree_and_batch() -> None:
    """A slowed instance is the same instance; a clock that was not measured is rounded down."""
    instance = clocked(periods=1)
    policy = PowerCapping()
    policy.reset(RoutingEnvironment(instance).header)
    profile = instance.profile
    for becomes, clock in zip(policy._slowed, (1.0, 0.75, 0.5), strict=True):
        for name in ("row_class", "tp", "batch"):
            values = getattr(profile, name)
            np.testing.assert_array_equal(values[becomes], values)
        np.testing.assert_allclose(profile.frequency[becomes], np.minimum(profile.frequency, clock))


@pytest.mark.parametrize("policy", [WeightedRoundRobin, GreedyLatency])
def test_ample_power_serves_everybody(policy: type[SiteBySite]) -> None:
    """With power and GPUs to spare and a steady demand nothing is lost, late or reloaded."""
    demand = [[[6.0, 2.0, 9.0]] * 2] * 6
    instance = clocked(0, periods=6, gpus=200, power_kw=1e4, demand=demand)
    found = facts_of(instance, played(instance, policy()))
    assert found["attainment"] == pytest.approx(1)
    assert found["reloads"] == 0


# -------------------------------------------------------------------------------------- reactive
def test_the_reactive_router_leaves_a_full_site() -> None:
    """Shares move from a site with little power to the others, and never die."""
    power = np.tile([4.0, 40.0, 40.0], (4, 1))
    policy = Reactive()
    played(clocked(0, periods=4, power_kw=power, load=1.5), policy)
    assert (policy.shares[:, 0] < 0.7 * policy.shares[:, 1]).all()
    assert policy.shares.min() >= policy.least_share / 2
    np.testing.assert_allclose(policy.shares.sum(axis=1), 1)


def test_reactive_settings_stand_in_for_missing_batches() -> None:
    """A batch that was not measured is the next smaller one, or the smallest there is."""
    profile = clocked(periods=1).profile
    gone = (profile.tp == 2) & (profile.batch == 4) & (profile.row_class == 0)
    rows = Settings.of(profile.take(np.flatnonzero(~gone)), 0).row
    assert rows.shape == (3, 3, 3)
    assert (rows >= 0).all()
    np.testing.assert_array_equal(rows[:, 0, 0], rows[:, 1, 0])


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (WeightedRoundRobin, {"headroom": -0.1}),
        (Reactive, {"interval_seconds": 0}),
        (Reactive, {"gain": -1}),
        (Reactive, {"least_share": 1.0}),
    ],
)
def test_arguments_out_of_range_are_refused(kind: type[Policy], arguments: dict[str, Any]) -> None:
    """No policy runs on a number that makes no sense."""
    with pytest.raises(UsageError, match="allowed"):
        kind(**arguments)


def test_an_unknown_degree_is_refused() -> None:
    """The degrees that there are are named."""
    with pytest.raises(UsageError, match="2, 4, 8"):
        played(clocked(periods=1), Reactive(degree=3))
