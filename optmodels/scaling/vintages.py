"""Real forecasts of carbon intensity: what was issued when, for which slot.

An instance may hold the forecasts that were really published for its time. A policy that asks for
them sees in each slot the newest value for every later slot among those issued by then.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import AwareDatetime

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray
from optmodels.schema import Place, Row, column
from optmodels.traces.trace import CARBON, Trace
from optmodels.traces.vintages import FORECAST, Vintages

_LARGEST = 1e12


class ForecastRow(Row):
    """One value of a real forecast."""

    issue_time: AwareDatetime = column("when the forecast was issued, UTC")
    time: AwareDatetime = column("start of the slot it speaks of, UTC")
    carbon_g_per_kwh: float = column("forecast carbon intensity", unit="g/kWh", ge=0, le=_LARGEST)


def forecast_flaws(forecast: pd.DataFrame, place: Place) -> list[Flaw]:
    """Forecasts of what has already happened."""
    late = np.flatnonzero((forecast["issue_time"] > forecast["time"]).to_numpy())
    return [
        Flaw(
            "was issued after the time it speaks of",
            file=place.file,
            row=place.row(int(i)),
            field="issue_time",
            value=forecast["issue_time"].iloc[i].isoformat(),
            allowed=f"at most {forecast['time'].iloc[i].isoformat()}",
        )
        for i in late
    ]


def newest_issued(forecast: pd.DataFrame, times: pd.DatetimeIndex) -> FloatArray:
    """Real forecasts as a (T, T) table: row t holds the newest values issued by slot t.

    A newer issue replaces an older one where it speaks; NaN where nothing was issued.

    Parameters
    ----------
    forecast
        Rows of `ForecastRow`, sorted by issue time.
    times
        Starts of the T slots, UTC.
    """
    valid = times.get_indexer(pd.DatetimeIndex(forecast["time"]))
    issued = times.searchsorted(pd.DatetimeIndex(forecast["issue_time"]), side="left")
    values = forecast["carbon_g_per_kwh"].to_numpy()
    table = np.full((times.size, times.size), np.nan)
    newest = np.full(times.size, np.nan)
    # Rows are sorted by issue time, so a later issue overwrites an earlier one.
    first = np.searchsorted(issued, np.arange(times.size + 1))
    for slot in range(times.size):
        rows = np.arange(first[slot], first[slot + 1])
        rows = rows[valid[rows] >= 0]
        newest[valid[rows]] = values[rows]
        table[slot] = newest
    return table


def forecast_table(vintages: Vintages, horizon: Trace) -> pd.DataFrame:
    """The forecasts that speak of a horizon, as rows of `ForecastRow`.

    Raises
    ------
    UsageError
        They count something else than the trace of the horizon, or come in other steps.
    InputError
        None of them speaks of the horizon.
    """
    if vintages.quantity != horizon.quantity:
        raise UsageError(
            f"The forecasts are of {vintages.quantity} and the trace of {horizon.quantity} carbon "
            "intensity. Fix: read both with the same quantity."
        )
    if horizon.step != pd.Timedelta(hours=1):
        raise UsageError("Forecasts come in steps of one hour. Fix: take slots of 60 min.")
    frame = vintages.frame[FORECAST].rename(CARBON).reset_index()
    inside = frame["time"].isin(horizon.frame.index) & (frame["issue_time"] <= frame["time"])
    if not inside.any():
        raise InputError(
            Flaw(
                "holds no forecast of the horizon",
                file=vintages.source,
                value=f"{horizon.start:%Y-%m-%d %H:%M} .. {horizon.end:%Y-%m-%d %H:%M} UTC",
                allowed=f"issued {vintages.issue_times[0]:%Y-%m-%d} .. "
                f"{vintages.issue_times[-1]:%Y-%m-%d} UTC",
            )
        )
    kept: pd.DataFrame = frame[inside].reset_index(drop=True)
    return kept
