"""Canaries: tiny models on which a released HiGHS once claimed a wrong optimum.

The models are written from the facts of the public HiGHS issues named in each case; HiGHS 1.14.0
answered all of them with the value in ``wrong`` and the status "Optimal". A solver that falls back
is noticed here first.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from optmodels.errors import SolverError
from optmodels.solver import LinearModel, Status, check_not_worse, solve_model

from .models import linear_model

INF = np.inf


@dataclass(frozen=True)
class Canary:
    """A model, its optimum by hand, and the wrong value once claimed."""

    model: LinearModel
    optimum: float
    wrong: float | None = None


CANARIES = {
    # One continuous, one integer variable, one covering row.
    "issue-3043": Canary(linear_model([2, 3], [[1, 1]], 4.5, INF, 0, 10, [False, True]), 9.0, 15.0),
    # Big-M links of two slots of which one may be used, unequal losses.
    "issue-3094": Canary(
        linear_model(
            [0, 0, 0, 0, 10, 8],
            [
                [-1000, 0, 1, 0, 0, 0],
                [0, -1000, 0, 1, 0, 0],
                [0, 0, 1, 0, 1, 0],
                [0, 0, 0, 1, 0, 1],
                [1, 1, 0, 0, 0, 0],
            ],
            [-INF, -INF, 1000, 1000, -INF],
            [0, 0, 1000, 1000, 1],
            0,
            [1, 1, 1000, 1000, 1000, 1000],
            [True, True, False, False, False, False],
        ),
        8000.0,
        10000.0,
    ),
    # Absolute value of an integer variable against a heavy gap term; t is free.
    "issue-3073": Canary(
        linear_model(
            [100, 0.01, 0],
            [[1, 0, 1], [0, -1, 1], [0, -1, -1], [0, 0, 1], [0, 0, -1]],
            [3, -INF, -INF, -INF, -INF],
            [3, 0, 0, 3, -0.45],
            [0, -INF, 0],
            INF,
            [False, False, True],
        ),
        0.03,
        200.01,
    ),
    # An integer and a continuous variable share one covering row; bounds away from zero.
    "issue-2957": Canary(
        linear_model([1, 2], [[1, 1]], 20.1, INF, [0, 8], 20, [True, False]), 28.2, 29.0
    ),
    # The reproducer of pull request 3050: a gain on the integer, a tiny price on its ceiling.
    "pull-3050": Canary(
        linear_model([-100, 0.01], [[1, -1]], -INF, 0, 1, 3, [True, False]), -299.97, -99.99
    ),
}


@pytest.mark.parametrize("name", CANARIES)
@pytest.mark.parametrize("presolve", ["on", "off"])
def test_known_optimum(name: str, presolve: str) -> None:
    """The optimum worked out by hand, with presolve (where the fault sat) and without."""
    canary = CANARIES[name]
    solution = solve_model(canary.model, mip_gap=0.0, options={"presolve": presolve})
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(canary.optimum, abs=1e-9)
    point = solution.values["x"].to_numpy()
    assert canary.model.worst_violation(point).relative <= 1e-9
    assert solution.bound == pytest.approx(canary.optimum, abs=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_badly_scaled_big_m_against_enumeration(seed: int) -> None:
    """Our own big-M models with coefficients over ten orders of magnitude, optimum by enumeration.

    The public instance of HiGHS issue 2975 is not at hand; these are of the same nature: setup
    costs, flows switched by a big M, one demand row. A switch left at 1e-7 would let flow through
    without its setup cost and beat the enumerated optimum.
    """
    rng = np.random.default_rng(seed)
    plants, big, demand = 4, 10.0 ** rng.integers(4, 8), 10.0
    setup = rng.uniform(1, 5, plants)
    unit = rng.uniform(1e-3, 1e-1, plants)
    room = rng.uniform(4, 9, plants)
    switch = np.hstack([-big * np.eye(plants), np.eye(plants)])
    meet = np.hstack([np.zeros(plants), np.ones(plants)])
    model = linear_model(
        np.concatenate([setup, unit]),
        np.vstack([switch, meet]),
        [-INF] * plants + [demand],
        [0.0] * plants + [INF],
        0,
        np.concatenate([np.ones(plants), room]),
        [True] * plants + [False] * plants,
    )
    best = INF
    for choice in itertools.product((0, 1), repeat=plants):
        left, value = demand, float(setup @ choice)
        for plant in sorted(range(plants), key=lambda p: unit[p]):
            if choice[plant]:
                flow = min(left, room[plant])
                left, value = left - flow, value + flow * unit[plant]
        if left <= 1e-9:
            best = min(best, value)
    solution = solve_model(model, mip_gap=0.0)
    assert solution.objective == pytest.approx(best, rel=1e-7)
    switches = solution.values["x"].to_numpy()[:plants]
    assert np.array_equal(switches, np.round(switches))


def test_a_claim_worse_than_a_heuristic_raises() -> None:
    """`check_not_worse` refuses the wrong values of the canaries, and passes the right ones."""
    for name, canary in CANARIES.items():
        check_not_worse(canary.optimum, canary.optimum, "minimize", name)
        if canary.wrong is not None:
            with pytest.raises(SolverError, match=name):
                check_not_worse(canary.wrong, canary.optimum, "minimize", name)
            with pytest.raises(SolverError, match=name):
                check_not_worse(-canary.wrong, -canary.optimum, "maximize", name)
