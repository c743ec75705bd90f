"""What a table of an instance looks like, said once.

A table is declared as a pydantic model of one row: column names, types, allowed ranges, units and
meanings. From that one declaration come

- the validation of whole columns at once (`optmodels.validation`), with every fault located by file
  and row;
- the Table Schema of the Frictionless Data Package (`table_schema`), so that spreadsheets and the
  public validator know the same rules;
- the words in which messages tell what is allowed (`allowed_text`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic import Field as PydanticField
from pydantic.fields import FieldInfo


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


def table_schema(table: Table) -> dict[str, object]:
    """Frictionless Table Schema of a declared table."""
    fields = [_field_descriptor(n, info) for n, info in table.row.model_fields.items()]
    return {"fields": fields, "primaryKey": list(table.key)}


def allowed_text(info: FieldInfo) -> str:
    """Allowed values of a declared column or parameter in words ("a number ≥ 0")."""
    base = base_type(info)
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


def base_type(info: FieldInfo) -> object:
    """Type of a declared column or parameter, without "or None"."""
    options = [a for a in get_args(info.annotation) if a is not type(None)]
    if type(None) in get_args(info.annotation) and len(options) == 1:
        return options[0]
    return info.annotation


def _field_descriptor(name: str, info: FieldInfo) -> dict[str, object]:
    descriptor: dict[str, object] = {
        "name": name,
        "type": _TYPE_NAMES.get(base_type(info), "string"),
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
