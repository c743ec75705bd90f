"""Instances for the tests of the cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optmodels.scaling.cluster.instance import ClusterInstance

START = pd.Timestamp("2022-06-01", tz="UTC")
#: Names and marginal throughputs per further server; "wide" starts with two servers.
PROFILES = {
    "rigid": (1, (1.0,)),
    "linear": (1, (1.0, 1.0, 1.0)),
    "good": (1, (1.0, 0.8, 0.6, 0.4)),
    "poor": (1, (1.0, 0.5, 0.1)),
    "wide": (2, (1.0, 0.4, 0.2)),
}


def cluster(
    carbon,
    jobs,
    *,
    queues=(("only", 0, 1.0),),
    profiles=(("rigid", 1, 1.0, 0.0),),
    capacity=4,
    past_carbon=None,
    past_jobs=None,
    start=START,
    minutes=60.0,
    **parameters,
):
    """Instance from plain rows.

    `jobs` are (arrival, length[, queue[, profile]]), `queues` (name, delay, mean length),
    `profiles` (name, servers, throughput, network Gbps). One kW per server unless said otherwise.
    """
    step = pd.Timedelta(minutes=minutes)
    tables = {
        "carbon": _series(carbon, start, step),
        "jobs": _jobs(jobs, queues, profiles),
        "queues": pd.DataFrame(
            list(queues), columns=["queue", "delay_slots", "mean_length_slots"]
        ).astype({"mean_length_slots": float}),
        "profiles": pd.DataFrame(
            list(profiles), columns=["profile", "servers", "throughput", "network_gbps"]
        ).astype({"throughput": float, "network_gbps": float}),
    }
    if past_carbon is not None:
        tables["past_carbon"] = _series(past_carbon, start - len(past_carbon) * step, step)
    if past_jobs is not None:
        tables["past_jobs"] = _jobs(past_jobs, queues, profiles)
    values = {"capacity": capacity, "server_kw": 1.0, "slot_minutes": minutes, **parameters}
    return ClusterInstance(values, tables)


def small(
    seed,
    jobs=12,
    slots=48,
    capacity=None,
    utilisation=0.4,
    past=False,
    whole=False,
    **parameters,
):
    """Random cluster with three queues, three profiles and a daily swing of the carbon.

    Parameters
    ----------
    seed
        Seed of everything.
    jobs, slots
        Their numbers. Every job can be done with its whole delay before the last slot.
    capacity
        Servers; by default so many that running every job on its fewest servers would use the
        share `utilisation` of them.
    past
        Whether there is an earlier time of the same length, with as many jobs.
    whole
        Whether all lengths are whole slots.
    parameters
        Parameters of the instance, such as ``start_kwh``.
    """
    rng = np.random.default_rng(seed)
    delays = (0, max(1, slots // 12), max(2, slots // 5))
    longest = max(1, slots // 5)
    names = ["rigid", *rng.choice(["linear", "good", "poor", "wide"], 2, replace=False).tolist()]
    profiles = [row for name in names for row in _profile_rows(name, rng)]
    drawn = _draw(rng, jobs, slots, delays, longest, names, whole)
    earlier = _draw(rng, jobs, slots, delays, longest, names, whole) if past else None
    queues = [
        (f"queue-{i}", delay, float(np.mean([row[1] for row in earlier or drawn])))
        for i, delay in enumerate(delays)
    ]
    fewest = {name: PROFILES[name][0] for name in names}
    if capacity is None:
        busy = sum(length * fewest[profile] for _, length, _, profile in drawn)
        capacity = max(4, int(np.ceil(busy / (slots * utilisation))))
    values = {"network_w_per_gbps": 2.0, "server_kw": 0.25, **parameters}
    return cluster(
        _carbon(rng, slots),
        drawn,
        queues=queues,
        profiles=profiles,
        capacity=capacity,
        past_carbon=_carbon(rng, slots) if past else None,
        past_jobs=earlier,
        **values,
    )


def _draw(rng, jobs, slots, delays, longest, names, whole):
    """Jobs in the order of a list: arrival, length, queue, profile."""
    rows = []
    for _ in range(jobs):
        queue = int(rng.integers(len(delays)))
        length = float(rng.uniform(0.3, longest))
        length = float(np.ceil(length)) if whole else round(length, 2)
        last = slots - int(np.ceil(length)) - delays[queue]
        arrival = int(rng.integers(0, last + 1))
        rows.append((arrival, length, f"queue-{queue}", str(rng.choice(names))))
    return rows


def _profile_rows(name, rng):
    first, marginal = PROFILES[name]
    traffic = round(float(rng.uniform(0, 20)), 2)
    work = np.cumsum(marginal)
    return [
        (name, first + i, float(work[i]), traffic * (first + i - 1)) for i in range(len(marginal))
    ]


def _carbon(rng, slots):
    """A daily swing with noise, whole grams."""
    phase = rng.uniform(0, 2 * np.pi)
    swing = 250 + 150 * np.sin(np.arange(slots) / 24 * 2 * np.pi + phase)
    return np.round(np.maximum(swing + rng.normal(0, 30, slots), 10.0), 1)


def _series(values, start, step):
    times = pd.DatetimeIndex([start + i * step for i in range(len(values))])
    return pd.DataFrame({"time": times, "carbon_g_per_kwh": np.asarray(values, dtype=float)})


def _jobs(rows, queues, profiles):
    full = [(*row, *(queues[0][0], profiles[0][0])[len(row) - 2 :]) for row in rows]
    return pd.DataFrame(
        {
            "job": np.arange(len(full)),
            "arrival_slot": np.array([row[0] for row in full], dtype=np.int64),
            "length_slots": np.array([row[1] for row in full], dtype=float),
            "queue": [row[2] for row in full],
            "profile": [row[3] for row in full],
        }
    )
