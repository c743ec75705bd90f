"""Competitive ratios: published and derived tables, defining equations, edges."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError
from optmodels.scaling.job.conversion import ratios
from optmodels.scaling.job.conversion.rate_limited import r_rate_limited, rate_limited_table
from optmodels.scaling.job.conversion.thresholds import roro_curve

PROPERTY = settings(max_examples=200, deadline=None, derandomize=True)


@st.composite
def bounds(draw: st.DrawFn) -> tuple[float, float, float]:
    """Valid bounds, U/L up to a million, beta up to its limit."""
    low = draw(st.floats(0.01, 100))
    high = low * (1 + 10 ** draw(st.floats(-3, 6)))
    return low, high, draw(st.floats(0, 0.4999)) * (high - low)


@pytest.mark.parametrize(
    ("L", "U", "beta", "expected"),
    [
        (1, 10, 0, 2.553243),
        (1, 10, 1, 3.837694),
        (1, 30, 0, 4.196445),
        (1, 30, 5, 11.783858),
        (50, 500, 20, 3.019556),
        (100, 400, 20, 1.962818),
        (100, 400, 50, 2.368558),
        (50, 400, 20, 2.789583744),
    ],
)
def test_alpha_table(L: float, U: float, beta: float, expected: float) -> None:
    """The values of the minimisation ratio; a wrong sign of 2 beta/U changes all but beta = 0."""
    assert ratios.alpha(L, U, beta) == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(
    ("L", "U", "beta", "plain", "plus"),
    [(1, 10, 1, 3.838, 4.030), (50, 500, 20, 3.020, 3.105)],
)
def test_alpha_plus_table(L: float, U: float, beta: float, plain: float, plus: float) -> None:
    """RORO+ costs a little more than alpha and less than alpha (1 + 2 beta/U)."""
    assert ratios.alpha(L, U, beta) == pytest.approx(plain, abs=6e-4)
    assert ratios.alpha_plus(L, U, beta) == pytest.approx(plus, abs=6e-4)


@pytest.mark.parametrize(
    ("L", "U", "beta", "expected"),
    [
        (1, 10, 0, 2.101003),
        (1, 10, 1, 3.266877),
        (50, 500, 20, 2.483972),
        (100, 400, 50, 2.217715),
        (50, 400, 20, 2.376071970),
    ],
)
def test_omega_table(L: float, U: float, beta: float, expected: float) -> None:
    """The values of the maximisation ratio."""
    assert ratios.omega(L, U, beta) == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(
    ("L", "U", "beta", "expected"),
    [
        (1, 10, 0, (2.5532, 2.7194, 2.8759, 3.0232, 3.1076)),
        (1, 10, 1, (3.8377, 3.9680, 4.0908, 4.2067, 4.2733)),
        (50, 500, 20, (3.0196, 3.1751, 3.3210, 3.4581, 3.5366)),
    ],
)
def test_r_star_table(L: float, U: float, beta: float, expected: tuple[float, ...]) -> None:
    """The robust ratio at rho = 1, 3/4, 1/2, 1/4, 1/10, and its closed form at rho = 0."""
    found = [ratios.r_star(L, U, beta, rho) for rho in (1, 0.75, 0.5, 0.25, 0.1)]
    assert found == pytest.approx(expected, abs=6e-5)
    assert found[0] == ratios.alpha(L, U, beta)
    limit = (beta + math.sqrt(beta**2 + U * L)) / L
    assert ratios.r_star(L, U, beta, 0.0) == pytest.approx(limit, rel=1e-12)
    assert ratios.r_star(L, U, beta, 1e-9) == pytest.approx(limit, rel=1e-8)


def test_eta_table() -> None:
    """The ratio of a wrong prediction; under-prediction is the expensive side."""
    found = [ratios.eta(1, 10, 0.5, rho) for rho in (0.25, 0.5, 0.8, 1, 1.25, 2)]
    assert found == pytest.approx([3.941, 3.690, 3.371, 3.147, 4.517, 6.573], abs=6e-4)
    assert ratios.eta(1, 10, 0.5, 1.0) == pytest.approx(ratios.alpha(1, 10, 0.5), rel=1e-14)
    # No work done of what was predicted: all at the start of the threshold.
    start = (10 / ratios.alpha(1, 10, 0.5) + 1.0) / 1
    assert ratios.eta(1, 10, 0.5, 0.0) == pytest.approx(start, rel=1e-12)


@pytest.mark.parametrize(
    ("L", "U", "beta", "expected"),
    [
        (1, 10, 0, 2.7188),
        (1, 10, 1, 4.2629),
        (50, 500, 20, 3.3065),
        (100, 400, 20, 2.0825),
        (1, 3, 0, 1.5504),
    ],
)
def test_rate_limited_table(L: float, U: float, beta: float, expected: float) -> None:
    """The rate-limited ratio: a second-order grid lies just below first-order reference values."""
    found = r_rate_limited(L, U, beta)
    assert found <= expected
    assert found == pytest.approx(expected, rel=1e-3)
    assert found > ratios.alpha_plus(L, U, beta)


@pytest.mark.parametrize(
    ("L", "U", "beta"), [(1, 10, 0), (1, 10, 1), (50, 500, 20), (1, 3, 0.9), (1, 500, 30)]
)
def test_rate_limited_polygon_is_safe_between_its_nodes(L: float, U: float, beta: float) -> None:
    """The certified ratio holds at random w and D, where interpolation could break the grid's."""
    ratio, values = rate_limited_table(L, U, beta)
    cells = len(values) - 1
    assert np.all(np.diff(values) <= 0)
    assert values[-1] == pytest.approx(L + beta, rel=1e-12)
    area = np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) / (2 * cells))))
    rng = np.random.default_rng(7)
    w = np.concatenate([rng.uniform(0, 1, 200_000), (rng.integers(0, cells, 50_000) + 0.5) / cells])
    cheap = w * np.concatenate([rng.uniform(0, 1, 150_000), np.zeros(50_000), np.ones(50_000)])
    grid = np.arange(cells + 1) / cells
    phi = np.interp(w, grid, values)
    late = w - cheap
    at = np.minimum((late * cells).astype(int), cells - 1)
    part = late - at / cells
    integral = area[at] + part * (values[at] + 0.5 * part * cells * (values[at + 1] - values[at]))
    paid = (L + beta) * cheap + integral + beta * w + (1 - w) * (U + 2 * beta)
    least = L * cheap + (1 - cheap) * (phi - beta)
    worst = float((paid / least).max())
    assert worst <= ratio
    assert worst >= ratio * (1 - 5e-3)


@pytest.mark.parametrize(("epsilon", "expected"), [(1.419, 5.97)])
def test_gamma_value_and_ends(epsilon: float, expected: float) -> None:
    """CLIP's robustness: a printed value, alpha at the one end and U/L at the other."""
    assert ratios.gamma(1, 10, 1, epsilon) == pytest.approx(expected, abs=5e-3)
    alpha = ratios.alpha(1, 10, 1)
    assert ratios.gamma(1, 10, 1, alpha - 1) == pytest.approx(alpha, rel=1e-12)
    assert ratios.gamma(1, 10, 1, 0.0) == 10.0
    assert ratios.gamma(1, 10, 1, 1e-10) == pytest.approx(10.0, rel=1e-9)


@PROPERTY
@given(bounds())
def test_defining_equations(given_bounds: tuple[float, float, float]) -> None:
    """Each ratio solves its own equation, lies in its range, and the order of ratios holds."""
    L, U, beta = given_bounds
    a, plus, w = (f(L, U, beta) for f in (ratios.alpha, ratios.alpha_plus, ratios.omega))
    assert 1 <= a <= U / L * (1 + 1e-12)
    assert a <= plus * (1 + 1e-14) <= a * (1 + 2 * beta / U) * (1 + 1e-12)
    assert math.exp(-1 / a) * (U - L - 2 * beta) == pytest.approx(
        U - U / a - 2 * beta, rel=1e-9, abs=1e-12 * U
    )
    assert math.exp(-1 / plus) * (U - L) == pytest.approx(
        U - (U + 2 * beta) / plus, rel=1e-9, abs=1e-12 * U
    )
    assert 1 <= w <= U / L * (1 + 1e-12)
    rise = ratios.log_rise(L, U, beta)
    assert L + beta + L * math.exp(rise + w) == pytest.approx(U - beta, rel=1e-9)
    assert 1 + 2 * beta / L + math.exp(rise) == pytest.approx(w, rel=1e-12)


@PROPERTY
@given(bounds(), st.floats(0, 1), st.floats(0, 1))
def test_r_star_falls_with_rho(
    given_bounds: tuple[float, float, float], one: float, two: float
) -> None:
    """Knowing the length better never hurts, and r* is the smallest ratio that is enough."""
    L, U, beta = given_bounds
    small, large = sorted((one, two))
    r = ratios.r_star(L, U, beta, small)
    assert r >= ratios.r_star(L, U, beta, large) * (1 - 1e-12)
    assert ratios.alpha(L, U, beta) <= r
    if small > 1e-6:
        curve = roro_curve(L, U, beta, 1.0, r)
        paid = curve.integral(0.0, small) + beta * small
        assert paid <= r * small * L * (1 + 1e-9)
        less = r * (1 - 1e-6)
        if less > ratios.alpha(L, U, beta):
            curve = roro_curve(L, U, beta, 1.0, less)
            assert curve.integral(0.0, small) + beta * small > less * small * L


def test_robust_floor_comes_after_the_shortest_length() -> None:
    """On 20000 random cases: the formula of r* needs no case for the floor of its threshold."""
    rng = np.random.default_rng(5)
    high = 1 + 10 ** rng.uniform(-3, 5, 20_000)
    beta = rng.uniform(0, 0.4999, 20_000) * (high - 1) * (rng.random(20_000) < 0.8)
    rho = np.where(rng.random(20_000) < 0.5, 1 - 10 ** rng.uniform(-5, 0, 20_000), 1.0)
    rho *= rng.choice([1.0, rng.random()], 20_000)
    r = ratios.r_stars(1.0, high, beta, rho)
    reached = r * np.log((high - 1 - 2 * beta) / (high - high / r - 2 * beta))
    assert np.all(reached >= rho * (1 - 1e-7))


@pytest.mark.parametrize(
    ("L", "U", "beta"),
    [
        ("1", "1000000", "0"),
        ("1", "1000000", "0.001"),
        ("1", "1000000", "499999"),
        ("1", "1.000001", "0"),
        ("1", "10", "4.4999999"),
        ("1", "10", "1"),
    ],
)
def test_alpha_to_the_last_digits(L: str, U: str, beta: str) -> None:
    """Against 60-digit bisection: the printed Lambert formula alone loses half the digits here."""
    with localcontext() as context:
        context.prec = 60
        low, high, switch = Decimal(L), Decimal(U), Decimal(beta)
        # The doubles' own values, so that only the formula is judged.
        low, high, switch = (Decimal(float(v)) for v in (low, high, switch))
        left, right = low / high, Decimal(1)
        for _ in range(190):
            a = (left + right) / 2
            if (high - low - 2 * switch) * (-a).exp() < high - high * a - 2 * switch:
                left = a
            else:
                right = a
        exact = float(1 / left)
    assert ratios.alpha(float(L), float(U), float(beta)) == pytest.approx(exact, rel=2e-15)


def test_equal_bounds_need_no_foresight() -> None:
    """With one possible cost every ratio is 1."""
    assert ratios.assumption_holds(5, 5, 0)
    assert ratios.alpha(5, 5, 0) == ratios.alpha_plus(5, 5, 0) == ratios.omega(5, 5, 0) == 1
    assert ratios.r_star(5, 5, 0, 0.3) == ratios.eta(5, 5, 0, 0.3) == r_rate_limited(5, 5, 0) == 1
    assert ratios.gamma(5, 5, 0, 0.0) == 1


def test_near_the_largest_switching_cost() -> None:
    """As beta reaches (U - L)/2 alpha goes to U/L, smoothly."""
    for gap in (1e-3, 1e-6, 1e-9, 1e-12):
        assert ratios.alpha(1, 10, 4.5 - gap) == pytest.approx(10, rel=3 * gap + 1e-12)
        assert ratios.r_star(1, 10, 4.5 - gap, 0.5) == pytest.approx(10, rel=3 * gap + 1e-12)
    assert r_rate_limited(1, 10, 4.5 - 1e-6) < 19


@pytest.mark.parametrize(
    ("L", "U", "beta", "words"),
    [
        (0, 10, 0, "not positive"),
        (5, 4, 0, "below L"),
        (1, 10, -1, "negative"),
        (1, 10, 4.5, "too large for a threshold"),
        (5, 5, 1, "too large for a threshold"),
        (math.nan, 10, 1, "not a finite number"),
        (1, math.inf, 1, "not a finite number"),
    ],
)
def test_bad_bounds_are_refused(L: float, U: float, beta: float, words: str) -> None:
    """Every function refuses what `assumption_holds` denies, and says what is wrong."""
    assert not ratios.assumption_holds(L, U, beta)
    functions = (ratios.alpha, ratios.alpha_plus, ratios.omega, ratios.log_rise, r_rate_limited)
    for function in functions:
        with pytest.raises(InputError, match=words):
            function(L, U, beta)
    with pytest.raises(InputError, match=words):
        ratios.r_star(L, U, beta, 0.5)


def test_all_flaws_at_once_and_by_job() -> None:
    """Several bad values give several flaws; in arrays the job is named."""
    with pytest.raises(InputError) as caught:
        ratios.check_bounds([1, 5, 1], [10, 4, 10], [1, -1, 5])
    assert [flaw.field for flaw in caught.value.flaws] == ["U[1]", "beta[1]", "beta[2]"]


@pytest.mark.parametrize("rho", [-0.1, 1.1, math.nan])
def test_bad_fractions_are_refused(rho: float) -> None:
    """A length fraction outside its range gives no number."""
    with pytest.raises(InputError, match="out of range"):
        ratios.r_star(1, 10, 1, rho)
    with pytest.raises(InputError, match="out of range"):
        ratios.gamma(1, 10, 1, 5.0 if rho > 1 else rho)
    if not rho > 1:
        with pytest.raises(InputError, match="out of range"):
            ratios.eta(1, 10, 1, rho)
