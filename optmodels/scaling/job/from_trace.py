"""Jobs on a real grid: cut a horizon, and what was known before it, out of a carbon trace.

What a planner could know on arrival is the past. So the instance gets the carbon intensity of the
days before the start as its history, and online algorithms take their window of intensities from
there. Where a trace has nothing before the start, the extremes of the whole trace stand in as
explicit parameters: knowledge that is assumed, not observed, and said to be so in the origin.
"""

from __future__ import annotations

import datetime as dt
import math

import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.scaling.job.instance import LOWEST_WINDOW_SHARE, JobInstance
from optmodels.scaling.vintages import forecast_table
from optmodels.traces.trace import CARBON, Trace
from optmodels.traces.vintages import Vintages

HISTORY_DAYS = 30.0
_DAY = pd.Timedelta(days=1)


def from_trace(
    trace: Trace,
    *,
    start: str | dt.datetime,
    hours: float,
    work: float,
    switching_g: float,
    rate_cap: float | None = None,
    history_days: float = HISTORY_DAYS,
    slot_minutes: float | None = None,
    tz: str | dt.tzinfo | None = None,
    carbon_lower_g_per_kwh: float | None = None,
    carbon_upper_g_per_kwh: float | None = None,
    work_min: float | None = None,
    work_max: float | None = None,
    work_predicted: float | None = None,
    profile: pd.DataFrame | None = None,
    vintages: Vintages | None = None,
    name: str | None = None,
    command: str | None = None,
) -> JobInstance:
    """Make the instance of a job that arrives at `start` and is due `hours` later.

    Parameters
    ----------
    trace
        Carbon intensity, as `optmodels.traces.read_carbon` gives it.
    start
        Arrival, on the grid of the trace: with an offset, or naive together with `tz`.
    hours
        Time until the deadline [h], a multiple of the slot.
    work
        Work to be done. Without a profile it counts full-rate slots (1 kW at full rate).
    switching_g
        Carbon cost of switching one server on or off [g].
    rate_cap
        Largest number of servers in a slot; by default the largest of the profile.
    history_days
        Longest history before the start [days]; the trace may have less.
    slot_minutes
        Length of a slot [min], a multiple of the step of the trace, over which the trace is
        averaged; by default the step itself.
    tz
        Zone of a naive `start`.
    carbon_lower_g_per_kwh, carbon_upper_g_per_kwh
        Window of intensities that online algorithms assume, instead of the extremes of the history.
    work_min, work_max, work_predicted
        Bounds on the work, which hide its true amount from policies, and a prediction of it.
    profile
        Scaling profile with ``servers``, ``throughput`` (work per slot; it sets the unit of the
        work) and ``power_kw``, as `optmodels.traces.read_profile` gives it. A row of zero servers
        is left out.
    vintages
        Real forecasts of the same zone and quantity, in steps of one slot.
    name
        Label of the instance.
    command
        The command that makes the instance, for its origin.

    Returns
    -------
    JobInstance
        Carbon intensity, history and forecasts cut from the trace.

    Raises
    ------
    InputError
        The trace does not cover the horizon (the covered range is named), or a number is out of
        range.
    UsageError
        `start` is naive without `tz` or off the grid, `hours`, `history_days` or `slot_minutes`
        do not fit the grid, or the forecasts are not of this trace.
    """
    _check_number("history_days", history_days, lowest=0.0)
    grid = trace if slot_minutes is None else trace.resample(_slot(slot_minutes))
    horizon = grid.window(start, hours, tz=tz)
    begin = horizon.start
    earliest = begin - pd.Timedelta(days=min(history_days, (begin - grid.start) / _DAY))
    past = grid.frame[(grid.frame.index >= earliest) & (grid.frame.index < begin)]
    tables = {"carbon": _rows(horizon.frame)}
    notes = [f"{trace.source}: {trace.quantity} carbon intensity of {trace.zone}", *trace.report]
    notes += [note for note in grid.report if note not in trace.report]
    lower, upper = carbon_lower_g_per_kwh, carbon_upper_g_per_kwh
    if len(past):
        tables["history"] = _rows(past)
        days = len(past) * grid.step / _DAY
        if days < history_days:
            notes.append(f"only {days:g} days of history before the start, all that is there")
    elif lower is None and upper is None:
        upper = float(grid.frame[CARBON].max())
        lower = max(float(grid.frame[CARBON].min()), LOWEST_WINDOW_SHARE * upper)
        notes.append(
            f"no history before the start: the window {lower:g} to {upper:g} g/kWh is that of the "
            "whole trace, knowledge that is assumed"
        )
    if profile is not None:
        tables["profile"] = _profile(profile)
    if vintages is not None:
        tables["forecast"] = forecast_table(vintages, horizon)
        notes.append(f"forecasts: {vintages.source}")
        notes += [note for note in vintages.report if note not in notes]
    parameters = {
        "work": work,
        "switching_g": switching_g,
        "deadline_slots": len(horizon),
        "slot_minutes": grid.step.total_seconds() / 60,
        "rate_cap": rate_cap,
        "carbon_lower_g_per_kwh": lower,
        "carbon_upper_g_per_kwh": upper,
        "work_min": work_min,
        "work_max": work_max,
        "work_predicted": work_predicted,
        "zone": trace.zone,
        "quantity": trace.quantity,
    }
    said = "; ".join(note.rstrip(".") for note in notes)
    origin = said if command is None else f"{command}  # {said}"
    return JobInstance(parameters, tables, name=name, origin=origin)


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Time and carbon intensity as columns."""
    return frame[[CARBON]].reset_index()


def _profile(given: pd.DataFrame) -> pd.DataFrame:
    """The profile without its row of zero servers: off is a level of every job."""
    if "servers" not in given.columns:
        return given
    kept: pd.DataFrame = given[given["servers"] != 0].reset_index(drop=True)
    return kept


def _slot(minutes: float) -> pd.Timedelta:
    _check_number("slot_minutes", minutes, lowest=1e-3)
    return pd.Timedelta(minutes=minutes)


def _check_number(name: str, value: object, *, lowest: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not lowest <= value < math.inf:  # type: ignore[operator]
        raise UsageError(f"{name} must be a number >= {lowest:g}, not {shorten(value)}.")
