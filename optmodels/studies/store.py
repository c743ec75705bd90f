"""A store of results that survives whatever happens to the study that fills it.

A store is a folder with one table, ``cells.csv``: one line per cell, appended as soon as the cell
is done, in one write. Whoever kills the study loses the cells in flight and nothing else: at worst
half a line at the end, which is cut off when the store is opened next. A line begins with the
cell's key, so a study that is run again finds what it needs not compute; lines of other studies, or
of code that has changed since, are left where they are and not used.

Names may hold anything, line breaks too; they are written so that every line stays one line and a
spreadsheet runs nothing of it, and are read back as they were (`optmodels.csv_text.sealed`).

Costs and facts differ from problem to problem and are one JSON object per line; the tables that
people want, with a column for each, are made of them by `optmodels.studies`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optmodels.atomic import not_written, sentence, write_text_atomically
from optmodels.csv_text import sealed, unsealed
from optmodels.errors import Flaw, InputError, UsageError
from optmodels.studies.cell import Cell
from optmodels.studies.work import DONE, FAILED, SKIPPED, Record

FORMAT_VERSION = 1
COLUMNS = (
    *("key", "problem", "instance", "fingerprint", "policy", "forecast", "seed"),
    *("status", "seconds", "total", "bound", "gap", "certified", "unit", "values", "error"),
)
_ABOUT, _TABLE = "store.json", "cells.csv"
_FLAG = "optmodels-store"
_ANEW = "name a new folder: the study computes its cells again"
#: No cell of a table is that long; the reader of the standard library needs a limit.
_LONGEST_FIELD = 10_000_000


class Store:
    """Results of cells in a folder, by key.

    Use it as a context: the folder is locked for other writers while it is open.

    Parameters
    ----------
    folder
        Made where it is missing; an existing one must be a store, or empty.

    Raises
    ------
    InputError
        The folder is no store, or a line of its table cannot be read.
    UsageError
        The folder cannot be written, or another study is writing to it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._prepare()
        self._handle = os.open(self.folder / _TABLE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self.records = self._read()
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write everything through to the disk and let others write."""
        if self._handle >= 0:
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1

    def append(self, found: Iterable[tuple[Cell, Record]]) -> None:
        """Keep results: all of them, or, where the disk is full, none.

        Raises
        ------
        UsageError
            The table cannot be written.
        """
        pairs = list(found)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(_line(cell, record) for cell, record in pairs)
        data = text.getvalue().encode()
        size = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, data)
            if written < len(data):
                raise OSError("the disk is full")
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise self._not_written(error) from None
        self.records |= {record.key: record for _, record in pairs}

    def _prepare(self) -> None:
        about = self.folder / _ABOUT
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not about.exists():
                if any(self.folder.iterdir()):
                    raise InputError(
                        Flaw(
                            "is not a store of a study",
                            file=str(self.folder),
                            cause="the folder holds something else",
                            fix="name a new or an empty folder",
                        )
                    )
                text = json.dumps({_FLAG: FORMAT_VERSION}) + "\n"
                write_text_atomically(about, text)
            _require_version(about)
        except OSError as error:
            raise self._not_written(error) from None

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks on this system: two studies must not share a store
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"Another study is writing to the store {str(self.folder)!a}. Fix: wait for it, "
                "or use another folder."
            ) from None

    def _read(self) -> dict[str, Record]:
        with (self.folder / _TABLE).open("rb") as stream:
            data = stream.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            # Half a line: its cell was in flight when the study was killed.
            os.ftruncate(self._handle, whole)
        if not whole:
            os.write(self._handle, (",".join(COLUMNS) + "\n").encode())
            return {}
        return {record.key: record for _, record in _lines(data[:whole])}

    def _not_written(self, error: OSError) -> UsageError:
        return not_written(self.folder, error)


def is_store(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is a store."""
    return (Path(folder) / _ABOUT).is_file()


def stored_lines(folder: str | Path) -> list[tuple[dict[str, str], Record]]:
    """Lines of a store in their order, with what they say of their cells; nothing is changed.

    Raises
    ------
    InputError
        The folder is no store, or a line of its table cannot be read.
    """
    about, table = Path(folder) / _ABOUT, Path(folder) / _TABLE
    try:
        _require_version(about)
        data = table.read_bytes()
    except OSError as error:
        flaw = Flaw(
            f"cannot be read as a store ({sentence(error)})",
            file=str(folder),
            fix="give the folder that --store or store= named",
        )
        raise InputError(flaw) from None
    return _lines(data[: data.rfind(b"\n") + 1])


def _lines(data: bytes) -> list[tuple[dict[str, str], Record]]:
    """What whole lines of a table say, the header first."""
    if not data:
        return []
    flaws: list[Flaw] = []
    found: list[tuple[dict[str, str], Record]] = []
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        lines = list(csv.reader(io.StringIO(data.decode(), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            Flaw(
                f"cannot be read ({error})",
                file=_TABLE,
                cause="another program wrote the file",
                fix=_ANEW,
            )
        ) from None
    if tuple(lines[0]) != COLUMNS:
        raise InputError(
            Flaw(
                "has other columns than a store",
                file=_TABLE,
                row=1,
                allowed=", ".join(COLUMNS),
                cause="the file was edited or replaced",
                fix=_ANEW,
            )
        )
    for number, cells in enumerate(lines[1:], start=2):
        line = [unsealed(cell) for cell in cells]
        record = _record(line)
        if record is None:
            flaws.append(
                Flaw(
                    "is not a result",
                    file=_TABLE,
                    row=number,
                    cause="the file was edited",
                    fix="delete the line; its cell is computed again",
                )
            )
        else:
            found.append((dict(zip(COLUMNS, line, strict=True)), record))
    if flaws:
        raise InputError(flaws)
    return found


def _line(cell: Cell, record: Record) -> list[str]:
    names = (cell.problem, cell.instance, cell.fingerprint, cell.policy, cell.forecast)
    numbers = (record.seconds, record.total, record.bound, record.gap, record.certified)
    return [
        record.key,
        *(sealed(name) for name in names),
        str(cell.seed),
        record.status,
        *("" if number is None else repr(float(number)) for number in numbers),
        sealed(record.unit),
        json.dumps(record.values),
        # As JSON a message of several lines stays on one.
        json.dumps(record.error),
    ]


def _record(line: list[str]) -> Record | None:
    """Record of a line; None for a line that none wrote."""
    try:
        cells = dict(zip(COLUMNS, line, strict=True))
        seconds, *numbers = (
            None if not cells[name] else float(cells[name])
            for name in ("seconds", "total", "bound", "gap", "certified")
        )
        values: Any = json.loads(cells["values"])
        error: Any = json.loads(cells["error"])
    except ValueError:
        return None
    sound = (
        len(cells["key"]) == 64
        and cells["status"] in (DONE, FAILED, SKIPPED)
        and isinstance(values, dict)
        and isinstance(error, str)
        and seconds is not None
    )
    if not sound or seconds is None:
        return None
    total, bound, gap, certified = numbers
    return Record(
        cells["key"],
        cells["status"],
        seconds,
        total,
        bound,
        gap,
        certified,
        values,
        error,
        cells["unit"],
    )


def _require_version(about: Path) -> None:
    version = _version(about)
    if version != FORMAT_VERSION:
        raise InputError(
            Flaw(
                "has a format that this version does not know",
                file=_ABOUT,
                field=_FLAG,
                value=version,
                allowed=str(FORMAT_VERSION),
                fix="use the version of optmodels that made the store, or a new folder",
            )
        )


def _version(about: Path) -> object:
    try:
        found = json.loads(about.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or _FLAG not in found:
        raise InputError(
            Flaw(
                "is not that of a store",
                file=_ABOUT,
                allowed=f'{{"{_FLAG}": {FORMAT_VERSION}}}',
                cause="another program wrote the file",
                fix=_ANEW,
            )
        )
    version: object = found[_FLAG]
    return version
