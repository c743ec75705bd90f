"""Wind sites for tests: small ones by hand and by seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optmodels.rightsizing.sites.instance import SitesInstance

START = pd.Timestamp("2019-01-01T00:00Z")

# K = 0.785 USD/h and U* = 0.917: the worked numbers of the problem's page.
PRICES = {
    "gpu_kw": 1.3,
    "gpu_capex_usd": 30_000.0,
    "gpu_life_years": 5.0,
    "gpu_opex_usd_per_hour": 0.10,
    "wind_usd_per_kwh": 0.025,
    "grid_usd_per_kwh": 0.080,
}
#: Round numbers: K = 1, c_g = 4, w p_wind = 1 per GPU-hour of 1 kW.
ROUND = {
    "gpu_kw": 1.0,
    "gpu_capex_usd": 8760.0,
    "gpu_life_years": 1.0,
    "gpu_opex_usd_per_hour": 0.0,
    "wind_usd_per_kwh": 1.0,
    "grid_usd_per_kwh": 3.0,
}


def power_table(power_kw: Any, start: pd.Timestamp = START) -> pd.DataFrame:
    """Long table of a (T, S) array; the sites are s0, s1 and so on."""
    values = np.asarray(power_kw, dtype=float)
    times = pd.date_range(start, periods=len(values), freq="1h")
    count = values.shape[1]
    return pd.DataFrame(
        {
            "time": times.repeat(count),
            "site": [f"s{s}" for s in range(count)] * len(values),
            "power_kw": values.ravel(),
        }
    )


def fleet(
    power_kw: Any,
    *,
    demand: Any = 1e6,
    nameplate_kw: Any = None,
    rtt_ms: Any = 10.0,
    opening: Any = 0.0,
    battery_kwh: Any = 0.0,
    backup_kw: Any = 0.0,
    past_kw: Any = None,
    carbon: Any = 300.0,
    **parameters: Any,
) -> SitesInstance:
    """Sites with hourly power (T, S), at round prices unless others are given."""
    values = np.asarray(power_kw, dtype=float)
    count = values.shape[1]
    nameplate = np.maximum(values.max(axis=0), 1.0) if nameplate_kw is None else nameplate_kw
    columns = {
        "nameplate_kw": nameplate,
        "rtt_ms": rtt_ms,
        "opening_usd_per_year": opening,
        "battery_max_kwh": battery_kwh,
        "backup_kw": backup_kw,
    }
    sites = pd.DataFrame(
        {name: np.broadcast_to(np.asarray(v, dtype=float), count) for name, v in columns.items()}
    )
    sites.insert(0, "site", [f"s{s}" for s in range(count)])
    tables = {"sites": sites, "power": power_table(values)}
    times = pd.date_range(START, periods=len(values), freq="1h")
    given: dict[str, Any] = {"slot_minutes": 60, **ROUND, **parameters}
    if np.ndim(demand):
        tables["demand"] = pd.DataFrame({"time": times, "gpus": np.asarray(demand, dtype=float)})
    else:
        given["demand_gpus"] = demand
    if np.ndim(carbon):
        tables["grid"] = pd.DataFrame({"time": times, "carbon_g_per_kwh": carbon})
    else:
        given["carbon_g_per_kwh"] = carbon
    if past_kw is not None:
        before = START - pd.Timedelta(hours=len(past_kw))
        tables["past"] = power_table(past_kw, before)
    return SitesInstance(given, tables)


def small(
    seed: int, *, slots: int = 72, sites: int = 3, demand: Any = 1e6, **more: Any
) -> SitesInstance:
    """Correlated power of a few sites of 100 to 400 kW, drawn from a seed."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(slots, 1))
    own = rng.normal(size=(slots, sites))
    share = 1 / (1 + np.exp(-(0.6 * common + 0.8 * own)))
    nameplate = np.round(rng.uniform(100, 400, size=sites))
    # Some hours are calm, some at the nameplate: ties are where sizes go wrong.
    share = np.clip(1.6 * share - 0.3, 0.0, 1.0)
    return fleet(np.round(share * nameplate, 3), demand=demand, nameplate_kw=nameplate, **more)
