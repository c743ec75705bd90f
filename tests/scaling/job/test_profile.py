"""Scaling profiles and their concave hull."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from optmodels.errors import InputError
from optmodels.scaling.job.profile import concave_hull
from tests.scaling.job.profiles import NBODY_100K, VGG16


def test_falling_marginals_keep_every_level():
    """A profile that is concave already loses nothing."""
    assert concave_hull(*NBODY_100K).tolist() == list(range(8))


def test_measured_profile_with_rising_marginals():
    """Off, 1, 7 and 8: a hull over servers instead of power would drop level 7."""
    assert concave_hull(*VGG16).tolist() == [0, 1, 7, 8]


def test_collinear_levels_stay():
    """Perfect scaling keeps its single servers, also when thirds do not add up exactly."""
    n = np.arange(7.0)
    assert concave_hull(n, n / 3, n * 0.1).tolist() == list(range(7))


def test_order_of_the_input_does_not_matter():
    """Indices refer to the caller's order and come by rising power."""
    assert concave_hull([2, 0, 1], [1.5, 0, 1], [2, 0, 1]).tolist() == [1, 2, 0]


def test_more_power_for_less_work_is_never_on_the_hull():
    """Thrashing levels beyond the best one are dropped."""
    assert concave_hull([0, 1, 2, 3], [0, 1, 1.8, 1.7], [0, 1, 2, 3]).tolist() == [0, 1, 2]


def test_equal_points_give_the_fewest_servers():
    """The same power and work on one server instead of two saves a ramp."""
    assert concave_hull([0, 2, 1], [0, 1, 1], [0, 1, 1]).tolist() == [0, 2]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=8),
    st.floats(0.0, 1.0),
)
def test_hull_beats_every_mixture(points, share):
    """Interpolating the hull gives the most work of any mixture at that power (linear program)."""
    power = np.array([0, *(p for p, _ in points)], dtype=float)
    work = np.array([0, *(w for _, w in points)], dtype=float)
    hull = concave_hull(np.arange(len(power)), work, power)
    assert np.all(np.diff(power[hull]) > 0)
    assert np.all(np.diff(work[hull]) > 0)
    draw = share * power.max()
    most = linprog(-work, A_ub=[power, np.ones_like(power)], b_ub=[draw, 1.0]).fun
    assert np.interp(draw, power[hull], work[hull]) == pytest.approx(-most, abs=1e-9)


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        (([1, 2], [1, 2], [1, 2]), "off"),
        (([0, 1], [0, 1], [0, 1, 2]), "one length"),
        (([0, -1], [0, 1], [0, 1]), "servers"),
        (([0, 1], [0, np.nan], [0, 1]), "throughput"),
        (([0, 0], [0, 1], [0, 1]), "without servers"),
        (([0, 1], [0, 1], [0, 0]), "without power"),
    ],
)
def test_refusals(levels, word):
    """Profiles that cannot be, each with its reason."""
    with pytest.raises(InputError, match=word):
        concave_hull(*levels)
