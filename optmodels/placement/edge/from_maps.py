"""Real places: an instance from measured round trips between cities and the intensity of zones.

`optmodels.traces` reads the public files; here they become a question. Every city has users and an
edge site; its grid zone and its servers have to be said, for no file does. Servers and applications
that are not given are those of `optmodels.placement.edge.catalogue`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.placement.edge import catalogue
from optmodels.placement.edge.instance import EdgeInstance


def from_cities(
    rtt_ms: pd.DataFrame,
    zones: Mapping[str, str],
    carbon_g_per_kwh: Mapping[str, float],
    *,
    start: str | dt.datetime,
    period_hours: float,
    rtt_limit_ms: float,
    applications: int = 20,
    spare: float = 0.5,
    weights: Mapping[str, float] | None = None,
    forecast_g_per_kwh: Mapping[str, float] | None = None,
    name: str | None = None,
    source: str = "round trips between cities",
    **parameters: object,
) -> EdgeInstance:
    """Make an instance from cities.

    Parameters
    ----------
    rtt_ms
        Round trips from city (row) to city (column) [ms], as `optmodels.traces.read_latency` gives
        them; those within a city count as 0 where they are not measured, other pairs without a
        measurement are not used.
    zones
        Grid zone of each city; cities that are not named are left out.
    carbon_g_per_kwh
        Mean intensity of each zone over the period.
    start, period_hours
        The period.
    rtt_limit_ms
        Longest round trip of every application.
    applications
        Applications of the users of a city, on average, of five kinds.
    spare
        Servers beyond those that a city's own users need, relative to them.
    weights
        Relative number of users of each city; by default all are alike.
    forecast_g_per_kwh
        What policies are told instead, by zone.
    name, source
        Label of the instance, and what the data are, for its origin.
    parameters
        Further scalar parameters of the instance.

    Returns
    -------
    EdgeInstance
        One site per city, in the zone that it belongs to.

    Raises
    ------
    UsageError
        A city that the round trips do not have.
    InputError
        A zone without intensity, or numbers out of range.
    """
    cities = sorted(zones)
    for city in cities:
        if city not in rtt_ms.index or city not in rtt_ms.columns:
            raise UsageError.unknown("city", city, [str(one) for one in rtt_ms.index])
    missing = sorted({zones[city] for city in cities} - set(carbon_g_per_kwh))
    if missing:
        flaws = [Flaw("has no intensity", field="carbon_g_per_kwh", value=one) for one in missing]
        raise InputError(flaws, "zones of cities")
    square = rtt_ms.loc[cities, cities].to_numpy(dtype=np.float64).copy()
    here = np.arange(len(cities))
    square[here, here] = np.nan_to_num(square[here, here], nan=0.0)
    # The two directions of a pair differ a little; what counts is a round trip.
    square = np.where(np.isnan(square), square.T, square)
    known = np.argwhere(~np.isnan(square))
    share = np.array([1.0 if weights is None else float(weights[city]) for city in cities])
    users = np.maximum(np.round(applications * share / share.mean()), 1)
    rows, servers = [], []
    for c, city in enumerate(cities):
        for k, kind in enumerate(catalogue.KINDS):
            count = round(float(users[c]) * catalogue.MIX[k])
            if count:
                rows.append(
                    {
                        "name": f"{city} {kind}",
                        "kind": kind,
                        "origin": city,
                        "count": count,
                        "rtt_limit_ms": rtt_limit_ms,
                        "requests_per_s": catalogue.REQUESTS_PER_S[k],
                        "batch": 1,
                        "state_gb": catalogue.STATE_GB[k],
                    }
                )
        for device in catalogue.DEVICES:
            need = float(users[c]) * (1 + spare) / len(catalogue.DEVICES) / device.usual
            servers.append(device.row(f"{city} {device.name}", city, max(1, int(np.ceil(need)))))
    used = sorted({zones[city] for city in cities})
    tables = {
        "applications": pd.DataFrame(rows),
        "servers": pd.DataFrame(servers),
        "sites": pd.DataFrame({"site": cities, "zone": [zones[city] for city in cities]}),
        "carbon": _intensities(used, carbon_g_per_kwh),
        "latency": pd.DataFrame(
            {
                "origin": [cities[i] for i in known[:, 0]],
                "site": [cities[j] for j in known[:, 1]],
                "rtt_ms": square[known[:, 0], known[:, 1]],
            }
        ),
        "profiles": catalogue.profiles(),
    }
    if forecast_g_per_kwh is not None:
        tables["forecast"] = _intensities(used, forecast_g_per_kwh)
    scalars = {"start": start, "period_hours": period_hours, **parameters}
    return EdgeInstance(scalars, tables, name=name, origin=source)


def _intensities(zones: list[str], values: Mapping[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"zone": zones, "carbon_g_per_kwh": [float(values[zone]) for zone in zones]}
    )
