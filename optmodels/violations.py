"""What audits share: how they read the tables of a plan, and how they list what is wrong in them.

A plan may come from anywhere, so its tables are looked at cell by cell: columns may be missing or
stand twice, names may be those of nobody, numbers may be none. Every reader here gives a value for
each row, with a sign for what is unsound (-1, NaN, the empty text), so that an audit names all
faults at once. A plan of a million rows has a million faults where one column is wrong; of each
limit only the first `MOST_VIOLATIONS` are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from optmodels.cells import column_cells, read_numbers, read_times, read_words
from optmodels.plan import Audit, Cost, Violation

#: Violations that an audit lists at most, of one limit and in all.
MOST_VIOLATIONS = 1000


def audited(cost: Cost, violations: Sequence[Violation]) -> Audit:
    """The end of an audit: the cost, with as many violations as are listed."""
    return Audit(cost, tuple(violations[:MOST_VIOLATIONS]))


def listed(broken: NDArray[np.bool_]) -> list[Any]:
    """Places at which a limit is broken, as many as are listed.

    Parameters
    ----------
    broken
        Whether the limit is broken; of one dimension or more.

    Returns
    -------
    list
        Whole numbers, or lists of them where there are several dimensions.
    """
    places = np.flatnonzero(broken) if broken.ndim == 1 else np.argwhere(broken)
    found: list[Any] = places[:MOST_VIOLATIONS].tolist()
    return found


def row_violations(
    limit: str,
    broken: NDArray[np.bool_],
    values: ArrayLike,
    allowed: str,
    where: Callable[[int], str] | None = None,
) -> list[Violation]:
    """Rows of a table that break a limit.

    Parameters
    ----------
    limit, allowed
        As in `Violation`.
    broken
        Whether each row breaks it.
    values
        What each row says.
    where
        Words for the place of a row, of its position from 0; by default "row 1" and so on.
    """
    said = np.asarray(values, dtype=np.float64)
    place = where or (lambda i: f"row {i + 1}")
    return [Violation(limit, place(i), float(said[i]), allowed) for i in listed(broken)]


def lacking(names: Iterable[str], table: pd.DataFrame | None, label: str) -> list[Violation]:
    """Columns that a table lacks, or has more than once."""
    given = [] if table is None else list(table.columns)
    return [
        Violation(f"column '{name}' of table '{label}'", "", given.count(name), "there, once")
        for name in names
        if given.count(name) != 1
    ]


def numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Values of a column; NaN where a cell is no finite number."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        # Quicker than cell by cell; 0.0 for -0.0.
        values = column.to_numpy(dtype=np.float64) + 0.0
        values[~np.isfinite(values)] = np.nan
        return values
    values, faults = read_numbers(column_cells(column), typed=True)
    values[list(faults)] = np.nan
    return values


def words(column: pd.Series[Any]) -> list[str]:
    """Texts of a column; what is no text is "", which nothing is called."""
    values, faults = read_words(column_cells(column), typed=True)
    return ["" if place in faults else str(value) for place, value in enumerate(values)]


def positions(names: Sequence[str], column: pd.Series[Any]) -> NDArray[np.int64]:
    """Place of each cell among the names, -1 where it is none of them."""
    number = {name: place for place, name in enumerate(names)}
    codes, cells = pd.factorize(column)
    lookup = np.array([*(number.get(cell, -1) for cell in cells), -1], dtype=np.int64)
    found: NDArray[np.int64] = lookup[codes]
    return found


def slots(
    times: pd.DatetimeIndex, column: pd.Series[Any]
) -> tuple[NDArray[np.int64], Callable[[int], str]]:
    """Slot of each time, -1 where it is none, and words for the place of a row: its time.

    Parameters
    ----------
    times
        Starts of the slots, rising.
    column
        The cells.
    """
    stamps, faults = read_times(column_cells(column), typed=True)
    slot = times.get_indexer(stamps).astype(np.int64)
    slot[list(faults)] = -1
    return slot, lambda i: f"row {i + 1}" if i in faults else stamps[i].isoformat()
