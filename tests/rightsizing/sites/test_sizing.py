"""Sizes from a series alone, against definitions, hand-computed numbers and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.rightsizing.sites.sizing import (
    break_even_size,
    newsvendor_size,
    percentile_size,
    utilisation,
)
from tests.rightsizing.sites.instances import PRICES, fleet

SERIES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=40)
THRESHOLD = st.floats(0.02, 1.2)
STEADY = settings(deadline=None, derandomize=True, max_examples=150)


def gain(fed: np.ndarray, size: float, threshold: float) -> float:
    """Gain per slot in units of v: E[min(X, n)] - (K / v) n."""
    return float(np.minimum(fed, size).mean() - threshold * size)


@pytest.mark.parametrize(
    ("prices", "cost", "threshold"),
    [
        ({}, 0.785, 0.917),
        (
            {"gpu_life_years": 4.0, "grid_usd_per_kwh": 0.12, "wind_usd_per_kwh": 0.02},
            0.956,
            0.880,
        ),
    ],
)
def test_worked_thresholds(prices: dict[str, float], cost: float, threshold: float) -> None:
    """30,000 USD over 5 years and 0.10 USD/h: K = 0.785, U* = 0.917, q = 0.083; and 0.880, 0.12."""
    inst = fleet([[1.0]], **{**PRICES, **prices})
    assert inst.installed_usd == pytest.approx(cost, abs=5e-4)
    assert inst.break_even == pytest.approx(threshold, abs=5e-4)
    # The newsvendor's quantile is what is left of the threshold.
    fed = np.arange(1.0, 1001.0)
    below = (fed < newsvendor_size(fed, inst.break_even)).mean()
    assert below == pytest.approx(1 - threshold, abs=1.5e-3)


def test_sizes_by_hand() -> None:
    """Power 1, 2, 3, 4: U(2) = 7/8, U(3) = 9/12; a threshold of 3/4 breaks even at exactly 3.

    The newsvendor stops at the first value from which at most 3/4 of the slots have more: 1, where
    the gain is 1 - 3/4. With a threshold of 0.6 the break-even size lies between 4 and more: U(4) =
    10/16 is enough and 10/n = 0.6 * 4 gives n = 25/6.
    """
    fed = np.array([3.0, 1.0, 4.0, 2.0])
    assert break_even_size(fed, 0.75) == pytest.approx(3)
    assert newsvendor_size(fed, 0.75) == 1
    assert break_even_size(fed, 0.6) == pytest.approx(25 / 6)
    assert newsvendor_size(fed, 0.6) == 2
    # Between values: n U(n) = (1 + 2 + n + n) / 4 for n in [2, 3]; U = 0.8 at 3 / 1.2 = 2.5.
    assert break_even_size(fed, 0.8) == pytest.approx(2.5)
    assert [percentile_size(fed, q) for q in (0.0, 0.25, 0.5, 1.0)] == [1, 2, 3, 4]


def test_extremes() -> None:
    """A threshold of 1 keeps what is always there, more keeps nothing; calm sites hold nothing."""
    fed = np.array([2.0, 5.0])
    assert break_even_size(fed, 1.0) == 2
    assert break_even_size(fed, 1.01) == 0
    assert newsvendor_size(fed, 1.0) == 0
    # A wind that costs as much as the grid: no utilisation is enough.
    assert newsvendor_size(fed, np.inf) == break_even_size(fed, np.inf) == 0
    assert newsvendor_size(fed, 0.5) == 2
    assert newsvendor_size(fed, 0.499) == 5
    assert break_even_size(np.zeros(3), 0.5) == newsvendor_size(np.zeros(3), 0.5) == 0
    assert break_even_size(fed, 0.0) == np.inf
    assert utilisation(np.array([0.0, 3.0]), 0.0) == 0.5


@STEADY
@given(SERIES, THRESHOLD)
def test_newsvendor_gains_most(values: list[float], threshold: float) -> None:
    """No size gains more than the newsvendor's: a concave gain is best at a value of the series."""
    fed = np.array(values)
    best = gain(fed, newsvendor_size(fed, threshold), threshold)
    assert all(best >= gain(fed, n, threshold) - 1e-12 for n in [0.0, *values])


@STEADY
@given(SERIES, THRESHOLD)
def test_newsvendor_is_never_above_break_even(values: list[float], threshold: float) -> None:
    """The marginal GPU breaks even before the average one does."""
    fed = np.array(values)
    assert newsvendor_size(fed, threshold) <= break_even_size(fed, threshold) * (1 + 1e-12)


@STEADY
@given(SERIES, THRESHOLD)
def test_break_even_is_the_largest(values: list[float], threshold: float) -> None:
    """The size has its utilisation, and any larger one has not."""
    fed = np.array(values)
    size = break_even_size(fed, threshold)
    if size > 0:
        assert utilisation(fed, size) >= threshold - 1e-9
    assert utilisation(fed, size * (1 + 1e-6) + 1e-6) < threshold + 1e-9


@STEADY
@given(SERIES)
def test_utilisation_falls_and_useful_hours_are_concave(values: list[float]) -> None:
    """U never rises with the size; n U(n) never falls and its increments never rise."""
    fed = np.array(values)
    sizes = np.linspace(0.25, 14, 56)
    used = np.array([utilisation(fed, n) for n in sizes])
    useful = used * sizes
    assert (np.diff(used) <= 1e-12).all()
    assert (np.diff(useful) >= -1e-12).all()
    assert (np.diff(useful, n=2) <= 1e-12).all()


@STEADY
@given(SERIES, st.floats(0, 0.99))
def test_percentile_keeps_its_promise(values: list[float], share: float) -> None:
    """The power falls short of the size in no more than its share of the slots."""
    fed = np.array(values)
    size = percentile_size(fed, share)
    assert (fed < size).mean() <= share + 1e-9
    if size > 0:
        assert utilisation(fed, size) >= 1 - share - 1e-9


@STEADY
@given(SERIES, THRESHOLD, THRESHOLD)
def test_dearer_hardware_means_smaller_sites(values: list[float], one: float, other: float) -> None:
    """Every rule with a threshold shrinks as the threshold rises; a percentile grows with q."""
    fed = np.array(values)
    low, high = sorted((one, other))
    assert newsvendor_size(fed, high) <= newsvendor_size(fed, low)
    assert break_even_size(fed, high) <= break_even_size(fed, low) * (1 + 1e-12)
    assert percentile_size(fed, min(low, 1.0)) <= percentile_size(fed, min(high, 1.0))


@STEADY
@given(SERIES, THRESHOLD, st.floats(0.1, 10))
def test_sizes_scale_with_power(values: list[float], threshold: float, factor: float) -> None:
    """Twice the wind, twice the site."""
    fed = np.array(values)
    for size in (newsvendor_size, break_even_size):
        assert size(fed * factor, threshold) == pytest.approx(factor * size(fed, threshold))
