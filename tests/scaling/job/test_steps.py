"""Decision rules: closed forms against fixtures and against numerical minimisation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from optmodels.errors import InputError
from optmodels.scaling.job.conversion import steps, thresholds
from optmodels.scaling.job.conversion.ratios import FloatArray
from optmodels.scaling.job.conversion.thresholds import Curve, ExponentialCurve

from .conversion_cases import random_bounds


@pytest.mark.parametrize(
    ("c", "x_prev", "expected"),
    [(50, 0, 0.8), (150, 0, 0), (150, 0.3, 0.199929), (190, 0.3, 0), (250, 0.3, 0)],
)
def test_step_fixtures(c: float, x_prev: float, expected: float) -> None:
    """L = 50, U = 400, beta = 20, w = 0.2, cap = 0.8; swapped signs of beta fail the third."""
    curve = thresholds.roro_curve(50, 400, 20)
    found = steps.step(curve, c, 0.2, x_prev, 20, 0.8)
    assert found == pytest.approx(expected, abs=5e-7)


def random_curve(rng: np.random.Generator, L: float, U: float, beta: float) -> Curve:
    """Any kind of curve, in work units."""
    length = float(rng.uniform(0.5, 8))
    builders = (
        lambda: thresholds.roro_curve(L, U, beta, length),
        lambda: thresholds.roro_plus_curve(L, U, beta, length),
        lambda: thresholds.robust_curve(L, U, beta, 0.4 * length, length),
        lambda: thresholds.one_way_curve(L, U, length),
    )
    return builders[rng.integers(len(builders))]()


def grid_values(curve: Curve, grid: FloatArray, w: float, slopes: FloatArray | float) -> FloatArray:
    """Negative pseudo-utility on a grid, by the array path where there is one."""
    assert isinstance(curve, ExponentialCurve)
    end = curve.width * (np.log(curve.top - curve.floor) - curve.log_gain)
    stop = np.clip(w + grid, None, max(end, w))
    curved = curve.top * (stop - w) - curve.width * (
        np.exp(curve.log_gain + stop / curve.width) - np.exp(curve.log_gain + w / curve.width)
    )
    if end <= w:
        curved = np.zeros_like(grid)
        stop = np.full_like(grid, w)
    return np.asarray(slopes * grid - curved - curve.floor * (w + grid - stop))


def test_step_minimises_the_pseudo_cost() -> None:
    """4000 random cases: no point of a fine grid is better than the closed form."""
    rng = np.random.default_rng(11)
    for _ in range(4000):
        b = random_bounds(rng)
        curve = random_curve(rng, b.L, b.U, b.beta)
        assert isinstance(curve, ExponentialCurve)
        c = float(rng.uniform(b.L, b.U))
        w, x_prev, cap = (float(v) for v in rng.uniform(0, 2, 3))
        x = steps.step(curve, c, w, x_prev, b.beta, cap)
        assert 0 <= x <= cap
        grid = np.unique(np.append(np.linspace(0, cap, 400), min(x_prev, cap)))
        values = grid_values(curve, grid, w, c) + b.beta * np.abs(grid - x_prev)
        own = steps.pseudo_cost(curve, c, w, x_prev, b.beta, x)
        assert own <= values.min() + 1e-11 * b.U * (1 + cap)


def test_step_equals_scipy_minimiser() -> None:
    """On 300 cases the closed form is where bounded scalar minimisation ends, all curve kinds."""
    rng = np.random.default_rng(12)
    for case in range(300):
        b = random_bounds(rng)
        curve: Curve = random_curve(rng, b.L, b.U, b.beta)
        if case % 30 == 0:
            curve = thresholds.rate_limited_curve(b.L, b.U, b.beta, 1.5)
        c = float(rng.uniform(b.L, b.U))
        w, x_prev, cap = (float(v) for v in rng.uniform(0, 2, 3))
        arguments = (curve, c, w, x_prev, b.beta)
        x = steps.step(*arguments, cap)
        own = steps.pseudo_cost(*arguments, x)
        pieces = sorted({0.0, min(x_prev, cap), cap})
        best = min(
            minimize_scalar(
                lambda v, a=arguments: steps.pseudo_cost(*a, v),
                bounds=(lo, hi),
                method="bounded",
                options={"xatol": 1e-10},
            ).fun
            for lo, hi in pairwise(pieces)
        )
        assert own <= best + 1e-10 * b.U


def test_array_step_equals_scalar_step() -> None:
    """The vectorised rule gives the same purchases."""
    rng = np.random.default_rng(13)
    jobs = [random_bounds(rng) for _ in range(500)]
    L, U, beta = (np.array([getattr(b, n) for b in jobs]) for n in ("L", "U", "beta"))
    length = rng.uniform(0.5, 8, 500)
    c = rng.uniform(L, U)
    w, x_prev, cap = rng.uniform(0, 2, (3, 500))
    many = thresholds.ExponentialCurves.roro(L, U, beta, length)
    found = steps.step_many(many, c, w, x_prev, beta, cap)
    expected = [
        steps.step(many.one(i), *(float(v[i]) for v in (c, w, x_prev, beta, cap)))
        for i in range(500)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_convex_step_minimises() -> None:
    """2000 random convex polygons: no grid point is better; a wrong piece order would be caught."""
    rng = np.random.default_rng(14)
    for _ in range(2000):
        b = random_bounds(rng)
        curve = random_curve(rng, b.L, b.U, b.beta)
        cap = float(rng.uniform(0.05, 2))
        count = int(rng.integers(0, 4))
        breaks = np.sort(rng.uniform(0, 1.2 * cap, count))
        slopes = np.sort(rng.uniform(b.L, b.U, count + 1))
        w, x_prev = (float(v) for v in rng.uniform(0, 1.5, 2))
        x = steps.step_convex(curve, breaks.tolist(), slopes.tolist(), w, x_prev, b.beta, cap)
        assert 0 <= x <= cap
        special = np.append(breaks[breaks < cap], [min(x_prev, cap), x])
        grid = np.unique(np.append(np.linspace(0, cap, 400), special))
        knots = np.concatenate(([0.0], breaks, [10.0]))
        price = np.interp(grid, knots, np.concatenate(([0.0], np.cumsum(slopes * np.diff(knots)))))
        values = price + grid_values(curve, grid, w, 0.0) + b.beta * np.abs(grid - x_prev)
        own = values[np.searchsorted(grid, x)]
        assert own <= values.min() + 1e-11 * b.U * (1 + cap)


def test_convex_step_of_a_line_is_the_plain_step() -> None:
    """Without breaks, or with breaks that change nothing, both rules agree."""
    rng = np.random.default_rng(15)
    for _ in range(500):
        b = random_bounds(rng)
        curve = random_curve(rng, b.L, b.U, b.beta)
        c = float(rng.uniform(b.L, b.U))
        w, x_prev, cap = (float(v) for v in rng.uniform(0, 2, 3))
        plain = steps.step(curve, c, w, x_prev, b.beta, cap)
        assert steps.step_convex(curve, [], [c], w, x_prev, b.beta, cap) == pytest.approx(
            plain, abs=1e-12
        )
        split = steps.step_convex(curve, [0.3, 0.7], [c, c, c], w, x_prev, b.beta, cap)
        assert split == pytest.approx(plain, abs=1e-12)


def test_free_solar_is_used_first() -> None:
    """Work up to the solar power costs less: it is done even when the grid is too dirty."""
    curve = thresholds.roro_curve(50, 400, 20)
    assert steps.step(curve, 390, 0.0, 0.0, 20, 1.0) == 0.0
    found = steps.step_convex(curve, [0.25], [1.0, 390.0], 0.0, 0.0, 20, 1.0)
    assert found == pytest.approx(0.25)


def test_max_step_maximises() -> None:
    """2000 random prices: the mirror maximises ``p x - beta |x - x_prev| - int psi``."""
    rng = np.random.default_rng(16)
    for _ in range(2000):
        b = random_bounds(rng)
        curve = thresholds.selling_curve(b.L, b.U, b.beta)
        p = float(rng.uniform(b.L, b.U))
        w = float(rng.uniform(0, 1))
        x_prev, cap = float(rng.uniform(0, 1)), 1 - w
        x = steps.step_max(curve, p, w, x_prev, b.beta, cap)
        grid = np.unique(np.append(np.linspace(0, cap, 200), [min(x_prev, cap), x]))
        profit = [
            p * v - b.beta * abs(v - x_prev) - curve.integral(w, w + v) for v in grid.tolist()
        ]
        assert profit[int(np.searchsorted(grid, x))] >= max(profit) - 1e-11 * b.U


def test_ties_buy() -> None:
    """A cost exactly at the accepted level buys; the simple rule is `c <= sqrt(L U)`."""
    curve = thresholds.simple_curve(1.0, 16.0)
    assert steps.step(curve, 4.0, 0.0, 0.0, 0.0, 0.7) == 0.7
    assert steps.step(curve, 4.0000001, 0.0, 0.7, 0.0, 0.7) == 0.0


def test_level_set_against_a_grid() -> None:
    """CLIP's interval: 1000 random polygons, compared with membership on a grid."""
    rng = np.random.default_rng(17)
    for _ in range(1000):
        slopes = (float(rng.uniform(0, 5)), float(rng.uniform(0, 3)), float(rng.uniform(0, 9)))
        kinks = tuple(float(k) for k in rng.uniform(-0.5, 1.5, 3))
        cap = float(rng.uniform(0.2, 1))
        grid = np.linspace(0, cap, 301)
        values = (
            slopes[0] * grid
            + slopes[1] * (np.abs(grid - kinks[0]) + np.abs(grid - kinks[1]))
            + slopes[2] * np.maximum(kinks[2] - grid, 0)
        )
        budget = float(rng.uniform(values.min() - 1, values.max() + 1))
        low, high = steps.level_set(slopes, kinks, budget, cap)
        if budget >= values.min():
            inside = grid[values <= budget]
            assert low <= inside[0] + 1e-12
            assert high >= inside[-1] - 1e-12
            assert inside[0] - low <= cap / 300 + 1e-12
            assert high - inside[-1] <= cap / 300 + 1e-12
        elif low == high:  # nothing fits: the lowest point
            assert values[int(np.abs(grid - low).argmin())] <= values.min() + 0.2


def test_mixing_weights() -> None:
    """Ends and refusals of the trust dials."""
    assert steps.advice_weight(0.0, 3.0) == 1.0
    assert steps.advice_weight(2.0, 3.0) == 0.0
    assert steps.advice_weight(1.0, 3.0) == 0.5
    assert steps.advice_weight(0.0, 1.0) == 1.0
    assert steps.advice_weight_max(0.0, 3.0) == 1.0
    assert steps.advice_weight_max(2.0, 3.0) == pytest.approx(0.0)
    assert steps.prediction_weight(0.0, 2.0, 3.0) == 1.0
    assert steps.prediction_weight(0.25, 2.0, 3.0) == 0.75
    assert steps.prediction_weight(1.0, 2.0, 3.0) == 0.0
    assert steps.prediction_weight(0.0, 2.0, 2.0) == 1.0
    alpha = 3.837693911354603
    value = (12.0 * (alpha - 1 - 1.419) + alpha * 1.419) / (alpha - 1)
    assert steps.advice_robustness(1.419, alpha, 1, 10, 1) == pytest.approx(value, rel=1e-12)
    assert value == pytest.approx(7.92, abs=5e-3)
    for bad in (
        lambda: steps.advice_weight(2.1, 3.0),
        lambda: steps.advice_weight(-0.1, 3.0),
        lambda: steps.advice_weight_max(2.1, 3.0),
        lambda: steps.prediction_weight(1.1, 2.0, 3.0),
    ):
        with pytest.raises(InputError, match="out of range"):
            bad()


def test_non_convex_cost_is_refused() -> None:
    """Falling slopes, unsorted breaks and wrong counts are named together."""
    curve = thresholds.roro_curve(50, 400, 20)
    with pytest.raises(InputError) as caught:
        steps.step_convex(curve, [0.5, 0.2], [3.0, 1.0], 0.0, 0.0, 20, 1.0)
    assert len(caught.value.flaws) == 3
