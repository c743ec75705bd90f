"""Random arrivals of elastic jobs on a real grid, and what every policy does with them.

Arrivals are drawn from a seed: start, length J, and a noisy prediction of it. The threshold
algorithms are replayed all at once (`replay_batch`), the other policies one by one in the real
environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optmodels.forecast import DayBeforeForecast, FixedForecast, Forecast, VintageForecast
from optmodels.policy import FloatArray, replay
from optmodels.scaling.job import POLICIES
from optmodels.scaling.job.conversion.batch import replay_batch
from optmodels.scaling.job.conversion.core import DONE
from optmodels.scaling.job.conversion.ratios import alphas, assumption_holds
from optmodels.scaling.job.exact.schedule import ramps
from optmodels.scaling.job.exact.taut_string import JobLengthCurve
from optmodels.scaling.job.from_trace import from_trace
from optmodels.scaling.job.instance import LOWEST_WINDOW_SHARE, JobInstance
from optmodels.scaling.job.replay import JobEnvironment
from optmodels.traces.trace import CARBON, Trace
from optmodels.traces.vintages import Vintages

HISTORY_HOURS = 30 * 24
DAY = 24
SIGMA = 0.2
"""Standard deviation of the relative error of the predicted length."""

AGNOSTIC = (
    "run-now",
    "deadline-aware",
    "random-slots",
    "suspend-resume-threshold",
)
PLANNED = ("static-scale", "suspend-resume-deadline", "lowest-slots", "carbonscaler")
"""Policies that plan from a forecast and do not look at the switching cost."""
RECEDING, ROLLING = "receding-horizon", "rolling-horizon"
"""Policies that solve anew in every slot, switching included."""
ADVISED = ("ro-advice", "clip")
BATCHED = {
    "sqrt-threshold": "simple-threshold",
    "one-way-trading": "one-way-trading",
    "roro": "roro",
    "roro-plus": "roro-plus",
    "roro-rate-limited": "roro-rate-limited",
    "roro-predicted": "roro-predicted",
    "roro-longest": "roro-predicted",
    "roro-robust": "roro-robust",
    "lacs": "lacs",
    "doubling": "doubling-roro",
    "ro-advice": "ro-advice",
    "clip": "clip",
}
"""Threshold policies, and the algorithm of `replay_batch` that each of them runs."""
LACS_TRUST, LACS_HALF = 0.8, 0.5
ADVICE_TRUST = 0.5


@dataclass(frozen=True)
class Arrivals:
    """Random jobs on one grid: one row or entry per arrival.

    Attributes
    ----------
    trace, vintages
        Carbon intensity of the zone, and real forecasts where there are any.
    start
        Row of the trace in which the job arrives.
    slots
        T: slots until the deadline.
    work, predicted
        Length of the job and its prediction, in full-rate slots.
    low, high
        Window (L, U) of carbon intensities which online algorithms assume [g/kWh].
    shortest, longest
        Range in which the length is known to lie.
    """

    trace: Trace
    vintages: Vintages | None
    slots: int
    shortest: float
    longest: float
    start: np.ndarray
    work: FloatArray
    predicted: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def draw(
        cls,
        trace: Trace,
        slots: int,
        lengths: tuple[float, float],
        count: int,
        rng: np.random.Generator,
        vintages: Vintages | None = None,
    ) -> Arrivals:
        """Arrivals that have a full history before them and a full horizon after them."""
        shortest, longest = lengths
        start = rng.integers(HISTORY_HOURS, len(trace) - slots + 1, count)
        work = rng.uniform(shortest, longest, count)
        noisy = work * (1 + rng.normal(0.0, SIGMA, count))
        predicted = np.clip(noisy, shortest, longest)
        past = _values(trace)[start[:, None] - HISTORY_HOURS + np.arange(HISTORY_HOURS)]
        high = past.max(axis=1)
        low = np.maximum(past.min(axis=1), LOWEST_WINDOW_SHARE * high)
        return cls(trace, vintages, slots, shortest, longest, start, work, predicted, low, high)

    @property
    def count(self) -> int:
        """Number of arrivals."""
        return int(self.start.size)

    def only(self, which: slice | np.ndarray) -> Arrivals:
        """Some of the arrivals."""
        names = ("start", "work", "predicted", "low", "high")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    def assuming_whole_trace(self) -> Arrivals:
        """The same with the extremes of the whole trace as window: knowledge that is assumed."""
        high = np.full(self.count, self.values.max())
        low = np.maximum(np.full(self.count, self.values.min()), LOWEST_WINDOW_SHARE * high)
        return replace(self, low=low, high=high)

    def fits(self, beta: float) -> np.ndarray:
        """Whether the theory's standing assumption 2β < U - L holds, per arrival."""
        pairs = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return np.array([assumption_holds(low, high, beta) for low, high in pairs], dtype=bool)

    @cached_property
    def values(self) -> FloatArray:
        """Carbon intensity of the whole trace [g/kWh]."""
        return _values(self.trace)

    @cached_property
    def carbon(self) -> FloatArray:
        """Carbon intensity of each slot, arrivals x slots."""
        return self.values[self.start[:, None] + np.arange(self.slots)]

    @cached_property
    def day_before(self) -> FloatArray:
        """Forecast at arrival that repeats the newest revealed day, arrivals x slots."""
        hours = np.arange(1, self.slots) - 1
        back = self.start[:, None] - DAY + 1 + hours % DAY
        return np.hstack([self.carbon[:, :1], self.values[back]])

    def instance(self, index: int, beta: float, history_hours: int = HISTORY_HOURS) -> JobInstance:
        """The ordinary instance of one arrival, its length hidden."""
        return from_trace(
            self.trace,
            start=self.trace.frame.index[self.start[index]],
            hours=self.slots,
            work=float(self.work[index]),
            switching_g=beta,
            rate_cap=1.0,
            history_days=history_hours / DAY,
            work_min=self.shortest,
            work_max=self.longest,
            work_predicted=float(self.predicted[index]),
            vintages=self.vintages,
        )


def _values(trace: Trace) -> FloatArray:
    return trace.frame[CARBON].to_numpy(dtype=np.float64)


# ---------------------------------------------------------------------------------------- costs
def costs_of(jobs: Arrivals, schedules: FloatArray, beta: float) -> FloatArray:
    """Cost of each arrival's schedule [g]."""
    total: FloatArray = (schedules * jobs.carbon).sum(axis=1) + beta * ramps(schedules)
    return total


def optima(jobs: Arrivals, beta: float) -> FloatArray:
    """Offline optimum of each arrival by the taut string [g]."""
    curves = (JobLengthCurve.from_costs(c, beta) for c in jobs.carbon)
    return np.array([curve.cost(j) for curve, j in zip(curves, jobs.work.tolist(), strict=True)])


def advice(jobs: Arrivals, forecast: FloatArray, beta: float) -> FloatArray:
    """Optimal schedule of each arrival for a forecast, arrivals x slots."""
    curves = (JobLengthCurve.from_costs(c, beta) for c in forecast)
    plans = [curve.schedule(j) for curve, j in zip(curves, jobs.work.tolist(), strict=True)]
    return np.array(plans)


def finished(schedules: FloatArray, work: FloatArray) -> FloatArray:
    """Schedules of longer jobs, ended where the true one is done."""
    left = work[:, None] - (np.cumsum(schedules, axis=1) - schedules)
    left[left <= DONE * work[:, None]] = 0.0
    return np.minimum(schedules, left)


# --------------------------------------------------------------------------- threshold algorithms
def threshold_schedules(
    jobs: Arrivals, beta: float, forecasts: Mapping[str, FloatArray], names: Iterable[str]
) -> dict[tuple[str, str], FloatArray]:
    """Schedules of threshold policies by (policy, forecast), all arrivals at once.

    Where switching outweighs the window the policies run at once, as `ThresholdPolicy` does.
    """
    fits = jobs.fits(beta)
    at_once = finished(np.ones_like(jobs.carbon), jobs.work)
    ahead = {label: values[fits] for label, values in forecasts.items()}
    found = _replay_all(jobs.only(fits), beta, ahead, set(names))
    result = {}
    for key, part in found.items():
        schedules = at_once.copy()
        schedules[fits] = part
        result[key] = schedules
    return result


def _replay_all(
    jobs: Arrivals, beta: float, forecasts: Mapping[str, FloatArray], names: set[str]
) -> dict[tuple[str, str], FloatArray]:
    if not jobs.count:
        empty = np.zeros_like(jobs.carbon)
        plain = {(name, ""): empty for name in names - set(ADVISED)}
        return plain | {(n, f): empty for n in names & set(ADVISED) for f in forecasts}
    common: dict[str, Any] = {
        "cap": 1.0,
        "L": jobs.low,
        "U": jobs.high,
        "beta": beta,
        "shortest": jobs.shortest,
        "longest": jobs.longest,
    }

    def batch(algorithms: Iterable[str], **changes: Any) -> dict[str, FloatArray]:
        given = {"work": jobs.work, "predicted": jobs.predicted, "kappa": LACS_TRUST}
        return replay_batch(jobs.carbon, **(common | given | changes), algorithms=tuple(algorithms))

    special = {"sqrt-threshold", "roro-longest", "lacs-0.5", *ADVISED}
    found = batch(BATCHED[name] for name in names - special)
    result = {(name, ""): found[BATCHED[name]] for name in names - special}
    if "roro-longest" in names:
        longest = batch(["roro-predicted"], predicted=jobs.longest)
        result["roro-longest", ""] = longest["roro-predicted"]
    if "lacs-0.5" in names:
        result["lacs-0.5", ""] = batch(["lacs"], kappa=LACS_HALF)["lacs"]
    if "sqrt-threshold" in names:
        # Its compulsory rule protects the longest job, since the length is hidden.
        whole = np.full_like(jobs.work, jobs.longest)
        longest = batch(["simple-threshold"], work=whole)
        result["sqrt-threshold", ""] = finished(longest["simple-threshold"], jobs.work)
    wanted = [name for name in ADVISED if name in names]
    if wanted:
        epsilon = (1 - ADVICE_TRUST) * (alphas(jobs.low, jobs.high, beta) - 1)
        for label, forecast in forecasts.items():
            plans = advice(jobs, forecast, beta)
            advised = batch(wanted, advice=plans, weight=ADVICE_TRUST, epsilon=epsilon)
            result |= {(name, label): advised[name] for name in wanted}
    return result


# --------------------------------------------------------------------------------- single replays
def replayed(
    instance: JobInstance, name: str, forecast: Forecast | None, *, known: bool, seed: int
) -> FloatArray:
    """Schedule of one policy in the real environment."""
    kind = POLICIES[name]
    policy = kind(seed=seed) if kind.randomised else kind()  # type: ignore[call-arg]
    granted = policy.needs | ({"length"} if known else set())
    environment = JobEnvironment(instance, granted=granted, forecast=forecast)
    replay(environment, policy)
    rates: FloatArray = environment.shares[:, 1]
    return rates


def forecast_of(kind: str, instance: JobInstance) -> Forecast:
    """Forecast of one kind for one arrival."""
    if kind == "perfect":
        return FixedForecast(instance.carbon)
    if kind == "vintages":
        table = instance.vintages()
        if table is None:
            raise ValueError("the zone has no real forecasts")
        return VintageForecast(table, DAY)
    return DayBeforeForecast(instance.slots, DAY)


def forecasts_at_arrival(jobs: Arrivals, kinds: Iterable[str]) -> dict[str, FloatArray]:
    """What each kind of forecast says at arrival, arrivals x slots."""
    result = {}
    for kind in kinds:
        if kind == "perfect":
            result[kind] = jobs.carbon
        elif kind == "day-before":
            result[kind] = jobs.day_before
        else:
            result[kind] = _vintages_at_arrival(jobs)
    return result


def _vintages_at_arrival(jobs: Arrivals) -> FloatArray:
    """The newest real forecast issued at or before each arrival; beyond its lead the day before."""
    if jobs.vintages is None:
        raise ValueError("the zone has no real forecasts")
    times = jobs.trace.frame.index
    rows = []
    for index, begin in enumerate(jobs.start.tolist()):
        issued = jobs.vintages.at(times[begin]).reindex(times[begin : begin + jobs.slots])
        said = issued.to_numpy(dtype=np.float64)
        rows.append(np.where(np.isnan(said), jobs.day_before[index], said))
        rows[-1][0] = jobs.carbon[index, 0]
    return np.array(rows)
