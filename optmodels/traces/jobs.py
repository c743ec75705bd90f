"""Job traces: when batch jobs arrived, how long they ran, and on how many processors.

GAIA (Hanafy et al., ASPLOS 2024) publishes traces of Azure and Alibaba clusters as `arrival_time,
length, cpus`. The files do not say the unit of their times, and it differs between them: one is in
hours, another in seconds. Reading one for the other is wrong by a factor of 3600, so the unit is
told apart by what batch jobs can be:

- in **hours**, no job runs longer than a year and no trace lasts longer than twenty years;
- in **seconds**, the median job runs for ten seconds at least;
- times with fractions which all are whole seconds of an hour (0.75, 19.08333...) but no decimal
  fractions of a second are hours.

If that leaves one unit, it is taken. If both remain, the file is refused until the unit is said. A
unit that is said is checked by the same rules.
"""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.text import read_delimited
from optmodels.traces.parse import EMPTY, check_numbers

JobUnit = Literal["hours", "seconds"]
UNITS: dict[str, float] = {"hours": 1.0, "seconds": 1 / 3600}
"""Factors to hours."""

LONGEST_JOB_H = 366 * 24.0
"""No batch job runs longer than a year."""
LONGEST_SPAN_H = 20 * LONGEST_JOB_H
"""No trace lasts longer than twenty years."""
SHORTEST_MEDIAN_S = 10.0
"""Half of the batch jobs of a cluster run at least this long."""

_COLUMNS = ("arrival_time", "length", "cpus")
_LARGEST = 1e12
_SUBJECT = "job trace"
# A fraction is decimal up to milliseconds. What is written with six digits may be off by half a
# millionth of an hour, which is far less than a hundredth of a second.
_DECIMAL_S = 1e-3
_WHOLE_SECOND = 0.01
#: So many times that are fractions of an hour are no coincidence.
_EVIDENCE = 5
_ROUNDING = 1e-6


def read_jobs(path: str | os.PathLike[str], *, unit: JobUnit | None = None) -> pd.DataFrame:
    """Read a job trace.

    Parameters
    ----------
    path
        CSV, plain or `.gz`, with columns `arrival_time`, `length` and `cpus`.
    unit
        Unit of arrival times and lengths, "hours" or "seconds"; by default the only plausible one.

    Returns
    -------
    DataFrame
        Sorted by `arrival_h` [h since the begin of the trace], with `length_h` [h] and `cpus`.

    Raises
    ------
    InputError
        Cells that are not numbers in range (all of them are listed), no rows, or times whose unit
        is not clear or is not the one that is said.
    UsageError
        The unit is unknown.
    """
    if unit is not None and unit not in UNITS:
        raise UsageError.unknown("unit of job times", str(unit), UNITS)
    table = read_delimited(path, required=_COLUMNS, subject=_SUBJECT)
    flaws: list[Flaw] = []
    columns = {}
    for name in _COLUMNS:
        columns[name], found = check_numbers(
            table.column(name), name, minimum=0.0, maximum=_LARGEST, file=table.name
        )
        flaws += found
    first = table.row_numbers.start
    for name, wrong, what, allowed in (
        ("length", columns["length"] == 0, "is no run time", "a number > 0"),
        (
            "cpus",
            (columns["cpus"] != np.floor(columns["cpus"])) | (columns["cpus"] == 0),
            "is not a number of processors",
            "1, 2, 3, ...",
        ),
    ):
        flaws += [
            Flaw(what, table.name, int(i) + first, name, float(columns[name][i]), allowed)
            for i in np.flatnonzero(wrong & ~np.isnan(columns[name]))
        ]
    if not flaws and not len(table):
        flaws.append(Flaw("has no rows of data", file=table.name, cause=EMPTY))
    if flaws:
        raise InputError(flaws, _SUBJECT)
    arrival, length = columns["arrival_time"], columns["length"]
    factor = UNITS[_unit(arrival, length, unit, table.name)]
    order = np.argsort(arrival, kind="stable")
    return pd.DataFrame(
        {
            "arrival_h": arrival[order] * factor,
            "length_h": length[order] * factor,
            "cpus": columns["cpus"][order].astype(np.int64),
        }
    )


def _unit(
    arrival: NDArray[np.float64], length: NDArray[np.float64], said: str | None, file: str
) -> str:
    """The unit of the times: the one that is said, or the only plausible one."""
    against = {
        "hours": _against_hours(arrival, length),
        "seconds": _against_seconds(arrival, length),
    }
    if said is not None:
        if not against[said]:
            return said
        other = next(unit for unit in UNITS if unit != said)
        fix = f'say unit="{other}", or leave the unit out' if not against[other] else None
        flaw = Flaw(
            f"cannot be in {said}: {against[said]}",
            file=file,
            field="unit",
            cause="the times are of another unit than was said",
            fix=fix,
        )
        raise InputError(flaw, _SUBJECT)
    possible = [unit for unit, reason in against.items() if not reason]
    if len(possible) == 1:
        return possible[0]
    what = (
        "do not tell their unit: hours and seconds are both plausible"
        if possible
        else "are plausible neither in hours nor in seconds: "
        + "; ".join(f"in {unit}, {reason}" for unit, reason in against.items())
    )
    fix = 'say unit="hours" or unit="seconds"' if possible else "convert them to hours or seconds"
    raise InputError(Flaw(what, file=file, field="arrival_time, length", fix=fix), _SUBJECT)


def _against_hours(arrival: NDArray[np.float64], length: NDArray[np.float64]) -> str | None:
    """Why the times cannot be hours."""
    longest, span = float(length.max()), float(np.ptp(arrival))
    if longest > LONGEST_JOB_H:
        return f"a job would run for {longest / LONGEST_JOB_H:.1f} years"
    if span > LONGEST_SPAN_H:
        return f"the jobs would arrive over {span / LONGEST_JOB_H:.0f} years"
    return None


def _against_seconds(arrival: NDArray[np.float64], length: NDArray[np.float64]) -> str | None:
    """Why the times cannot be seconds."""
    median = float(np.median(length))
    if median < SHORTEST_MEDIAN_S:
        return f"half of the jobs would run for at most {median:.3g} s"
    times = np.concatenate([arrival, length])
    broken = ~_multiples(times, _DECIMAL_S, _ROUNDING)
    if broken.sum() >= _EVIDENCE and _multiples(times * 3600, 1.0, _WHOLE_SECOND).all():
        return (
            f"times such as {times[broken][0]:.9g} are whole seconds only as fractions of an hour"
        )
    return None


def _multiples(values: NDArray[np.float64], of: float, within: float) -> NDArray[np.bool_]:
    """Which values are multiples of a number but for rounding."""
    near: NDArray[np.bool_] = np.abs(values - np.round(values / of) * of) <= within
    return near
