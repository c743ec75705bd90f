"""Lines of a file from elsewhere: unpacked, bounded and decoded before anything is held.

A compressed file may unpack to far more than a machine holds, a "line" may be the whole file, and a
named pipe may never end. So only regular files are opened, gzip is unpacked as it is read, and the
bytes of a line and of the whole are bounded while they come in. What a line says is not looked at
here: tables are made of lines in `optmodels.text`.
"""

from __future__ import annotations

import difflib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from optmodels.errors import Flaw, InputError, shorten

#: Blocks of which a compressed file may consist; bgzip makes one of each 64 KiB.
MAX_MEMBERS = 100_000
_CHUNK = 1 << 16
_GZIP_WBITS = 31

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def open_bounded(
    path: str | os.PathLike[str], label: str, max_bytes: int, subject: str | None
) -> BinaryIO:
    """Open a regular file of bounded size for reading bytes, through gzip if the name says so.

    Parameters
    ----------
    path
        The file.
    label, subject
        How messages call the file, and what was being read.
    max_bytes
        Bound on the file as it is stored; what it unpacks to is bounded by `Lines`.

    Raises
    ------
    InputError
        It is missing, unreadable, too large or no regular file, or its name and its bytes do not
        agree about gzip.
    """

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
class Lines:
    """Lines of a stream as text, each bounded before it is held, with the faults of bytes.

    Attributes
    ----------
    label, subject
        How messages call the file, and what was being read.
    max_line, max_bytes
        Bounds on a line (or on the lines of one record) and on the whole.
    count, total
        Lines and bytes so far.
    open_bytes
        Bytes since the reader of records last set this to 0.
    ends_in_newline
        Whether the last line was whole.
    """

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
        """An error at the present line, to be raised."""
        row = self.count or None
        flaw = Flaw(what, file=self.label, row=row, allowed=allowed, cause=cause, fix=fix)
        return InputError(flaw, self.subject)

    def of(self, stream: BinaryIO) -> Iterator[str]:
        """Lines of a stream, with their ends.

        Raises
        ------
        InputError
            The data cannot be read or unpacked, exceed a bound, or are no UTF-8.
        """
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


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
