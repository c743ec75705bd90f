"""The works of the peers benchmark: each gives one row per peer, with what it found.

A row has the seconds of processor that a work took (or the megabytes), and an objective in which
all peers of a case must agree.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from _compiler_paths import (
    APPSI,
    CVXPY,
    FIRST,
    LINOPY,
    OURS,
    PULP,
    PYOMO,
    RAW,
    STANDARD,
    Case,
    available,
    peak_bytes,
    relax,
    timed,
)
from _compiler_vectorised import HAS_LINOPY
from _harness import in_processes, median_seconds
from _peers_references import (
    Placed,
    PlainCluster,
    by_length,
    convert_by_numbers,
    plain_placement,
)
from _rolling_paths import PATHS, Horizon
from compiler import _quiet

import optmodels as om
from optmodels.comparison import run
from optmodels.forecast import make_forecast
from optmodels.policy import FloatArray, replay
from optmodels.scaling.cluster import POLICIES
from optmodels.scaling.cluster.replay import ClusterEnvironment
from optmodels.scaling.job.conversion.algorithms import Roro
from optmodels.scaling.job.conversion.batch import replay_batch
from optmodels.scaling.job.conversion.core import CostBounds
from optmodels.scaling.job.conversion.core import run as convert
from optmodels.scaling.job.exact.taut_string import JobLengthCurve

Row = dict[str, Any]

ALL_PATHS = (RAW, OURS, FIRST, CVXPY, LINOPY, PULP, STANDARD, PYOMO, APPSI)
HAND, ROLLED = "by hand, warm", "ours"
PERSISTENT, REBUILT = "Pyomo persistent", "linopy, rebuilt"
NUMERIC, CLOSED, BATCH = "quadrature and minimiser", "closed form", "closed form, all at once"
WARM_LP, STRING = "HiGHS LP per length, warm", "one taut string"
WHOLE_LP, PARTS = "HiGHS on the whole programme", "partition of the slots"
PLAIN, REPLAY, AUDITED = "plain Python", "replay", "replay, tables and audit"
MILP, COLUMNS = "HiGHS on the aggregated programme", "ours"
GAP = 0.005
"""Relative gap of placements."""
L, U, BETA = 100.0, 400.0, 20.0
"""Bounds of the carbon intensity and switching cost of the jobs [g]."""


def row(
    work: str,
    case: str,
    peer: str,
    ours: bool,
    *,
    seconds: float = np.nan,
    megabytes: float = np.nan,
    amount: float = np.nan,
    unit: str = "",
    objective: float = np.nan,
    **more: object,
) -> Row:
    """One peer on one case; `amount` of `unit` was done in the seconds."""
    return {
        "work": work,
        "case": case,
        "peer": peer,
        "ours": ours,
        "seconds": seconds,
        "megabytes": megabytes,
        "per_second": amount / seconds,
        "unit": unit,
        "objective": objective,
        **more,
    }


# ------------------------------------------------------------------------- building and memory
def building(
    shape: str, nonzeros: int, paths: Sequence[str], repeats: int, slow_repeats: int, seed: int
) -> list[Row]:
    """Everything before HiGHS's ``run()``; the objective is that of the relaxation."""
    case, usable = Case(shape, nonzeros, seed), available()
    slow = (PULP, STANDARD, PYOMO, APPSI)
    left = {p: slow_repeats if p in slow else repeats for p in paths if p in usable}
    seconds: dict[str, list[float]] = {path: [] for path in left}
    objective: dict[str, float] = {}
    with _quiet():
        for path in left:
            timed(Case(shape, nonzeros // 100, seed), path)
        while any(left.values()):
            for path in [path for path, count in left.items() if count]:
                build, hand_over, highs = timed(case, path)
                seconds[path].append(build + hand_over)
                left[path] -= 1
                if path not in objective:
                    relax(highs)
                    highs.run()
                    objective[path] = float(highs.getInfo().objective_function_value)
                del highs
    return [
        row(
            "model building",
            f"{shape}, {nonzeros:,} nonzeros",
            path,
            path == OURS,
            seconds=statistics.median(taken),
            amount=nonzeros,
            unit="nonzeros/s",
            objective=objective[path],
            repeats=len(taken),
        )
        for path, taken in seconds.items()
    ]


def memory(task: tuple[str, int, str, int]) -> Row:
    """Peak of one path in a process of its own, with the beginning of ``run()``."""
    shape, nonzeros, path, seed = task
    _, peak = peak_bytes(path, Case(shape, nonzeros, seed))
    case = f"{shape}, {nonzeros:,} nonzeros"
    return row("memory", case, path, path == OURS, megabytes=peak / 1e6)


def memories(
    shape: str, nonzeros: int, paths: Sequence[str], *, workers: int, seed: int
) -> list[Row]:
    """Peaks of all paths; memory is no time, so they may share the machine."""
    usable = available()
    tasks = [(shape, nonzeros, path, seed) for path in paths if path in usable]
    return list(in_processes(memory, tasks, workers=workers, what="memory"))


# ----------------------------------------------------------------------------- rolling horizon
def follow(task: tuple[str, int, int]) -> Row:
    """One path over the windows: median per window, and the sum of the objectives."""
    name, windows, seed = task
    horizon = Horizon(windows, np.random.default_rng(seed))
    taken, objective = [], 0.0
    with _quiet():
        step = PATHS[name](horizon.window(0))
        step(horizon.window(0))
        for number in range(windows):
            data = horizon.window(number)
            started = time.process_time()
            found = step(data)
            taken.append(time.process_time() - started)
            objective += found
    return row(
        "rolling horizon",
        f"{windows} windows of 48 h",
        name,
        name == ROLLED,
        seconds=statistics.median(taken),
        amount=1,
        unit="windows/s",
        objective=objective,
        repeats=windows,
    )


def rolling(names: Sequence[str], windows: int, workers: int, seed: int) -> list[Row]:
    """Every path in a process of its own."""
    used = [name for name in names if name != REBUILT or HAS_LINOPY]
    tasks = [(name, windows, seed) for name in used]
    with get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        return pool.map(follow, tasks, chunksize=1)


# ------------------------------------------------------------------------------ online policies
def _days(count: int, slots: int, rng: np.random.Generator) -> FloatArray:
    hours = np.arange(slots) + rng.integers(0, 24, (count, 1))
    swing = 250 + 110 * np.cos(2 * np.pi * hours / 24)
    return np.asarray(swing + rng.uniform(-40, 40, (count, slots)))


def policies(jobs: int, few: int, slots: int, repeats: int, seed: int) -> list[Row]:
    """RORO on whole jobs: `few` by numbers, all of them by the closed forms."""
    rng = np.random.default_rng(seed)
    carbon, work = _days(jobs, slots, rng), rng.uniform(1, slots / 4, jobs)

    def by_numbers() -> FloatArray:
        return np.stack(
            [convert_by_numbers(c, w, L, U, BETA) for c, w in zip(carbon[:few], work, strict=False)]
        )

    def one_by_one() -> FloatArray:
        return np.stack(
            [
                convert(Roro(CostBounds(L, U, BETA)), c, w, 1.0).schedule
                for c, w in zip(carbon, work.tolist(), strict=True)
            ]
        )

    def at_once() -> FloatArray:
        return replay_batch(carbon, work, cap=1.0, L=L, U=U, beta=BETA)["roro"]

    truth = by_numbers()
    rows = []
    for peer, way, count in ((NUMERIC, by_numbers, few), (CLOSED, one_by_one, jobs)):
        rows.append(
            _converted(peer, way, count, carbon, truth, 1 if way is by_numbers else repeats)
        )
    rows.append(_converted(BATCH, at_once, jobs, carbon, truth, 3 * repeats))
    return rows


def _converted(
    peer: str,
    way: Callable[[], FloatArray],
    count: int,
    carbon: FloatArray,
    truth: FloatArray,
    repeats: int,
) -> Row:
    rates = way()[: len(truth)]
    switched = np.abs(np.diff(rates, axis=1, prepend=0.0, append=0.0)).sum()
    return row(
        "online policy",
        f"RORO, jobs of {carbon.shape[1]} slots",
        peer,
        peer == CLOSED,
        seconds=median_seconds(way, repeats, warm=0) / count,
        amount=1,
        unit="jobs/s",
        objective=float((carbon[: len(truth)] * rates).sum() + BETA * switched),
        largest_difference=float(np.abs(rates - truth).max()),
        repeats=repeats,
    )


# ------------------------------------------------------------------------------------- oracles
def oracles(slots: int, count: int, repeats: int, seed: int) -> list[Row]:
    """The optimum of a job of every one of `count` lengths."""
    carbon = _days(1, slots, np.random.default_rng(seed))[0]
    lengths = np.linspace(slots / 100, slots / 2, count)
    ways: dict[str, Callable[[], Any]] = {
        WARM_LP: lambda: by_length(carbon, lengths.tolist(), BETA),
        STRING: lambda: JobLengthCurve.from_costs(carbon, BETA).cost(lengths),
    }
    return [
        row(
            "oracle",
            f"one job, {slots:,} slots, {count} lengths",
            peer,
            peer == STRING,
            seconds=median_seconds(way, repeats),
            amount=count,
            unit="lengths/s",
            objective=float(np.sum(way())),
            repeats=repeats,
        )
        for peer, way in ways.items()
    ]


def sizes(hours: int, sites: int, repeats: int, seed: int) -> list[Row]:
    """The cheapest fleet for sites that share one demand, audit included."""
    instance = om.generate(
        "rightsizing.sites", seed=seed, hours=hours, sites=sites, demand_gpus=250.0 * sites
    )
    return [
        row(
            "sizes of sites",
            f"{hours:,} hours, {sites} sites",
            peer,
            peer == PARTS,
            seconds=median_seconds(partial(om.solve, instance, method=method), repeats),
            amount=1,
            unit="fleets/s",
            objective=om.solve(instance, method=method).objective,
            repeats=repeats,
        )
        for peer, method in ((WHOLE_LP, "lp"), (PARTS, "partition"))
    ]


# ---------------------------------------------------------------------------- cluster simulation
def simulations(jobs: int, hours: int, repeats: int, seed: int) -> list[Row]:
    """A cluster under two policies; the objective is the carbon."""
    instance = om.generate("scaling.cluster", seed=seed, jobs=jobs, hours=hours, past_hours=0)
    forecast = make_forecast(
        "perfect",
        instance.carbon,
        slots_per_day=instance.slots_per_day,
        rng=np.random.default_rng(seed),
    )
    plain = PlainCluster(instance)
    rows = []
    for name in ("fcfs", "wait-awhile"):
        audited = run(instance, POLICIES[name](), forecast=forecast, seed=seed)
        grams, ends = plain.run(name)
        finish = float(audited.tables["jobs"]["finish_slot"].sum())

        def bare(name: str = name) -> None:
            replay(ClusterEnvironment(instance, frozenset(), forecast), POLICIES[name]())

        def whole(name: str = name) -> None:
            run(instance, POLICIES[name](), forecast=forecast, seed=seed)

        ways: dict[str, tuple[Callable[[], object], float]] = {
            PLAIN: (lambda name=name: plain.run(name), grams),
            REPLAY: (bare, audited.cost["carbon_g"]),
            AUDITED: (whole, audited.cost["carbon_g"]),
        }
        rows += [
            row(
                "cluster simulation",
                f"{name}, {jobs:,} jobs",
                peer,
                peer == REPLAY,
                seconds=median_seconds(way, repeats),
                amount=jobs,
                unit="jobs/s",
                objective=objective,
                largest_difference=abs(ends / finish - 1),
                repeats=repeats,
            )
            for peer, (way, objective) in ways.items()
        ]
    return rows


# ------------------------------------------------------------------------------------ placement
def placements(sites: int, applications: int, limit_s: float, seeds: Sequence[int]) -> list[Row]:
    """Edge placement to one gap, or as far as the plain way comes within its limit; sums of seeds.

    Branching is a matter of luck, so one small network says little.
    """
    ours, plain = [], []
    for seed in seeds:
        instance = om.generate(
            "placement.edge",
            seed=seed,
            sites=sites,
            applications=applications,
            zones=max(sites // 10, 2),
            rtt_limit_ms=10.0,
        )
        started = time.process_time()
        plan = om.solve(instance, mip_gap=GAP)
        seconds = time.process_time() - started
        bound = float(plan.bound if plan.bound is not None else np.nan)
        ours.append(Placed(seconds, plan.objective, bound, True))
        plain.append(plain_placement(instance, GAP, limit_s))
    several = f"{len(seeds)} networks of " if len(seeds) > 1 else ""
    case = f"{several}{sites} sites, {applications:,} applications, gap {GAP:.1%}"
    return [_placed(case, MILP, plain), _placed(case, COLUMNS, ours)]


def _placed(case: str, peer: str, found: Sequence[Placed]) -> Row:
    objective, bound = sum(one.objective for one in found), sum(one.bound for one in found)
    return row(
        "placement",
        case,
        peer,
        peer == COLUMNS,
        seconds=sum(one.seconds for one in found),
        amount=len(found),
        unit="plans/s",
        objective=objective,
        bound=bound,
        gap=(objective - bound) / abs(objective),
        reached=all(one.reached for one in found),
        repeats=len(found),
    )
