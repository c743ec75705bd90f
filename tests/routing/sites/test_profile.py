"""Pruning the profile: what is left out is never needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.profile import pruned
from optmodels.routing.sites.synthetic import generate
from tests.routing.sites.instances import routing, small


def least_loss(inst: RoutingInstance, rows: Any, t: int = 0, *, second: bool = False) -> float:
    """Least requests lost (or, at most that many lost, least time) by instances in fractions.

    Written directly as arrays for scipy: flows y and instances n, both by site and row.
    """
    p = inst.profile
    o_count, s_count, _ = inst.arcs.shape
    rows = np.asarray(rows)
    arcs = [
        (o, s, j)
        for o in range(o_count)
        for s in range(s_count)
        for j in range(len(rows))
        if inst.arcs[o, s, rows[j]]
    ]
    runs = s_count * len(rows)
    size = runs + len(arcs)
    lhs, rhs = [], []
    for s in range(s_count):
        for weight, most in (
            (p.tp[rows].astype(float), float(inst.gpus[s])),
            (p.kw[rows], inst.power_kw[t, s]),
        ):
            line = np.zeros(size)
            line[s * len(rows) : (s + 1) * len(rows)] = weight
            lhs.append(line)
            rhs.append(most)
        for j, row in enumerate(rows):
            line = np.zeros(size)
            line[s * len(rows) + j] = -p.rate[row]
            for k, arc in enumerate(arcs):
                line[runs + k] = float(arc[1] == s and arc[2] == j)
            lhs.append(line)
            rhs.append(0.0)
    for o in range(o_count):
        for c in range(p.classes):
            line = np.zeros(size)
            for k, arc in enumerate(arcs):
                line[runs + k] = float(arc[0] == o and p.row_class[rows[arc[2]]] == c)
            lhs.append(line)
            rhs.append(inst.demand[t, o, c])
    gain = np.zeros(size)
    gain[runs:] = [-inst.weight[p.row_class[rows[j]]] for _, _, j in arcs]
    found = linprog(gain, A_ub=np.array(lhs), b_ub=rhs, method="highs")
    total = float((inst.demand[t] @ inst.weight).sum())
    if not second:
        return total + found.fun
    time = np.zeros(size)
    time[runs:] = [p.e2e[rows[j]] + inst.rtt_s[o, s] for o, s, j in arcs]
    lhs.append(gain)
    rhs.append(found.fun * (1 - 1e-9))
    return float(linprog(time, A_ub=np.array(lhs), b_ub=rhs, method="highs").fun)


@pytest.mark.parametrize("seed", range(4))
def test_pruning_leaves_the_optimum(seed: int) -> None:
    """The linear programme has the same least loss and the same least time with fewer rows."""
    inst = small(seed, periods=1, sites=2, origins=2, classes=2, calm=0.0, load=1.6)
    everything = np.arange(inst.profile.count)
    some = pruned(inst.profile, arcs=inst.arcs)
    assert len(some) < len(everything)
    for second in (False, True):
        full = least_loss(inst, everything, second=second)
        assert least_loss(inst, some, second=second) == pytest.approx(full, rel=1e-7)
    safe = pruned(inst.profile)
    assert least_loss(inst, safe) == pytest.approx(least_loss(inst, everything), rel=1e-7)
    assert least_loss(inst, everything) > 0


def test_what_is_left_out_is_beaten_by_a_row_that_stays() -> None:
    """Every row that is left out has a row of its class and degree that is no worse in anything."""
    inst = generate(1, hours=1)
    p = inst.profile
    kept = pruned(p, arcs=inst.arcs)
    assert 0 < len(kept) < p.count
    for r in np.setdiff1d(np.arange(p.count), kept):
        better = (
            (p.row_class[kept] == p.row_class[r])
            & (p.tp[kept] == p.tp[r])
            & (p.rate[kept] >= p.rate[r])
            & (p.kw[kept] / p.rate[kept] <= p.kw[r] / p.rate[r])
            & (p.e2e[kept] <= p.e2e[r])
            & (inst.arcs[:, :, kept] >= inst.arcs[:, :, r, None]).all(axis=(0, 1))
        )
        assert better.any() or not inst.arcs[:, :, r].any()


def test_equal_rows_leave_one() -> None:
    """Of twins the first stays: a test without care for ties would drop both, or none."""
    twin = (0, 2, 4.0, 1.0, 2.0)
    inst = routing([[9.0]], [[[1.0]]], [twin, twin, (0, 4, 4.0, 1.0, 2.0)], gpus=8)
    assert pruned(inst.profile).tolist() == [0, 2]


def test_warm_idle_power_changes_who_beats_whom() -> None:
    """With idle GPUs at 1 kW, a row of 2.2 kW for 2 GPUs costs 0.2 kW more, one of 3 kW 1 kW more.

    Per request (rates 1 and 2) that is 0.2 against 0.5: the slow row is needed. Without idle power
    it is 2.2 against 1.5, and the fast row beats it.
    """
    rows = [(0, 2, 1.0, 2.2, 1.0), (0, 2, 2.0, 3.0, 1.0)]
    profile = routing([[9.0]], [[[1.0]]], rows, gpus=8).profile
    assert pruned(profile).tolist() == [1]
    assert pruned(profile, idle_kw=1.0).tolist() == [0, 1]


def test_rows_of_a_taken_profile() -> None:
    """A part of a profile keeps its rows, its limits, and only the degrees that it has."""
    profile = small(1, periods=1).profile
    part = profile.take(np.flatnonzero(profile.tp != 2))
    assert part.degrees.tolist() == [1, 4]
    assert part.tp.tolist() == part.degrees[part.degree_of].tolist()
    assert part.classes == profile.classes
    assert set(part.row.tolist()) < set(profile.row.tolist())
