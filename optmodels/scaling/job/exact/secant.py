"""Secant search on the lower hull of (work, cost): the optimum with a certificate.

Price work at `λ` and forget how much of it is needed: what remains is a shortest path over time,
solved exactly by dynamic programming. Every such schedule is a vertex of the lower convex hull of
all (work, cost) points, and its value gives a lower bound for every amount of work `J`:

    cost(x) ≥ min_x' {cost(x') − λ work(x')} + λ J       for every x with work J.

The search keeps one vertex on each side of `J` and prices work at the slope of the segment
between them. Either a vertex below the segment comes back and replaces one end, or the segment is
an edge of the hull; then mixing its two ends is optimal and the bound meets its cost.

With two rates (off, on) the dynamic programme needs one number per slot only: by how much being
on is dearer than being off, `D_t = (c_t − λ) + clip(D_{t−1}, −β, β)` with `D_0 = β`. Where it is
beyond ±β the slot is off, or on, whatever follows; in between it does as its successor. That the
mixture of two schedules solves the problem with rates between 0 and 1 is due to total
unimodularity. The method is ours; tests/scaling/job/test_oracle.py checks it against a linear
program and brute force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.scaling.job.exact.schedule import ramps
from optmodels.scaling.job.inputs import FloatArray, Inputs, fitted

HULL_TOLERANCE = 1e-13
"""Relative depth below a segment that counts as rounding: the segment is on the hull."""


class OracleAnswer(NamedTuple):
    """An optimal schedule with its certificate."""

    schedule: FloatArray
    """Rates, shape (T,), or shares of time over levels, shape (T, K)."""
    cost: float
    """Cost recomputed from the schedule [gCO2eq]."""
    bound: float
    """Proven lower bound on the cost of every schedule that does the work [gCO2eq]."""
    iterations: int
    """Number of dynamic programmes solved."""


class Vertex(NamedTuple):
    """A schedule as a point of the (work, cost) plane."""

    work: float
    cost: float
    schedule: FloatArray


Pricing = Callable[[float], tuple[Vertex, float]]
"""From a price of work to a minimiser of cost − price · work, and that minimum."""


def secant_oracle(
    costs: ArrayLike, switching: float, work: float, cap: float = 1.0
) -> OracleAnswer:
    """Cheapest rates that do a given amount of work, and a lower bound that proves it.

    Parameters
    ----------
    costs
        Cost of running at full capacity for one slot, shape (T,) [gCO2eq]; may be negative.
    switching
        Cost of changing the rate by one unit, ≥ 0 [gCO2eq].
    work
        Work to be done exactly, in slots at rate 1, from 0 to T · cap.
    cap
        Rate cap > 0, the same in all slots.

    Returns
    -------
    OracleAnswer
        Rates of shape (T,), their cost, the Lagrangian bound, and the iterations.

    Raises
    ------
    InputError
        An argument is not finite or out of its range.
    InfeasibleError
        The work is negative or does not fit into the slots.

    Notes
    -----
    O(T) per iteration, some ten iterations. For many job lengths on the same costs use
    `JobLengthCurve`, which gives all of them in the time of one iteration or two.
    """
    given = Inputs("elastic job")
    c = given.vector("costs", costs)
    beta = given.number("switching", switching, minimum=0.0)
    amount = given.number("work", work)
    rate = given.number("cap", cap, minimum=0.0, strict=True)
    given.check()
    slots = len(c)
    limits = f"{slots} slots at a rate of at most {rate:g}"
    length = float(fitted(amount, slots * rate, limits)) / rate

    def price(multiplier: float) -> tuple[Vertex, float]:
        on, value = two_state(c - multiplier, beta)
        return _vertex(on.astype(np.float64), c, beta), value

    never = _vertex(np.zeros(slots), c, beta)
    always = _vertex(np.ones(slots), c, beta)
    x, bound, iterations = search(never, always, length, price)
    x *= rate
    return OracleAnswer(x, float(c @ x + beta * ramps(x)), rate * bound, iterations)


def lagrangian_bound(
    costs: ArrayLike, switching: float, work: float, multiplier: float, cap: float = 1.0
) -> float:
    """Lower bound on the cost of all rates that do the work, from one price of work.

    Any price gives a proven bound; the multiplier of the optimum (`JobLengthCurve.multiplier`)
    gives the optimum itself.

    Parameters
    ----------
    costs, switching, work, cap
        As in `secant_oracle`; the work may be any number.
    multiplier
        Price of work [gCO2eq per slot of work].

    Returns
    -------
    float
        The bound [gCO2eq].

    Raises
    ------
    InputError
        An argument is not finite or out of its range.
    """
    given = Inputs("elastic job")
    c = given.vector("costs", costs)
    beta = given.number("switching", switching, minimum=0.0)
    amount = given.number("work", work)
    price = given.number("multiplier", multiplier)
    rate = given.number("cap", cap, minimum=0.0, strict=True)
    given.check()
    return rate * two_state(c - price, beta)[1] + price * amount


def search(
    left: Vertex, right: Vertex, work: float, price: Pricing
) -> tuple[FloatArray, float, int]:
    """Mixture of two hull vertices that does the work exactly, its bound, and the iterations.

    `left` and `right` are the ends of the hull: the cheapest ways to do the least and the most
    work; `work` is between the two.
    """
    bound = -np.inf
    iterations = 0
    while right.work > left.work:
        slope = (right.cost - left.cost) / (right.work - left.work)
        vertex, value = price(slope)
        iterations += 1
        bound = max(bound, value + slope * work)
        scale = abs(left.cost) + abs(right.cost) + abs(slope) * right.work
        on_hull = value >= left.cost - slope * left.work - HULL_TOLERANCE * scale
        if on_hull or not left.work < vertex.work < right.work:
            share = min(max((work - left.work) / (right.work - left.work), 0.0), 1.0)
            return (1.0 - share) * left.schedule + share * right.schedule, bound, iterations
        if vertex.work <= work:
            left = vertex
        else:
            right = vertex
    return left.schedule.copy(), left.cost, iterations


def two_state(stage: FloatArray, switching: float) -> tuple[NDArray[np.bool_], float]:
    """Minimise `Σ stage_t x_t + switching Σ|x_t − x_{t−1}|` over x in {0, 1}, off at both ends.

    Returns the slots that are on, and the minimum.
    """
    dearer = []
    d = switching
    for cost in stage.tolist():
        if d > switching:
            d = switching
        elif d < -switching:
            d = -switching
        d += cost
        dearer.append(d)
    on_over_off = np.array(dearer)
    # The best value that ends off falls wherever a run that ends, its ramp paid, beats it.
    minimum = float(np.minimum(on_over_off + switching, 0.0).sum())
    decided = np.flatnonzero(np.abs(on_over_off) > switching)
    on = np.append(on_over_off[decided] < 0.0, False)
    return on[np.searchsorted(decided, np.arange(len(stage)))], minimum


def _vertex(x: FloatArray, c: FloatArray, beta: float) -> Vertex:
    return Vertex(float(x.sum()), float(c @ x + beta * ramps(x)), x)
