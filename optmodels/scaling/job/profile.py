"""The scaling profile of a job: what each number of servers achieves, and what it draws.

A profile is three arrays of equal length, one entry per *level*: servers `n_k`, throughput `θ_k`
(work per slot) and power `p_k`. One level is *off*: (0, 0, 0). Within a slot a job may spend
shares of the time on several levels, so every convex combination of levels is possible, too.

Measured profiles are noisy: a further server can add more throughput than the one before it, or
even lower the power. With carbon as the only cost, the useful levels are the vertices of the
upper concave hull of the points (power, throughput): any other level is beaten by a mixture of
two of them that draws the same power. CarbonScaler's greedy (Hanafy et al., "CarbonScaler",
SIGMETRICS 2024) assumes falling marginal throughput; cutting a profile down to its hull makes
that assumption true of every measured profile. The hull step is ours.

Where switching costs count as well, a level off the hull can still be useful if its servers are
not proportional to its power (fewer servers are switched on); `levels.py` therefore takes all
levels, and cutting down to the hull first is exact only for power proportional to servers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw
from optmodels.scaling.job.inputs import FloatArray, Inputs

COLLINEAR_TOLERANCE = 1e-12
"""Relative rise of a marginal throughput that counts as rounding: the point is on the hull."""

IntArray = NDArray[np.int64]


def concave_hull(servers: ArrayLike, throughput: ArrayLike, power: ArrayLike) -> IntArray:
    """Levels on the upper concave hull of (power, throughput), from off to the highest.

    Parameters
    ----------
    servers
        Servers per level, shape (K,), ≥ 0; one level is off.
    throughput
        Work per slot of each level, shape (K,), ≥ 0; 0 when off.
    power
        Power of each level, shape (K,), ≥ 0 [kW or any one unit]; 0 when off.

    Returns
    -------
    ndarray
        Indices of the hull levels, by rising power and throughput; the first is off. Levels that
        lie on an edge of the hull are kept (they allow finer steps at the same marginal value).
        Among equal points the one with the fewest servers is taken.

    Raises
    ------
    InputError
        The arrays differ in length, hold values that are not finite or negative, or no level
        is off.

    Examples
    --------
    Two or three servers do less than a mix of one and four that draws the same power:

    >>> concave_hull([0, 1, 2, 3, 4], [0.0, 1.0, 1.2, 1.5, 2.0], [0.0, 1.0, 2.0, 3.0, 4.0])
    array([0, 1, 4])
    """
    given = Inputs("scaling profile")
    n, work, draw = read_profile(given, servers, throughput, power)
    given.check()
    return upper_hull(draw, work, n)


def read_profile(
    given: Inputs, servers: ArrayLike, throughput: ArrayLike, power: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Read the arrays of a profile, adding what is wrong with them to `given`."""
    seen = len(given.flaws)
    n = given.vector("servers", servers, minimum=0.0)
    work = given.vector("throughput", throughput, minimum=0.0)
    draw = given.vector("power", power, minimum=0.0)
    given.same_length(servers=n, throughput=work, power=draw)
    if len(given.flaws) == seen:
        if not np.any((n == 0.0) & (work == 0.0) & (draw == 0.0)):
            given.flaws.append(
                Flaw(
                    "has no level that is off",
                    field="servers",
                    allowed="one level with 0 servers, 0 throughput and 0 power",
                    fix="add the row 0, 0, 0 to the profile",
                )
            )
        for level in np.flatnonzero((n == 0.0) & (work > 0.0)).tolist():
            given.flaws.append(
                Flaw("is work without servers", field=f"throughput[{level}]", value=work[level])
            )
        for level in np.flatnonzero((draw == 0.0) & (work > 0.0)).tolist():
            given.flaws.append(
                Flaw("is work without power", field=f"throughput[{level}]", value=work[level])
            )
    return n, work, draw


def upper_hull(x: FloatArray, y: FloatArray, preference: FloatArray) -> IntArray:
    """Indices of the points on the upper concave hull, from the least x to the greatest y.

    Points on an edge stay in. Among equal points the one of least preference value stays.
    """
    hull: list[int] = []
    for point in np.lexsort((preference, -y, x)).tolist():
        if hull and y[point] <= y[hull[-1]]:
            continue
        while len(hull) > 1 and _below(x, y, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.array(hull, dtype=np.int64)


def _below(x: FloatArray, y: FloatArray, first: int, middle: int, last: int) -> bool:
    """Whether the middle point is below the segment from the first to the last one."""
    left = (y[middle] - y[first]) * (x[last] - x[middle])
    right = (y[last] - y[middle]) * (x[middle] - x[first])
    return bool(right - left > COLLINEAR_TOLERANCE * (abs(left) + abs(right)))
