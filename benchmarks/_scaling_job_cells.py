"""Cells of the benchmark of one elastic job: a zone, a deadline T, a switching cost β.

All policies of a cell see the same arrivals. The schedule of a policy that ignores the switching
cost is replayed once and serves all β; on a sample of arrivals the public path (`compare`: replay,
audit, oracle, certificates) must give the same numbers for every policy and every β.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from _scaling_job_arrivals import (
    ADVICE_TRUST,
    ADVISED,
    AGNOSTIC,
    BATCHED,
    DAY,
    PLANNED,
    RECEDING,
    ROLLING,
    Arrivals,
    advice,
    costs_of,
    finished,
    forecast_of,
    forecasts_at_arrival,
    optima,
    replayed,
    threshold_schedules,
)

from optmodels.comparison import compare
from optmodels.policy import FloatArray
from optmodels.scaling.job import POLICIES
from optmodels.scaling.job.conversion.guarantees import GUARANTEES, RunFacts
from optmodels.scaling.job.conversion.steps import step_many
from optmodels.scaling.job.conversion.thresholds import ExponentialCurves
from optmodels.scaling.job.exact.schedule import ramps
from optmodels.scaling.job.from_trace import from_trace


@dataclass
class Findings:
    """Rows of a cell, and the extremes on which checks rest."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    extremes: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Keep the largest value seen under a name."""
        self.extremes[name] = max(value, self.extremes.get(name, -np.inf))

    def add(self, other: Findings) -> None:
        """Take over what another cell has found."""
        self.rows += other.rows
        for name, value in other.extremes.items():
            self.note(name, value)


Key = tuple[str, str, str]
"""Policy, forecast, and whether the length is "hidden" or "known"."""


@dataclass(frozen=True)
class Plan:
    """What a cell runs.

    Attributes
    ----------
    agnostic
        Policies without a forecast, in the order of the table.
    thresholds
        Threshold policies, advised ones included.
    forecasts
        Forecasts of the planned and the advised policies.
    planned
        Planned policies by forecast and "hidden" or "known" length.
    replanning
        How many arrivals the policies run that solve anew in every slot, by policy, forecast and
        length.
    audited
        How many arrivals go through the public path as well.
    """

    agnostic: tuple[str, ...]
    thresholds: tuple[str, ...]
    forecasts: tuple[str, ...]
    planned: Mapping[tuple[str, str], tuple[str, ...]]
    replanning: Mapping[Key, int]
    audited: int


DAY_BEFORE, PERFECT, VINTAGES = "day-before", "perfect", "vintages"
HIDDEN, KNOWN = "hidden", "known"
_FOLLOWING = ("lowest-slots", "carbonscaler")
"""Planned policies that plan again as newer forecasts come in."""
MAIN = Plan(
    agnostic=AGNOSTIC,
    thresholds=(*BATCHED, "lacs-0.5"),
    forecasts=(DAY_BEFORE, PERFECT),
    planned={
        (DAY_BEFORE, HIDDEN): PLANNED,
        (DAY_BEFORE, KNOWN): ("static-scale", *_FOLLOWING),
        (PERFECT, KNOWN): ("carbonscaler",),
    },
    replanning={
        (RECEDING, DAY_BEFORE, HIDDEN): 100,
        (RECEDING, DAY_BEFORE, KNOWN): 60,
        (RECEDING, PERFECT, KNOWN): 30,
        (ROLLING, DAY_BEFORE, HIDDEN): 30,
        (ROLLING, PERFECT, KNOWN): 15,
    },
    audited=3,
)
ADVICE = Plan(
    agnostic=("run-now",),
    thresholds=("roro", "lacs", *ADVISED),
    forecasts=(VINTAGES, DAY_BEFORE, PERFECT),
    planned={(kind, KNOWN): _FOLLOWING for kind in (VINTAGES, DAY_BEFORE, PERFECT)},
    replanning={
        (RECEDING, VINTAGES, KNOWN): 100,
        (RECEDING, DAY_BEFORE, KNOWN): 100,
        (RECEDING, PERFECT, KNOWN): 30,
        (ROLLING, VINTAGES, KNOWN): 30,
    },
    audited=3,
)


def single_schedules(jobs: Arrivals, plan: Plan) -> dict[Key, FloatArray]:
    """Schedules of the policies that ignore switching, so that one replay serves all of it."""
    found: dict[Key, list[FloatArray]] = {}
    for index in range(jobs.count):
        instance = jobs.instance(index, 0.0)
        for name in plan.agnostic:
            rates = replayed(instance, name, None, known=False, seed=index)
            found.setdefault((name, "", "hidden"), []).append(rates)
        for (kind, length), names in plan.planned.items():
            forecast = forecast_of(kind, instance)
            for name in names:
                rates = replayed(instance, name, forecast, known=length == "known", seed=index)
                found.setdefault((name, kind, length), []).append(rates)
    return {key: np.array(rates) for key, rates in found.items()}


def replanned_schedules(jobs: Arrivals, plan: Plan, beta: float) -> dict[Key, FloatArray]:
    """Schedules of the policies that solve anew in every slot, for the first arrivals."""
    most = min(max(plan.replanning.values(), default=0), jobs.count)
    found: dict[Key, list[FloatArray]] = {}
    for index in range(most):
        instance = jobs.instance(index, beta, history_hours=DAY)
        for key, count in plan.replanning.items():
            if index < count:
                name, kind, length = key
                forecast = forecast_of(kind, instance)
                rates = replayed(instance, name, forecast, known=length == KNOWN, seed=index)
                found.setdefault(key, []).append(rates)
    return {key: np.array(rates) for key, rates in found.items()}


# ---------------------------------------------------------------------------------------- a cell
def cell_rows(
    jobs: Arrivals,
    betas: Iterable[float],
    plan: Plan,
    part: str,
) -> Findings:
    """All rows of one zone and one deadline, and what the checks need of them."""
    findings = Findings()
    ahead = forecasts_at_arrival(jobs, plan.forecasts)
    singles = single_schedules(jobs, plan)
    for beta in betas:
        best = optima(jobs, beta)
        batched = threshold_schedules(jobs, beta, ahead, plan.thresholds)
        found = singles | {
            (name, kind, _length_seen(name)): schedules
            for (name, kind), schedules in batched.items()
        }
        found |= replanned_schedules(jobs, plan, beta)
        base = costs_of(jobs, found["run-now", "", "hidden"], beta)
        place = {"part": part, "zone": jobs.trace.zone, "slots": jobs.slots, "beta_g": beta}
        for (name, kind, length), schedules in found.items():
            some = jobs.only(slice(len(schedules)))
            cost = costs_of(some, schedules, beta)
            limits = limits_of(name, some, best, beta) if name == "roro-rate-limited" else None
            row = {"policy": name, "forecast": kind, "length": length}
            findings.rows.append(
                place | row | statistics_of(cost, best[: len(cost)], base[: len(cost)], limits)
            )
            _note(findings, some, schedules, cost / best[: len(cost)])
            if limits is not None:
                findings.note("limit use", float(np.nanmax(cost / limits, initial=-np.inf)))
        _note_equalities(findings, jobs, found, best, beta)
        for index in range(min(plan.audited, jobs.count)):
            findings.note("public path", public_path_error(jobs, index, beta, found, best))
    return findings


def _length_seen(name: str) -> str:
    kind = POLICIES[name.removesuffix("-0.5")]
    return "known" if "length" in kind.needs else "hidden"


def statistics_of(
    cost: FloatArray, best: FloatArray, base: FloatArray, limits: FloatArray | None = None
) -> dict[str, float]:
    """Columns of a row: ratio to the optimum, saving, use of certified limits."""
    ratio = cost / best
    certified = np.full_like(cost, np.nan) if limits is None else limits
    held = ~np.isnan(certified)
    return {
        "n": cost.size,
        "mean_ratio": float(ratio.mean()),
        "p95_ratio": float(np.percentile(ratio, 95)),
        "saving": float((1 - cost / base).mean()),
        "limit_use": float((cost[held] / certified[held]).max()) if held.any() else np.nan,
        "certified": float(held.mean()),
    }


def _note(findings: Findings, jobs: Arrivals, schedules: FloatArray, ratio: FloatArray) -> None:
    findings.note("below optimum", float((1 - ratio).max()))
    findings.note("work", float(np.abs(schedules.sum(axis=1) / jobs.work - 1).max()))
    findings.note("rate", float(max(schedules.max() - 1, -schedules.min())))


def _note_equalities(
    findings: Findings,
    jobs: Arrivals,
    found: Mapping[Key, FloatArray],
    best: FloatArray,
    beta: float,
) -> None:
    if beta == 0:
        known = ("one-way-trading", "", "known")
        if known in found:
            gap = np.abs(found[known] - found["roro", "", "known"]).max()
            findings.note("one-way", float(gap))
        cost = costs_of(jobs, found["carbonscaler", "perfect", "known"], beta)
        findings.note("carbonscaler", float((cost / best - 1).max()))
    perfect = found.get((RECEDING, "perfect", "known"))
    if perfect is not None:
        some = jobs.only(slice(len(perfect)))
        excess = costs_of(some, perfect, beta) / best[: len(perfect)] - 1
        findings.note("receding", float(excess.max()))


def limits_of(
    algorithm: str, jobs: Arrivals, best: FloatArray, beta: float, **facts: FloatArray | float
) -> FloatArray:
    """Certified limit of each arrival's run [g], NaN where an assumption does not hold."""
    guarantee = GUARANTEES[algorithm]
    least, greatest = jobs.carbon.min(axis=1), jobs.carbon.max(axis=1)
    columns = {
        "L": jobs.low,
        "U": jobs.high,
        "beta": beta,
        "least_cost": least,
        "greatest_cost": greatest,
        "work": jobs.work,
        "cap": 1.0,
        "optimum": best,
        **facts,
    }
    table = {name: np.broadcast_to(v, best.shape).tolist() for name, v in columns.items()}
    limits = [
        guarantee.certified_limit(RunFacts(**dict(zip(table, row, strict=True))))
        for row in zip(*table.values(), strict=True)
    ]
    return np.array([np.nan if limit is None else limit for limit in limits])


def public_path_error(
    jobs: Arrivals, index: int, beta: float, found: Mapping[Key, FloatArray], best: FloatArray
) -> float:
    """Largest relative difference between the fast numbers and those of `compare`, one arrival.

    `compare` replays every policy slot by slot, audits the plans from the raw tables, solves by
    another route, and raises where a certified limit is crossed.
    """
    kind = "vintages" if jobs.vintages is not None else "day-before"
    instance = jobs.instance(index, beta)
    frame = compare(instance, forecast=kind, seed=index).frame.set_index("policy")
    errors = [abs(frame.loc["optimum", "total"] / best[index] - 1)]
    for (name, forecast, length), schedules in found.items():
        granted = length == _length_seen(name)
        if name in frame.index and forecast in ("", kind) and granted and index < len(schedules):
            one = schedules[index]
            cost = float(one @ jobs.carbon[index] + beta * ramps(one))
            errors.append(abs(cost / frame.loc[name, "total"] - 1))
    return float(max(errors))


# --------------------------------------------------------------------------------- certified part
CERTIFIED = (
    "roro",
    "roro-plus",
    "roro-rate-limited",
    "one-way-trading",
    "roro-predicted",
    "roro-longest",
    "roro-robust",
    "ro-advice",
)
"""Policies with a proven limit; it applies where the whole job fits into one slot."""


def certified_rows(jobs: Arrivals, betas: Iterable[float], part: str) -> Findings:
    """Rows of small jobs (at most one full-rate slot) with their certified limits."""
    findings = Findings()
    ahead = forecasts_at_arrival(jobs, ["day-before"])
    for beta in betas:
        best = optima(jobs, beta)
        base = costs_of(jobs, finished(np.ones_like(jobs.carbon), jobs.work), beta)
        batched = threshold_schedules(jobs, beta, ahead, CERTIFIED)
        for name in CERTIFIED:
            kind = "day-before" if name in ADVISED else ""
            schedules = batched[name, kind]
            cost = costs_of(jobs, schedules, beta)
            limits = certified_limits(name, jobs, best, beta, batched)
            place = {"part": part, "zone": jobs.trace.zone, "slots": jobs.slots, "beta_g": beta}
            row = {"policy": name, "forecast": kind, "length": _length_seen(name)}
            findings.rows.append(place | row | statistics_of(cost, best, base, limits))
            _note(findings, jobs, schedules, cost / best)
            findings.note("limit use", float(np.nanmax(cost / limits, initial=-np.inf)))
    return findings


def certified_limits(
    name: str,
    jobs: Arrivals,
    best: FloatArray,
    beta: float,
    batched: Mapping[tuple[str, str], FloatArray],
) -> FloatArray:
    hidden = {"shortest": jobs.shortest, "longest": jobs.longest}
    fits = jobs.fits(beta)
    limits = np.full_like(best, np.nan)
    if not fits.any():
        return limits
    some, least = jobs.only(fits), best[fits]
    schedules = {key: rows[fits] for key, rows in batched.items()}
    bounds = (some.low, some.high, np.full(some.count, beta))
    facts: dict[str, FloatArray | float] = {}
    whole = np.full(some.count, jobs.longest)
    if name in ("roro", "ro-advice"):
        curves = ExponentialCurves.roro(*bounds, some.work)
        facts["forced"] = forced(curves, some, schedules["roro", ""], some.work, beta)
    elif name in ("roro-predicted", "roro-longest"):
        guess = some.predicted if name == "roro-predicted" else whole
        curves = ExponentialCurves.roro(*bounds, guess)
        facts = {**hidden, "predicted": guess}
        facts["forced"] = forced(curves, some, schedules[name, ""], whole, beta)
    elif name == "roro-robust":
        curves = ExponentialCurves.robust(*bounds, jobs.shortest, whole)
        facts = {**hidden, "forced": forced(curves, some, schedules[name, ""], whole, beta)}
    if name == "ro-advice":
        plans = advice(some, some.day_before, beta)
        facts["forced"] = (1 - ADVICE_TRUST) * facts["forced"]
        facts |= {"advice_cost": costs_of(some, plans, beta), "weight": ADVICE_TRUST}
    limits[fits] = limits_of(BATCHED[name], some, least, beta, **facts)
    return limits


def forced(
    curves: ExponentialCurves,
    jobs: Arrivals,
    schedules: FloatArray,
    whole: FloatArray,
    beta: float,
) -> FloatArray:
    """Work that each schedule bought beyond what its threshold asked for (q).

    The rule is asked once more along the schedule; `whole` is the work which the compulsory rule
    protects: the longest possible job.
    """
    switching = np.full(jobs.count, beta)
    done, rate, total = (np.zeros(jobs.count) for _ in range(3))
    for t in range(jobs.slots):
        c = np.clip(jobs.carbon[:, t], jobs.low, jobs.high)
        asked = step_many(curves, c, done, rate, switching, np.minimum(1.0, whole - done))
        total += np.maximum(schedules[:, t] - asked, 0.0)
        done, rate = done + schedules[:, t], schedules[:, t]
    return total


# -------------------------------------------------------------------------------- measured profiles
PROFILED = ("run-now", "base-scale", "static-scale", "suspend-resume-deadline", "carbonscaler")


def profile_rows(jobs: Arrivals, profile: pd.DataFrame, part: str) -> Findings:
    """Rows of jobs with a measured profile: known length, perfect forecast, no switching cost.

    The length counts slots on one server, as in CarbonScaler's set-up; the saving is that against
    running on one server from arrival.
    """
    findings = Findings()
    frames = []
    one = float(profile.loc[profile["servers"] == 1, "throughput"].iloc[0])
    for index in range(jobs.count):
        instance = from_trace(
            jobs.trace,
            start=jobs.trace.frame.index[jobs.start[index]],
            hours=jobs.slots,
            work=float(jobs.work[index]) * one,
            switching_g=0.0,
            profile=profile,
            history_days=1,
        )
        frames.append(compare(instance, PROFILED, forecast="perfect").frame.set_index("policy"))
    best = np.array([frame.loc["optimum", "total"] for frame in frames])
    base = np.array([frame.loc["base-scale", "total"] for frame in frames])
    place = {"part": part, "zone": jobs.trace.zone, "slots": jobs.slots, "beta_g": 0.0}
    for name in PROFILED:
        cost = np.array([frame.loc[name, "total"] for frame in frames])
        kind = "perfect" if "forecast" in POLICIES[name].needs else ""
        row = {"policy": name, "forecast": kind, "length": "known"}
        findings.rows.append(place | row | statistics_of(cost, best, base))
        findings.note("below optimum", float((1 - cost / best).max()))
        if name == "carbonscaler":
            findings.note("carbonscaler", float((cost / best - 1).max()))
    return findings
