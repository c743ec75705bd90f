"""Readers of public carbon-intensity files, by the name of the format.

====================  ==================================================================
format                what it is
====================  ==================================================================
``electricity-maps``  export of the Electricity Maps portal: one row per hour and zone, direct
                      and life-cycle intensity, times in UTC
``zone-table``        wide table: `datetime` (UTC) and one column of life-cycle intensity per
                      zone, as in the data of the decarbonization-potential study
``carboncast``        CarbonCast results: blocks of hourly forecasts beside the actual values
                      (`optmodels.traces.vintages` reads the forecasts)
``watttime``          marginal rates of WattTime in 5-minute steps: a time column and one column
                      per region, times in UTC
``sustaindc``         hourly generation by fuel with its average intensity, as in SustainDC
``columns``           a file of one's own: a column of times and one of values, under any names
                      (`optmodels.traces.columns`)
====================  ==================================================================

Every reader parses strictly, hands the series to the `Cleaning` policy, converts to g/kWh, and
looks for signs that the unit is another one than believed.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.text import RawTable, plain_name, read_delimited
from optmodels.traces.cleaning import Cleaning
from optmodels.traces.columns import survey
from optmodels.traces.parse import time_zone
from optmodels.traces.series import UNITS, Request, make_trace
from optmodels.traces.trace import QUANTITIES, Quantity, Trace
from optmodels.traces.vintages import vintages_of

COLLAPSE = 0.1
"""Generation below this share of its median is told as a collapse of the data."""

#: Format of files of one's own.
_OWN = "columns"

_MIX = {
    "WND": "wind_mw",
    "SUN": "solar_mw",
    "WAT": "hydro_mw",
    "OIL": "oil_mw",
    "NG": "gas_mw",
    "COL": "coal_mw",
    "NUC": "nuclear_mw",
    "OTH": "other_mw",
}


@dataclass(frozen=True)
class Format:
    """One public format: its reader and what its files hold.

    Parameters
    ----------
    read
        From a request to a trace.
    quantities
        What the format offers; the first is the default.
    utc
        Naive times of this format are documented to be in UTC.
    """

    read: Callable[[Request], Trace]
    quantities: tuple[Quantity, ...]
    utc: bool


def read_carbon(
    path: str | os.PathLike[str],
    format: str,
    *,
    zone: str | None = None,
    quantity: Quantity | None = None,
    unit: str | None = None,
    tz: str | dt.tzinfo | None = None,
    cleaning: Cleaning | None = None,
    time_column: str | None = None,
    value_column: str | None = None,
) -> Trace:
    """Read a carbon-intensity file: a public one, or one's own.

    Parameters
    ----------
    path
        The file, plain or `.gz`.
    format
        A name in `FORMATS`.
    zone
        Which zone of the file; may be left out where the file has only one.
    quantity
        "direct", "lifecycle" or "marginal", as far as the format has it. The default is the only
        one, or "direct" for "electricity-maps".
    unit
        Unit of the file's values, a name in `UNITS`. By default the documented g/kWh, with a
        refusal where the values contradict it. WattTime delivers lb/MWh, but files derived from
        it are often converted: there the unit must be said.
    tz
        Zone of naive times, for formats that do not document theirs.
    cleaning
        What may be repaired; by default nothing.
    time_column, value_column
        Columns of a file of the format "columns"; by default those that hold what they must.

    Returns
    -------
    Trace
        In UTC and g/kWh, on a regular grid, with a report of what was found.

    Raises
    ------
    InputError
        The file is not of this format, or has faults that the policy does not allow to repair.
    UsageError
        Unknown format, zone, quantity, unit or time zone.
    """
    if format not in FORMATS:
        raise UsageError.unknown("format of carbon traces", str(format), FORMATS)
    entry = FORMATS[format]
    chosen = entry.quantities[0] if quantity is None else quantity
    if chosen not in QUANTITIES:
        raise UsageError.unknown("quantity", str(chosen), QUANTITIES)
    if chosen not in entry.quantities:
        raise UsageError(
            f"Files of the format '{format}' hold {' and '.join(entry.quantities)} intensity, "
            f"not {chosen}."
        )
    if unit is not None and unit not in UNITS:
        raise UsageError.unknown("unit of carbon intensity", str(unit), UNITS)
    if format == "watttime" and unit is None:
        raise UsageError(
            "WattTime delivers lb/MWh, but derived files are often in g/kWh, and the values do "
            'not tell which. Fix: say unit="lb/MWh" or unit="g/kWh" (in the shell: --unit).'
        )
    if entry.utc:
        if tz is not None and str(time_zone(tz)) != "UTC":
            raise UsageError(
                f"Times of the format '{format}' are in UTC; tz={shorten(str(tz))} contradicts it. "
                "Fix: leave the zone out."
            )
        tz = dt.UTC
    if format != _OWN and (time_column is not None or value_column is not None):
        raise UsageError(
            f"Files of the format '{format}' have columns of their own names. Fix: name columns "
            f"for the format '{_OWN}' only."
        )
    policy = cleaning or Cleaning()
    request = Request(format, path, zone, chosen, unit, tz, policy, time_column, value_column)
    return entry.read(request)


def _electricity_maps(request: Request) -> Trace:
    table = _table(request, ("Datetime (UTC)",))
    words = ("LCA", "Life cycle") if request.quantity == "lifecycle" else ("direct",)
    carbon = _one_of(table, request, [f"Carbon Intensity gCO₂eq/kWh ({word})" for word in words])
    zones = np.array(table.column(_one_of(table, request, ["Zone Id"])), dtype=object)
    zone = _choose_zone(request, list(dict.fromkeys(zones)), "Zone Id")
    rows = np.flatnonzero(zones == zone)
    report: list[str] = []
    empty = None
    mark = _find(table, "Data Estimated")
    if mark is not None and len(rows):
        column = table.column(mark)
        estimated = np.array([column[i].strip().lower() == "true" for i in rows])
        count = int(estimated.sum())
        if count and request.cleaning.estimated == "refuse":
            raise InputError(
                Flaw(
                    f"is true in {count} of {len(rows)} rows",
                    file=table.name,
                    row=int(rows[estimated][0]) + 2,
                    field=mark,
                    fix='choose estimated="accept" or estimated="gap"',
                ),
                request.subject,
            )
        share = f"{count} of {len(rows)} values ({count / len(rows):.1%}) are estimates"
        if count and request.cleaning.estimated == "gap":
            empty = estimated
            report.append(f"{share} of the source: taken as gaps.")
        elif count:
            report.append(f"{share} of the source.")
    return make_trace(
        request,
        table,
        zone=zone,
        time_field="Datetime (UTC)",
        carbon_field=carbon,
        rows=rows,
        empty=empty,
        report=report,
    )


def _zone_table(request: Request) -> Trace:
    table = _table(request, ("datetime",))
    if request.zone is None:
        raise UsageError(
            f"{table.name} has {len(table.columns) - 1} zones: say which one by zone=, e.g. "
            f"zone={table.columns[-1]!r} (in the shell: --zone)."
        )
    zones = [name for name in table.columns if name != "datetime"]
    zone = _choose_zone(request, zones, "column")
    return make_trace(request, table, zone=zone, time_field="datetime", carbon_field=zone)


def _watttime(request: Request) -> Trace:
    # 'oootime' is how one published file writes it; the API says 'point_time'.
    table = _table(request, ())
    time_field = _one_of(table, request, ["oootime", "point_time", "time"])
    regions = [name for name in table.columns if name != time_field]
    zone = _choose_zone(request, regions, "column")
    return make_trace(request, table, zone=zone, time_field=time_field, carbon_field=zone)


def _sustaindc(request: Request) -> Trace:
    table = _table(request, ("timestamp", *_MIX, "avg_CI"))
    # The file does not name its zone: what the caller says, else the file's first word.
    zone = request.zone or table.name.partition(".")[0].partition("_")[0]
    trace = make_trace(
        request,
        table,
        zone=zone,
        time_field="timestamp",
        carbon_field="avg_CI",
        others=_MIX,
    )
    total = trace.frame[list(_MIX.values())].sum(axis=1)
    low = total < COLLAPSE * total.median()
    if not low.any():
        return trace
    note = (
        f"generation collapses below {COLLAPSE:.0%} of its median in {int(low.sum())} steps "
        f"between {total.index[low][0]:%Y-%m-%d %H:%M} and {total.index[low][-1]:%Y-%m-%d %H:%M} "
        f"UTC (lowest {total.min():.0f} MW): the intensity there is not to be trusted."
    )
    return Trace(trace.frame, trace.step, zone, trace.quantity, trace.source, (*trace.report, note))


def _columns(request: Request) -> Trace:
    looked = survey(request.path)
    time_field = looked.time_column(request.time_column)
    carbon_field = looked.carbon_column(request.value_column)
    zone = request.zone or looked.table.name.partition(".")[0]
    return make_trace(
        request, looked.table, zone=zone, time_field=time_field, carbon_field=carbon_field
    )


def _carboncast(request: Request) -> Trace:
    return vintages_of(request).actual()


FORMATS: dict[str, Format] = {
    "electricity-maps": Format(_electricity_maps, ("direct", "lifecycle"), utc=True),
    "zone-table": Format(_zone_table, ("lifecycle",), utc=True),
    "carboncast": Format(_carboncast, ("lifecycle", "direct"), utc=True),
    "watttime": Format(_watttime, ("marginal",), utc=True),
    # Its averages are those of life-cycle factors per fuel (gas 490, coal 820, ... g/kWh).
    "sustaindc": Format(_sustaindc, ("lifecycle",), utc=False),
    _OWN: Format(_columns, ("unspecified", "direct", "lifecycle", "marginal"), utc=False),
}


def _table(request: Request, required: Sequence[str]) -> RawTable:
    return read_delimited(request.path, required=required, subject=request.subject)


def _find(table: RawTable, name: str) -> str | None:
    """Column of this name, by any letter case."""
    position = table.position(name)
    if position is None:
        wanted = plain_name(name).lower()
        same = [i for i, column in enumerate(table.columns) if plain_name(column).lower() == wanted]
        position = same[0] if len(same) == 1 else None
    return None if position is None else table.columns[position]


def _one_of(table: RawTable, request: Request, names: Sequence[str]) -> str:
    """The first of several names that the header has."""
    for name in names:
        found = _find(table, name)
        if found is not None:
            return found
    raise InputError(table.missing(names[:1]), request.subject)


def _choose_zone(request: Request, zones: Sequence[str], kind: str) -> str:
    """The zone asked for, or the only one."""
    shown = shorten(", ".join(zones), 400)
    if request.zone is None:
        if len(zones) == 1:
            return zones[0]
        if not zones:
            flaw = Flaw(
                "names no zone",
                file=Path(request.path).name,
                field=kind,
                cause="the file has no rows, or no column of a zone",
            )
            raise InputError(flaw, request.subject)
        raise UsageError(
            f"The file has {len(zones)} zones: say which one by zone= (in the shell: --zone). It "
            f"has {shown}."
        )
    if request.zone in zones:
        return request.zone
    folded = {zone.lower(): zone for zone in zones}
    close = difflib.get_close_matches(str(request.zone).lower(), list(folded), n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(folded[key]) for key in close)}?" if close else ""
    raise UsageError(
        f"Zone {shorten(request.zone)} is not in the file (by {kind}).{hint} It has {shown}."
    )
