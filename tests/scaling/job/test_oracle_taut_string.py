"""The taut string: worked examples, accuracy against exact arithmetic, speed, symmetries."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from optmodels.scaling.job.exact import JobLengthCurve, taut_string
from tests.scaling.job import cases

property_test = settings(deadline=None, derandomize=True, max_examples=150)

EIGHT = (300.0, 200.0, 100.0, 150.0, 400.0, 120.0, 90.0, 350.0)


def exact_taut_string(costs, switching):
    """Taut string in rational numbers, by looking from each knot as far as one can see."""
    c = [Fraction(x) for x in costs]
    beta, slots = Fraction(switching), len(c)
    r = [Fraction(0), *itertools.accumulate(c)]
    slopes, at, z = [], 0, -beta
    while at < slots:
        low, high = None, None
        for t in range(at + 1, slots + 1):
            up = (r[t] + beta - z) / (t - at)
            down = up if t == slots else (r[t] - beta - z) / (t - at)
            if low is not None and up < low[0]:
                slope, knot = low
                break
            if high is not None and down > high[0]:
                slope, knot = high
                break
            if low is None or down >= low[0]:
                low = (down, t)
            if high is None or up <= high[0]:
                high = (up, t)
        else:
            slope, knot = up, slots
        slopes += [slope] * (knot - at)
        z += slope * (knot - at)
        at = knot
    return slopes


class TestFixtures:
    """Worked examples of the taut string; a string without the ±β end points fails all of them."""

    def test_no_switching_cost_leaves_the_costs(self):
        """β = 0 makes the tube a line, so the slopes are the costs themselves."""
        assert taut_string([10.0, 100.0, 20.0], 0.0).tolist() == [10.0, 100.0, 20.0]

    def test_three_slots(self):
        """Both cheap slots carry their ramps; filling the gap saves two of them."""
        assert taut_string([10.0, 100.0, 20.0], 5.0).tolist() == [20.0, 90.0, 30.0]
        curve = JobLengthCurve.from_costs([10.0, 100.0, 20.0], 5.0)
        assert curve.cost([1.0, 2.0, 3.0]).tolist() == [20.0, 50.0, 140.0]

    def test_large_switching_cost_levels_all(self):
        """One straight string: (130 + 2 · 50) / 3 per slot."""
        assert taut_string([10.0, 100.0, 20.0], 50.0) == pytest.approx([230 / 3] * 3, rel=1e-15)

    def test_eight_slots(self):
        """Knots on both walls, and a run of two slots that shares its ramps."""
        slopes = taut_string(EIGHT, 20.0)
        assert slopes.tolist() == [300, 200, 140, 150, 360, 125, 125, 350]
        optima = JobLengthCurve(slopes).cost(np.arange(9))
        assert optima.tolist() == [0, 125, 250, 390, 540, 740, 1040, 1390, 1750]

    def test_single_slot(self):
        """The only slot carries both ramps."""
        assert taut_string([7.0], 5.0).tolist() == [17.0]


class TestTautString:
    """Accuracy, speed and symmetries of the string."""

    def test_equals_rational_arithmetic(self):
        """Slopes are right to 1e-12 of the scale, also on a high plateau and with odd β."""
        for costs, switching, rng in cases.random_cases(5, 300, longest=60):
            shift = float(rng.choice([0.0, 0.0, 1e6, -1e3]))
            beta = switching * float(rng.choice([1.0, 1 / 3, 30.0]))
            shifted = costs + shift
            exact = np.array([float(y) for y in exact_taut_string(shifted, beta)])
            error = np.abs(taut_string(shifted, beta) - exact).max()
            assert error <= 1e-12 * max(np.abs(shifted).max(), np.abs(exact).max())

    def test_no_drift_over_a_long_horizon(self):
        """Over 12 000 slots the string stays in its tube, and its slopes are right to the digit.

        Judged in exact arithmetic. Prefix sums in single precision leave the tube by 20; slopes
        taken as differences of prefix sums lose four digits.
        """
        costs = 1e6 + 1e5 * np.sin(np.arange(12_000) / 3000)
        beta = 70
        slopes = taut_string(costs, beta)
        exact = [Fraction(cost) for cost in costs.tolist()]
        r = [Fraction(0), *itertools.accumulate(exact)]
        z = itertools.accumulate(Fraction(slope) for slope in slopes.tolist())
        off = [float(at - beta - of) for at, of in zip(z, r[1:], strict=True)]
        assert max(np.abs(off)) <= beta + 1e-7
        assert off[-1] == pytest.approx(beta, abs=1e-7)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(slopes)) + 1, [len(costs)]])
        assert len(starts) > 1000
        for a, b in itertools.pairwise(starts.tolist()):
            total = r[b] - r[a]
            nearest = min(abs(slopes[a] - float((total + k * beta) / (b - a))) for k in (-2, 0, 2))
            assert nearest <= 5e-16 * slopes[a]

    @pytest.mark.parametrize(
        "costs",
        [
            np.arange(1e5),
            -np.arange(1e5),
            np.tile([1.0, 100.0], 50_000),
            np.ones(100_000),
            np.abs(np.arange(1e5) - 4e4) ** 1.5,
            np.sqrt(np.arange(1e5)) * np.tile([1.0, -1.0], 50_000),
        ],
        ids=["rising", "falling", "zigzag", "constant", "valley", "widening"],
    )
    @pytest.mark.parametrize("switching", [0.5, 1e4, 1e12])
    def test_linear_time_on_adversarial_costs(self, costs, switching):
        """100 000 slots take well under 3 s; quadratic work would take hours."""
        start = time.perf_counter()
        slopes = taut_string(costs, switching)
        assert time.perf_counter() - start < 3.0
        total = costs.sum() + 2 * switching
        assert slopes.sum() == pytest.approx(total, rel=1e-11, abs=1e-6)

    @property_test
    @given(cases.costs, cases.switchings)
    def test_symmetries(self, costs, switching):
        """Σy = Σc + 2β; reversing time reverses, adding a constant adds, scaling scales."""
        c = np.array(costs)
        slopes = taut_string(c, switching)
        scale = 1e-11 * (c.max() + 2 * switching)
        assert abs(slopes.sum() - c.sum() - 2 * switching) <= scale * len(c)
        assert np.abs(taut_string(c[::-1], switching)[::-1] - slopes).max() <= scale
        assert np.abs(taut_string(c + 100.0, switching) - 100.0 - slopes).max() <= scale + 1e-10
        assert np.abs(taut_string(3 * c, 3 * switching) / 3 - slopes).max() <= scale

    def test_leaves_the_costs_alone(self):
        """The answer never shares memory with the caller's array."""
        costs = np.array([3.0, 1.0, 2.0])
        for switching in (0.0, 1.0):
            slopes = taut_string(costs, switching)
            slopes[:] = 0.0
            assert costs.tolist() == [3.0, 1.0, 2.0]
