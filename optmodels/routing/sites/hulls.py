r"""Which rows of a profile a linear programme can need, at every site.

An instance on row r that serves :math:`\lambda_r` requests per second takes, for each request per
second, :math:`1/\lambda_r` instances of its degree (or :math:`g_r/\lambda_r` GPUs, where the degree
is free) and :math:`W_r/\lambda_r` kW. In a linear programme that counts nothing else, a row above
the lower left convex hull of these points is never needed: the mixture of two neighbours on the
hull serves as much with no more of both. With times in the objective there is a third measure, the
residence :math:`e_r`, and rows are kept unless another one is at least as good in all three.

A row may only be replaced by rows that serve at least the same origins within the limits. Whole
numbers of instances may need other rows: hulls are for linear programmes, whose optimum they leave
as it is (our derivation, checked numerically in tests/routing/sites).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import BoolArray, Fleet, IntArray


@dataclass(frozen=True, eq=False)
class Columns:
    """Rows at sites, ordered by site and row.

    Attributes
    ----------
    site, row
        Site and row of each column, (N,).
    """

    site: IntArray
    row: IntArray

    def __len__(self) -> int:
        return len(self.site)


def needed_columns(fleet: Fleet, *, free_degree: bool = False, timed: bool = False) -> Columns:
    """Rows that a linear programme can need at each site.

    Parameters
    ----------
    fleet
        The fleet.
    free_degree
        Whether GPUs may be of any degree at any time; otherwise every degree keeps its own rows.
    timed
        Whether the objective counts the times that requests spend in rows.
    """
    used: BoolArray = fleet.bins.of >= 0
    kept = np.zeros_like(used)
    known: dict[bytes, BoolArray] = {}
    for s in range(fleet.sites):
        key = np.where(used[s], fleet.reach[s], -1).tobytes()
        if key not in known:
            known[key] = _needed_at(fleet, s, used[s], free_degree, timed)
        kept[s] = known[key]
    site, row = np.nonzero(kept)
    return Columns(site, row)


def all_columns(fleet: Fleet) -> Columns:
    """Every row at every site that it can serve anybody from."""
    site, row = np.nonzero(fleet.bins.of >= 0)
    return Columns(site, row)


def _needed_at(fleet: Fleet, s: int, used: BoolArray, free_degree: bool, timed: bool) -> BoolArray:
    """Rows that are needed at one site, (R,)."""
    power = fleet.kw if free_degree else fleet.draw_kw
    measures = np.stack(
        [(fleet.tp if free_degree else 1.0) / fleet.rate, power / fleet.rate, fleet.residence],
        axis=1,
    )
    kind = fleet.row_class * len(fleet.degrees) + (0 if free_degree else fleet.degree_of)
    kept = np.zeros_like(used)
    for k in np.unique(kind[used]).tolist():
        mine = np.flatnonzero(used & (kind == k))
        reach = fleet.reach[s, mine]
        for one in np.unique(reach).tolist():
            wide: BoolArray = np.asarray(
                fleet.reach_origins[:, fleet.reach_origins[one]].all(axis=1)
            )
            rivals = mine[wide[reach]]
            best = rivals[_best(measures[rivals], timed)]
            kept[best[fleet.reach[s, best] == one]] = True
    return kept


def _best(points: FloatArray, timed: bool) -> IntArray:
    return undominated(points) if timed else lower_hull(points[:, 0], points[:, 1])


def undominated(points: FloatArray) -> IntArray:
    """Places of the points (N, K) that no other is at least as small as in everything.

    Of equal points the first is kept.
    """
    order = np.lexsort(points.T[::-1])
    kept: list[int] = []
    chosen = np.empty_like(points)
    for i in order.tolist():
        # Whoever dominates a point comes before it, or is dominated itself by one that does.
        if not (chosen[: len(kept)] <= points[i]).all(axis=1).any():
            chosen[len(kept)] = points[i]
            kept.append(i)
    return np.sort(np.array(kept, dtype=np.int64))


def lower_hull(x: FloatArray, y: FloatArray) -> IntArray:
    """Places of the corners of the lower left convex hull of points in the plane.

    These are the points that have the least :math:`a x + b y` for some :math:`a, b > 0`.
    """
    corners: list[int] = []
    for i in np.lexsort((y, x)).tolist():
        if corners and y[i] >= y[corners[-1]]:
            continue
        while len(corners) > 1 and _is_above(x, y, corners[-2], corners[-1], i):
            corners.pop()
        corners.append(i)
    return np.array(corners, dtype=np.int64)


def _is_above(x: FloatArray, y: FloatArray, left: int, middle: int, right: int) -> bool:
    """Whether the middle point lies on or above the line between the others."""
    run, rise = x[right] - x[left], y[right] - y[left]
    return bool((x[middle] - x[left]) * rise <= (y[middle] - y[left]) * run)
