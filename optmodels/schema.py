"""What a table of an instance looks like, said once.

A table is declared as a pydantic model of one row: column names, types, allowed ranges, units and
meanings. From that one declaration come

- the validation of whole columns at once (`validate_table`), with every fault located by file and
  row;
- the Table Schema of the Frictionless Data Package (`table_schema`), so that spreadsheets and the
  public validator know the same rules;
- the canonical form (UTC times, 64-bit numbers, rows sorted by key) on which fingerprints rest.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, get_args

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic import Field as PydanticField
from pydantic.fields import FieldInfo

from optmodels.errors import Flaw

Cells = Mapping[str, Sequence[object]]


class Parameters(BaseModel):
    """Base of the scalar parameters of an instance: frozen, finite, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Row(BaseModel):
    """Base of the declaration of one row of a table."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def column(description: str, *, unit: str | None = None, **constraints: Any) -> Any:
    """Declare a column or parameter: its meaning, its unit and its allowed range."""
    extra: dict[str, Any] = {} if unit is None else {"unit": unit}
    return PydanticField(description=description, json_schema_extra=extra, **constraints)


@dataclass(frozen=True)
class Table:
    """Declaration of one table: its row, its key, and whether an instance must have it."""

    row: type[Row]
    key: tuple[str, ...]
    description: str
    required: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in the order of the declaration."""
        return tuple(self.row.model_fields)


@dataclass(frozen=True)
class Place:
    """Where the rows of a table came from, for messages: a file and its line numbers."""

    file: str
    rows: Sequence[int] | None = field(default=None, repr=False)

    def row(self, position: int) -> int:
        """Line of the file, counted as a spreadsheet does, of the row at `position`."""
        return int(self.rows[position]) if self.rows is not None else position + 2


def validate_parameters(
    model: type[Parameters], values: Mapping[str, object], file: str | None
) -> tuple[Parameters | None, list[Flaw]]:
    """Parameters of an instance, or every flaw found in them."""
    try:
        return model.model_validate(dict(values)), []
    except ValidationError as error:
        return None, [_parameter_flaw(model, item, file) for item in error.errors()]


def validate_table(
    name: str, table: Table, cells: Cells, place: Place
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

    Returns
    -------
    tuple
        The frame with the declared columns, times in UTC, rows sorted by key and
        renumbered (None if there are flaws), and the flaws.
    """
    flaws = _header_flaws(table, list(cells), place)
    if flaws:
        return None, flaws
    data: dict[str, pd.Series[Any]] = {}
    for column_name in table.columns:
        values, found = _validate_column(table.row, column_name, cells[column_name], place)
        flaws += found
        if values is not None:
            data[column_name] = values
    if flaws:
        return None, flaws
    frame = pd.DataFrame(data, columns=list(table.columns))
    if frame.empty:
        fix = (
            f"give at least one row, or leave the table '{name}' out"
            if not table.required
            else ("give at least one row")
        )
        return None, [Flaw("has no rows", file=place.file, fix=fix)]
    flaws = _duplicate_flaws(table, frame, place)
    if flaws:
        return None, flaws
    return frame, []


def sort_by_key(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the key, renumbered: the layout of the file leaves no trace."""
    return frame.sort_values(list(table.key), kind="stable", ignore_index=True)


def table_schema(table: Table) -> dict[str, object]:
    """Frictionless Table Schema of a declared table."""
    fields = [_field_descriptor(n, info) for n, info in table.row.model_fields.items()]
    return {"fields": fields, "primaryKey": list(table.key)}


def allowed_text(info: FieldInfo) -> str:
    """Allowed values of a declared column or parameter in words ("a number ≥ 0")."""
    base = _base_type(info)
    limits = [
        f"{symbol} {getattr(item, attribute):g}"
        for item in info.metadata
        for kind, attribute, symbol in (
            (Ge, "ge", "≥"),
            (Gt, "gt", ">"),
            (Le, "le", "≤"),
            (Lt, "lt", "<"),
        )
        if isinstance(item, kind)
    ]
    unit = unit_of(info)
    text = _TYPE_WORDS.get(base, "")
    if not text:
        options = get_args(base)
        text = "one of " + ", ".join(str(option) for option in options) if options else "a value"
    text += f" {' and '.join(limits)}" if limits else ""
    return f"{text} [{unit}]" if unit else text


def unit_of(info: FieldInfo) -> str | None:
    """Unit of a declared column or parameter, None for labels."""
    extra = info.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return None if unit is None else str(unit)


_TYPE_WORDS: dict[object, str] = {
    float: "a number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    AwareDatetime: "a time with its offset, such as 2022-06-01T00:00:00Z",
    datetime: "a time with its offset, such as 2022-06-01T00:00:00Z",
}
_TYPE_NAMES: dict[object, str] = {
    float: "number",
    int: "integer",
    str: "string",
    bool: "boolean",
    AwareDatetime: "datetime",
    datetime: "datetime",
}
_LIMIT_NAMES = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}


def _base_type(info: FieldInfo) -> object:
    options = [a for a in get_args(info.annotation) if a is not type(None)]
    if type(None) in get_args(info.annotation) and len(options) == 1:
        return options[0]
    return info.annotation


def _field_descriptor(name: str, info: FieldInfo) -> dict[str, object]:
    descriptor: dict[str, object] = {
        "name": name,
        "type": _TYPE_NAMES.get(_base_type(info), "string"),
        "description": info.description or "",
    }
    unit = unit_of(info)
    if unit:
        descriptor["unit"] = unit
    constraints: dict[str, object] = {"required": True}
    for item in info.metadata:
        # Table Schema of the first version has no exclusive limits: the closed one is weaker, never
        # stricter, than ours.
        if isinstance(item, Ge):
            constraints["minimum"] = item.ge
        elif isinstance(item, Gt):
            constraints["minimum"] = item.gt
        elif isinstance(item, Le):
            constraints["maximum"] = item.le
    descriptor["constraints"] = constraints
    return descriptor


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
def _adapter(row: type[Row], name: str) -> TypeAdapter[list[Any]]:
    info = row.model_fields[name]
    item = (
        Annotated[(info.annotation, *info.metadata, PydanticField(allow_inf_nan=False))]
        if (_base_type(info) is float)
        else Annotated[(info.annotation, *info.metadata)]
        if info.metadata
        else info.annotation
    )
    return TypeAdapter(list[item])  # type: ignore[valid-type]


def _validate_column(
    row: type[Row], name: str, cells: Sequence[object], place: Place
) -> tuple[pd.Series[Any] | None, list[Flaw]]:
    info = row.model_fields[name]
    base = _base_type(info)
    values: list[Any] = list(cells)
    missing = [i for i, v in enumerate(values) if v is None or v == "" or v is pd.NaT or v != v]  # noqa: PLR0124
    flaws = [
        Flaw(
            "is missing",
            file=place.file,
            row=place.row(i),
            field=name,
            value="NaN" if isinstance(values[i], float) else None,
            allowed=allowed_text(info),
            fix="fill the cell; a gap has to be closed before the instance is made",
        )
        for i in missing
    ]
    try:
        checked = _adapter(row, name).validate_python(values)
    except ValidationError as error:
        known = set(missing)
        for item in error.errors(include_url=False):
            position = int(item["loc"][0])
            if position in known:
                continue
            flaws.append(
                Flaw(
                    _clause(item["type"]),
                    file=place.file,
                    row=place.row(position),
                    field=name,
                    value=item["input"],
                    allowed=allowed_text(info),
                    cause=_CAUSES.get(item["type"]),
                    fix=_FIXES.get(item["type"]),
                )
            )
        return None, sorted(flaws, key=lambda flaw: flaw.row or 0)
    if flaws:
        return None, flaws
    if base is float:
        # Adding zero turns -0.0 into 0.0, so that equal instances have equal fingerprints.
        return pd.Series(np.asarray(checked, dtype=np.float64) + 0.0), []
    if base is int:
        return pd.Series(np.asarray(checked, dtype=np.int64)), []
    if base in (AwareDatetime, datetime):
        stamps = pd.DatetimeIndex([v.astimezone(UTC) for v in checked])
        return pd.Series(stamps.as_unit("ns")), []
    return pd.Series(checked, dtype=object if base is not bool else bool), []


def _duplicate_flaws(table: Table, frame: pd.DataFrame, place: Place) -> list[Flaw]:
    repeated = frame.duplicated(list(table.key), keep="first").to_numpy()
    key = ", ".join(table.key)
    return [
        Flaw(
            "repeats the key of an earlier row",
            file=place.file,
            row=place.row(int(i)),
            field=key,
            value=", ".join(_key_text(frame.iloc[int(i)][k]) for k in table.key),
            allowed="every key once",
            cause="the same period was exported twice, or a local clock went back",
            fix="keep one of the rows",
        )
        for i in np.flatnonzero(repeated)
    ]


def _key_text(value: object) -> str:
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _parameter_flaw(model: type[Parameters], item: Any, file: str | None) -> Flaw:
    name = str(item["loc"][0]) if item["loc"] else None
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
        cause=_CAUSES.get(item["type"]),
        fix=f"add it ({info.description})" if missing and info else _FIXES.get(item["type"]),
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
_CAUSES = {
    "timezone_aware": "the times were exported without their zone",
    "float_parsing": "a decimal comma, a unit in the cell, or a note in a number column",
}
_FIXES = {
    "timezone_aware": "write the offset (Z for UTC), or read the file through "
    "`optmodels generate --tz ZONE`",
    "float_parsing": "write a plain number such as 12.5",
}
