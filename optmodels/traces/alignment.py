"""Several series on one time axis: what a question about several sites needs first.

Nothing is filled and nothing is moved: a series with a gap, an odd step or a clock without a zone
is refused. Two repairs can be asked for because they assume nothing about the world: averaging
short steps over whole slots, and cutting all series to the time that all of them cover.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.traces.parse import check_choice
from optmodels.traces.trace import nanoseconds, step_text, utc_index

_NOTHING = pd.Timedelta(0)


def aligned_power(
    series: Mapping[str, pd.Series[float]],
    *,
    step: str | dt.timedelta | None = None,
    span: Literal["same", "common"] = "same",
) -> pd.DataFrame:
    """Series of several sites on one time axis, each of them gapless on it.

    Parameters
    ----------
    series
        Power, or share of the installed power, by site; tz-aware times, left ends of intervals.
    step
        Length of the slots: shorter steps are averaged over whole slots, which keeps the energy.
        By default the step of the series, which then must be the same in all.
    span
        "same": all series must cover the same time; "common": keep what all of them cover.

    Returns
    -------
    DataFrame
        Index ``time`` in UTC, one column per site in the order given.

    Raises
    ------
    InputError
        A series without zone, with gaps, with values that are missing, infinite or negative, with
        a step that does not divide the slot; different steps or spans. All of it together.
    UsageError
        No series, or an unusable `step` or `span`.
    """
    check_choice("span", span, ("same", "common"))
    if not series:
        raise UsageError("Aligning needs at least one series by the name of its site.")
    wanted = None if step is None else _step_of(step)
    flaws: list[Flaw] = []
    grids: dict[str, tuple[NDArray[np.int64], NDArray[np.float64], int]] = {}
    for name, one in series.items():
        found = _grid_flaws(str(name), one)
        flaws += found
        if not found:
            times = nanoseconds(one.index)
            values = np.asarray(one, dtype=np.float64)
            grids[name] = (times, values, int(times[1] - times[0]))
    flaws += _step_flaws({name: grid[2] for name, grid in grids.items()}, wanted)
    if flaws:
        raise InputError(flaws, "series to align")
    slot = wanted or next(iter(grids.values()))[2]
    slots = {name: _averaged(*grid, slot) for name, grid in grids.items()}
    begin = max(times[0] for times, _ in slots.values())
    end = min(times[-1] for times, _ in slots.values())
    flaws = _span_flaws(slots, begin, end, slot, span)
    if flaws:
        raise InputError(flaws, "series to align")
    # Not by arange(begin, end + 1, slot): numpy counts in floats, which lose the 1 of nanoseconds.
    index = utc_index(begin + np.arange((end - begin) // slot + 1) * slot)
    columns = {
        name: values[(times >= begin) & (times <= end)] for name, (times, values) in slots.items()
    }
    return pd.DataFrame(columns, index=index)


def _step_of(step: str | dt.timedelta) -> int:
    try:
        # NaT compares as false, so it is refused, too.
        length = pd.Timedelta(step).as_unit("ns").value if pd.Timedelta(step) > _NOTHING else 0
    except (ValueError, TypeError, OverflowError):
        length = 0
    if not length:
        raise UsageError(f'step must be a positive length of time such as "1h", not {step!r}.')
    return int(length)


def _grid_flaws(name: str, series: pd.Series[float]) -> list[Flaw]:
    """How one series is not a gapless one of power."""
    index = series.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        fix = 'series.tz_localize("UTC") if the clock runs in UTC'
        return [Flaw("has no times with a zone", field=name, allowed="a tz-aware index", fix=fix)]
    flaws = []
    values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float)
    for bad, what in (
        (~np.isfinite(values), "is missing or not finite"),
        (values < 0, "is negative"),
    ):
        if bad.any():
            at = index[int(np.flatnonzero(bad)[0])]
            flaws.append(Flaw(f"{what} in {int(bad.sum())} slots, first at {at}", field=name))
    distances = np.diff(nanoseconds(index))
    if not len(distances):
        return [
            *flaws,
            Flaw(
                "has fewer than two times: its step is unknown",
                field=name,
                allowed="two times or more",
            ),
        ]
    step = int(np.median(distances))
    odd = np.flatnonzero(distances != step)
    if len(odd):
        flaws.append(
            Flaw(
                f"has {len(odd)} places where the times do not rise by "
                f"{step_text(pd.Timedelta(step, unit='ns'))}, first after {index[int(odd[0])]}",
                field=name,
                allowed="a row for every step",
                cause="gaps, doubled times, or local times of a clock change",
            )
        )
    return flaws


def _step_flaws(steps: Mapping[str, int], wanted: int | None) -> list[Flaw]:
    def text(length: int) -> str:
        return step_text(pd.Timedelta(length, unit="ns"))

    if wanted is not None:
        return [
            Flaw(f"has steps of {text(step)}, which do not divide {text(wanted)}", field=name)
            for name, step in steps.items()
            if wanted % step
        ]
    if len(set(steps.values())) < 2:
        return []
    shown = ", ".join(f"{name} {text(step)}" for name, step in steps.items())
    fix = f'average to the longest by step="{text(max(steps.values()))}"'
    return [Flaw(f"differ: {shorten(shown, 200)}", field="steps", fix=fix)]


def _averaged(
    times: NDArray[np.int64], values: NDArray[np.float64], step: int, slot: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Means over whole slots, which begin at multiples of their length since the epoch."""
    if step == slot:
        return times, values
    parts = slot // step
    begin = int(np.searchsorted(times, -(-times[0] // slot) * slot))
    count = (len(times) - begin) // parts
    means = values[begin : begin + count * parts].reshape(count, parts).mean(axis=1)
    return times[begin : begin + count * parts : parts], means


def _span_flaws(
    slots: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]],
    begin: int,
    end: int,
    slot: int,
    span: str,
) -> list[Flaw]:
    def moment(time: int) -> str:
        return f"{pd.Timestamp(int(time), unit='ns'):%Y-%m-%d %H:%M} UTC"

    reach = "; ".join(f"{n} {moment(t[0])} to {moment(t[-1])}" for n, (t, _) in slots.items())
    if end < begin:
        return [
            Flaw(
                "have no time in common",
                field="times",
                value=shorten(reach, 300),
                cause="files of different years, or a clock that was read in a wrong zone",
            )
        ]
    flaws = [
        Flaw(
            "has slots that do not begin where those of the first series do",
            field=str(name),
            fix="choose a step that both divide",
        )
        for name, (times, _) in slots.items()
        if (times[0] - begin) % slot
    ]
    if span == "same" and any(t[0] != begin or t[-1] != end for t, _ in slots.values()):
        fix = 'cut to what all cover by span="common"'
        flaws.append(Flaw("are not the same", field="spans", value=shorten(reach, 300), fix=fix))
    return flaws
