"""Threshold curves: what the next unit of work is worth, given how much has been done.

A threshold algorithm for conversion owns a decreasing curve ``phi(w)``: with ``w`` units done, it
accepts a carbon cost up to about ``phi(w)`` for the next unit. Early units are bought at a fair
price, so that something is in hand if the cost only rises; the price demanded falls as the job
advances, so that not everything is spent before it drops.

Every curve answers three questions: `value` at w, `inverse` of a price (how far to buy), and
`integral` (the pseudo-utility of buying from w0 to w1), all in closed form.

====================  ==========================================================================
`ExponentialCurve`    ``max(top - exp(log_gain + w / width), floor)``: RORO, RORO+, robust, CLIP,
                      one-way trading
`TabulatedCurve`      polygon on an even grid: the rate-limit-safe threshold
`ConstantCurve`       one price whatever is done: the simple ``sqrt(L U)`` rule
`SellingCurve`        the increasing curve ``psi`` of the maximisation problem
====================  ==========================================================================

Each is a scalar object (plain floats and `math`, for decisions made one by one); its plural
(`ExponentialCurves`, ...) holds many of them in arrays and answers for all jobs at once. Curves
work in *work units*: the length of the job is part of the curve, nothing needs to be rescaled.

At a price where the curve is flat, `inverse` gives its far end: the largest w with ``phi(w) >= y``.
It is ``inf`` at or below the floor (buy all there is) and ``-inf`` where no unit is worth it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.scaling.job.conversion import ratios
from optmodels.scaling.job.conversion.rate_limited import rate_limited_table
from optmodels.scaling.job.conversion.ratios import FloatArray


class Curve(Protocol):
    """A decreasing threshold over the work done."""

    def value(self, w: float) -> float:
        """Cost accepted for the next unit when w units are done."""
        ...

    def inverse(self, y: float) -> float:
        """Largest w at which the cost y is accepted; may be infinite."""
        ...

    def integral(self, w0: float, w1: float) -> float:
        """Pseudo-utility of the units from w0 to w1."""
        ...


class Curves(Protocol):
    """One decreasing threshold per job, answered for all jobs at once."""

    def inverse(self, y: FloatArray) -> FloatArray:
        """Per job, the largest w at which its cost y is accepted."""
        ...


@dataclass(frozen=True, slots=True)
class ExponentialCurve:
    """``phi(w) = max(top - exp(log_gain + w / width), floor)``.

    Parameters
    ----------
    top
        Cost which is never accepted.
    log_gain
        Logarithm of the distance from `top` at w = 0; ``-inf`` when all costs are equal.
    width
        Work over which that distance grows e-fold: ratio times length.
    floor
        Cost which is always accepted.
    """

    top: float
    log_gain: float
    width: float
    floor: float

    def value(self, w: float) -> float:
        """Cost accepted for the next unit when w units are done."""
        return max(self.top - math.exp(min(self.log_gain + w / self.width, 700.0)), self.floor)

    def inverse(self, y: float) -> float:
        """Largest w at which the cost y is accepted."""
        if y <= self.floor:
            return math.inf
        if y >= self.top:
            return -math.inf
        return self.width * (math.log(self.top - y) - self.log_gain)

    def integral(self, w0: float, w1: float) -> float:
        """Pseudo-utility of the units from w0 to w1 >= w0."""
        if self.top <= self.floor:
            return self.floor * (w1 - w0)
        end = self.width * (math.log(self.top - self.floor) - self.log_gain)
        start, stop = min(w0, end), min(w1, end)
        if stop <= start:
            return self.floor * (w1 - w0)
        distance = math.exp(self.log_gain + start / self.width)
        curved = self.top * (stop - start) - self.width * distance * math.expm1(
            (stop - start) / self.width
        )
        return curved + self.floor * ((w1 - w0) - (stop - start))


@dataclass(frozen=True, slots=True)
class ExponentialCurves:
    """Many `ExponentialCurve`s, one per entry of the equally long arrays.

    The constructors take arrays or numbers, broadcast them, and expect valid bounds
    (`ratios.check_bounds`).
    """

    top: FloatArray
    log_gain: FloatArray
    width: FloatArray
    floor: FloatArray

    @classmethod
    def roro(
        cls,
        L: ArrayLike,
        U: ArrayLike,
        beta: ArrayLike,
        length: ArrayLike,
        ratio: ArrayLike | None = None,
    ) -> ExponentialCurves:
        """Curve ``U - beta - (U - U/r - 2 beta) e^(w / (r length))`` with floor ``L + beta``.

        `ratio` is r; without it, alpha (RORO). Larger ratios give the robust and CLIP's curve.
        """
        low, high, switching, size = _arrays(L, U, beta, length)
        least = ratios.alphas(low, high, switching)
        with np.errstate(divide="ignore"):  # U = L: no gain, its logarithm is -inf
            log_gain = np.log(high - low - 2 * switching) - 1 / least
            if ratio is None:
                r = least
            else:
                r = np.maximum(np.asarray(ratio, float), least)
                # Never below the gain of alpha, which is exact where U - U/r cancels.
                gain = np.maximum(high * (1 - 1 / r) - 2 * switching, 0.0)
                log_gain = np.where(r > least, np.maximum(np.log(gain), log_gain), log_gain)
        return cls(high - switching, log_gain, r * size, low + switching)

    @classmethod
    def roro_plus(
        cls, L: ArrayLike, U: ArrayLike, beta: ArrayLike, length: ArrayLike
    ) -> ExponentialCurves:
        """Curve ``U + beta - (U - (U + 2 beta)/r) e^(w / (r length))`` with r = `alpha_plus`."""
        low, high, switching, size = _arrays(L, U, beta, length)
        r = ratios.alpha_pluses(low, high, switching)
        with np.errstate(divide="ignore"):
            log_gain = np.log(high - low) - 1 / r
        return cls(high + switching, log_gain, r * size, low + switching)

    @classmethod
    def robust(
        cls, L: ArrayLike, U: ArrayLike, beta: ArrayLike, shortest: ArrayLike, longest: ArrayLike
    ) -> ExponentialCurves:
        """Robust threshold for a hidden length: ratio `r_star`, length scale `longest`."""
        low, high, switching, least, most = _arrays(L, U, beta, shortest, longest)
        ratio = ratios.r_stars(low, high, switching, least / most)
        return cls.roro(low, high, switching, most, ratio)

    def one(self, index: int) -> ExponentialCurve:
        """Scalar curve of one entry."""
        fields = (self.top, self.log_gain, self.width, self.floor)
        return ExponentialCurve(*(float(values[index]) for values in fields))

    def value(self, w: FloatArray) -> FloatArray:
        """Per job, the cost accepted for the next unit when w units are done."""
        distance = np.exp(np.minimum(self.log_gain + w / self.width, 700.0))
        return np.maximum(self.top - distance, self.floor)

    def inverse(self, y: FloatArray) -> FloatArray:
        """Per job, the largest w at which its cost y is accepted."""
        room = self.top - y
        reach = self.width * (np.log(np.maximum(room, _TINY)) - self.log_gain)
        reach[room <= 0] = -np.inf
        reach[y <= self.floor] = np.inf
        return np.asarray(reach)

    def integral(self, w0: FloatArray, w1: FloatArray) -> FloatArray:
        """Per job, the pseudo-utility of the units from w0 to w1 >= w0."""
        flat = self.top <= self.floor
        log_gain = np.where(flat, 0.0, self.log_gain)
        room = np.where(flat, 1.0, self.top - self.floor)
        end = np.where(flat, -np.inf, self.width * (np.log(room) - log_gain))
        start = np.where(end > w0, w0, 0.0)
        size = np.where(end > w0, np.minimum(w1, end) - start, 0.0)
        distance = np.exp(np.where(end > w0, log_gain + start / self.width, 0.0))
        curved = self.top * size - self.width * distance * np.expm1(size / self.width)
        return np.asarray(curved + self.floor * ((w1 - w0) - size))


@dataclass(frozen=True, slots=True)
class ConstantCurve:
    """One accepted cost, whatever is done."""

    level: float

    def value(self, w: float) -> float:
        """Cost accepted for the next unit."""
        return self.level

    def inverse(self, y: float) -> float:
        """Everything up to the level, nothing above."""
        return math.inf if y <= self.level else -math.inf

    def integral(self, w0: float, w1: float) -> float:
        """Pseudo-utility of the units from w0 to w1."""
        return self.level * (w1 - w0)


@dataclass(frozen=True, slots=True)
class ConstantCurves:
    """Many `ConstantCurve`s."""

    level: FloatArray

    def inverse(self, y: FloatArray) -> FloatArray:
        """Per job, everything up to the level, nothing above."""
        return np.where(y <= self.level, np.inf, -np.inf)


@dataclass(frozen=True, slots=True)
class TabulatedCurve:
    """Polygon through `values` at evenly spaced w from 0 to `length`, flat beyond.

    Parameters
    ----------
    values
        Never increasing.
    length
        Work at the last value.
    """

    values: tuple[float, ...]
    length: float
    _rising: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _area: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        half = 0.5 * self.length / (len(self.values) - 1)
        area = [0.0]
        for left, right in pairwise(self.values):
            area.append(area[-1] + half * (left + right))
        object.__setattr__(self, "_rising", self.values[::-1])
        object.__setattr__(self, "_area", tuple(area))

    def value(self, w: float) -> float:
        """Cost accepted for the next unit when w units are done."""
        cell, part = self._locate(w)
        return self.values[cell] + part * (self.values[cell + 1] - self.values[cell])

    def inverse(self, y: float) -> float:
        """Largest w at which the cost y is accepted."""
        values = self.values
        if y <= values[-1]:
            return math.inf
        if y > values[0]:
            return -math.inf
        cells = len(values) - 1
        cell = cells - bisect_left(self._rising, y)
        above = values[cell]
        return self.length * ((cell + (above - y) / (above - values[cell + 1])) / cells)

    def integral(self, w0: float, w1: float) -> float:
        """Pseudo-utility of the units from w0 to w1."""
        return self._primitive(w1) - self._primitive(w0)

    def _primitive(self, w: float) -> float:
        if w >= self.length:
            return self._area[-1] + self.values[-1] * (w - self.length)
        cell, part = self._locate(w)
        mean = self.values[cell] + 0.5 * part * (self.values[cell + 1] - self.values[cell])
        return self._area[cell] + mean * part * self.length / (len(self.values) - 1)

    def _locate(self, w: float) -> tuple[int, float]:
        cells = len(self.values) - 1
        place = min(max(w / self.length, 0.0), 1.0) * cells
        cell = min(int(place), cells - 1)
        return cell, place - cell


@dataclass(frozen=True, slots=True)
class TabulatedCurves:
    """Many `TabulatedCurve`s that share a few tables.

    Parameters
    ----------
    tables
        Distinct tables, one per row.
    which
        Row of each job.
    length
        Length of each job.
    """

    tables: FloatArray
    which: NDArray[np.intp]
    length: FloatArray

    @classmethod
    def rate_limited(
        cls, L: ArrayLike, U: ArrayLike, beta: ArrayLike, length: ArrayLike
    ) -> TabulatedCurves:
        """Rate-limit-safe thresholds; one table is solved per distinct (L, U, beta)."""
        low, high, switching, size = _arrays(L, U, beta, length)
        bounds, which = np.unique(np.stack([low, high, switching], 1), axis=0, return_inverse=True)
        tables = [rate_limited_table(*(float(v) for v in row))[1] for row in bounds]
        return cls(np.stack(tables), np.asarray(which, np.intp).reshape(-1), size)

    def inverse(self, y: FloatArray) -> FloatArray:
        """Per job, the largest w at which its cost y is accepted."""
        cells = self.tables.shape[1] - 1
        flat, first = self.tables.ravel(), self.which * (cells + 1)
        last = np.zeros_like(self.which)  # last node with a value >= y, found bit by bit
        bit = 1 << (cells.bit_length() - 1)
        while bit:
            further = np.minimum(last + bit, cells)
            last = np.where(flat[first + further] >= y, further, last)
            bit >>= 1
        cell = np.minimum(last, cells - 1)
        above, below = flat[first + cell], flat[first + cell + 1]
        drop = np.where(above > below, above - below, 1.0)
        reach = self.length * ((cell + (above - y) / drop) / cells)
        reach[y > flat[first]] = -np.inf
        reach[y <= flat[first + cells]] = np.inf
        return np.asarray(reach)


@dataclass(frozen=True, slots=True)
class SellingCurve:
    """Increasing threshold of the maximisation problem, as the mirror of a decreasing one.

    Selling at price p is buying at cost -p, so ``psi(w) = -mirror.value(w)``.
    """

    mirror: Curve

    def value(self, w: float) -> float:
        """Price asked for the next unit when w units are sold."""
        return -self.mirror.value(w)

    def inverse(self, y: float) -> float:
        """Largest w at which the price y is enough."""
        return self.mirror.inverse(-y)

    def integral(self, w0: float, w1: float) -> float:
        """Price asked, summed over the units from w0 to w1."""
        return -self.mirror.integral(w0, w1)


# ------------------------------------------------------------------------------ scalar builders
def roro_curve(
    L: float, U: float, beta: float, length: float = 1.0, ratio: float | None = None
) -> ExponentialCurve:
    """Curve of RORO for a job of `length`, or of another `ratio` >= alpha."""
    ratios.check_bounds(L, U, beta)
    return ExponentialCurves.roro(L, U, beta, length, ratio).one(0)


def roro_plus_curve(L: float, U: float, beta: float, length: float = 1.0) -> ExponentialCurve:
    """Curve of RORO+, whose ratio includes the ramp of the compulsory purchase."""
    ratios.check_bounds(L, U, beta)
    return ExponentialCurves.roro_plus(L, U, beta, length).one(0)


def robust_curve(
    L: float, U: float, beta: float, shortest: float, longest: float
) -> ExponentialCurve:
    """Robust curve for a length hidden in ``[shortest, longest]``."""
    ratios.check_bounds(L, U, beta)
    return roro_curve(L, U, beta, longest, ratios.r_star(L, U, beta, shortest / longest))


def one_way_curve(L: float, U: float, length: float = 1.0) -> ExponentialCurve:
    """Curve of one-way trading, which is RORO's without switching cost."""
    return roro_curve(L, U, 0.0, length)


def rate_limited_curve(L: float, U: float, beta: float, length: float = 1.0) -> TabulatedCurve:
    """Curve that keeps its ratio under any uniform rate cap."""
    return TabulatedCurve(tuple(rate_limited_table(L, U, beta)[1].tolist()), length)


def simple_curve(L: float, U: float) -> ConstantCurve:
    """Constant threshold ``sqrt(L U)``."""
    ratios.check_bounds(L, U, 0.0)
    return ConstantCurve(math.sqrt(L * U))


def selling_curve(L: float, U: float, beta: float, length: float = 1.0) -> SellingCurve:
    """``psi(w) = L + beta + (omega L - L - 2 beta) e^(omega w / length)``, at most U - beta."""
    log_gain = ratios.log_rise(L, U, beta) + math.log(L)
    width = length / ratios.omega(L, U, beta)
    return SellingCurve(ExponentialCurve(-(L + beta), log_gain, width, -(U - beta)))


_TINY = float(np.finfo(float).tiny)


def _arrays(*values: ArrayLike) -> tuple[FloatArray, ...]:
    return tuple(np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in values)))
