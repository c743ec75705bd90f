"""Mean value analysis beside the product form, all states counted."""

from __future__ import annotations

from itertools import product
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.routing.pipeline.mva import mva, response_bound, throughput_bound


def states(clients: int, stations: int):
    """All ways of spreading clients over stations."""
    for cuts in product(range(clients + 1), repeat=stations - 1):
        if sum(cuts) <= clients:
            yield (*cuts, clients - sum(cuts))


def product_form(demands: np.ndarray, clients: list[int], think: np.ndarray):
    """Throughput and queues by summing the product form over all states of all classes.

    Thinking is a station where nobody waits: its factor is Z^n / n!.
    """
    classes, stations = demands.shape
    total, busy = 0.0, np.zeros((classes, stations))
    for spread in product(*(list(states(n, stations + 1)) for n in clients)):
        weight = 1.0
        for k in range(stations):
            here = [spread[c][k] for c in range(classes)]
            weight *= factorial(sum(here))
            for c, n in enumerate(here):
                weight *= demands[c, k] ** n / factorial(n)
        for c in range(classes):
            n = spread[c][stations]
            weight *= think[c] ** n / factorial(n)
        total += weight
        busy += weight * np.array([[spread[c][k] for k in range(stations)] for c in range(classes)])
    return busy / total


demand = st.one_of(st.just(0.0), st.floats(0.05, 10))


@given(st.lists(demand, min_size=1, max_size=4), st.integers(1, 5), demand)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_one_class_is_the_product_form(demands: list[float], clients: int, think: float) -> None:
    """Queues of the recursion and of the sum over all states; Little's law; the bounds."""
    if not sum(demands) + think > 0:
        return
    found = mva(demands, clients, think)
    expected = product_form(np.array([demands]), [clients], np.array([think]))
    np.testing.assert_allclose(found.queue, expected, rtol=1e-9, atol=1e-12)
    x, r = float(found.throughput[0]), float(found.response[0])
    assert x * (r + think) == pytest.approx(clients, rel=1e-9)
    assert x <= throughput_bound(demands, clients, think) * (1 + 1e-9)
    assert r >= response_bound(demands, clients, think) * (1 - 1e-9)


@given(
    st.lists(st.tuples(demand, demand, demand), min_size=2, max_size=2),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.floats(0.01, 5), st.floats(0.01, 5)),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_two_classes_are_the_product_form(
    demands: list[tuple[float, ...]], clients: tuple[int, int], think: tuple[float, float]
) -> None:
    """With several classes each meets the others as they are without it."""
    found = mva(demands, clients, think)
    expected = product_form(np.array(demands), list(clients), np.array(think))
    np.testing.assert_allclose(found.queue, expected, rtol=1e-9, atol=1e-12)


def test_a_lone_client_waits_for_nobody() -> None:
    """R(1) is the sum of the demands; a hand-made example for two."""
    assert mva([1.0, 2.0], 1).response == pytest.approx([3.0])
    # Q(1) = (1/3, 2/3): R(2) = 1 × 4/3 + 2 × 5/3.
    assert mva([1.0, 2.0], 2).response == pytest.approx([14 / 3])


def test_many_clients_meet_the_asymptotes() -> None:
    """The bottleneck sets the pace: X -> 1 / D_max, R -> N D_max - Z."""
    found = mva([1.0, 4.0, 2.0], 400, 3.0)
    assert found.throughput == pytest.approx([0.25], rel=1e-9)
    assert found.response == pytest.approx([1600 - 3], rel=1e-9)


@pytest.mark.parametrize(
    ("demands", "clients", "think", "words"),
    [
        ([1.0, -1.0], 2, 0.0, "demand"),
        ([1.0, np.nan], 2, 0.0, "demand"),
        ([1.0], 0, 0.0, "whole numbers"),
        ([1.0], 1.5, 0.0, "whole numbers"),
        ([1.0], [1, 2], 0.0, "class"),
        ([[1.0], [2.0]], [1, 2], [1.0, 2.0, 3.0], "think times"),
        ([1.0], 1, -1.0, "think"),
        ([[1.0], [2.0]], [3000, 3000], 0.0, "populations"),
        ("x", 1, 0.0, "numbers"),
    ],
)
def test_wrong_arguments_are_refused(demands, clients, think, words: str) -> None:
    """Each says what is wrong; none gives a number."""
    with pytest.raises(UsageError, match=words):
        mva(demands, clients, think)
