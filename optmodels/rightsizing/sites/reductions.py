r"""Fewer hours, and what that can cost: quantile segments, and hours that represent others.

A year of hours at 50 sites makes a linear programme of half a million columns. Two reductions:

**Quantile segments**, exact, for sites that have nothing to do with each other. With the sorted
powers :math:`0 = p_0 < p_1 < \dots < p_K` of a site and the *tails*
:math:`\theta_k = \Pr(P \ge p_k)`, a size C is divided into segments
:math:`\delta_k \le p_k - p_{k-1}`:

.. math::
    C = \sum_k \delta_k, \qquad E[\min(P, C)] = \sum_k \theta_k \delta_k,
    \qquad \theta_1 \ge \theta_2 \ge \dots

Because the tails fall, whoever maximises fills the segments in order: down to the tail K / v for
the newsvendor of `optmodels.rightsizing.sites.sizing`. With fewer breakpoints the
chords of this concave function are below it by an error that is known exactly.

**Representatives**, for sites that serve one demand together. In a slot the fleet serves

.. math:: g(P, D) = \min\Big(D, \sum_s \min(P_s, C_s)\Big)

which is concave, and whose supergradients :math:`q` have all entries in [0, 1] (all in the unit of
power; D is the power that the demand could use). Let each slot have a representative
:math:`(P', D')`. From :math:`g(P') - g(P) \le q(P) \cdot (P' - P)` and the same with the parts
exchanged, for all sizes C at once,

.. math::
    -\underbrace{\sum_i E (P_i - P_i')^+}_{\text{under}} \le E\,g(P') - E\,g(P)
    \le \underbrace{\sum_i E (P_i' - P_i)^+}_{\text{over}}

where i runs over the sites and the demand. If representatives are the *means* of those that they
stand for, Jensen's inequality raises the left side to zero: such a reduction never serves less. The
sizing minimises a cost that falls as g rises, so its optimum on means is a proven lower bound. A
firmness limit (a largest mean of D - g, which is convex) is relaxed, too. With the value v of a
served GPU-hour (grid less wind), the cost :math:`c_g` of one on the grid, the power w of a GPU and
H hours, the cost of the same sizes differs by

.. math::
    \frac{H}{w} \big(c_g\, E(D' - D) - v\, \text{over}\big) \le \text{cost}' - \text{cost}
    \le \frac{H}{w} \big(c_g\, E(D' - D) + v\, \text{under}\big)

and, without a firmness limit, so do the optima, because this holds for every size. What is decided
once (openings, modules) does not matter. Batteries couple the slots: for them nothing is proven.

The bounds are our derivation, checked numerically in tests/rightsizing/sites/test_reductions.py.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.rightsizing.sites.matrix import FloatArray, power_matrix, slot_weights

Kind = Literal["means", "medoids", "sample"]
KINDS: tuple[Kind, ...] = ("means", "medoids", "sample")

_CANDIDATES = 400
"""Members of a cluster that are tried as its medoid: those nearest to its median."""


# --------------------------------------------------------------------------------------- segments
@dataclass(frozen=True, eq=False)
class Segments:
    """Mean useful power of one site as a function of its size, in pieces.

    Parameters
    ----------
    level
        Sizes at which the pieces meet, from 0 to the highest power, shape (K + 1,).
    tail
        Slope of each piece: the share of the time in which another unit of size would be used;
        non-increasing, shape (K,).
    error
        The function is below the exact one by at most this, and never above it.
    """

    level: FloatArray
    tail: FloatArray
    error: float = 0.0

    @property
    def width(self) -> FloatArray:
        """Length of each segment, shape (K,)."""
        return np.diff(self.level)

    def useful(self, size: ArrayLike) -> FloatArray:
        """Mean useful power E[min(P, C)] at each size."""
        values = np.concatenate(([0.0], np.cumsum(self.tail * self.width)))
        return np.asarray(np.interp(np.asarray(size, dtype=np.float64), self.level, values))

    def simplified(self, pieces: int) -> Segments:
        """The same function by at most so many chords, with its error.

        Breakpoints are added one after the other where the chords are furthest below.

        Raises
        ------
        UsageError
            `pieces` is not an integer >= 1.
        """
        if isinstance(pieces, bool) or not isinstance(pieces, int) or pieces < 1:
            raise UsageError(f"pieces is {shorten(pieces)}; allowed: an integer >= 1.")
        level = self.level
        value = np.concatenate(([0.0], np.cumsum(self.tail * self.width)))

        def worst(first: int, last: int) -> tuple[float, int, int, int]:
            inside = np.arange(first + 1, last)
            if not len(inside):
                return 0.0, first, last, -1
            slope = (value[last] - value[first]) / (level[last] - level[first])
            below = value[inside] - value[first] - slope * (level[inside] - level[first])
            at = int(np.argmax(below))
            return -float(below[at]), first, last, int(inside[at])

        heap = [worst(0, len(level) - 1)]
        kept = {0, len(level) - 1}
        while len(kept) <= pieces and heap[0][3] >= 0:
            _, first, last, at = heapq.heappop(heap)
            kept.add(at)
            heapq.heappush(heap, worst(first, at))
            heapq.heappush(heap, worst(at, last))
        places = np.array(sorted(kept))
        slopes = np.diff(value[places]) / np.diff(level[places])
        return Segments(level[places], slopes, self.error + max(0.0, -heap[0][0]))


def segments(power: ArrayLike, weights: ArrayLike | None = None) -> Segments:
    """Quantile segments of one site, exact.

    Parameters
    ----------
    power
        Power in each slot.
    weights
        Shares of the slots; by default all alike.

    Raises
    ------
    InputError
        Not a series of numbers >= 0, or unusable weights.
    """
    series = np.asarray(power)
    values, _ = power_matrix(series[:, None] if series.ndim == 1 else series)
    if values.shape[1] != 1:
        raise InputError(Flaw("is not the series of one site", field="power"))
    shares = slot_weights(weights, len(values))
    level, place = np.unique(values[:, 0], return_inverse=True)
    mass = np.bincount(place.ravel(), shares)
    # Summed from the top: the last tails are small, and differences from 1 would lose them.
    tail = np.minimum(np.cumsum(mass[::-1])[::-1], 1.0)
    if level[0] > 0:
        return Segments(np.concatenate(([0.0], level)), tail)
    if len(level) == 1:  # never any wind: one empty segment
        return Segments(np.array([0.0, 1.0]), np.array([0.0]))
    return Segments(level, tail[1:])


# -------------------------------------------------------------------------------- representatives
@dataclass(frozen=True, eq=False)
class Representatives:
    """Slots that stand for others.

    Parameters
    ----------
    power
        Power of the sites in each representative slot, shape (R, S).
    demand
        Power that the demand could use, in the unit of power, shape (R,); None without demand.
    weight
        Share of the time that each stands for, shape (R,).
    label
        Which one stands for each slot, shape (T,).
    over, under
        Mean excess of the representative over what it stands for, and the other way round, by
        site and, last, of the demand; shape (S,) or (S + 1,).
    kind
        What they are.
    """

    power: FloatArray
    demand: FloatArray | None
    weight: FloatArray
    label: NDArray[np.int64]
    over: FloatArray
    under: FloatArray
    kind: Kind

    def useful_error(self) -> tuple[FloatArray, FloatArray]:
        """Limits of E[min(P', C)] - E[min(P, C)] of each site for every size C.

        Returns
        -------
        tuple of arrays
            Lower and upper limits, shape (S,) each.
        """
        sites = self.power.shape[1]
        return -self._under()[:sites], self.over[:sites]

    def served_error(self) -> tuple[float, float]:
        """Limits of the error of the mean power served, E g' - E g, for all sizes."""
        return -float(self._under().sum()), float(self.over.sum())

    def cost_error(
        self, *, hours: float, gpu_kw: float, value_usd: float, grid_usd: float = 0.0
    ) -> tuple[float, float]:
        """Limits of cost' - cost for all sizes, and of the optima if there is no firmness limit.

        For the optima of a firm fleet only the upper limit holds, and only for means.

        Parameters
        ----------
        hours
            H: length of all slots together [h].
        gpu_kw
            w: power of a running GPU, in the unit of the power.
        value_usd
            v: cost of a useful GPU-hour on the grid less that of the wind energy [USD/h].
        grid_usd
            c_g: cost of a useful GPU-hour on the grid [USD/h]. It counts only where representatives
            do not keep the mean demand.

        Returns
        -------
        tuple of float
            An optimum f' on the representatives proves f' - upper <= f <= f' - lower [USD].

        Raises
        ------
        UsageError
            A value or a power that is negative or not finite.
        """
        for name, number in (
            ("hours", hours),
            ("gpu_kw", gpu_kw),
            ("value_usd", value_usd),
            ("grid_usd", grid_usd),
        ):
            if not 0 <= number < np.inf or (name == "gpu_kw" and number == 0):
                raise UsageError(f"{name} is {shorten(number)}; allowed: a finite number >= 0.")
        shift = 0.0
        if self.demand is not None and self.kind != "means":
            shift = grid_usd * float(self.over[-1] - self.under[-1])
        low, high = self.served_error()
        factor = hours / gpu_kw
        return factor * (shift - value_usd * high), factor * (shift - value_usd * low)

    def _under(self) -> FloatArray:
        """Jensen: means never serve less."""
        return np.zeros_like(self.under) if self.kind == "means" else self.under


def represent(
    power: pd.DataFrame | ArrayLike,
    count: int,
    *,
    kind: Kind = "means",
    demand: ArrayLike | None = None,
    seed: int = 0,
    rounds: int = 10,
) -> Representatives:
    """Choose at most so many slots that stand for all.

    Slots are grouped by the sum of the absolute differences of their powers, which is what the
    bounds are made of.

    Parameters
    ----------
    power
        Power by slot and site; equally long slots.
    count
        Largest number of representatives; equal slots need fewer.
    kind
        "means" of groups (proven lower bounds); "medoids": slots that happened, in the middle of
        their groups; "sample": slots drawn at random, each for those nearest to it.
    demand
        Power that the demand could use in each slot, in the unit of `power`, where it varies.
    seed
        Seed of the first choice.
    rounds
        Rounds of regrouping; the best one is kept.

    Raises
    ------
    UsageError, InputError
        Unusable count, kind, rounds or data.
    """
    if kind not in KINDS:
        raise UsageError.unknown("kind of representatives", str(kind), KINDS)
    for name, number in (("count", count), ("rounds", rounds)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise UsageError(f"{name} is {shorten(number)}; allowed: an integer >= 1.")
    points, _ = power_matrix(power)
    if demand is not None:
        column, _ = power_matrix(np.asarray(demand, dtype=np.float64).reshape(-1, 1))
        if len(column) != len(points):
            what = f"has {len(column)} slots beside {len(points)} of the power"
            raise InputError(Flaw(what, field="demand"))
        points = np.hstack([points, column])
    rng = np.random.default_rng(seed)
    if kind == "sample":
        chosen = rng.choice(len(points), min(count, len(points)), replace=False)
        centres = np.unique(points[chosen], axis=0)
        label = _nearest(points, centres)
    else:
        centres, label = _grouped(points, _spread(points, count, rng), kind, rounds)
    excess = centres[label] - points
    return Representatives(
        power=centres if demand is None else centres[:, :-1],
        demand=None if demand is None else centres[:, -1],
        weight=np.bincount(label, minlength=len(centres)) / len(points),
        label=label,
        over=np.maximum(excess, 0.0).mean(axis=0),
        under=np.maximum(-excess, 0.0).mean(axis=0),
        kind=kind,
    )


def _nearest(points: FloatArray, centres: FloatArray) -> NDArray[np.int64]:
    return np.asarray(cKDTree(centres).query(points, p=1)[1], dtype=np.int64)


def _spread(points: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """First centres, each drawn with a probability that grows with its distance to the others."""
    chosen = [int(rng.integers(len(points)))]
    distance = np.abs(points - points[chosen[0]]).sum(axis=1)
    while len(chosen) < count and distance.any():
        chosen.append(int(rng.choice(len(points), p=distance / distance.sum())))
        distance = np.minimum(distance, np.abs(points - points[chosen[-1]]).sum(axis=1))
    return points[chosen]


def _grouped(
    points: FloatArray, centres: FloatArray, kind: Kind, rounds: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Centres and groups after some rounds; those with the least distance in all."""
    best: tuple[float, FloatArray, NDArray[np.int64]] | None = None
    for _ in range(rounds):
        label = _nearest(points, centres)
        _, label = np.unique(label, return_inverse=True)  # without empty groups
        label = label.ravel().astype(np.int64)
        centres = _means(points, label) if kind == "means" else _medoids(points, label)
        total = float(np.abs(centres[label] - points).sum())
        if best is not None and total >= best[0]:
            break
        best = (total, centres, label)
    assert best is not None  # rounds >= 1
    return best[1], best[2]


def _means(points: FloatArray, label: NDArray[np.int64]) -> FloatArray:
    counts = np.bincount(label)
    return np.stack([np.bincount(label, column) / counts for column in points.T], axis=1)


def _medoids(points: FloatArray, label: NDArray[np.int64]) -> FloatArray:
    order = np.argsort(label, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(label))[:-1])
    return np.stack([points[members][_middle(points[members])] for members in groups])


def _middle(members: FloatArray) -> int:
    """Position of the member with the least sum of distances to all, among the likely ones."""
    to_median = np.abs(members - np.median(members, axis=0)).sum(axis=1)
    likely = np.argsort(to_median, kind="stable")[:_CANDIDATES]
    return int(likely[np.argmin(cdist(members[likely], members, "cityblock").sum(axis=1))])
