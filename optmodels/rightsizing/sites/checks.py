"""What can be wrong with wind sites although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

if TYPE_CHECKING:
    from optmodels.rightsizing.sites.instance import SitesParameters

#: Flaws of one kind that are told of one table.
_MOST = 20


def power_flaws(power: pd.DataFrame, sites: pd.DataFrame, place: Place) -> list[Flaw]:
    """Unknown sites, sites without some slot, and more power than a nameplate."""
    known = pd.Index(sites["site"])
    code = known.get_indexer(pd.Index(power["site"]))
    flaws = [
        Flaw(
            "is not a site",
            file=place.file,
            row=place.row(i),
            field="site",
            value=str(power["site"].iloc[i]),
            allowed=", ".join(str(name) for name in known[:_MOST]),
            fix="add it to the table 'sites', or remove its rows",
        )
        for i in np.flatnonzero(code < 0)[:_MOST].tolist()
    ]
    times = power["time"].nunique()
    counts = np.bincount(code[code >= 0], minlength=len(known))
    flaws += [
        Flaw(
            f"has only {counts[s]} of {times} slots",
            file=place.file,
            field="site",
            value=str(known[s]),
            allowed="every site in every slot",
            cause="the series of the sites begin or end at different times, or have gaps",
            fix="cut all to the same slots and fill the gaps, or remove the site",
        )
        for s in np.flatnonzero(counts < times)[:_MOST].tolist()
    ]
    limit = sites["nameplate_kw"].to_numpy()[np.maximum(code, 0)]
    above = (code >= 0) & (power["power_kw"].to_numpy() > limit)
    flaws += [
        Flaw(
            "is above the nameplate",
            file=place.file,
            row=place.row(i),
            field="power_kw",
            value=float(power["power_kw"].iloc[i]),
            allowed=f"at most {limit[i]:g} kW",
            cause="units differ (MW, kW), or turbines were added",
            fix="correct the unit, or raise nameplate_kw",
        )
        for i in np.flatnonzero(above)[:_MOST].tolist()
    ]
    return flaws


def demand_flaws(
    p: SitesParameters, tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]
) -> list[Flaw]:
    """Demand that is missing, given twice, zero, or not of the slots of the wind."""
    flaws = _once(p.demand_gpus, "demand_gpus", "demand", tables)
    flaws += _aligned("demand", tables, places)
    total = tables["demand"]["gpus"].sum() if "demand" in tables else p.demand_gpus
    if total == 0:
        where = places["demand"].file if "demand" in tables else None
        flaws.append(
            Flaw(
                "is zero throughout",
                file=where,
                field="gpus" if where else "demand_gpus",
                allowed="some demand",
            )
        )
    return flaws


def grid_flaws(
    p: SitesParameters, tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]
) -> list[Flaw]:
    """A carbon intensity that is missing, given twice, or not of the slots of the wind."""
    return _once(p.carbon_g_per_kwh, "carbon_g_per_kwh", "grid", tables) + _aligned(
        "grid", tables, places
    )


def past_flaws(
    p: SitesParameters, tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]
) -> list[Flaw]:
    """A past that is not past, or that cannot be put beside the demand or a promise."""
    if "past" not in tables:
        return []
    flaws = []
    last, first = tables["past"]["time"].max(), tables["power"]["time"].min()
    if last >= first:
        flaws.append(
            Flaw(
                "is not before the first slot of 'power'",
                file=places["past"].file,
                field="time",
                value=last.isoformat(),
                allowed=f"before {first.isoformat()}",
            )
        )
    if "demand" in tables and tables["past"]["time"].nunique() != len(tables["demand"]):
        flaws.append(
            Flaw(
                f"has {tables['past']['time'].nunique()} slots beside a demand of "
                f"{len(tables['demand'])}",
                file=places["past"].file,
                allowed="as many: the demand is laid over the past slot by slot",
            )
        )
    if p.unmet_share_max is not None:
        flaws.append(
            Flaw(
                "cannot be asked for beside a table 'past'",
                field="unmet_share_max",
                value=p.unmet_share_max,
                cause="what is kept in one year need not be kept in another",
                fix="leave the limit or the table out",
            )
        )
    return flaws


def _once(
    constant: float | None, name: str, table: str, tables: Mapping[str, pd.DataFrame]
) -> list[Flaw]:
    if constant is None and table not in tables:
        return [Flaw("is missing", field=name, fix=f"give it, or a table '{table}'")]
    if constant is not None and table in tables:
        fix = f"leave the parameter or the table '{table}' out"
        return [Flaw("is given twice", field=name, value=constant, fix=fix)]
    return []


def _aligned(
    name: str, tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]
) -> list[Flaw]:
    if name not in tables:
        return []
    given = pd.DatetimeIndex(tables[name]["time"]).sort_values()
    wind = pd.DatetimeIndex(tables["power"]["time"]).unique().sort_values()
    if given.equals(wind):
        return []
    return [
        Flaw(
            f"runs from {given[0].isoformat()} to {given[-1].isoformat()} in {len(given)} slots",
            file=places[name].file,
            field="time",
            allowed=f"the slots of 'power': {wind[0].isoformat()} to {wind[-1].isoformat()} in "
            f"{len(wind)}",
        )
    ]
