"""The receding horizon and our own policy: by hand, against the optimum, nobody peeks."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.forecast import FixedForecast
from optmodels.policy import replay
from optmodels.scaling.cluster.audit import audit, outcome
from optmodels.scaling.cluster.lengths import Lengths
from optmodels.scaling.cluster.opportunity import OpportunityPrice, taken
from optmodels.scaling.cluster.outlook import Outlook
from optmodels.scaling.cluster.prices import Blocks, Demand, Prices, adjusted
from optmodels.scaling.cluster.receding import GreedyPlan, RecedingHorizon
from optmodels.scaling.cluster.replay import ClusterEnvironment, Finished, decisions, header_of
from tests.scaling.cluster.instances import cluster, small
from tests.scaling.cluster.peeking import assert_no_peeking

BOTH = (RecedingHorizon, OpportunityPrice)
GOOD = (("good", 1, 1.0, 0.0), ("good", 2, 1.8, 0.0), ("good", 3, 2.4, 0.0))


def run(instance, policy):
    """Replay a policy with the true carbon as forecast: (schedule by job and slot, audit)."""
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    replay(environment, policy)
    tables = decisions(environment)
    rows = tables["schedule"]
    held = {(job, slot): n for job, slot, n in zip(rows.job, rows.slot, rows.servers, strict=True)}
    found = audit(instance, tables)
    assert not found.violations
    return held, found, outcome(instance, environment.schedule)


def known_length(carbon, length, delay, *, profiles=(("rigid", 1, 1.0, 0.0),), **more):
    """One job of a queue in which all jobs have had this length."""
    carbon = np.resize(carbon, max(48, len(carbon)))
    return cluster(
        carbon,
        [(0, length)],
        queues=(("only", delay, length),),
        profiles=profiles,
        past_carbon=np.full(24, 500.0),
        past_jobs=[(0, length)] * 3,
        **more,
    )


@pytest.mark.parametrize("policy", BOTH)
def test_waits_for_a_clean_slot_within_its_delay(policy):
    """One slot of work, the third slot is clean: it runs there and nowhere else."""
    carbon = [300.0, 300.0, 50.0, *[300.0] * 21]
    held, _, result = run(known_length(carbon, 1.0, 4), policy())
    assert held == {(0, 2): 1}
    assert result.late.max() == 0


@pytest.mark.parametrize("policy", BOTH)
def test_does_not_wait_longer_than_its_delay(policy):
    """The clean slot comes after the delay is used up: the cheapest slot before it is taken."""
    carbon = [300.0, 200.0, 250.0, 310.0, *[10.0] * 20]
    held, _, result = run(known_length(carbon, 1.0, 2), policy())
    assert held == {(0, 1): 1}
    assert result.late.max() == 0


@pytest.mark.parametrize("policy", BOTH)
def test_without_delay_it_runs_at_once(policy):
    """No slack: in the dirtiest slots, too, and never late."""
    held, _, result = run(known_length(np.arange(24.0, 0, -1) * 20, 3.0, 0), policy())
    assert set(held) == {(0, 0), (0, 1), (0, 2)}
    assert result.late.max() == 0


@pytest.mark.parametrize("policy", BOTH)
def test_a_job_longer_than_all_before_ends_in_time(policy):
    """Expected to be short, it has ten times the length: its slack does not depend on that."""
    carbon = np.resize([300.0, 100.0, 200.0, 400.0], 72)
    instance = cluster(
        carbon,
        [(0, 20.0)],
        queues=(("only", 6, 2.0),),
        past_carbon=carbon[:24],
        past_jobs=[(0, 2.0)] * 4,
    )
    _, _, result = run(instance, policy())
    assert result.late.max() == 0


@pytest.mark.parametrize("policy", BOTH)
def test_scales_up_in_a_clean_slot(policy):
    """Work on the third server costs 50/0.6, elsewhere at least 300."""
    carbon = [300.0, 50.0, *[300.0] * 22]
    held, found, _ = run(known_length(carbon, 2.4, 3, profiles=GOOD), policy())
    assert held == {(0, 1): 3}
    assert found.cost.quantities["carbon_g"] == pytest.approx(150.0)


@pytest.mark.parametrize("policy", BOTH)
def test_the_job_with_less_slack_is_served_first(policy):
    """One server, one clean slot, two jobs: who cannot wait for the next clean slot gets it."""
    carbon = [300.0, 50.0, 300.0, 300.0, 60.0, *[300.0] * 43]
    instance = cluster(
        carbon,
        [(0, 1.0, "long", "rigid"), (0, 1.0, "short", "rigid")],
        queues=(("long", 5, 1.0), ("short", 2, 1.0)),
        capacity=1,
        past_carbon=np.full(24, 500.0),
        past_jobs=[(0, 1.0, "long", "rigid"), (0, 1.0, "short", "rigid")],
    )
    held, _, result = run(instance, policy())
    assert held[(1, 1)] == 1
    assert held[(0, 4)] == 1
    assert result.late.max() == 0


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_equals_the_optimum_of_one_rigid_job_of_known_length(seed):
    """One job whose length is known for sure: its cheapest slots within arrival + length + delay.

    Wrong if waiting were counted wrongly, if the window were one slot off, or if the price of the
    work left missed the work of the present slot.
    """
    rng = np.random.default_rng(seed)
    length, delay = int(rng.integers(1, 6)), int(rng.integers(0, 9))
    carbon = rng.uniform(20, 600, 24)
    instance = known_length(carbon, float(length), delay)
    _, found, _ = run(instance, OpportunityPrice(levels=300, first_rounds=5))
    best = np.sort(carbon[: length + delay])[:length].sum()
    assert found.cost.quantities["carbon_g"] == pytest.approx(best)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_equals_the_optimum_of_one_elastic_job_of_known_length(seed):
    """One job on 1 to 3 servers: the cheapest of all plans of whole levels, by trying them all.

    Of all plans that would be in time for any length: who has no slack left runs. Blocks are
    weighed one by one, so the plan found is the best one nearly always, and never far from it.
    Without windows of their own for the first units of work it can be twice as dear.
    """
    rng = np.random.default_rng(seed)
    delay = int(rng.integers(0, 3))
    carbon = rng.uniform(20, 600, 24)
    length = 2.0
    instance = known_length(carbon, length, delay, profiles=GOOD)
    _, found, result = run(instance, OpportunityPrice(levels=300, first_rounds=5))
    assert result.late.max() == 0
    work, best = np.array([0.0, 1.0, 1.8, 2.4]), np.inf
    for plan in itertools.product(range(4), repeat=2 + delay):
        left, cost = length, 0.0
        for slot, servers in enumerate(plan):
            if left > 1e-9 and servers == 0 and delay - slot + length - left < 1 - 1e-9:
                break
            share = min(1.0, left / work[servers]) if servers else 0.0
            cost += servers * share * carbon[slot]
            left -= work[servers] * share
        else:
            if left < 1e-9:
                best = min(best, cost)
    cost = found.cost.quantities["carbon_g"]
    assert best * (1 - 1e-9) <= cost <= best * 1.1


@pytest.mark.parametrize("policy", BOTH)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), past=st.booleans(), start_kwh=st.sampled_from([0.0, 0.1]))
def test_random_clusters_are_audited_clean(policy, seed, past, start_kwh):
    """All jobs are done within the limits, with and without a past, with and without starts."""
    instance = small(seed, past=past, start_kwh=start_kwh)
    _, found, result = run(instance, policy())
    assert not found.violations
    np.testing.assert_allclose(result.work, instance.jobs.length)


@pytest.mark.parametrize("policy", BOTH)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_peeking(policy, seed):
    """Changed lengths, arrivals and carbon behind a slot change nothing before it."""
    assert_no_peeking(policy, small(seed, past=seed == 1))


def test_the_forecast_counts_for_a_day_only():
    """Values of the forecast after its first day change no decision."""
    instance = small(3, slots=96, past=True)
    answers = []
    for factor in (1.0, 5.0):
        told = np.array(instance.carbon)
        told[24:] *= factor
        environment = ClusterEnvironment(instance, forecast=FixedForecast(told))
        first = []
        for policy in BOTH:
            made = policy()
            made.reset(environment.header)
            first.append(made.decide(environment.observe()).tolist())
        answers.append(first)
    assert answers[0] == answers[1]


def test_slack_grows_with_the_work_done():
    """Delay 3, age 2: waited twice leaves 1; ran twice on three servers leaves 1 + 4.8."""
    instance = known_length([100.0] * 24, 9.0, 3, profiles=GOOD)
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    policy = OpportunityPrice()
    policy.reset(environment.header)
    environment.act(np.array([3]))
    environment.act(np.array([3]))
    seen = environment.observe()
    assert policy.gained_slack(seen.slot, seen.state) == pytest.approx([1 + 4.8])


def test_mean_and_quantiles_of_what_is_left():
    """Known lengths 1, 2, 3, 10: a job that has done 2 is one of 3 and 10; of 10, nobody knows."""
    instance = cluster(
        [100.0] * 24,
        [(0, 1.0)],
        queues=(("only", 0, 4.0),),
        past_carbon=[100.0] * 24,
        past_jobs=[(0, 3.0), (0, 1.0), (0, 10.0), (0, 2.0)],
    )
    lengths = Lengths(header_of(instance))
    queue = np.zeros(3, dtype=np.int64)
    done = np.array([0.0, 2.0, 10.0])
    assert lengths.mean_left(queue, done) == pytest.approx([4.0, 4.5, 4.0])
    left = lengths.left(queue, done, 2)
    assert left[0].tolist() == [2.0, 10.0]
    assert left[1].tolist() == [1.0, 8.0]
    assert left[2].mean() == pytest.approx(4.0)
    whole = np.array([0])
    lengths.learn(Finished(whole, whole, np.array([12.0]), np.array([0.0])))
    assert lengths.mean_left(queue, done) == pytest.approx([5.6, 19 / 3, 2.0])


def test_without_a_past_lengths_are_exponential():
    """Memoryless: what has been done says (but for the tail's cut) nothing about what is left."""
    instance = cluster([100.0] * 24, [(0, 1.0)], queues=(("only", 0, 4.0),))
    lengths = Lengths(header_of(instance), assumed=20000)
    queue = np.zeros(3, dtype=np.int64)
    left = lengths.mean_left(queue, np.array([0.0, 2.0, 8.0]))
    assert left == pytest.approx([4.0, 4.0, 4.0], rel=0.02)


def test_prices_of_work_by_hand():
    """Slots at 100, 50, 200 on one server: two units in all three slots cost up to 100.

    Who cannot get its work done bids the highest price of all.
    """
    instance = cluster([100.0] * 24, [(0, 1.0)])
    blocks = Blocks(header_of(instance))
    prices = Prices(blocks, np.array([100.0, 50.0, 200.0]), np.zeros(3), 3)
    zero = np.zeros(4, dtype=np.int64)
    end = np.array([3, 3, 3, 1])
    work = np.array([1.0, 2.0, 3.0, 5.0])
    assert prices.of_work(zero, zero, end, work).tolist() == [50.0, 100.0, 200.0, 200.0]
    demand = Demand(zero[:1], zero[:1], end[:1], np.array([1.5]), np.array([2.0]))
    assert prices.servers(demand).tolist() == [1.0, 2.0, 0.0]


def test_server_prices_are_the_dual_prices_of_the_program():
    """Ten equal jobs of two slots on eight servers over four slots with one clean one.

    In the linear program 8 units run at 50 and 8 at 100; the last 4 at 120: work is worth 120, a
    server 120 - 50 in the first slot, 120 - 100 in the second, nothing in the others.
    """
    instance = cluster([100.0] * 24, [(0, 1.0)], capacity=8)
    blocks = Blocks(header_of(instance))
    carbon = np.array([50.0, 100.0, 120.0, 300.0])
    one = np.ones(1)
    zero = np.zeros(1, dtype=np.int64)
    demand = Demand(zero, zero, np.array([4]), 2 * one, 10 * one)
    price = np.zeros(4)
    for step in np.repeat([50.0, 10.0, 2.0, 0.5], 150):
        price = adjusted(price, Prices(blocks, carbon, price, 64), demand, 8, step)
    np.testing.assert_allclose(price, [70.0, 20.0, 0.0, 0.0], atol=1.0)


def test_the_outlook_approaches_the_usual_day():
    """Usual day 100; the day ahead is 40 above: 20 are left after a day, 10 after two."""
    past = np.full(240, 100.0)
    instance = cluster([140.0] * 48, [(0, 1.0)], past_carbon=past, past_jobs=[(0, 1.0)])
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    seen = environment.observe()
    outlook = Outlook(environment.header, 72, persistence=0.5, memory_days=10)
    carbon = outlook.carbon(seen, seen.forecast[:24])
    usual = (10 * 100 + 140) / 11
    expected = np.repeat([140.0, usual + (140 - usual) / 2, usual + (140 - usual) / 4], 24)
    np.testing.assert_allclose(carbon, expected)


def test_the_outlook_keeps_the_time_of_day():
    """Seven hours into the run the slot after the forecast is like the present time of day."""
    day = np.arange(24.0) * 10 + 100
    carbon = np.resize(day, 96)
    instance = cluster(carbon, [(0, 60.0)], queues=(("only", 0, 60.0),))
    environment = ClusterEnvironment(instance, forecast=FixedForecast(instance.carbon))
    for _ in range(31):
        environment.act(np.array([1]))
    seen = environment.observe()
    outlook = Outlook(environment.header, 40, persistence=0.0, memory_days=3)
    expected = np.resize(np.roll(day, -7), 40)
    np.testing.assert_allclose(outlook.carbon(seen, seen.forecast[:24]), expected)


def one_by_one(blocks, carbon, free, profile, end, work):
    """CarbonFlex's greedy plan as it is printed: one block after the other."""
    rows = [
        (carbon[t] * blocks.energy[p, k], end[j], j, t, k)
        for j, p in enumerate(profile)
        for t in range(end[j])
        for k in range(blocks.work.shape[1])
        if blocks.work[p, k] > 0
    ]
    free, left = free.copy(), work.copy()
    level = np.full((len(profile), len(carbon)), -1)
    servers = np.zeros((len(profile), len(carbon)), dtype=np.int64)
    for _, _, j, t, k in sorted(rows):
        size = blocks.servers[profile[j], k]
        if left[j] <= 1e-9 or level[j, t] != k - 1 or size > free[t]:
            continue
        level[j, t], free[t] = k, free[t] - size
        servers[j, t] += size
        left[j] -= min(left[j], blocks.work[profile[j], k])
    return servers[:, 0], left > 1e-9


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_greedy_in_parallel_is_greedy_one_by_one(seed):
    """Blocks of one server, ends all different: the same servers now, the same jobs cut short."""
    rng = np.random.default_rng(seed)
    rows = [*GOOD, ("rigid", 1, 1.0, 0.0), ("poor", 1, 1.0, 0.0), ("poor", 2, 1.3, 0.0)]
    instance = cluster([100.0] * 24, [(0, 1.0, "only", "good")], profiles=rows)
    blocks = Blocks(header_of(instance))
    jobs, slots = int(rng.integers(1, 8)), 9
    case = (
        rng.uniform(50, 500, slots),
        rng.integers(0, 6, slots),
        rng.integers(0, 3, jobs),
        rng.permutation(np.arange(2, 2 + jobs)),
        rng.uniform(0.2, 6, jobs),
    )
    plan = GreedyPlan(blocks, *case)
    now, short = one_by_one(blocks, *case)
    assert plan.now().tolist() == now.tolist()
    assert plan.short().tolist() == short.tolist()


def test_blocks_are_handed_out_while_they_fit():
    """Four servers: the block of three that does not fit ends its job, smaller ones still fit."""
    job = np.array([0, 1, 1, 2, 0, 2])
    servers = np.array([2, 3, 1, 1, 1, 1])
    assert taken(job, servers, 3, 4).tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RecedingHorizon(horizon_days=0),
        lambda: OpportunityPrice(horizon_days=-1),
        lambda: OpportunityPrice(persistence=1.5),
        lambda: OpportunityPrice(lengths=0),
        lambda: OpportunityPrice(levels=1),
    ],
)
def test_parameters_out_of_range_are_refused(make):
    """With a sentence, before any run."""
    with pytest.raises(UsageError, match="allowed"):
        make()


def test_a_policy_can_be_used_twice():
    """A second run does not remember the first."""
    instance = small(5, past=True)
    for policy in BOTH:
        made = policy()
        first, second = run(instance, made)[0], run(instance, made)[0]
        assert first == second
        pd.testing.assert_series_equal(pd.Series(first), pd.Series(second))


def test_no_level_is_planned_without_the_one_below():
    """Two jobs on at least two servers, a third server as good as the first two, three servers.

    The second job is turned away with its two; it must not come back with its third alone.
    """
    even = (("even", 2, 1.0, 0.0), ("even", 3, 1.5, 0.0))
    instance = cluster([100.0] * 24, [(0, 1.0, "only", "even")], profiles=even)
    zero = np.zeros(2, dtype=np.int64)
    plan = GreedyPlan(
        Blocks(header_of(instance)), np.array([100.0]), np.array([3]), zero, zero + 1, np.ones(2)
    )
    assert plan.now().tolist() == [2, 0]
    assert plan.short().tolist() == [False, True]
