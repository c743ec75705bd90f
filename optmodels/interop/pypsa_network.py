"""Wind of a PyPSA network: its generators become sites.

A network says of each generator how much power it has (``p_nom`` [MW]) and which share of it the
wind allows in each snapshot (``p_max_pu``); their product is the power of a site. Its buses have
coordinates, from which the round trip to the nearest cloud region follows where nobody has measured
it. What the network cannot say has to be said here:

- **the zone of its clock**: snapshots of PyPSA carry none;
- **what counts as wind**, where the carriers are not called so;
- **what a snapshot stands for**. Networks that were clustered in time weigh their snapshots, a day
  for a season; a series of such snapshots is no series of hours. So every weighting must be the
  length of its snapshot.

The data model is that of PyPSA (Brown, Hörsch and Schlachtberger, doi 10.5334/jors.188).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.from_series import PerSite, from_series
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.traces.distance import FITS, GCP_REGIONS, nearest_by_distance
from optmodels.traces.parse import check_choice, time_zone

KW_PER_MW = 1000.0

#: Weightings of snapshots that must be the length of a snapshot: of energy, and of cost.
_WEIGHTINGS = ("generators", "objective")
_ROUNDING = 1e-9
_SHOWN = 20


@dataclass(frozen=True, eq=False)
class NetworkWind:
    """Wind of a network, as the instances of wind sites take it.

    Attributes
    ----------
    power_kw
        Power [kW], index ``time`` in UTC, one column per site.
    nameplate_kw
        Installed power of each site [kW].
    places
        Indexed by site: ``bus``, ``latitude``, ``longitude`` [degrees].
    """

    power_kw: pd.DataFrame
    nameplate_kw: Mapping[str, float]
    places: pd.DataFrame


def wind_series(
    network: Any,
    *,
    tz: str | dt.tzinfo | None = None,
    carriers: Sequence[str] | None = None,
    by: Literal["generator", "bus"] = "generator",
    capacity: Literal["p_nom", "p_nom_opt"] = "p_nom",
    weightings: Literal["check", "ignore"] = "check",
) -> NetworkWind:
    """Power of the wind generators of a network.

    Parameters
    ----------
    network
        A ``pypsa.Network`` with plain snapshots: one investment period, no scenarios.
    tz
        Zone of its snapshots, which carry none: "UTC", or as the data were made.
    carriers
        Carriers that are wind; by default all with "wind" in their name.
    by
        What is a site: each "generator", or all generators at a "bus" together.
    capacity
        Installed power: as it was given (``p_nom``), or as PyPSA has optimised it (``p_nom_opt``).
    weightings
        "check" refuses snapshots that stand for more or less time than they last; "ignore" takes
        each for what it lasts.

    Returns
    -------
    NetworkWind

    Raises
    ------
    UsageError
        No zone, an unknown carrier or choice, several investment periods or scenarios.
    InputError
        Generators without a series, power or numbers >= 0; snapshots that are no times, are skipped
        or repeated by the clock, or weighted; all of it together.
    """
    check_choice("by", by, ("generator", "bus"))
    check_choice("capacity", capacity, ("p_nom", "p_nom_opt"))
    check_choice("weightings", weightings, ("check", "ignore"))
    snapshots = _plain_snapshots(network)
    chosen = _chosen(network, carriers)
    times, flaws = _times(snapshots, tz)
    if weightings == "check" and not flaws:
        flaws = _weighting_flaws(network.snapshot_weightings, times)
    power_kw, installed_kw, found = _power(network, chosen, capacity)
    flaws += found
    if flaws:
        raise InputError(flaws, "PyPSA network")
    site = chosen["bus"].astype(str) if by == "bus" else pd.Series(chosen.index, chosen.index)
    names = list(dict.fromkeys(str(one) for one in site))
    place = {name: number for number, name in enumerate(names)}
    member = np.zeros((len(chosen), len(names)))
    member[np.arange(len(chosen)), [place[str(one)] for one in site]] = 1.0
    frame = pd.DataFrame(power_kw @ member, index=times, columns=pd.Index(names, dtype=object))
    nameplate = dict(zip(names, (installed_kw @ member).tolist(), strict=True))
    return NetworkWind(frame, nameplate, _places(network, chosen["bus"], site))


def from_pypsa(
    network: Any,
    *,
    tz: str | dt.tzinfo | None = None,
    demand_gpus: float | pd.Series[float] | None = None,
    rtt_ms: PerSite | None = None,
    region_fit: str = "europe",
    carriers: Sequence[str] | None = None,
    by: Literal["generator", "bus"] = "generator",
    capacity: Literal["p_nom", "p_nom_opt"] = "p_nom",
    weightings: Literal["check", "ignore"] = "check",
    **more: Any,
) -> SitesInstance:
    """Instance of `rightsizing.sites` from the wind of a network.

    For `routing.sites` give the fields of `wind_series` to
    `optmodels.routing.sites.from_wind.from_wind`.

    Parameters
    ----------
    network, tz, carriers, by, capacity, weightings
        As in `wind_series`.
    demand_gpus
        Demand [GPUs], constant or by slot.
    rtt_ms
        Round trip of each site to its nearest cloud region [ms]; by default the usual one over the
        distance from the coordinates of its bus to the nearest of `GCP_REGIONS`.
    region_fit
        Whose cables are how long, for that default: a name in `optmodels.traces.distance.FITS`.
    more
        Anything else that `optmodels.rightsizing.sites.from_series.from_series` takes: prices,
        ``judged_from``, ``name``.

    Returns
    -------
    SitesInstance

    Raises
    ------
    UsageError
        As `wind_series`; an unknown fit, no demand.
    InputError
        As `wind_series`; buses without coordinates where no `rtt_ms` is given; numbers out of
        range.
    """
    if region_fit not in FITS:
        raise UsageError.unknown("fit", region_fit, FITS)
    wind = wind_series(
        network, tz=tz, carriers=carriers, by=by, capacity=capacity, weightings=weightings
    )
    if rtt_ms is None:
        _require_places(wind.places)
        nearest = nearest_by_distance(wind.places, GCP_REGIONS, FITS[region_fit])
        rtt_ms = {str(site): float(ms) for site, ms in nearest["rtt_ms"].items()}
    label = str(getattr(network, "name", "") or "a network")
    given = {"source": f"wind of PyPSA: {label}", **more}
    return from_series(
        wind.power_kw,
        nameplate_kw=wind.nameplate_kw,
        rtt_ms=rtt_ms,
        demand_gpus=demand_gpus,
        **given,
    )


def _plain_snapshots(network: Any) -> pd.Index:
    if not all(hasattr(network, name) for name in ("generators", "buses", "snapshots")):
        raise UsageError(
            f"A {type(network).__name__} is not a network of PyPSA. Fix: give a pypsa.Network."
        )
    if getattr(network, "has_scenarios", False):
        raise UsageError(
            "The network has scenarios. Fix: take one of them, network.get_scenario(name)."
        )
    snapshots: pd.Index = network.snapshots
    if isinstance(snapshots, pd.MultiIndex):
        raise UsageError(
            "The network has several investment periods. Fix: take the snapshots and capacities "
            "of one of them."
        )
    return snapshots


def _chosen(network: Any, carriers: Sequence[str] | None) -> pd.DataFrame:
    """The wind generators that are active."""
    frame: pd.DataFrame = network.generators
    kinds = [str(kind) for kind in frame["carrier"]]
    known = sorted(set(kinds))
    if carriers is None:
        wanted = {kind for kind in known if "wind" in kind.lower()}
        if not wanted:
            raise UsageError(
                "No carrier of a generator has 'wind' in its name. Fix: name the carriers, "
                f"carriers=[...]. Known: {', '.join(known) or 'none'}."
            )
    else:
        for name in carriers:
            if name not in known:
                raise UsageError.unknown("carrier", str(name), known)
        wanted = {str(name) for name in carriers}
    rows = np.array([kind in wanted for kind in kinds], dtype=bool)
    if "active" in frame:
        rows &= frame["active"].to_numpy(dtype=bool)
    chosen = frame[rows]
    if not len(chosen):
        raise UsageError(
            f"No active generator has one of the carriers {', '.join(sorted(wanted))}. Fix: name "
            "others, or set their generators active."
        )
    return chosen


def _times(snapshots: pd.Index, tz: str | dt.tzinfo | None) -> tuple[pd.DatetimeIndex, list[Flaw]]:
    """Snapshots in UTC, and what is wrong with them."""
    nothing = pd.DatetimeIndex([], tz="UTC", name="time")
    if not isinstance(snapshots, pd.DatetimeIndex):
        what, fix = "are no times", "network.set_snapshots(pandas.date_range(...))"
        return nothing, [Flaw(what, field="snapshots", value=snapshots.dtype, fix=fix)]
    if tz is None:
        raise UsageError(
            "Snapshots of PyPSA carry no time zone. Fix: say tz=, such as 'UTC', in which most "
            "public networks are."
        )
    zone = time_zone(tz)
    local = snapshots.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    lost = np.flatnonzero(local.isna())
    flaws = [
        Flaw(
            f"does not exist once in {zone}",
            field="snapshots",
            value=f"{snapshots[i]:%Y-%m-%d %H:%M}",
            cause="the clock is another one, without summer time",
            fix="say the zone in which the snapshots were made, often UTC",
        )
        for i in lost[:_SHOWN].tolist()
    ]
    if len(snapshots) < 2:
        flaws.append(Flaw("are fewer than two: their length is unknown", field="snapshots"))
    return local.tz_convert("UTC").rename("time"), flaws


def _weighting_flaws(weights: pd.DataFrame, times: pd.DatetimeIndex) -> list[Flaw]:
    """A snapshot counts for as long as it lasts, in energy and in cost."""
    steps = np.diff(times.as_unit("ns").asi8) / 3.6e12
    hours = float(np.median(steps))
    flaws = []
    for name in _WEIGHTINGS:
        values = np.asarray(weights[name], dtype=np.float64)
        wrong = np.flatnonzero(~(np.abs(values - hours) <= _ROUNDING * hours))
        if len(wrong):
            many = len(wrong)
            flaws.append(
                Flaw(
                    f"is the weighting of {many} snapshot{'' if many == 1 else 's'}, the first at "
                    f"{times[wrong[0]]:%Y-%m-%d %H:%M} UTC",
                    field=f"snapshot_weightings.{name}",
                    value=float(values[wrong[0]]),
                    allowed=f"{hours:g}, the hours from one snapshot to the next",
                    cause="the network was clustered in time, or each snapshot stands for many",
                    fix="take the network before clustering, or weightings='ignore'",
                )
            )
    return flaws


def _power(
    network: Any, chosen: pd.DataFrame, capacity: str
) -> tuple[FloatArray, FloatArray, list[Flaw]]:
    """Power by snapshot and generator [kW], installed power [kW], and what is wrong."""
    series: pd.DataFrame = network.generators_t["p_max_pu"]
    flaws = []
    lacking = [str(name) for name in chosen.index if name not in series.columns]
    if lacking:
        flaws.append(
            Flaw(
                f"has no series for {', '.join(lacking[:_SHOWN])}",
                field="generators_t.p_max_pu",
                cause="the wind of these generators was never added",
                fix="add it, or name other carriers",
            )
        )
    installed = np.asarray(chosen[capacity], dtype=np.float64)
    extendable = chosen["p_nom_extendable"].to_numpy(dtype=bool)
    for i in np.flatnonzero(~((installed > 0) & np.isfinite(installed)))[:_SHOWN].tolist():
        flaws.append(
            Flaw(
                "is no installed power",
                field=f"{capacity} of {chosen.index[i]}",
                value=float(installed[i]),
                allowed="a number > 0 [MW]",
                cause="its size is a decision of the network" if extendable[i] else None,
                fix="optimise the network, and say capacity='p_nom_opt'" if extendable[i] else None,
            )
        )
    names = [name for name in chosen.index if name in series.columns]
    share = series[names].to_numpy(dtype=np.float64)
    for i, name in enumerate(names):
        wrong = ~(np.isfinite(share[:, i]) & (share[:, i] >= 0))
        if wrong.any():
            flaws.append(
                Flaw(
                    f"has {int(wrong.sum())} values that are missing, infinite or negative",
                    field=f"p_max_pu of {name}",
                    value=float(share[wrong, i][0]),
                    allowed="numbers >= 0",
                )
            )
    if flaws:
        return np.empty((0, 0)), np.empty(0), flaws
    installed_kw = installed * KW_PER_MW
    return share * installed_kw, installed_kw, []


def _places(network: Any, buses: pd.Series[Any], site: pd.Series[Any]) -> pd.DataFrame:
    """Bus and coordinates of each site; PyPSA's x is the longitude, y the latitude."""
    where = network.buses.loc[buses.to_numpy(), ["x", "y"]].to_numpy(dtype=np.float64)
    frame = pd.DataFrame(
        {
            "bus": buses.astype(str).to_numpy(),
            "latitude": where[:, 1],
            "longitude": where[:, 0],
        },
        index=pd.Index([str(one) for one in site], name="site"),
    )
    # PyPSA puts buses without coordinates at 0, 0, in the ocean.
    nowhere = (where == 0).all(axis=1)
    frame.loc[nowhere, ["latitude", "longitude"]] = np.nan
    return frame[~frame.index.duplicated()]


def _require_places(places: pd.DataFrame) -> None:
    absent = places[places[["latitude", "longitude"]].isna().any(axis=1)]
    if len(absent):
        flaws = [
            Flaw(
                "has no coordinates x and y, from which its round trip could follow",
                field=f"bus {bus}",
                fix="give rtt_ms, or add the coordinates",
            )
            for bus in absent["bus"].unique()
        ]
        raise InputError(flaws, "PyPSA network")
