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

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw
from optmodels.policy import FloatArray, frozen
from optmodels.scaling.job.inputs import Inputs

COLLINEAR_TOLERANCE = 1e-12
"""Relative rise of a marginal throughput that counts as rounding: the point is on the hull."""

IntArray = NDArray[np.int64]
_PROPORTIONAL = 1e-12


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


@dataclass(frozen=True, eq=False)
class ScalingProfile:
    """Levels on the concave hull of a measured profile, off first, by rising throughput.

    Attributes
    ----------
    servers, throughput, power_kw
        Servers, work per slot and power [kW] of each level, shape (K,), read-only; entry 0 is off.
    """

    servers: FloatArray
    throughput: FloatArray
    power_kw: FloatArray

    def __post_init__(self) -> None:
        for name in ("servers", "throughput", "power_kw"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @classmethod
    def of(cls, servers: ArrayLike, throughput: ArrayLike, power_kw: ArrayLike) -> ScalingProfile:
        """Profile of measured levels (off need not be among them), cut down to its hull."""
        measured = [
            np.concatenate([[0.0], np.asarray(values, dtype=np.float64)])
            for values in (servers, throughput, power_kw)
        ]
        hull = concave_hull(*measured)
        return cls(*(values[hull] for values in measured))

    @property
    def proportional(self) -> bool:
        """Whether work and power are proportional to servers: one rate describes the job."""
        scale = self.servers / self.servers[-1]
        return bool(
            np.allclose(self.throughput, scale * self.throughput[-1], rtol=_PROPORTIONAL, atol=0)
            and np.allclose(self.power_kw, scale * self.power_kw[-1], rtol=_PROPORTIONAL, atol=0)
        )

    def up_to(self, servers: float) -> ScalingProfile:
        """Profile cut off at this number of servers, the mix that averages it as last level."""
        keep = self.servers < servers
        last = (
            servers,
            self.work_at(servers),
            float(np.interp(servers, self.servers, self.power_kw)),
        )
        levels = (self.servers, self.throughput, self.power_kw)
        return ScalingProfile(
            *(np.append(values[keep], end) for values, end in zip(levels, last, strict=True))
        )

    def mix(self, servers: float) -> FloatArray:
        """Shares of time over the levels, off included, that average this number of servers.

        Parameters
        ----------
        servers
            Average number of servers, from 0 to that of the last level.
        """
        shares = np.zeros(self.servers.size)
        upper = min(int(np.searchsorted(self.servers, servers)), self.servers.size - 1)
        if upper == 0:
            shares[0] = 1.0
            return shares
        gap = self.servers[upper] - self.servers[upper - 1]
        part = (servers - self.servers[upper - 1]) / gap
        shares[upper] = part
        shares[upper - 1] = 1.0 - part
        return shares

    def work_at(self, servers: float) -> float:
        """Work done in a slot with this average number of servers."""
        return float(np.interp(servers, self.servers, self.throughput))

    def servers_for(self, work: float) -> float:
        """Average number of servers that does this work in a slot."""
        return float(np.interp(work, self.throughput, self.servers))
