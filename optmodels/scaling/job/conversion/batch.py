"""Many jobs at once: the algorithms of `algorithms`, vectorised over jobs.

A study replays thousands of jobs. Here the only Python loop is the one over the slots; each slot
decides for all jobs (and for all algorithms with an exponential threshold) in a few array
operations, with the curves of `thresholds` in their array form. The answers equal those of
`conversion.run`, job by job, but for rounding.

That costs almost nothing for the mixed algorithms: an unfinished job of hidden length behaves like
the longest one, so it is enough to replay the longest and to cut it off where the true job ends;
LACS and RO-Advice are weighted means of schedules already there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import UsageError
from optmodels.scaling.job.conversion.algorithms import SLACK
from optmodels.scaling.job.conversion.batch_jobs import BatchJobs, read_jobs
from optmodels.scaling.job.conversion.core import DONE
from optmodels.scaling.job.conversion.ratios import FloatArray, gammas
from optmodels.scaling.job.conversion.steps import step_many
from optmodels.scaling.job.conversion.thresholds import (
    ConstantCurves,
    Curves,
    ExponentialCurves,
    TabulatedCurves,
)

_NEEDS = {
    "roro-predicted": ("shortest", "longest", "predicted"),
    "roro-robust": ("shortest", "longest"),
    "lacs": ("shortest", "longest", "predicted", "kappa"),
    "doubling-roro": ("shortest", "longest"),
    "ro-advice": ("advice", "weight"),
    "clip": ("advice", "epsilon"),
}
ALGORITHMS = (
    "roro",
    "roro-plus",
    "roro-rate-limited",
    "one-way-trading",
    "simple-threshold",
    *_NEEDS,
)
"""Names which `replay_batch` knows."""


@dataclass(frozen=True)
class _Part:
    """Jobs under one kind of curve: rows of a stack."""

    curves: Curves
    beta: FloatArray
    work: FloatArray


class _Conversions:
    """Array twin of `conversion.Conversion`: the progress of many jobs."""

    def __init__(self, jobs: BatchJobs, curves: Curves, beta: FloatArray, work: FloatArray) -> None:
        copies = len(work) // len(jobs.work)
        self.curves = curves
        self.beta = beta
        self.work = work
        self.cap = np.tile(jobs.cap, copies)
        self.low, self.high = np.tile(jobs.L, copies), np.tile(jobs.U, copies)
        self.costs = jobs.costs
        self.copies = copies
        self.later = (np.tile(jobs.slots, copies) - 1) * self.cap
        self.done = np.zeros_like(work)
        self.rate = np.zeros_like(work)
        self.start, self.stop = np.zeros_like(work), work

    def replay(self) -> FloatArray:
        """Schedules, one row per job of the stack."""
        schedule = np.zeros((self.costs.shape[1], len(self.work)))
        for t in range(self.costs.shape[1]):
            c = np.tile(self.costs[:, t], self.copies)
            schedule[t] = self.decide(np.minimum(np.maximum(c, self.low), self.high))
        return schedule.T

    def decide(self, c: FloatArray) -> FloatArray:
        """Decide one slot and execute it."""
        left = self.work - self.done
        most = np.minimum(self.cap, self.stop - self.done)
        x = step_many(self.curves, c, self.done - self.start, self.rate, self.beta, most)
        least = np.minimum(np.minimum(left - self.later, self.cap), left)
        x = np.maximum(x, least)
        x[left <= DONE * self.work] = 0.0
        self.done = self.done + x
        self.rate = x
        self.later = self.later - self.cap
        return x


class _DoublingConversions(_Conversions):
    """Array twin of `algorithms.DoublingConversion`."""

    curves: ExponentialCurves

    def __init__(self, jobs: BatchJobs) -> None:
        curves = ExponentialCurves.roro(jobs.L, jobs.U, jobs.beta, jobs.shortest)
        super().__init__(jobs, curves, jobs.beta, jobs.longest)
        self.ratio = curves.width / jobs.shortest
        self.stop = jobs.shortest

    def decide(self, c: FloatArray) -> FloatArray:
        """Decide one slot, opening the next stretch where one is full."""
        while True:
            full = (self.stop < self.work) & (self.stop - self.done <= DONE * self.work)
            if not full.any():
                return super().decide(c)
            self.start = np.where(full, self.stop, self.start)
            self.stop = np.where(full, np.minimum(2 * self.stop, self.work), self.stop)
            old = self.curves
            width = np.where(full, self.ratio * (self.stop - self.start), old.width)
            self.curves = ExponentialCurves(old.top, old.log_gain, width, old.floor)


class _Clips:
    """Array twin of `algorithms.Clip`."""

    def __init__(self, jobs: BatchJobs) -> None:
        self.jobs = jobs
        ratio = gammas(jobs.L, jobs.U, jobs.beta, jobs.epsilon)
        self.curves = ExponentialCurves.roro(jobs.L, jobs.U, jobs.beta, jobs.work, ratio)

    def replay(self) -> FloatArray:
        """Schedules, one row per job."""
        j = self.jobs
        done, rate, pseudo, spent, advised, before, bill = (np.zeros_like(j.work) for _ in range(7))
        later = (j.slots - 1) * j.cap
        slack = SLACK * j.U * j.work
        schedule = np.zeros((j.costs.shape[1], len(j.work)))
        for t in range(j.costs.shape[1]):
            c = np.minimum(np.maximum(j.costs[:, t], j.L), j.U)
            a = j.advice[:, t]
            advised = advised + a
            bill = bill + (c * a + j.beta * np.abs(a - before))
            before = a
            left = j.work - done
            over = left <= DONE * j.work
            most = np.where(over, 0.0, np.minimum(j.cap, left))
            wanted = step_many(self.curves, c, pseudo, rate, j.beta, most)
            fair = bill + j.beta * a + (j.work - advised) * j.L
            rest = spent + j.beta * a + left * j.L
            low, high = _level_sets(
                (c - j.L, j.beta, j.U - j.L),
                (rate, a, advised - done),
                (1 + j.epsilon) * fair - rest + slack,
                most,
            )
            x = np.minimum(np.maximum(wanted, low), high)
            x = np.maximum(x, np.minimum(np.minimum(left - later, j.cap), left))
            x[over] = 0.0
            spent = spent + (c * x + j.beta * np.abs(x - rate))
            pseudo = pseudo + np.minimum(wanted, x)
            done, rate, later = done + x, x, later - j.cap
            schedule[t] = x
        return schedule.T


def _level_sets(
    slopes: tuple[FloatArray, FloatArray, FloatArray],
    kinks: tuple[FloatArray, FloatArray, FloatArray],
    budget: FloatArray,
    cap: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """`steps.level_set` for many jobs at once."""
    inner = np.sort(np.minimum(np.maximum(np.stack(kinks), 0.0), cap), axis=0)
    points = np.concatenate([np.zeros_like(inner[:1]), inner, cap[None]])
    values = slopes[0] * points + slopes[1] * np.abs(points - kinks[0])
    values += slopes[1] * np.abs(points - kinks[1])
    values += slopes[2] * np.maximum(kinks[2] - points, 0.0)
    inside = values <= budget
    best = np.take_along_axis(points, values.argmin(axis=0)[None], axis=0)[0]
    low, high = best, best
    # Each crossing lies on the segment between a point outside and its neighbour inside.
    for i, k in pairwise(range(len(points))):
        enters, leaves = inside[k] & ~inside[i], inside[i] & ~inside[k]
        low = np.where(enters, _crossing(points, values, budget, (k, i), enters), low)
        high = np.where(leaves, _crossing(points, values, budget, (i, k), leaves), high)
    low = np.where(inside[0], points[0], low)
    high = np.where(inside[-1], points[-1], high)
    return low, high


def _crossing(
    points: FloatArray,
    values: FloatArray,
    budget: FloatArray,
    pair: tuple[int, int],
    where: NDArray[np.bool_],
) -> FloatArray:
    inside, outside = pair
    rise = np.where(where, values[outside] - values[inside], 1.0)
    part = (budget - values[inside]) / rise
    return np.asarray(points[inside] + part * (points[outside] - points[inside]))


# ----------------------------------------------------------------------------------- the replay
def replay_batch(
    costs: ArrayLike,
    work: ArrayLike,
    *,
    cap: ArrayLike,
    L: ArrayLike,
    U: ArrayLike,
    beta: ArrayLike,
    slots: ArrayLike | None = None,
    shortest: ArrayLike | None = None,
    longest: ArrayLike | None = None,
    predicted: ArrayLike | None = None,
    advice: ArrayLike | None = None,
    kappa: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    epsilon: ArrayLike | None = None,
    algorithms: Sequence[str] = ("roro",),
) -> dict[str, FloatArray]:
    """Schedules of many jobs under many algorithms.

    Numbers apply to every job; arrays have one entry per job.

    Parameters
    ----------
    costs
        Carbon cost of a unit of work, jobs x slots.
    work
        True length of each job.
    cap
        Rate cap.
    L, U, beta
        Bounds of the costs and switching coefficient.
    slots
        Slots until the job's deadline; all columns by default. Costs beyond are not read.
    shortest, longest
        Range of a hidden length.
    predicted
        Predicted length.
    advice
        Advised schedules, jobs x slots, each summing to the job's length.
    kappa
        Trust of LACS in the prediction.
    weight
        Trust of RO-Advice in the advice.
    epsilon
        Loss which CLIP allows against its advice.
    algorithms
        Names out of `ALGORITHMS`.

    Returns
    -------
    dict
        For each algorithm the work done, jobs x slots.

    Raises
    ------
    UsageError
        Unknown algorithm, or an argument it needs is missing.
    InputError
        Shapes or values out of range, naming the first jobs concerned.
    """
    given = {
        "shortest": shortest,
        "longest": longest,
        "predicted": predicted,
        "advice": advice,
        "kappa": kappa,
        "weight": weight,
        "epsilon": epsilon,
    }
    for name in algorithms:
        if name not in ALGORITHMS:
            raise UsageError.unknown("algorithm", name, ALGORITHMS)
        missing = [need for need in _NEEDS.get(name, ()) if given[need] is None]
        if missing:
            raise UsageError(f"Algorithm '{name}' needs {', '.join(missing)}.")
    jobs = read_jobs(costs, work, given, cap=cap, L=L, U=U, beta=beta, slots=slots)
    virtual = _replay(jobs, set(algorithms))
    return {name: _cut(virtual[name], jobs.work) for name in algorithms}


def _replay(jobs: BatchJobs, names: set[str]) -> dict[str, FloatArray]:
    """Schedules of the longest jobs (or of the known ones), before the true end is seen."""
    parts: dict[str, _Part] = {}
    none = np.zeros_like(jobs.beta)
    bounds = (jobs.L, jobs.U, jobs.beta)
    builders: dict[str, Callable[[], _Part]] = {
        "roro": lambda: _Part(ExponentialCurves.roro(*bounds, jobs.work), jobs.beta, jobs.work),
        "roro-plus": lambda: _Part(
            ExponentialCurves.roro_plus(*bounds, jobs.work), jobs.beta, jobs.work
        ),
        "roro-rate-limited": lambda: _Part(
            TabulatedCurves.rate_limited(*bounds, jobs.work), jobs.beta, jobs.work
        ),
        "one-way-trading": lambda: _Part(
            ExponentialCurves.roro(jobs.L, jobs.U, none, jobs.work), none, jobs.work
        ),
        "simple-threshold": lambda: _Part(
            ConstantCurves(np.sqrt(jobs.L * jobs.U)), none, jobs.work
        ),
        "roro-predicted": lambda: _Part(
            ExponentialCurves.roro(
                *bounds, np.minimum(np.maximum(jobs.predicted, jobs.shortest), jobs.longest)
            ),
            jobs.beta,
            jobs.longest,
        ),
        "roro-robust": lambda: _Part(
            ExponentialCurves.robust(*bounds, jobs.shortest, jobs.longest), jobs.beta, jobs.longest
        ),
    }
    wanted = set(names)
    if "lacs" in names:
        wanted |= {"roro-predicted", "roro-robust"}
    if "ro-advice" in names:
        wanted.add("roro")
    for name, build in builders.items():
        if name in wanted:
            parts[name] = build()
    result = _replay_parts(jobs, parts)
    if "doubling-roro" in names:
        result["doubling-roro"] = _DoublingConversions(jobs).replay()
    if "clip" in names:
        result["clip"] = _Clips(jobs).replay()
    if "lacs" in names:
        trust = jobs.kappa[:, None]
        mixed = trust * result["roro-predicted"] + (1 - trust) * result["roro-robust"]
        result["lacs"] = mixed
    if "ro-advice" in names:
        trust = jobs.weight[:, None]
        result["ro-advice"] = trust * jobs.advice + (1 - trust) * result["roro"]
    return result


def _replay_parts(jobs: BatchJobs, parts: dict[str, _Part]) -> dict[str, FloatArray]:
    """Replay single thresholds; all exponential ones in one stack."""
    result: dict[str, FloatArray] = {}
    stacked = {n: p for n, p in parts.items() if isinstance(p.curves, ExponentialCurves)}
    for name, part in parts.items():
        if name not in stacked:
            result[name] = _Conversions(jobs, part.curves, part.beta, part.work).replay()
    if stacked:
        curves = [p.curves for p in stacked.values() if isinstance(p.curves, ExponentialCurves)]
        stack = ExponentialCurves(
            *(
                np.concatenate([getattr(curve, name) for curve in curves])
                for name in ("top", "log_gain", "width", "floor")
            )
        )
        beta = np.concatenate([p.beta for p in stacked.values()])
        work = np.concatenate([p.work for p in stacked.values()])
        rows = _Conversions(jobs, stack, beta, work).replay()
        count = len(jobs.work)
        for i, name in enumerate(stacked):
            result[name] = rows[i * count : (i + 1) * count]
    return result


def _cut(schedule: FloatArray, work: FloatArray) -> FloatArray:
    """End each schedule where the true job is done."""
    before = np.cumsum(schedule, axis=1) - schedule
    left = work[:, None] - before
    left[left <= DONE * work[:, None]] = 0.0
    return np.ascontiguousarray(np.minimum(schedule, left))
