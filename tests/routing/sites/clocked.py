"""Instances whose rows have degrees, clocks and batches that follow simple laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optmodels.routing.sites.instance import RoutingInstance

CLASSES = ("LS", "SL", "SS")
START = pd.Timestamp("2023-11-13T00:00Z")


def clocked(
    seed: int = 0,
    *,
    periods: int = 12,
    sites: int = 3,
    gpus: int = 64,
    power: float = 1.0,
    load: float = 1.0,
    power_kw: Any = None,
    demand: Any = None,
    backup_kw: float = 0.0,
    **parameters: Any,
) -> RoutingInstance:
    """Three classes from two origins; rows of 3 degrees, 3 clocks and 3 batches for each.

    `power` and `load` scale the gusty wind and the swinging demand; `power_kw` (T, S) and `demand`
    (T, O, C) replace them.
    """
    rng = np.random.default_rng(seed)
    names = [f"s{s}" for s in range(sites)]
    origins = ["east", "west"]
    tokens_in, tokens_out = np.array([2000.0, 150.0, 150.0]), np.array([60.0, 500.0, 50.0])
    ttft_limit = np.array([2.0, 0.25, 0.25])
    rows = []
    for c in range(3):
        for tp in (2, 4, 8):
            for clock in (0.5, 0.75, 1.0):
                for batch in (4.0, 16.0, 64.0):
                    ttft = tokens_in[c] / 4000 / clock * (2 / tp) ** 0.7
                    tbt = (0.02 + 0.0006 * batch) * (0.75 + 0.25 / clock) * (4 / tp) ** 0.4
                    e2e = ttft + (tokens_out[c] - 1) * tbt
                    kw = tp * (0.15 + 0.55 * (batch / 64) ** 0.3 * clock**2.2)
                    rows.append((CLASSES[c], tp, clock, batch, batch / e2e, kw, ttft, tbt, e2e))
    columns = ["class", "tp", "frequency", "batch", "requests_per_s", "power_kw"]
    profile = pd.DataFrame(rows, columns=[*columns, "ttft_s", "tbt_s", "e2e_s"])
    times = pd.date_range(START, periods=periods, freq=f"{parameters.get('period_seconds', 300)}s")
    if power_kw is None:
        walk = 0.5 + rng.normal(0, 0.2, (periods, sites)).cumsum(axis=0)
        power_kw = np.clip(walk, 0, 1) * gpus * 0.5 * power
    if demand is None:
        swing = 1 + 0.3 * np.sin(np.arange(periods) / 5)[:, None, None]
        demand = swing * rng.uniform(0.8, 1.2, (periods, 2, 3)) * np.array([6, 2, 9]) * load
    demand = np.broadcast_to(np.asarray(demand, dtype=float), (periods, 2, 3))
    power_kw = np.broadcast_to(np.asarray(power_kw, dtype=float), (periods, sites))
    tables = {
        "classes": pd.DataFrame(
            {
                "class": CLASSES,
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "ttft_limit_s": ttft_limit,
                "tbt_limit_s": 0.1,
                "e2e_limit_s": ttft_limit + (tokens_out - 1) * 0.1,
                "weight": 1.0,
            }
        ),
        "profile": profile.assign(row=np.arange(len(profile))),
        "sites": pd.DataFrame(
            {"site": names, "gpus": gpus, "nameplate_kw": 1e6, "backup_kw": backup_kw}
        ),
        "links": pd.DataFrame(
            [
                (origin, name, 10.0 * (s + 1) + 5.0 * (origin == "west"))
                for origin in origins
                for s, name in enumerate(names)
            ],
            columns=["origin", "site", "rtt_ms"],
        ),
        "power": pd.DataFrame(
            {
                "time": np.repeat(times, sites),
                "site": np.tile(names, periods),
                "power_kw": power_kw.ravel(),
            }
        ),
        "demand": pd.DataFrame(
            {
                "time": np.repeat(times, 6),
                "origin": np.tile(np.repeat(origins, 3), periods),
                "class": np.tile(CLASSES, periods * 2),
                "requests_per_s": demand.ravel(),
            }
        ),
    }
    if backup_kw:
        grid = tables["power"].drop(columns="power_kw")
        tables["grid"] = grid.assign(carbon_g_per_kwh=300.0, usd_per_kwh=0.1)
    return RoutingInstance(parameters, tables)
