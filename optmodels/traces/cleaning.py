"""`Cleaning`: what may be done to a series that is not clean, said once and in advance.

Public traces have holes, hours that stand twice, values that the source itself estimated, blocks
under the wrong date. By default each such fault is refused with its row, because a repair is an
assumption about the world. A caller who accepts an assumption names it here, and the trace that
comes out reports how often it was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, UsageError
from optmodels.traces.parse import MAX_FLAWS, Ambiguous, Mixed, Nonexistent, check_choice
from optmodels.traces.trace import nanoseconds, step_text, utc_index

MAX_SLOTS = 10_000_000
"""Longest regular series that is built: a hundred years of 5-minute steps."""


@dataclass(frozen=True)
class Cleaning:
    """Policy for the faults of a series; by default all but estimates are refused.

    Parameters
    ----------
    gaps
        Slots that are absent or empty: refuse; "interpolate" linearly in time between the
        neighbours; or repeat the "previous" value. A gap at either end has no two neighbours and
        is refused by "interpolate"; "previous" refuses it at the start.
    max_gap_slots
        Longest run of such slots that may be filled.
    duplicates
        Several rows for one instant: refuse; keep the "first" or "last"; or take the "mean".
    estimated
        Values that the source marks as its own estimate: accept (their share is reported), refuse,
        or treat as a "gap".
    doubled_day
        A block of forecasts that carries the date of the block before it: refuse, or "repair" by
        moving it to the one free day where its actual values agree with its neighbours.
    mixed_times, ambiguous, nonexistent
        Reading of times, see `optmodels.traces.parse.parse_times`.

    Raises
    ------
    UsageError
        A value that is not one of these.
    """

    gaps: Literal["refuse", "interpolate", "previous"] = "refuse"
    max_gap_slots: int = 3
    duplicates: Literal["refuse", "first", "last", "mean"] = "refuse"
    estimated: Literal["accept", "refuse", "gap"] = "accept"
    doubled_day: Literal["refuse", "repair"] = "refuse"
    mixed_times: Mixed = "refuse"
    ambiguous: Ambiguous = "refuse"
    nonexistent: Nonexistent = "refuse"

    def __post_init__(self) -> None:
        check_choice("gaps", self.gaps, ("refuse", "interpolate", "previous"))
        check_choice("duplicates", self.duplicates, ("refuse", "first", "last", "mean"))
        check_choice("estimated", self.estimated, ("accept", "refuse", "gap"))
        check_choice("doubled_day", self.doubled_day, ("refuse", "repair"))
        check_choice("mixed_times", self.mixed_times, ("refuse", "accept"))
        check_choice("ambiguous", self.ambiguous, ("refuse", "order", "earlier", "later"))
        check_choice("nonexistent", self.nonexistent, ("refuse", "shift"))
        if not isinstance(self.max_gap_slots, int) or self.max_gap_slots < 0:
            raise UsageError(f"max_gap_slots must be an integer >= 0, not {self.max_gap_slots}.")


@dataclass
class Cleaned:
    """What `clean` found: a regular frame, or flaws that the policy does not allow to repair."""

    frame: pd.DataFrame
    step: pd.Timedelta
    report: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)


def clean(
    frame: pd.DataFrame,
    rows: NDArray[np.int64],
    cleaning: Cleaning,
    file: str,
    fields: Sequence[str] | None = None,
) -> Cleaned:
    """Bring a table of times onto a regular grid, as far as the policy allows.

    Parameters
    ----------
    frame
        Index of instants in UTC in the order of the file, numeric columns, NaN for "no value".
    rows
        Row of the file for each row of the frame.
    cleaning
        The policy.
    file
        File name for messages.
    fields
        Names of the columns in the file, for messages; by default those of the frame.
    """
    result = Cleaned(frame, pd.Timedelta(0))
    times = nanoseconds(frame.index)
    order = np.argsort(times, kind="stable")
    moved = int((np.diff(times) < 0).sum())
    if moved:
        result.report.append(f"rows were not in the order of time ({moved} steps back): sorted.")
    times, rows = times[order], np.asarray(rows)[order]
    values = frame.to_numpy(dtype=float)[order]
    times, rows, values = _without_duplicates(
        times, rows, values, cleaning=cleaning, file=file, result=result
    )
    if len(times) < 2:
        what = f"has {len(times)} time{'s' * (len(times) != 1)}"
        result.flaws.append(Flaw(what, file=file, allowed="at least two, to know the step"))
        return result
    # The most frequent distance is the step; of equally frequent ones the shortest.
    distances, counts = np.unique(np.diff(times), return_counts=True)
    step = int(distances[np.argmax(counts)])
    result.step = pd.Timedelta(step, unit="ns")
    # So is the most frequent phase the grid's, lest one odd first time condemn all others.
    phases, counts = np.unique(times % step, return_counts=True)
    slots, off = np.divmod(times - phases[np.argmax(counts)], step)
    slots -= slots[0]
    if off.any():
        result.flaws += [
            Flaw(
                f"is not on the grid of {step_text(result.step)} steps that the other times keep",
                file=file,
                row=int(rows[i]),
                field="time",
                value=_time(times[i]),
                cause="a mistyped time, or rows of another step",
                fix="correct or remove the row",
            )
            for i in np.flatnonzero(off)[:MAX_FLAWS]
        ]
        return result
    names = [str(name) for name in frame.columns] if fields is None else list(fields)
    grid = _Grid(times, slots, rows, values, names, result.step, file)
    full = grid.fill(cleaning, result)
    index = utc_index(times[0] + np.arange(len(full)) * step)
    result.frame = pd.DataFrame(full, index=index, columns=frame.columns)
    return result


def _without_duplicates(
    times: NDArray[np.int64],
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    cleaning: Cleaning,
    file: str,
    result: Cleaned,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """One row per instant, by the policy; the flaws where it refuses."""
    unique, first, counts = np.unique(times, return_index=True, return_counts=True)
    extra = len(times) - len(unique)
    if not extra:
        return times, rows, values
    policy = cleaning.duplicates
    if policy == "refuse":
        repeated = np.setdiff1d(np.arange(len(times)), first)
        origin = rows[first[np.searchsorted(unique, times[repeated])]]
        result.flaws += [
            Flaw(
                f"stands already in row {before}",
                file=file,
                row=int(rows[i]),
                field="time",
                value=_time(times[i]),
                cause="exports joined twice, or local times of a clock change read as UTC",
                fix='remove one, or choose duplicates="first", "last" or "mean"',
            )
            for i, before in zip(repeated[:MAX_FLAWS], origin[:MAX_FLAWS], strict=True)
        ]
    else:
        result.report.append(
            f"{extra} rows for an instant that stands already: duplicates='{policy}' was applied."
        )
    if policy == "mean":
        sums = np.add.reduceat(np.nan_to_num(values), first)
        known = np.add.reduceat((~np.isnan(values)).astype(float), first)
        # An instant without any value stays a gap.
        values = np.divide(sums, known, out=np.full_like(sums, np.nan), where=known > 0)
    else:
        values = values[first + counts - 1 if policy == "last" else first]
    return unique, rows[first], values


@dataclass
class _Grid:
    """Values by slot of a regular grid, with the slots that are absent."""

    times: NDArray[np.int64]
    slots: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    names: list[str]
    step: pd.Timedelta
    file: str

    def fill(self, cleaning: Cleaning, result: Cleaned) -> NDArray[np.float64]:
        """Values with their gaps filled, or as they are with the reasons in `result`."""
        jumps = np.flatnonzero(np.diff(self.slots) > 1)
        absent = self.slots[jumps + 1] - self.slots[jumps] - 1
        # Bounded before a grid is made: one wrong year would make it huge.
        limit = 0 if cleaning.gaps == "refuse" else cleaning.max_gap_slots
        for jump, length in zip(jumps[:MAX_FLAWS], absent[:MAX_FLAWS], strict=True):
            if length > limit:
                result.flaws.append(self._hole(int(jump), int(length), cleaning))
        if cleaning.gaps == "refuse":
            result.flaws += self._empty_cells()
        if self.slots[-1] >= MAX_SLOTS:
            what = f"spans {self.slots[-1] + 1:,} slots of {step_text(self.step)}"
            allowed = f"at most {MAX_SLOTS:,}"
            result.flaws.append(Flaw(what, file=self.file, field="time", allowed=allowed))
        if result.flaws:
            return self.values
        full = np.full((int(self.slots[-1]) + 1, self.values.shape[1]), np.nan)
        full[self.slots] = self.values
        filled = 0
        for j, name in enumerate(self.names):
            empty = np.isnan(full[:, j])
            if empty.any():
                filled += int(empty.sum())
                result.flaws += self._runs(empty, name, cleaning)
                full[:, j] = _filled(full[:, j], empty, cleaning)
        if filled:
            slots = int(np.isnan(self.values).any(axis=1).sum() + absent.sum())
            result.report.append(
                f"{slots} slots ({filled} cells) without value were filled: "
                f"gaps='{cleaning.gaps}', at most {cleaning.max_gap_slots} in a row."
            )
        return full

    def _hole(self, jump: int, length: int, cleaning: Cleaning) -> Flaw:
        begin = _time(self.times[jump] + self.step.value)
        end = _time(self.times[jump + 1] - self.step.value)
        absent = f"{length} slots from {begin} to {end} are" if length > 1 else f"{begin} is"
        return Flaw(
            f"{absent} absent before this row",
            file=self.file,
            row=int(self.rows[jump + 1]),
            field="time",
            allowed=_gap_range(cleaning),
            cause="a spring clock change read as UTC, or missing data",
            fix=_gap_fix(length, cleaning),
        )

    def _empty_cells(self) -> list[Flaw]:
        """One flaw for each run of rows with empty cells."""
        empty = np.isnan(self.values)
        flaws = []
        for begin, end in _edges(np.asarray(empty.any(axis=1)))[:MAX_FLAWS]:
            named = np.flatnonzero(empty[begin:end].any(axis=0))
            others = f" (and {len(named) - 1} other fields)" if len(named) > 1 else ""
            length = end - begin
            until = f" in {length} rows, to {_time(self.times[end - 1])}" if length > 1 else ""
            flaws.append(
                Flaw(
                    f"is missing{others}{until}",
                    file=self.file,
                    row=int(self.rows[begin]),
                    field=self.names[named[0]],
                    allowed="a number",
                    fix=_gap_fix(length, None),
                )
            )
        return flaws

    def _runs(self, empty: NDArray[np.bool_], name: str, cleaning: Cleaning) -> list[Flaw]:
        """Runs of empty slots that the policy may not fill."""
        flaws = []
        for begin, end in _edges(empty):
            length = end - begin
            at_end = end == len(empty) and cleaning.gaps == "interpolate"
            if length <= cleaning.max_gap_slots and begin > 0 and not at_end:
                continue
            place = "at the start " if begin == 0 else "at the end " if end == len(empty) else ""
            flaws.append(
                Flaw(
                    f"has {length} slots {place}without value from "
                    f"{_time(self.times[0] + begin * self.step.value)}",
                    file=self.file,
                    row=int(self.rows[np.searchsorted(self.slots, begin)]),
                    field=name,
                    allowed=_gap_range(cleaning) + ", between values",
                    fix=_gap_fix(length, cleaning) if begin > 0 and not at_end else "cut them off",
                )
            )
        return flaws[:MAX_FLAWS]


def _filled(
    column: NDArray[np.float64], empty: NDArray[np.bool_], cleaning: Cleaning
) -> NDArray[np.float64]:
    places = np.arange(len(column))
    known = places[~empty]
    if not len(known):
        return column
    if cleaning.gaps == "interpolate":
        return np.interp(places, known, column[known])
    previous = np.searchsorted(known, places, side="right") - 1
    return column[known[np.maximum(previous, 0)]]


def _edges(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.astype(np.int8), [0]))))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _gap_range(cleaning: Cleaning) -> str:
    if cleaning.gaps == "refuse":
        return "a row for every step"
    return f"gaps of at most {cleaning.max_gap_slots} slots"


def _gap_fix(length: int, cleaning: Cleaning | None) -> str:
    if cleaning is None or cleaning.gaps == "refuse":
        return f'choose gaps="interpolate" or "previous" with max_gap_slots >= {length}'
    return f"raise max_gap_slots to {length} if filling so long a gap is acceptable"


def _time(nanoseconds_utc: int) -> str:
    return f"{pd.Timestamp(int(nanoseconds_utc), unit='ns'):%Y-%m-%d %H:%M:%S} UTC"
