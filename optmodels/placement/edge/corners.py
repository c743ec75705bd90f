"""Corners: the fillings that are left where servers may be filled in part this, in part that way.

While the numbers of fillings need not be whole, a filling that some mix of others has room for says
nothing. What is left are corners of the convex hull of all fillings and of what they contain: of
the three hundred ways of filling a server some twenty. So the programme in which the numbers of
servers alone are whole needs a tenth of the columns, and its value is the same.

The hull is Qhull's, of points with whole coordinates, and it is not believed: a filling that sticks
out of it by more than rounding brings all fillings back.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from optmodels.placement.edge.fillings import Servers
from optmodels.placement.edge.instance import IntArray

#: Kinds and points up to which a hull is made.
MOST_KINDS, MOST_POINTS = 6, 20_000

_ROUNDING = 1e-9


def corners(counts: IntArray) -> IntArray:
    """Fillings of which a mix has room for whatever any filling has room for.

    Parameters
    ----------
    counts
        Fillings of one server, shape (P, K).

    Returns
    -------
    IntArray
        Some of the rows, in their order; all of them where a hull would be large.
    """
    kinds = np.flatnonzero(counts.max(axis=0, initial=0) > 0)
    if len(kinds) < 2 or len(kinds) > MOST_KINDS or len(counts) << len(kinds) > MOST_POINTS:
        return counts
    held = counts[:, kinds]
    points = _contained(held)
    try:
        hull = ConvexHull(points)
    except QhullError:
        return counts
    tips = points[hull.vertices]
    chosen = (held[:, None, :] == tips[None]).all(axis=2).any(axis=1)
    beyond = hull.equations[:, :-1] @ held.T + hull.equations[:, -1:]
    if beyond.max() > _ROUNDING * (1.0 + float(held.max())):
        return counts
    kept: IntArray = counts[chosen]
    return kept


def all_corners(servers: Servers) -> list[IntArray]:
    """Corners of each group's fillings; all fillings where these are not all listed."""
    each = [corners(one.counts) if one.complete else one.counts for one in servers.fillings]
    return [each[int(model)] for model in servers.model]


def _contained(held: IntArray) -> IntArray:
    """Fillings and what is left of them without some kinds: enough for the hull of all below."""
    points = held
    for kind in range(held.shape[1]):
        without = points.copy()
        without[:, kind] = 0
        points = np.unique(np.concatenate([points, without]), axis=0)
    return points
