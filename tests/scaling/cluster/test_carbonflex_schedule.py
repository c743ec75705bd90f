"""CarbonFlex's scheduling: who gets the servers of a slot."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.scaling.cluster.instance import Profile
from optmodels.scaling.cluster.learning.schedule import Ladder, schedule


def profile(fewest, *marginal):
    """Profile from the work that each level adds."""
    servers = np.arange(fewest, fewest + len(marginal))
    return Profile("p", servers, np.cumsum(marginal), np.zeros(len(marginal)))


RIGID = profile(1, 1.0)
LINEAR = profile(1, 1.0, 1.0, 1.0)
GOOD = profile(1, 1.0, 0.8, 0.6, 0.4)
POOR = profile(1, 1.0, 0.5, 0.1)
WIDE = profile(2, 1.0, 0.4, 0.2)
FLAT = profile(1, 1.0, 0.5, 0.0, 0.0)
HUGE = profile(4, 1.0, 0.25, 0.2)
PROFILES = (RIGID, LINEAR, GOOD, POOR, WIDE, FLAT, HUGE)
CODE = {id(kind): code for code, kind in enumerate(PROFILES)}
LADDER = Ladder.of(PROFILES)


def served(jobs, servers, threshold=0.0, capacity=100, overdue=None):
    """Servers of jobs given as (profile, slack)."""
    slack = np.array([slack for _, slack in jobs], dtype=np.int64)
    late = slack <= 0 if overdue is None else np.array(overdue, dtype=bool)
    code = np.array([CODE[id(kind)] for kind, _ in jobs], dtype=np.int64)
    given_ = schedule(
        LADDER, code, slack, late, servers=servers, threshold=threshold, capacity=capacity
    )
    return given_.tolist()


def by_hand(jobs, servers, threshold, capacity):
    """The same one item after the other, as the paper prints it, with what we read into it."""
    given_ = [0] * len(jobs)
    oldest_first = sorted(range(len(jobs)), key=lambda i: jobs[i][1])
    for i in oldest_first:
        kind, slack = jobs[i]
        if slack <= 0 and sum(given_) + kind.fewest <= capacity:
            given_[i] = kind.fewest
    limit = min(max(servers, sum(given_)), capacity)
    items = []
    for place, i in enumerate(oldest_first):
        kind, slack = jobs[i]
        for level, marginal in enumerate(kind.marginal):
            if marginal >= threshold - 1e-9 and marginal > 1e-9:
                key = (-round(float(marginal), 9), level > 0, place, level)
                items.append((*key, i, kind.fewest + level))
    for *_, level, i, target in sorted(items):
        kind, slack = jobs[i]
        before = given_[i]
        if before >= target or (level > 0 and before != target - 1):
            continue
        if sum(given_) + target - before <= limit and not (slack <= 0 and before == 0):
            given_[i] = target
    return given_


JOBS = st.lists(st.tuples(st.sampled_from(PROFILES), st.integers(-1, 4)), max_size=6)


@given(
    JOBS, st.integers(0, 12), st.sampled_from([0.0, 0.1, 0.4, 0.55, 1.0, 1.5]), st.integers(3, 20)
)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_is_what_one_item_after_the_other_gives(jobs, servers, threshold, capacity):
    """The sorted, cumulated form serves exactly what the loop over items serves."""
    assert served(jobs, servers, threshold, capacity) == by_hand(jobs, servers, threshold, capacity)


@given(JOBS, st.integers(3, 20))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_leaves_no_server_idle_without_threshold(jobs, capacity):
    """At threshold 0 and full capacity a server idles only if no job gains from it."""
    given_ = served(jobs, capacity, 0.0, capacity)
    idle = capacity - sum(given_)
    for servers, (kind, _) in zip(given_, jobs, strict=True):
        if servers == 0:
            assert kind.fewest > idle
        elif idle and servers < kind.most:
            assert kind.marginal[servers - kind.fewest + 1] <= 1e-9


@given(JOBS, st.integers(0, 25), st.floats(0, 1.2), st.integers(3, 20))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_keeps_to_levels_and_limits(jobs, servers, threshold, capacity):
    """Servers are 0 or a level; only overdue jobs raise what is provisioned."""
    given_ = served(jobs, servers, threshold, capacity)
    need = sum(kind.fewest for kind, slack in jobs if slack <= 0)
    assert sum(given_) <= min(capacity, max(servers, need))
    for n, (kind, _) in zip(given_, jobs, strict=True):
        assert n == 0 or kind.fewest <= n <= kind.most


def test_serves_every_job_at_its_fewest_before_any_above_at_equal_marginal():
    """Three jobs that scale linearly and four servers: nobody starves for a fourth server."""
    assert served([(LINEAR, 5), (LINEAR, 1), (LINEAR, 3)], 3) == [1, 1, 1]
    assert served([(LINEAR, 5), (LINEAR, 1), (LINEAR, 3)], 4) == [1, 2, 1]


def test_serves_the_least_slack_first_then_the_oldest():
    """With fewer servers than jobs the slack decides; equal slack goes by age."""
    assert served([(RIGID, 5), (RIGID, 1), (RIGID, 3)], 1) == [0, 1, 0]
    assert served([(RIGID, 5), (RIGID, 1), (RIGID, 3)], 2) == [0, 1, 1]
    assert served([(RIGID, 2), (RIGID, 2), (RIGID, 2)], 2) == [1, 1, 0]


def test_serves_by_marginal_before_slack():
    """The second server of a job that scales well (.8) beats that of an urgent one (.5)."""
    assert served([(GOOD, 9), (POOR, 1)], 3) == [2, 1]
    assert served([(GOOD, 9), (POOR, 1)], 5) == [3, 2]


def test_threshold_is_served_itself_but_nothing_below():
    """With a strict comparison a threshold of 1 would run nothing at all."""
    assert served([(GOOD, 3), (POOR, 3)], 100, 1.0) == [1, 1]
    assert served([(GOOD, 3), (POOR, 3)], 100, 0.8) == [2, 1]
    assert served([(GOOD, 3), (POOR, 3)], 100, 0.6) == [3, 1]
    assert served([(GOOD, 3), (POOR, 3)], 100, 1.1) == [0, 0]


def test_overdue_jobs_run_whatever_is_provisioned():
    """No servers, no level above the threshold: overdue jobs still run, on their fewest."""
    assert served([(WIDE, 0), (GOOD, -2), (GOOD, 4)], 0, 2.0) == [2, 1, 0]


def test_overdue_jobs_stop_at_the_capacity_the_longest_overdue_first():
    """Three overdue jobs and two servers: the one with the most negative slack is served first."""
    assert served([(RIGID, 0), (RIGID, -1), (RIGID, -5)], 0, 0.0, capacity=2) == [0, 1, 1]


def test_overdue_job_that_does_not_fit_gets_no_level_above():
    """A second server without the first two would be no level of its profile."""
    assert served([(RIGID, -3), (WIDE, -1), (RIGID, 4)], 2, 0.0, capacity=2) == [1, 0, 1]


def test_smaller_job_behind_one_that_does_not_fit_still_runs():
    """One server left: the job that needs two is passed over, with all its levels."""
    assert served([(WIDE, 1), (RIGID, 2)], 1) == [0, 1]
    assert served([(RIGID, 1), (WIDE, 2), (POOR, 3)], 2) == [1, 0, 1]
    assert served([(WIDE, 3)], 1) == [0]


def test_level_that_adds_nothing_is_never_served():
    """A further server that does no work would only emit."""
    assert served([(FLAT, 2)], 10) == [2]


def test_empty_system_gets_nothing():
    """No job, no servers."""
    assert served([], 5) == []
