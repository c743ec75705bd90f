"""The oracles of one job with one rate: taut string, secant search, brute force, linear program."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError
from optmodels.scaling.job.exact import (
    JobLengthCurve,
    lagrangian_bound,
    schedule_cost,
    secant_oracle,
    taut_string,
)
from optmodels.scaling.job.exact.secant import two_state
from tests.scaling.job import cases
from tests.scaling.job.mixing_lp import ON_OFF, mixing_lp

property_test = settings(deadline=None, derandomize=True, max_examples=150)

EIGHT = (300.0, 200.0, 100.0, 150.0, 400.0, 120.0, 90.0, 350.0)


def brute_force(costs, switching, work):
    """Least cost of any mixture of on/off schedules, by listing all of them."""
    slots = len(costs)
    every = np.array(list(itertools.product([0.0, 1.0], repeat=slots)))
    price = schedule_cost(costs, every, switching)
    ones = every.sum(axis=1).astype(int)
    best = np.full(slots + 1, np.inf)
    np.minimum.at(best, ones, price)
    low, high = np.arange(int(np.floor(work)) + 1), np.arange(int(np.ceil(work)), slots + 1)
    gap = (high[None, :] - low[:, None]).astype(float)
    part = np.divide(work - low[:, None], gap, out=np.zeros_like(gap), where=gap > 0)
    return float(((1 - part) * best[low][:, None] + part * best[high][None, :]).min())


class TestScheduleCost:
    """The accounting: running and both end ramps."""

    def test_single_slot_pays_both_ramps(self):
        """A job of one slot is switched on and off: a cost that charges one ramp gives 15."""
        assert schedule_cost([10.0], [1.0], 5.0) == 20.0

    def test_by_hand(self):
        """Ramps 0 → .5 → 1 → 0 → .25 → 0: 2.5 in all, both ends included."""
        x = [0.5, 1.0, 0.0, 0.25]
        assert schedule_cost([4.0, 8.0, 100.0, 12.0], x, 2.0) == 2 + 8 + 3 + 2 * 2.5

    def test_batch_is_the_schedules_one_by_one(self):
        """A batch gives one cost per row; summing over the wrong axis would not."""
        rng = np.random.default_rng(1)
        x = rng.random((7, 5))
        costs = rng.random(5)
        one_by_one = [schedule_cost(costs, row, 3.0) for row in x]
        assert schedule_cost(costs, x, 3.0) == pytest.approx(one_by_one, rel=1e-14)
        assert isinstance(one_by_one[0], float)

    def test_shape_mismatch_is_an_input_error(self):
        """Five costs and four rates are a mistake, not something to broadcast."""
        with pytest.raises(InputError, match="schedule"):
            schedule_cost(np.ones(5), np.ones(4), 1.0)


class TestAgreement:
    """Independent methods, one optimum."""

    def test_brute_force_thousands(self):
        """Curve, schedule, secant cost and bound all equal the list of all schedules."""
        for costs, switching, rng in cases.random_cases(2, 2000, longest=7):
            slots = len(costs)
            work = float(rng.integers(slots + 1)) if rng.random() < 0.6 else rng.random() * slots
            best = brute_force(costs, switching, work)
            tolerance = 1e-10 * (1 + best)
            curve = JobLengthCurve.from_costs(costs, switching)
            schedule = curve.schedule(work)
            assert abs(curve.cost(work) - best) <= tolerance
            assert abs(schedule.sum() - work) <= 1e-12 * slots
            assert schedule.min() >= 0.0
            assert schedule.max() <= 1.0
            assert abs(schedule_cost(costs, schedule, switching) - best) <= tolerance
            x, cost, bound, _ = secant_oracle(costs, switching, work)
            assert abs(x.sum() - work) <= 1e-12 * slots
            assert abs(cost - best) <= tolerance
            assert abs(bound - best) <= tolerance

    def test_linear_program_with_rate_caps(self):
        """With any cap the optimum is that of the linear program: OPT_d(J) = d OPT_1(J/d)."""
        for costs, switching, rng in cases.random_cases(3, 240, longest=60):
            cap = float(rng.choice([1.0, 0.3, 2.5]))
            work = rng.random() * cap * len(costs)
            best = mixing_lp(costs, *ON_OFF, switching=switching, work=work / cap) * cap
            curve = JobLengthCurve.from_costs(costs, switching, cap)
            x, cost, bound, _ = secant_oracle(costs, switching, work, cap)
            schedule = curve.schedule(work)
            assert curve.cost(work) == pytest.approx(best, rel=1e-9)
            assert cost == pytest.approx(best, rel=1e-9)
            assert bound == pytest.approx(best, rel=1e-9)
            assert schedule_cost(costs, schedule, switching) == pytest.approx(best, rel=1e-9)
            for rates in (x, schedule):
                assert rates.max() <= cap
                assert rates.sum() == pytest.approx(work, rel=1e-12)

    @property_test
    @given(cases.costs, cases.switchings, cases.shares, st.floats(-50.0, 600.0))
    def test_any_price_bounds_and_the_multiplier_is_tight(self, costs, switching, share, price):
        """A dual value never exceeds the optimum, and meets it at the multiplier of the curve."""
        curve = JobLengthCurve.from_costs(costs, switching, cap=1.5)
        work = share * curve.longest
        best = curve.cost(work)
        slack = 1e-10 * (1 + best + abs(price) * work)
        assert lagrangian_bound(costs, switching, work, price, 1.5) <= best + slack
        tight = lagrangian_bound(costs, switching, work, curve.multiplier(work), 1.5)
        assert tight == pytest.approx(best, rel=1e-10, abs=1e-9)

    def test_long_series(self):
        """Curve and secant agree on a noisy year of hours, where rounding has room to grow."""
        costs = cases.random_costs(np.random.default_rng(4), "sinusoid", 8760)
        for switching in (2.0, 20.0, 1000.0):
            curve = JobLengthCurve.from_costs(costs, switching)
            for work in (1.0, 1234.5, 8000.0):
                answer = secant_oracle(costs, switching, work)
                assert curve.cost(work) == pytest.approx(answer.cost, rel=1e-12)
                assert answer.bound == pytest.approx(answer.cost, rel=1e-12)

    @property_test
    @given(cases.costs, cases.switchings)
    def test_level_sets_minimise_the_priced_problem(self, costs, switching):
        """For every price the slots below it are the optimum of the two-state programme."""
        c = np.array(costs)
        slopes = taut_string(costs, switching)
        for price in [*np.unique(slopes), slopes.max() + 1.0, slopes.mean()]:
            on, least = two_state(c - price, switching)
            scale = 1e-11 * (abs(price) + c.max() + switching) * len(c)
            for x in ((slopes < price).astype(float), on.astype(float)):
                value = schedule_cost(costs, x, switching) - price * x.sum()
                assert abs(value - least) <= scale


class TestJobLengthCurve:
    """The optimum of every job length, and its schedules."""

    @property_test
    @given(cases.costs, cases.switchings, cases.shares, st.floats(0.1, 3.0))
    def test_schedule_costs_what_the_curve_says(self, costs, switching, share, cap):
        """The schedule does the work within the cap at exactly the curve's cost, ties and all."""
        curve = JobLengthCurve.from_costs(costs, switching, cap)
        work = share * curve.longest
        x = curve.schedule(work)
        assert x.sum() == pytest.approx(work, rel=1e-12, abs=1e-12)
        assert x.min() >= 0.0
        assert x.max() <= cap
        assert schedule_cost(costs, x, switching) == pytest.approx(
            curve.cost(work), rel=1e-10, abs=1e-9
        )

    def test_ties_share_equally(self):
        """All of a constant series is one tie: a level rate on all slots pays least for ramps."""
        curve = JobLengthCurve.from_costs(np.full(10, 5.0), 20.0)
        assert curve.schedule(3.0).tolist() == [0.3] * 10
        assert curve.cost(3.0) == pytest.approx(15.0 + 40.0 * 0.3, rel=1e-14)

    def test_rounded_ties_never_cost_a_ramp(self):
        """Level sets cost what their slopes say where strings are equal but for the last digit.

        A knot that rounding leaves on a straight string starts a level set at the wrong wall, and
        its cost misses 2β.
        """
        rng = np.random.default_rng(7)
        for _ in range(800):
            costs = rng.integers(1, 4, int(rng.integers(2, 30))) * 0.7
            switching = float(rng.integers(1, 6)) * 0.7 / 3
            curve = JobLengthCurve.from_costs(costs, switching)
            for price in np.unique(curve.slopes):
                for on in (curve.slopes < price, curve.slopes <= price):
                    cost = schedule_cost(costs, on.astype(float), switching)
                    assert cost == pytest.approx(curve.slopes[on].sum(), rel=1e-12, abs=1e-14)
            work = rng.random() * len(costs)
            cost = schedule_cost(costs, curve.schedule(work), switching)
            assert cost == pytest.approx(curve.cost(work), rel=1e-12, abs=1e-14)

    @property_test
    @given(cases.costs, cases.switchings, cases.shares)
    def test_multiplier_supports_the_curve(self, costs, switching, share):
        """OPT lies above its tangent at every length: the multiplier is a subgradient."""
        curve = JobLengthCurve.from_costs(costs, switching, cap=2.0)
        work = share * curve.longest
        lengths = np.linspace(0.0, curve.longest, 17)
        tangent = curve.cost(work) + curve.multiplier(work) * (lengths - work)
        assert np.all(curve.cost(lengths) >= tangent - 1e-9 * (1 + np.abs(tangent)))

    def test_multiplier_at_a_kink_is_the_next_price(self):
        """After one slot of work the next one costs 30; at the end, the last one cost 90."""
        curve = JobLengthCurve.from_costs([10.0, 100.0, 20.0], 5.0)
        assert [curve.multiplier(j) for j in (0, 1, 2, 3)] == [20.0, 30.0, 90.0, 90.0]

    def test_shapes(self):
        """Scalars give floats, arrays keep their shape."""
        curve = JobLengthCurve.from_costs(EIGHT, 20.0)
        assert isinstance(curve.cost(1), float)
        assert curve.cost(np.ones((2, 3))).shape == (2, 3)

    def test_longest_job_in_odd_caps(self):
        """T · d may be off by a digit, and still is the longest job, not an infeasible one."""
        for cap in (0.1, 0.7, 1 / 3):
            curve = JobLengthCurve.from_costs(EIGHT, 20.0, cap)
            for work in (8 * cap, sum([cap] * 8)):
                assert curve.cost(work) == pytest.approx(cap * 1750.0, rel=1e-12)
                assert curve.schedule(work).tolist() == pytest.approx([cap] * 8, rel=1e-12)
                assert secant_oracle(EIGHT, 20.0, work, cap).cost == pytest.approx(cap * 1750.0)

    def test_work_below_zero_by_rounding_is_none(self):
        """What is left of a job may come out at −1e-13: nothing runs, and no rate is negative."""
        curve = JobLengthCurve.from_costs(EIGHT, 20.0)
        assert curve.cost(-1e-13) == 0.0
        assert not curve.schedule(-1e-13).any()

    def test_is_frozen(self):
        """A curve can be shared: neither its fields nor its arrays can be changed."""
        curve = JobLengthCurve.from_costs(EIGHT, 20.0)
        with pytest.raises(AttributeError):
            curve.cap = 2.0
        with pytest.raises(ValueError, match="read-only"):
            curve.slopes[0] = 0.0

    def test_negative_costs(self):
        """Negative costs (profits) are exact, too: work is an equality, not at least."""
        for costs, switching, rng in cases.random_cases(8, 60, longest=25):
            profits = 150.0 - costs
            work = rng.random() * len(costs)
            best = mixing_lp(profits, *ON_OFF, switching=switching, work=work)
            curve = JobLengthCurve.from_costs(profits, switching)
            answer = secant_oracle(profits, switching, work)
            for cost in (curve.cost(work), answer.cost, answer.bound):
                assert cost == pytest.approx(best, rel=1e-9, abs=1e-7)


class TestInvariants:
    """What holds for every instance."""

    @property_test
    @given(cases.costs, cases.switchings, st.randoms(use_true_random=False))
    def test_no_schedule_is_cheaper(self, costs, switching, random):
        """OPT(J) and the bound never exceed the cost of any rates that do the same work."""
        curve = JobLengthCurve.from_costs(costs, switching)
        for _ in range(5):
            x = [random.choice([0.0, random.random(), 1.0]) for _ in costs]
            cost = schedule_cost(costs, x, switching)
            slack = 1e-11 * (1 + cost)
            assert curve.cost(sum(x)) <= cost + slack
            assert secant_oracle(costs, switching, sum(x)).bound <= cost + slack

    @property_test
    @given(cases.costs, cases.switchings, cases.shares, cases.shares)
    def test_convex_and_increasing_in_the_length(self, costs, switching, a, b):
        """The secant optimum of a middle length is at most the mean; more work costs more."""
        first, last = sorted((a * len(costs), b * len(costs)))
        low, mid, high = (
            secant_oracle(costs, switching, j).cost for j in (first, (first + last) / 2, last)
        )
        assert mid <= (low + high) / 2 + 1e-10 * (1 + high)
        assert low <= mid + 1e-10 * (1 + high)

    @property_test
    @given(cases.costs, cases.switchings, cases.switchings, cases.shares)
    def test_switching_cost_never_helps(self, costs, a, b, share):
        """OPT does not fall when β rises."""
        less, more = sorted((a, b))
        work = share * len(costs)
        cheap = JobLengthCurve.from_costs(costs, less).cost(work)
        assert cheap <= JobLengthCurve.from_costs(costs, more).cost(work) * (1 + 1e-12) + 1e-12

    @property_test
    @given(cases.costs, cases.switchings)
    def test_no_work_costs_nothing(self, costs, switching):
        """OPT(0) = 0, and nothing runs."""
        assert JobLengthCurve.from_costs(costs, switching).cost(0.0) == 0.0
        x, cost, bound, _ = secant_oracle(costs, switching, 0.0)
        assert not x.any()
        assert cost == 0.0
        assert abs(bound) <= 1e-10 * sum(costs)

    @property_test
    @given(cases.costs, cases.shares)
    def test_free_switching_takes_the_cheapest_slots(self, costs, share):
        """β = 0: the ⌊J⌋ cheapest slots and a part of the next."""
        work = share * len(costs)
        whole = int(work)
        ordered = [*sorted(costs), 0.0]
        best = sum(ordered[:whole]) + (work - whole) * ordered[whole]
        assert JobLengthCurve.from_costs(costs, 0.0).cost(work) == pytest.approx(best, rel=1e-12)
        assert secant_oracle(costs, 0.0, work).cost == pytest.approx(best, rel=1e-12, abs=1e-12)

    @property_test
    @given(cases.costs, cases.shares)
    def test_costly_switching_runs_level(self, costs, share):
        """β → ∞: one level rate J/T, at J mean(c) + 2 β J / T."""
        slots, beta = len(costs), 1e6
        work = share * slots
        level = work * np.mean(costs) + 2 * beta * work / slots
        curve = JobLengthCurve.from_costs(costs, beta)
        assert curve.cost(work) == pytest.approx(level, rel=1e-12)
        assert curve.schedule(work) == pytest.approx(np.full(slots, work / slots), rel=1e-9)
        assert secant_oracle(costs, beta, work).cost == pytest.approx(level, rel=1e-12)


class TestRefusals:
    """Bad input gives words, never numbers or a foreign traceback."""

    @pytest.mark.parametrize("work", [-0.5, 8.001, 1e9])
    def test_work_that_does_not_fit(self, work):
        """The message names the work, the slots and the cap."""
        curve = JobLengthCurve.from_costs(EIGHT, 20.0)
        for call in (
            curve.cost,
            curve.schedule,
            curve.multiplier,
            lambda j: secant_oracle(EIGHT, 20.0, j),
            lambda j: curve.cost([1.0, j]),
        ):
            with pytest.raises(InfeasibleError, match=r"Work of"):
                call(work)

    def test_reason_names_slots_and_cap(self):
        """What limits the work is said in the words of the problem."""
        with pytest.raises(InfeasibleError, match=r"8 slots at a rate of at most 0\.5 hold 4"):
            secant_oracle(EIGHT, 20.0, 5.0, cap=0.5)

    def test_all_flaws_at_once(self):
        """Every bad cost and parameter is in one report, with its place."""
        with pytest.raises(InputError) as caught:
            secant_oracle([1.0, np.nan, np.inf], -1.0, np.nan, cap=0.0)
        places = [flaw.field for flaw in caught.value.flaws]
        assert places == ["costs[1]", "costs[2]", "switching", "work", "cap"]

    @pytest.mark.parametrize(
        "costs", [[], [[1.0, 2.0]], ["1", "2"], [1.0, None], [[1.0], [1.0, 2.0]], 5.0, [1j]]
    )
    def test_costs_that_are_no_series(self, costs):
        """Empty, two-dimensional, text, missing, ragged, scalar and complex costs are refused."""
        with pytest.raises(InputError, match="costs"):
            taut_string(costs, 1.0)

    def test_absurd_sizes(self):
        """Values whose sums could overflow are refused, not turned into infinities."""
        with pytest.raises(InputError) as caught:
            taut_string([1.0, 1e300, -1e300], 1e300)
        places = [flaw.field for flaw in caught.value.flaws]
        assert places == ["costs[1]", "costs[2]", "switching"]

    @pytest.mark.parametrize("number", [None, "3", [1.0], True, np.nan])
    def test_numbers_that_are_none(self, number):
        """A switching cost must be one real number; text is not converted."""
        with pytest.raises(InputError, match="switching"):
            taut_string([1.0, 2.0], number)

    @pytest.mark.parametrize("work", [np.nan, "1", None, [1.0, np.inf]])
    def test_lengths_that_are_none(self, work):
        """A job length that is not a number is bad input, not infeasible."""
        with pytest.raises(InputError, match="work"):
            JobLengthCurve.from_costs(EIGHT, 20.0).cost(work)
