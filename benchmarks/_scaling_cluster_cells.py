"""Cells of the benchmark of a cluster: one zone, one week, one cluster, and everybody's plan of it.

The week that is judged comes after the weeks from which policies may learn. All plans of a cell are
for the same jobs, audited alike, and held against the same proven bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from _harness import shared_data

from optmodels.comparison import run
from optmodels.forecast import make_forecast
from optmodels.plan import Plan
from optmodels.scaling.cluster import POLICIES, facts, solve, synthetic
from optmodels.scaling.cluster.bound import Relaxation
from optmodels.scaling.cluster.from_trace import from_trace
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.traces import Trace, read_carbon, read_jobs

WEEK_H = 168.0
LEAST_HOURS = 1.0
GREEDY, ORACLE, BOUND = "carbonflex-oracle", "optimum", "LP bound"
FILES = {"azure": "azure-100k.csv.gz", "pai": "pai_1k.csv"}

#: Utilisations of clusters in which the capacity binds.
SMALL_LOADS = (0.75, 0.85, 0.95)
#: Relative differences beneath this are rounding.
_ROUNDING = 1e-9

Row = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster, its load, and how much of its past is known.

    Attributes
    ----------
    name
        Label.
    trace
        Job trace: "azure" or "pai".
    capacity, most_servers
        Servers of the cluster, and of a job at most.
    utilisation
        Server-hours of all jobs on one server each, as a share of the week's.
    history_weeks
        Weeks from which policies may learn.
    """

    name: str
    trace: str
    capacity: int
    most_servers: int
    history_weeks: int
    utilisation: float = 0.5


@dataclass(frozen=True)
class Cell:
    """One week of one zone on one cluster; `policies` only where they are asked for."""

    part: str
    cluster: Cluster
    zone: str
    week: str
    seed: int
    policies: tuple[str, ...] = tuple(POLICIES)


# -------------------------------------------------------------------------------------- the traces
@lru_cache(maxsize=16)
def read_zone(zone: str) -> Trace:
    """Life-cycle carbon intensity of a zone in 2022."""
    folder = shared_data() / "carbon" / "electricitymaps_2022_123zones"
    path = folder / "combined_carbon_2022.csv.gz"
    return read_carbon(path, "zone-table", zone=zone, quantity="lifecycle")


@lru_cache(maxsize=2)
def read_trace(name: str) -> pd.DataFrame:
    """Jobs of a trace."""
    return read_jobs(shared_data() / "cluster_traces" / "gaia" / FILES[name])


def week_with_history(
    jobs: pd.DataFrame, weeks: int, work_h: float, seed: int
) -> tuple[pd.DataFrame, float]:
    """Make several weeks of a trace that has one: the last is real, those before are drawn.

    The jobs of the week are split by chance. One part, of `work_h` server-hours, is the week that
    is judged, as it was. The weeks before are drawn from the other part, with replacement, until
    they have as much work; each job keeps its length and hour of the day, its day is drawn. So no
    job of the history is a job of the week that is judged.

    Parameters
    ----------
    jobs
        Jobs of one week.
    weeks
        Weeks of history.
    work_h
        Server-hours of the week that is judged, reached by a whole job.
    seed
        Seed of the split and of the draws.

    Returns
    -------
    tuple
        Jobs of all weeks, and the server-hours of the week that is judged.
    """
    rng = np.random.default_rng(seed)
    jobs = jobs[jobs["length_h"] >= LEAST_HOURS]
    jobs = jobs.iloc[rng.permutation(len(jobs))]
    count = int(np.searchsorted(jobs["length_h"].cumsum().to_numpy(), work_h)) + 1
    judged, others = jobs.iloc[:count], jobs.iloc[count:]
    # The least that is not less than the work of the week: the whole job that reaches it is in.
    work_h = float(judged["length_h"].sum())
    parts = []
    for week in range(weeks):
        # Long enough, whatever is drawn: no job is shorter than the least.
        drawn = others.iloc[rng.integers(0, len(others), int(work_h / LEAST_HOURS) + 1)]
        drawn = drawn[(drawn["length_h"].cumsum() - drawn["length_h"]).to_numpy() < work_h]
        day = rng.integers(0, 7, len(drawn))
        parts.append(drawn.assign(arrival_h=week * WEEK_H + 24 * day + drawn["arrival_h"] % 24))
    parts.append(judged.assign(arrival_h=judged["arrival_h"] + weeks * WEEK_H))
    every = pd.concat(parts, ignore_index=True).sort_values("arrival_h", ignore_index=True)
    return every, work_h


def instance_of(cell: Cell) -> ClusterInstance:
    """The week of a cell with its history."""
    cluster = cell.cluster
    jobs = read_trace(cluster.trace)
    past_h = cluster.history_weeks * WEEK_H
    begin = pd.Timestamp(cell.week, tz="UTC")
    utilisation, first_h = cluster.utilisation, 0.0
    if cluster.trace == "pai":
        work_h = utilisation * cluster.capacity * WEEK_H
        jobs, work_h = week_with_history(jobs, cluster.history_weeks, work_h, cell.seed)
        # All of these jobs, in whatever order they are added up.
        utilisation = work_h * (1 - _ROUNDING) / (cluster.capacity * WEEK_H)
    else:
        # The year of the jobs is laid over that of the carbon.
        first_h = (begin - pd.Timestamp(begin.year, 1, 1, tz="UTC")) / pd.Timedelta(hours=1)
        first_h -= past_h
    return from_trace(
        read_zone(cell.zone),
        jobs,
        start=begin.isoformat(),
        hours=WEEK_H,
        past_hours=past_h,
        capacity=cluster.capacity,
        utilisation=utilisation,
        most_servers=cluster.most_servers,
        least_hours=LEAST_HOURS,
        jobs_from_hours=max(first_h, 0.0),
        seed=cell.seed,
        jobs_source=FILES[cluster.trace],
        name=f"{cluster.name} {cell.zone} {cell.week}",
    )


# ----------------------------------------------------------------------------------------- a cell
def perform(cell: Cell) -> list[Row]:
    """Everybody's plan of a cell, a row each, with the bound."""
    instance = instance_of(cell)
    head = {
        "part": cell.part,
        "cluster": cell.cluster.name,
        "zone": cell.zone,
        "week": cell.week,
        "jobs": instance.jobs.count,
        "load": round(cell.cluster.utilisation, 4),
    }
    return [{**head, **row} for row in plan_rows(instance, WEEK_H, cell.policies, cell.seed)]


def plan_rows(
    instance: ClusterInstance, hours: float, policies: tuple[str, ...], seed: int
) -> list[Row]:
    """Rows of the policies, with the baseline, of both oracles, and of the bound.

    Parameters
    ----------
    instance
        The question.
    hours
        Time in which jobs arrive, of which the utilisation is a share [h].
    policies
        Names of policies.
    seed
        Seed of policies and oracles.
    """
    plans: dict[str, Plan] = {}
    for name in dict.fromkeys(("fcfs", *policies)):
        plans[name] = replayed(instance, name, seed)
    plans[GREEDY] = solve(instance, method="greedy", seed=seed)
    plans[ORACLE] = solve(instance, method="prices", seed=seed)
    bound = max(float(plans[name].bound or 0.0) for name in (GREEDY, ORACLE))
    base, greedy, oracle = (plans[name] for name in ("fcfs", GREEDY, ORACLE))
    carbon = base.cost.columns["carbon_g"]
    rows: list[Row] = []
    for name, plan in plans.items():
        emitted = plan.cost.columns["carbon_g"]
        known = facts(instance, plan)
        rows.append(
            {
                "policy": name,
                "carbon_g": emitted,
                "total": plan.objective,
                "saving": 100 * (1 - emitted / carbon),
                "above_bound": 100 * (plan.objective - bound) / base.objective,
                "behind_greedy": 100 * (emitted - greedy.cost.columns["carbon_g"]) / carbon,
                "behind_oracle": 100 * (emitted - oracle.cost.columns["carbon_g"]) / carbon,
                "mean_delay_h": known["mean_delay_h"],
                "late_share": known["late_share"],
                "mean_violation": known["mean_violation"],
                "utilisation": plan.cost.columns["server_hours"] / (instance.capacity * hours),
                "seconds": plan.provenance.seconds,
                "over_bound": plan.objective / bound,
                "peak": peak(instance, plan),
                "broken": len(plan.audit.violations),
            }
        )
    rows.append(
        {
            "policy": BOUND,
            "total": bound,
            "saving": 100 * (1 - bound / base.objective),
            "above_bound": 0.0,
            "binding": binding(instance, bound),
        }
    )
    return rows


def replayed(instance: ClusterInstance, name: str, seed: int) -> Plan:
    """Audited plan of a policy that knows the carbon ahead, as the paper assumes of the day."""
    forecast = make_forecast(
        "perfect",
        instance.carbon,
        slots_per_day=instance.slots_per_day,
        rng=np.random.default_rng(seed),
    )
    return run(instance, POLICIES[name](), forecast=forecast, seed=seed)


def peak(instance: ClusterInstance, plan: Plan) -> float:
    """Most servers held in a slot, as a share of the capacity; from the plan's table alone."""
    held = plan.tables["schedule"].groupby(["job", "slot"])["servers"].max()
    return float(held.groupby("slot").sum().max()) / instance.capacity


def binding(instance: ClusterInstance, bound: float) -> bool:
    """Whether the capacity costs anything: without it the bound would be lower."""
    free = Relaxation(instance).bound(np.zeros(instance.slots))
    return free < bound * (1 - _ROUNDING)


def perform_small(seed: int) -> list[Row]:
    """Both oracles on a cluster of few jobs and two days, busier than most."""
    utilisation = SMALL_LOADS[seed % len(SMALL_LOADS)]
    hours, jobs = 48.0, 12
    instance = synthetic.generate(
        seed, hours=hours, jobs=jobs, utilisation=utilisation, longest_hours=12, past_hours=0
    )
    head = {
        "part": "small",
        "cluster": f"{jobs} jobs",
        "zone": "synthetic",
        "week": f"seed {seed}",
        "jobs": jobs,
        "load": utilisation,
    }
    return [{**head, **row} for row in plan_rows(instance, hours, (), seed)]
