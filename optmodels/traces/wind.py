"""Wind power of public data sets on one time axis, in UTC, with the unit in the name of the column.

======================  =====================================================================
format                  what it is
======================  =====================================================================
``rts-gmlc-real-time``  RTS-GMLC, actual wind in 5-minute steps: Year, Month, Day, Period (1 to
                        288), one column of MW per farm
``rts-gmlc-day-ahead``  the same table with hourly day-ahead forecasts (Period 1 to 24)
``dispaset``            availability factors of Dispa-SET for one country: hourly WTON (wind on
                        land) and WTOF (at sea) as shares of the installed power
``sustaindc``           hourly generation by fuel in MW of a US balancing area, with its average
                        carbon intensity, as in SustainDC
======================  =====================================================================

**Clocks.** RTS-GMLC says nowhere in which zone its days begin, so `tz` must be said. All its days
have equally many periods, hence its clock has no summer time: a fixed offset fits
("Etc/GMT+7", seven hours behind UTC), a zone with clock changes does not, and the short day shows
it. Period p of a day is the p-th interval since local midnight, whatever the length of the day.
Dispa-SET's times are naive and in UTC: that is not written in the files, but the sun says it (the
centre of the solar output of each country is at its solar noon in UTC, in summer as in winter;
tests/traces/test_wind.py measures it). SustainDC's times carry their offset.

Labels are the left ends of intervals. Power is the mean over the interval.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.text import RawTable, read_delimited
from optmodels.traces.cleaning import Cleaning, clean
from optmodels.traces.parse import EMPTY, LARGEST, MAX_FLAWS, check_numbers, parse_times, time_zone
from optmodels.traces.readers import read_carbon
from optmodels.traces.trace import nanoseconds, step_text, utc_index

RTS_NAMEPLATE_MW: Mapping[str, float] = {
    "309_WIND_1_mw": 148.3,
    "317_WIND_1_mw": 799.1,
    "303_WIND_1_mw": 847.0,
    "122_WIND_1_mw": 713.5,
}
"""Installed power of the wind farms of RTS-GMLC (column "PMax MW" of its generator table)."""

_DAY_NS = 86_400 * 10**9
_DATE = {"Year": (1900, 2199), "Month": (1, 12), "Day": (1, 31)}


@dataclass(frozen=True, eq=False)
class WindTrace:
    """Wind series as read: a regular frame in UTC and what was found on the way.

    Parameters
    ----------
    frame
        Index ``time``: left ends of intervals in UTC. Columns end in their unit: ``_mw``,
        ``_share`` (of the installed power) or ``_g_per_kwh``.
    step
        Length of the intervals.
    source
        Format and file.
    report
        Sentences about repairs and oddities.
    """

    frame: pd.DataFrame
    step: pd.Timedelta
    source: str
    report: tuple[str, ...] = ()

    def __repr__(self) -> str:
        first, last = self.frame.index[0], self.frame.index[-1]
        lines = [
            f"WindTrace({self.source}): {len(self.frame)} steps of {step_text(self.step)}, "
            f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {', '.join(self.frame.columns)}",
            *(f"  {sentence}" for sentence in self.report),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Request:
    format: str
    path: str | os.PathLike[str]
    tz: dt.tzinfo | None
    cleaning: Cleaning

    @property
    def subject(self) -> str:
        return f"wind trace ({self.format})"


def read_wind(
    path: str | os.PathLike[str],
    format: str,
    *,
    tz: str | dt.tzinfo | None = None,
    cleaning: Cleaning | None = None,
) -> WindTrace:
    """Read a public file of wind power.

    Parameters
    ----------
    path
        The file, plain or `.gz`.
    format
        A name in `WIND_FORMATS`.
    tz
        Zone of the clock of an RTS-GMLC file, which must be said; other formats know theirs.
    cleaning
        What may be repaired; by default nothing.

    Returns
    -------
    WindTrace
        One column per farm for RTS-GMLC (``309_WIND_1_mw``, ...), ``onshore_share`` and
        ``offshore_share`` for Dispa-SET, ``wind_mw``, the other fuels and ``carbon_g_per_kwh`` for
        SustainDC.

    Raises
    ------
    InputError
        The file is not of this format, or has faults that the policy does not allow to repair;
        all of them together.
    UsageError
        Unknown format or time zone; a zone that is missing or contradicts the format.
    """
    if format not in WIND_FORMATS:
        raise UsageError.unknown("format of wind traces", str(format), WIND_FORMATS)
    zone = None if tz is None else time_zone(tz)
    return WIND_FORMATS[format](_Request(format, path, zone, cleaning or Cleaning()))


def _rts_gmlc(request: _Request, periods: int) -> WindTrace:
    if request.tz is None:
        raise UsageError(
            "Files of RTS-GMLC do not say in which zone their days begin. Fix: say tz=, a fixed "
            'offset such as "Etc/GMT+7" (seven hours behind UTC); their clock has no summer time.'
        )
    required = (*_DATE, "Period")
    table = read_delimited(request.path, required=required, subject=request.subject)
    sites = [name for name in table.columns if name not in required]
    if not sites:
        flaw = Flaw("has no column of power", file=table.name, row=1)
        raise InputError(flaw, request.subject)
    rows = np.arange(len(table)) + table.row_numbers.start
    flaws: list[Flaw] = []
    parts: dict[str, NDArray[np.float64]] = {}
    # A day of 25 hours has more periods than usual; how many is checked by day below.
    ranges = {**_DATE, "Period": (1, periods * 25 // 24)}
    for name, (low, high) in ranges.items():
        parts[name], found = _whole_numbers(table, name, low, high)
        flaws += found
    columns = {}
    for name in sites:
        column, found = check_numbers(
            table.column(name),
            name,
            minimum=0.0,
            maximum=LARGEST,
            allow_missing=True,
            file=table.name,
        )
        columns[f"{name}_mw"] = column
        flaws += found
    if not flaws and not len(table):
        flaws.append(Flaw("has no rows of data", file=table.name, cause=EMPTY))
    if flaws:
        raise InputError(flaws, request.subject)
    times, flaws = _instants(parts, periods, request.tz, rows, table.name)
    if flaws:
        raise InputError(flaws, request.subject)
    return _cleaned(request, pd.DataFrame(columns, index=times), rows, table.name, sites)


def _whole_numbers(
    table: RawTable, name: str, low: int, high: int
) -> tuple[NDArray[np.float64], list[Flaw]]:
    values, flaws = check_numbers(
        table.column(name), name, minimum=low, maximum=high, file=table.name
    )
    first = table.row_numbers.start
    flaws += [
        Flaw("is not a whole number", table.name, int(i) + first, name, float(values[i]))
        for i in np.flatnonzero(~np.isnan(values) & (values != np.floor(values)))[:MAX_FLAWS]
    ]
    return values, flaws


def _instants(
    parts: Mapping[str, NDArray[np.float64]],
    periods: int,
    zone: dt.tzinfo,
    rows: NDArray[np.int64],
    file: str,
) -> tuple[pd.DatetimeIndex, list[Flaw]]:
    """Left ends of the intervals: the p-th of a day begins p - 1 steps after local midnight."""
    dates = pd.to_datetime(
        pd.DataFrame({name.lower(): parts[name].astype(np.int64) for name in _DATE}),
        errors="coerce",
    ).to_numpy(dtype="datetime64[ns]")
    absent = np.isnat(dates)
    flaws = [
        Flaw(
            "is not a day of the calendar",
            file=file,
            row=int(rows[i]),
            field="Day",
            value="-".join(f"{parts[name][i]:g}" for name in _DATE),
        )
        for i in np.flatnonzero(absent)[:MAX_FLAWS]
    ]
    if flaws:
        return pd.DatetimeIndex([]), flaws
    days, place = np.unique(dates, return_inverse=True)
    begin = _midnights(days, zone)
    hours = (_midnights(days + np.timedelta64(1, "D"), zone) - begin) / (_DAY_NS / 24)
    period = parts["Period"].astype(np.int64)
    count = np.rint(hours * periods / 24).astype(np.int64)[place]
    for i in np.flatnonzero(period > count)[:MAX_FLAWS]:
        short = count[i] < periods
        flaws.append(
            Flaw(
                f"is after the end of {dates[i].astype('datetime64[D]')}, which has {count[i]} "
                f"periods in {zone}",
                file=file,
                row=int(rows[i]),
                field="Period",
                value=int(period[i]),
                cause="the clock of the file has no summer time" if short else None,
                fix='say a fixed offset as tz, such as "Etc/GMT+7"' if short else None,
            )
        )
    step = _DAY_NS // periods
    return utc_index(begin[place] + (period - 1) * step), flaws


def _midnights(days: NDArray[np.datetime64], zone: dt.tzinfo) -> NDArray[np.int64]:
    """First instants of days [ns since the epoch].

    Where the clock skips midnight, the day begins after the jump; where it repeats midnight, with
    the earlier one.
    """
    local = pd.DatetimeIndex(days)
    earlier = np.ones(len(local), dtype=bool)
    index = local.tz_localize(zone, ambiguous=earlier, nonexistent="shift_forward")
    return nanoseconds(index)


def _dispaset(request: _Request) -> WindTrace:
    _only_utc(request)
    table = read_delimited(request.path, required=("WTON", "WTOF"), subject=request.subject)
    time_field = table.columns[0]
    # The column of times has no name.
    if time_field in ("WTON", "WTOF"):
        flaw = Flaw(
            "stands first", table.name, 1, time_field, allowed="the times in the first column"
        )
        raise InputError(flaw, request.subject)
    rows = np.arange(len(table)) + table.row_numbers.start
    columns = {}
    flaws: list[Flaw] = []
    for source, name in (("WTON", "onshore_share"), ("WTOF", "offshore_share")):
        columns[name], found = check_numbers(
            table.column(source),
            source,
            minimum=0.0,
            maximum=1.0,
            allow_missing=True,
            file=table.name,
        )
        flaws += found
    cleaning = request.cleaning
    try:
        times = parse_times(
            [row[0] for row in table.rows],
            dt.UTC,
            field=time_field or "(first column)",
            file=table.name,
            mixed=cleaning.mixed_times,
        )
    except InputError as error:
        raise InputError([*error.flaws, *flaws], request.subject) from None
    if not flaws and not len(table):
        flaws.append(Flaw("has no rows of data", file=table.name, cause=EMPTY))
    if flaws:
        raise InputError(flaws, request.subject)
    return _cleaned(request, pd.DataFrame(columns, index=times), rows, table.name, ["WTON", "WTOF"])


def _sustaindc(request: _Request) -> WindTrace:
    try:
        carbon = read_carbon(request.path, "sustaindc", tz=request.tz, cleaning=request.cleaning)
    except InputError as error:
        raise InputError(error.flaws, request.subject) from None
    frame = carbon.frame
    negative = np.flatnonzero(frame["wind_mw"].to_numpy() < 0)
    if not len(negative):
        return WindTrace(frame, carbon.step, carbon.source, carbon.report)
    # A farm without wind draws power for itself; that is load, not negative wind.
    frame = frame.assign(wind_mw=frame["wind_mw"].clip(lower=0.0))
    note = f"{len(negative)} slots with negative wind power (own use of the farms): taken as zero."
    return WindTrace(frame, carbon.step, carbon.source, (*carbon.report, note))


def _only_utc(request: _Request) -> None:
    if request.tz is not None and str(request.tz) != "UTC":
        raise UsageError(
            f"Times of the format '{request.format}' are in UTC; tz={shorten(str(request.tz))} "
            "contradicts it. Fix: leave the zone out."
        )


def _cleaned(
    request: _Request, frame: pd.DataFrame, rows: NDArray[np.int64], file: str, fields: list[str]
) -> WindTrace:
    cleaned = clean(frame, rows, request.cleaning, file, fields)
    if cleaned.flaws:
        raise InputError(cleaned.flaws, request.subject)
    source = f"{request.format}, {file}"
    return WindTrace(cleaned.frame, cleaned.step, source, tuple(cleaned.report))


WIND_FORMATS: dict[str, Callable[[_Request], WindTrace]] = {
    "rts-gmlc-real-time": lambda request: _rts_gmlc(request, 288),
    "rts-gmlc-day-ahead": lambda request: _rts_gmlc(request, 24),
    "dispaset": _dispaset,
    "sustaindc": _sustaindc,
}
