"""CarbonFlex's oracle: by hand, against a naive loop, and what it must never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.scaling.cluster.audit import audit, held_servers, outcome
from optmodels.scaling.cluster.greedy import greedy_schedule, servers_and_thresholds
from optmodels.scaling.cluster.replay import tables_of
from tests.scaling.cluster.instances import cluster, small

STEEP = [("steep", 1, 1.0, 0.0), ("steep", 2, 1.7, 0.0)]
LINEAR = [("linear", n, float(n), 0.0) for n in (1, 2, 3)]


def schedule(instance, more=200):
    """The greedy with room after the series for jobs that have to be late."""
    carbon = instance.carbon_until(instance.slots + more)
    return greedy_schedule(
        instance.jobs, instance.due, carbon, instance.profiles, instance.capacity
    )


def rows(found):
    """Rows as a set of (job, slot, servers, share)."""
    s = found.schedule
    columns = (s.job.tolist(), s.slot.tolist(), s.servers.tolist(), s.share.round(9).tolist())
    return set(zip(*columns, strict=True))


def naive(instance, due, slots):
    """The same in plain loops over a list of tuples."""
    items = []
    for j in range(instance.jobs.count):
        profile = instance.profiles[instance.jobs.profile[j]]
        gain = np.minimum.accumulate(np.round(profile.marginal, 12))
        for t in range(instance.jobs.arrival[j], due[j]):
            for k in range(len(gain)):
                if gain[k] > 0:
                    items.append((instance.carbon_until(slots)[t] / gain[k], due[j], k, j, t))
    used, state = np.zeros(slots, dtype=int), {}
    left = instance.jobs.length.copy()
    for _, _, k, j, t in sorted(items):
        profile = instance.profiles[instance.jobs.profile[j]]
        added = profile.fewest if k == 0 else 1
        fits = used[t] + added <= instance.capacity
        if fits and left[j] > 1e-12 * instance.jobs.length[j] and state.get((j, t), 0) == k:
            state[j, t] = k + 1
            used[t] += added
            left[j] -= np.minimum.accumulate(np.round(profile.marginal, 12))[k]
    return state, left, used


def test_the_published_example():
    """Length 2, carbon 10, 100, 20: two servers in the first slot, one for 0.3 of the third.

    2 · 10 + 0.3 · 20 = 26 g; a whole third slot would make it 40.
    """
    instance = cluster([10, 100, 20], [(0, 2.0)], queues=[("only", 1, 2.0)], profiles=STEEP)
    found = schedule(instance)
    assert rows(found) == {(0, 0, 2, 1.0), (0, 2, 1, 0.3)}
    assert audit(instance, tables_of(instance, found.schedule)).cost.total == pytest.approx(26)


def test_a_share_of_a_further_server_is_two_rows():
    """1.35 units in one slot: half of it on two servers (1.7), half on one."""
    instance = cluster([10, 30], [(0, 1.35)], profiles=STEEP)
    found = schedule(instance)
    assert rows(found) == {(0, 0, 2, 0.5), (0, 0, 1, 0.5)}
    assert audit(instance, tables_of(instance, found.schedule)).cost.total == pytest.approx(15)


def test_the_last_server_may_be_used():
    """Two rigid jobs, two servers, one cheap slot: both run in it; the printed test forbids it."""
    instance = cluster([1, 50], [(0, 1.0), (0, 1.0)], queues=[("only", 1, 1.0)], capacity=2)
    assert rows(schedule(instance)) == {(0, 0, 1, 1.0), (1, 0, 1, 1.0)}


def test_ties_go_to_the_job_that_is_due_earlier():
    """One server, one cheap slot: it is the urgent job's."""
    queues = [("patient", 3, 1.0), ("urgent", 1, 1.0)]
    jobs = [(0, 1.0, "patient"), (0, 1.0, "urgent")]
    instance = cluster([5, 1, 9, 9], jobs, queues=queues, capacity=1)
    assert rows(schedule(instance)) == {(1, 1, 1, 1.0), (0, 0, 1, 1.0)}


def test_constant_carbon_uses_the_fewest_servers():
    """Also of a linear profile, where every level is worth the same."""
    instance = cluster([7] * 8, [(0, 3.0), (1, 2.5)], queues=[("only", 3, 3.0)], profiles=LINEAR)
    assert set(schedule(instance).schedule.servers.tolist()) == {1}


def test_only_unfinished_jobs_get_later_due_slots():
    """One server for two rigid jobs that are due at once: the second ends a slot late."""
    instance = cluster([3, 2, 1], [(0, 1.0), (0, 1.0)], capacity=1)
    found = schedule(instance)
    assert found.due.tolist() == [1, 2]
    assert outcome(instance, found.schedule).late.tolist() == [0, 1]
    # Three jobs: the last needs two more slots, by +1 and then twice as much.
    three = cluster([3, 2, 1], [(0, 1.0)] * 3, capacity=1)
    assert schedule(three).due.tolist() == [1, 2, 3]


def test_a_window_that_ends_leaves_work():
    """Past windows are cut: what does not fit before their end is reported, not invented."""
    instance = cluster([3, 2, 1], [(0, 2.0), (0, 1.5)], queues=[("only", 1, 1.0)], capacity=1)
    jobs, due = instance.jobs, instance.due
    found = greedy_schedule(jobs, due, instance.carbon, instance.profiles, 1)
    assert found.left.sum() == pytest.approx(0.5)
    assert found.due.max() <= 3
    nothing = greedy_schedule(jobs, due, instance.carbon[:0], instance.profiles, 1)
    assert nothing.left.tolist() == [2.0, 1.5]
    assert len(nothing.schedule.job) == 0


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 0.7]))
def test_it_is_the_naive_loop(seed, utilisation):
    """Blocks in the same order, one by one; and its audit is clean, whatever binds."""
    instance = small(seed, utilisation=utilisation)
    found = schedule(instance)
    plan = audit(instance, tables_of(instance, found.schedule))
    assert plan.ok, plan.violations
    assert (found.left == 0).all()
    slots = instance.slots + 200
    state, left, used = naive(instance, found.due, slots)
    assert (left <= 1e-9).all()
    held, in_use = held_servers(instance, found.schedule)
    assert np.array_equal(in_use, used[: len(in_use)])
    fewest = [instance.profiles[c].fewest for c in instance.jobs.profile]
    expected = {(j, t): fewest[j] + k - 1 for (j, t), k in state.items()}
    pairs = zip(held.job.tolist(), held.slot.tolist(), strict=True)
    assert dict(zip(pairs, held.servers.tolist(), strict=True)) == expected


def test_servers_and_thresholds_of_a_slot():
    """Two servers at 0.7 and one at 1 in the first slot; nothing in the second."""
    jobs = [(0, 1.7, "only", "steep"), (0, 1.0, "only", "rigid"), (2, 1.0, "only", "rigid")]
    profiles = [*STEEP, ("rigid", 1, 1.0, 0.0)]
    instance = cluster([1, 90, 2, 90], jobs, queues=[("only", 0, 1.0)], profiles=profiles)
    found = schedule(instance)
    servers, threshold = servers_and_thresholds(
        found.schedule, instance.jobs.profile, instance.profiles, 4
    )
    assert servers.tolist() == [3, 0, 1, 0]
    assert threshold.tolist() == pytest.approx([0.7, 1, 1, 1])
