"""Power of several sites from a file of one's own: a column of times and one per site."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.text import plain_name
from optmodels.traces.cleaning import Cleaning, clean
from optmodels.traces.columns import Survey, survey
from optmodels.traces.parse import check_numbers, parse_times, time_zone
from optmodels.traces.wind import WindTrace

POWER_UNITS = {"kW": 1.0, "MW": 1000.0, "W": 0.001}
"""Factors to kW."""

#: A unit at the end of a name, set off from it: "north_mw", "north [kW]", "north (MW)".
_UNIT = re.compile(r"[\s_]*(?:[_\s]|[\[(])(?P<unit>[km]?w)[\])]?$", re.IGNORECASE)


def read_power(
    path: str | os.PathLike[str],
    *,
    unit: str | None = None,
    time_column: str | None = None,
    tz: str | None = None,
    cleaning: Cleaning | None = None,
) -> WindTrace:
    """Read a file of one's own with one column of power per site.

    Parameters
    ----------
    path
        The file; see `survey`.
    unit
        Unit of all columns, a name in `POWER_UNITS`; by default what their names end in
        ("north_mw", "north [kW]").
    time_column
        Column of times, where there are several.
    tz
        Zone of naive times.
    cleaning
        What may be repaired; by default nothing.

    Returns
    -------
    WindTrace
        One column of kW per site, under the names of the columns without their unit.

    Raises
    ------
    InputError
        Columns that are not found, cells that are no times or numbers, gaps: all of them together.
    UsageError
        The unit or the zone is unknown.
    """
    if unit is not None and unit not in POWER_UNITS:
        raise UsageError.unknown("unit of power", str(unit), POWER_UNITS)
    looked = survey(path)
    time_field = looked.time_column(time_column)
    table = looked.table
    columns = [name for name in looked.numbers if name != time_field]
    if not columns:
        looked.carbon_column()
    policy = cleaning or Cleaning()
    flaws: list[Flaw] = []
    values = {}
    for name in columns:
        site, own = _site_and_unit(name)
        chosen = unit or own
        if own is not None and chosen != own:
            what = f"ends in {own}, but the unit was said to be {chosen}"
            fix = "leave the unit out, or rename the column"
            flaws.append(Flaw(what, file=table.name, field=name, fix=fix))
            continue
        if site in values:
            flaws.append(Flaw(f"is a second column of the site '{site}'", table.name, field=name))
            continue
        if chosen is None:
            flaws.append(
                Flaw(
                    "does not say its unit",
                    file=table.name,
                    field=name,
                    allowed=", ".join(POWER_UNITS),
                    fix=f'name the column "{name}_kw", or say the unit (--unit kW)',
                )
            )
            continue
        column, found = check_numbers(
            table.column(name), name, minimum=0.0, allow_missing=True, file=table.name
        )
        flaws += found
        values[site] = column * POWER_UNITS[chosen]
    try:
        times = parse_times(
            table.column(time_field),
            None if tz is None else time_zone(tz),
            field=time_field,
            file=table.name,
            mixed=policy.mixed_times,
            ambiguous=policy.ambiguous,
            nonexistent=policy.nonexistent,
        )
    except InputError as error:
        raise InputError([*error.flaws, *flaws], "wind power") from None
    if flaws:
        raise InputError(flaws, "wind power")
    rows = np.arange(len(table)) + table.row_numbers.start
    cleaned = clean(pd.DataFrame(values, index=times), rows, policy, table.name, columns)
    if cleaned.flaws:
        raise InputError(cleaned.flaws, "wind power")
    return WindTrace(
        cleaned.frame, cleaned.step, f"columns, {Path(path).name}", tuple(cleaned.report)
    )


def says_units(looked: Survey) -> bool:
    """Whether the names of all columns of numbers end in a unit of power."""
    return all(_site_and_unit(name)[1] is not None for name in looked.numbers)


def _site_and_unit(name: str) -> tuple[str, str | None]:
    match = _UNIT.search(plain_name(name))
    if match is None or not name[: match.start()].strip():
        return plain_name(name), None
    unit = {"kw": "kW", "mw": "MW", "w": "W"}[match["unit"].lower()]
    return plain_name(name)[: match.start()].strip(), unit
