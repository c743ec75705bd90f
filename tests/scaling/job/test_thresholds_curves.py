"""Threshold curves: boundary values, closed forms against quadrature, scalar against array."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from optmodels.scaling.job.conversion import ratios, thresholds
from optmodels.scaling.job.conversion.thresholds import (
    ConstantCurve,
    ConstantCurves,
    Curve,
    ExponentialCurves,
    TabulatedCurve,
    TabulatedCurves,
)

from .conversion_cases import BOUNDS, random_bounds


def curves(L: float, U: float, beta: float, length: float) -> dict[str, Curve]:
    """Every kind of decreasing curve for one job."""
    return {
        "roro": thresholds.roro_curve(L, U, beta, length),
        "plus": thresholds.roro_plus_curve(L, U, beta, length),
        "robust": thresholds.robust_curve(L, U, beta, 0.3 * length, length),
        "one way": thresholds.one_way_curve(L, U, length),
        "rate limited": thresholds.rate_limited_curve(L, U, beta, length),
        "simple": thresholds.simple_curve(L, U),
    }


@pytest.mark.parametrize(("L", "U", "beta"), BOUNDS)
def test_boundary_values(L: float, U: float, beta: float) -> None:
    """Starts and ends of the curves, in work units: a forgotten length scale moves the ends."""
    length = 7.0
    a, plus, omega = (f(L, U, beta) for f in (ratios.alpha, ratios.alpha_plus, ratios.omega))
    curve = thresholds.roro_curve(L, U, beta, length)
    assert curve.value(0) == pytest.approx(U / a + beta, rel=1e-12)
    assert curve.value(length * (1 - 1e-12)) == pytest.approx(L + beta, rel=1e-9)
    strict = thresholds.roro_plus_curve(L, U, beta, length)
    assert strict.value(0) == pytest.approx((U + 2 * beta) / plus + beta, rel=1e-12)
    assert strict.value(length * (1 - 1e-12)) == pytest.approx(L + beta, rel=1e-9)
    rising = thresholds.selling_curve(L, U, beta, length)
    assert rising.value(0) == pytest.approx(omega * L - beta, rel=1e-12)
    assert rising.value(length) == pytest.approx(U - beta, rel=1e-12)
    assert rising.inverse(rising.value(0.4 * length)) == pytest.approx(0.4 * length, rel=1e-9)
    assert thresholds.simple_curve(L, U).value(3.0) == math.sqrt(L * U)


@pytest.mark.parametrize(("L", "U", "beta"), BOUNDS)
def test_floor_beyond_the_length(L: float, U: float, beta: float) -> None:
    """What is left after the length that a job was thought to have is bought at the floor.

    L + beta for every curve: whatever can still come is no dearer to switch to. A floor of
    L - beta would let such a job wait for costs that never come.
    """
    length, past = 7.0, np.array([7.5, 40.0])
    for name in ("roro", "plus", "robust"):
        curve = curves(L, U, beta, length)[name]
        assert [curve.value(w) for w in past] == pytest.approx([L + beta] * 2, rel=1e-12), name
        assert curve.integral(*past) == pytest.approx((L + beta) * 32.5, rel=1e-12), name


def test_identity_behind_alpha() -> None:
    """What waiting at w can cost is alpha times what stopping there admits, for every w.

    ``int_0^w phi + beta w + (1 - w) U = alpha (phi(w) - beta)``: any error in the threshold's
    constants breaks it. RORO+ pays U + 2 beta for the rest; the maximisation has its mirror.
    """
    rng = np.random.default_rng(1)
    for _ in range(500):
        b = random_bounds(rng)
        w = float(rng.uniform(0, 1))
        a, plus, omega = (
            f(b.L, b.U, b.beta) for f in (ratios.alpha, ratios.alpha_plus, ratios.omega)
        )
        curve = thresholds.roro_curve(b.L, b.U, b.beta)
        paid = curve.integral(0, w) + b.beta * w + (1 - w) * b.U
        assert paid == pytest.approx(a * (curve.value(w) - b.beta), rel=1e-11)
        strict = thresholds.roro_plus_curve(b.L, b.U, b.beta)
        paid = strict.integral(0, w) + b.beta * w + (1 - w) * (b.U + 2 * b.beta)
        assert paid == pytest.approx(plus * (strict.value(w) - b.beta), rel=1e-11)
        rising = thresholds.selling_curve(b.L, b.U, b.beta)
        sold = rising.integral(0, w) - b.beta * w + (1 - w) * b.L
        assert omega * sold == pytest.approx(rising.value(w) + b.beta, rel=1e-11)


@pytest.mark.parametrize(("L", "U", "beta"), BOUNDS)
@pytest.mark.parametrize("kind", ["roro", "plus", "robust", "one way", "rate limited", "simple"])
def test_integral_and_inverse(kind: str, L: float, U: float, beta: float) -> None:
    """Closed forms agree with quadrature (also across the floor) and with the curve itself."""
    length = 5.0
    curve = curves(L, U, beta, length)[kind]
    rng = np.random.default_rng(2)
    for _ in range(20):
        w0, w1 = np.sort(rng.uniform(0, 1.5 * length, 2)).tolist()
        if kind == "rate limited":
            grid = np.union1d(np.linspace(0, length, ratio_nodes()), [w0, w1])
            grid = grid[(grid >= w0) & (grid <= w1)]
            heights = np.array([curve.value(float(w)) for w in grid])
            expected = float(0.5 * (heights[1:] + heights[:-1]) @ np.diff(grid))
        else:
            ends = [w for w in (curve.inverse(L + beta + 1e-9 * U), length) if w0 < w < w1]
            expected, _ = quad(curve.value, w0, w1, points=ends or None, epsabs=0, epsrel=1e-12)
        assert curve.integral(w0, w1) == pytest.approx(expected, rel=2e-9)
        assert curve.value(w0) >= curve.value(w1)
    if kind == "simple":
        return
    for share in rng.uniform(0, 1, 20):
        w = float(share * length)
        if curve.value(w) > curve.value(length) * (1 + 1e-9):
            assert curve.inverse(curve.value(w)) == pytest.approx(w, abs=1e-7 * length)


def ratio_nodes() -> int:
    """Nodes of the rate-limited table."""
    return len(thresholds.rate_limited_curve(1.0, 10.0, 0.0).values)


@pytest.mark.parametrize("kind", ["roro", "plus", "robust", "one way", "rate limited", "simple"])
def test_inverse_at_the_ends(kind: str) -> None:
    """A cost at the floor buys everything, one above the start nothing."""
    L, U, beta = 1.0, 10.0, 1.0
    curve = curves(L, U, beta, 1.0)[kind]
    floor = curve.value(2.0)
    assert curve.inverse(floor) == curve.inverse(0.5 * floor) == math.inf
    assert curve.inverse(U + 2 * beta) == -math.inf
    assert curve.inverse(curve.value(0.0) * (1 + 1e-9)) < 0


def test_flat_bounds_buy_at_once() -> None:
    """With one possible cost the curve is flat: that cost is always accepted."""
    curve = thresholds.roro_curve(5, 5, 0)
    assert curve.value(0.5) == 5
    assert curve.inverse(5) == math.inf
    assert curve.inverse(5.1) == -math.inf
    assert curve.integral(0.2, 0.7) == pytest.approx(2.5)
    many = ExponentialCurves.roro(5, 5, 0, 1.0)
    assert many.inverse(np.array([5.0]))[0] == math.inf
    assert many.inverse(np.array([5.1]))[0] == -math.inf
    assert many.integral(np.array([0.2]), np.array([0.7]))[0] == pytest.approx(2.5)


def test_array_curves_equal_scalar_curves() -> None:
    """Every array path gives the scalar answers, at floors, tops and flat bounds too."""
    rng = np.random.default_rng(3)
    jobs = [random_bounds(rng) for _ in range(60)]
    L, U, beta = (np.array([getattr(b, n) for b in jobs]) for n in ("L", "U", "beta"))
    length = rng.uniform(0.5, 20, 60)
    families = {
        "roro": ExponentialCurves.roro(L, U, beta, length),
        "plus": ExponentialCurves.roro_plus(L, U, beta, length),
        "robust": ExponentialCurves.robust(L, U, beta, 0.3 * length, length),
        "one way": ExponentialCurves.roro(L, U, 0.0, length),
        "rate limited": TabulatedCurves.rate_limited(L, U, beta, length),
        "simple": ConstantCurves(np.sqrt(L * U)),
    }
    scalars = [curves(b.L, b.U, b.beta, float(s)) for b, s in zip(jobs, length, strict=True)]
    costs = rng.uniform(L - beta, U + beta, (40, 60))
    costs = np.concatenate([costs, [L, U, L + beta, U - beta, U + beta, L - beta]])
    for kind, family in families.items():
        for row in costs:
            expected = [s[kind].inverse(float(y)) for s, y in zip(scalars, row, strict=True)]
            # A cost one rounding away from the floor may end on either side of it.
            np.testing.assert_allclose(family.inverse(row), expected, rtol=1e-9, atol=1e-9)
        if isinstance(family, ExponentialCurves):
            w = np.sort(rng.uniform(0, 1.5, (2, 60)) * length, axis=0)
            pairs = list(zip(scalars, *w, strict=True))
            np.testing.assert_allclose(
                family.value(w[0]), [s[kind].value(float(a)) for s, a, _ in pairs], rtol=1e-13
            )
            np.testing.assert_allclose(
                family.integral(w[0], w[1]),
                [s[kind].integral(float(a), float(b)) for s, a, b in pairs],
                rtol=1e-11,
            )


def test_extreme_bounds_stay_finite() -> None:
    """Huge U/L and beta near its limit give finite, falling curves without any warning."""
    for L, U, beta in [(1, 1e6, 0), (1, 1e6, 4e5), (1, 10, 4.5 - 1e-9), (1, 1 + 1e-9, 0)]:
        for kind, curve in curves(L, U, beta, 1.0).items():
            values = [curve.value(w) for w in np.linspace(0, 3, 50).tolist()]
            assert all(map(math.isfinite, values)), kind
            assert all(b <= a for a, b in pairwise(values)), kind
        rising = thresholds.selling_curve(L, U, beta)
        assert math.isfinite(rising.value(0.5))
        assert rising.value(1.0) <= U - beta


def test_tabulated_flat_parts() -> None:
    """On a flat stretch the inverse is its far end, so that a tie buys."""
    curve = TabulatedCurve((4.0, 3.0, 3.0, 2.0), 3.0)
    assert curve.inverse(3.0) == pytest.approx(2.0)
    assert curve.inverse(4.0) == 0.0
    assert curve.inverse(4.1) == -math.inf
    many = TabulatedCurves(np.array([curve.values]), np.zeros(3, int), np.full(3, 3.0))
    found = many.inverse(np.array([3.0, 4.0, 2.5]))
    assert found == pytest.approx([2.0, 0.0, 2.5])
    assert ConstantCurve(2.0).integral(0.0, 3.0) == 6.0
