"""Hostile and broken files end in one `InputError` that names the place; good ones come through."""

from __future__ import annotations

import csv
import gzip
import io
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.text import plain_name, read_delimited

GOOD = b"time,value\n2022-01-01,1\n2022-01-02,2\n"


def write(folder: Path, data: bytes, name: str = "a.csv") -> Path:
    """File with these bytes, compressed where its name says so."""
    path = folder / name
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD + b"\n\r\n\n",
        GOOD[:-1],
        GOOD.replace(b"value", b'"value"').replace(b",1", b',"1"'),
    ],
    ids=["plain", "bom", "crlf", "blank-end", "no-final-newline", "quoted"],
)
def test_ordinary_dialects_give_the_same_table(tmp_path: Path, data: bytes, name: str) -> None:
    """A mark, CRLF, blank lines at the end, quoting and gzip are no part of the content."""
    table = read_delimited(write(tmp_path, data, name))
    assert table.columns == ["time", "value"]
    assert table.rows == [["2022-01-01", "1"], ["2022-01-02", "2"]]
    assert list(table.row_numbers) == [2, 3]
    assert table.column("value") == ["1", "2"]
    assert len(table) == 2
    assert "2 rows x 2 columns" in repr(table)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\nh\n1\n", "row 1: is blank"),
        (GOOD.replace(b"\n2022-01-02", b"\n\n2022-01-02"), "row 3: is blank in the middle"),
        (GOOD.replace(b",1", b",1,9"), "row 2: has 3 fields (allowed: 2"),
        (GOOD.replace(b",1", b""), "row 2: has 1 fields (allowed: 2"),
        (GOOD[:-3], "row 3: has 1 fields"),
        (GOOD[:-3], "cut off in the middle"),
        (b"a,a\n1,2\n", "more than once in the header"),
        (GOOD.replace(b"1\n", b"\0\n"), "row 2: holds NUL bytes"),
        (GOOD.replace(b"1\n", b"\xff\n"), "row 2: byte 12 of the line is not UTF-8"),
        (GOOD.decode().encode("utf-16"), "UTF-16"),
        (b'a,b\n"1,2\n3,4\n', "quotation mark that is never closed"),
        (b'a,b\n"1"x,2\n', "row 2: has broken quoting"),
        (GOOD.replace(b"\n", b"\r"), "carriage return"),
        (gzip.compress(GOOD, mtime=0), "add .gz to the name"),
    ],
)
def test_each_broken_plain_file_is_refused_by_place(
    tmp_path: Path, data: bytes, words: str
) -> None:
    """Every structural fault is named with its row, never repaired and never a foreign error."""
    with pytest.raises(InputError) as caught:
        read_delimited(write(tmp_path, data))
    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_faults_of_several_rows_are_reported_together(tmp_path: Path) -> None:
    """One round of repair is enough: all rows of a wrong length are in one error."""
    with pytest.raises(InputError) as caught:
        read_delimited(write(tmp_path, b"a,b\n1\n1,2\n1,2,3\n1,2\n"), subject="the demo")
    assert [flaw.row for flaw in caught.value.flaws] == [2, 4]
    assert str(caught.value).startswith("the demo: 2 problems")


def test_thousands_of_faults_end_the_reading_early(tmp_path: Path) -> None:
    """A file of another shape does not fill the memory with complaints."""
    with pytest.raises(InputError) as caught:
        read_delimited(write(tmp_path, b"a,b\n" + b"1\n" * 100_000))
    assert len(caught.value.flaws) == 100


def test_a_cut_file_is_told_when_the_end_matters(tmp_path: Path) -> None:
    """'123' cut to '12' is a well-formed row; only the missing line end gives it away."""
    path = write(tmp_path, b"a\n123\n12")
    assert len(read_delimited(path)) == 2
    with pytest.raises(InputError, match="row 3: the last line has no end"):
        read_delimited(path, require_final_newline=True)


def test_broken_archives_are_refused(tmp_path: Path) -> None:
    """A truncated, corrupted or feigned .gz never yields the part that could be read."""
    packed = gzip.compress(GOOD * 200, mtime=0)
    (tmp_path / "cut.csv.gz").write_bytes(packed[:-9])
    with pytest.raises(InputError, match="end too early"):
        read_delimited(tmp_path / "cut.csv.gz")
    (tmp_path / "crc.csv.gz").write_bytes(packed[:-8] + b"\0\0\0\0" + packed[-4:])
    with pytest.raises(InputError, match="damaged"):
        read_delimited(tmp_path / "crc.csv.gz")
    (tmp_path / "plain.csv.gz").write_bytes(GOOD)
    with pytest.raises(InputError, match="is not gzip data"):
        read_delimited(tmp_path / "plain.csv.gz")
    (tmp_path / "body.csv.gz").write_bytes(packed[:12] + b"\xff" * 20 + packed[32:])
    with pytest.raises(InputError, match=r"damaged|too early"):
        read_delimited(tmp_path / "body.csv.gz")


def test_what_is_not_a_readable_file_is_refused(tmp_path: Path) -> None:
    """A missing file (near names shown), a folder, a pipe (would block), NUL in a path."""
    write(tmp_path, GOOD, "carbon.csv")
    with pytest.raises(InputError, match=r"the folder has 'carbon\.csv'"):
        read_delimited(tmp_path / "carbn.csv")
    with pytest.raises(InputError, match="does not exist"):
        read_delimited(tmp_path / "nowhere" / "carbon.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_delimited(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="not a regular file"):
        read_delimited(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="cannot be opened"):
        read_delimited("a\0b.csv")
    with pytest.raises(UsageError, match="path"):
        read_delimited(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="delimiter"):
        read_delimited(tmp_path / "carbon.csv", delimiter="ab")


def test_a_file_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions are a fault of the input, not a foreign traceback (feigned: root reads all)."""

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, GOOD)
    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(InputError, match="may not be read"):
        read_delimited(path)


def test_a_huge_field_is_refused_at_the_limit(tmp_path: Path) -> None:
    """Reading stops at the limit: a reader that takes the line whole would need 200 MB."""
    path = tmp_path / "sparse.csv"
    with path.open("wb") as stream:
        stream.write(b"a,b\n")
        stream.truncate(200_000_000)
    packed = write(tmp_path, b"a,b\n" + b"x" * 64_000_000, "bomb.csv.gz")
    tracemalloc.start()
    begin = time.perf_counter()
    for hostile in (path, packed):
        with pytest.raises(InputError, match="row 2: the line is too long"):
            read_delimited(hostile)
    seconds = time.perf_counter() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
    assert seconds < 1.0


@pytest.mark.parametrize("name", ["big.csv", "big.csv.gz"])
def test_a_file_too_large_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    """The message names the size, the limit and what to do; nothing of the file is held."""
    path = write(tmp_path, GOOD, name)
    with path.open("r+b") as stream:
        stream.truncate(300_000_000)
    with pytest.raises(InputError, match=r"has 300,000,000 bytes .*at most 256,000,000.*Fix"):
        read_delimited(path)


def test_zeros_after_gzip_data_cost_no_time(tmp_path: Path) -> None:
    """Padding is skipped in blocks: Python's reader takes it byte by byte, a minute for these."""
    path = write(tmp_path, GOOD, "padded.csv.gz")
    with path.open("r+b") as stream:
        stream.truncate(200_000_000)
    begin = time.process_time()
    assert len(read_delimited(path)) == 2
    assert time.process_time() - begin < 2.0


def test_gzip_data_in_parts_are_one_text(tmp_path: Path) -> None:
    """Parts, empty ones and padding between them leave no trace; anything else is damage."""
    half = len(GOOD) // 2
    parts = [gzip.compress(part, mtime=0) for part in (GOOD[:half], b"", GOOD[half:])]
    path = tmp_path / "parts.csv.gz"
    path.write_bytes(b"\0\0".join(parts) + b"\0" * 100)
    whole = read_delimited(write(tmp_path, GOOD))
    assert read_delimited(path).rows == whole.rows
    path.write_bytes(b"".join(parts) + b"x")
    with pytest.raises(InputError, match=r"damaged|too early"):
        read_delimited(path)
    path.write_bytes(gzip.compress(b"", mtime=0) * 200_000 + parts[0])
    with pytest.raises(InputError, match="more than 100,000 members"):
        read_delimited(path)


def test_endless_blank_lines_are_refused(tmp_path: Path) -> None:
    """They are no rows, so no bound on rows ends them: an archive of 200 kB holds 256 million."""
    path = write(tmp_path, GOOD + b"\n" * 20_000_000, "blank.csv.gz")
    begin = time.process_time()
    with pytest.raises(InputError, match=r"too many blank lines .*at most 10,000"):
        read_delimited(path)
    assert time.process_time() - begin < 2.0


def test_bounds_on_bytes_rows_and_columns(tmp_path: Path) -> None:
    """A small archive that unpacks to a large table is refused at the bound."""
    path = write(tmp_path, b"a,b\n" + b"1,2\n" * 100_000, "bomb.csv.gz")
    with pytest.raises(InputError, match="too large"):
        read_delimited(path, max_bytes=100_000)
    with pytest.raises(InputError, match=r"too many rows .*at most 50,000"):
        read_delimited(path, max_rows=50_000)
    assert len(read_delimited(path, max_rows=100_000)) == 100_000
    wide = write(tmp_path, b",".join(b"c%d" % i for i in range(10_001)) + b"\n", "wide.csv")
    with pytest.raises(InputError, match="10,001 columns"):
        read_delimited(wide)


def test_an_open_quotation_mark_does_not_swallow_the_file(tmp_path: Path) -> None:
    """Without a bound on fields, one quotation mark would turn the rest into one cell."""
    path = write(tmp_path, b'a,b\n"1,2\n' + b"1,2\n" * 5_000_000)
    before = csv.field_size_limit(2**31 - 1)  # as some libraries do, for everybody
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="never closed"):
            read_delimited(path)
    finally:
        csv.field_size_limit(before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000_000


def test_missing_columns_name_what_is_close(tmp_path: Path) -> None:
    """Typography is forgiven ('₂' for '2'), other names are suggested, never taken."""
    path = write(tmp_path, "Datetime,Intensity gCO₂eq/kWh\n1,2\n".encode())
    table = read_delimited(path, required=["Intensity gCO2eq/kWh"])
    assert table.column("Intensity gCO2eq/kWh") == ["2"]
    assert plain_name("gCO₂ ") == "gCO2"
    with pytest.raises(InputError) as caught:
        read_delimited(path, required=["datetime", "Carbon"])
    first, second = caught.value.flaws
    assert "rename 'Datetime'" in str(first)
    assert first.row == 1
    assert second.fix is None
    with pytest.raises(InputError, match="'Datetime'"):
        table.column("Date time")
    semicolons = write(tmp_path, b"a;b\n1;2\n", "s.csv")
    with pytest.raises(InputError, match="separated by another character"):
        read_delimited(semicolons, required=["a"])
    assert read_delimited(semicolons, delimiter=";", required=["a"]).rows == [["1", "2"]]


CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    data=st.integers(1, 4).flatmap(
        lambda width: st.tuples(
            st.lists(CELLS, min_size=width, max_size=width, unique=True),
            st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6),
        )
    )
)
def test_any_table_comes_back_as_written(
    data: tuple[list[str], list[list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Quotes, separators and line ends inside cells survive the round trip."""
    columns, rows = data
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    path = tmp_path_factory.mktemp("round") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    table = read_delimited(path)
    assert (table.columns, table.rows) == (columns, rows)
