"""Instances for the tests of routing at wind sites: one by hand, small ones by seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optmodels.routing.sites.instance import RoutingInstance

START = pd.Timestamp("2023-11-13T00:00Z")


def routing(
    power_kw: Any,
    demand: Any,
    profile: Any,
    *,
    gpus: Any,
    rtt_ms: Any = 0.0,
    limits: Any = (1e3, 1e3, 1e3),
    weight: Any = 1.0,
    nameplate_kw: Any = 1e6,
    backup_kw: Any = 0.0,
    published_kw: Any = None,
    past_kw: Any = None,
    carbon: Any = None,
    usd: Any = 0.0,
    classes: Any = None,
    start: pd.Timestamp = START,
    **parameters: Any,
) -> RoutingInstance:
    """Instance from arrays.

    `power_kw` is (T, S), `demand` (T, O, C). `profile` are rows (class code, tp, requests per s,
    kW, e2e s[, ttft s, tbt s]); sites, origins and classes are s00, o00 and c00 and so on unless
    `classes` names them. `limits` are (ttft, tbt, e2e) for all classes, or (C, 3).
    """
    power, wanted = np.asarray(power_kw, dtype=float), np.asarray(demand, dtype=float)
    periods, s_count = power.shape
    _, o_count, c_count = wanted.shape
    step = pd.Timedelta(seconds=float(parameters.get("period_seconds", 300.0)))
    sites = [f"s{s:02}" for s in range(s_count)]
    origins = [f"o{o:02}" for o in range(o_count)]
    names = list(classes) if classes is not None else [f"c{c:02}" for c in range(c_count)]
    limit = np.broadcast_to(np.asarray(limits, dtype=float), (c_count, 3))
    rows = [(*row, 0.1, 0.01)[: max(len(row), 7)] if len(row) == 5 else row for row in profile]
    tables = {
        "classes": pd.DataFrame(
            {
                "class": names,
                "input_tokens": 500.0,
                "output_tokens": 100.0,
                "ttft_limit_s": limit[:, 0],
                "tbt_limit_s": limit[:, 1],
                "e2e_limit_s": limit[:, 2],
                "weight": np.broadcast_to(np.asarray(weight, dtype=float), c_count),
            }
        ),
        "profile": pd.DataFrame(
            {
                "row": np.arange(len(rows)),
                "class": [names[row[0]] for row in rows],
                "tp": [int(row[1]) for row in rows],
                "frequency": 1.0,
                "batch": 1.0,
                "requests_per_s": [float(row[2]) for row in rows],
                "power_kw": [float(row[3]) for row in rows],
                "ttft_s": [float(row[5]) for row in rows],
                "tbt_s": [float(row[6]) for row in rows],
                "e2e_s": [float(row[4]) for row in rows],
            }
        ),
        "sites": pd.DataFrame(
            {
                "site": sites,
                "gpus": np.broadcast_to(np.asarray(gpus, dtype=np.int64), s_count),
                "nameplate_kw": np.broadcast_to(np.asarray(nameplate_kw, dtype=float), s_count),
                "backup_kw": np.broadcast_to(np.asarray(backup_kw, dtype=float), s_count),
            }
        ),
        "links": pd.DataFrame(
            {
                "origin": np.repeat(origins, s_count),
                "site": np.tile(sites, o_count),
                "rtt_ms": np.broadcast_to(
                    np.asarray(rtt_ms, dtype=float), (o_count, s_count)
                ).ravel(),
            }
        ),
        "power": _by_site("power_kw", power, sites, start, step),
        "demand": pd.DataFrame(
            {
                "time": np.repeat(
                    pd.date_range(start, periods=periods, freq=step), o_count * c_count
                ),
                "origin": np.tile(np.repeat(origins, c_count), periods),
                "class": np.tile(names, periods * o_count),
                "requests_per_s": wanted.ravel(),
            }
        ),
    }
    if published_kw is not None:
        tables["published"] = _by_site("power_kw", published_kw, sites, start, step)
    if past_kw is not None:
        tables["past"] = _by_site("power_kw", past_kw, sites, start - len(past_kw) * step, step)
    if carbon is not None:
        grid = np.broadcast_to(np.asarray(carbon, dtype=float), power.shape)
        tables["grid"] = _by_site("carbon_g_per_kwh", grid, sites, start, step)
        tables["grid"]["usd_per_kwh"] = np.broadcast_to(
            np.asarray(usd, dtype=float), power.shape
        ).ravel()
    return RoutingInstance(parameters, tables)


def toy_h1(power_kw: Any = (4.0, 2.0), **parameters: Any) -> RoutingInstance:
    """One period, two sites of 8 GPUs, classes A and B with 12 and 3 requests a second.

    Its optima are known by enumeration. Rows 0 to 3 are A1, A2, B1, B2: instances of 2 and 4 GPUs.
    """
    profile = [
        (0, 2, 4.0, 1.0, 2.0),
        (0, 4, 7.0, 1.8, 1.2),
        (1, 2, 1.5, 1.1, 6.0),
        (1, 4, 3.2, 2.4, 4.0),
    ]
    return routing([power_kw], [[[12.0, 3.0]]], profile, gpus=8, classes=("A", "B"), **parameters)


def small(
    seed: int,
    *,
    periods: int = 24,
    sites: int = 3,
    origins: int = 2,
    classes: int = 3,
    gpus: int = 40,
    load: float = 0.9,
    calm: float = 0.25,
    backup_kw: Any = 0.0,
    **more: Any,
) -> RoutingInstance:
    """Random instance: gusty power, a swinging demand, rows of three degrees and several clocks.

    Parameters
    ----------
    seed
        Seed of everything.
    gpus
        GPUs per site, on average.
    load
        Demand relative to what the mean power could serve.
    calm
        Share of periods and sites without any wind.
    more
        Further arguments of `routing`, parameters among them.
    """
    rng = np.random.default_rng(seed)
    profile = []
    for c in range(classes):
        base = float(rng.uniform(0.8, 3.0))
        for tp in (1, 2, 4):
            for share in (0.6, 0.8, 1.0):
                for busy in (0.5, 1.0):
                    rate = base * tp**0.9 * share**0.7 * busy
                    kw = tp * (0.2 + 0.9 * busy * share**2.2)
                    ttft = 0.12 * (c + 1) / (tp**0.7 * share)
                    tbt = 0.04 * (0.75 + 0.25 / share) * (0.7 + 0.3 * busy) / tp**0.3
                    e2e = ttft + 60 * (c + 1) * tbt
                    profile.append((c, tp, *(round(v, 4) for v in (rate, kw, e2e, ttft, tbt))))
    count = np.maximum(rng.integers(gpus // 2, gpus * 3 // 2 + 1, sites), 4)
    wind = rng.normal(size=(periods, sites)).cumsum(axis=0) * 0.25 + rng.normal(size=(1, sites))
    power = count * 1.1 / (1 + np.exp(-wind))
    power = np.round(np.where(rng.random((periods, sites)) < calm, 0.0, power), 3)
    best = np.array([max(r[2] / r[3] for r in profile if r[0] == c) for c in range(classes)])
    swing = 1 + 0.4 * np.sin(np.arange(periods) / 12 * np.pi + rng.uniform(0, 6))
    share = rng.dirichlet(np.ones(origins * classes)).reshape(origins, classes)
    mean = power.sum(axis=1).mean() * load * best
    demand = np.round(swing[:, None, None] * share * mean, 3)
    rtt = np.round(rng.uniform(2, 80, (origins, sites)), 1)
    limit = [[0.16 * (c + 1), 0.05, 0.25 * (c + 1) + 60 * (c + 1) * 0.04] for c in range(classes)]
    return routing(
        power,
        demand,
        profile,
        gpus=count,
        rtt_ms=rtt,
        limits=limit,
        nameplate_kw=np.maximum(count * 1.2, 1.0),
        backup_kw=backup_kw,
        **more,
    )


def _by_site(
    label: str, values: Any, sites: list[str], start: pd.Timestamp, step: pd.Timedelta
) -> pd.DataFrame:
    array = np.asarray(values, dtype=float)
    times = pd.date_range(start, periods=len(array), freq=step)
    return pd.DataFrame(
        {
            "time": np.repeat(times, len(sites)),
            "site": np.tile(sites, len(array)),
            label: array.ravel(),
        }
    )
