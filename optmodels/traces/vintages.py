"""Forecast vintages: what was forecast for each hour, by the time at which it was known.

CarbonCast (Maji, Shenoy and Sitaraman, "CarbonCast: multi-day forecasting of grid carbon
intensity", BuildSys 2022) publishes, for each day, the forecast of the next 96 hours beside the
values that came true. The files are blocks of 96 rows, one per issue day, one after another, so a
clock hour stands up to four times. The issue time is not in the file: a block is taken as known
at its first hour, the midnight (UTC) of its day.

In the files of July to December 2021 one block carries the date of the block before it: two
blocks begin on 2021-12-04 and none on 2021-12-05. The actual values prove where the second one
belongs, since overlapping blocks repeat them: they agree with both neighbours only on 12-05.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.text import read_delimited
from optmodels.traces.cleaning import Cleaning
from optmodels.traces.parse import EMPTY, LARGEST, MAX_FLAWS, check_numbers, parse_times
from optmodels.traces.series import Request, flat_runs, unit_factor
from optmodels.traces.trace import CARBON, Quantity, Trace, instant, nanoseconds, utc_index

LEADS = 96
"""Hours per block in the published files."""
FORECAST = "forecast_g_per_kwh"
ACTUAL = "actual_g_per_kwh"
_HOUR = 3_600_000_000_000
_TIME = "UTC time"


@dataclass(frozen=True, repr=False, eq=False)
class Vintages:
    """Forecasts of carbon intensity by issue time, with the values that came true.

    Parameters
    ----------
    frame
        Index (`issue_time`, `time`), both in UTC and rising; columns `forecast_g_per_kwh` and
        `actual_g_per_kwh`.
    zone
        Zone as the source calls it.
    quantity
        "lifecycle" or "direct".
    source
        Format and file it came from.
    report
        What was found and what was repaired, one sentence each.
    """

    frame: pd.DataFrame
    zone: str
    quantity: Quantity
    source: str
    report: tuple[str, ...] = ()

    @property
    def issue_times(self) -> pd.DatetimeIndex:
        """Times at which a forecast became known, rising."""
        return pd.DatetimeIndex(self.frame.index.unique(level="issue_time"))

    def __repr__(self) -> str:
        issued = self.issue_times
        error = (self.frame[FORECAST] - self.frame[ACTUAL]).abs().mean()
        lines = [
            f"Vintages of {self.zone}, {self.quantity} carbon intensity, from {self.source}",
            f"  {len(issued)} forecasts issued {issued[0]:%Y-%m-%d} .. {issued[-1]:%Y-%m-%d} UTC, "
            f"{len(self.frame) // len(issued)} h each",
            f"  mean absolute error {error:.1f} g/kWh",
            *(f"  - {sentence}" for sentence in self.report),
        ]
        return "\n".join(lines)

    def issued_at(
        self, now: str | dt.datetime, *, tz: str | dt.tzinfo | None = None
    ) -> pd.Timestamp:
        """Issue time of the latest forecast that is known at `now`.

        Raises
        ------
        UsageError
            `now` is no instant.
        InputError
            Nothing was issued yet; the first issue time is named.
        """
        time = instant(now, tz)
        issued = self.issue_times
        known = int((issued <= time).sum())
        if not known:
            raise InputError(
                Flaw(
                    "is before the first forecast was issued",
                    field="now",
                    value=str(time),
                    allowed=f"from {issued[0]} on",
                )
            )
        return pd.Timestamp(issued[known - 1])

    def at(self, now: str | dt.datetime, *, tz: str | dt.tzinfo | None = None) -> pd.Series[float]:
        """The latest forecast known at `now`, over the times it is valid for.

        Nothing that became known later is in it, and no actual value.

        Raises
        ------
        UsageError
            `now` is no instant.
        InputError
            Nothing was issued yet.
        """
        forecast = self.frame.xs(self.issued_at(now, tz=tz), level="issue_time")[FORECAST]
        return forecast.copy()

    def actual(self) -> Trace:
        """The values that came true, each hour once."""
        values = self.frame[ACTUAL].groupby(level="time").first()
        index = utc_index(nanoseconds(values.index))
        frame = pd.DataFrame({CARBON: values.to_numpy()}, index=index)
        step = pd.Timedelta(hours=1)
        sentences = (*self.report, *flat_runs(values.to_numpy(), index, step))
        return Trace(frame, step, self.zone, self.quantity, self.source, sentences)


def read_vintages(
    path: str | os.PathLike[str],
    *,
    zone: str | None = None,
    quantity: Quantity = "lifecycle",
    unit: str | None = None,
    cleaning: Cleaning | None = None,
    leads: int = LEADS,
) -> Vintages:
    """Read the forecasts and actual values of a CarbonCast file.

    Parameters
    ----------
    path
        The file, plain or `.gz`, with columns "UTC time", `actual_carbon_intensity_...` and
        `forecasted_carbon_intensity_...`.
    zone
        Name of the zone; the file does not say it. By default the first word of the file name.
    quantity
        "lifecycle" or "direct": which pair of columns.
    unit
        Unit of the file's values; by default g/kWh, refused where the values contradict it.
    cleaning
        What may be repaired. Its `doubled_day` and the policies for times apply; holes within a
        block are always refused.
    leads
        Rows per block.

    Returns
    -------
    Vintages
        Forecasts by issue time in g/kWh, with the values that came true.

    Raises
    ------
    InputError
        The file is not made of such blocks, actual values of one hour contradict each other, or
        a block carries a wrong date.
    UsageError
        Unknown quantity or unit.
    """
    if quantity not in ("lifecycle", "direct"):
        raise UsageError.unknown("quantity of forecasts", str(quantity), ("lifecycle", "direct"))
    if not isinstance(leads, int) or leads < 1:
        raise UsageError(f"leads must be an integer >= 1, not {leads}.")
    request = Request("carboncast", path, zone, quantity, unit, dt.UTC, cleaning or Cleaning())
    return vintages_of(request, leads)


def vintages_of(request: Request, leads: int = LEADS) -> Vintages:
    """The vintages that a request means; see `read_vintages`."""
    fields = {
        ACTUAL: f"actual_carbon_intensity_{request.quantity}",
        FORECAST: f"forecasted_carbon_intensity_{request.quantity}",
    }
    table = read_delimited(
        request.path, required=[_TIME, *fields.values()], subject=request.subject
    )
    columns: dict[str, NDArray[np.float64]] = {}
    flaws: list[Flaw] = []
    for name, field in fields.items():
        columns[name], found = check_numbers(
            table.column(field), field, minimum=0.0, maximum=LARGEST, file=table.name
        )
        flaws += found
    try:
        times = parse_times(
            table.column(_TIME),
            request.tz,
            field=_TIME,
            file=table.name,
            mixed=request.cleaning.mixed_times,
        )
    except InputError as error:
        raise InputError([*error.flaws, *flaws], request.subject) from None
    factor, report, unit_flaws = unit_factor(
        columns[ACTUAL], request.unit, fields[ACTUAL], table.name
    )
    flaws += unit_flaws
    flaws += _block_flaws(times, leads, table.name)
    if flaws:
        raise InputError(flaws, request.subject)
    blocks = nanoseconds(times).reshape(-1, leads)
    actual = columns[ACTUAL].reshape(-1, leads)
    starts, repairs, flaws = _issue_times(blocks[:, 0], actual, request.cleaning, table.name)
    if not flaws:
        flaws = _contradictions(starts, actual, fields[ACTUAL], table.name)
    if flaws:
        raise InputError(flaws, request.subject)
    index = pd.MultiIndex.from_arrays(
        [
            utc_index(np.repeat(starts, leads)),
            utc_index((starts[:, None] + np.arange(leads) * _HOUR).ravel()),
        ],
        names=["issue_time", "time"],
    )
    frame = pd.DataFrame(
        {FORECAST: columns[FORECAST] * factor, ACTUAL: columns[ACTUAL] * factor}, index=index
    )
    zone = request.zone or table.name.partition(".")[0].partition("_")[0]
    report = [*report, *repairs]
    if len(starts) > 1:
        days = np.diff(starts)
        jumps = int((days != np.median(days)).sum())
        if jumps:
            report.append(f"{jumps} forecasts follow at another distance than the usual one.")
    source = f"{request.format}, {table.name}"
    return Vintages(frame, zone, request.quantity, source, tuple(report))


def _block_flaws(times: pd.DatetimeIndex, leads: int, file: str) -> list[Flaw]:
    """Whether the rows are whole blocks of consecutive hours."""
    if not len(times):
        return [Flaw("has no rows of data", file=file, cause=EMPTY)]
    if len(times) % leads:
        return [
            Flaw(
                f"has {len(times)} rows",
                file=file,
                allowed=f"whole blocks of {leads} hours",
                cause="the file was cut off, or rows were removed",
            )
        ]
    distance = np.diff(nanoseconds(times).reshape(-1, leads), axis=1)
    return [
        Flaw(
            f"is not one hour after the row before it, within a block of {leads} hours",
            file=file,
            row=int(block * leads + lead) + 3,
            field=_TIME,
            value=str(times[block * leads + lead + 1]),
        )
        for block, lead in np.argwhere(distance != _HOUR)[:MAX_FLAWS]
    ]


def _issue_times(
    starts: NDArray[np.int64], actual: NDArray[np.float64], cleaning: Cleaning, file: str
) -> tuple[NDArray[np.int64], list[str], list[Flaw]]:
    """First hours of the blocks, with a doubled day moved where that is proven and allowed."""
    repaired = starts.copy()
    report: list[str] = []
    flaws: list[Flaw] = []
    leads = actual.shape[1]
    stride = int(np.median(np.diff(starts))) if len(starts) > 1 else leads * _HOUR
    for block in np.flatnonzero(np.diff(starts) <= 0) + 1:
        moved = int(starts[block - 1]) + stride
        rows = f"rows {block * leads + 2} to {(block + 1) * leads + 1}"
        row = int(block * leads) + 2
        doubled = starts[block] == starts[block - 1]
        free = moved not in starts
        proven = free and _agrees(starts, actual, int(block), moved)
        if doubled and proven and cleaning.doubled_day == "repair":
            repaired[block] = moved
            report.append(
                f"{rows} carried the date of the block before them ({_day(starts[block])}); they "
                f"were moved to {_day(moved)}, where their actual values agree with the "
                "neighbouring blocks."
            )
            continue
        if doubled and proven:
            what = (
                f"begins a block ({rows}) that carries the date of the block before it; its "
                f"actual values belong to {_day(moved)}"
            )
            fix = 'choose doubled_day="repair" in the cleaning policy'
        else:
            what = f"begins a block ({rows}) that is not later than the block before it"
            fix = "correct the dates of these rows or remove them"
        flaws.append(
            Flaw(what, file=file, row=row, field=_TIME, value=_day(starts[block]), fix=fix)
        )
    return repaired, report, flaws


def _agrees(starts: NDArray[np.int64], actual: NDArray[np.float64], block: int, moved: int) -> bool:
    """Whether a block's actual values, placed at `moved`, agree with both neighbours.

    Agreement without any common hour proves nothing and does not count.
    """
    neighbours = [other for other in (block - 1, block + 1) if other < len(starts)]
    return all(
        _common(int(starts[other]), actual[other], moved, actual[block]) for other in neighbours
    )


def _common(
    begin: int, values: NDArray[np.float64], other_begin: int, other: NDArray[np.float64]
) -> bool:
    shift, rest = divmod(other_begin - begin, _HOUR)
    if shift < 0:
        return _common(other_begin, other, begin, values)
    if rest or shift >= len(values):
        return False
    return bool(np.array_equal(values[shift:], other[: len(other) - shift]))


def _contradictions(
    starts: NDArray[np.int64], actual: NDArray[np.float64], field: str, file: str
) -> list[Flaw]:
    """Hours whose actual value differs between blocks."""
    leads = actual.shape[1]
    times = (starts[:, None] + np.arange(leads) * _HOUR).ravel()
    values = actual.ravel()
    _, first, inverse = np.unique(times, return_index=True, return_inverse=True)
    reference = first[inverse.ravel()]
    return [
        Flaw(
            f"contradicts the actual value {values[reference[i]]:g} of the same hour in row "
            f"{int(reference[i]) + 2}",
            file=file,
            row=int(i) + 2,
            field=field,
            value=float(values[i]),
            cause="a block carries a wrong date",
        )
        for i in np.flatnonzero(values != values[reference])[:MAX_FLAWS]
    ]


def _day(nanoseconds_utc: int) -> str:
    return f"{pd.Timestamp(int(nanoseconds_utc), unit='ns'):%Y-%m-%d %H:%M}"
