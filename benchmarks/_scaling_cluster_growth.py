"""How the time of a replay grows with the number of jobs, on a synthetic cluster.

The time in which jobs arrive stays the same, and the cluster grows with the jobs to keep its
utilisation. So a part of the time, that of the slots, does not depend on the jobs; the growth is
judged between the two largest numbers, where that part tells least.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from _scaling_cluster_cells import Row, peak, replayed

from optmodels.scaling.cluster import synthetic
from optmodels.scaling.cluster.instance import ClusterInstance


@dataclass(frozen=True)
class Growth:
    """One policy on so many jobs that arrive within `hours`."""

    policy: str
    jobs: int
    hours: int
    seed: int


@lru_cache(maxsize=1)
def _instance(jobs: int, hours: int, seed: int) -> ClusterInstance:
    return synthetic.generate(seed, hours=hours, jobs=jobs)


def perform_growth(task: Growth) -> list[Row]:
    """Processor time of one replay, audit included, in this one thread."""
    instance = _instance(task.jobs, task.hours, task.seed)
    started = time.process_time()
    plan = replayed(instance, task.policy, task.seed)
    seconds = time.process_time() - started
    row = {
        "part": "growth",
        "cluster": f"{task.hours} h",
        "zone": "synthetic",
        "jobs": task.jobs,
        "policy": task.policy,
        "carbon_g": plan.cost.columns["carbon_g"],
        "total": plan.objective,
        "seconds": seconds,
        "peak": peak(instance, plan),
        "broken": len(plan.audit.violations),
    }
    return [row]


def growth_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds by number of jobs, jobs per second, and exponents of growth, a row per policy.

    ``exponent`` is that between the two largest numbers of jobs, ``exponent_all`` the slope of the
    line through all, in logarithms.
    """
    found = frame[frame["part"] == "growth"]
    table = found.pivot_table(index="policy", columns="jobs", values="seconds", sort=True)
    counts = np.array(table.columns, dtype=float)
    log_seconds = np.log(table.to_numpy())
    names = [f"seconds, {int(count):,} jobs" for count in counts]
    answer = table.set_axis(names, axis=1)
    answer["jobs_per_second"] = counts[-1] / table.iloc[:, -1]
    answer["exponent"] = np.diff(log_seconds)[:, -1] / np.diff(np.log(counts))[-1]
    answer["exponent_all"] = np.polyfit(np.log(counts), log_seconds.T, 1)[0]
    return answer.reset_index().sort_values(names[-1], ignore_index=True)
