"""What is said about clusters in which jobs must be late."""

from __future__ import annotations

import pytest

from optmodels.scaling.cluster.limits import explain
from optmodels.scaling.cluster.optimum import solve
from tests.scaling.cluster.instances import cluster, small


def test_nothing_is_said_where_all_is_well():
    """Also where the published oracle is late although nobody need be."""
    queues = [("none", 0, 1.0), ("some", 1, 1.0)]
    jobs = [(0, 1.0, "some"), (1, 1.0, "none")]
    assert explain(small(0)) == []
    assert explain(cluster([4, 1, 9, 9], jobs, queues=queues, capacity=1)) == []


def test_three_jobs_for_one_server():
    """Two units of work must be late; the slot, the jobs and the amount are named.

    A fourth job at another time has nothing to do with it.
    """
    instance = cluster([9, 9, 9, 9, 9], [(0, 1.0), (1, 1.0), (1, 1.0), (1, 1.0)], capacity=1)
    capacity, work, delay = explain(instance)
    assert "on 1 servers" in capacity
    assert "from 2022-06-01T01:00:00+00:00 to 2022-06-01T02:00:00+00:00" in capacity
    assert "jobs 1, 2, 3)" in work
    assert "at least 2 of them" in work
    assert "1 times" in delay
    plan = solve(instance)
    assert plan.cost["late_g"] == pytest.approx((1 + 2) * 9)


@pytest.mark.parametrize("seed", range(6))
def test_what_must_be_late_is_late_in_every_plan(seed):
    """Reasons are given where the relaxation finds them, and solving still works."""
    instance = small(seed, utilisation=2.5, capacity=2, whole=True)
    reasons = explain(instance)
    plan = solve(instance, method="prices")
    assert bool(reasons) <= (plan.cost["late_g"] > 0)
    # A price of zero does not hide lateness: it is counted, not bought.
    assert explain(instance.replace(late_factor=0.0))[:1] == reasons[:1]
