"""`Trace`: one regular series of carbon intensity, in UTC, with its unit and its history.

A value belongs to the interval that *begins* at its time (left label) and lasts one step. So an
hourly trace whose last time is 23:00 covers until midnight.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.traces.parse import time_zone

Quantity = Literal["direct", "lifecycle", "marginal", "unspecified"]
QUANTITIES: tuple[Quantity, ...] = ("direct", "lifecycle", "marginal", "unspecified")
CARBON = "carbon_g_per_kwh"


@dataclass(frozen=True, repr=False, eq=False)
class Trace:
    """Carbon intensity of one zone on a regular grid of times, without gaps.

    Parameters
    ----------
    frame
        Index `time` (tz-aware, UTC, rising by `step`), column `carbon_g_per_kwh` and, where the
        source has them, further columns with the unit in the name. All values are finite, and
        carbon is not negative. The frame is copied.
    step
        Length of the interval that begins at each time.
    zone
        Zone as the source calls it.
    quantity
        "direct" (at the plants), "lifecycle" (with fuel supply and construction), "marginal" (of
        the plants that answer a change of load), or "unspecified" where nobody said.
    source
        Format and file it came from.
    report
        What was found and what was repaired, one sentence each.

    Raises
    ------
    InputError
        The frame does not keep this contract.
    """

    frame: pd.DataFrame
    step: pd.Timedelta
    zone: str
    quantity: Quantity
    source: str
    report: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "report", tuple(self.report))
        if self.quantity not in QUANTITIES:
            raise UsageError.unknown("quantity", str(self.quantity), QUANTITIES)
        flaws = _frame_flaws(self.frame, self.step)
        if flaws:
            raise InputError(flaws, f"trace of {self.zone}")
        object.__setattr__(self, "frame", self.frame.copy())

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def start(self) -> pd.Timestamp:
        """Begin of the first interval."""
        return pd.Timestamp(self.frame.index[0])

    @property
    def end(self) -> pd.Timestamp:
        """End of the last interval: the first instant that is not covered."""
        return pd.Timestamp(self.frame.index[-1]) + self.step

    def __repr__(self) -> str:
        carbon = self.frame[CARBON]
        lines = [
            f"Trace of {self.zone}, {self.quantity} carbon intensity, from {self.source}",
            f"  {_day(self.start)} .. {_day(self.end)} UTC, {len(self)} steps of "
            f"{step_text(self.step)}",
            f"  {carbon.min():.1f} .. {carbon.mean():.1f} .. {carbon.max():.1f} g/kWh "
            "(lowest, mean, highest)",
            *(f"  - {sentence}" for sentence in self.report),
        ]
        return "\n".join(lines)

    def to_series(self, column: str = CARBON) -> pd.Series[float]:
        """One column as a series over time.

        Raises
        ------
        UsageError
            The trace has no such column.
        """
        if column not in self.frame.columns:
            raise UsageError.unknown("column", str(column), [str(c) for c in self.frame.columns])
        return self.frame[column].copy()

    def window(
        self, start: str | dt.datetime, hours: float, *, tz: str | dt.tzinfo | None = None
    ) -> Trace:
        """The part that begins at `start` and lasts `hours`.

        Parameters
        ----------
        start
            An instant on the grid of the trace: with an offset or zone, or naive together with
            `tz`. A local time that a zone skips or repeats is refused.
        hours
            Length, a positive multiple of the step.

        Raises
        ------
        UsageError
            `start` is no instant or not on the grid, or `hours` is not a multiple of the step.
        InputError
            The trace does not cover the window; the covered range is named.
        """
        begin = instant(start, tz)
        span = _hours(hours)
        if span < self.step or span % self.step != pd.Timedelta(0):
            raise UsageError(
                f"hours must be a positive multiple of {step_text(self.step)}, not {hours}."
            )
        covered = f"{_day(self.start)} .. {_day(self.end)} UTC"
        if begin < self.start or begin + span > self.end:
            raise InputError(
                Flaw(
                    f"is not covered by the trace of {self.zone}",
                    field="window",
                    value=f"{_day(begin)} .. {_day(begin + span)} UTC",
                    allowed=covered,
                    fix="begin within it and take fewer hours, or a longer trace",
                )
            )
        if (begin - self.start) % self.step != pd.Timedelta(0):
            raise UsageError(
                f"start {_day(begin)} is not on the grid of this trace: "
                f"{_day(self.start)} plus multiples of {step_text(self.step)}."
            )
        first = (begin - self.start) // self.step
        return replace(self, frame=self.frame.iloc[first : first + span // self.step])

    def resample(self, step: str | dt.timedelta) -> Trace:
        """Means over longer steps, e.g. from 5 minutes to an hour.

        New steps begin at whole multiples since 1970-01-01 00:00 UTC (for hours: at full hours
        UTC). Only complete ones are kept: what hangs over at either end is dropped, and told.

        Parameters
        ----------
        step
            New step, a whole multiple of the present one.

        Raises
        ------
        UsageError
            The step is not a multiple, or no complete one fits.
        """
        try:
            wide = pd.Timedelta(step)
        except (ValueError, TypeError):
            raise UsageError(f"{shorten(step)} is not a step such as '1h' or '15min'.") from None
        if pd.isna(wide) or wide < self.step or wide % self.step != pd.Timedelta(0):
            raise UsageError(
                f"A trace in steps of {step_text(self.step)} cannot be averaged to "
                f"{shorten(str(step))}: only whole multiples of its step."
            )
        ratio = wide // self.step
        if ratio == 1:
            return self
        # Integer arithmetic since the epoch: exact for every unit of the index.
        times = nanoseconds(self.frame.index)
        slot = times // wide.value
        complete = np.flatnonzero(np.bincount(slot - slot[0]) == ratio) + slot[0]
        kept = np.isin(slot, complete)
        if not kept.any():
            raise UsageError(
                f"The trace of {len(self)} steps of {step_text(self.step)} has no complete step of "
                f"{step_text(wide)}. Fix: a shorter step, or a longer trace."
            )
        values = self.frame.to_numpy(dtype=float)[kept]
        index = utc_index(complete * wide.value)
        frame = pd.DataFrame(
            values.reshape(len(complete), ratio, -1).mean(axis=1), index, self.frame.columns
        )
        note = f"averaged from steps of {step_text(self.step)} to {step_text(wide)}"
        dropped = len(times) - int(kept.sum())
        if dropped:
            note += f"; {dropped} steps of the incomplete ends were dropped"
        return replace(self, frame=frame, step=wide, report=(*self.report, f"{note}."))


def instant(value: str | dt.datetime, tz: str | dt.tzinfo | None = None) -> pd.Timestamp:
    """An instant in UTC from what a caller wrote.

    Raises
    ------
    UsageError
        It is not a time, or naive without `tz`, or a local time that does not exist or is double.
    """
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError, OverflowError):
        stamp = None
    if not isinstance(stamp, pd.Timestamp):
        raise UsageError(f"{shorten(value)} is not a time such as '2022-01-01 00:00+00:00'.")
    if stamp.tzinfo is not None:
        return stamp.tz_convert("UTC")
    if tz is None:
        raise UsageError(
            f"{shorten(str(value))} has no time zone. Write the offset "
            f"('{stamp:%Y-%m-%d %H:%M}+00:00' for UTC) or say tz='UTC' (in the shell: --tz UTC)."
        )
    # NaT instead of an exception: which one is raised differs between versions of pandas.
    local = stamp.tz_localize(time_zone(tz), ambiguous="NaT", nonexistent="NaT")
    if not isinstance(local, pd.Timestamp):
        raise UsageError(
            f"{shorten(str(value))} does not exist or is double in {tz}, where the clock changes. "
            "Fix: write its offset, such as 2022-03-27 01:00+00:00."
        )
    return local.tz_convert("UTC")


def utc_index(times: np.ndarray) -> pd.DatetimeIndex:
    """Index named `time` from nanoseconds since the epoch."""
    stamps = np.asarray(times, dtype=np.int64).view("datetime64[ns]")
    return pd.DatetimeIndex(stamps).tz_localize("UTC").rename("time")


def nanoseconds(index: pd.Index) -> np.ndarray:
    """Nanoseconds since the epoch, whatever the unit of a tz-aware index."""
    return pd.DatetimeIndex(index).tz_convert(None).to_numpy("datetime64[ns]").view(np.int64)


def step_text(step: pd.Timedelta) -> str:
    """A step in the unit people use for it: '5 min', '1 h', '1 d'."""
    seconds = step.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _day(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d %H:%M:%S}" if stamp.second else f"{stamp:%Y-%m-%d %H:%M}"


def _hours(hours: float) -> pd.Timedelta:
    try:
        return pd.Timedelta(hours=float(hours))
    except (ValueError, TypeError, OverflowError):
        raise UsageError(f"hours must be a positive number, not {shorten(hours)}.") from None


def _frame_flaws(frame: pd.DataFrame, step: pd.Timedelta) -> list[Flaw]:
    """How a frame breaks the contract of a trace."""
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        return [Flaw("is not in UTC", field="index", allowed="a tz-aware index of times in UTC")]
    flaws = []
    if not len(index):
        flaws.append(Flaw("has no rows", field="index"))
    if step <= pd.Timedelta(0) or (np.diff(nanoseconds(index)) != step.value).any():
        allowed = f"times that rise by {step}"
        flaws.append(Flaw("is not regular", field="index", allowed=allowed))
    if index.name != "time":
        flaws.append(Flaw("has another name", field="index", value=index.name, allowed="'time'"))
    if CARBON not in frame.columns:
        flaws.append(Flaw("is missing", field=CARBON))
    for name in frame.columns:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column) or not np.isfinite(column.to_numpy()).all():
            flaws.append(Flaw("has cells that are not finite numbers", field=str(name)))
        elif name == CARBON and (column < 0).any():
            flaws.append(Flaw("is negative", field=CARBON, allowed="a number >= 0"))
    return flaws
