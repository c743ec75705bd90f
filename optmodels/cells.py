"""Cells: the values of one column, read with one meaning each.

A cell is text (from CSV) or a value (from a frame or from Parquet). It is read strictly: a number
is plain decimal notation in ASCII, a time is ISO text or an object *with its offset*. What other
readers let pass ("1_000", " 12 ", "٣", "inf", an epoch number as a time, True as 1) is refused,
since each of them is more often a mistake than an intention. A decimal text is read as the nearest
64-bit number, as everywhere; an integer *value* which that number cannot hold exactly is refused.

Every reader returns the values of the whole column and the faults by position, as short kinds
(`FAULTS` has their words).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Faults = dict[int, str]
FloatArray = NDArray[np.float64]

FIRST_TIME = pd.Timestamp("1900-01-01T00:00Z")
LAST_TIME = pd.Timestamp("2200-01-01T00:00Z")
MAX_TEXT = 10_000
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""A cell of text that begins with one of these is run as a formula by spreadsheets."""

#: kind of fault -> what is wrong, likely cause, fix
FAULTS: dict[str, tuple[str, str | None, str | None]] = {
    "missing": (
        "is missing",
        None,
        "fill the cell; a gap has to be closed before the instance is made",
    ),
    "number": (
        "is not a number",
        "a decimal comma, a unit in the cell, or a note in a number column",
        "write a plain number such as 12.5",
    ),
    "number_type": (
        "is not a number",
        "a column of text or of yes/no values where numbers belong",
        "convert the column to numbers before the instance is made",
    ),
    "whole": ("is not a whole number", None, "write a plain whole number such as 12"),
    "infinite": ("is not finite", None, None),
    "inexact": ("is too large a number to be kept exactly", None, None),
    "low": ("is too small", None, None),
    "high": ("is too large", None, None),
    "time": (
        "is not a time",
        "a date without a time, an epoch number, or a local date format",
        "write ISO text with the offset, such as 2022-06-01T00:00:00Z",
    ),
    "naive": (
        "has no time zone",
        "the times were exported without their zone",
        "write the offset (Z for UTC), or localise the times with their zone before",
    ),
    "era": (f"is out of range: years {FIRST_TIME.year} to {LAST_TIME.year - 1}", None, None),
    "word": ("is not a text", None, None),
    "word_form": ("is not a usable text", f"control characters, or over {MAX_TEXT} letters", None),
    "formula": (
        "begins with a sign that makes spreadsheets run it as a formula",
        "=, +, -, @ or a tab as the first letter of a name",
        "begin the name with a letter or a digit",
    ),
    "flag": ("is not true or false", None, None),
}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
    r"(?::[0-5][0-9](?:\.[0-9]{1,9})?)?(Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?",
    re.ASCII,
)
_NOT_A_NUMBER = ("nan", "na", "n/a", "null", "none")
_FLAGS = {"true": True, "false": False}
_EXACT = 2**53


def is_missing(cell: object) -> bool:
    """Whether a cell is empty: no text, None, NaN or pandas' own signs for it."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, str):
        return not cell
    return isinstance(cell, float) and math.isnan(cell)


def column_cells(values: pd.Series[Any]) -> Any:
    """Cells of the column of a frame, as an array where its type allows it."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiu":
        return values.to_numpy()
    return list(values)


def read_numbers(cells: Any, *, typed: bool) -> tuple[FloatArray, Faults]:
    """Finite 64-bit numbers; with `typed` cells, text is never a number."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "f":
        values = cells.astype(np.float64)
    elif set(map(type, cells)) == {float}:
        values = np.array(cells, dtype=np.float64)
    elif not typed and all(type(c) is str and _NUMBER.fullmatch(c) for c in cells):
        values = np.array([float(c) for c in cells], dtype=np.float64)
    else:
        return _each(cells, lambda cell: _number(cell, typed), np.float64)
    faults = {int(i): "missing" for i in np.flatnonzero(np.isnan(values))}
    faults |= {int(i): "infinite" for i in np.flatnonzero(np.isinf(values))}
    # Adding zero turns -0.0 into 0.0, so that equal instances have equal fingerprints.
    return values + 0.0, faults


def read_integers(cells: Any, *, typed: bool) -> tuple[NDArray[np.int64], Faults]:
    """64-bit integers."""
    return _each(cells, lambda cell: _integer(cell, typed), np.int64)


def read_flags(cells: Any, *, typed: bool) -> tuple[NDArray[np.bool_], Faults]:
    """True or false; as text in any letter case."""
    return _each(cells, lambda cell: _flag(cell, typed), np.bool_)


def read_words(cells: Any, *, typed: bool) -> tuple[NDArray[np.object_], Faults]:
    """Texts that can be written to a file and read back unchanged."""
    del typed  # text is text, wherever it comes from
    return _each(cells, _word, np.object_)


def read_times(cells: Any, *, typed: bool) -> tuple[pd.DatetimeIndex, Faults]:
    """Instants in UTC, to the nanosecond; text must be ISO with an offset."""
    del typed  # ISO text with an offset has one meaning only, wherever it comes from
    times = _times_at_once(cells)
    faults: Faults = {}
    if times is None:
        nanoseconds, faults = _each(cells, _time, np.int64)
        times = pd.DatetimeIndex(nanoseconds.view("M8[ns]")).tz_localize("UTC")
    outside = (times < FIRST_TIME) | (times >= LAST_TIME)
    faults |= {int(i): "era" for i in np.flatnonzero(outside) if int(i) not in faults}
    return times, faults


def _each(cells: Any, read: Callable[[Any], Any], dtype: Any) -> tuple[NDArray[Any], Faults]:
    """Read cell by cell; the reader returns a value, or raises `_RefusedError` with the kind."""
    values = np.zeros(len(cells), dtype=dtype)
    faults: Faults = {}
    for i, cell in enumerate(cells):
        try:
            if is_missing(cell):
                raise _RefusedError("missing")
            values[i] = read(cell)
        except _RefusedError as refused:
            faults[i] = refused.kind
    return values, faults


class _RefusedError(Exception):
    def __init__(self, kind: str) -> None:
        self.kind = kind


def _number(cell: Any, typed: bool) -> float:
    if isinstance(cell, str) and not typed:
        if cell.strip().lower() in _NOT_A_NUMBER:
            raise _RefusedError("missing")
        if not _NUMBER.fullmatch(cell):
            raise _RefusedError("number")
    elif isinstance(cell, bool | np.bool_) or not isinstance(cell, Real | Decimal):
        raise _RefusedError("number_type" if typed else "number")
    elif isinstance(cell, Integral) and abs(int(cell)) > _EXACT:
        raise _RefusedError("inexact")
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        raise _RefusedError("number") from None
    if not math.isfinite(value):
        raise _RefusedError("missing" if math.isnan(value) else "infinite")
    return value + 0.0


def _integer(cell: Any, typed: bool) -> int:
    if isinstance(cell, str):
        if typed or not _WHOLE.fullmatch(cell):
            raise _RefusedError("whole")
    elif isinstance(cell, bool | np.bool_) or not isinstance(cell, Real):
        raise _RefusedError("whole")
    elif not isinstance(cell, Integral):
        number = float(cell)
        if not number.is_integer() or abs(number) > _EXACT:
            raise _RefusedError("whole")
    value = int(cell)
    if not -(2**63) <= value < 2**63:
        raise _RefusedError("inexact")
    return value


def _flag(cell: Any, typed: bool) -> bool:
    if isinstance(cell, bool | np.bool_):
        return bool(cell)
    if typed or not isinstance(cell, str) or cell.lower() not in _FLAGS:
        raise _RefusedError("flag")
    return _FLAGS[cell.lower()]


def _word(cell: Any) -> str:
    if not isinstance(cell, str):
        raise _RefusedError("word")
    if len(cell) > MAX_TEXT or not writable(cell):
        raise _RefusedError("word_form")
    # Instances are made to be opened in a spreadsheet, and may come from anybody.
    if cell.startswith(FORMULA_SIGNS):
        raise _RefusedError("formula")
    return str(cell)


def writable(text: str) -> bool:
    """Whether a text can be written to a UTF-8 file: no half characters, no control characters."""
    if any(letter < " " and letter not in "\t\n" for letter in text):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(cell: Any) -> int:
    if isinstance(cell, str):
        match = _TIME.fullmatch(cell)
        if match is None:
            raise _RefusedError("time")
        if match[1] is None:
            raise _RefusedError("naive")
    elif not isinstance(cell, datetime):
        raise _RefusedError("time")
    elif cell.utcoffset() is None:
        raise _RefusedError("naive")
    try:
        # A half-open range far inside that of 64-bit nanoseconds is checked by the caller.
        return int(pd.Timestamp(cell).tz_convert("UTC").as_unit("ns").value)
    except (ValueError, OverflowError):
        year = cell.year if isinstance(cell, datetime) else int(cell[:4])
        known = FIRST_TIME.year <= year < LAST_TIME.year
        raise _RefusedError("time" if known else "era") from None


def _times_at_once(cells: Any) -> pd.DatetimeIndex | None:
    """The whole column in one step where nothing about it is unusual."""
    try:
        if isinstance(cells, pd.DatetimeIndex):
            times = cells.tz_convert("UTC").as_unit("ns")
        elif cells and all(type(c) is str and (m := _TIME.fullmatch(c)) and m[1] for c in cells):
            given = pd.to_datetime(list(cells), format="ISO8601", utc=True)
            times = pd.DatetimeIndex(given).as_unit("ns")
        else:
            return None
    except (ValueError, OverflowError, TypeError):
        return None
    return None if times.hasnans else times
