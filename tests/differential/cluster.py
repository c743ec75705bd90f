"""``scaling.cluster``: one level per job and slot, against blocks and prices of servers.

Second statement: a job holds one of its levels, or none, through a slot, and runs for shares of the
slot at levels up to that one. Ours takes blocks, one on top of the other, and stops where a horizon
of its own says that no optimum goes on; here the slots go on for longer than that.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.scaling.cluster.instance import ClusterInstance

from .statement import Finding, Statement, at_most, same

START = pd.Timestamp("2023-06-01T00:00Z")


def draw(rng: np.random.Generator) -> ClusterInstance:
    """Two or three jobs that want the same servers at the same time."""
    jobs, capacity = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    kinds = {}
    for kind in ("a", "b"):
        first = int(rng.integers(1, min(capacity, 2) + 1))
        levels = int(rng.integers(1, 4))
        levels = min(levels, capacity - first + 1)
        gains = np.sort(rng.uniform(0.1, 1.0 / first, levels - 1))[::-1].round(3)
        kinds[kind] = [
            (first + k, float(np.round(1.0 + gains[:k].sum(), 6)), float(rng.integers(0, 9) * k))
            for k in range(levels)
        ]
    arrivals = rng.integers(0, 3, jobs)
    lengths = rng.choice([0.3, 0.5, 1.0, 1.4, 2.0, 2.7], jobs)
    delays = {"short": int(rng.integers(0, 2)), "long": int(rng.integers(1, 4))}
    queues = rng.choice(["short", "long"], jobs)
    last = max(
        int(a) + math.ceil(n) + delays[q] for a, n, q in zip(arrivals, lengths, queues, strict=True)
    )
    slots = last + int(rng.integers(0, 2))
    carbon = [
        rng.integers(0, 6, slots).astype(float) * 50,
        rng.uniform(20.0, 700.0, slots).round(1),
    ][rng.integers(2)]
    return ClusterInstance(
        {
            "capacity": capacity,
            "server_kw": 1.0,
            "slot_minutes": 60.0,
            "network_w_per_gbps": float(rng.choice([0.0, 20.0])),
            "start_kwh": float(rng.choice([0.0, 0.1, 0.5])),
            "late_factor": float(rng.choice([0.5, 1.0, 2.0])),
        },
        {
            "carbon": pd.DataFrame(
                {
                    "time": pd.date_range(START, periods=slots, freq="1h"),
                    "carbon_g_per_kwh": carbon,
                }
            ),
            "jobs": pd.DataFrame(
                {
                    "job": np.arange(jobs),
                    "arrival_slot": arrivals,
                    "length_slots": lengths,
                    "queue": queues,
                    "profile": rng.choice(["a", "b"], jobs),
                }
            ),
            "queues": pd.DataFrame(
                {
                    "queue": list(delays),
                    "delay_slots": list(delays.values()),
                    "mean_length_slots": 1.0,
                }
            ),
            "profiles": pd.DataFrame(
                [(kind, *level) for kind, levels in kinds.items() for level in levels],
                columns=["profile", "servers", "throughput", "network_gbps"],
            ),
        },
    )


def optimum(instance: ClusterInstance) -> float:
    """Least carbon and price of lateness [g], from the raw tables."""
    p, tables = instance.parameters, instance.tables
    hours = p.slot_minutes / 60
    series = tables["carbon"]["carbon_g_per_kwh"].tolist()
    delay = tables["queues"].set_index("queue")["delay_slots"]
    rows = list(tables["jobs"].itertuples(index=False))
    # One after the other, each on its fewest servers, all are done by then; and nobody waits for a
    # cleaner slot for longer than all the carbon that could be saved pays for.
    end = max(r.arrival_slot + int(delay[r.queue]) for r in rows)
    end += sum(math.ceil(r.length_slots) for r in rows)
    end += math.ceil((max(r.length_slots for r in rows) + 1) / p.late_factor)
    carbon = [series[t] if t < len(series) else _again(series, t) for t in range(end)]
    said = Statement()
    held_in: list[list[tuple[int, float]]] = [[] for _ in carbon]
    for row in rows:
        levels = tables["profiles"]
        levels = levels[levels["profile"] == row.profile].sort_values("servers")
        levels = list(levels.itertuples(index=False))
        due = row.arrival_slot + math.ceil(row.length_slots) + int(delay[row.queue])
        price = p.late_factor * levels[-1].servers * p.server_kw * hours * max(series)
        late = said.number(price)
        work: list[tuple[int, float]] = []
        before: list[tuple[int, float]] = []
        for t in range(row.arrival_slot, end):
            holds = [said.choice() for _ in levels]
            runs = [
                said.number(
                    carbon[t]
                    * hours
                    * (one.servers * p.server_kw + one.network_gbps * p.network_w_per_gbps / 1000)
                )
                for one in levels
            ]
            said.row([(x, 1.0) for x in holds], most=1.0)
            for k in range(len(levels)):
                # Whoever runs at this level or above holds that level or above.
                above = [(x, 1.0) for x in runs[k:]] + [(x, -1.0) for x in holds[k:]]
                said.row(above, most=0.0)
            work += [(x, one.throughput) for x, one in zip(runs, levels, strict=True)]
            held = [(x, float(one.servers)) for x, one in zip(holds, levels, strict=True)]
            held_in[t] += held
            started = said.number(carbon[t] * p.start_kwh)
            said.row([*held, *[(x, -n) for x, n in before], (started, -1.0)], most=0.0)
            before = held
            if t >= due:
                # It runs in this slot: its end is the slot's beginning and its share, at least.
                passed = [(x, float(t - due)) for x in holds] + [(x, 1.0) for x in runs]
                said.row([*passed, (late, -1.0)], most=0.0)
        said.equal(work, row.length_slots)
    for held in held_in:
        said.row(held, most=p.capacity)
    return said.optimum()


def _again(series: list[float], t: int) -> float:
    """Carbon after the series: its last day repeats (all of a series that is shorter)."""
    day = series[-24:]
    return day[(t - len(series)) % len(day)]


def compare(instance: ClusterInstance) -> list[Finding]:
    """The formulation, the prices of servers, and the bound of both."""
    theirs = optimum(instance)
    exact = om.solve(instance, method="milp", mip_gap=0.0)
    found = [
        same("optimum, milp", exact.objective, theirs),
        at_most("bound, milp", exact.bound, theirs),
    ]
    for method in ("auto", "prices", "greedy"):
        plan = om.solve(instance, method=method)
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
        found.append(at_most(f"optimum, {method}", theirs, plan.objective))
    return found
