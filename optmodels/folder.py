"""The folder format: a Frictionless Data Package that people can open in a spreadsheet.

A folder holds `datapackage.json`, which lists one CSV (or Parquet) file per table with its Table
Schema, and a block ``optmodels`` with the problem's name, the version of the format and the scalar
parameters. Reading never executes anything, never leaves the folder and never reads without
bounds; writing is all or nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from optmodels.errors import Flaw, InputError, MissingExtraError, UsageError
from optmodels.schema import Place, Table, table_schema
from optmodels.traces.text import read_delimited

DESCRIPTOR = "datapackage.json"
BLOCK = "optmodels"
FORMATS = ("csv", "parquet")
_DESCRIPTOR_BYTES = 16 * 2**20


@dataclass(frozen=True)
class RawTable:
    """Columns of one table as read, not yet validated, and where they came from."""

    cells: Mapping[str, Sequence[object]]
    place: Place


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
        One `RawTable` per resource.
    """

    problem: str
    format_version: int
    parameters: Mapping[str, object]
    origin: str | None
    tables: Mapping[str, RawTable]


def read_descriptor(folder: Path) -> dict[str, Any]:
    """The descriptor of a folder, with a block ``optmodels`` of the right form.

    Raises
    ------
    InputError
        There is no folder or no readable descriptor, or its block is missing or malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not an instance folder" if folder.exists() else "does not exist"
        raise InputError(
            Flaw(what, file=str(folder), fix="give the path of a folder with a " + DESCRIPTOR)
        )
    path = folder / DESCRIPTOR
    try:
        with path.open("rb") as stream:
            raw = stream.read(_DESCRIPTOR_BYTES + 1)
    except OSError as error:
        fix = f"give the path of an instance folder: it holds a file {DESCRIPTOR}"
        what = f"cannot be read ({error.strerror or error})"
        raise InputError(Flaw(what, file=str(path), fix=fix)) from None
    if len(raw) > _DESCRIPTOR_BYTES:
        limit = f"at most {_DESCRIPTOR_BYTES} bytes"
        raise InputError(Flaw("is too large for a descriptor", file=DESCRIPTOR, allowed=limit))
    try:
        content = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        what = f"is not valid JSON ({error})"
        raise InputError(
            Flaw(what, file=DESCRIPTOR, fix="restore or regenerate the file")
        ) from None
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
    flaws += [
        Flaw("is missing from the resources", DESCRIPTOR, field=name, fix="add its file and schema")
        for name, table in declared.items()
        if table.required and name not in named
    ]
    raw = RawFolder(block["problem"], version, block["parameters"], block.get("origin"), tables)
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
        The target exists and `overwrite` is false, is not an instance folder, or the table format
        is unknown.
    MissingExtraError
        Parquet was asked for and pyarrow is not installed.
    """
    if table_format not in FORMATS:
        raise UsageError.unknown("table format", table_format, FORMATS)
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise UsageError(f"{folder} exists. Fix: choose another name, or allow overwriting.")
    if folder.exists() and not (folder / DESCRIPTOR).is_file() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not an instance folder and will not be overwritten.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        staging.chmod(0o755)
        resources = []
        for name, (table, frame) in tables.items():
            resources.append(_write_resource(staging, name, table, frame, table_format))
        descriptor = {
            "profile": "data-package",
            "name": _package_name(folder.name),
            "description": description,
            BLOCK: dict(block),
            "resources": resources,
        }
        text = json.dumps(descriptor, indent=2, ensure_ascii=False, allow_nan=False)
        (staging / DESCRIPTOR).write_text(text + "\n", encoding="utf-8")
        _move_into_place(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file so that it is either complete or untouched."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


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
            flaws.append(Flaw("is listed twice", DESCRIPTOR, field=label))
        seen.add(label)
    return flaws


def _read_resource(folder: Path, resource: Mapping[str, Any]) -> RawTable:
    path = _safe_path(folder, resource["path"])
    if path.suffix == ".parquet":
        return _read_parquet(path, resource["path"])
    raw = read_delimited(path, name=resource["path"], require_final_newline=True)
    columns = list(zip(*raw.rows, strict=True)) if raw.rows else [()] * len(raw.columns)
    cells = dict(zip(raw.columns, columns, strict=True))
    return RawTable(cells, Place(resource["path"], raw.row_numbers))


def _safe_path(folder: Path, given: str) -> Path:
    pure = PurePosixPath(given)
    outside = pure.is_absolute() or ".." in pure.parts or "\\" in given or ":" in given
    flaw = Flaw(
        "leads out of the instance folder",
        file=DESCRIPTOR,
        field="path",
        value=given,
        allowed="a plain file name inside the folder",
        cause="a hand-edited or hostile descriptor",
        fix="move the file into the folder and name it here",
    )
    if outside or "\0" in given:
        raise InputError(flaw)
    path = folder / pure
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(flaw)
    if path.suffix.lower() not in (".csv", ".parquet"):
        allowed = "a .csv or .parquet file"
        raise InputError(
            Flaw("has an unknown format", DESCRIPTOR, field="path", value=given, allowed=allowed)
        )
    return path


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "Reading and writing Parquet") from None
    return parquet


def _read_parquet(path: Path, shown: str) -> RawTable:
    parquet = _parquet()
    try:
        table = parquet.read_table(path)
        cells = {name: table.column(name).to_pylist() for name in table.column_names}
    except Exception as error:
        # pyarrow raises a dozen classes for a damaged file; all mean the same to the reader.
        what = f"cannot be read as Parquet ({error})"
        raise InputError(Flaw(what, file=shown, fix="restore or regenerate the file")) from None
    return RawTable(cells, Place(shown))


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


def _move_into_place(staging: Path, folder: Path) -> None:
    if not folder.exists():
        staging.rename(folder)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(retired / "previous")
    staging.rename(folder)
    shutil.rmtree(retired)


def _package_name(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in text.lower())
    return kept.strip("-.") or "instance"
