"""The instance: frozen data of one planning question.

One object is accepted by the oracle, by rolling-horizon planners, by threshold algorithms and by
learning-augmented ones, and it is what the audit recomputes costs from. So an instance is checked
once, on construction, completely; afterwards it cannot change, and nothing that holds it can be
surprised. A problem subclasses `Instance`, declares its `Parameters` and `Table`s, and adds the
checks that need more than one field (`_check`).

Equality is by content: `fingerprint` is the same for a CSV and a Parquet folder, for any order of
rows and columns, and for a parameter left out or given its default.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from optmodels import folder as folders
from optmodels.errors import Flaw, InputError
from optmodels.schema import (
    Parameters,
    Place,
    Table,
    sort_by_key,
    unit_of,
    validate_parameters,
    validate_table,
)


class Instance:
    """Base of every planning question.

    Parameters
    ----------
    parameters
        Scalar parameters by name (units are in the names).
    tables
        One frame per table; the index is ignored, so call ``reset_index`` first if it matters.
    name
        Label for tables and plots; by default the problem and the start of the fingerprint.
    origin
        Command or words that tell how the instance was made; not part of the fingerprint.

    Raises
    ------
    InputError
        Anything is wrong with parameters or tables; every flaw found is listed.
    """

    problem: ClassVar[str]
    title: ClassVar[str]
    format_version: ClassVar[int] = 1
    parameters_model: ClassVar[type[Parameters]]
    table_models: ClassVar[Mapping[str, Table]]

    def __init__(
        self,
        parameters: Mapping[str, object],
        tables: Mapping[str, pd.DataFrame],
        *,
        name: str | None = None,
        origin: str | None = None,
    ) -> None:
        raw = {
            label: folders.RawTable(
                {str(c): frame[c].tolist() for c in frame.columns},
                Place(f"table '{label}'"),
            )
            for label, frame in tables.items()
        }
        unknown = [
            Flaw(
                "is not a table of this problem", field=label, allowed=", ".join(self.table_models)
            )
            for label in tables
            if label not in self.table_models
        ]
        self._build(parameters, raw, unknown, name=name, origin=origin, file=None)

    def _build(
        self,
        parameters: Mapping[str, object],
        raw: Mapping[str, folders.RawTable],
        flaws: list[Flaw],
        *,
        name: str | None,
        origin: str | None,
        file: str | None,
    ) -> None:
        subject = f"{self.problem} instance{f' {name}' if name else ''}"
        checked, found = validate_parameters(self.parameters_model, parameters, file)
        flaws = flaws + found
        frames: dict[str, pd.DataFrame] = {}
        places: dict[str, Place] = {}
        unread = {str(flaw.field) for flaw in flaws} | {str(flaw.file) for flaw in flaws}
        for label, table in self.table_models.items():
            if label not in raw:
                # A table whose file could not be read has its flaw already.
                if table.required and not any(label in text for text in unread):
                    flaws.append(Flaw("is missing", field=f"table '{label}'", fix="give the table"))
                continue
            frame, found = validate_table(label, table, raw[label].cells, raw[label].place)
            flaws += found
            if frame is not None:
                frames[label], places[label] = frame, raw[label].place
        if checked is not None and not flaws:
            flaws += self._check(checked, frames, places)
        if flaws or checked is None:
            raise InputError(flaws, subject)
        fields: dict[str, Any] = {
            "_parameters": checked,
            "_tables": {n: sort_by_key(self.table_models[n], f) for n, f in frames.items()},
            "_origin": origin,
        }
        fields["_fingerprint"] = _fingerprint(self.problem, checked, fields["_tables"])
        fields["_name"] = name or f"{self.problem}-{fields['_fingerprint'][:8]}"
        # The one place where an instance is written to: `__setattr__` refuses afterwards.
        self.__dict__.update(fields)

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        """Flaws that need more than one field to see; rows are still in the order of the file."""
        return []

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"An instance is frozen; use instance.replace({name}=...) to make a changed copy."
        )

    @property
    def name(self) -> str:
        """Label for tables and plots."""
        name: str = self.__dict__["_name"]
        return name

    @property
    def origin(self) -> str | None:
        """Command or words that tell how the instance was made."""
        origin: str | None = self.__dict__["_origin"]
        return origin

    @property
    def parameters(self) -> Any:
        """The scalar parameters, a frozen pydantic model."""
        return self.__dict__["_parameters"]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """A copy of every table."""
        return {name: frame.copy() for name, frame in self._tables.items()}

    @property
    def _tables(self) -> dict[str, pd.DataFrame]:
        frames: dict[str, pd.DataFrame] = self.__dict__["_tables"]
        return frames

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal content, equal fingerprint, whatever the file layout."""
        fingerprint: str = self.__dict__["_fingerprint"]
        return fingerprint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instance) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def replace(self, *, name: str | None = None, **changes: object) -> Self:
        """Make a changed copy: parameters by name, tables by name.

        Raises
        ------
        InputError
            The changed instance is not valid, or a name is unknown.
        """
        tables = self.tables
        tables |= {k: v for k, v in changes.items() if isinstance(v, pd.DataFrame)}
        values = self.parameters.model_dump()
        values |= {k: v for k, v in changes.items() if not isinstance(v, pd.DataFrame)}
        return type(self)(values, tables, name=name)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an instance folder of this problem.

        Raises
        ------
        InputError
            The folder is not a valid instance of this problem; every flaw found is listed.
        """
        path = Path(path)
        problem = folders.read_descriptor(path)[folders.BLOCK]["problem"]
        if problem != cls.problem:
            raise InputError(
                Flaw(
                    "is another problem",
                    file=folders.DESCRIPTOR,
                    field="problem",
                    value=problem,
                    allowed=cls.problem,
                    fix="load it with optmodels.load, which finds the problem by its name",
                )
            )
        raw, flaws = folders.read_folder(path, cls.table_models, cls.format_version)
        instance = cls.__new__(cls)
        instance._build(
            raw.parameters,
            raw.tables,
            flaws,
            name=path.resolve().name,
            origin=raw.origin,
            file=folders.DESCRIPTOR,
        )
        return instance

    def save(self, path: str | Path, *, table_format: str = "csv", overwrite: bool = False) -> Path:
        """Write the instance folder, all or nothing; returns its path.

        Parameters
        ----------
        path
            Folder to make.
        table_format
            "csv", or "parquet" for large tables.
        overwrite
            Whether an instance folder that exists may be replaced.

        Raises
        ------
        UsageError
            The folder exists and may not be replaced, or the format is unknown.
        """
        block: dict[str, object] = {
            "problem": self.problem,
            "format_version": self.format_version,
            "parameters": self.parameters.model_dump(mode="json", exclude_none=True),
        }
        if self.origin is not None:
            block["origin"] = self.origin
        folders.write_folder(
            Path(path),
            block=block,
            description=self.title,
            tables={n: (self.table_models[n], f) for n, f in self._tables.items()},
            table_format=table_format,
            overwrite=overwrite,
        )
        return Path(path)

    def to_frame(self) -> pd.DataFrame:
        """Parameters as a frame: name, value, unit, meaning."""
        model = type(self.parameters).model_fields
        rows = [
            (name, value, unit_of(model[name]) or "", model[name].description)
            for name, value in self.parameters.model_dump().items()
            if value is not None
        ]
        return pd.DataFrame(rows, columns=["parameter", "value", "unit", "meaning"])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} '{self.name}' ({self.problem}, {self.fingerprint[:12]})"]
        for row in self.to_frame().itertuples():
            lines.append(f"  {row.parameter:<28} {row.value} {row.unit}".rstrip())
        lines += [f"  table {n:<22} {len(f)} rows" for n, f in self._tables.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = f"<b>{self.name}</b> ({self.problem}, {self.fingerprint[:12]})"
        sizes = ", ".join(f"{n}: {len(f)} rows" for n, f in self._tables.items())
        return f"{head}{self.to_frame().to_html(index=False)}<p>{sizes}</p>"


def _fingerprint(problem: str, parameters: Parameters, tables: Mapping[str, pd.DataFrame]) -> str:
    digest = hashlib.sha256()
    scalars = parameters.model_dump(mode="json", exclude_none=True)
    digest.update(json.dumps([problem, scalars], sort_keys=True).encode())
    for name in sorted(tables):
        for label in sorted(tables[name].columns):
            digest.update(f"\0{name}\0{label}\0".encode())
            digest.update(_canonical_bytes(tables[name][label]))
    return digest.hexdigest()


def _canonical_bytes(values: pd.Series[Any]) -> bytes:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        stamps = pd.DatetimeIndex(values).tz_convert("UTC").as_unit("ns")
        return stamps.asi8.astype("<i8").tobytes()
    if values.dtype.kind in "fiub":
        kind = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|u1"}[values.dtype.kind]
        return np.ascontiguousarray(values.to_numpy(), dtype=kind).tobytes()
    return json.dumps([str(value) for value in values]).encode()
