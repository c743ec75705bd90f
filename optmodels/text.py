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
import io
import os
import stat
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from optmodels.errors import Flaw, InputError, UsageError, shorten

MAX_LINE_BYTES = 1_000_000
MAX_BYTES = 256_000_000
MAX_ROWS = 2_000_000
MAX_COLUMNS = 10_000
MAX_NAME = 200
#: A cell costs some 100 bytes as text and number: all of them together stay below a gigabyte.
MAX_CELLS = 8_000_000
MAX_BLANK_LINES = 10_000
_MAX_FLAWS = 100

#: Blocks of which a compressed file may consist; bgzip makes one of each 64 KiB.
MAX_MEMBERS = 100_000
_CHUNK = 1 << 16
_GZIP_WBITS = 31

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


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
    lines = _Lines(label, max_line, max_bytes, subject)
    with _open(path, label, max_bytes, subject) as stream:
        records = csv.reader(lines.of(stream), delimiter=delimiter, strict=True)
        return _table(
            lines,
            records,
            required=required,
            require_final_newline=require_final_newline,
            max_rows=max_rows,
        )


def _open(
    path: str | os.PathLike[str], label: str, max_bytes: int, subject: str | None
) -> BinaryIO:
    """Open a regular file of bounded size for reading bytes, through gzip if the name says so."""

    def refuse(
        what: str, *, allowed: str | None = None, cause: str | None = None, fix: str | None = None
    ) -> InputError:
        flaw = Flaw(what, file=label or str(path), allowed=allowed, cause=cause, fix=fix)
        return InputError(flaw, subject)

    try:
        about = os.stat(path)  # noqa: PTH116 - Path() would hide an empty path
        if stat.S_ISDIR(about.st_mode):
            raise refuse("is a folder", allowed="a file", fix="name the file inside it")
        # A pipe or a device may block for ever or never end.
        if not stat.S_ISREG(about.st_mode):
            raise refuse("is not a regular file", allowed="a file on disk")
        if about.st_size > max_bytes:
            raise refuse(
                f"has {about.st_size:,} bytes",
                allowed=f"at most {max_bytes:,}",
                fix="split it, or keep only what is needed; large tables of instances may be "
                "Parquet",
            )
        stream = cast("BinaryIO", Path(path).open("rb"))  # noqa: SIM115 - closed by the caller
    except FileNotFoundError:
        parent = Path(path).parent
        near = _near_files(parent, Path(path).name)
        cause = (
            f"the folder {shorten(str(parent))} does not exist"
            if not parent.is_dir()
            else (f"misspelt; the folder has {near}" if near else "misspelt path")
        )
        raise refuse("was not found", cause=cause) from None
    except PermissionError:
        raise refuse("may not be read", cause="file permissions") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be opened: {_reason(error)}") from None
    zipped = label.endswith(".gz") or Path(path).suffix == ".gz"
    magic = stream.read(2)
    stream.seek(0)
    if not zipped and magic != _GZIP_MAGIC:
        return stream
    if zipped and magic == _GZIP_MAGIC:
        return cast("BinaryIO", io.BufferedReader(_Unpacked(stream), _CHUNK))
    stream.close()
    if zipped:
        raise refuse(
            "is not gzip data although its name ends in .gz",
            cause="a plain file under this name, or a failed download",
            fix="remove .gz from the name if the text is plain",
        )
    raise refuse("is gzip data although its name does not end in .gz", fix="add .gz to the name")


class _Unpacked(io.RawIOBase):
    """Bytes out of gzip data, unpacked as they are asked for; closes the file below.

    Python's own reader goes through the zeros after the data one by one, and through any number of
    empty members: a small file can keep it busy for hours. Here both are bounded.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._below = stream
        self._packed = b""
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._members = 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._member.eof and not self._next_member():
                return 0
            data = self._member.unconsumed_tail or self._packed or self._below.read(_CHUNK)
            self._packed = b""
            if not data:
                raise EOFError
            found = self._member.decompress(data, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._below.close()

    def _next_member(self) -> bool:
        """Go on with the member behind this one; false at the end of the file."""
        rest = self._member.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._below.read(_CHUNK)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\0")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise zlib.error(f"it has more than {MAX_MEMBERS:,} members")
        self._packed = rest
        self._member = zlib.decompressobj(_GZIP_WBITS)
        return True


def _near_files(folder: Path, wanted: str) -> str:
    """Files of a folder with names close to the wanted one, for a message."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())[:1000]
    except OSError:
        return ""
    return ", ".join(f"'{near}'" for near in difflib.get_close_matches(wanted, names, n=3))


@dataclass
class _Lines:
    """Lines of a stream as text, each bounded before it is held, with the faults of bytes."""

    label: str
    max_line: int
    max_bytes: int
    subject: str | None
    count: int = 0
    total: int = 0
    open_bytes: int = 0  # since the last record ended: csv's own bound on fields is a global
    ends_in_newline: bool = True

    def refuse(
        self,
        what: str,
        *,
        allowed: str | None = None,
        cause: str | None = None,
        fix: str | None = None,
    ) -> InputError:
        row = self.count or None
        flaw = Flaw(what, file=self.label, row=row, allowed=allowed, cause=cause, fix=fix)
        return InputError(flaw, self.subject)

    def of(self, stream: BinaryIO) -> Iterator[str]:
        while True:
            try:
                # Longer lines come back without their end: nothing beyond the bound is ever held.
                line = stream.readline(self.max_line + 1)
            except EOFError:
                raise self.refuse(
                    "the compressed data end too early",
                    cause="the file was cut off while it was copied or downloaded",
                    fix="fetch it again",
                ) from None
            except zlib.error as error:
                raise self.refuse(
                    f"the compressed data are damaged: {_reason(error)}", fix="fetch it again"
                ) from None
            except OSError as error:
                raise self.refuse(f"cannot be read: {_reason(error)}") from None
            if not line:
                return
            self.count += 1
            self.total += len(line)
            self.open_bytes += len(line)
            yield self._text(line)

    def _text(self, line: bytes) -> str:
        if len(line) > self.max_line:
            raise self.refuse(
                "the line is too long",
                allowed=f"at most {self.max_line:,} bytes",
                cause="not a table of text, or line ends are missing",
            )
        if self.open_bytes > self.max_line:
            raise self.refuse(
                f"a row spans more than {self.max_line:,} bytes of lines",
                cause="a quotation mark that is never closed",
                fix="close the quotation mark, or remove it",
            )
        if self.total > self.max_bytes:
            raise self.refuse("the file is too large", allowed=f"at most {self.max_bytes:,} bytes")
        if self.count == 1:
            if line.startswith(_UTF16_BOMS):
                raise self.refuse("is written in UTF-16", allowed="UTF-8", fix="save it as UTF-8")
            line = line.removeprefix(_BOM)
        if b"\0" in line:
            raise self.refuse(
                "holds NUL bytes", allowed="UTF-8 text", cause="a binary file, or a damaged one"
            )
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.refuse(
                f"byte {error.start + 1} of the line is not UTF-8",
                allowed="UTF-8 text",
                cause="saved in another encoding such as Latin-1, or a damaged file",
                fix="save it as UTF-8",
            ) from None
        self.ends_in_newline = text.endswith("\n")
        return text


def _table(
    lines: _Lines,
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


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
