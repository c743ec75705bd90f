"""Real sites: an instance from wind series on one time axis.

`optmodels.traces` reads public files and aligns them; here they become a question. What the files
do not say has to be said: the nameplate of each site (for series of shares, the power that they are
shares of) and its round trip to the nearest cloud region (`optmodels.traces.distance`).
Prices that are not given are those of the synthetic instances.

Rules that know the series by which they are judged are told too much. With `judged_from` the time
before it is what they are told, and the time from it on is what counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.matrix import power_matrix
from optmodels.rightsizing.sites.synthetic import PRICES, SIZES
from optmodels.traces.trace import instant, nanoseconds

PerSite = float | Mapping[str, float]
"""One number for all sites, or one for each by its name."""


def from_series(
    power_kw: pd.DataFrame,
    *,
    nameplate_kw: PerSite,
    rtt_ms: PerSite,
    opening_usd_per_year: PerSite = 0.0,
    battery_max_kwh: PerSite = 0.0,
    backup_kw: PerSite = 0.0,
    demand_gpus: float | pd.Series[float] | None = None,
    carbon_g_per_kwh: float | pd.Series[float] | None = None,
    judged_from: str | dt.datetime | None = None,
    name: str | None = None,
    source: str = "wind series",
    command: str | None = None,
    **parameters: object,
) -> SitesInstance:
    """Make an instance from the wind of several sites.

    Parameters
    ----------
    power_kw
        Wind power [kW], one column per site, on one time axis in UTC, as
        `optmodels.traces.aligned_power` gives it.
    nameplate_kw, rtt_ms, opening_usd_per_year, battery_max_kwh, backup_kw
        Columns of the table of sites, for all alike or by name.
    demand_gpus
        Demand [GPUs], constant or by slot.
    carbon_g_per_kwh
        Carbon intensity of the grid, constant or by slot; default: that of `PRICES`.
    judged_from
        First slot that counts: rules are told the time before it. By default all slots count, and
        rules are told them. As many slots have to come before as after where the demand varies.
    name
        Label of the instance.
    source, command
        What the series are, and the command that makes the instance, for its origin.
    parameters
        Scalar parameters of the instance by name; the rest of the prices is that of `PRICES`.

    Returns
    -------
    SitesInstance

    Raises
    ------
    InputError
        Series that are not regular, in UTC, or power; numbers out of range; unknown parameters.
    UsageError
        A site without a number, `judged_from` outside the series, no demand.
    """
    values, names = power_matrix(power_kw)
    times, step_minutes = _axis(power_kw.index)
    if demand_gpus is None:
        raise UsageError(
            "The demand is missing. Fix: say demand_gpus=, a number of GPUs or a series."
        )
    given: dict[str, object] = {
        **PRICES,
        "grid_usd_per_kwh": SIZES["grid_usd_per_kwh"],
        **parameters,
        "slot_minutes": step_minutes,
    }
    tables: dict[str, pd.DataFrame] = {}
    begin = 0 if judged_from is None else _place(judged_from, times)
    sites = {
        "nameplate_kw": nameplate_kw,
        "rtt_ms": rtt_ms,
        "opening_usd_per_year": opening_usd_per_year,
        "battery_max_kwh": battery_max_kwh,
        "backup_kw": backup_kw,
    }
    tables["sites"] = pd.DataFrame(
        {"site": list(names), **{key: _by_site(key, one, names) for key, one in sites.items()}}
    )
    tables["power"] = _rows(times[begin:], names, values[begin:])
    if begin:
        tables["past"] = _rows(times[:begin], names, values[:begin])
    for label, field, column, one in (
        ("demand", "demand_gpus", "gpus", demand_gpus),
        ("grid", "carbon_g_per_kwh", "carbon_g_per_kwh", carbon_g_per_kwh),
    ):
        if isinstance(one, pd.Series):
            given.pop(field, None)
            kept = one[one.index >= times[begin]].to_numpy()
            index = one.index[one.index >= times[begin]]
            tables[label] = pd.DataFrame({"time": index, column: kept})
        elif one is not None:
            given[field] = one
    origin = source if command is None else f"{command}  # {source}"
    return SitesInstance(given, tables, name=name, origin=origin)


def _axis(index: pd.Index) -> tuple[pd.DatetimeIndex, float]:
    """Times in UTC and the step [min]; gaps are the instance's to refuse, by their row."""
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        fix = "make it by optmodels.traces.aligned_power"
        flaw = Flaw("has no times with a zone", field="power_kw", allowed="tz-aware times", fix=fix)
        raise InputError(flaw)
    if len(index) < 2:
        flaw = Flaw("has fewer than two times: its step is unknown", field="power_kw")
        raise InputError(flaw)
    step = float(np.median(np.diff(nanoseconds(index)))) / 60e9
    if not step > 0:
        raise InputError(Flaw("has times that do not rise", field="power_kw"))
    return index.tz_convert("UTC"), step


def _place(time: str | dt.datetime, times: pd.DatetimeIndex) -> int:
    moment = instant(time, "UTC")
    place = int(times.searchsorted(moment))
    if not 0 < place < len(times) - 1:
        raise UsageError(
            f"judged_from is {moment:%Y-%m-%d %H:%M} UTC; allowed: after {times[0]:%Y-%m-%d %H:%M} "
            f"and before {times[-1]:%Y-%m-%d %H:%M}, where the series has slots on both sides."
        )
    return place


def _by_site(field: str, given: PerSite, names: tuple[str, ...]) -> list[float]:
    if not isinstance(given, Mapping | pd.Series):
        return [float(given)] * len(names)
    absent = [name for name in names if name not in given]
    if absent:
        raise UsageError(f"{field} has no number for {', '.join(absent)}; give one for every site.")
    return [float(given[name]) for name in names]


def _rows(
    times: pd.DatetimeIndex,
    names: tuple[str, ...],
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> pd.DataFrame:
    """One row per slot and site."""
    return pd.DataFrame(
        {
            "time": times.repeat(len(names)),
            "site": list(names) * len(times),
            "power_kw": values.ravel(),
        }
    )
