"""The vectorised replay: equal to the single runs, feasible, and refusing bad input."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.errors import InputError, UsageError
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
    SimpleThreshold,
)
from optmodels.scaling.job.conversion.batch import ALGORITHMS, replay_batch
from optmodels.scaling.job.conversion.core import Algorithm, run
from optmodels.scaling.job.conversion.guarantees import GUARANTEES
from optmodels.scaling.job.conversion.ratios import FloatArray
from optmodels.scaling.job.exact.taut_string import JobLengthCurve

from .conversion_cases import random_bounds

COUNT, SLOTS = 300, 24
HIDDEN = {"roro-predicted", "roro-robust", "lacs", "doubling-roro"}


class Batch:
    """Random jobs, every one with its own bounds, cap, deadline, range, prediction and advice."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pool = [random_bounds(rng) for _ in range(12)]
        self.bounds = [pool[i] for i in rng.integers(0, len(pool), COUNT)]
        self.L, self.U, self.beta = (
            np.array([getattr(b, n) for b in self.bounds]) for n in ("L", "U", "beta")
        )
        self.slots = rng.integers(1, SLOTS + 1, COUNT)
        self.costs = rng.uniform(0.9, 1.05, (COUNT, 1)) * rng.uniform(
            self.L[:, None], self.U[:, None], (COUNT, SLOTS)
        )
        self.cap = rng.uniform(0.3, 3, COUNT)
        self.longest = self.slots * self.cap * rng.choice([1.0, 0.5, 0.1], COUNT)
        self.shortest = self.longest * rng.choice([1.0, 0.5, 0.1], COUNT)
        self.work = self.shortest + rng.uniform(0, 1, COUNT) * (self.longest - self.shortest)
        self.predicted = self.work * rng.uniform(0.5, 1.5, COUNT)
        self.kappa, self.weight = rng.uniform(0, 1, (2, COUNT))
        self.epsilon = rng.uniform(0, 1, COUNT) * (ratios.alphas(self.L, self.U, self.beta) - 1)
        self.advice = np.zeros((COUNT, SLOTS))
        for j, (n, d) in enumerate(zip(self.slots, self.cap, strict=True)):
            best = JobLengthCurve.from_costs(rng.uniform(1, 9, n), 1.0, float(d))
            self.advice[j, :n] = best.schedule(float(self.work[j]))
        beyond = np.arange(SLOTS) >= self.slots[:, None]
        self.costs[beyond] = np.nan  # beyond the deadline nothing may be read
        self.advice[beyond] = np.nan

    def replay(self, algorithms: list[str]) -> dict[str, FloatArray]:
        """All jobs at once."""
        return replay_batch(
            **{k: v for k, v in vars(self).items() if k != "bounds"}, algorithms=algorithms
        )

    def single(self, name: str, j: int) -> Algorithm:
        """The algorithm object for one job."""
        b = self.bounds[j]
        advice = self.advice[j, : self.slots[j]].tolist()
        guess = float(self.predicted[j])
        made: dict[str, Algorithm] = {
            "roro": Roro(b),
            "roro-plus": RoroPlus(b),
            "roro-rate-limited": RateLimitedRoro(b),
            "one-way-trading": OneWayTrading(b),
            "simple-threshold": SimpleThreshold(b),
            "roro-predicted": Roro(b, guess),
            "roro-robust": RobustRoro(b),
            "lacs": Lacs(b, guess, float(self.kappa[j])),
            "doubling-roro": DoublingRoro(b),
            "ro-advice": AdvisedRoro(b, advice, float(self.weight[j])),
            "clip": Clip(b, advice, float(self.epsilon[j])),
        }
        return made[name]

    def run(self, name: str, j: int) -> FloatArray:
        """One job alone."""
        n, lengths = int(self.slots[j]), None
        if name in HIDDEN:
            lengths = (float(self.shortest[j]), float(self.longest[j]))
        done = run(
            self.single(name, j),
            self.costs[j, :n],
            float(self.work[j]),
            float(self.cap[j]),
            lengths,
        )
        return np.pad(done.schedule, (0, SLOTS - n))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Random jobs."""
    return Batch(31)


@pytest.fixture(scope="module")
def schedules(batch: Batch) -> dict[str, FloatArray]:
    """All algorithms on all jobs."""
    return batch.replay(list(ALGORITHMS))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_batch_equals_single_runs(
    name: str, batch: Batch, schedules: dict[str, FloatArray]
) -> None:
    """To 1e-12 of the job, for each algorithm on jobs with different bounds, caps and deadlines."""
    expected = np.array([batch.run(name, j) for j in range(COUNT)])
    excess = np.abs(schedules[name] - expected) / batch.work[:, None]
    assert excess.max() <= 1e-12


@pytest.mark.parametrize("name", ALGORITHMS)
def test_batch_is_feasible(name: str, batch: Batch, schedules: dict[str, FloatArray]) -> None:
    """Exactly the work, within cap and deadline."""
    x = schedules[name]
    np.testing.assert_allclose(x.sum(axis=1), batch.work, rtol=1e-9)
    assert np.all((x >= 0) & (x <= batch.cap[:, None] * (1 + 1e-12)))
    assert np.all(x[np.arange(SLOTS) >= batch.slots[:, None]] == 0)


def test_an_algorithm_does_not_depend_on_the_others(
    batch: Batch, schedules: dict[str, FloatArray]
) -> None:
    """Asked for alone each algorithm gives the same schedules as in the stack of all."""
    for name in ALGORITHMS:
        np.testing.assert_array_equal(batch.replay([name])[name], schedules[name])


def test_every_algorithm_has_a_guarantee_entry() -> None:
    """The names of the batch and of the guarantees are the same."""
    assert set(ALGORITHMS) == set(GUARANTEES)


def test_scalars_apply_to_all_jobs() -> None:
    """Numbers broadcast, and the fixture of the single run comes out in both rows."""
    costs = np.tile([300.0, 200, 100, 150, 400, 120, 90, 350], (2, 1))
    x = replay_batch(costs, [1.0, 3.0], cap=1.0, L=50, U=400, beta=20)["roro"]
    assert x[0] == pytest.approx([0, 0, 0.509338, 0, 0, 0, 0.10528, 0.385382], abs=6e-7)
    assert x[1] == pytest.approx([0, 0, 1, 0.199786, 0, 0, 0.800214, 1], abs=6e-7)


def test_bad_batches_are_refused() -> None:
    """Unknown names, missing arguments, shapes and values, with the job that has them."""
    costs = np.full((2, 4), 100.0)
    good = {"cap": 1.0, "L": 50, "U": 400, "beta": 20}
    with pytest.raises(UsageError, match="Did you mean 'roro'"):
        replay_batch(costs, 1.0, **good, algorithms=["rorro"])
    with pytest.raises(UsageError, match="'lacs' needs shortest, longest, predicted, kappa"):
        replay_batch(costs, 1.0, **good, algorithms=["lacs"])
    with pytest.raises(InputError, match="jobs x slots"):
        replay_batch(costs[0], 1.0, **good)
    with pytest.raises(InputError, match="values are given"):
        replay_batch(costs, [1.0, 1.0, 1.0], **good)
    with pytest.raises(InputError, match="values are given"):
        replay_batch(costs, 1.0, cap=1.0, L=[1, 1, 1], U=400, beta=20)
    with pytest.raises(InputError, match="shape of costs"):
        replay_batch(costs, 1.0, **good, advice=np.zeros((2, 3)))
    with pytest.raises(InputError) as caught:
        replay_batch(
            np.where(np.eye(2, 4) > 0, np.nan, costs), [9.0, -1.0], **good, slots=[4, 9], kappa=2.0
        )
    fields = {flaw.field for flaw in caught.value.flaws}
    assert {"costs", "work", "slots", "longest", "kappa"} <= fields
    with pytest.raises(InputError, match=r"beta\[1\]"):
        replay_batch(costs, 1.0, cap=1.0, L=50, U=400, beta=[20, 200])
    with pytest.raises(InputError, match="schedule of the job"):
        replay_batch(costs, 1.0, **good, advice=np.zeros((2, 4)))
    with pytest.raises(InputError, match="epsilon"):
        replay_batch(costs, 1.0, **good, epsilon=-1.0)
