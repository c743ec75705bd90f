"""Points, lines and the room between them: the geometry of a front of two costs.

A *point* is a pair of costs, less being better in both. A *line* is a proven bound: weights
`w ≥ 0` and a number `b` with ``w · f ≥ b`` for the costs `f` of every plan. The points and whatever
is worse than a mix of them form the inner region; what all lines allow is the outer region. Both
are convex and the outer one contains the inner one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray

IntArray = NDArray[np.int64]


def non_dominated(points: FloatArray, slack: FloatArray) -> list[int]:
    """Which points no other one beats, by rising first cost.

    Parameters
    ----------
    points
        Pairs of costs, shape (n, 2).
    slack
        Differences in either cost that count as none, shape (2,): of points that are equal in one
        cost up to the slack, only the one that is better in the other stays.
    """
    kept: list[int] = []
    for i in np.lexsort((points[:, 1], points[:, 0])).tolist():
        if kept and points[i, 1] >= points[kept[-1], 1] - slack[1]:
            continue
        if kept and points[i, 0] <= points[kept[-1], 0] + slack[0]:
            kept.pop()
        kept.append(i)
    return kept


def lower_hull(points: FloatArray) -> IntArray:
    """Points on the convex hull that faces the origin, for points sorted as a front.

    Parameters
    ----------
    points
        Pairs of costs, shape (n, 2): the first strictly rising, the second strictly falling.
    """
    hull: list[int] = []
    for i in range(len(points)):
        while len(hull) > 1:
            before, last = points[hull[-2]], points[hull[-1]]
            along, across = last - before, points[i] - before
            if along[0] * across[1] - along[1] * across[0] > 0:
                break
            hull.pop()
        hull.append(i)
    return np.array(hull, dtype=np.int64)


def edge_weights(first: FloatArray, second: FloatArray) -> FloatArray:
    """Weights, summing to one, that make two neighbouring points of a front equally good."""
    weights = np.array([first[1] - second[1], second[0] - first[0]])
    normal: FloatArray = weights / weights.sum()
    return normal


def outer_corners(weights: FloatArray, bounds: FloatArray) -> FloatArray:
    """Corners of the region that all lines allow, by rising first cost.

    Parameters
    ----------
    weights
        Weights of the lines, shape (m, 2), ≥ 0; among them a line on each cost alone.
    bounds
        Bound of each line, shape (m,).

    Returns
    -------
    ndarray
        Shape (k, 2), at least one corner: where the least first cost meets the lines, the bends,
        and where the least second cost is reached.
    """
    first_only = weights[:, 1] == 0
    here = float((bounds[first_only] / weights[first_only, 0]).max())
    slope = -weights[~first_only, 0] / weights[~first_only, 1]
    height = bounds[~first_only] / weights[~first_only, 1]
    level = slope * here + height
    # Of the lines that meet here the flattest carries on; the next bend is where the first flatter
    # one rises above it.
    current = int(np.lexsort((slope, level))[-1])
    corners = [(here, float(level[current]))]
    while (flatter := np.flatnonzero(slope > slope[current])).size:
        meets = (height[current] - height[flatter]) / (slope[flatter] - slope[current])
        there = max(float(meets.min()), here)
        tied = flatter[meets <= there]
        current = int(tied[slope[tied].argmax()])
        if there > here:
            corners.append((there, float(slope[current] * there + height[current])))
        here = there
    return np.array(corners)


def shortfalls(
    corners: FloatArray, points: FloatArray, scale: FloatArray
) -> tuple[FloatArray, IntArray]:
    """How far each outer corner is below the inner region, and which side of it is nearest.

    Parameters
    ----------
    corners
        Outer corners, shape (k, 2).
    points
        Corners of the inner region as `lower_hull` gives them, shape (h, 2).
    scale
        Unit of either cost, shape (2,).

    Returns
    -------
    distance
        Shape (k,): how many units both costs of the corner have to grow before a mix of points
        is as good.
    side
        Shape (k,): edge from point i to i + 1, or -1 for the ends of the front.
    """
    normals = np.array([edge_weights(a, b) for a, b in pairwise(points)])
    sides = np.vstack([normals.reshape(-1, 2), np.eye(2)])
    through = np.vstack([points[:-1], points[:1], points[-1:]])
    reach = np.einsum("ij,ij->i", sides, through)[None, :] - corners @ sides.T
    reach /= sides @ scale
    nearest = reach.argmax(axis=1)
    distance: FloatArray = np.maximum(reach.max(axis=1), 0.0)
    return distance, np.where(nearest < len(normals), nearest, -1)
