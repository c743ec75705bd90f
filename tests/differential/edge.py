"""``placement.edge``: one binary per application and server, against counts and fillings.

Second statement: applications and servers one by one, each resource a row of each server. Ours
counts alike ones, lists what a server can be filled with, and prices columns that are not there.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.errors import InfeasibleError
from optmodels.placement.edge.instance import EdgeInstance

from .statement import INFEASIBLE, Finding, Statement, at_most, same

RESOURCES = ("cpu_cores", "memory_gb", "gpu_memory_gb", "gpu_share")
ROUNDING = 1e-9


def draw(rng: np.random.Generator) -> EdgeInstance:
    """Up to six applications and servers; some run already, and may be moved at a price."""
    sites, kinds = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    servers = []
    for s in range(sites):
        for device in rng.permutation(2)[: rng.integers(1, 3)].tolist():
            number = int(rng.integers(1, 4))
            servers.append(
                {
                    "group": f"g{s}{device}",
                    "site": f"s{s}",
                    "device": f"d{device}",
                    "servers": number,
                    "running": int(rng.integers(0, number + 1)),
                    "base_kw": float(rng.choice([0.0, 0.02, 0.07])),
                    "cpu_cores": float(rng.choice([2.0, 3.0, 4.0])),
                    "memory_gb": float(rng.choice([3.0, 5.0])),
                    "gpu_memory_gb": float(rng.choice([0.0, 4.0])),
                    "gpu_share": 1.0,
                }
            )
    applications = []
    for n in range(int(rng.integers(1, 5))):
        applications.append(
            {
                "name": f"a{n}",
                "kind": f"k{rng.integers(kinds)}",
                "origin": f"o{rng.integers(2)}",
                "count": int(rng.integers(1, 4)),
                "rtt_limit_ms": float(rng.choice([6.0, 12.0, 20.0])),
                "requests_per_s": float(rng.choice([0.0, 0.5, 1.0])),
                "batch": int(rng.integers(1, 3)),
                "state_gb": float(rng.choice([0.0, 1.0, 4.0])),
            }
        )
    profiles = [
        (
            *(f"k{k}", f"d{d}", float(rng.integers(5, 60)), float(rng.choice([0.0, 2.0]))),
            *(float(rng.choice([1.0, 1.5, 2.0])), float(rng.choice([0.5, 1.3, 2.0]))),
            *(float(rng.choice([0.0, 1.5])), float(rng.choice([0.1, 0.3, 0.5]))),
        )
        for k in range(kinds)
        for d in range(2)
        if rng.random() < 0.9 or d == 0
    ]
    tables = {
        "applications": pd.DataFrame(applications),
        "servers": pd.DataFrame(servers),
        "sites": pd.DataFrame(
            {"site": [f"s{s}" for s in range(sites)], "zone": [f"z{s % 2}" for s in range(sites)]}
        ),
        "carbon": pd.DataFrame(
            {"zone": ["z0", "z1"], "carbon_g_per_kwh": rng.choice([0.0, 50.0, 400.0, 700.0], 2)}
        ),
        "latency": pd.DataFrame(
            [
                (f"o{o}", f"s{s}", float(rng.integers(1, 13)))
                for o in range(2)
                for s in range(sites)
                if s == 0 or rng.random() < 0.9
            ],
            columns=["origin", "site", "rtt_ms"],
        ),
        "profiles": pd.DataFrame(
            profiles, columns=["kind", "device", "joule_per_request", "service_ms", *RESOURCES]
        ),
    }
    parameters = {
        "start": "2023-06-01T00:00:00Z",
        "period_hours": float(rng.choice([0.5, 1.0, 24.0])),
        "switch_off": bool(rng.random() < 0.5),
        "move_kwh_per_gb": float(rng.choice([0.0, 0.01, 0.1])),
    }
    if rng.random() < 0.7:
        parameters["unplaced_g"] = float(rng.choice([0.0, 5.0, 40.0, 1000.0]))
    ran = _ran(rng, tables)
    if ran and rng.random() < 0.4:
        tables["placed"] = pd.DataFrame(ran, columns=["name", "group", "count"])
        if rng.random() < 0.5:
            parameters["moves_max_gb"] = float(rng.choice([0.0, 1.0, 4.0]))
    return EdgeInstance(parameters, tables)


def _ran(rng: np.random.Generator, tables: dict[str, pd.DataFrame]) -> list[tuple[str, str, int]]:
    """Applications of the first batch that ran on servers that are on, wherever they fit."""
    first = tables["applications"]["batch"].min()
    known = {(r.kind, r.device) for r in tables["profiles"].itertuples()}
    ran = []
    for app in tables["applications"].itertuples():
        for group in tables["servers"].itertuples():
            if app.batch == first and group.running and (app.kind, group.device) in known:
                ran.append((app.name, group.group, 1))
                break
    return ran


def optimum(instance: EdgeInstance) -> float:
    """Least carbon and prices [g], from the raw tables."""
    p, tables = instance.parameters, instance.tables
    zone = tables["sites"].set_index("site")["zone"].to_dict()
    carbon = tables["carbon"].set_index("zone")["carbon_g_per_kwh"].to_dict()
    trip = {(r.origin, r.site): r.rtt_ms for r in tables["latency"].itertuples()}
    profile = {(r["kind"], r["device"]): r for r in tables["profiles"].to_dict("records")}
    ran = {}
    if "placed" in tables:
        placed = tables["placed"][["name", "group", "count"]]
        ran = {(name, group): n for name, group, n in placed.itertuples(index=False, name=None)}
    said = Statement()
    machines = []
    for group in tables["servers"].to_dict("records"):
        grams = carbon[zone[group["site"]]]
        on = [
            said.choice(group["base_kw"] * p.period_hours * grams) for _ in range(group["servers"])
        ]
        if not p.switch_off:
            said.row([(y, 1.0) for y in on], least=group["running"])
        for y, after in pairwise(on):
            # Alike servers are switched on in order.
            said.row([(y, 1.0), (after, -1.0)], least=0.0)
        machines += [(group, grams, y) for y in on]
    used = [{name: [] for name in RESOURCES} for _ in machines]
    moved_gb = []
    for app in tables["applications"].to_dict("records"):
        at: dict[str, list[tuple[int, float]]] = {}
        for _ in range(app["count"]):
            somewhere = []
            for n, (group, grams, on) in enumerate(machines):
                what = profile.get((app["kind"], group["device"]))
                rtt = trip.get((app["origin"], group["site"]))
                if what is None or rtt is None:
                    continue
                if rtt + what["service_ms"] > app["rtt_limit_ms"] * (1 + ROUNDING):
                    continue
                kwh = app["requests_per_s"] * 3600 * p.period_hours
                kwh *= what["joule_per_request"] / 3.6e6
                x = said.choice(kwh * grams)
                said.row([(x, 1.0), (on, -1.0)], most=0.0)
                somewhere.append((x, 1.0))
                at.setdefault(group["group"], []).append((x, 1.0))
                for name in RESOURCES:
                    used[n][name].append((x, what[name]))
            if p.unplaced_g is not None:
                somewhere.append((said.choice(p.unplaced_g), 1.0))
            said.equal(somewhere, 1.0)
        for (name, group), count in ran.items():
            if name == app["name"]:
                mean = sum(carbon.values()) / len(carbon)
                gone = said.number(app["state_gb"] * p.move_kwh_per_gb * mean)
                said.row([*at.get(group, []), (gone, 1.0)], least=count)
                moved_gb.append((gone, app["state_gb"]))
    if p.moves_max_gb is not None:
        said.row(moved_gb, most=p.moves_max_gb)
    for (group, _, on), amounts in zip(machines, used, strict=True):
        for name in RESOURCES:
            said.row([*amounts[name], (on, -group[name])], most=0.0)
    return said.optimum()


def compare(instance: EdgeInstance) -> list[Finding]:
    """The formulation in fillings, and its columns where there is no budget of moves."""
    theirs = optimum(instance)
    methods = (
        ["milp"] if instance.parameters.moves_max_gb is not None else ["milp", "columns", "auto"]
    )
    found = []
    for method in methods:
        gap = 1e-4 if method == "columns" else 0.0
        try:
            plan = om.solve(instance, method=method, mip_gap=gap)
        except InfeasibleError:
            found.append(same(f"optimum, {method}", INFEASIBLE, theirs))
            continue
        if method == "columns":
            found.append(at_most("optimum, columns", theirs, plan.objective))
        else:
            found.append(same(f"optimum, {method}", plan.objective, theirs))
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
    return found
