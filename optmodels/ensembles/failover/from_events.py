"""Failures of an instance from real events: which servers of a trace failed together, how often.

The servers of an instance stand for servers drawn from the population of a trace, of which some
never failed. Faults that begin within a short time of each other are one failure, in which all
their servers go down together, out of a state in which everything is up; how often the same servers
fail together is the weight of the failure.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.errors import Flaw, InputError, UsageError

_MINUTES_PER_DAY = 24 * 60


def with_events(
    instance: FailoverInstance,
    events: pd.DataFrame,
    *,
    population: int,
    window_minutes: float = 1.0,
    seed: int = 0,
) -> FailoverInstance:
    """Copy of an instance whose failures are those of a trace.

    Parameters
    ----------
    instance
        The question.
    events
        ``server`` and ``start_days``, as `optmodels.traces.failures.read_failures` gives them.
    population
        Number of servers that the trace watched, those without events included.
    window_minutes
        Longest time between the beginnings of two faults that count as one failure [min].
    seed
        Seed of the draw of servers.

    Returns
    -------
    FailoverInstance
        The same applications and servers with these failures.

    Raises
    ------
    InputError
        None of the drawn servers ever failed.
    UsageError
        The population is smaller than the trace's servers or the instance's, or the window is
        not a time.
    """
    known = sorted({str(name) for name in events["server"]})
    if population < max(len(known), len(instance.servers)):
        raise UsageError(
            f"The population is {population}; allowed: at least the {len(known)} servers of the "
            f"trace and the {len(instance.servers)} of the instance."
        )
    if not (math.isfinite(window_minutes) and window_minutes >= 0):
        raise UsageError(f"The window is {window_minutes} min; allowed: a number >= 0.")
    rng = np.random.Generator(np.random.PCG64(seed))
    # Servers beyond the known ones never failed.
    drawn = np.argsort(rng.random(population), kind="stable")[: len(instance.servers)]
    stands_for = {
        known[i]: name
        for i, name in zip(drawn.tolist(), instance.servers, strict=True)
        if i < len(known)
    }
    faults = events[["server", "start_days"]].sort_values("start_days", kind="stable")
    faults = faults[faults["server"].isin(list(stands_for))]
    if not len(faults):
        raise InputError(
            Flaw(
                "has no event of the servers that were drawn",
                field="events",
                fix="another seed, or more servers",
            )
        )
    minutes = faults["start_days"].to_numpy(dtype=np.float64) * _MINUTES_PER_DAY
    group = np.cumsum(np.append(False, np.diff(minutes) > window_minutes))
    counts: dict[tuple[str, ...], int] = {}
    for _, part in faults.groupby(group):
        down = tuple(sorted({stands_for[str(name)] for name in part["server"]}))
        counts[down] = counts.get(down, 0) + 1
    width = len(str(len(counts)))
    rows = [
        {"scenario": f"failure-{i:0{width}d}", "server": name, "weight": float(count)}
        for i, (down, count) in enumerate(sorted(counts.items()), start=1)
        for name in down
    ]
    return instance.replace(scenarios=pd.DataFrame(rows))
