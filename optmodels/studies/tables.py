"""Writing a table to one file, completely or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pandas as pd

from optmodels.atomic import not_written, write_text_atomically
from optmodels.csv_text import csv_text
from optmodels.errors import MissingExtraError, UsageError


def write_table(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame as CSV or Parquet, by the ending of the file's name.

    Raises
    ------
    UsageError
        The ending is another one, or the file cannot be written.
    MissingExtraError
        Parquet needs pyarrow.
    """
    if path.suffix == ".csv":
        write_text_atomically(path, csv_text(frame))
    elif path.suffix == ".parquet":
        _write_parquet(frame, path)
    else:
        raise UsageError(f"{str(path)!a} is no table; allowed endings: .csv or .parquet.")
    return path


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    try:
        import pyarrow  # noqa: F401 - whether it is there
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "writing Parquet") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        try:
            frame.to_parquet(name, index=False)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise not_written(path, error) from None
