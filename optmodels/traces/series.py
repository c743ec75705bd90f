"""From the columns of a file to a `Trace` in g/kWh: what all formats of carbon traces share.

A reader says which columns hold the times and the values; here they are parsed, handed to the
`Cleaning` policy, converted, and looked at for signs that the unit is another one than believed
or that the series is not a measured one.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError
from optmodels.text import RawTable
from optmodels.traces.cleaning import Cleaning, clean
from optmodels.traces.parse import EMPTY, LARGEST, check_numbers, parse_times, time_formats
from optmodels.traces.trace import CARBON, Quantity, Trace, step_text

UNITS = {"g/kWh": 1.0, "kg/MWh": 1.0, "kg/kWh": 1000.0, "t/MWh": 1000.0, "lb/MWh": 0.45359237}
"""Factors to g/kWh; the pound is 453.59237 g by definition."""

SMALLEST_PEAK = 5.0
"""A series in g/kWh whose highest value is below this looks like kg/kWh or t/MWh."""
LARGEST_VALUE = 5000.0
"""No power plant emits more g/kWh than this."""
LONG_FLAT_RUN = pd.Timedelta(hours=24)
"""Runs of one equal value of at least this length are told in the report."""


@dataclass(frozen=True)
class Request:
    """What a caller wants from a file, as `optmodels.traces.read_carbon` got it."""

    format: str
    path: str | os.PathLike[str]
    zone: str | None
    quantity: Quantity
    unit: str | None
    tz: str | dt.tzinfo | None
    cleaning: Cleaning
    time_column: str | None = None
    value_column: str | None = None

    @property
    def subject(self) -> str:
        """Head of the messages."""
        return f"carbon trace ({self.format})"


def make_trace(
    request: Request,
    table: RawTable,
    *,
    zone: str,
    time_field: str,
    carbon_field: str,
    others: dict[str, str] | None = None,
    rows: NDArray[np.int64] | None = None,
    empty: NDArray[np.bool_] | None = None,
    report: Sequence[str] = (),
) -> Trace:
    """The part that all formats share: parse, clean, convert, look for signs of another unit.

    Parameters
    ----------
    request, table
        What is wanted and the text it is made of.
    zone
        Zone for the trace.
    time_field, carbon_field, others
        Columns of the file; `others` maps further ones to names with units.
    rows
        Positions of the rows to use, by default all.
    empty
        Of these rows, those whose carbon value shall count as missing.
    report
        Sentences that the format adds.
    """
    chosen = np.arange(len(table)) if rows is None else rows
    numbers = chosen + table.row_numbers.start
    if not len(chosen):
        raise InputError(Flaw("has no rows of data", file=table.name, cause=EMPTY), request.subject)
    cleaning = request.cleaning

    def cells(name: str) -> list[str]:
        column = table.column(name)
        return column if rows is None else [column[i] for i in chosen]

    sentences = list(report)
    wrong: dict[str, list[int]] = {}
    columns: dict[str, NDArray[np.float64]] = {}
    flaws: list[Flaw] = []
    for source, name in {carbon_field: CARBON, **(others or {})}.items():
        # Generation may be slightly negative (own use of a plant); intensity may not.
        minimum = 0.0 if name == CARBON else -LARGEST
        columns[name], found = check_numbers(
            cells(source),
            source,
            minimum=minimum,
            maximum=LARGEST,
            allow_missing=True,
            file=table.name,
            rows=numbers,
        )
        flaws += found
        wrong[name] = [flaw.row for flaw in found if flaw.row is not None]
    texts = cells(time_field)
    try:
        times = parse_times(
            texts,
            request.tz,
            field=time_field,
            file=table.name,
            rows=numbers,
            mixed=cleaning.mixed_times,
            ambiguous=cleaning.ambiguous,
            nonexistent=cleaning.nonexistent,
        )
    except InputError as error:
        raise InputError([*error.flaws, *flaws], request.subject) from None
    forms = time_formats(texts)
    if len(forms) > 1:
        parts = ", ".join(f"{count} as {form}" for form, count in forms.items())
        sentences.append(f"times are written in several forms: {parts}.")
    if empty is not None:
        columns[CARBON] = np.where(empty, np.nan, columns[CARBON])
    factor, unit_notes, unit_flaws = unit_factor(
        columns[CARBON], request.unit, carbon_field, table.name
    )
    columns[CARBON] *= factor
    flaws += unit_flaws
    for name, places in wrong.items():
        # Wrong is not missing: these cells are refused already, and must not count as gaps too.
        columns[name][np.searchsorted(numbers, places)] = 0.0
    fields = [carbon_field, *(others or {})]
    cleaned = clean(pd.DataFrame(columns, index=times), numbers, cleaning, table.name, fields)
    flaws += cleaned.flaws
    if flaws:
        raise InputError(flaws, request.subject)
    sentences += [*cleaned.report, *unit_notes]
    sentences += flat_runs(cleaned.frame[CARBON].to_numpy(), cleaned.frame.index, cleaned.step)
    source = f"{request.format}, {table.name}"
    return Trace(cleaned.frame, cleaned.step, zone, request.quantity, source, tuple(sentences))


def unit_factor(
    carbon: NDArray[np.float64], unit: str | None, name: str, file: str
) -> tuple[float, list[str], list[Flaw]]:
    """Factor to g/kWh, and the signs that this is not the unit."""
    factor = UNITS[unit or "g/kWh"]
    known = carbon[~np.isnan(carbon)] * factor
    notes = [] if unit in (None, "g/kWh") else [f"converted from {unit} by {factor:g}."]
    if not len(known):
        return factor, notes, []
    peak = float(known.max())
    if peak < SMALLEST_PEAK:
        what = f"has a highest value of {peak:g} g/kWh"
        cause = "the values are in kg/kWh or t/MWh"
    elif peak > LARGEST_VALUE:
        what = f"has values up to {peak:g} g/kWh"
        cause = "the values are in another unit, or wrong"
    else:
        return factor, notes, []
    if unit is not None:
        return factor, [*notes, f"{name} {what}, although the unit was said to be {unit}."], []
    fix = f"say the unit of the file: {', '.join(f'unit={u!r}' for u in UNITS)}"
    allowed = f"a peak in {SMALLEST_PEAK:g} .. {LARGEST_VALUE:g} g/kWh"
    return factor, notes, [Flaw(what, file, None, name, None, allowed, cause, fix)]


def flat_runs(carbon: NDArray[np.float64], index: pd.Index, step: pd.Timedelta) -> list[str]:
    """Sentences about long runs of one equal value, which measured series do not have."""
    edges = np.flatnonzero(np.concatenate(([True], np.diff(carbon) != 0, [True])))
    lengths = np.diff(edges)
    if len(lengths) == 1 and len(carbon) > 1:
        return [f"the intensity is constant at {carbon[0]:g} g/kWh: nothing to shift."]
    long = np.flatnonzero(lengths * step >= LONG_FLAT_RUN)
    if not len(long):
        return []
    longest = int(long[np.argmax(lengths[long])])
    begin = pd.Timestamp(index[edges[longest]])
    return [
        f"{len(long)} flat runs of {step_text(LONG_FLAT_RUN)} or more; the longest lasts "
        f"{lengths[longest]} steps of {step_text(step)} from {begin:%Y-%m-%d %H:%M} UTC at "
        f"{carbon[edges[longest]]:g} g/kWh."
    ]
