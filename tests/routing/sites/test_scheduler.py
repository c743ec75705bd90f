"""The scheduler of single requests: shares, queues and limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.routing.sites.scheduler import (
    RoundRobin,
    TwoChoices,
    make_scheduler,
    queue_limit,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(weights=st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any))
def test_round_robin_is_fair_in_every_stretch(weights: list[int]) -> None:
    """After n requests each pool had its share of n to within the number of pools.

    Handing out whole turns one pool after the other would drift by a pool's whole weight.
    """
    scheduler = RoundRobin(weights)
    free, limits = [-1] * len(weights), [0] * len(weights)
    counts = np.zeros(len(weights))
    share = np.array(weights) / sum(weights)
    for n in range(1, 200):
        chosen = scheduler.choose(free, limits)
        assert chosen is not None
        counts[chosen] += 1
        assert np.abs(counts - n * share).max() <= len(weights) / 2 + 1e-9
    assert (counts[share == 0] == 0).all()


def test_round_robin_does_not_burst() -> None:
    """Weights 5, 1, 1 give a a b a c a a: the smooth order, not five in a row."""
    scheduler = RoundRobin([5, 1, 1])
    order = [scheduler.choose([-1] * 3, [0] * 3) for _ in range(7)]
    assert order == [0, 0, 1, 0, 2, 0, 0]


def test_a_full_pool_is_passed_over_and_nothing_is_forced() -> None:
    """A queue at its limit takes nothing; if all are full, nobody does; none is owed turns."""
    for scheduler in (RoundRobin([3, 1]), TwoChoices([3, 1], np.random.default_rng(0))):
        assert {scheduler.choose([2, 0], [2, 1]) for _ in range(50)} == {1}
        assert scheduler.choose([2, 1], [2, 1]) is None
    scheduler = RoundRobin([1, 1])
    for _ in range(50):
        scheduler.choose([2, 0], [2, 1])
    assert sum(scheduler.choose([0, 0], [1, 1]) == 0 for _ in range(20)) == 10


def test_two_choices_prefer_the_shorter_queue() -> None:
    """With equal weights the pool that is less full gets three of four requests."""
    scheduler = TwoChoices([1, 1], np.random.default_rng(1))
    chosen = [scheduler.choose([5, 1], [10, 10]) for _ in range(4000)]
    assert np.mean(np.array(chosen) == 1) == pytest.approx(0.75, abs=0.03)


def test_queue_limits() -> None:
    """The smaller of what is read in time and what begins in time; none without slack or pool."""
    assert queue_limit(0.5, 0.1, 4.0, 3) == 6
    assert queue_limit(0.5, 0.1, 100.0, 3) == 15
    assert queue_limit(-0.1, 0.1, 100.0, 3) == 0
    assert queue_limit(0.5, 0.0, 4.0, 3) == 6
    assert queue_limit(0.5, 0.1, 4.0, 0) == 0


def test_bad_schedulers_are_refused() -> None:
    """Unknown names and weights that mean nothing."""
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="round-robin"):
        make_scheduler("round-robbin", [1.0], rng)
    for weights in ([], [0.0], [-1.0, 2.0], [float("nan")]):
        with pytest.raises(UsageError, match="Weights"):
            make_scheduler("two-choices", weights, rng)
