"""Costs that are hard for threshold algorithms, and what schedules cost; shared by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from optmodels.scaling.job.conversion.core import CostBounds
from optmodels.scaling.job.conversion.ratios import FloatArray
from optmodels.scaling.job.conversion.thresholds import Curve
from optmodels.scaling.job.exact.taut_string import JobLengthCurve

BOUNDS = (
    (1.0, 10.0, 0.0),
    (1.0, 10.0, 1.0),
    (1.0, 10.0, 4.0),
    (50.0, 500.0, 20.0),
    (100.0, 400.0, 50.0),
    (1.0, 100.0, 3.0),
)


def schedule_cost(costs: FloatArray, schedule: FloatArray, beta: float) -> float:
    """Carbon of the work plus beta times every change, both end ramps included."""
    change = np.abs(np.diff(schedule, prepend=0.0, append=0.0)).sum()
    return float(np.asarray(costs) @ schedule + beta * change)


def optimum(costs: FloatArray, beta: float, work: float, cap: float) -> float:
    """Offline optimum of one job."""
    return float(JobLengthCurve.from_costs(costs, beta, cap).cost(work))


def random_bounds(rng: np.random.Generator) -> CostBounds:
    """Bounds over many ratios U/L, beta anywhere below (U - L)/2."""
    low = float(10 ** rng.uniform(-1, 2))
    high = low * float(1 + 10 ** rng.uniform(-1, 2))
    return CostBounds(low, high, float(rng.choice([0.0, rng.uniform(0, 0.499)])) * (high - low))


def hard_costs(
    rng: np.random.Generator, bounds: CostBounds, curve: Curve, length: float
) -> Iterator[tuple[str, FloatArray]]:
    """Named cost sequences: against the given curve, and plain random ones."""
    b = bounds
    slots = int(rng.integers(2, 25))

    def inside(values: object) -> FloatArray:
        return np.clip(np.asarray(values, float), b.L, b.U)

    steps = np.sort(rng.uniform(0, length, slots))
    stairs = np.array([curve.value(float(w)) for w in steps]) - b.beta
    stairs = stairs * (1 - 1e-9)
    spikes = np.full(2 * slots, b.U)
    spikes[::2] = stairs
    start = curve.value(0.0)
    yield "stairs, then U", inside([*stairs, b.U])
    yield "stairs with U between", inside([*spikes, b.U])
    yield "stairs, then crash to L", inside([*stairs, b.L])
    yield "stairs with U between, then crash", inside([*spikes, b.L])
    yield "just above the start, then U", inside([*[(start - b.beta) * (1 + 1e-9)] * slots, b.U])
    yield "just above the start plus beta", inside([*[(start + b.beta) * (1 + 1e-9)] * slots, b.U])
    fine = np.linspace(0, length, 60)
    stop = int(rng.integers(1, 60))
    smooth = np.array([curve.value(float(w)) for w in fine[:stop]]) - b.beta * (1 + 1e-9)
    yield "fine stairs, then U", inside([*smooth, b.U])
    yield "uniform", rng.uniform(b.L, b.U, slots)
    yield "two values", rng.choice([b.L, b.U], slots)
    walk = np.cumsum(rng.normal(0, 0.2 * (b.U - b.L), slots))
    yield "walk", inside(0.5 * (b.L + b.U) + walk)


class Worst:
    """Largest value seen, with where it was seen."""

    def __init__(self) -> None:
        self.value, self.where = -np.inf, ""

    def see(self, value: float, where: Callable[[], str]) -> None:
        """Note a value."""
        if value > self.value:
            self.value, self.where = value, where()
