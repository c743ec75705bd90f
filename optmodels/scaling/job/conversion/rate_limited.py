"""The threshold that is safe under a rate cap (our derivation).

RORO's ratio assumes that the whole job fits in one slot. With a rate cap an adversary may first
sell ``D`` units at the low cost L so slowly that both sides take them all; RORO has then spent the
cheap end of its threshold on them and pays more for the rest than alpha allows. The curve built
here pays for that beforehand: a larger ratio, kept under *any* uniform cap.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from optmodels.scaling.job.conversion.ratios import FloatArray, check_bounds

GRID_CELLS = 300
"""Cells of the table: for U/L up to 100 the ratio is within 1e-3 of the limit of fine grids."""


def r_rate_limited(L: float, U: float, beta: float) -> float:
    """Ratio that holds under any uniform rate cap, final ramp included (our derivation).

    An adversary may first sell ``D`` units at the low price L so slowly that both sides take
    them all, and only then play against the threshold. See `rate_limited_table`.
    """
    check_bounds(L, U, beta)
    return _rate_limited_unit(float(U / L), float(beta / L))[0]


def rate_limited_table(L: float, U: float, beta: float) -> tuple[float, FloatArray]:
    """Ratio and threshold values at ``w = 0, 1/GRID_CELLS, .., 1`` of the rate-limit-safe curve.

    With ``Phi(v)`` the integral of the threshold, it is the smallest curve for which
    ``(L + beta) D + Phi(w - D) + beta w + (1 - w)(U + 2 beta)
    <= r (L D + (1 - D)(phi(w) - beta))`` for all ``0 <= D <= w <= 1``, with the smallest r for
    which ``phi(1) = L + beta``. Between the nodes the curve is linear; the ratio returned is
    certified for that polygon at *every* w and D, not only at the nodes.
    """
    check_bounds(L, U, beta)
    ratio, values = _rate_limited_unit(float(U / L), float(beta / L))
    return ratio, values * L


@lru_cache(maxsize=4096)
def _rate_limited_unit(high: float, switching: float) -> tuple[float, FloatArray]:
    """Ratio and curve for L = 1."""
    if high == 1.0:
        values = np.ones(GRID_CELLS + 1)
        return 1.0, values
    floor = 1 + switching

    def shortfall(r: float) -> float:
        return float(_rate_limited_curve(r, high, switching)[-1] - floor)

    r = brentq(shortfall, 1 + 2 * switching, high + 2 * switching, xtol=1e-12, rtol=1e-13)
    values = np.maximum(_rate_limited_curve(float(r), high, switching), floor)
    values = np.maximum.accumulate(values[::-1])[::-1].copy()  # rounding must not make it rise
    values.setflags(write=False)
    return _certified(values, high, switching), values


def _rate_limited_curve(r: float, high: float, switching: float) -> FloatArray:
    """Least threshold values (not floored) that keep ratio r against every D up to each w."""
    cells, floor = GRID_CELLS, 1 + switching
    w = np.arange(cells + 1) / cells
    waiting = switching * w + (1 - w) * (high + 2 * switching)
    cheap = w[1:cells]
    scale = 1 / (r * (1 - cheap))
    head = ((1 + switching) / r - 1) * cheap / (1 - cheap)
    half = 0.5 / cells
    area = np.zeros(cells + 1)
    need = np.empty(cells + 1)
    need[0] = switching + waiting[0] / r
    before = max(need[0], floor)
    for i in range(1, cells + 1):
        # D = 0 has the new value on both sides: its own half cell is solved for.
        least = (switching + (area[i - 1] + half * before + waiting[i]) / r) / (1 - half / r)
        size = min(i, cells - 1)
        older = area[i - 1 :: -1][:size] + waiting[i]
        worst = float((head[:size] + older * scale[:size]).max())
        need[i] = max(least, switching + worst)
        value = max(need[i], floor)
        area[i] = area[i - 1] + half * (before + value)
        before = value
    return need


def _certified(values: FloatArray, high: float, switching: float) -> float:
    """Smallest ratio proven for the polygon through `values` at every w and D (L = 1).

    On one cell both sides of the inequality are quadratic in (w, v = w - D). Their distance from
    the interpolation of the cell's corners is at most 1/8 of cell size squared times the second
    derivative: |slope at v| on the left, 2 |slope at w| on the right.
    """
    cells = len(values) - 1
    h = 1 / cells
    w = np.arange(cells + 1) / cells
    slope = np.abs(np.diff(values)) / h
    steepest = np.maximum(np.append(slope, 0.0), np.insert(slope, 0, 0.0))
    area = np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) * (h / 2))))
    at, late = np.tril_indices(cells + 1)  # node of w, node of v = w - D
    cheap = w[at] - w[late]
    paid = (1 + switching) * cheap + area[late] + switching * w[at]
    paid += (1 - w[at]) * (high + 2 * switching) + steepest[late] * (h * h / 8)
    least = cheap + (1 - cheap) * (values[at] - switching) - steepest[at] * (h * h / 4)
    if least.min() <= 0:  # a grid too coarse to certify anything: the trivial ratio
        return high + 2 * switching
    return float(min((paid / least).max(), high + 2 * switching))
