"""What goes wrong with files: mutations of bytes, of the cells of a table, and of JSON.

Every mutation takes its choices from the `random.Random` it is given, so that a case can be made
again from its number alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Grid = list[list[str]]

NUMBERS = (
    *("0", "-0", "0.0", "-0.0", "1", "-1", "0.5", "1e-9", "1e9", "1e15", "9007199254740993"),
    *("5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "1e308", "-1e308", "1e400"),
    *("1e-400", "inf", "-inf", "Infinity", "nan", "NaN", "-nan", "NA", "null", "None", "", " "),
    *("1,5", "1_000", "1.000,5", "0x10", "1e", "e5", ".", "-", "+", "+.5", "1.", "٣", "１２"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "9" * 400, "1e99999"),
    *("true", "TRUE", "false", "12 kW", "12%", " 12 ", "1/3", "#REF!", "#DIV/0!", "0" * 300 + "1"),
)
TIMES = (
    *("2023-06-01T00:00:00Z", "2023-06-01T00:00:00+00:00", "2023-06-01T02:00:00+02:00"),
    *("2023-06-01 00:00:00Z", "2023-06-01T00:00Z", "2023-06-01", "2023-06-01T00:00:00"),
    *("2023-06-01T24:00:00Z", "2023-06-30T23:59:60Z", "2023-02-29T00:00:00Z", "0000-00-00T00:00Z"),
    *("2023-03-26T02:30:00", "2023-10-29T02:30:00", "2023-10-29T02:30:00+01:00"),
    *("1899-12-31T23:59:59Z", "2199-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:00Z"),
    *("0001-01-01T00:00:00Z", "1677-09-21T00:12:43Z", "2262-04-11T23:47:17Z", "1685577600"),
    *("2023-06-01T00:00:00.000000001Z", "2023-06-01T00:00:00+23:59", "2023-06-01T00:00:00-23:59"),
    *("2023-06-01T00:00:00+24:00", "2023-06-01T00:00:00+99:99", "06/01/2023 00:00", "1.6.2023 0:0"),
    *("now", "today", "NaT", "2023-W22-4", "2023-152", "20230601T000000Z", "2023-06-01T00:00:00 Z"),
)
WORDS = (
    *(
        "",
        " ",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "=cmd|' /C calc'!A0",
        "a\nb",
        '"',
        "'",
    ),
    *(
        "x" * 10_001,
        "é" * 300,
        "\u202eabc",
        "\u200b",
        "a\u0301",
        "\ufeffx",
        "😀",
        "\x00",
        "\x1b[31m",
    ),
    *("../x", "/etc/passwd", "NaN", "None", "null", "true", "[bold]", "<script>", "${HOME}", "{0}"),
    *(
        "%s",
        "\x7f",
        "\x85",
        "\u2028",
        "a,b",
        "a;b",
        "\\",
        "CON",
        "0",
        "site-1",
        "server-1",
        "app-1",
    ),
)
BYTES = (
    *(b"\0", b"\xff", b"\xfe", b'"', b'""', b"\n", b"\r", b"\r\n", b",", b";", b"\t", b"-", b"e"),
    *(b"9", b"{", b"]", b"\\", b" ", b"N", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf", b"\x1f\x8b"),
    *(b"NaN", b"1e400", b"null", b"true", b"[]", b"{}", b"..", b"9" * 30, b"\\ud800", b"\\u0000"),
)
DEEP = 100_000


def nasty_cell(rng: random.Random) -> str:
    """One cell out of a bad dream."""
    return rng.choice(rng.choice((NUMBERS, NUMBERS, TIMES, WORDS)))


# ------------------------------------------------------------------------------------------ bytes
def bytes_mutated(raw: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, inserted, doubled, swapped, or written in another encoding."""
    changed = bytearray(raw)
    at = rng.randrange(len(changed) + 1)
    length = rng.randrange(1, 20)
    kind = rng.randrange(9)
    if kind == 0 and changed:
        changed[min(at, len(changed) - 1)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[at : at + length]
    elif kind == 2:
        changed[at:at] = rng.choice(BYTES)
    elif kind == 3:
        changed[at:at] = changed[at : at + length * 5]
    elif kind == 4:
        del changed[at:]
    elif kind == 5:
        changed[at : at + length] = rng.choice(BYTES)
    elif kind == 6:
        other = rng.randrange(len(changed) + 1)
        part = changed[at : at + length]
        changed[other:other] = part
    elif kind == 7:
        return rng.choice(_ENCODINGS)(raw)
    else:
        return rng.choice(_WHOLES)(raw)
    return bytes(changed)


def _recoded(encoding: str) -> Callable[[bytes], bytes]:
    return lambda raw: raw.decode("utf-8", "replace").encode(encoding, "replace")


_ENCODINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: b"\xef\xbb\xbf" + raw,
    lambda raw: b"\xef\xbb\xbf" * 2 + raw,
    lambda raw: raw.replace(b"\n", b"\r\n"),
    lambda raw: raw.replace(b"\n", b"\r"),
    lambda raw: raw.replace(b"\n", b"\n\n"),
    lambda raw: raw + "é".encode("latin-1"),
    _recoded("utf-16"),
    _recoded("utf-16-le"),
    _recoded("utf-32"),
    _recoded("cp037"),
    _recoded("utf-7"),
)
_WHOLES: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: b"",
    lambda raw: b"\n",
    lambda raw: b"\0" * len(raw),
    lambda raw: raw[::-1],
    lambda raw: raw + raw,
    lambda raw: raw.rstrip(b"\n"),
    lambda raw: raw + b"\n\n\n",
    lambda raw: raw + b"\n\n,\n",
    lambda raw: bytes(range(256)),
    lambda raw: gzip.compress(raw, 1),
    lambda raw: gzip.compress(raw, 1)[: len(raw) // 4],
    lambda raw: b"PK\x03\x04" + raw,
    lambda raw: b"PAR1" + raw + b"PAR1",
    lambda raw: raw.replace(b",", b";"),
    lambda raw: raw.replace(b",", b"\t"),
    lambda raw: raw.replace(b",", b", "),
    lambda raw: raw.replace(b".", b","),
    lambda raw: raw.upper(),
    lambda raw: raw.split(b"\n", 1)[0] + b"\n",
    lambda raw: raw.split(b"\n", 1)[-1],
)


# ------------------------------------------------------------------------------------------ tables
def grid_of(raw: bytes) -> Grid:
    """Cells of a sound CSV file, the header first."""
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


def text_of(grid: Grid) -> bytes:
    """A CSV file of cells; half characters and all."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(grid)
    return out.getvalue().encode("utf-8", "surrogatepass")


def grid_mutated(grid: Grid, rng: random.Random) -> Grid:
    """Another table: cells, rows or columns of it changed, in a copy."""
    changed = [row.copy() for row in grid]
    rng.choice(_GRID)(changed, rng)
    return changed


def _position(grid: Grid, rng: random.Random) -> tuple[list[str], int]:
    row = grid[rng.randrange(1, len(grid)) if len(grid) > 1 and rng.random() < 0.95 else 0]
    if not row:
        row.append("")
    return row, rng.randrange(len(row))


def _bad_cell(grid: Grid, rng: random.Random) -> None:
    row, at = _position(grid, rng)
    row[at] = nasty_cell(rng)


def number_changed(text: str, rng: random.Random) -> str:
    """Another number near or far, as text; for what is no number, another text."""
    try:
        value = float(text)
    except ValueError:
        return nasty_cell(rng)
    if not math.isfinite(value):
        return rng.choice(NUMBERS)
    factors = (0.0, 0.5, 2.0, 10.0, 0.1, -1.0, 1 + 2**-52, 1e-3, 1e3, 1e-12, 1e12)
    kind = rng.randrange(6)
    if kind == 0:
        return repr(math.nextafter(value, rng.choice((-math.inf, math.inf))))
    if kind == 1:
        return repr(round(value) + rng.choice((-1, 0, 1)))
    if kind == 2:
        return rng.choice(NUMBERS)
    found = value * rng.choice(factors)
    return (
        repr(int(found)) if re.fullmatch(r"-?[0-9]+", text) and abs(found) < 1e18 else repr(found)
    )


def _number(grid: Grid, rng: random.Random) -> None:
    row, at = _position(grid, rng)
    row[at] = number_changed(row[at], rng)


def _column_scaled(grid: Grid, rng: random.Random) -> None:
    at = rng.randrange(max(1, len(grid[0])))
    factor = rng.choice((0.0, 1e-300, 1e-6, 0.5, 2.0, 1e6, 1e12, 1e300, -1.0))
    for row in grid[1:]:
        if at < len(row):
            try:
                row[at] = repr(float(row[at]) * factor)
            except ValueError:
                return


def _column_constant(grid: Grid, rng: random.Random) -> None:
    at = rng.randrange(max(1, len(grid[0])))
    value = rng.choice([row[at] for row in grid[1:] if at < len(row)] or [nasty_cell(rng)])
    value = value if rng.random() < 0.7 else nasty_cell(rng)
    for row in grid[1:]:
        if at < len(row):
            row[at] = value


def _row_removed(grid: Grid, rng: random.Random) -> None:
    if grid:
        del grid[rng.randrange(len(grid))]
    if not grid:
        grid.append([])


def _row_doubled(grid: Grid, rng: random.Random) -> None:
    row = grid[rng.randrange(len(grid))].copy()
    grid.insert(rng.randrange(len(grid) + 1), row)


def _rows_shuffled(grid: Grid, rng: random.Random) -> None:
    rows = grid[1:]
    rng.shuffle(rows)
    grid[1:] = rows


def _column_removed(grid: Grid, rng: random.Random) -> None:
    at = rng.randrange(max(1, len(grid[0])))
    for row in grid:
        del row[at : at + 1]


def _column_doubled(grid: Grid, rng: random.Random) -> None:
    at = rng.randrange(max(1, len(grid[0])))
    name = rng.choice(("copy", "", "x" * 5000, None))
    for i, row in enumerate(grid):
        cell = row[at] if at < len(row) else ""
        row.append(name if i == 0 and name is not None else cell)


def _columns_swapped(grid: Grid, rng: random.Random) -> None:
    a, b = (rng.randrange(max(1, len(grid[0]))) for _ in range(2))
    with_header = rng.random() < 0.5
    for row in grid if with_header else grid[1:]:
        if max(a, b) < len(row):
            row[a], row[b] = row[b], row[a]


def _cells_swapped(grid: Grid, rng: random.Random) -> None:
    at = rng.randrange(max(1, len(grid[0])))
    rows = [row for row in grid[1:] if at < len(row)]
    if len(rows) > 1:
        one, other = rng.sample(rows, 2)
        one[at], other[at] = other[at], one[at]


def _renamed(grid: Grid, rng: random.Random) -> None:
    if grid[0]:
        at = rng.randrange(len(grid[0]))
        name = grid[0][at]
        others = (name.upper(), f" {name}", name[:-1], name.replace("_", " "), "", nasty_cell(rng))
        grid[0][at] = rng.choice(others)


def _row_short(grid: Grid, rng: random.Random) -> None:
    row = rng.choice(grid)
    if rng.random() < 0.5 and row:
        row.pop()
    else:
        row.append(nasty_cell(rng))


def _rows_many(grid: Grid, rng: random.Random) -> None:
    rows = grid[1:]
    grid.extend(row.copy() for _ in range(rng.choice((1, 10, 100))) for row in rows[:20])


def _label_replaced(grid: Grid, rng: random.Random) -> None:
    """One name everywhere in a column replaced: other tables refer to something that is gone."""
    row, at = _position(grid, rng)
    old, new = row[at], nasty_cell(rng)
    for other in grid[1:]:
        if at < len(other) and other[at] == old:
            other[at] = new


def _hours_moved(grid: Grid, rng: random.Random) -> None:
    """Times written with another offset or clock, as a local export would."""
    offset = rng.choice(("+01:00", "+05:30", "", "-08:00", " Z", "+0000"))
    for row in grid[1:]:
        for i, cell in enumerate(row):
            if cell.endswith("Z") and cell[:2] == "20":
                row[i] = cell[:-1] + offset


_GRID: tuple[Callable[[Grid, random.Random], None], ...] = (
    *(_bad_cell, _bad_cell, _bad_cell, _number, _number, _number, _number, _number),
    *(_column_scaled, _column_constant, _row_removed, _row_doubled, _rows_shuffled),
    *(_column_removed, _column_doubled, _columns_swapped, _cells_swapped, _renamed),
    *(_row_short, _rows_many, _label_replaced, _hours_moved),
)


def table_mutated(raw: bytes, grid: Grid, rng: random.Random) -> bytes:
    """A CSV file after one to three mutations of its cells, its bytes, or both."""
    found = raw
    if rng.random() < 0.75:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            grid = grid_mutated(grid or [[]], rng)
            if not grid:
                grid = [[]]
        found = text_of(grid)
    if found is raw or rng.random() < 0.08:
        for _ in range(rng.choice((1, 1, 2, 3))):
            found = bytes_mutated(found, rng)
    return found


# ------------------------------------------------------------------------------------------ JSON
SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, -0.0, 1, -1, 0.5, 1e308, -1e308, 5e-324, 1e-9, 1e12, 1e18, 2**53 + 1),
    *(2**63, -(2**63) - 1, 10**400, math.nan, math.inf, -math.inf, "", "4", "NaN", "1e400", "=1+1"),
    *([], {}, [[]], [1], {"a": 1}, ["x", None], "x" * 20_000, "\x00", "\ud800", "é\u202e", "../x"),
    *("2023-06-01T00:00:00Z", "2023-06-01", "0001-01-01T00:00:00Z", "scaling.job", "true"),
)


def json_mutated(content: Any, rng: random.Random, focus: str | None = None) -> Any:
    """Another JSON value: one node changed, removed, added, wrapped or moved, in a copy.

    `focus` names a key below which most changes are made.
    """
    changed = json.loads(json.dumps(content))
    nodes = _nodes(changed)
    if focus is not None and rng.random() < 0.6:
        near = [node for node in nodes if focus in node[2]]
        nodes = near or nodes
    if not nodes:
        return rng.choice(SCALARS)
    parent, key, _ = rng.choice(nodes)
    value = parent[key]
    kind = rng.randrange(10)
    if kind <= 2 and isinstance(value, int | float) and not isinstance(value, bool):
        text = number_changed(repr(value), rng)
        try:
            parent[key] = json.loads(text)
        except ValueError:
            parent[key] = text
    elif kind <= 4:
        parent[key] = rng.choice(SCALARS)
    elif kind == 5:
        del parent[key]
    elif kind == 6:
        if isinstance(parent, dict):
            parent[rng.choice(("extra", "", f"{key}x", "__class__", "\ud800"))] = value
        else:
            parent.append(value)
    elif kind == 7:
        parent[key] = rng.choice(([value], {"value": value}, str(value), [value] * 50))
    elif kind == 8:
        other, place, _ = rng.choice(nodes)
        with suppress(KeyError, IndexError):
            parent[key], other[place] = other[place], value
        if _endless(changed):
            return rng.choice(SCALARS)
    elif isinstance(parent, dict):
        del parent[key]
        parent[f"{key} "] = value
    return changed


def json_text(content: Any, rng: random.Random) -> bytes:
    """JSON as bytes; now and then with a broken detail that no parser would write."""
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    kind = rng.randrange(40)
    if kind == 0:
        return text.replace(b"{", b'{"name": 1, "name": 2, ', 1)
    if kind == 1:
        open_, close = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
        return text.replace(b": ", b": " + open_ * DEEP + b"0" + close * DEEP + b', "x": ', 1)
    if kind == 2:
        return re.sub(
            rb"\d+(\.\d+)?", rng.choice((b"1e400", b"9" * 5000, b"-0", b"01")), text, count=1
        )
    if kind == 3:
        return bytes_mutated(text, rng)
    return text


def _nodes(content: Any, path: tuple[str, ...] = ()) -> list[tuple[Any, Any, tuple[str, ...]]]:
    """Every place in a JSON value: its container, its key, and the keys that lead there."""
    items: list[tuple[Any, Any]] = []
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content))
    found = []
    for key, value in items:
        here = (*path, str(key))
        found.append((content, key, here))
        found += _nodes(value, here)
    return found


def _endless(content: Any) -> bool:
    try:
        json.dumps(content)
    except (ValueError, RecursionError):
        return True
    return False
