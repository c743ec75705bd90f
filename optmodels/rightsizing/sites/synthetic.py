"""Synthetic wind sites: seeded, correlated wind through a turbine's power curve.

The wind is that of `optmodels.synthesis.wind_farms`: nothing of it is measured.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.synthesis.sizes import Sizes, begin_of
from optmodels.synthesis.solar_grid import ZONE
from optmodels.synthesis.wind_farms import wind_power

#: Size arguments of the generator with their defaults; None and 0 mean "without".
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "hours": 672,
        "sites": 4,
        "nameplate_kw": 2000.0,
        "demand_gpus": 1000.0,
        "correlation": 0.4,
        "past_hours": 0,
        "slot_minutes": 60,
        "start": "2023-01-02T00:00:00Z",
        "module_gpus": 0,
        "opening_usd_per_year": 0.0,
        "battery_kwh": 0.0,
        "backup_kw": 0.0,
        "unmet_share_max": None,
        "grid_usd_per_kwh": 0.15,
    }
)

LARGEST_SLOTS = 200_000
LARGEST_SITES = 1000
NOTE = "synthetic: wind drawn from a seed, no value is measured"

# Nameplates differ by up to this share; round trips are in this range [ms].
_NAMEPLATE_SPREAD = 0.5
_RTT_MS = (8.0, 45.0)

#: What is the same in all synthetic instances. The prices are ours: they stand for a mid-range
#: accelerator and make a utilisation of 68 % break even.
PRICES: Mapping[str, float] = MappingProxyType(
    {
        "gpu_kw": 1.0,
        "gpu_capex_usd": 10_000.0,
        "gpu_life_years": 5.0,
        "gpu_opex_usd_per_hour": 0.05,
        "wind_usd_per_kwh": 0.02,
        "carbon_g_per_kwh": 400.0,
        "battery_usd_per_kwh_year": 20.0,
    }
)


def generate(
    seed: int,
    *,
    hours: float = 672,
    sites: int = 4,
    nameplate_kw: float = 2000.0,
    demand_gpus: float = 1000.0,
    correlation: float = 0.4,
    past_hours: float = 0,
    slot_minutes: float = 60,
    start: str = "2023-01-02T00:00:00Z",
    module_gpus: int = 0,
    opening_usd_per_year: float = 0.0,
    battery_kwh: float = 0.0,
    backup_kw: float = 0.0,
    unmet_share_max: float | None = None,
    grid_usd_per_kwh: float = 0.15,
) -> SitesInstance:
    """Make synthetic wind sites; the same arguments give the same fingerprint everywhere.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    hours
        Length of the series that counts [h].
    sites
        Number of sites.
    nameplate_kw
        Mean nameplate of a site [kW].
    demand_gpus
        Constant demand [GPUs].
    correlation
        Share of the variance of the wind that all sites have in common, 0 to 1.
    past_hours
        Length of an earlier series, on which rules then decide [h]; 0 for none.
    slot_minutes
        Length of a slot [min].
    start
        Start of the first slot that counts, with its offset.
    module_gpus
        GPUs of a module; 0 for any number of GPUs.
    opening_usd_per_year
        Yearly fixed cost of using a site [USD].
    battery_kwh
        Largest battery of each site [kWh].
    backup_kw
        Grid power that each site may draw [kW].
    unmet_share_max
        Largest share of the demand that may be left to the grid.
    grid_usd_per_kwh
        Price of grid energy [USD/kWh].

    Returns
    -------
    SitesInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    UsageError
        `start` is not a time, or has no offset.
    """
    sizes: dict[str, object] = {
        "hours": hours,
        "sites": sites,
        "nameplate_kw": nameplate_kw,
        "demand_gpus": demand_gpus,
        "correlation": correlation,
        "past_hours": past_hours,
        "slot_minutes": slot_minutes,
        "start": start,
        "module_gpus": module_gpus,
        "opening_usd_per_year": opening_usd_per_year,
        "battery_kwh": battery_kwh,
        "backup_kw": backup_kw,
        "unmet_share_max": unmet_share_max,
        "grid_usd_per_kwh": grid_usd_per_kwh,
    }
    _check(seed, sizes)
    begin = begin_of(start)
    rng = np.random.Generator(np.random.PCG64(seed))
    step = slot_minutes / 60
    slots, before = round(hours / step), round(past_hours / step)
    names = [f"wind-{s + 1:0{len(str(sites))}d}" for s in range(sites)]
    nameplate = np.round(nameplate_kw * (1 + _NAMEPLATE_SPREAD * rng.uniform(-1, 1, sites)), 1)
    round_trip = np.round(rng.uniform(*_RTT_MS, sites), 1)
    power = wind_power(rng, before + slots, step, nameplate, correlation)
    times = begin + pd.to_timedelta(np.arange(-before, slots) * slot_minutes, unit="min")
    frame = pd.DataFrame(
        {"time": times.repeat(sites), "site": names * len(times), "power_kw": power.ravel()}
    )
    tables = {
        "sites": pd.DataFrame(
            {
                "site": names,
                "nameplate_kw": nameplate,
                "rtt_ms": round_trip,
                "opening_usd_per_year": float(opening_usd_per_year),
                "battery_max_kwh": float(battery_kwh),
                "backup_kw": float(backup_kw),
            }
        ),
        "power": frame.iloc[before * sites :],
    }
    if before:
        tables["past"] = frame.iloc[: before * sites]
    parameters = {
        **PRICES,
        "slot_minutes": slot_minutes,
        "demand_gpus": demand_gpus,
        "grid_usd_per_kwh": grid_usd_per_kwh,
        "module_gpus": module_gpus or None,
        "unmet_share_max": unmet_share_max,
        "zone": ZONE,
        "quantity": "direct",
    }
    return SitesInstance(parameters, tables, origin=_origin(seed, sizes))


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range; the rest is checked by the instance."""
    given = Sizes(seed, sizes, "sizes of synthetic wind sites")
    minutes = given.number("slot_minutes", 0, 1440, open_low=True)
    if minutes is not None:
        step = minutes / 60
        most = LARGEST_SLOTS * step
        if given.number("hours", 0, most, open_low=True) is not None:
            given.whole("hours", "slots", 0, unit=step)
        given.whole("past_hours", "slots", 0, most, unit=step)
    given.whole("sites", "sites", 1, LARGEST_SITES)
    for name in ("nameplate_kw", "demand_gpus"):
        given.number(name, 0, 1e9, open_low=True)
    for name in ("opening_usd_per_year", "battery_kwh", "backup_kw", "grid_usd_per_kwh"):
        given.number(name, 0, 1e9)
    given.number("correlation", 0, 1)
    given.whole("module_gpus", "GPUs", 0, 10**6)
    if sizes["unmet_share_max"] is not None:
        given.number("unmet_share_max", 0, 1)
    given.start()
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "rightsizing.sites", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
