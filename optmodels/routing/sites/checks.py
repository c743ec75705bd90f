"""What can be wrong with sites and requests although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place
from optmodels.spacing import spacing_flaws

if TYPE_CHECKING:
    from optmodels.routing.sites.instance import RoutingParameters

#: Flaws of one kind that are told of one table.
_MOST = 20
_ROUNDING = 1e-9
#: Labels of each table: the column, and the table that knows its values.
_LABELS = {
    "profile": {"class": "classes"},
    "links": {"site": "sites"},
    "power": {"site": "sites"},
    "published": {"site": "sites"},
    "grid": {"site": "sites"},
    "past": {"site": "sites"},
    "demand": {"origin": "links", "class": "classes"},
}
#: Tables with a row for every period and every combination of these columns.
_COMPLETE = {
    "power": ("site",),
    "published": ("site",),
    "past": ("site",),
    "demand": ("origin", "class"),
}

Tables = Mapping[str, pd.DataFrame]
Places = Mapping[str, Place]


def instance_flaws(parameters: RoutingParameters, tables: Tables, places: Places) -> list[Flaw]:
    """Every flaw of an instance that needs more than one field to see."""
    step = pd.Timedelta(seconds=parameters.period_seconds)
    flaws = _slot_flaws(parameters)
    for name in ("power", "demand", "published", "grid", "past"):
        if name in tables:
            flaws += spacing_flaws(tables[name]["time"], step, places[name])
    for name, labels in _LABELS.items():
        if name in tables:
            for column, source in labels.items():
                flaws += _unknown(
                    tables[name], column, tables[source][column], source, places[name]
                )
    flaws += _missing_links(tables, places)
    for name, columns in _COMPLETE.items():
        if name in tables:
            flaws += _incomplete(tables, name, columns, places)
    for name in ("demand", "published", "grid"):
        if name in tables:
            flaws += _unaligned(tables, name, places)
    for name in ("power", "published", "past"):
        if name in tables:
            flaws += _above_nameplate(tables, name, places)
    return flaws + _late_past(tables, places) + _grid_flaws(tables, places)


def _slot_flaws(parameters: RoutingParameters) -> list[Flaw]:
    """A slot that is not a whole number of periods."""
    periods = parameters.slot_minutes * 60 / parameters.period_seconds
    if periods >= 1 - _ROUNDING and abs(periods - round(periods)) <= _ROUNDING * periods:
        return []
    return [
        Flaw(
            f"is {periods:g} periods",
            field="slot_minutes",
            value=parameters.slot_minutes,
            allowed=f"a whole number of periods of {parameters.period_seconds:g} s",
        )
    ]


def _unknown(
    table: pd.DataFrame, column: str, known: pd.Series[str], source: str, place: Place
) -> list[Flaw]:
    names = sorted({str(name) for name in known})
    wrong = np.flatnonzero(~table[column].isin(names).to_numpy())
    return [
        Flaw(
            f"is not in the table '{source}'",
            file=place.file,
            row=place.row(i),
            field=column,
            value=str(table[column].iloc[i]),
            allowed=", ".join(names[:_MOST]),
            fix=f"add it to the table '{source}', or remove its rows",
        )
        for i in wrong[:_MOST].tolist()
    ]


def _missing_links(tables: Tables, places: Places) -> list[Flaw]:
    """Origins without a round trip to some site."""
    links = tables["links"]
    wanted = pd.MultiIndex.from_product([links["origin"].unique(), tables["sites"]["site"]])
    given = pd.MultiIndex.from_frame(links[["origin", "site"]])
    return [
        Flaw(
            f"has no round trip to site '{site}'",
            file=places["links"].file,
            field="origin",
            value=str(origin),
            allowed="one row for every origin and site",
            fix="add the row; a site that must not serve the origin gets a very long round trip",
        )
        for origin, site in wanted.difference(given)[:_MOST]
    ]


def _incomplete(tables: Tables, name: str, columns: Sequence[str], places: Places) -> list[Flaw]:
    """Sites, or origins and classes, that lack some period."""
    table = tables[name]
    sources = [tables[_LABELS[name][column]][column].unique() for column in columns]
    times = table["time"].nunique()
    counts = table.groupby(list(columns), sort=False).size()
    index = pd.MultiIndex.from_product(sources) if len(columns) > 1 else pd.Index(sources[0])
    found = counts.reindex(index, fill_value=0)
    short = found[found < times]
    return [
        Flaw(
            f"has only {count} of {times} periods",
            file=places[name].file,
            field=", ".join(columns),
            value=", ".join(label) if isinstance(label, tuple) else str(label),
            allowed="a row in every period",
            cause="the series begin or end at different times, or have gaps",
            fix="cut all to the same periods and fill the gaps with numbers (0 where nothing is)",
        )
        for label, count in short.iloc[:_MOST].items()
    ]


def _unaligned(tables: Tables, name: str, places: Places) -> list[Flaw]:
    """Series that do not cover the periods of the power."""
    given = pd.DatetimeIndex(tables[name]["time"]).unique().sort_values()
    wind = pd.DatetimeIndex(tables["power"]["time"]).unique().sort_values()
    if given.equals(wind):
        return []
    return [
        Flaw(
            f"runs from {given[0].isoformat()} to {given[-1].isoformat()} in {len(given)} periods",
            file=places[name].file,
            field="time",
            allowed=f"the periods of 'power': {wind[0].isoformat()} to {wind[-1].isoformat()} in "
            f"{len(wind)}",
        )
    ]


def _above_nameplate(tables: Tables, name: str, places: Places) -> list[Flaw]:
    table, sites = tables[name], tables["sites"]
    code = pd.Index(sites["site"]).get_indexer(pd.Index(table["site"]))
    limit = sites["nameplate_kw"].to_numpy()[np.maximum(code, 0)]
    above = (code >= 0) & (table["power_kw"].to_numpy() > limit)
    return [
        Flaw(
            "is above the nameplate",
            file=places[name].file,
            row=places[name].row(i),
            field="power_kw",
            value=float(table["power_kw"].iloc[i]),
            allowed=f"at most {limit[i]:g} kW",
            cause="units differ (MW, kW), or turbines were added",
            fix="correct the unit, or raise nameplate_kw",
        )
        for i in np.flatnonzero(above)[:_MOST].tolist()
    ]


def _late_past(tables: Tables, places: Places) -> list[Flaw]:
    """A past that is not past."""
    if "past" not in tables:
        return []
    last, first = tables["past"]["time"].max(), tables["power"]["time"].min()
    if last < first:
        return []
    return [
        Flaw(
            "is not before the first period of 'power'",
            file=places["past"].file,
            field="time",
            value=last.isoformat(),
            allowed=f"before {first.isoformat()}",
        )
    ]


def _grid_flaws(tables: Tables, places: Places) -> list[Flaw]:
    """Sites that may draw from a grid of which nothing is known."""
    sites = tables["sites"]
    drawing = [str(name) for name in sites["site"][sites["backup_kw"] > 0]]
    if not drawing:
        return []
    if "grid" not in tables:
        fix = "give it for these sites, or set their backup_kw to 0"
        what = f"is missing, but {', '.join(drawing[:_MOST])} may draw from the grid"
        return [Flaw(what, field="table 'grid'", fix=fix)]
    grid = tables["grid"]
    counts = grid.groupby("site", sort=False).size().reindex(drawing, fill_value=0)
    times = tables["power"]["time"].nunique()
    return [
        Flaw(
            f"has the grid of only {count} of {times} periods",
            file=places["grid"].file,
            field="site",
            value=str(site),
            allowed="a row in every period for a site that may draw from the grid",
        )
        for site, count in counts[counts < times].iloc[:_MOST].items()
    ]
