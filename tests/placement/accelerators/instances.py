"""Small placements on accelerators for tests: by hand and by seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from optmodels.placement.accelerators.audit import Placement, cost_of
from optmodels.placement.accelerators.instance import AcceleratorsInstance

#: Kinds of nodes: name, discipline, front end [ms].
GPU = ("gpu", "ps", 0.0)
TPU = ("tpu", "fcfs", 0.0)


def instance(
    apps: Sequence[tuple[str, float, float]],
    profiles: Sequence[tuple[Any, ...]],
    nodes: Sequence[str],
    *,
    devices: Sequence[tuple[str, str, float]] = (GPU, TPU),
    values: Sequence[float] | float = 1.0,
    memory_mb: float = 1000.0,
    frontend_mb: float = 0.0,
    frontend_cores: int = 1,
    **parameters: Any,
) -> AcceleratorsInstance:
    """Build an instance.

    ``apps`` are (model, rate per s, SLO in ms), named a0, a1 and so on in the order of their
    arrival; ``profiles`` (model, device, service ms[, switch ms[, memory MB[, variation]]]);
    ``nodes`` the device of each node, named n0, n1 and so on.
    """
    filled = [(*row, *(0.0, 0.0, 0.0)[len(row) - 3 :]) for row in profiles]
    used = {device for _, device, *_ in profiles} | set(nodes)
    tables = {
        "apps": pd.DataFrame(
            {
                "app": [f"a{i}" for i in range(len(apps))],
                "model": [model for model, _, _ in apps],
                "rate_per_s": [float(rate) for _, rate, _ in apps],
                "slo_ms": [float(slo) for _, _, slo in apps],
                "value": np.broadcast_to(np.asarray(values, dtype=float), len(apps)),
                "arrival": np.arange(1, len(apps) + 1),
            }
        ),
        "nodes": pd.DataFrame(
            {
                "node": [f"n{j}" for j in range(len(nodes))],
                "device": list(nodes),
                "memory_mb": memory_mb,
            }
        ),
        "devices": pd.DataFrame(
            [
                (name, discipline, float(ms), frontend_cores, frontend_mb)
                for name, discipline, ms in devices
                if name in used
            ],
            columns=["device", "discipline", "frontend_ms", "frontend_cores", "frontend_mb"],
        ),
        "profiles": pd.DataFrame(
            filled,
            columns=["model", "device", "service_ms", "switch_ms", "memory_mb", "variation"],
        ),
    }
    return AcceleratorsInstance({"network_ms": 0.0, **parameters}, tables)


def drawn(
    seed: int,
    *,
    apps: int = 6,
    nodes: Sequence[str] = ("gpu", "tpu"),
    switch: bool = True,
    whole_values: bool = False,
    **more: Any,
) -> AcceleratorsInstance:
    """A few applications of few models, rates and SLOs: alike ones occur, and not all fit."""
    rng = np.random.default_rng(seed)
    names = ["m0", "m1", "m2"]
    service = np.round(rng.uniform(5, 60, (3, 2)), 2)
    profiles = []
    for m, name in enumerate(names):
        memory = float(rng.integers(100, 400))
        if "gpu" in nodes:
            profiles.append((name, "gpu", service[m, 0], 0.0, memory))
        if "tpu" in nodes:
            load_ms = float(np.round(rng.uniform(5, 30), 2)) if switch else 0.0
            profiles.append((name, "tpu", service[m, 1], load_ms, memory))
    wanted = []
    for _ in range(apps):
        m = int(rng.integers(3))
        slo = float(np.round(service[m].max() * rng.choice([1.4, 2.0, 4.0]), 1))
        wanted.append((names[m], float(rng.choice([1.0, 3.0, 8.0])), slo))
    values = 1.0 if whole_values else np.round(rng.uniform(0.5, 3, apps), 2)
    options = {"memory_mb": 900.0, "frontend_mb": 20.0, "values": values, **more}
    return instance(wanted, profiles, nodes, **options)


def brute_force(inst: AcceleratorsInstance) -> float:
    """Least loss over every assignment of applications to nodes or to none."""
    hardware, applications = inst.hardware, inst.applications
    best = np.inf
    for choice in product(range(-1, len(hardware.nodes)), repeat=len(applications)):
        placement: Placement = tuple(
            tuple(a for a, c in zip(applications, choice, strict=True) if c == node)
            for node in range(len(hardware.nodes))
        )
        if all(hardware.has_room(n, hosted) for n, hosted in enumerate(placement)):
            best = min(best, cost_of(inst, placement).total)
    return best
