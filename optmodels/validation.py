"""Checking parameters and tables against their declaration: all faults at once, with their place.

Whole columns are read by `optmodels.cells`, compared with the limits of the declaration, and the
keys are searched for repetitions. What passes is in canonical form: UTC times, 64-bit numbers, and,
after `sort_by_key`, rows in the order of the key.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AwareDatetime, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from optmodels.cells import (
    FAULTS,
    MAX_TEXT,
    Faults,
    read_flags,
    read_integers,
    read_numbers,
    read_times,
    read_words,
    writable,
)
from optmodels.errors import Flaw
from optmodels.schema import Parameters, Place, Row, Table, allowed_text, base_type
from optmodels.text import MAX_NAME

Cells = Mapping[str, Any]


def validate_parameters(
    model: type[Parameters], values: Mapping[str, object], file: str | None
) -> tuple[Parameters | None, list[Flaw]]:
    """Parameters of an instance, or every flaw found in them."""
    given: dict[str, object] = {}
    flaws: list[Flaw] = []
    for name, value in values.items():
        plain = value.item() if isinstance(value, np.generic) else value
        info = model.model_fields.get(name)
        # pydantic would read the text "12" and the value True as numbers.
        if info is not None and base_type(info) in (float, int) and isinstance(plain, str | bool):
            flaws.append(
                Flaw(
                    "is not a number",
                    file=file,
                    field=name,
                    value=plain,
                    allowed=allowed_text(info),
                    fix="write the number without quotation marks",
                )
            )
        elif isinstance(plain, str) and not (writable(plain) and len(plain) <= MAX_TEXT):
            flaws.append(Flaw(FAULTS["word_form"][0], file=file, field=name, value=ascii(plain)))
        # Adding zero turns -0.0 into 0.0, so that equal instances have equal fingerprints.
        given[name] = plain + 0.0 if isinstance(plain, float) else plain
    refused = {flaw.field for flaw in flaws}
    try:
        checked = model.model_validate(given)
    except ValidationError as error:
        found = [_parameter_flaw(model, item, file) for item in error.errors()]
        return None, flaws + [flaw for flaw in found if flaw.field not in refused]
    return (None if flaws else checked), flaws


def validate_table(
    name: str, table: Table, cells: Cells, place: Place, *, typed: bool = False
) -> tuple[pd.DataFrame | None, list[Flaw]]:
    """Canonical frame of a table, or every flaw found in it.

    Parameters
    ----------
    name
        Name of the table.
    table
        Its declaration.
    cells
        Columns as sequences of strings or values, all of one length.
    place
        Origin of the rows, for messages.
    typed
        Whether the cells come from a source with types (a frame, Parquet), where a text in a
        number column is a mistake, whatever it says.

    Returns
    -------
    tuple
        The frame with the declared columns, times in UTC, rows in the given order (None if there
        are flaws), and the flaws.
    """
    flaws = _header_flaws(table, list(cells), place)
    lengths = {len(cells[label]) for label in table.columns if label in cells}
    if len(lengths) > 1:
        return None, [*flaws, Flaw("has columns of different lengths", file=place.file)]
    if lengths == {0}:
        leave = "" if table.required else f", or leave the table '{name}' out"
        fix = f"give at least one row{leave}"
        return None, [*flaws, Flaw("has no rows", file=place.file, fix=fix)]
    data: dict[str, Any] = {}
    for label in table.columns:
        if label not in cells:
            continue
        values, found = _validate_column(table.row, label, cells[label], place, typed)
        flaws += found
        if values is not None:
            data[label] = values
    if all(label in data for label in table.key):
        flaws += _duplicate_flaws(table, data, place)
    if flaws:
        return None, flaws
    return pd.DataFrame(data, columns=list(table.columns)), []


def sort_by_key(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the key, renumbered: the layout of the file leaves no trace."""
    order = _key_order([_sortable(frame[label].array) for label in table.key])
    if np.array_equal(order, np.arange(len(frame))):
        return frame
    return frame.take(order).reset_index(drop=True)


def _header_flaws(table: Table, given: list[str], place: Place) -> list[Flaw]:
    flaws = []
    unknown = [name for name in given if name not in table.columns]
    for name in table.columns:
        if name in given:
            continue
        near = difflib.get_close_matches(name, unknown, n=1, cutoff=0.6)
        fix = f"rename the column '{near[0]}'" if near else f"add a column named '{name}'"
        flaws.append(
            Flaw(
                "is missing from the header",
                file=place.file,
                row=1,
                field=name,
                allowed=f"columns {', '.join(table.columns)}",
                fix=fix,
            )
        )
    flaws += [
        Flaw(
            "is not a column of this table",
            file=place.file,
            row=1,
            field=name,
            allowed=f"columns {', '.join(table.columns)}",
            fix="remove it or correct its name",
        )
        for name in unknown
    ]
    return flaws


@cache
def _words_adapter(row: type[Row], name: str) -> TypeAdapter[list[Any]]:
    info = row.model_fields[name]
    item = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return TypeAdapter(list[item])  # type: ignore[valid-type]


_READERS: dict[object, Callable[..., tuple[Any, Faults]]] = {
    float: read_numbers,
    int: read_integers,
    bool: read_flags,
    AwareDatetime: read_times,
    datetime: read_times,
}


def _validate_column(
    row: type[Row], name: str, cells: Any, place: Place, typed: bool
) -> tuple[Any, list[Flaw]]:
    info = row.model_fields[name]
    base = base_type(info)
    read: Callable[..., tuple[Any, Faults]] = _READERS.get(base, read_words)
    values, faults = read(cells, typed=typed)
    if base in (float, int):
        for i in _beyond_limits(info, values):
            faults.setdefault(*i)
    elif base not in _READERS and not faults:
        return _validate_words(row, name, values, place)
    if not faults:
        return values, []
    return None, _cell_flaws(info, name, cells, faults, place)


def _validate_words(row: type[Row], name: str, values: Any, place: Place) -> tuple[Any, list[Flaw]]:
    """Check texts against their declaration (choices, patterns), each different text once."""
    info = row.model_fields[name]
    texts = list(dict.fromkeys(values.tolist()))
    try:
        _words_adapter(row, name).validate_python(texts)
    except ValidationError as error:
        wrong = {texts[int(e["loc"][0])]: _clause(e["type"], e["msg"]) for e in error.errors()}
        flaws = [
            Flaw(
                wrong[text],
                file=place.file,
                row=place.row(i),
                field=name,
                value=text,
                allowed=allowed_text(info),
            )
            for i, text in enumerate(values.tolist())
            if text in wrong
        ]
        return None, _capped(flaws, name, place)
    return values, []


def _beyond_limits(info: FieldInfo, values: Any) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for item in info.metadata:
        for kind, attribute, wrong, fault in _LIMITS:
            if isinstance(item, kind):
                beyond = wrong(values, getattr(item, attribute))
                found += [(int(i), fault) for i in np.flatnonzero(beyond)]
    return found


def _cell_flaws(info: FieldInfo, name: str, cells: Any, faults: Faults, place: Place) -> list[Flaw]:
    allowed = allowed_text(info)
    flaws = []
    for i in sorted(faults)[: _MAX_FLAWS + 1]:
        what, cause, fix = FAULTS[faults[i]]
        cell = cells[i]
        empty = cell is None or (isinstance(cell, str) and not cell)
        shown = cell.isoformat() if isinstance(cell, datetime) else cell
        flaws.append(
            Flaw(
                what,
                file=place.file,
                row=place.row(i),
                field=name,
                value=None if empty else ascii(shown) if faults[i] == "word_form" else shown,
                allowed=allowed,
                cause=cause,
                fix=fix,
            )
        )
    return _capped(flaws, name, place)


def _capped(flaws: list[Flaw], name: str, place: Place) -> list[Flaw]:
    """A column that is wrong throughout says so without a flaw per cell of a large table."""
    if len(flaws) <= _MAX_FLAWS:
        return flaws
    more = Flaw("has more cells that are wrong", file=place.file, field=name)
    return [*flaws[:_MAX_FLAWS], more]


def _sortable(values: Any) -> Any:
    """Numbers that sort as the values of a key column do."""
    if isinstance(values, pd.DatetimeIndex):
        return values.asi8
    if isinstance(getattr(values, "dtype", None), pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values).asi8
    array = np.asarray(values)
    return np.unique(array, return_inverse=True)[1] if array.dtype.kind == "O" else array


def _key_order(keys: Sequence[Any]) -> Any:
    """Order of the rows by key, stable."""
    return np.lexsort(tuple(reversed(keys)))


def _duplicate_flaws(table: Table, data: Mapping[str, Any], place: Place) -> list[Flaw]:
    keys = [_sortable(data[label]) for label in table.key]
    order = _key_order(keys)
    same = np.ones(order.size - 1, dtype=bool)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    label = ", ".join(table.key)
    return _capped(
        [
            Flaw(
                "repeats the key of an earlier row",
                file=place.file,
                row=place.row(i),
                field=label,
                value=", ".join(_key_text(data[k][i]) for k in table.key),
                allowed="every key once",
                cause="the same period was exported twice, or a local clock went back",
                fix="keep one of the rows",
            )
            for i in sorted(order[1:][same].tolist())[: _MAX_FLAWS + 1]
        ],
        label,
        place,
    )


def _key_text(value: object) -> str:
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _parameter_flaw(model: type[Parameters], item: Any, file: str | None) -> Flaw:
    # An unknown name may be of any length, and is repeated in messages.
    name = str(item["loc"][0])[:MAX_NAME] if item["loc"] else None
    info = model.model_fields.get(name or "")
    if info is None and name is not None and item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, list(model.model_fields), n=1, cutoff=0.6)
        return Flaw(
            "is not a parameter of this problem",
            file=file,
            field=name,
            allowed=", ".join(model.model_fields),
            fix=f"rename it to '{near[0]}'" if near else "remove it",
        )
    missing = item["type"] == "missing"
    return Flaw(
        "is missing" if missing else _clause(item["type"], str(item["msg"])),
        file=file,
        field=name,
        value=None if missing else item["input"],
        allowed=None if info is None else allowed_text(info),
        fix=f"add it ({info.description})" if missing and info else None,
    )


def _clause(kind: str, message: str | None = None) -> str:
    return _CLAUSES.get(kind) or (message or "has a wrong form").rstrip(".")


_CLAUSES = {
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "int_parsing_size": "is too large a number",
    "finite_number": "is not finite",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than": "is too large",
    "less_than_equal": "is too large",
    "timezone_aware": "has no time zone",
    "datetime_parsing": "is not a time",
    "datetime_from_date_parsing": "is not a time",
    "datetime_type": "is not a time",
    "string_type": "is not a text",
    "literal_error": "is not one of the allowed words",
}
_LIMITS: tuple[tuple[type, str, Callable[[Any, Any], Any], str], ...] = (
    (Ge, "ge", operator.lt, "low"),
    (Gt, "gt", operator.le, "low"),
    (Le, "le", operator.gt, "high"),
    (Lt, "lt", operator.ge, "high"),
)
_MAX_FLAWS = 100
