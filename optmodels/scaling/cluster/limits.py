"""Why some jobs of a cluster cannot be done in time: its limits in words.

Each job by itself can always be done in time: its due slot leaves room for its length on its fewest
servers. What may be missing is room for all of them. The relaxation (see `bound`) with carbon left
out says how much work has to be late at least, whatever anyone does; its prices say in which slots
servers are missing, and which jobs compete for them. A cluster that fits by shares of servers may
still not fit by whole ones: such lateness is not explained.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from optmodels.scaling.cluster.bound import Relaxation
from optmodels.scaling.cluster.greedy import greedy_schedule
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray

#: Shares of all work, and prices, below this are rounding.
_ROUNDING = 1e-7
_SHOWN = 10


def explain(instance: ClusterInstance) -> list[str]:
    """Say which limits keep jobs from being done in time; empty if none must be late.

    The cluster can be planned all the same: lateness has a price.
    """
    jobs, capacity = instance.jobs, instance.capacity
    tried = greedy_schedule(jobs, instance.due, instance.carbon, instance.profiles, capacity)
    if np.array_equal(tried.due, instance.due) and not tried.left.any():
        return []
    relaxation = Relaxation(instance, count_late_work=True)
    work = float(jobs.length.sum())
    found = relaxation.best(work)
    if found.value <= _ROUNDING * work:
        return []
    full = np.flatnonzero(found.prices > _ROUNDING)
    competing = np.flatnonzero(relaxation.answer(found.prices).job_price > _ROUNDING)
    needed, who = float(jobs.length[competing].sum()), _numbers(jobs.number[competing])
    return [
        f"capacity: not all jobs can be done in time on {capacity} servers; all of these are busy "
        f"{_spans(instance, full)}",
        f"work: {needed:g} slots of work on the fewest servers ({who}) compete for these slots; "
        f"at least {found.value:.6g} of them end after the due slots of their jobs",
        "delay: the queues of these jobs allow no longer waiting; every slot of lateness costs "
        f"{instance.parameters.late_factor:g} times the carbon of all servers that the job can use",
    ]


def _spans(instance: ClusterInstance, slots: IntArray) -> str:
    """Slots as spans of time."""
    step = pd.Timedelta(hours=instance.slot_hours)
    parts = np.split(slots, np.flatnonzero(np.diff(slots) > 1) + 1)
    times = instance.times
    shown = [
        f"from {times[part[0]].isoformat()} to {(times[part[-1]] + step).isoformat()}"
        for part in parts[:_SHOWN]
    ]
    more = len(parts) - len(shown)
    return ", ".join(shown) + (f" and in {more} more spans" if more else "")


def _numbers(numbers: IntArray) -> str:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN].tolist())
    more = len(numbers) - _SHOWN
    word = "job" if len(numbers) == 1 else "jobs"
    return f"{word} {shown}" + (f" and {more} more" if more > 0 else "")
