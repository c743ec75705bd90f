"""The algorithms as they run: fixtures, feasibility, causality, special cases that must agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InfeasibleError, InputError, UsageError
from optmodels.scaling.job.conversion import ratios
from optmodels.scaling.job.conversion.algorithms import (
    AdvisedRoro,
    Clip,
    DoublingRoro,
    Lacs,
    OneWayTrading,
    RateLimitedRoro,
    RobustRoro,
    Roro,
    RoroPlus,
    SellingRoro,
    SimpleThreshold,
)
from optmodels.scaling.job.conversion.core import Algorithm, CostBounds, run
from optmodels.scaling.job.conversion.ratios import FloatArray
from optmodels.scaling.job.exact.taut_string import JobLengthCurve

from .conversion_cases import random_bounds, schedule_cost

FIXTURE = np.array([300.0, 200, 100, 150, 400, 120, 90, 350])
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)

KNOWN: dict[str, Callable[[CostBounds, FloatArray], Algorithm]] = {
    "roro": lambda b, a: Roro(b),
    "plus": lambda b, a: RoroPlus(b),
    "rate limited": lambda b, a: RateLimitedRoro(b),
    "one way": lambda b, a: OneWayTrading(b),
    "simple": lambda b, a: SimpleThreshold(b),
    "selling": lambda b, a: SellingRoro(b),
    "advised": lambda b, a: AdvisedRoro(b, a.tolist(), 0.4),
    "clip": lambda b, a: Clip(b, a.tolist(), 0.3 * (ratios.alpha(b.L, b.U, b.beta) - 1)),
}
HIDDEN: dict[str, Callable[[CostBounds, float], Algorithm]] = {
    "predicted": Roro,
    "longest": lambda b, p: Roro(b),
    "robust": lambda b, p: RobustRoro(b),
    "lacs": lambda b, p: Lacs(b, p, 0.6),
    "doubling": lambda b, p: DoublingRoro(b),
    "simple": lambda b, p: SimpleThreshold(b),
}


def feasible_advice(rng: np.random.Generator, slots: int, work: float, cap: float) -> FloatArray:
    """Random schedule of the job: the optimum for random costs."""
    curve = JobLengthCurve.from_costs(rng.uniform(1, 9, slots), 1.0, cap)
    return np.asarray(curve.schedule(work))


def random_job(rng: np.random.Generator) -> tuple[CostBounds, FloatArray, float, float]:
    """Bounds, costs (some outside the bounds), work and cap of a job that fits."""
    bounds = random_bounds(rng)
    slots = int(rng.integers(1, 30))
    costs = rng.uniform(0.8 * bounds.L, 1.1 * bounds.U, slots)
    cap = float(rng.uniform(0.2, 3))
    work = slots * cap * float(rng.choice([rng.uniform(0.01, 1), 1.0, 0.5]))
    return bounds, costs, work, cap


def test_roro_fixture() -> None:
    """The job of one and of three slots; the cost of the second to six decimals."""
    bounds = CostBounds(50, 400, 20)
    one = run(Roro(bounds), FIXTURE, 1.0, 1.0)
    assert one.schedule == pytest.approx([0, 0, 0.509338, 0, 0, 0, 0.10528, 0.385382], abs=6e-7)
    assert one.forced == pytest.approx(0.385382, abs=6e-7)
    three = run(Roro(bounds), FIXTURE, 3.0, 1.0)
    assert three.schedule == pytest.approx([0, 0, 1, 0.199786, 0, 0, 0.800214, 1], abs=6e-7)
    assert schedule_cost(FIXTURE, three.schedule, 20) == pytest.approx(631.987183, abs=6e-7)


@pytest.mark.parametrize("name", KNOWN)
def test_known_length_is_feasible(name: str) -> None:
    """Exactly the work, within the cap, by the deadline: also when the slots just hold the job."""
    rng = np.random.default_rng(21)
    for _ in range(150):
        bounds, costs, work, cap = random_job(rng)
        advice = feasible_advice(rng, len(costs), work, cap)
        done = run(KNOWN[name](bounds, advice), costs, work, cap)
        assert done.schedule.sum() == pytest.approx(work, rel=1e-9)
        assert np.all((done.schedule >= 0) & (done.schedule <= cap * (1 + 1e-12)))
        assert np.all(done.schedule[done.last_slot + 1 :] == 0)
        assert 0 <= done.forced <= work * (1 + 1e-9)


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_length_is_feasible_and_causal(name: str) -> None:
    """Every length up to the longest ends in time, and a longer job has the same beginning.

    The second half is causality in the length: an algorithm that peeked at the true length would
    differ before the shorter job's end.
    """
    rng = np.random.default_rng(22)
    for _ in range(100):
        bounds, costs, longest, cap = random_job(rng)
        shortest = longest * float(rng.choice([rng.uniform(0.05, 1), 1.0]))
        lengths = (shortest, longest)
        predicted = float(rng.uniform(0.5 * shortest, 1.5 * longest))
        works = np.sort(rng.uniform(shortest, longest, 3)).tolist()
        done = [run(HIDDEN[name](bounds, predicted), costs, work, cap, lengths) for work in works]
        for work, result in zip(works, done, strict=True):
            assert result.schedule.sum() == pytest.approx(work, rel=1e-9)
            assert np.all((result.schedule >= 0) & (result.schedule <= cap * (1 + 1e-12)))
        for short, long in pairwise(done):
            end = short.last_slot
            np.testing.assert_array_equal(short.schedule[:end], long.schedule[:end])
            assert short.schedule[end] <= long.schedule[end]


@pytest.mark.parametrize("name", [*KNOWN, *(f"hidden {n}" for n in HIDDEN)])
def test_the_future_does_not_change_the_past(name: str) -> None:
    """Other costs, or a permutation of the same, from slot k on: identical decisions before k."""
    rng = np.random.default_rng(23)
    for _ in range(60):
        bounds, costs, work, cap = random_job(rng)
        advice = feasible_advice(rng, len(costs), work, cap)
        k = int(rng.integers(0, len(costs) + 1))
        other, mixed = costs.copy(), costs.copy()
        other[k:] = rng.uniform(bounds.L, bounds.U, len(costs) - k)
        mixed[k:] = rng.permutation(costs[k:])
        lengths = (0.3 * work, work) if name.startswith("hidden") else None

        def schedule(
            values: FloatArray, b=bounds, a=advice, w=work, d=cap, r=lengths
        ) -> FloatArray:
            short = name.removeprefix("hidden ")
            algorithm = KNOWN[short](b, a) if r is None else HIDDEN[short](b, 0.7 * w)
            return run(algorithm, values, 0.8 * w if r else w, d, r).schedule

        past = schedule(costs)[:k]
        np.testing.assert_array_equal(past, schedule(other)[:k])
        np.testing.assert_array_equal(past, schedule(mixed)[:k])


def test_without_switching_cost_roro_is_one_way_trading() -> None:
    """Without beta RORO, RORO+ and one-way trading are one algorithm; with it they are not."""
    rng = np.random.default_rng(24)
    differs = False
    for _ in range(100):
        bounds, costs, work, cap = random_job(rng)
        free = CostBounds(bounds.L, bounds.U, 0.0)
        schedules = [run(a(free), costs, work, cap).schedule for a in (Roro, OneWayTrading)]
        np.testing.assert_array_equal(*schedules)
        plus = run(RoroPlus(free), costs, work, cap).schedule
        np.testing.assert_allclose(plus, schedules[0], atol=1e-9 * work)
        aware = run(Roro(bounds), costs, work, cap).schedule
        unaware = run(OneWayTrading(bounds), costs, work, cap).schedule
        differs |= not np.allclose(aware, unaware)
    assert differs


def test_lacs_ends() -> None:
    """Trust 1 is RORO for the prediction, trust 0 the robust one, bit for bit; between: mixed.

    With a perfect prediction and a known length, kappa = 1 is RORO itself.
    """
    rng = np.random.default_rng(25)
    for _ in range(60):
        bounds, costs, longest, cap = random_job(rng)
        lengths = (0.4 * longest, longest)
        work = float(rng.uniform(*lengths))
        guess = float(rng.uniform(*lengths))

        def go(algorithm: Algorithm, w=work, c=costs, d=cap, r=lengths) -> FloatArray:
            return run(algorithm, c, w, d, r).schedule

        trusted, robust = go(Roro(bounds, guess)), go(RobustRoro(bounds))
        np.testing.assert_array_equal(go(Lacs(bounds, guess, 1.0)), trusted)
        np.testing.assert_array_equal(go(Lacs(bounds, guess, 0.0)), robust)
        known = run(Lacs(bounds, work, 1.0), costs, work, cap, (work, work)).schedule
        np.testing.assert_array_equal(known, run(Roro(bounds), costs, work, cap).schedule)
        longest_run = [
            run(a, costs, longest, cap, lengths).schedule
            for a in (Roro(bounds, guess), RobustRoro(bounds), Lacs(bounds, guess, 0.3))
        ]
        mixed = 0.3 * longest_run[0] + 0.7 * longest_run[1]
        np.testing.assert_allclose(longest_run[2], mixed, atol=1e-9 * longest)


def test_advice_ends() -> None:
    """Weight 1 is the advice bit for bit, weight 0 is RORO bit for bit.

    Only the slot in which the job ends takes up the rounding of the advice's sum.
    """
    rng = np.random.default_rng(26)
    for _ in range(60):
        bounds, costs, work, cap = random_job(rng)
        advice = feasible_advice(rng, len(costs), work, cap)
        trusted = run(AdvisedRoro(bounds, advice.tolist(), 1.0), costs, work, cap)
        np.testing.assert_allclose(trusted.schedule, advice, atol=1e-9 * work)
        end = trusted.last_slot
        np.testing.assert_array_equal(trusted.schedule[:end], advice[:end])
        own = run(AdvisedRoro(bounds, advice.tolist(), 0.0), costs, work, cap).schedule
        np.testing.assert_array_equal(own, run(Roro(bounds), costs, work, cap).schedule)


def test_clip_ends() -> None:
    """CLIP with epsilon = 0 follows the advice; its threshold at epsilon = alpha - 1 is RORO's.

    The first holds with costs above L only: at c = L exactly, moving ahead of the advice is free.
    """
    rng = np.random.default_rng(27)
    for _ in range(60):
        b = random_bounds(rng)
        slots = int(rng.integers(2, 20))
        costs = rng.uniform(b.L + 0.05 * (b.U - b.L), b.U, slots)
        advice = feasible_advice(rng, slots, 1.0, 1.0)
        follows = run(Clip(b, advice.tolist(), 0.0), costs, 1.0, 1.0).schedule
        np.testing.assert_allclose(follows, advice, atol=1e-9)
        alpha = ratios.alpha(b.L, b.U, b.beta)
        free = Clip(b, advice.tolist(), alpha - 1)
        assert free.gamma == pytest.approx(alpha, rel=1e-12)


def test_clip_keeps_to_its_allowance() -> None:
    """With a whole-job slot CLIP never costs more than 1 + epsilon times the advice (and ramps).

    This is the constraint at the end of the horizon; a sign error in it breaks the inequality.
    """
    rng = np.random.default_rng(28)
    moved = False
    for _ in range(200):
        b = random_bounds(rng)
        slots = int(rng.integers(2, 20))
        costs = rng.uniform(b.L, b.U, slots)
        advice = feasible_advice(rng, slots, 1.0, 1.0)
        epsilon = float(rng.uniform(0.05, 0.9)) * (ratios.alpha(b.L, b.U, b.beta) - 1)
        done = run(Clip(b, advice.tolist(), epsilon), costs, 1.0, 1.0)
        advised = schedule_cost(costs, advice, b.beta)
        limit = (1 + epsilon) * advised + 2 * b.beta * done.forced
        assert schedule_cost(costs, done.schedule, b.beta) <= limit * (1 + 1e-9)
        moved |= not np.allclose(done.schedule, advice)
    assert moved


def test_doubling_opens_its_stretches() -> None:
    """A first cheap slot fills only the shortest guess; the next guess opens in the next slot."""
    bounds = CostBounds(1, 10, 0.5)
    done = run(DoublingRoro(bounds), np.full(8, 1.0), 8.0, 8.0, (1.0, 8.0)).schedule
    assert done == pytest.approx([1, 1, 2, 4, 0, 0, 0, 0])


def test_executing_less_than_decided_is_noted() -> None:
    """The state follows what was executed, not what was decided."""
    algorithm = Roro(CostBounds(50, 400, 20))
    algorithm.begin(1.0, 3, 1.0)
    first = algorithm.decide(100.0)
    assert first > 0.4
    algorithm.settle(0.1)
    algorithm.settle(0.0)
    assert algorithm.decide(400.0) == pytest.approx(0.9)
    algorithm.settle(0.9)
    assert algorithm.forced == pytest.approx(0.9)


@PROPERTY
@given(
    st.lists(st.floats(0, 600), min_size=1, max_size=12),
    st.floats(0.01, 1),
    st.floats(0.1, 5),
    st.sampled_from([0.0, 20.0, 170.0]),
)
def test_any_costs_give_a_feasible_schedule(
    costs: list[float], fill: float, cap: float, beta: float
) -> None:
    """Costs far outside the bounds are clipped for the decision and never break feasibility."""
    work = fill * cap * len(costs)
    for algorithm in (Roro, RoroPlus, OneWayTrading, SimpleThreshold, RobustRoro):
        done = run(algorithm(CostBounds(50, 400, beta)), costs, work, cap).schedule
        assert math.isclose(done.sum(), work, rel_tol=1e-9)
        assert np.all((done >= 0) & (done <= cap * (1 + 1e-12)))


def test_bad_jobs_are_refused() -> None:
    """What cannot be done or makes no sense is said, not computed."""
    bounds = CostBounds(50, 400, 20)
    costs = np.full(4, 100.0)
    with pytest.raises(InfeasibleError, match="4 slots of at most 1 units"):
        run(Roro(bounds), costs, 4.1, 1.0)
    with pytest.raises(InputError) as caught:
        run(Roro(bounds), costs, -1.0, 0.0)
    assert len(caught.value.flaws) == 3
    with pytest.raises(InputError, match="above longest"):
        Roro(bounds).begin((3.0, 2.0), 4, 1.0)
    with pytest.raises(InputError, match="positive count"):
        Roro(bounds).begin(1.0, 0, 1.0)
    with pytest.raises(UsageError, match="needs to know the length"):
        run(RoroPlus(bounds), costs, 1.0, 1.0, (1.0, 2.0))
    with pytest.raises(InputError, match="not possible"):
        run(Roro(bounds), costs, 3.0, 1.0, (1.0, 2.0))
    with pytest.raises(InputError, match="finite number per slot"):
        run(Roro(bounds), [1.0, math.nan], 1.0, 1.0)
    with pytest.raises(InputError, match="too large for a threshold"):
        CostBounds(50, 400, 175)
    with pytest.raises(InputError, match="slots are advised"):
        run(AdvisedRoro(bounds, [0.5, 0.5], 0.5), costs, 1.0, 1.0)
    with pytest.raises(InputError, match="not the length of the job"):
        run(AdvisedRoro(bounds, [0.5, 0, 0, 0], 0.5), costs, 1.0, 1.0)
    with pytest.raises(InputError, match="no possible rate"):
        run(Clip(bounds, [2.0, -1.0, 0, 0], 0.5), costs, 1.0, 1.0)
    with pytest.raises(InputError, match="0 to 1"):
        Lacs(bounds, 1.0, 1.5)
    with pytest.raises(InputError, match="predicted"):
        run(Roro(bounds, math.nan), costs, 1.0, 1.0, (1.0, 2.0))
    algorithm = Roro(bounds)
    with pytest.raises(UsageError, match="no slot left"):
        algorithm.decide(100.0)
    algorithm.begin(1.0, 1, 1.0)
    with pytest.raises(InputError, match="not a number"):
        algorithm.decide(math.nan)
    with pytest.raises(InputError, match="executed"):
        algorithm.settle(-0.1)
    algorithm.settle(algorithm.decide(100.0))
    with pytest.raises(UsageError, match="no slot left"):
        algorithm.decide(100.0)
