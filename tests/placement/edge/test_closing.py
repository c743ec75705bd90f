"""Closing a gap: corners of fillings, and numbers of like servers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import optmodels as om
from optmodels.placement.edge import corners as hulls
from optmodels.placement.edge import prices
from optmodels.placement.edge.columns import small_programme
from optmodels.placement.edge.corners import all_corners, corners
from optmodels.placement.edge.fillings import Servers, fillings_of
from optmodels.solver import Session


def question(seed=0, **sizes):
    """Some sites, several of each zone."""
    return om.generate(
        "placement.edge",
        seed=seed,
        **{"sites": 8, "applications": 120, "zones": 2, "rtt_limit_ms": 14.0, **sizes},
    )


def has_room(kept, wanted):
    """Whether a mix of one server's fillings has room for a filling."""
    found = linprog(
        np.zeros(len(kept)),
        A_ub=-kept.T.astype(float),
        b_ub=-wanted.astype(float),
        A_eq=np.ones((1, len(kept))),
        b_eq=[1.0],
    )
    return found.status == 0


@pytest.mark.parametrize("seed", range(6))
def test_corners_have_room_for_every_filling_and_none_is_idle(seed: int) -> None:
    """A mix of corners holds what any filling holds, and none of them can be spared.

    A corner that lacks makes the bound of whole servers too high, which nothing else would show.
    """
    rng = np.random.default_rng(seed)
    kinds = int(rng.integers(2, 6))
    take = np.round(rng.uniform(0.2, 1.5, (kinds, 4)), 1)
    counts = fillings_of(take, np.full(4, 4.0), np.full(kinds, 20)).counts
    kept = corners(counts)
    assert len(kept) < len(counts) or len(counts) < 5
    assert all(has_room(kept, one) for one in counts)
    for i in range(len(kept) if len(kept) > 1 else 0):
        assert not has_room(np.delete(kept, i, axis=0), kept[i])


def test_a_hull_that_would_be_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then all fillings stay."""
    counts = max((one.counts for one in Servers(question()).fillings), key=len)
    assert len(corners(counts)) < len(counts)
    monkeypatch.setattr(hulls, "MOST_POINTS", 10)
    assert corners(counts) is counts


@pytest.mark.parametrize("seed", range(3))
def test_whole_servers_cost_the_same_with_corners_and_like_servers(seed: int) -> None:
    """Neither corners nor the numbers of like servers change the best whole number of servers.

    A group counted twice, or left out, among like servers would; so would a corner that lacks.
    """
    inst = question(seed)
    servers, carbon = Servers(inst), prices.carbon(inst)
    everything = np.ones(len(inst.arcs[0]), dtype=np.bool_)
    values = []
    for lists, alike in ((servers.listed, False), (all_corners(servers), True)):
        small = small_programme(inst, carbon, everything, lists, None, alike=alike)
        whole = np.zeros(small.model.columns, dtype=np.bool_)
        whole[small.columns("on")] = True
        whole[small.columns("together")] = True
        found = Session(small.model.changed(integer=whole)).solve()
        values.append(found.objective)
        if alike:
            on = np.round(found.x[small.columns("on")])
            table = np.column_stack([inst.device, carbon.base])
            _, kind, size = np.unique(table, axis=0, return_inverse=True, return_counts=True)
            sums = np.bincount(kind.ravel(), weights=on)[size > 1]
            assert np.round(found.x[small.columns("together")]).tolist() == sums.tolist()
            assert len(sums)
    assert values[1] == pytest.approx(values[0], rel=2e-4)
