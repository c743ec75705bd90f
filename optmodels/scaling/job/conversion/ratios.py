"""Competitive ratios of online conversion with switching cost.

A job of length ``J`` is bought slot by slot at a carbon cost ``c_t`` that is known only when the
slot begins. The cost of a schedule is ``sum(c_t * x_t) + beta * sum(|x_t - x_(t-1)|)``. All that
is known before are bounds ``L <= c_t <= U`` and the switching coefficient ``beta``; the theory
asks for ``0 <= beta < (U - L) / 2``, or switching would cost more than waiting can ever save.
A *competitive ratio* bounds, over every cost sequence, what not knowing the future can cost.

========================  ======================================================================
`alpha`                   known length, whole job fits in a slot, ramp of the last purchase apart
`alpha_plus`              the same with that ramp inside the ratio (our derivation)
`omega`                   the maximisation problem
`r_star`, `eta`           hidden length: robust, and as a function of the prediction's error (ours)
`gamma`                   CLIP's trade of consistency against robustness
========================  ======================================================================

Sources: Lechowicz et al., "Online Conversion with Switching Costs" (arXiv 2310.20598) for `alpha`,
`omega`; Lechowicz et al., "Chasing Convex Functions with Long-term Constraints" (arXiv 2402.14012)
for `gamma`. What is marked as ours is checked numerically in ``tests/scaling/job``.

Formulas that subtract nearly equal numbers are avoided: with ``a = 1/alpha`` and
``u = (a - l) / m`` the defining equation ``exp(a) = m / (m + l - a)`` becomes
``l - k*u + (u + log(1 - u)) = 0`` whose terms never cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel, lambertw

from optmodels.errors import Flaw, InputError

FloatArray = NDArray[np.float64]

_NEWTON_STEPS = 4
_SERIES_BELOW = 0.05
_SERIES_TERMS = 12
_BISECTIONS = 200


# ------------------------------------------------------------------------------- parameters
def assumption_holds(L: float, U: float, beta: float) -> bool:
    """Whether the theory's standing assumption holds.

    It asks for ``0 < L <= U``, ``beta >= 0`` and ``2 beta < U - L``, or ``beta = 0`` when
    ``L = U``. Where it fails no threshold can promise anything: run at once and without a break.
    """
    if not (math.isfinite(L) and math.isfinite(U) and math.isfinite(beta)):
        return False
    return 0 < L <= U and beta >= 0 and (2 * beta < U - L or (L == U and beta == 0))


def check_bounds(L: ArrayLike, U: ArrayLike, beta: ArrayLike) -> None:
    """Refuse parameters outside the standing assumption, naming every flaw at once.

    Raises
    ------
    InputError
        When `assumption_holds` is false for an entry.
    """
    low, high, switching = np.broadcast_arrays(*(np.asarray(v, float) for v in (L, U, beta)))
    finite = np.isfinite(low) & np.isfinite(high) & np.isfinite(switching)
    calm = (high == low) & (switching == 0)
    fine = finite & (low > 0) & (low <= high) & (switching >= 0)
    fine &= (2 * switching < high - low) | calm
    if fine.all():
        return
    flaws: list[Flaw] = []
    for index in zip(*np.nonzero(~np.atleast_1d(fine)), strict=True):
        one = [float(np.atleast_1d(v)[index]) for v in (low, high, switching)]
        place = "" if low.ndim == 0 else f"[{index[0]}]"
        flaws += _flaws(one[0], one[1], one[2], place)
    raise InputError(flaws, subject="bounds of the conversion cost")


def _flaws(low: float, high: float, switching: float, place: str) -> list[Flaw]:
    found = [
        Flaw("is not a finite number", field=f"{name}{place}", value=value)
        for name, value in (("L", low), ("U", high), ("beta", switching))
        if not math.isfinite(value)
    ]
    if found:
        return found
    if low <= 0:
        found.append(Flaw("is not positive", field=f"L{place}", value=low, allowed="0 < L <= U"))
    if high < low:
        found.append(Flaw(f"is below L = {low}", field=f"U{place}", value=high, allowed="U >= L"))
    if switching < 0:
        found.append(Flaw("is negative", field=f"beta{place}", value=switching, allowed=">= 0"))
    elif high >= low and 2 * switching >= high - low:
        found.append(
            Flaw(
                "is too large for a threshold to help",
                field=f"beta{place}",
                value=switching,
                allowed=f"beta < (U - L)/2 = {(high - low) / 2:g}",
                cause="a full on/off cycle costs at least the whole spread of the carbon costs",
                fix="run at once and without a break",
            )
        )
    return found


def _within(value: ArrayLike, low: ArrayLike, high: ArrayLike, name: str, allowed: str) -> None:
    if not np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)):
        raise InputError(Flaw("is out of range", field=name, value=value, allowed=allowed))


# -------------------------------------------------------------------- minimisation, Lambert W
def _reciprocal(low: FloatArray, steep: FloatArray, spread: FloatArray) -> FloatArray:
    """Solve ``exp(a) = m / (m + l - a)`` for a in (l, 1], given k = 1 - m without rounding.

    `low` is l, `steep` is k, `spread` is m. The principal branch of Lambert W gives the start,
    Newton steps on the form without cancellation give the last digits (near the branch point W
    has lost half of them).
    """
    z = lambertw(-spread * np.exp(-(spread + low)), k=0).real
    safe = np.where(spread > 0, spread, 1.0)
    u = np.clip(1 + z / safe, np.minimum(low, 0.5), 0.7)
    for _ in range(_NEWTON_STEPS):
        excess = low - steep * u + _log_remainder(u)
        u = u + excess / (steep + u / (1 - u))
    root: FloatArray = low + u * spread
    return root


def _log_remainder(u: FloatArray) -> FloatArray:
    """Give ``u + log(1 - u)`` to full relative accuracy."""
    series = np.zeros_like(u)
    for power in range(_SERIES_TERMS, 1, -1):
        series = series * u + 1.0 / power
    return np.where(u < _SERIES_BELOW, -series * u * u, u + np.log1p(-u))


def alphas(L: ArrayLike, U: ArrayLike, beta: ArrayLike) -> FloatArray:
    """Array version of `alpha`; arguments broadcast and are taken to be valid."""
    low, high, switching = _arrays(L, U, beta)
    spread = (high - low - 2 * switching) / high
    return 1 / _reciprocal(low / high, (2 * switching + low) / high, spread)


def alpha_pluses(L: ArrayLike, U: ArrayLike, beta: ArrayLike) -> FloatArray:
    """Array version of `alpha_plus`; arguments broadcast and are taken to be valid."""
    low, high, switching = _arrays(L, U, beta)
    top = high + 2 * switching
    return 1 / _reciprocal(low / top, (2 * switching + low) / top, (high - low) / top)


def alpha(L: float, U: float, beta: float) -> float:
    """Ratio of RORO, the threshold algorithm for a job of known length (minimisation).

    ``1/alpha = 1 - 2 beta/U + W((2 beta/U + L/U - 1) exp(2 beta/U - 1))``, the root of
    ``exp(1/alpha) = (U - L - 2 beta) / (U - U/alpha - 2 beta)``; 1 when ``L = U``, up to U/L.

    Raises
    ------
    InputError
        Bounds outside the standing assumption.
    """
    return _scalar(alphas, L, U, beta)


def alpha_plus(L: float, U: float, beta: float) -> float:
    """Ratio of RORO+, which includes the ramp of the compulsory purchase (our derivation).

    With ``s = U/(U + 2 beta)``: ``1/alpha+ = s + W(-(U - L)/(U + 2 beta) * exp(-s))``.
    """
    return _scalar(alpha_pluses, L, U, beta)


# ------------------------------------------------------------------------------- maximisation
def omega(L: float, U: float, beta: float) -> float:
    """Ratio OPT/ALG of the maximising threshold: ``1 + 2 beta/L + W(((U-L-2 beta)/L) e^..)``."""
    check_bounds(L, U, beta)
    return 1 + 2 * beta / L + _rise(L, U, beta)


def log_rise(L: float, U: float, beta: float) -> float:
    """Logarithm of ``omega - 1 - 2 beta/L``, finite also where the number itself underflows."""
    check_bounds(L, U, beta)
    if U - L - 2 * beta <= 0:
        return -math.inf
    return math.log((U - L - 2 * beta) / L) - 1 - 2 * beta / L - _rise(L, U, beta)


def _rise(L: float, U: float, beta: float) -> float:
    return float(lambertw((U - L - 2 * beta) / L * math.exp(-1 - 2 * beta / L)).real)


# ------------------------------------------------------------------------------ hidden length
def r_stars(L: ArrayLike, U: ArrayLike, beta: ArrayLike, rho: ArrayLike) -> FloatArray:
    """Array version of `r_star`; arguments broadcast and are taken to be valid."""
    low, high, switching, part = _arrays(L, U, beta, rho)
    start = alphas(low, high, switching)
    # rho = 0 has a closed form, and the ratio falls with rho: it bounds all others.
    end = np.maximum(start, (switching + np.sqrt(switching**2 + high * low)) / low)

    def enough(r: FloatArray) -> NDArray[np.bool_]:
        gain = high * (1 - 1 / r) - 2 * switching
        return np.asarray(high - gain * exprel(part / r) <= r * low)

    # At rho = 1 the condition is alpha's own equation: no digits are lost by solving it again.
    return _bisect(enough, start, np.where(part >= 1, start, end))


def r_star(L: float, U: float, beta: float, rho: float) -> float:
    """Ratio of the robust threshold for a hidden length in ``[rho, 1] * longest``.

    The smallest ``r >= alpha`` with ``int_0^rho phi_r + beta rho <= r rho L`` where ``phi_r`` is
    the unit threshold of ratio r (our derivation): finishing early and a crash
    of the cost to L afterwards must not break r. Divided by rho this reads
    ``U - K (e^t - 1)/t <= r L`` with ``K = U - U/r - 2 beta`` and ``t = rho/r``; the floor of the
    threshold is never reached before rho. ``rho = 1`` gives `alpha`; ``rho -> 0`` gives
    ``(beta + sqrt(beta^2 + U L)) / L``.

    Parameters
    ----------
    L, U, beta
        Bounds and switching coefficient.
    rho
        Shortest over longest possible length, in [0, 1].
    """
    _within(rho, 0.0, 1.0, "rho", "0 to 1: shortest over longest length")
    return _scalar(r_stars, L, U, beta, rho)


def etas(L: ArrayLike, U: ArrayLike, beta: ArrayLike, rho: ArrayLike) -> FloatArray:
    """Array version of `eta`; arguments broadcast and are taken to be valid."""
    low, high, switching, part = _arrays(L, U, beta, rho)
    known = alphas(low, high, switching)
    gain = (high - low - 2 * switching) * np.exp(-1 / known)
    short = np.maximum(known, (high - gain * exprel(np.minimum(part, 1) / known)) / low)
    safe = np.maximum(part, 1)
    return np.where(part <= 1, short, known / safe + (1 - 1 / safe) * high / low)


def eta(L: float, U: float, beta: float, rho: float) -> float:
    """Ratio of RORO run with a predicted length, ``rho = length / predicted`` (our derivation).

    Over-prediction (rho <= 1): ``max(alpha, (U - alpha K (e^(rho/alpha) - 1)/rho) / L)`` with
    ``K = U - U/alpha - 2 beta``. Under-prediction: ``alpha/rho + (1 - 1/rho) U/L``.
    """
    _within(rho, 0.0, math.inf, "rho", "0 or more: length over predicted length")
    return _scalar(etas, L, U, beta, rho)


# --------------------------------------------------------------------------------------- CLIP
def gammas(L: ArrayLike, U: ArrayLike, beta: ArrayLike, epsilon: ArrayLike) -> FloatArray:
    """Array version of `gamma`; arguments broadcast and are taken to be valid."""
    low, high, switching, loss = _arrays(L, U, beta, epsilon)
    start = alphas(low, high, switching)
    room = high - low - 2 * switching

    def enough(g: FloatArray) -> NDArray[np.bool_]:
        gain = np.maximum(high * (1 - 1 / g) - 2 * switching, room * np.exp(-1 / start))
        log = np.log(np.divide(room, gain, out=np.ones_like(gain), where=gain > 0))
        return np.asarray(g + g / low * (high - low) * log <= loss + high / low)

    ends = high / low
    found = _bisect(enough, start, ends)
    return np.where(loss <= 0, ends, np.where(loss >= start - 1, start, found))


def gamma(L: float, U: float, beta: float, epsilon: float) -> float:
    """Robustness of CLIP when it is held to ``1 + epsilon`` times its advice.

    Root in ``[alpha, U/L]`` of
    ``g = epsilon + U/L - (g/L)(U - L) ln((U - L - 2 beta)/(U - U/g - 2 beta))``.
    ``epsilon = alpha - 1`` gives alpha, ``epsilon = 0`` gives U/L.

    Parameters
    ----------
    L, U, beta
        Bounds and switching coefficient.
    epsilon
        Loss allowed against good advice, in ``[0, alpha - 1]``.
    """
    limit = alpha(L, U, beta) - 1
    _within(epsilon, 0.0, limit * (1 + 1e-12), "epsilon", f"0 to alpha - 1 = {limit:g}")
    return _scalar(gammas, L, U, beta, epsilon)


# -------------------------------------------------------------------------------------- tools
def _arrays(*values: ArrayLike) -> tuple[FloatArray, ...]:
    return tuple(np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in values)))


def _scalar(many: Callable[..., FloatArray], *values: float) -> float:
    check_bounds(*values[:3])
    return _cached(many, *(float(v) for v in values))


@lru_cache(maxsize=16384)
def _cached(many: Callable[..., FloatArray], *values: float) -> float:
    return float(many(*values)[0])


def _bisect(
    enough: Callable[[FloatArray], NDArray[np.bool_]], low: FloatArray, high: FloatArray
) -> FloatArray:
    """Smallest value in [low, high] that is `enough`, from the safe side, to the last digit."""
    low, high = low.copy(), high.copy()
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if not np.any((middle > low) & (middle < high)):
            break
        good = enough(middle)
        high = np.where(good, middle, high)
        low = np.where(good, low, middle)
    return high
