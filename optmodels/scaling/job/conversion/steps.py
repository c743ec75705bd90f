"""Decision rules: how much to buy now, given a threshold curve.

The rule minimises the pseudo-cost ``g(x) + beta |x - x_prev| - int_w^(w+x) phi`` over
``0 <= x <= cap``: what the purchase and the change of rate cost, less what the curve thinks the
units are worth. The curve decreases, so the pseudo-cost is convex and its minimiser is explicit:
*keep the previous rate unless it lies outside* ``[up, down]``, where

    up   = phi^-1(c + beta) - w      ramping up is worth it only to here,
    down = phi^-1(c - beta) - w      ramping down is worth it only to here.

Source: Lechowicz et al., arXiv 2310.20598, for the rule; the closed forms are our derivation,
checked against numerical minimisation in ``tests/scaling/job/test_steps.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from optmodels.errors import Flaw, InputError
from optmodels.scaling.job.conversion.ratios import FloatArray
from optmodels.scaling.job.conversion.thresholds import Curve, Curves, SellingCurve


def step(curve: Curve, c: float, w: float, x_prev: float, beta: float, cap: float) -> float:
    """Purchase of one slot with a linear cost.

    Parameters
    ----------
    curve
        Threshold over the work done.
    c
        Carbon cost of a unit of work in this slot.
    w
        Work done before the slot.
    x_prev
        Rate of the previous slot.
    beta
        Switching coefficient.
    cap
        Most that can be bought: the rate cap or what remains of the job.
    """
    x = curve.inverse(c + beta) - w
    if x <= x_prev:
        x = min(curve.inverse(c - beta) - w, x_prev)
    if x <= 0.0:
        return 0.0
    return min(x, cap)


def step_many(
    curves: Curves,
    c: FloatArray,
    w: FloatArray,
    x_prev: FloatArray,
    beta: FloatArray,
    cap: FloatArray,
) -> FloatArray:
    """`step` for many jobs at once."""
    up = curves.inverse(c + beta) - w
    down = curves.inverse(c - beta) - w
    x = np.minimum(np.maximum(x_prev, up), down)
    return np.asarray(np.minimum(np.maximum(x, 0.0), cap))


def step_convex(
    curve: Curve,
    breaks: Sequence[float],
    slopes: Sequence[float],
    w: float,
    x_prev: float,
    beta: float,
    cap: float,
) -> float:
    """Purchase of one slot with a convex piecewise-linear cost, such as local solar power.

    Parameters
    ----------
    curve, w, x_prev, beta, cap
        As in `step`.
    breaks
        Amounts where the slope changes, increasing.
    slopes
        Cost of a unit on each piece, one more than `breaks`, never decreasing.

    Raises
    ------
    InputError
        When the cost is not convex or the lengths do not match.
    """
    _check_convex(breaks, slopes)
    cuts = sorted({b for b in (*breaks, x_prev) if 0.0 < b < cap} | {cap})
    start, piece = 0.0, 0
    # The slope of the pseudo-cost only rises: the first piece where it turns positive has the
    # minimiser.
    for stop in cuts:
        while piece < len(breaks) and breaks[piece] <= start:
            piece += 1
        sign = 1.0 if start >= x_prev else -1.0
        reach = curve.inverse(slopes[piece] + sign * beta) - w
        if reach < stop:
            return max(reach, start)
        start = stop
    return cap


def step_max(
    curve: SellingCurve, p: float, w: float, x_prev: float, beta: float, cap: float
) -> float:
    """Sale of one slot at price `p`: the mirror of `step`."""
    return step(curve.mirror, -p, w, x_prev, beta, cap)


def pseudo_cost(curve: Curve, c: float, w: float, x_prev: float, beta: float, x: float) -> float:
    """Objective that `step` minimises, for checks and for teaching."""
    return c * x + beta * abs(x - x_prev) - curve.integral(w, w + x)


def least_purchase(left: float, later: float, cap: float) -> float:
    """Compulsory purchase: what `left` exceeds that the later slots can hold (`later`).

    At most the rate cap; zero or negative where nothing is compulsory yet.
    """
    return min(left - later, cap, left)


def level_set(
    slopes: tuple[float, float, float],
    kinks: tuple[float, float, float],
    budget: float,
    cap: float,
) -> tuple[float, float]:
    """Interval of [0, cap] on which a convex polygon stays within a budget (CLIP's constraint).

    The polygon is ``s0 x + s1 |x - k0| + s1 |x - k1| + s2 max(k2 - x, 0)`` with slopes ``s`` and
    kinks ``k``. Where no x fits the budget, its lowest point is returned twice.
    """
    points = [0.0, *sorted(min(max(k, 0.0), cap) for k in kinks), cap]
    values = [
        slopes[0] * x
        + slopes[1] * abs(x - kinks[0])
        + slopes[1] * abs(x - kinks[1])
        + slopes[2] * max(kinks[2] - x, 0.0)
        for x in points
    ]
    inside = [i for i, v in enumerate(values) if v <= budget]
    if not inside:
        best = points[values.index(min(values))]
        return best, best
    first, last = inside[0], inside[-1]
    low, high = points[first], points[last]
    if first > 0:
        part = (budget - values[first]) / (values[first - 1] - values[first])
        low = points[first] + part * (points[first - 1] - points[first])
    if last < len(points) - 1:
        part = (budget - values[last]) / (values[last + 1] - values[last])
        high = points[last] + part * (points[last + 1] - points[last])
    return low, high


# ------------------------------------------------------------------------------ mixing weights
def advice_weight(epsilon: float, alpha: float) -> float:
    """Weight of the advice in RO-Advice that loses at most ``1 + epsilon`` against good advice.

    ``(alpha - 1 - epsilon) / (alpha - 1)``, and 1 when alpha is 1.

    Parameters
    ----------
    epsilon
        Between 0 (follow the advice) and ``alpha - 1`` (ignore it).
    alpha
        Ratio of the robust algorithm.
    """
    _check_epsilon(epsilon, alpha - 1)
    return 1.0 if alpha <= 1.0 else max(0.0, (alpha - 1 - epsilon) / (alpha - 1))


def advice_weight_max(epsilon: float, omega: float) -> float:
    """Weight of the advice in the maximisation problem: ``(omega/(1 + epsilon) - 1)/(omega - 1)``.

    Parameters
    ----------
    epsilon
        Between 0 and ``omega - 1``.
    omega
        Ratio of the robust algorithm.
    """
    _check_epsilon(epsilon, omega - 1)
    return 1.0 if omega <= 1.0 else max(0.0, (omega / (1 + epsilon) - 1) / (omega - 1))


def advice_robustness(epsilon: float, alpha: float, L: float, U: float, beta: float) -> float:
    """Ratio of RO-Advice against OPT whatever the advice (compulsory ramps apart).

    ``((U + 2 beta)/L (alpha - 1 - epsilon) + alpha epsilon) / (alpha - 1)``, a weighted mean of
    the worst schedule's ratio and alpha.
    """
    weight = advice_weight(epsilon, alpha)
    return weight * (U + 2 * beta) / L + (1 - weight) * alpha


def prediction_weight(gap: float, alpha: float, r_star: float) -> float:
    """Weight of LACS's prediction instance: ``1 - gap / (r_star - alpha)``.

    Parameters
    ----------
    gap
        Consistency given up: the ratio with a perfect prediction is ``alpha + gap``; between 0
        and ``r_star - alpha``.
    alpha, r_star
        Ratios of the known length and of the robust threshold.
    """
    spread = r_star - alpha
    if not -1e-12 <= gap <= max(spread, 0.0) + 1e-12:
        raise InputError(
            Flaw("is out of range", field="gap", value=gap, allowed=f"0 to {max(spread, 0.0):g}")
        )
    return 1.0 if spread <= 0.0 else min(1.0, max(0.0, 1 - gap / spread))


def _check_epsilon(epsilon: float, limit: float) -> None:
    if not 0.0 <= epsilon <= limit * (1 + 1e-12) + 1e-15:
        raise InputError(
            Flaw(
                "is out of range",
                field="epsilon",
                value=epsilon,
                allowed=f"0 to ratio - 1 = {limit:g}",
            )
        )


def _check_convex(breaks: Sequence[float], slopes: Sequence[float]) -> None:
    flaws = []
    if len(slopes) != len(breaks) + 1:
        flaws.append(
            Flaw("slopes were given", field="slopes", value=len(slopes), allowed="len(breaks) + 1")
        )
    if any(b <= a for a, b in pairwise(breaks)):
        flaws.append(Flaw("do not increase", field="breaks", value=tuple(breaks)))
    if any(b < a for a, b in pairwise(slopes)):
        flaws.append(Flaw("decrease: the cost is not convex", field="slopes", value=tuple(slopes)))
    if not all(map(math.isfinite, (*breaks, *slopes))):
        flaws.append(Flaw("are not all finite numbers", field="breaks, slopes"))
    if flaws:
        raise InputError(flaws, subject="piecewise-linear cost")
