"""The first step of a plan for a job that is under way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from optmodels.scaling.job.exact.levels import level_oracle
from optmodels.scaling.job.profile import ScalingProfile
from optmodels.scaling.job.receding import first_servers

CASES = 120


def optimum_from(costs, profile, *, switching, work, cap, running, first=None):
    """Least cost of the rest of the job by a plain linear programme.

    `first` fixes the average number of servers of the first slot.
    """
    slots, n = costs.size, profile.servers[1:]
    levels = n.size
    shares, ramps = slots * levels, slots + 1
    cost = np.concatenate([np.kron(costs, profile.power_kw[1:]), np.full(2 * ramps, switching)])
    equal, right = [], []
    for t in range(ramps):
        row = np.zeros(cost.size)
        if t < slots:
            row[t * levels : (t + 1) * levels] = n
        if t > 0:
            row[(t - 1) * levels : t * levels] = -n
        row[shares + t], row[shares + ramps + t] = -1.0, 1.0
        equal.append(row)
        right.append(running if t == 0 else 0.0)
    row = np.zeros(cost.size)
    row[:shares] = np.tile(profile.throughput[1:], slots)
    equal.append(row)
    right.append(work)
    if first is not None:
        row = np.zeros(cost.size)
        row[:levels] = n
        equal.append(row)
        right.append(first)
    above, limit = [], []
    for t in range(slots):
        for weights, most in ((np.ones(levels), 1.0), (n, cap)):
            row = np.zeros(cost.size)
            row[t * levels : (t + 1) * levels] = weights
            above.append(row)
            limit.append(most)
    answer = linprog(cost, above, limit, equal, right, bounds=(0, None), method="highs")
    assert answer.status == 0, answer.message
    return answer.fun


def random_case(rng, profile):
    """Costs and circumstances of a job that may be under way."""
    slots = int(rng.integers(1, 9))
    cap = float(profile.servers[-1] * rng.choice([1.0, 0.6]))
    costs = rng.choice([rng.uniform(20, 500, slots), rng.integers(1, 4, slots) * 100.0])
    work = float(rng.uniform(0.05, 0.95) * slots * profile.work_at(cap))
    running = float(rng.choice([0.0, cap, rng.uniform(0, cap)]))
    switching = float(rng.choice([0.0, 5.0, 50.0, 300.0]))
    return costs, {"switching": switching, "work": work, "cap": cap, "running": running}


@pytest.mark.parametrize(
    "profile",
    [
        ScalingProfile.of([1], [1], [1]),
        ScalingProfile.of([4], [8], [2]),
        ScalingProfile.of([1, 2, 3], [1, 1.8, 2.4], [1, 2, 3.1]),
    ],
    ids=["one rate", "scaled", "concave"],
)
def test_first_servers_start_an_optimal_plan(profile):
    """Fixing the first slot to the answer does not raise the optimum, whatever runs already.

    A planner that forgot the servers under way, or charged their ramp twice, would fix a first
    slot that costs more.
    """
    rng = np.random.default_rng(5)
    for _ in range(CASES):
        costs, case = random_case(rng, profile)
        first = first_servers(
            costs,
            profile,
            switching_g=case["switching"],
            work=case["work"],
            cap=case["cap"],
            running=case["running"],
        )
        best = optimum_from(costs, profile, **case)
        assert optimum_from(costs, profile, **case, first=first) <= best * (1 + 1e-7) + 1e-7


def test_level_oracle_with_servers_under_way_equals_the_linear_programme():
    """Cost and bound of the level oracle are the LP optimum for any servers running before.

    The LP counts the change from the running servers to the first slot as a ramp of its own.
    """
    rng = np.random.default_rng(6)
    profile = ScalingProfile.of([1, 2, 4], [1, 1.7, 2.5], [1, 1.9, 3.9])
    for _ in range(CASES):
        costs, case = random_case(rng, profile)
        answer = level_oracle(costs, profile.servers, profile.throughput, profile.power_kw, **case)
        best = optimum_from(costs, profile, **case)
        assert answer.cost == pytest.approx(best, rel=1e-9, abs=1e-7)
        assert answer.bound == pytest.approx(best, rel=1e-9, abs=1e-7)
