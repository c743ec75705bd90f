"""Small instances for the tests of failover."""

from __future__ import annotations

from typing import Any

import pandas as pd

from optmodels.ensembles.failover.instance import FailoverInstance

#: Free memory of the three servers of the golden case [MB].
GOLDEN_FREE = (60.0, 55.0, 70.0)
#: Its applications: server of the primary, and variants (memory [MB], accuracy), primary first.
GOLDEN: dict[str, tuple[int, list[tuple[float, float]]]] = {
    "A": (0, [(100.0, 0.80), (60.0, 0.76), (20.0, 0.70)]),
    "B": (1, [(80.0, 0.78), (40.0, 0.75), (10.0, 0.69)]),
    "C": (2, [(120.0, 0.82), (50.0, 0.77)]),
    "D": (0, [(30.0, 0.72), (15.0, 0.68)]),
}


def golden(critical: str = "ABCD", **parameters: object) -> FailoverInstance:
    """The golden case FL-1: three servers, four applications, no site rule, loading 300 ms + MB."""
    free = dict(enumerate(GOLDEN_FREE))
    return build(GOLDEN, free, critical=critical, **{"site_rule": False, **parameters})


def build(
    applications: dict[str, tuple[int, list[tuple[float, float]]]],
    free: dict[int, float],
    *,
    critical: str = "",
    sites: dict[int, str] | None = None,
    weights: dict[str, float] | None = None,
    gflop: float = 0.0,
    compute: float = 1e6,
    scenarios: list[tuple[str, int, float]] | None = None,
    network: dict[tuple[str, int], float] | None = None,
    latency_limit_ms: float = 100.0,
    load: tuple[float, float] = (300.0, 1.0),
    **parameters: Any,
) -> FailoverInstance:
    """An instance from variants, and from what the primaries leave free.

    A variant needs `gflop` per inference and MB of its memory, and loads in load[0] + load[1] · MB.
    """
    models, rows = [], []
    used = dict.fromkeys(free, 0.0)
    for name, (server, variants) in applications.items():
        for memory, accuracy in variants:
            models.append(
                {
                    "model": f"{name}{memory:g}",
                    "family": name,
                    "memory_mb": memory,
                    "accuracy": accuracy,
                    "load_ms": load[0] + load[1] * memory,
                    "first_ms": 0.0,
                    "inference_ms": 1.0,
                    "gflop": gflop * memory,
                }
            )
        used[server] += variants[0][0]
        rows.append(
            {
                "application": name,
                "model": f"{name}{variants[0][0]:g}",
                "server": f"s{server}",
                "rate_per_s": 1.0,
                "weight": (weights or {}).get(name, 1.0),
                "latency_limit_ms": latency_limit_ms,
                "critical": name in critical,
            }
        )
    tables = {
        "servers": pd.DataFrame(
            {
                "server": [f"s{k}" for k in free],
                "site": [(sites or {}).get(k, f"site{k}") for k in free],
                # A server without any memory is not one; a megabyte holds nothing.
                "memory_mb": [max(free[k] + used[k], 1.0) for k in free],
                "compute_gflops": compute,
            }
        ),
        "models": pd.DataFrame(models),
        "applications": pd.DataFrame(rows),
    }
    if scenarios is not None:
        tables["scenarios"] = pd.DataFrame(
            [(name, f"s{k}", weight) for name, k, weight in scenarios],
            columns=["scenario", "server", "weight"],
        )
    if network is not None:
        tables["network"] = pd.DataFrame(
            [(a, f"s{k}", ms) for (a, k), ms in network.items()],
            columns=["application", "server", "network_ms"],
        )
    return FailoverInstance(parameters, tables)
