"""The folder format: a Frictionless Data Package that people can open in a spreadsheet.

A folder holds `datapackage.json`, which lists one CSV (or Parquet) file per table with its Table
Schema, and a block ``optmodels`` with the problem's name, the version of the format and the scalar
parameters. Reading never executes anything, never leaves the folder and never reads without
bounds; writing is all or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from optmodels.atomic import sentence, staged_folder
from optmodels.atomic import write_text_atomically as write_text_atomically  # noqa: PLC0414 - part of this face
from optmodels.cells import MAX_TEXT
from optmodels.errors import Flaw, InputError, MissingExtraError, UsageError, shorten
from optmodels.json_file import read_json
from optmodels.schema import Place, Table, table_schema
from optmodels.text import MAX_BYTES, MAX_CELLS, MAX_COLUMNS, MAX_NAME, MAX_ROWS, read_delimited

DESCRIPTOR = "datapackage.json"
BLOCK = "optmodels"
FORMATS = ("csv", "parquet")
MAX_DESCRIPTOR_BYTES = 16 * 2**20
_PATH_LETTERS = 200


@dataclass(frozen=True)
class RawTable:
    """Columns of one table as read, not yet validated, and where they came from.

    Attributes
    ----------
    cells
        Columns by name, all of one length.
    place
        File and rows, for messages.
    typed
        Whether the source has types (a frame, Parquet); CSV has none.
    """

    cells: Mapping[str, Any]
    place: Place
    typed: bool


@dataclass(frozen=True)
class RawFolder:
    """Content of an instance folder, not yet validated.

    Attributes
    ----------
    problem
        Name of the problem, as the block says.
    format_version
        Version of the format the folder was written in.
    parameters
        Scalar parameters, as JSON values.
    origin
        Command or words that tell how the instance was made, or None.
    tables
        One `RawTable` per resource that could be read.
    reported
        Tables that are absent from `tables`, with a flaw that says why.
    """

    problem: str
    format_version: int
    parameters: Mapping[str, object]
    origin: str | None
    tables: Mapping[str, RawTable]
    reported: frozenset[str]


def read_descriptor(folder: Path) -> dict[str, Any]:
    """The descriptor of a folder, with a block ``optmodels`` of the right form.

    Raises
    ------
    InputError
        There is no folder or no readable descriptor, or its block is missing or malformed.
    """
    folder = Path(folder)
    try:
        what = "" if folder.is_dir() else "is a file" if folder.exists() else "does not exist"
    except (OSError, ValueError) as error:
        what = f"is not a usable path ({sentence(error)})"
    if what:
        fix = "give the path of a folder with a " + DESCRIPTOR
        raise InputError(Flaw(what, file=ascii(str(folder))[1:-1], fix=fix))
    path = folder / DESCRIPTOR
    fix = f"give the path of an instance folder: it holds a file {DESCRIPTOR}"
    if _leads_outside(path, folder):
        raise InputError(
            Flaw(
                "is a link that leads out of the instance folder",
                file=DESCRIPTOR,
                fix="put the file itself into the folder",
            )
        )
    content = read_json(
        path, max_bytes=MAX_DESCRIPTOR_BYTES, kind="valid JSON of a descriptor", fix=fix
    )
    flaws = _descriptor_flaws(content)
    if flaws:
        raise InputError(flaws, f"Instance folder {folder.name}")
    result: dict[str, Any] = content
    return result


def read_folder(
    folder: Path, declared: Mapping[str, Table], newest_version: int
) -> tuple[RawFolder, list[Flaw]]:
    """Read every declared table of an instance folder.

    Parameters
    ----------
    folder
        The instance folder.
    declared
        The tables that the problem knows.
    newest_version
        Newest format version that this release reads.

    Returns
    -------
    tuple
        The raw content and the flaws met so far (tables with flaws are left out).

    Raises
    ------
    InputError
        The descriptor is unusable, or of a newer format version.
    """
    folder = Path(folder)
    descriptor = read_descriptor(folder)
    block = descriptor[BLOCK]
    version = block["format_version"]
    if version > newest_version:
        raise InputError(
            Flaw(
                "is newer than this release of optmodels can read",
                file=DESCRIPTOR,
                field="format_version",
                value=version,
                allowed=f"1 to {newest_version}",
                cause="the folder was written by a later release",
                fix="upgrade optmodels",
            )
        )
    flaws: list[Flaw] = []
    tables: dict[str, RawTable] = {}
    for resource in descriptor["resources"]:
        name = resource["name"]
        if name not in declared:
            known = ", ".join(declared)
            flaws.append(
                Flaw("is not a table of this problem", DESCRIPTOR, field=name, allowed=known)
            )
            continue
        try:
            tables[name] = _read_resource(folder, resource)
        except InputError as error:
            flaws += error.flaws
    named = {resource["name"] for resource in descriptor["resources"]}
    absent = [name for name, table in declared.items() if table.required and name not in named]
    flaws += [
        Flaw("is missing from the resources", DESCRIPTOR, field=name, fix="add its file and schema")
        for name in absent
    ]
    reported = frozenset(named - set(tables)) | frozenset(absent)
    origin = block.get("origin")
    raw = RawFolder(block["problem"], version, block["parameters"], origin, tables, reported)
    return raw, flaws


def write_folder(
    folder: Path,
    *,
    block: Mapping[str, object],
    description: str,
    tables: Mapping[str, tuple[Table, pd.DataFrame]],
    table_format: str = "csv",
    overwrite: bool = False,
) -> None:
    """Write an instance folder, all or nothing.

    The files are written beside the target and moved into place at the end, so that an
    interrupted or failing write leaves no half-written folder.

    Raises
    ------
    UsageError
        The target exists and `overwrite` is false, holds anything but an instance, or cannot be
        written, or the table format is unknown.
    MissingExtraError
        Parquet was asked for and pyarrow is not installed.
    """
    if table_format not in FORMATS:
        raise UsageError.unknown("table format", table_format, FORMATS)
    folder = Path(folder)
    check_target(folder, overwrite)
    with staged_folder(folder) as staging:
        _write_content(staging, folder.name, block, description, tables, table_format)


def _descriptor_flaws(content: object) -> list[Flaw]:
    if not isinstance(content, dict) or not isinstance(content.get(BLOCK), dict):
        fix = f'add "{BLOCK}": {{"problem": ..., "format_version": 1, "parameters": {{...}}}}'
        return [Flaw("is missing", file=DESCRIPTOR, field=BLOCK, allowed="an object", fix=fix)]
    block = content[BLOCK]
    flaws = []
    wanted: tuple[tuple[str, type, str], ...] = (
        ("problem", str, "the name of a problem"),
        ("format_version", int, "a whole number from 1"),
        ("parameters", dict, "an object of parameters"),
    )
    for name, kind, words in wanted:
        value = block.get(name)
        right = isinstance(value, kind) and not isinstance(value, bool)
        if not right or (isinstance(value, int) and value < 1):
            what = "has a wrong form" if name in block else "is missing"
            flaws.append(
                Flaw(what, DESCRIPTOR, field=f"{BLOCK}.{name}", value=value, allowed=words)
            )
    if not isinstance(block.get("origin"), str | None):
        flaws.append(Flaw("has a wrong form", DESCRIPTOR, field="origin", allowed="a text"))
    resources = content.get("resources")
    if not isinstance(resources, list):
        return [*flaws, Flaw("is missing", DESCRIPTOR, field="resources", allowed="a list")]
    seen: set[str] = set()
    for number, resource in enumerate(resources, start=1):
        place = f"resource {number}"
        if not isinstance(resource, dict):
            flaws.append(Flaw("has a wrong form", DESCRIPTOR, field=place, allowed="an object"))
            continue
        for key in ("name", "path"):
            if not isinstance(resource.get(key), str) or not resource[key]:
                flaws.append(
                    Flaw(
                        "is missing or not a text",
                        DESCRIPTOR,
                        field=f"{place}.{key}",
                        value=resource.get(key),
                        allowed="one text",
                    )
                )
        label = str(resource.get("name"))
        if label in seen:
            flaws.append(
                Flaw("is listed twice", DESCRIPTOR, field=label, fix="keep one of its resources")
            )
        seen.add(label)
    return flaws


def _read_resource(folder: Path, resource: Mapping[str, Any]) -> RawTable:
    shown = str(resource["path"])
    path = _safe_path(folder, shown)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, shown)
    raw = read_delimited(path, name=shown, require_final_newline=True)
    columns = list(zip(*raw.rows, strict=True)) if raw.rows else [()] * len(raw.columns)
    cells = dict(zip(raw.columns, columns, strict=True))
    return RawTable(cells, Place(shown, raw.row_numbers), typed=False)


def _safe_path(folder: Path, given: str) -> Path:
    pure = PurePosixPath(given)
    outside = pure.is_absolute() or ".." in pure.parts or any(c in given for c in "\\:\0")
    flaw = Flaw(
        "leads out of the instance folder",
        file=DESCRIPTOR,
        field="path",
        value=given,
        allowed="a plain file name inside the folder",
        cause="a hand-edited or hostile descriptor",
        fix="move the file into the folder and name it here",
    )
    if outside:
        raise InputError(flaw)
    if len(given) > _PATH_LETTERS:
        allowed = f"at most {_PATH_LETTERS} letters"
        raise InputError(
            Flaw("is too long", DESCRIPTOR, field="path", value=given, allowed=allowed)
        )
    path = folder / pure
    if _leads_outside(path, folder):
        raise InputError(flaw)
    if path.suffix.lower() not in (".csv", ".parquet"):
        allowed = "a .csv or .parquet file"
        raise InputError(
            Flaw("has an unknown format", DESCRIPTOR, field="path", value=given, allowed=allowed)
        )
    return path


def _leads_outside(path: Path, folder: Path) -> bool:
    """Whether a file of a folder is, through links, a file elsewhere.

    Raises
    ------
    InputError
        No file system can tell: a circle of links, an impossible name.
    """
    try:
        return not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        what = f"cannot be a file here ({sentence(error)})"
        given = str(path.relative_to(folder))
        raise InputError(Flaw(what, DESCRIPTOR, field="path", value=given)) from None


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "Reading and writing Parquet") from None
    return parquet


def _read_parquet(path: Path, shown: str) -> RawTable:
    parquet = _parquet()
    fix = "restore or regenerate the file"
    if not path.is_file():
        what = "is not a file" if path.exists() else "was not found"
        raise InputError(Flaw(what, file=shown, fix=fix))
    try:
        # One file, read from an open stream: no guessing of partitions from folder names.
        with path.open("rb") as stream, parquet.ParquetFile(stream) as source:
            _bound_parquet(source.metadata, shown)
            texts = _texts(source.schema_arrow)
        # One text for a million rows is small in the file: it stays one until it is a cell.
        with (
            path.open("rb") as stream,
            parquet.ParquetFile(stream, read_dictionary=texts) as source,
        ):
            table = source.read()
        names = list(table.column_names)
        cells = {name: _cells(table.column(i)) for i, name in enumerate(names)}
    except InputError:
        raise
    except Exception as error:
        # pyarrow raises a dozen classes for a damaged file; all mean the same to the reader.
        what = f"cannot be read as Parquet ({shorten(sentence(error), 200)})"
        raise InputError(Flaw(what, file=shown, fix=fix)) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            [
                Flaw(
                    "stands more than once in the header",
                    shown,
                    value=name,
                    fix="give every column a name of its own",
                )
                for name in twice
            ]
        )
    return RawTable(cells, Place(shown), typed=True)


def _bound_parquet(metadata: Any, shown: str) -> None:
    """Refuse a file that says it would unpack to more than a table may hold."""
    rows, columns = metadata.num_rows, metadata.num_columns
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    allowed = min(MAX_ROWS, MAX_CELLS // max(1, columns))
    if columns > MAX_COLUMNS or rows > allowed:
        limit = f"at most {allowed:,} rows and {MAX_COLUMNS:,} columns"
        raise InputError(Flaw("is too large", shown, value=f"{rows:,} rows", allowed=limit))
    if size > MAX_BYTES:
        limit = f"at most {MAX_BYTES:,} bytes unpacked"
        raise InputError(Flaw("is too large", shown, value=f"{size:,} bytes", allowed=limit))
    # Cells that are lists are no table, and may hold any number of values.
    nested = [c for c in map(metadata.schema.column, range(columns)) if c.max_repetition_level]
    wide = [c for c in map(metadata.schema.column, range(columns)) if c.length > MAX_TEXT]
    for column in (*nested, *wide):
        limit = f"numbers, times and texts of at most {MAX_TEXT:,} bytes"
        what = "has cells that are no plain values"
        raise InputError(Flaw(what, shown, field=column.path[:MAX_NAME], allowed=limit))


def _texts(schema: Any) -> list[str]:
    """Columns of text of a Parquet file."""
    from pyarrow import types

    kinds = (types.is_string, types.is_large_string)
    return [column.name for column in schema if any(kind(column.type) for kind in kinds)]


def _cells(column: Any) -> list[Any]:
    """Values of a column; equal texts are one object."""
    from pyarrow import types

    if not types.is_dictionary(column.type):
        cells: list[Any] = column.to_pylist()
        return cells
    found: list[Any] = []
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        found += [None if at is None else words[at] for at in chunk.indices.to_pylist()]
    return found


def check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a folder to be written where something else would be lost.

    Parameters
    ----------
    folder
        Where an instance is to be saved.
    overwrite
        Whether an instance folder that exists may be replaced.

    Raises
    ------
    UsageError
        The folder exists and may not be replaced, or its path is not usable.
    """
    try:
        if not folder.exists() and not folder.is_symlink():
            return
        if not overwrite:
            raise UsageError(f"{folder} exists. Fix: choose another name, or allow overwriting.")
        entries = list(folder.iterdir()) if folder.is_dir() else [folder]
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} is not a usable path ({sentence(error)}).") from None
    suffixes = tuple(f".{name}" for name in FORMATS)
    foreign = [e.name for e in entries if e.name != DESCRIPTOR and e.suffix not in suffixes]
    if foreign or (entries and not (folder / DESCRIPTOR).is_file()):
        extra = f": it holds {shorten(sorted(foreign)[0])}" if foreign else ""
        raise UsageError(
            f"{folder} is not just an instance folder and will not be overwritten{extra}."
        )


def _write_content(
    staging: Path,
    name: str,
    block: Mapping[str, object],
    description: str,
    tables: Mapping[str, tuple[Table, pd.DataFrame]],
    table_format: str,
) -> None:
    resources = [
        _write_resource(staging, label, table, frame, table_format)
        for label, (table, frame) in tables.items()
    ]
    descriptor = {
        "profile": "data-package",
        "name": _package_name(name),
        "description": description,
        BLOCK: dict(block),
        "resources": resources,
    }
    text = json.dumps(descriptor, indent=2, ensure_ascii=False, allow_nan=False)
    (staging / DESCRIPTOR).write_bytes(f"{text}\n".encode())


def _write_resource(
    staging: Path, name: str, table: Table, frame: pd.DataFrame, table_format: str
) -> dict[str, object]:
    file = f"{name}.{table_format}"
    if table_format == "parquet":
        _parquet()
        frame.to_parquet(staging / file, index=False)
        media = "application/vnd.apache.parquet"
    else:
        text = frame.copy()
        for label in text.columns:
            if isinstance(text[label].dtype, pd.DatetimeTZDtype):
                text[label] = text[label].map(_time_text)
        text.to_csv(staging / file, index=False, lineterminator="\n")
        media = "text/csv"
    return {
        "name": name,
        "path": file,
        "format": table_format,
        "mediatype": media,
        "encoding": "utf-8",
        "description": table.description,
        "profile": "tabular-data-resource",
        "schema": table_schema(table),
    }


def _time_text(stamp: pd.Timestamp) -> str:
    return stamp.isoformat().replace("+00:00", "Z")


def _package_name(text: str) -> str:
    """Name as the data package standard has it: lower-case ASCII letters, digits, - _ and dot."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text.lower())
    return kept.strip("-.") or "instance"
