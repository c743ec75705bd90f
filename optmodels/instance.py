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
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from optmodels import folder as folders
from optmodels.cells import column_cells, writable
from optmodels.errors import Flaw, InputError
from optmodels.schema import Parameters, Place, Table, unit_of
from optmodels.validation import sort_by_key, validate_parameters, validate_table

_FIELDS = ("_parameters", "_tables", "_origin", "_fingerprint", "_name")


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
        raw, flaws = _raw_tables(tables, self.table_models)
        self._build(parameters, raw, flaws, name=name, origin=origin)

    def _build(
        self,
        parameters: Any,
        raw: Mapping[str, folders.RawTable],
        flaws: list[Flaw],
        *,
        name: str | None,
        origin: str | None,
        file: str | None = None,
        reported: frozenset[str] = frozenset(),
    ) -> None:
        """Validate everything and fill the instance; `reported` tables have their flaw already."""
        subject = f"{self.problem} instance{f' {name}' if name else ''}"
        if isinstance(parameters, Mapping):
            checked, found = validate_parameters(self.parameters_model, parameters, file)
        else:
            checked, found = (
                None,
                [
                    Flaw(
                        "is not a mapping from names to values",
                        field="parameters",
                        allowed="a dict, or the parameters of another instance by model_dump()",
                    )
                ],
            )
        flaws = flaws + found
        frames: dict[str, pd.DataFrame] = {}
        places: dict[str, Place] = {}
        for label, table in self.table_models.items():
            if label in raw:
                given = raw[label]
                frame, found = validate_table(
                    label, table, given.cells, given.place, typed=given.typed
                )
                flaws += found
                if frame is not None:
                    frames[label], places[label] = frame, given.place
            elif table.required and label not in reported:
                flaws.append(Flaw("is missing", field=f"table '{label}'", fix="give the table"))
        # Checks across fields run on what is sound, so that their flaws are told as well.
        needed = [label for label, table in self.table_models.items() if table.required]
        if checked is not None and all(label in frames for label in needed):
            flaws += self._check(checked, frames, places)
        for label, text in (("name", name), ("origin", origin)):
            if text is not None and not (isinstance(text, str) and writable(text)):
                flaws.append(
                    Flaw(
                        "is not a usable text",
                        field=label,
                        value=ascii(text),
                        allowed="text without control characters",
                    )
                )
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

    def __delattr__(self, name: str) -> None:
        raise AttributeError("An instance is frozen.")

    def __getstate__(self) -> dict[str, Any]:
        # What is derived from the content is made anew where the copy arrives, frozen as it was.
        return {k: v for k, v in self.__dict__.items() if k in _FIELDS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

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
        """Make a changed copy: parameters by name, tables by name; None leaves one out.

        Parameters
        ----------
        name
            Label of the new instance; by default made from its fingerprint.
        changes
            Parameters by name, and tables by name as frames; a table set to None is left out.

        Returns
        -------
        Instance
            A new instance of the same class, validated; this one stays as it is.

        Raises
        ------
        InputError
            The changed instance is not valid, or a name is unknown.
        """
        frames: dict[str, Any] = self.tables
        values = self.parameters.model_dump()
        for label, change in changes.items():
            if label in self.table_models or isinstance(change, pd.DataFrame):
                frames[label] = change
            else:
                values[label] = change
        given = {label: frame for label, frame in frames.items() if frame is not None}
        return type(self)(values, given, name=name)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an instance folder of this problem.

        Parameters
        ----------
        path
            The instance folder.

        Returns
        -------
        Instance
            Validated completely, named after its folder.

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
            reported=raw.reported,
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

        Returns
        -------
        Path
            The folder.

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
        """Parameters as a frame: name, value, unit, meaning.

        Returns
        -------
        pandas.DataFrame
            One row per parameter that has a value.
        """
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
        head = f"<b>{html.escape(self.name)}</b> ({self.problem}, {self.fingerprint[:12]})"
        sizes = ", ".join(f"{n}: {len(f)} rows" for n, f in self._tables.items())
        return f"{head}{self.to_frame().to_html(index=False)}<p>{sizes}</p>"


def _raw_tables(
    tables: Any, declared: Mapping[str, Table]
) -> tuple[dict[str, folders.RawTable], list[Flaw]]:
    """Frames as columns of cells, and the flaws of frames that cannot be taken apart."""
    if not isinstance(tables, Mapping):
        return {}, [
            Flaw(
                "is not a mapping from names to frames",
                field="tables",
                allowed=f"a dict with {', '.join(declared)}",
            )
        ]
    raw: dict[str, folders.RawTable] = {}
    flaws: list[Flaw] = []
    for label, frame in tables.items():
        place = Place(f"table '{label}'")
        if label not in declared:
            known = ", ".join(declared)
            flaws.append(Flaw("is not a table of this problem", field=str(label), allowed=known))
        elif not isinstance(frame, pd.DataFrame):
            what = f"is a {type(frame).__name__}, not a frame"
            flaws.append(Flaw(what, file=place.file, allowed="a pandas DataFrame"))
        else:
            names = [str(column) for column in frame.columns]
            twice = sorted({name for name in names if names.count(name) > 1})
            flaws += [
                Flaw(
                    "stands more than once in the header",
                    file=place.file,
                    value=name,
                    fix="give every column a name of its own",
                )
                for name in twice
            ]
            columns = {name: column_cells(frame.iloc[:, i]) for i, name in enumerate(names)}
            raw[label] = folders.RawTable(columns, place, typed=True)
    return raw, flaws


def _fingerprint(problem: str, parameters: Parameters, tables: Mapping[str, pd.DataFrame]) -> str:
    digest = hashlib.sha256()
    scalars = parameters.model_dump(mode="json", exclude_defaults=True)
    digest.update(json.dumps([problem, scalars], sort_keys=True).encode())
    for name in sorted(tables):
        for label in sorted(tables[name].columns):
            content = _canonical_bytes(tables[name][label])
            digest.update(f"\0{name}\0{label}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _canonical_bytes(values: pd.Series[Any]) -> bytes:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        stamps = pd.DatetimeIndex(values).tz_convert("UTC").as_unit("ns")
        return stamps.asi8.astype("<i8").tobytes()
    if values.dtype.kind in "fiub":
        kind = {"f": "<f8", "i": "<i8", "u": "<i8", "b": "|u1"}[values.dtype.kind]
        return np.ascontiguousarray(values.to_numpy(), dtype=kind).tobytes()
    return json.dumps([str(value) for value in values]).encode()
