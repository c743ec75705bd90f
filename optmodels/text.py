"""Delimited text, read with suspicion: the one door through which tables enter.

A CSV file from elsewhere may be cut off, compressed twice, written in another encoding, or made to
exhaust the machine. So a table is read one line at a time and every quantity is bounded *before*
it is held in memory: the bytes of a line, of the whole (after decompression), the rows, the
columns and the cells. What comes out is text in rows of equal length with known row numbers;
numbers and times are made of it elsewhere (`optmodels.traces.parse`).

Nothing is guessed and nothing is repaired here. All structural faults that can be seen are
reported together; a fault that makes the rest unreadable (a broken archive, a foreign encoding)
ends the reading at once.
"""

from __future__ import annotations

import csv
import difflib
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.lines import Lines, open_bounded

MAX_LINE_BYTES = 1_000_000
MAX_BYTES = 256_000_000
MAX_ROWS = 2_000_000
MAX_COLUMNS = 10_000
MAX_NAME = 200
#: A cell costs some 100 bytes as text and number: all of them together stay below a gigabyte.
MAX_CELLS = 8_000_000
MAX_BLANK_LINES = 10_000
_MAX_FLAWS = 100


@dataclass(frozen=True, repr=False)
class RawTable:
    """A table of text: every row has as many cells as there are columns.

    Attributes
    ----------
    name
        File name for messages.
    columns
        Names in the header, unique (one of them may be empty: an unnamed index).
    rows
        Cells as they were written, in the order of the file.
    """

    name: str
    columns: list[str]
    rows: list[list[str]]

    @property
    def row_numbers(self) -> range:
        """Row of the file for each entry of `rows`, counted as a spreadsheet does: header = 1."""
        return range(2, len(self.rows) + 2)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"RawTable({self.name!r}: {len(self.rows)} rows x {len(self.columns)} columns)"

    def column(self, name: str) -> list[str]:
        """Cells of one column, found by `plain_name` when the exact name is absent.

        Raises
        ------
        InputError
            The column is missing; names close to it are suggested.
        """
        position = self.position(name)
        if position is None:
            raise InputError(self.missing([name]))
        return [row[position] for row in self.rows]

    def position(self, name: str) -> int | None:
        """Place of a column in the header, or None."""
        if name in self.columns:
            return self.columns.index(name)
        wanted = plain_name(name)
        same = [i for i, column in enumerate(self.columns) if plain_name(column) == wanted]
        return same[0] if len(same) == 1 else None

    def missing(self, required: Iterable[str]) -> list[Flaw]:
        """One flaw for each required column that the header lacks."""
        return [
            _missing_column(name, self.columns, self.name)
            for name in required
            if self.position(name) is None
        ]


def plain_name(name: str) -> str:
    """Column name without typographic variants: 'gCO₂eq/kWh ' and 'gCO2eq/kWh' are the same."""
    return unicodedata.normalize("NFKC", name).strip()


def read_delimited(
    path: str | os.PathLike[str],
    *,
    delimiter: str = ",",
    required: Sequence[str] = (),
    require_final_newline: bool = False,
    max_line: int = MAX_LINE_BYTES,
    max_bytes: int = MAX_BYTES,
    max_rows: int = MAX_ROWS,
    name: str | None = None,
    subject: str | None = None,
) -> RawTable:
    """Read a UTF-8 table with a header row from a plain or gzip-compressed (`.gz`) file.

    Quoting follows RFC 4180 and is strict. A byte-order mark is accepted, and so are CRLF line
    ends and blank lines at the end of the file.

    Parameters
    ----------
    path
        The file; one that ends in `.gz` is decompressed while it is read.
    delimiter
        One character between fields.
    required
        Columns that must be there (compared by `plain_name`); others are kept too.
    require_final_newline
        Take a file that ends in the middle of a line as cut off.
    max_line, max_bytes, max_rows
        Bounds on the bytes of one line, the bytes of the whole after decompression, and the rows.
    name
        How messages call the file; by default its name without the folder.
    subject
        What was being read, for the head of the message.

    Returns
    -------
    RawTable
        Header and rows as text, every row as long as the header.

    Raises
    ------
    InputError
        The file cannot be read, exceeds a bound, or is not a table; lists what was found.
    UsageError
        `path` is not a path, or `delimiter` is not one character.
    """
    if not (isinstance(delimiter, str) and len(delimiter) == 1 and delimiter not in '"\r\n\0'):
        raise UsageError(f"delimiter must be one character, not {shorten(delimiter)}.")
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"A file is named by a path, not by {shorten(path)}.")
    label = Path(path).name if name is None else name
    lines = Lines(label, max_line, max_bytes, subject)
    with open_bounded(path, label, max_bytes, subject) as stream:
        records = csv.reader(lines.of(stream), delimiter=delimiter, strict=True)
        return _table(
            lines,
            records,
            required=required,
            require_final_newline=require_final_newline,
            max_rows=max_rows,
        )


def _table(
    lines: Lines,
    records: Iterator[list[str]],
    *,
    required: Sequence[str],
    require_final_newline: bool,
    max_rows: int,
) -> RawTable:
    """Rows out of records: equal lengths, bounded counts."""
    label = lines.label
    columns: list[str] = []
    rows: list[list[str]] = []
    flaws: list[Flaw] = []
    blank: int | None = None  # first row of the present run of blank lines
    short: Flaw | None = None  # a short row: perhaps the last one, cut off
    number = 0
    try:
        for number, record in enumerate(records, start=1):
            short = None
            lines.open_bytes = 0
            if not record:
                blank = blank or number
                # No row is held of them, but a small archive unpacks to hundreds of millions.
                if number - blank >= MAX_BLANK_LINES:
                    raise lines.refuse(
                        "the file has too many blank lines",
                        allowed=f"at most {MAX_BLANK_LINES:,}, at the end of the file",
                    )
                continue
            if blank is not None:
                flaws.append(
                    Flaw(
                        "is blank in the middle of the table",
                        file=label,
                        row=blank,
                        cause="a file that was cut or edited by hand",
                        fix="remove the row",
                    )
                )
                if not columns:
                    break
                blank = None
            if not columns:
                columns = record
                flaws += _header_flaws(columns, label)
                flaws += RawTable(label, columns, []).missing(required)
                if flaws:
                    break
                continue
            if len(record) != len(columns):
                short = _length_flaw(record, columns, label, number)
                flaws.append(short)
            rows.append(record)
            if len(rows) > max_rows or len(rows) * len(columns) > MAX_CELLS:
                allowed = min(max_rows, MAX_CELLS // len(columns))
                what = "the table has too many rows"
                raise lines.refuse(what, allowed=f"at most {allowed:,} of {len(columns)} columns")
            if len(flaws) >= _MAX_FLAWS:
                break
    except csv.Error as error:
        flaws.append(_quoting_flaw(error, label, number + 1))
    else:
        if number == 0 or (not columns and not flaws):
            flaws.append(Flaw("is empty", file=label, allowed="a header and rows"))
        elif not lines.ends_in_newline and len(flaws) < _MAX_FLAWS:
            flaws = _cut_off(flaws, short, label, number, require_final_newline)
    if flaws:
        raise InputError(flaws, lines.subject)
    return RawTable(label, columns, rows)


def _cut_off(
    flaws: list[Flaw], short: Flaw | None, label: str, number: int, required: bool
) -> list[Flaw]:
    """Say of a last line without line end that the file was cut off, where that matters."""
    if short is None and not required:
        return flaws
    cut = Flaw(
        "the last line has no end" if short is None else short.what,
        file=label,
        row=number,
        cause="the file was cut off in the middle of this line",
        fix="fetch the file again, or remove or complete the line",
    )
    return [*(flaw for flaw in flaws if flaw is not short), cut]


def _header_flaws(columns: list[str], label: str) -> list[Flaw]:
    if len(columns) > MAX_COLUMNS:
        what = f"the header has {len(columns):,} columns"
        return [Flaw(what, file=label, row=1, allowed=f"at most {MAX_COLUMNS:,}")]
    long = [column for column in columns if len(column) > MAX_NAME]
    if long:
        # Names are repeated in messages, which people have to read.
        what = f"has {len(long[0]):,} letters"
        allowed = f"column names of at most {MAX_NAME}"
        return [Flaw(what, file=label, row=1, value=long[0], allowed=allowed)]
    seen: set[str] = set()
    repeated: list[str] = []
    for column in columns:
        if column in seen:
            repeated.append(column)
        seen.add(column)
    return [
        Flaw(
            "stands more than once in the header",
            file=label,
            row=1,
            value=column,
            fix="give every column a name of its own",
        )
        for column in dict.fromkeys(repeated)
    ]


def _length_flaw(record: list[str], columns: list[str], label: str, number: int) -> Flaw:
    many = len(record) > len(columns)
    return Flaw(
        f"has {len(record)} fields",
        file=label,
        row=number,
        allowed=f"{len(columns)}, as in the header",
        cause="a separator inside an unquoted field, or a decimal comma" if many else None,
    )


def _quoting_flaw(error: csv.Error, label: str, number: int) -> Flaw:
    text = str(error)
    if "field limit" in text or "end of data" in text:
        return Flaw(
            "has a field that does not end",
            file=label,
            row=number,
            allowed=f"at most {csv.field_size_limit():,} characters",
            cause="a quotation mark that is never closed",
        )
    if "new-line" in text:
        what = "has a carriage return inside an unquoted field"
        return Flaw(what, file=label, row=number, allowed="lines that end in LF or CRLF")
    return Flaw(
        "has broken quoting",
        file=label,
        row=number,
        allowed='fields quoted as "...", a quotation mark inside them written twice',
    )


def _missing_column(name: str, columns: Sequence[str], label: str) -> Flaw:
    plain = {plain_name(column).lower(): column for column in columns}
    close = difflib.get_close_matches(plain_name(name).lower(), list(plain), n=3, cutoff=0.6)
    cause = fix = None
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        cause = "fields are separated by another character than a comma"
    elif close:
        fix = " or ".join(f"rename '{plain[key]}'" for key in close) + " if it is meant"
    shown = ", ".join(f"'{column}'" for column in columns)
    return Flaw(
        "is not in the header",
        file=label,
        row=1,
        value=name,
        allowed=f"the header has {shorten(shown, 200)}",
        cause=cause,
        fix=fix,
    )
