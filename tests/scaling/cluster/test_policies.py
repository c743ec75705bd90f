"""Baselines of the cluster: what each does by hand, what all keep to, that none peeks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from optmodels.errors import UsageError
from optmodels.forecast import DayBeforeForecast, FixedForecast, Forecast
from optmodels.policy import replay
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.capacity_curves import Vcc, VccScaling, packed
from optmodels.scaling.cluster.carbonscaler import CarbonScaler, greedy_levels, increment_costs
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy, carried_over, grant, scale_up
from optmodels.scaling.cluster.policies import (
    CarbonTime,
    Ecovisor,
    Fcfs,
    LowestSlot,
    LowestWindow,
    WaitAwhile,
    window_sums,
)
from optmodels.scaling.cluster.replay import ClusterEnvironment, decisions
from tests.scaling.cluster.instances import cluster, small

STARTS = (LowestWindow, LowestSlot, CarbonTime)
PAUSING = (WaitAwhile, Ecovisor, Vcc)
RIGID = (Fcfs, *STARTS, *PAUSING)
ALL = (*RIGID, CarbonScaler, VccScaling)
GOOD = (("good", 1, 1.0, 0.0), ("good", 2, 1.8, 0.0), ("good", 3, 2.4, 0.0))
LINEAR = (("linear", 1, 1.0, 0.0), ("linear", 2, 2.0, 0.0))
PAPER = (("paper", 1, 1.0, 0.0), ("paper", 2, 1.7, 0.0))
QUARTER_DAYS = 360.0


class Recorded:
    """A policy that keeps what it saw and answered."""

    def __init__(self, policy):
        self.policy = policy
        self.rows = []

    def reset(self, header):
        """Start a new run."""
        self.policy.reset(header)

    def decide(self, observation):
        """Let the policy answer and write it down."""
        answer = self.policy.decide(observation)
        self.rows.append((observation.slot, observation.state, answer))
        return answer


class Revised(Forecast):
    """A forecast that says one thing before a slot and another from it on."""

    def __init__(self, first, then, since):
        self.first, self.then, self.since = np.array(first, float), np.array(then, float), since

    def ahead(self, slot, seen):
        """What is said in this slot of those after it."""
        return (self.first if slot < self.since else self.then)[slot + 1 :]


def tables(instance, policy, forecast=None):
    """Tables of the plan that a policy makes; by default it sees the truth ahead."""
    environment = ClusterEnvironment(
        instance, forecast=FixedForecast(instance.carbon) if forecast is None else forecast
    )
    replay(environment, policy)
    return decisions(environment)


def plan(instance, policy, forecast=None):
    """Servers by slot of each job, in the order of the jobs."""
    rows = tables(instance, policy, forecast)["schedule"]
    assert not audit(instance, {"schedule": rows}).violations
    by_job = {number: {} for number in instance.jobs.number.tolist()}
    for row in rows.itertuples():
        by_job[row.job][row.slot] = row.servers
    return list(by_job.values())


def slots(instance, policy, forecast=None):
    """Slots in which each job runs."""
    return [sorted(servers) for servers in plan(instance, policy, forecast)]


def cost(instance, policy):
    """Audited cost of what a policy does."""
    return audit(instance, tables(instance, policy)).cost


# ------------------------------------------------------------------------------- first come first


def test_first_come_first_served():
    """Older jobs start first, and a job that runs is not stopped for an older one.

    Two servers; the third job of slot 0 waits for the second to end, and the one that arrives in
    slot 1 waits for it. Serving the newest or the shortest first gives other slots.
    """
    instance = cluster([1] * 8, [(0, 2), (0, 1), (0, 2), (1, 1)], capacity=2)
    assert slots(instance, Fcfs()) == [[0, 1], [0], [1, 2], [2]]


def test_small_jobs_overtake_until_the_large_one_is_overdue():
    """A job that needs two servers is passed over while it may wait, not for ever.

    Two servers, one busy through slot 3. The large job may wait one slot: the small job of slot 0
    overtakes it, the one that arrives in slot 2 does not, although a server is free then. Without
    the rule it would start at once and the large job only after it, in slot 6. Where jobs may be
    paused, the busy server is freed for it in slot 1, the first in which it is overdue.
    """
    wide = (("rigid", 1, 1.0, 0.0), ("wide", 2, 1.0, 0.0))
    instance = cluster(
        [1] * 16,
        [
            (0, 4, "only", "rigid"),
            (0, 1, "only", "wide"),
            (0, 1, "only", "rigid"),
            (2, 4, "only", "rigid"),
        ],
        capacity=2,
        profiles=wide,
        queues=(("only", 1, 1.0),),
    )
    for policy in (Fcfs(), LowestSlot()):
        assert slots(instance, policy) == [[0, 1, 2, 3], [4], [0], [5, 6, 7, 8]]
    assert slots(instance, Vcc()) == [[0, 2, 3, 4], [1], [0], [2, 3, 4, 5]]


# ------------------------------------------------------------------------------------- starts

#: Windows of two slots from 0 on: 110, 70, 100, 110, 40.
UPHILL = [50, 60, 10, 90, 20, 20, 95, 95, 95, 95]


@pytest.mark.parametrize(
    ("policy", "first"),
    [(Fcfs, 0), (LowestWindow, 4), (LowestSlot, 2), (CarbonTime, 1)],
    ids=lambda value: getattr(value, "name", value),
)
def test_each_start_has_its_own_reason(policy, first):
    """Cleanest window: slot 4. Cleanest slot: 2. Saving per slot: 40/3 in slot 1, 70/6 in slot 4.

    The job is longer than the mean and runs on through dirty slots.
    """
    instance = cluster(UPHILL, [(0, 4)], queues=(("only", 4, 2.0),))
    assert slots(instance, policy()) == [list(range(first, first + 4))]


def test_a_start_beyond_the_delay_is_out_of_reach():
    """With a delay of 3 the window of slot 4 is too late, with a delay of 4 it is not."""
    for delay, first in ((3, 1), (4, 4)):
        instance = cluster(UPHILL, [(0, 2)], queues=(("only", delay, 2.0),))
        assert slots(instance, LowestWindow()) == [[first, first + 1]]


def test_carbon_time_counts_the_run_as_well_as_the_wait():
    """Waiting one slot saves 20, waiting two saves 29.

    With a length of 4 that is 20/5 against 29/6 per slot, and slot 2 wins; with a length of half a
    slot it is 20/1.5 against 29/2.5, and slot 1 wins. Per slot of waiting alone (20/1, 29/2) slot 1
    would win in both cases.
    """
    windows = np.array([100.0, 80.0, 71.0])
    assert CarbonTime().choose(np.zeros(3), windows, 4.0) == 2
    assert CarbonTime().choose(np.zeros(3), windows, 0.5) == 1


def test_a_start_uses_the_mean_length_in_parts_of_a_slot():
    """A mean of 1.5 slots counts half of the second slot.

    From slot 0: 10 + 45; from slot 2: 40 + 25. Two whole slots would sum to 100 and 90 and start
    in slot 2. In the other series one slot alone (30, 40, 28) would start in slot 2, too, but half
    of the next makes it 50, 54 and 68.
    """
    for carbon, first in (([10, 90, 40, 50, 95, 95], 0), ([30, 40, 28, 80, 95, 95], 0)):
        instance = cluster(carbon, [(0, 1)], queues=(("only", 2, 1.5),))
        assert slots(instance, LowestWindow()) == [[first]]
    np.testing.assert_allclose(window_sums(np.array([1.0, 2, 4, 8]), 1.5), [2, 4, 8])
    np.testing.assert_allclose(window_sums(np.array([1.0, 2, 4, 8]), 0.5), [0.5, 1, 2, 4])
    assert window_sums(np.array([1.0, 2, 4, 8]), 5.0).size == 0


def test_the_start_is_decided_at_arrival():
    """A forecast that changes later does not move a start: the job still starts in slot 3."""
    forecast = Revised([50, 50, 50, 10, 50, 50], [50, 50, 5, 90, 50, 50], since=1)
    instance = cluster([50] * 6, [(0, 1)], queues=(("only", 4, 1.0),))
    for policy in (LowestWindow(), LowestSlot(), CarbonTime()):
        assert slots(instance, policy, forecast) == [[3]]


def test_starts_queue_up_where_the_cluster_is_full():
    """Three jobs want slot 4 and one server: they run one after the other, oldest first."""
    instance = cluster(
        [*UPHILL, *[95] * 6], [(0, 2), (0, 1), (1, 1)], capacity=1, queues=(("only", 4, 2.0),)
    )
    assert slots(instance, LowestWindow()) == [[4, 5], [6], [7]]


# ------------------------------------------------------------------------------- pausing


def test_thresholds_of_every_slot_and_of_the_arrival():
    """Days of four slots, so 30 % lies 0.9 of the way from the lowest to the next value.

    Slot 0: 40 against 29; slot 1: 30 against 24.5; slot 2: 20 runs; slot 3: 50 against 48.5. Slot
    4: 35 is below the 57.5 of the day ahead of it (Wait Awhile), not below the 29 of arrival
    (Ecovisor), which 28 in slot 8 is.
    """
    carbon = [40, 30, 20, 50, 35, 60, 60, 60, 28, 60, 60, 60, 60]
    instance = cluster(carbon, [(0, 2)], queues=(("only", 10, 2.0),), minutes=QUARTER_DAYS)
    assert slots(instance, WaitAwhile()) == [[2, 4]]
    assert slots(instance, Ecovisor()) == [[2, 8]]


@pytest.mark.parametrize("policy", [WaitAwhile, Ecovisor])
def test_who_has_waited_long_enough_runs_to_its_end(policy):
    """No slot is strictly below the percentile of a constant day: the job waits its delay, 3.

    With "at most" instead of "below" it would run at once.
    """
    instance = cluster([50] * 10, [(1, 2)], queues=(("only", 3, 2.0),), minutes=QUARTER_DAYS)
    assert slots(instance, policy()) == [[4, 5]]


def test_waiting_is_counted_over_all_pauses():
    """Waited 2 slots, ran one, waited 1: the delay of 3 is over, and the job runs through 90.

    A count that starts again with every pause would wait in slot 4 as well.
    """
    carbon = [40, 30, 20, 50, 90, 45, 60, 60, 60, 60]
    instance = cluster(carbon, [(0, 3)], queues=(("only", 3, 2.0),), minutes=QUARTER_DAYS)
    assert slots(instance, WaitAwhile()) == [[2, 4, 5]]


def test_overdue_jobs_come_before_clean_slots():
    """One server. The second job has no delay: it runs first, also in the clean slot 1."""
    instance = cluster(
        [50, 10, 60, 60, 20, 60, 60, 60, 60, 60],
        [(0, 1, "patient"), (1, 2, "urgent")],
        capacity=1,
        queues=(("patient", 6, 1.0), ("urgent", 0, 1.0)),
        minutes=QUARTER_DAYS,
    )
    assert slots(instance, WaitAwhile()) == [[4], [1, 2]]


@pytest.mark.parametrize("percentile", [-1.0, 100.5, float("nan")])
def test_percentiles_outside_their_range_are_refused(percentile):
    """A percentile is 0 to 100."""
    with pytest.raises(UsageError, match="percentile"):
        WaitAwhile(percentile)


# ------------------------------------------------------------------------------- CarbonScaler


def scaler_case(carbon, jobs, profiles, *, mean, delay, capacity=8):
    """Cluster with one queue."""
    return cluster(
        carbon, jobs, profiles=profiles, capacity=capacity, queues=(("only", delay, mean),)
    )


def test_the_example_of_carbonscaler():
    """Length 2, c = (10, 100, 20): (2, 0, 1) with marginals (1, .7), (2, 0, 0) with (1, 1)."""
    for profiles, expected in ((PAPER, {0: 2, 2: 1}), (LINEAR, {0: 2})):
        instance = scaler_case([10, 100, 20], [(0, 2)], profiles, mean=2.0, delay=1)
        assert plan(instance, CarbonScaler()) == [expected]


def test_a_job_longer_than_the_mean_plans_one_slot_more():
    """Mean 1, length 3, delay 3: the cleanest slot in reach, and again, until the delay is over.

    Slot 0 (10) first; then of the slots 1 to 4 the second (20); it has waited once, so of the slots
    3 to 5 the last (30). Going on until done would run in 0, 1, 2; planning for no work at all
    would never end.
    """
    carbon = [10, 50, 20, 90, 80, 30, 70, 70]
    instance = scaler_case(carbon, [(0, 3)], (("rigid", 1, 1.0, 0.0),), mean=1.0, delay=3)
    assert plan(instance, CarbonScaler()) == [{0: 1, 2: 1, 5: 1}]


def test_servers_go_where_they_add_the_most_work():
    """Both jobs plan two servers in slot 0, and there are three: the better scaler gets the third.

    The older job is the poorer one. First come first served would give it the third server.
    """
    profiles = (*PAPER, *GOOD[:2])
    jobs = [(0, 2, "only", "paper"), (0, 2, "only", "good")]
    instance = scaler_case([10, 90, 90, 90], jobs, profiles, mean=2.0, delay=2, capacity=3)
    first, second = plan(instance, CarbonScaler())
    assert first[0] == 1
    assert second[0] == 2


def test_who_got_less_than_planned_plans_again():
    """One server, two equal jobs of two slots, both with the plan 0 and 4.

    The second is turned away in slot 0 and plans 3 and 4. In slot 4 it runs already, so now the
    first is turned away, and plans 5. Jobs that kept to their plans would leave slot 3 idle.
    """
    carbon = [10, 50, 50, 20, 15, 90, 95, 95]
    instance = scaler_case(
        carbon, [(0, 2), (0, 2)], (("rigid", 1, 1.0, 0.0),), mean=2.0, delay=5, capacity=1
    )
    assert slots(instance, CarbonScaler()) == [[0, 5], [3, 4]]


@pytest.mark.parametrize(("tolerance", "slot"), [(0.05, 2), (10.0, 3)])
def test_a_moved_forecast_makes_new_plans(tolerance, slot):
    """In slot 1 the forecast says that slot 2 is clean and slot 3 is not: the job runs in slot 2.

    With a tolerance of ten times the forecast it keeps to slot 3.
    """
    forecast = Revised([50, 50, 50, 10, 50, 50], [50, 50, 5, 90, 50, 50], since=1)
    instance = scaler_case([50] * 6, [(0, 1)], (("rigid", 1, 1.0, 0.0),), mean=1.0, delay=4)
    assert slots(instance, CarbonScaler(tolerance), forecast) == [[slot]]


def test_network_power_makes_scaling_dearer():
    """The second server costs 1 kW, and 1.5 kW of network: 35 g per unit of work against 20.

    Without the network it would be 14, and the job would scale in slot 0.
    """
    rows = (("net", 1, 1.0, 0.0), ("net", 2, 1.7, 15.0))
    instance = cluster(
        [10, 100, 20],
        [(0, 2)],
        profiles=rows,
        queues=(("only", 1, 2.0),),
        network_w_per_gbps=100.0,
    )
    assert plan(instance, CarbonScaler()) == [{0: 1, 2: 1}]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), levels=st.integers(1, 4), taken=st.integers(1, 8))
def test_a_single_job_of_known_length_is_done_at_least_carbon(seed, levels, taken):
    """With the true mean, and work that fills its last increment, the plan is the LP's optimum.

    The last slots of the window are so dirty that no optimum waits for longer than the delay.
    """
    rng = np.random.default_rng(seed)
    marginal = np.concatenate([[1.0], np.sort(rng.uniform(0.1, 0.95, levels - 1))[::-1]])
    clean = rng.uniform(50, 500, 8)
    fraction = np.cumsum(np.sort(rng.uniform(0.0, 9.0, levels)))
    traffic = fraction - fraction[0]
    prices = clean[:, None] * (1 + np.diff(traffic, prepend=0.0) / 1000) / marginal
    best = np.sort(prices, axis=None)[taken - 1]
    work = float(np.broadcast_to(marginal, prices.shape)[prices <= best].sum())
    carbon = np.concatenate([clean, np.full(int(np.ceil(work)), 1e5)])
    rows = [
        ("p", k + 1, w, t) for k, (w, t) in enumerate(zip(marginal.cumsum(), traffic, strict=True))
    ]
    instance = cluster(
        carbon, [(0, work)], profiles=rows, queues=(("only", 8, work),), network_w_per_gbps=1.0
    )
    result = linprog(
        prices.ravel() * np.tile(marginal, 8),
        None,
        None,
        np.tile(marginal, 8)[None, :],
        [work],
        bounds=(0, 1),
    )
    assert cost(instance, CarbonScaler()).total == pytest.approx(result.fun, rel=1e-9)


def test_greedy_levels_stand_on_each_other():
    """Ties go to the earlier slot, a level without work is never used, windows are kept.

    The upper level is cheaper than the lower one on paper (it draws less power than it adds work),
    and must still not come first.
    """
    marginal = np.array([1.0, 0.5, 0.0])
    cost = increment_costs(np.array([10.0, 0.0, 10.0]), np.array([1.0, 1.1, 1.2]), marginal)
    assert (np.diff(cost[:, :2], axis=1) >= 0).all()
    assert np.isinf(cost[:, 2]).all()
    levels = greedy_levels(
        cost, marginal, np.array([0.5, 1.5, 2.5, 9.0, 9.0]), np.array([3, 3, 3, 3, 1])
    )
    assert levels.tolist() == [[0, 1, 0], [0, 2, 0], [1, 2, 0], [2, 2, 2], [2, 0, 0]]


@pytest.mark.parametrize("tolerance", [-0.1, float("nan")])
def test_a_negative_tolerance_is_refused(tolerance):
    """A tolerance is 0 or more."""
    with pytest.raises(UsageError, match="tolerance"):
        CarbonScaler(tolerance)


# ------------------------------------------------------------------------------- capacity curves


def curve_case(jobs, *, queues=(("only", 10, 1.0),), past=1.0, **more):
    """Days of four slots; the past brought so much work per slot."""
    given = {}
    if past:
        given = {"past_carbon": [30] * 8, "past_jobs": [(slot, past) for slot in range(8)]}
    carbon = [40, 10, 30, 20, 5, 50, 60, 1, *[50] * 12]
    return cluster(carbon, jobs, capacity=2, queues=queues, minutes=QUARTER_DAYS, **given, **more)


def test_the_load_of_a_day_moves_into_its_cleanest_hours():
    """Four units a day on two servers: the first day's curve is (0, 2, 0, 2).

    So the jobs of slot 0 run in slots 1 and 3. On the second day at most slots 7 and 4 are open,
    and the job of slot 5 waits for slot 7.
    """
    instance = curve_case([(0, 2), (0, 1), (0, 1), (5, 1)])
    assert slots(instance, Vcc()) == [[1, 3], [1], [3], [7]]


def test_the_curve_is_opened_for_overdue_jobs_alone():
    """A job that may not wait runs in the closed slot 0; the patient one beside it does not."""
    queues = (("only", 10, 1.0), ("urgent", 0, 1.0))
    instance = curve_case([(0, 1, "only"), (0, 1, "urgent")], queues=queues)
    assert slots(instance, Vcc()) == [[1], [0]]
    assert slots(instance, VccScaling()) == [[1], [0]]


def test_without_a_past_the_first_day_is_open():
    """Nothing is known of arrivals on the first day; on the second the first is.

    Day one brought two units of work (means), so the second day opens slot 7 alone: the job of
    slot 4 waits, although slot 4 is the second cleanest and open in the case with a past.
    """
    instance = curve_case([(0, 2), (1, 1), (4, 1)], past=None)
    assert slots(instance, Vcc()) == [[0, 1], [1], [7]]


def test_work_left_over_opens_the_next_day():
    """A job of 4 slots where a tenth of a server is expected: the first day opens slot 1 for it.

    As the second day begins, 2 units are left of its mean of 3, and 3.8 / 12 per slot are expected
    to arrive: 3.3 units open slots 7 and 4. Arrivals alone, 1.3 units, would open slot 7 only; the
    whole mean once more, 4.3 units, slot 5 as well.
    """
    instance = curve_case([(1, 4)], queues=(("only", 12, 3.0),), past=0.1)
    assert slots(instance, Vcc()) == [[1, 4, 7, 8]]


def test_free_servers_below_the_curve_scale_jobs():
    """The curve opens slots 1 and 3 for two servers: one job takes both, 1.8 units in slot 1.

    With two jobs each has its base first.
    """
    instance = curve_case([(0, 2)], profiles=GOOD)
    assert plan(instance, Vcc()) == [{1: 1, 3: 1}]
    assert plan(instance, VccScaling()) == [{1: 2, 3: 2}]
    instance = curve_case([(0, 2), (0, 2)], profiles=GOOD)
    assert plan(instance, VccScaling()) == [{1: 1, 3: 1}, {1: 1, 3: 1}]


def test_packing_fills_the_cleanest_slots_first():
    """What is left over opens the next slot in part; more than fits opens everything."""
    carbon = np.array([3.0, 1.0, 2.0, 1.0])
    assert packed(carbon, 4.2, 3).tolist() == [0, 3, 0, 2]
    assert packed(carbon, 6.0, 3).tolist() == [0, 3, 0, 3]
    assert packed(carbon, 99.0, 3).tolist() == [3, 3, 3, 3]
    assert packed(carbon, 0.0, 3).tolist() == [0, 0, 0, 0]


# ------------------------------------------------------------------------------- all of them


def test_names_are_unique_and_told():
    """Every policy has a name and a summary; those that look ahead say so."""
    assert len({policy.name for policy in ALL}) == len(ALL)
    for policy in ALL:
        assert policy.summary
        assert policy.needs == (frozenset() if policy is Fcfs else frozenset({"forecast"}))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    policy=st.sampled_from(ALL),
    utilisation=st.floats(0.1, 1.5),
    jobs=st.integers(1, 30),
    past=st.booleans(),
    start_kwh=st.sampled_from([0.0, 0.1]),
)
def test_every_plan_is_sound(seed, policy, utilisation, jobs, past, start_kwh):
    """All jobs are finished, no limit is broken, and overdue jobs run whenever they fit.

    The oldest overdue job without servers must not fit into what is left (younger ones may not
    overtake it), and but for first come first served nobody who is not overdue starts then.
    """
    instance = small(seed, jobs=jobs, utilisation=utilisation, past=past, start_kwh=start_kwh)
    recorded = Recorded(policy())
    found = tables(instance, recorded)
    assert not audit(instance, found).violations
    assert (found["jobs"]["finish_slot"] > 0).all()
    header = recorded.policy.header
    for _, state, servers in recorded.rows:
        fewest = header.fewest[state.profile]
        overdue = recorded.policy.overdue(state)
        out = overdue & (servers == 0)
        if out.any():
            assert header.capacity - servers.sum() < fewest[np.argmax(out)]
        if policy is not VccScaling:
            assert (servers[overdue & (servers > 0)] == fewest[overdue & (servers > 0)]).all()
        if out.any() and policy is not Fcfs and policy is not VccScaling:
            assert not ((servers > 0) & (state.servers == 0) & ~overdue).any()
        if policy in RIGID:
            assert set(servers[servers > 0]) <= set(fewest)


@pytest.mark.parametrize("policy", [Fcfs, *STARTS], ids=lambda p: p.name)
def test_some_never_pause(policy):
    """Once started, a job runs in every slot until its end."""
    for seed in range(20):
        instance = small(seed, jobs=25, utilisation=0.9)
        for used in slots(instance, policy()):
            assert used == list(range(used[0], used[-1] + 1))


@pytest.mark.parametrize("policy", [p for p in ALL if p is not VccScaling], ids=lambda p: p.name)
def test_without_delay_all_are_first_come_first_served(policy):
    """Where nobody may wait, nothing can be shifted, and overdue jobs are not scaled."""
    for seed in range(10):
        instance = small(seed, jobs=25, utilisation=0.9)
        queues = instance.tables["queues"].assign(delay_slots=0)
        instance = instance.replace(queues=queues)
        pd.testing.assert_frame_equal(
            tables(instance, policy())["schedule"], tables(instance, Fcfs())["schedule"]
        )


def constant(seed, **more):
    """Random cluster under constant carbon."""
    instance = small(seed, jobs=20, **more)
    return instance.replace(carbon=instance.tables["carbon"].assign(carbon_g_per_kwh=123.4))


@pytest.mark.parametrize("policy", [*STARTS, CarbonScaler], ids=lambda p: p.name)
def test_with_constant_carbon_nobody_waits(policy):
    """All slots are equally clean: the earliest is taken, on the fewest servers.

    Sums over windows that differ by rounding alone must not count as cleaner.
    """
    for seed in range(10):
        instance = constant(seed, utilisation=0.1)
        pd.testing.assert_frame_equal(
            tables(instance, policy())["schedule"], tables(instance, Fcfs())["schedule"]
        )


@pytest.mark.parametrize("policy", RIGID, ids=lambda p: p.name)
def test_with_constant_carbon_shifting_saves_nothing(policy):
    """Jobs on their fewest servers emit the same whenever they run."""
    for seed in range(5):
        instance = constant(seed, utilisation=0.8)
        grams = cost(instance, policy()).quantities["carbon_g"]
        assert grams == pytest.approx(cost(instance, Fcfs()).quantities["carbon_g"], rel=1e-12)


def test_shifting_pays_where_the_cluster_has_room():
    """On clusters of low use every carbon-aware policy emits less than first come first served.

    Summed over twelve random days: a policy with its comparison turned round would emit more.
    """
    grams = dict.fromkeys(ALL, 0.0)
    for seed in range(12):
        instance = small(seed, jobs=20, slots=96, utilisation=0.15, past=True)
        for policy in ALL:
            grams[policy] += cost(instance, policy()).quantities["carbon_g"]
    for policy in ALL[1:]:
        assert grams[policy] < grams[Fcfs], policy.name


@pytest.mark.parametrize("policy", ALL, ids=lambda p: p.name)
def test_a_policy_can_be_used_again(policy):
    """What was remembered of one run does not reach into the next."""
    instance, other = small(1, jobs=20, utilisation=0.8), small(2, jobs=9)
    reused = policy()
    first = tables(instance, reused)["schedule"]
    tables(other, reused)
    pd.testing.assert_frame_equal(tables(instance, reused)["schedule"], first)


# ------------------------------------------------------------------------------- no peeking


def until(instance, policy, slot, forecast):
    """Schedule before a slot, shares apart: those show where a job ended."""
    rows = tables(instance, policy, forecast)["schedule"]
    return rows.loc[rows["slot"] < slot, ["job", "slot", "servers"]].reset_index(drop=True)


@pytest.mark.parametrize("policy", ALL, ids=lambda p: p.name)
def test_another_future_leaves_past_decisions_alone(policy):
    """Other carbon and other arrivals from a slot on, other lengths of jobs that are not done.

    The forecast repeats the day before, so it holds nothing of the future.
    """
    rng = np.random.default_rng(5)
    for seed in range(8):
        instance = small(seed, jobs=25, slots=72, utilisation=0.7, past=bool(seed % 2))
        slot = int(rng.integers(10, 50))
        forecast = DayBeforeForecast(instance.slots, instance.slots_per_day)
        ends = tables(instance, policy(), forecast)["jobs"]["finish_slot"].to_numpy()
        carbon = instance.tables["carbon"]["carbon_g_per_kwh"].to_numpy().copy()
        carbon[slot:] = rng.uniform(50, 500, len(carbon) - slot)
        jobs = instance.tables["jobs"].sort_values(["arrival_slot", "job"], kind="stable")
        length = jobs["length_slots"].to_numpy().copy()
        # Shorter than they were, yet longer than what they can have done before the slot.
        most = np.array([p.throughput[-1] for p in instance.profiles])[instance.jobs.profile]
        done = np.maximum(slot - instance.jobs.arrival, 0) * most
        hidden = (ends > slot) & (done + 0.1 < length)
        length[hidden] = rng.uniform(done[hidden] + 0.05, length[hidden])
        later = jobs["arrival_slot"].to_numpy() >= slot
        profile = jobs["profile"].to_numpy().copy()
        profile[later] = "rigid"
        other = instance.replace(
            carbon=instance.tables["carbon"].assign(carbon_g_per_kwh=carbon),
            jobs=jobs.assign(length_slots=length, profile=profile),
        )
        before = until(instance, policy(), slot, forecast)
        pd.testing.assert_frame_equal(until(other, policy(), slot, forecast), before)


# ------------------------------------------------------------------------------- shared parts


def test_grant_waits_for_those_it_must_not_overtake():
    """Three servers; the second job wants three and the first has one already."""
    order, wish = np.array([0, 1, 2, 3]), np.array([1, 3, 1, 1])
    assert grant(order, wish, 3).tolist() == [1, 0, 1, 1]
    assert grant(order, wish, 3, np.array([False, True, False, False])).tolist() == [1, 0, 0, 0]
    assert grant(order, wish, 4, np.array([False, True, False, False])).tolist() == [1, 3, 0, 0]
    assert grant(order, wish, 3, np.array([True, False, True, True])).tolist() == [1, 0, 1, 1]


def test_scaling_goes_by_marginals_and_stands_on_a_base():
    """Marginals 1, .8, .6 and 1, .7: the third job has no servers and gets none."""
    marginal = np.array([[0, 1, 0.8, 0.6], [0, 1, 0.7, 0.0]])
    given, most = np.array([1, 1, 0]), np.array([3, 2, 3])
    profile, order = np.array([0, 1, 0]), np.array([1, 0, 2])
    for capacity, expected in ((2, [1, 1, 0]), (3, [2, 1, 0]), (4, [2, 2, 0]), (9, [3, 2, 0])):
        assert scale_up(given, most, marginal, profile, order, capacity).tolist() == expected
    alike = np.array([0, 0, 0])
    assert scale_up(given, most, marginal, alike, order, 3).tolist() == [1, 2, 0]


def test_notes_are_carried_over():
    """Jobs end anywhere in the order and arrive at its end."""
    assert carried_over(np.array([2, 3, 5]), np.array([3, 5, 6, 7])).tolist() == [1, 2]
    assert carried_over(np.array([2, 3]), np.array([4])).tolist() == []
    assert carried_over(np.array([], dtype=int), np.array([0, 1])).tolist() == []
    assert carried_over(np.array([1]), np.array([], dtype=int)).tolist() == []


def test_turns():
    """Overdue before others, running before waiting, older before younger."""
    recorded = Recorded(Fcfs())
    tables(small(3, jobs=25, utilisation=1.2), recorded)
    policy: ClusterPolicy = recorded.policy
    seen = 0
    for _, state, _ in recorded.rows:
        late, waits = policy.overdue(state), state.servers == 0
        place = np.arange(len(late))
        expected = np.lexsort((place, waits, ~late))
        assert policy.turns(state).tolist() == expected.tolist()
        expected = np.lexsort((place, waits & ~late, waits))
        assert policy.turns(state, pausing=False).tolist() == expected.tolist()
        seen += bool(late.any() and waits.any())
    assert seen
