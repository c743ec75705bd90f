"""Small questions for the tests, and the answer by trying everything."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from optmodels.placement.edge.instance import RESOURCES, EdgeInstance

START = "2023-06-01T00:00:00Z"


def toy(**parameters: Any) -> EdgeInstance:
    """Three applications on three servers, worked out by hand."""
    energy = [[0.10, 0.06, 0.45], [0.11, 0.07, 0.50], [0.20, 0.13, 0.90]]
    trips = [[2, 6, 9], [5, 3, 9], [2, 7, 8]]
    demand = (1, 1, 2)
    apps = range(3)
    servers = pd.DataFrame(
        {
            "group": ["s1", "s2", "s3"],
            "site": ["s1", "s2", "s3"],
            "device": ["d1", "d2", "d3"],
            "servers": 1,
            "running": [1, 0, 0],
            "base_kw": [0.02, 0.05, 0.03],
            "cpu_cores": [2.0, 3.0, 2.0],
            **dict.fromkeys(RESOURCES[1:], 1.0),
        }
    )
    return EdgeInstance(
        {"start": START, "period_hours": 1.0, **parameters},
        {
            "applications": pd.DataFrame(
                {
                    "name": [f"a{i + 1}" for i in apps],
                    "kind": [f"k{i + 1}" for i in apps],
                    "origin": [f"o{i + 1}" for i in apps],
                    "count": 1,
                    "rtt_limit_ms": 10.0,
                    # One request of so many joules in the whole period.
                    "requests_per_s": 1 / 3600,
                    "batch": 1,
                    "state_gb": 1.0,
                }
            ),
            "servers": servers,
            "sites": pd.DataFrame({"site": ["s1", "s2", "s3"], "zone": ["z1", "z2", "z3"]}),
            "carbon": pd.DataFrame(
                {"zone": ["z1", "z2", "z3"], "carbon_g_per_kwh": [600.0, 350.0, 80.0]}
            ),
            "latency": pd.DataFrame(
                [(f"o{i + 1}", f"s{j + 1}", float(trips[i][j])) for i in apps for j in range(3)],
                columns=["origin", "site", "rtt_ms"],
            ),
            "profiles": pd.DataFrame(
                [
                    (f"k{i + 1}", f"d{j + 1}", energy[i][j] * 3.6e6, 0.0, demand[i], 0.0, 0.0, 0.0)
                    for i in apps
                    for j in range(3)
                ],
                columns=["kind", "device", "joule_per_request", "service_ms", *RESOURCES],
            ).astype({"cpu_cores": float}),
        },
    )


def random_case(seed: int, **parameters: Any) -> EdgeInstance:
    """At most eight applications and five servers, two resources that bind, awkward sizes."""
    rng = np.random.default_rng(seed)
    sites, kinds, origins = int(rng.integers(1, 4)), int(rng.integers(1, 4)), 2
    groups = []
    total = 0
    for s in range(sites):
        for device in rng.permutation(2)[: rng.integers(1, 3)].tolist():
            number = int(rng.integers(1, 3))
            if total + number > 5:
                continue
            total += number
            groups.append((f"g{s}{device}", f"s{s}", f"d{device}", number))
    count = len(groups)
    table = pd.DataFrame(groups, columns=["group", "site", "device", "servers"])
    table["running"] = np.minimum(rng.integers(0, 2, count), table["servers"])
    table["base_kw"] = np.round(rng.uniform(0, 0.1, count), 3)
    sizes = {"d0": (4.0, 3.0), "d1": (3.0, 5.0)}
    table["cpu_cores"] = [sizes[d][0] for d in table["device"]]
    table["memory_gb"] = [sizes[d][1] for d in table["device"]]
    table["gpu_memory_gb"], table["gpu_share"] = 0.0, 0.0
    rows = []
    left = 8
    for o in range(origins):
        for k in range(kinds):
            number = int(rng.integers(0, 3))
            if number and number <= left:
                left -= number
                limit = float(rng.choice([6.0, 12.0]))
                batch = int(rng.integers(1, 3))
                rows.append((f"a{o}{k}", f"k{k}", f"o{o}", number, limit, 1.0, batch, 1.0))
    if not rows:
        rows = [("a00", "k0", "o0", 1, 12.0, 1.0, 1, 1.0)]
    names = ["name", "kind", "origin", "count", "rtt_limit_ms", "requests_per_s", "batch"]
    return EdgeInstance(
        {"start": START, "period_hours": 1.0, "unplaced_g": 40.0, **parameters},
        {
            "applications": pd.DataFrame(rows, columns=[*names, "state_gb"]),
            "servers": table,
            "sites": pd.DataFrame(
                {"site": [f"s{s}" for s in range(sites)], "zone": [f"z{s}" for s in range(sites)]}
            ),
            "carbon": pd.DataFrame(
                {
                    "zone": [f"z{s}" for s in range(sites)],
                    "carbon_g_per_kwh": np.round(rng.uniform(20, 800, sites), 1),
                }
            ),
            "latency": pd.DataFrame(
                [
                    (f"o{o}", f"s{s}", float(rng.integers(1, 13)))
                    for o in range(origins)
                    for s in range(sites)
                ],
                columns=["origin", "site", "rtt_ms"],
            ),
            "profiles": pd.DataFrame(
                [
                    (
                        *(f"k{k}", f"d{d}", float(rng.integers(5, 60)), 0.0),
                        *(float(rng.choice([1.0, 1.5, 2.0])), float(rng.choice([0.5, 1.3, 2.0]))),
                        *(0.0, 0.0),
                    )
                    for k in range(kinds)
                    for d in range(2)
                ],
                columns=["kind", "device", "joule_per_request", "service_ms", *RESOURCES],
            ),
        },
    )


def changed(inst: EdgeInstance, table: str, **columns: Any) -> EdgeInstance:
    """The same question with other columns in one table."""
    tables = inst.tables
    tables[table] = tables[table].assign(**columns)
    return EdgeInstance(inst.parameters.model_dump(), tables)


def with_parameters(inst: EdgeInstance, **parameters: Any) -> EdgeInstance:
    """The same question with other parameters."""
    return EdgeInstance({**inst.parameters.model_dump(), **parameters}, inst.tables)


def brute_force(inst: EdgeInstance) -> float:
    """Least total by assigning every single application to every single server, or to none.

    One server after another, one application after another; applications of a class and empty
    servers of a group are not told apart, nothing else is assumed.
    """
    servers = [(g, s) for g in range(len(inst.groups)) for s in range(int(inst.servers[g]))]
    apps = [c for c in range(len(inst.classes)) for _ in range(int(inst.count[c]))]
    tables = inst.tables
    zone = tables["sites"].set_index("site")["zone"]
    carbon = tables["carbon"].set_index("zone")["carbon_g_per_kwh"]
    grams = [float(carbon[zone[site]]) for site in tables["servers"]["site"]]
    rtt = {(r.origin, r.site): r.rtt_ms for r in tables["latency"].itertuples()}
    profile = tables["profiles"].set_index(["kind", "device"])
    hours = inst.parameters.period_hours
    rows = [tables["applications"].iloc[c] for c in apps]
    options: list[list[tuple[int, float, np.ndarray]]] = []
    for row in rows:
        mine = []
        for n, (g, _) in enumerate(servers):
            server = tables["servers"].iloc[g]
            trip = rtt.get((row["origin"], server["site"]), np.inf)
            use = profile.loc[(row["kind"], server["device"])]
            if trip + use["service_ms"] > row["rtt_limit_ms"]:
                continue
            energy = row["requests_per_s"] * 3600 * hours * use["joule_per_request"] / 3.6e6
            mine.append((n, energy * grams[g], use[list(RESOURCES)].to_numpy(float)))
        options.append(mine)
    price = inst.parameters.unplaced_g
    base = [float(tables["servers"]["base_kw"].iloc[g]) * hours * grams[g] for g, _ in servers]
    ran = [s < int(inst.running[g]) for g, s in servers]
    start = sum(b for b, on in zip(base, ran, strict=True) if on)
    free = [tables["servers"][list(RESOURCES)].iloc[g].to_numpy(float) for g, _ in servers]
    best = np.inf

    def place(i: int, last: int, value: float, on: tuple[bool, ...]) -> None:
        nonlocal best
        if value >= best - 1e-12:
            return
        if i == len(apps):
            best = value
            return
        # Equal applications take servers in rising order.
        low = last if i and apps[i] == apps[i - 1] else -1
        for n, cost, take in options[i]:
            if n < low or (take > free[n] + 1e-9).any():
                continue
            free[n] = free[n] - take
            more = 0.0 if on[n] else base[n]
            place(i + 1, n, value + cost + more, (*on[:n], True, *on[n + 1 :]))
            free[n] = free[n] + take
        if price is not None:
            place(i + 1, len(servers) + 1, value + price, on)

    place(0, -1, start, tuple(ran))
    return float(best)


def assignments(inst: EdgeInstance) -> list[tuple[tuple[int, ...], float, float]]:
    """Servers, incremental grams and kWh of every assignment of the toy that fits."""
    energy, base = inst.arc_kwh.reshape(3, 3), inst.base_kwh
    demand, capacity = (1, 1, 2), inst.free[:, 0]
    found = []
    for where in product(range(3), repeat=3):
        used = [sum(demand[i] for i in range(3) if where[i] == j) for j in range(3)]
        if any(used[j] > capacity[j] for j in range(3)):
            continue
        new = [j for j in range(3) if used[j] and not inst.running[j]]
        grams = sum(energy[i, j] * inst.intensity[j] for i, j in enumerate(where))
        grams += sum(base[j] * inst.intensity[j] for j in new)
        kwh = sum(energy[i, j] for i, j in enumerate(where)) + sum(base[j] for j in new)
        found.append((tuple(j + 1 for j in where), float(grams), float(kwh)))
    return found
