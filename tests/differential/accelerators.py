"""``placement.accelerators``: every set of applications on every node, against columns and rows.

Second statement: the response of each set on each node by the formulas as they are printed, one
application after the other; and the best way to deal applications out to nodes by a recursion over
sets, without any solver.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.placement.accelerators.instance import AcceleratorsInstance

from .statement import Finding, at_most, same

ROUNDING = 1e-6
"""What a promise may be exceeded by, relative: the rule of the audit."""


def draw(rng: np.random.Generator) -> AcceleratorsInstance:
    """Up to seven applications of three models on up to three nodes, all forms of the formulas."""
    count = int(rng.integers(1, 8))
    models = ["m0", "m1", "m2"]
    devices = ["gpu", "tpu"]
    nodes = rng.choice(devices, int(rng.integers(1, 4))).tolist()
    switched = rng.random() < 0.6
    profiles = [
        {
            "model": model,
            "device": device,
            "service_ms": float(np.round(rng.uniform(2, 60), 2)),
            "variation": float(rng.choice([0.0, 0.0, 1.0])),
            "switch_ms": float(rng.choice([5.0, 20.0])) if switched and device == "tpu" else 0.0,
            "memory_mb": float(rng.integers(50, 400)),
        }
        for model in models
        for device in devices
        if device == "gpu" or rng.random() < 0.85
    ]
    parameters: dict[str, Any] = {
        "network_ms": float(rng.choice([0.0, 5.0])),
        "second_moment": str(rng.choice(["mixture", "mixture", "collapsed"])),
        "sharing": str(rng.choice(["exact", "exact", "additive"])),
        "reserve_share": float(rng.choice([0.0, 0.1])),
    }
    if rng.random() < 0.2:
        parameters["concurrency_guard"] = 0.8
    tables = {
        "apps": pd.DataFrame(
            {
                "app": [f"a{i}" for i in range(count)],
                "model": rng.choice(models, count),
                "rate_per_s": rng.choice([0.5, 2.0, 5.0, 12.0], count),
                "slo_ms": np.round(rng.uniform(15, 250, count), 1),
                "value": rng.choice([1.0, 1.0, 2.0, 0.7], count),
                "arrival": np.arange(1, count + 1),
            }
        ),
        "nodes": pd.DataFrame(
            {
                "node": [f"n{j}" for j in range(len(nodes))],
                "device": nodes,
                "memory_mb": rng.choice([300.0, 600.0, 2000.0], len(nodes)),
            }
        ),
        "devices": pd.DataFrame(
            {
                "device": devices,
                "discipline": ["ps", "fcfs"],
                "frontend_ms": rng.choice([0.0, 4.0], 2),
                "frontend_cores": rng.integers(1, 4, 2),
                "frontend_mb": rng.choice([0.0, 40.0], 2),
            }
        ),
        "profiles": pd.DataFrame(profiles),
    }
    return AcceleratorsInstance(parameters, tables)


def optimum(instance: AcceleratorsInstance) -> float:
    """Least value that is lost, from the raw tables."""
    tables = instance.tables
    apps = tables["apps"].to_dict("records")
    devices = {row["device"]: row for row in tables["devices"].to_dict("records")}
    profile = {(r["model"], r["device"]): r for r in tables["profiles"].to_dict("records")}
    everybody = 1 << len(apps)
    value = [
        math.fsum(app["value"] for i, app in enumerate(apps) if chosen >> i & 1)
        for chosen in range(everybody)
    ]
    best = [0.0] * everybody
    kept: dict[tuple[str, float], list[bool]] = {}
    for node in tables["nodes"].to_dict("records"):
        key = (node["device"], node["memory_mb"])
        if key not in kept:
            kept[key] = [
                _keeps(
                    instance.parameters,
                    devices[node["device"]],
                    profile,
                    node["memory_mb"],
                    [app for i, app in enumerate(apps) if chosen >> i & 1],
                )
                for chosen in range(everybody)
            ]
        able = [chosen for chosen in range(everybody) if kept[key][chosen]]
        # The most that this node and those before it keep of each set.
        best = [
            max(best[chosen & ~own] + value[own] for own in able if own & ~chosen == 0)
            for chosen in range(everybody)
        ]
    return value[-1] - best[-1]


def _keeps(p: Any, device: Any, profile: Any, memory_mb: float, apps: list[Any]) -> bool:
    """Whether a node with these applications keeps all its promises."""
    if not apps:
        return True
    if any((app["model"], device["device"]) not in profile for app in apps):
        return False
    rows = {app["model"]: profile[app["model"], device["device"]] for app in apps}
    held = sum(row["memory_mb"] for row in rows.values()) + device["frontend_mb"] * len(apps)
    if held > p.memory_share_max * memory_mb * (1 + ROUNDING):
        return False
    rate: dict[str, float] = defaultdict(float)
    for app in apps:
        rate[app["model"]] += app["rate_per_s"] / 1e3
    total = sum(rate.values())
    mean, second = {}, {}
    for model, row in rows.items():
        s = row["service_ms"]
        moment = s * s * (1 + row["variation"])
        if device["discipline"] == "fcfs" and row["switch_ms"] > 0:
            other, o = 1 - rate[model] / total, row["switch_ms"]
            mean[model] = s + other * o
            second[model] = moment + other * (2 * s * o + o * o)
            if p.second_moment == "collapsed":
                second[model] = moment - s * s + mean[model] ** 2
        else:
            mean[model], second[model] = s, moment
    load = sum(rate[m] * mean[m] for m in rows)
    if load > p.load_max * (1 + ROUNDING):
        return False
    wait = sum(rate[m] * second[m] for m in rows) / (2 * (1 - load))
    for app in apps:
        busy = app["rate_per_s"] / 1e3 * device["frontend_ms"] / device["frontend_cores"]
        if busy > p.frontend_load_max * (1 + ROUNDING):
            return False
        if device["discipline"] == "fcfs":
            response = mean[app["model"]] + wait
        elif p.sharing == "exact":
            response = mean[app["model"]] / (1 - load)
        else:
            response = mean[app["model"]] + load / total * load / (1 - load)
        response += p.network_ms
        response += _front(app["rate_per_s"] / 1e3, device["frontend_ms"], device["frontend_cores"])
        promise = app["slo_ms"] * (1 - p.reserve_share)
        if p.concurrency_guard is not None:
            promise = min(promise, p.concurrency_guard / (app["rate_per_s"] / 1e3))
        if response > promise + ROUNDING * app["slo_ms"]:
            return False
    return True


def _front(rate: float, service: float, cores: int) -> float:
    """Response of cores that requests share: Erlang's formula as a sum of its terms."""
    if service == 0:
        return 0.0
    offered = rate * service
    if offered >= cores:
        return math.inf
    terms = [offered**k / math.factorial(k) for k in range(cores)]
    last = offered**cores / math.factorial(cores) * cores / (cores - offered)
    return service + last / (sum(terms) + last) * service / (cores - offered)


def compare(instance: AcceleratorsInstance) -> list[Finding]:
    """Columns always, rows where they are exact."""
    theirs = optimum(instance)
    used = set(instance.tables["nodes"]["device"])
    rows = instance.tables["profiles"]
    switches = bool((rows["switch_ms"][rows["device"].isin(used)] > 0).any())
    methods = ["columns", "auto"]
    exact = instance.parameters.sharing == "exact"
    collapsed = instance.parameters.second_moment == "collapsed"
    if not switches and exact and not collapsed:
        methods.append("rows")
    found = []
    for method in methods:
        plan = om.solve(instance, method=method, mip_gap=0.0)
        found.append(same(f"optimum, {method}", plan.objective, theirs))
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
    return found
