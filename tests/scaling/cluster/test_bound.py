"""The lower bound: by hand, as the formulation's optimum, and below whatever anybody does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.policy import Policy
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.bound import Relaxation, lower_bound
from optmodels.scaling.cluster.horizon import finished_greedy
from optmodels.scaling.cluster.model import relaxation, relaxation_data
from optmodels.scaling.cluster.replay import ClusterEnvironment, decisions, tables_of
from optmodels.solver import solve_model
from tests.scaling.cluster.instances import cluster, small

STEEP = [("steep", 1, 1.0, 0.0), ("steep", 2, 1.5, 0.0)]


def known(instance):
    """Cost of the greedy's plan."""
    return audit(instance, tables_of(instance, finished_greedy(instance).schedule)).cost.total


class Random(Policy):
    """Runs a random part of the jobs on random levels: mostly late."""

    name = "random"

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def reset(self, header):
        """Start."""
        self.header = header

    def decide(self, observation):
        """Grant random wishes as far as they fit."""
        state, header = observation.state, self.header
        most, fewest = header.most[state.profile], header.fewest[state.profile]
        wish = self._rng.integers(fewest, most + 1) * (self._rng.random(len(most)) < 0.5)
        given, left = np.zeros(len(wish), dtype=np.int64), header.capacity
        for j in self._rng.permutation(len(wish)):
            if wish[j] <= left:
                given[j] = wish[j]
                left -= wish[j]
        return given


def run(instance, policy):
    """Total cost of a policy."""
    environment = ClusterEnvironment(instance)
    policy.reset(environment.header)
    while (observation := environment.observe()) is not None:
        environment.act(policy.decide(observation))
    found = audit(instance, decisions(environment))
    assert found.ok
    return found.cost.total


def test_two_jobs_share_a_server():
    """One server, two jobs of 1 in two slots of carbon 2 and 10: 12, and the price is 8.

    Without the capacity it would be 4; at a price of 8 in the first slot both are equal.
    """
    instance = cluster([2, 10], [(0, 1.0), (0, 1.0)], queues=[("only", 1, 1.0)], capacity=1)
    found = lower_bound(instance, 100.0)
    assert found.value == pytest.approx(12, rel=1e-9)
    assert found.exact
    rough = Relaxation(instance)
    assert rough.bound(np.zeros(2)) == pytest.approx(4)
    assert rough.bound(np.array([8.0, 0.0])) == pytest.approx(12)
    # Dearer: both go to the second slot, and 9 are paid back.
    assert rough.bound(np.array([9.0, 0.0])) == pytest.approx(11)


def test_late_work_costs_lateness_and_the_cleanest_late_slot():
    """Three jobs due at once on one server: 3 in time, and twice 1 + 3 (late price) in the bins."""
    instance = cluster([3, 2, 1], [(0, 1.0)] * 3, capacity=1)
    found = lower_bound(instance, 100.0)
    assert found.value == pytest.approx(3 + 2 * (1 + 3), rel=1e-9)
    assert found.late.sum() == pytest.approx(2)


def test_a_late_bin_is_as_good_as_the_best_level():
    """Two servers do 1.5 in a slot: late by one slot (2 · 4 g) and 2 kWh at 4 g, per 1.5 work."""
    instance = cluster([4, 4], [(0, 1.0), (0, 1.0)], profiles=STEEP, capacity=1)
    assert Relaxation(instance).late_cost == pytest.approx([(8 + 8) / 1.5] * 2)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.6, 1.5]))
def test_it_is_the_optimum_of_the_relaxation(seed, utilisation):
    """Column generation, HiGHS on the whole formulation and the prices alone: one number."""
    instance = small(seed, utilisation=utilisation)
    whole = solve_model(relaxation(), data=relaxation_data(instance)).objective
    rough = Relaxation(instance)
    found = rough.best(known(instance))
    assert found.exact
    assert found.value == pytest.approx(whole, rel=1e-9)
    assert rough.bound(found.prices) == found.value
    blocks = rough.blocks
    assert (rough.demand(found.used) <= instance.capacity + 1e-6).all()
    done = np.bincount(blocks.job, weights=found.used * blocks.gain) + found.late
    assert done == pytest.approx(instance.jobs.length)
    cost = found.used @ rough.cost + found.late @ rough.late_cost
    assert cost == pytest.approx(found.value, rel=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.1, 1000))
def test_any_prices_prove_a_bound(seed, scale):
    """Random prices never prove more than the optimum of the relaxation."""
    rng = np.random.default_rng(seed)
    instance = small(seed % 20, utilisation=0.6)
    rough = Relaxation(instance)
    prices = rng.exponential(scale, instance.slots) * (rng.random(instance.slots) < 0.5)
    best = rough.best(known(instance)).value
    assert rough.bound(prices) <= best * (1 + 1e-9)


@pytest.mark.parametrize("utilisation", [0.4, 0.9, 2.0])
@pytest.mark.parametrize("factor", [1.0, 0.01, 0.0])
def test_no_policy_is_below_it_however_late(utilisation, factor):
    """Random policies, and the greedy; lateness dear, cheap and free.

    A bin without the lateness's price would be too low only; one at the carbon of the due window,
    or at the price of a whole late slot per unit of work, would be above some of these.
    """
    for seed in range(8):
        start_kwh = 0.1 * (seed % 2)
        instance = small(seed, utilisation=utilisation, late_factor=factor, start_kwh=start_kwh)
        costs = [run(instance, Random(seed)), known(instance)]
        bound = lower_bound(instance, min(costs)).value
        assert bound <= min(costs) * (1 + 1e-9)


def test_without_a_capacity_the_greedy_is_the_bound():
    """M = ∞: the published oracle's optimality theorem holds, and prices are zero.

    The paper's value counts neither the network nor that a first block may be several servers, so
    there is no network here, and only jobs that start from one server.
    """
    for seed in range(15):
        instance = small(seed, capacity=1000, network_w_per_gbps=0.0)
        if any(profile.fewest > 1 for profile in instance.profiles):
            continue
        found = lower_bound(instance, known(instance))
        assert known(instance) == pytest.approx(found.value, rel=1e-9)
        assert Relaxation(instance).bound(np.zeros(instance.slots)) == found.value
        alone = 0.0
        for job in instance.tables["jobs"].itertuples():
            one = instance.tables["jobs"].query(f"job == {job.job}")
            alone += known(instance.replace(jobs=one))
        assert alone == pytest.approx(found.value, rel=1e-9)


def test_a_first_block_of_two_servers_deceives_the_greedy():
    """Alone in the cluster: 1.4 of work, slots of 10 and 16 g/kWh, a third server that adds 0.4.

    The greedy values the two first servers of the second slot by 1 / 16, the third server of the
    first slot by 0.4 / 10, and pays 2 · 16 · 0.4 g; the third server would cost 10 g.
    """
    wide = [("wide", 2, 1.0, 0.0), ("wide", 3, 1.4, 0.0)]
    instance = cluster([10, 16], [(0, 1.4)], queues=[("only", 0, 1.0)], profiles=wide)
    assert known(instance) == pytest.approx(20 + 0.4 * 32)
    assert lower_bound(instance, 100.0).value == pytest.approx(30)


def test_a_time_limit_gives_a_weaker_bound_that_holds():
    """With no time for a linear programme the prices so far prove what they prove."""
    instance = small(1, utilisation=0.7)
    exact = lower_bound(instance, known(instance))
    hasty = lower_bound(instance, known(instance), time_limit_s=1e-9)
    assert not hasty.exact
    assert 0 < hasty.value <= exact.value
