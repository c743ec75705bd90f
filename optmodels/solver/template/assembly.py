"""From terms to a sparse matrix, without sorting.

The rows of a constraint family are filled side by side: a term over the lanes of the family has one
entry in each row, a term over a grid inside it the same number in every row, and only sums over
indexed sets differ from row to row. So the place of every entry is known beforehand and each term
is one strided write. Columns that may occur twice in a row are found by the way terms are indexed,
and only then looked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..labels import FloatArray
from .lanes import Lanes, path, same_lanes
from .spaces import IndexArray
from .terms import Term


@dataclass(frozen=True)
class RowBlock:
    """Rows of one constraint family in compressed form.

    Attributes
    ----------
    counts
        Entries per row: one number where all rows have as many, else one per row.
    columns, values
        Entries, row after row.
    """

    rows: int
    counts: int | IndexArray
    columns: NDArray[np.int32]
    values: FloatArray


def row_block(terms: Sequence[Term], lanes: Lanes) -> RowBlock:
    """Rows of a constraint over some lanes."""
    rows = lanes.size
    places = [(term, _rows_of(term.lanes, lanes)) for term in terms]
    regular = [term for term, place in places if place is None]
    ragged = [(term, place) for term, place in places if place is not None]
    widths = [math.prod(t.lanes.shape[len(lanes.shape) :]) for t in regular]
    width = sum(widths)
    if not ragged:
        columns = np.empty(rows * width, dtype=np.int32)
        values = np.empty(rows * width)
        _fill(regular, widths, lanes, columns, values)
        block = RowBlock(rows, width, columns, values)
    else:
        block = _with_ragged(regular, ragged, width, lanes)
    return _summed(block) if _may_repeat(terms, lanes) else _without_zeros(block)


class Assembly:
    """The matrix, put together from families of rows that may be replaced.

    Parameters
    ----------
    columns
        Number of columns.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._blocks: dict[str, RowBlock] = {}
        self._pattern: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
        self._order: IndexArray | None = None

    def put(self, name: str, block: RowBlock) -> None:
        """Set or replace a family; families keep the order in which they came first."""
        old = self._blocks.get(name)
        if old is None or not _same_pattern(old, block):
            self._pattern = self._order = None
        self._blocks[name] = block

    def matrix(self) -> tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]:
        """Starts, row numbers and coefficients by columns; the first two are shared if unchanged.

        The order of the entries is worked out when the coefficients change for the first time:
        most programs never need it.
        """
        blocks = self._blocks.values()
        values = np.concatenate([np.empty(0), *(block.values for block in blocks)])
        if self._pattern is None:
            matrix = self._by_columns(values)
            starts, indices = (
                array.astype(np.int32, copy=False) for array in (matrix.indptr, matrix.indices)
            )
            self._pattern = (starts, indices)
            return starts, indices, matrix.data
        if self._order is None:
            self._order = self._by_columns(np.arange(values.size)).data
        return *self._pattern, values[self._order]

    def _by_columns(self, values: NDArray[Any]) -> Any:
        blocks = self._blocks.values()
        rows = sum(block.rows for block in blocks)
        counts = [np.broadcast_to(np.asarray(b.counts, np.int32), b.rows) for b in blocks]
        starts = np.zeros(rows + 1, dtype=np.int32)
        np.cumsum(np.concatenate([np.empty(0, np.int32), *counts]), out=starts[1:])
        columns = np.concatenate([np.empty(0, np.int32), *(block.columns for block in blocks)])
        return sp.csr_array((values, columns, starts), shape=(rows, self._columns)).tocsc()


def _same_pattern(one: RowBlock, other: RowBlock) -> bool:
    return (
        one.rows == other.rows
        and np.array_equal(one.counts, other.counts)
        and np.array_equal(one.columns, other.columns)
    )


def dense_row(terms: Sequence[Term], columns: int) -> FloatArray:
    """A single row as a dense vector: the objective."""

    def dense(term: Term) -> FloatArray:
        shape = term.lanes.shape
        places = np.broadcast_to(term.columns, shape).reshape(-1)
        weights = np.broadcast_to(np.asarray(term.values, dtype=float), shape).reshape(-1)
        return np.asarray(np.bincount(places, weights=weights, minlength=columns), dtype=float)

    return reduce(np.add, map(dense, terms)) if terms else np.zeros(columns)


def _fill(
    regular: Sequence[Term],
    widths: Sequence[int],
    lanes: Lanes,
    columns: NDArray[np.int32],
    values: FloatArray,
) -> None:
    """Write terms of equal width per row into rows of equal length."""
    width = sum(widths)
    offset = 0
    for term, own in zip(regular, widths, strict=True):
        inner = term.lanes.shape[len(lanes.shape) :]
        for target, source in ((columns, term.columns), (values, term.values)):
            strip = target.reshape((*lanes.shape, width))[..., offset : offset + own]
            strip = strip.reshape((*lanes.shape, *inner)) if len(inner) != 1 else strip
            strip[...] = source
        offset += own


def _with_ragged(
    regular: Sequence[Term],
    ragged: Sequence[tuple[Term, IndexArray]],
    width: int,
    lanes: Lanes,
) -> RowBlock:
    """Rows in which some terms have different numbers of entries: regular ones come first."""
    rows = lanes.size
    own_counts = [np.bincount(row, minlength=rows) for _, row in ragged]
    counts = np.sum([np.full(rows, width), *own_counts], axis=0).astype(np.int32)
    starts = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    columns = np.empty(starts[-1], dtype=np.int32)
    values = np.empty(starts[-1])
    if width:
        widths = [math.prod(t.lanes.shape[len(lanes.shape) :]) for t in regular]
        even_columns = np.empty(rows * width, dtype=np.int32)
        even_values = np.empty(rows * width)
        _fill(regular, widths, lanes, even_columns, even_values)
        places = (starts[:-1, None] + np.arange(width)).reshape(-1)
        columns[places] = even_columns
        values[places] = even_values
    begin = starts[:-1] + width
    for (term, row), count in zip(ragged, own_counts, strict=True):
        first = np.cumsum(count) - count
        places = np.arange(row.size) + (begin - first)[row]
        shape = term.lanes.shape
        columns[places] = np.broadcast_to(term.columns, shape).reshape(-1)
        values[places] = np.broadcast_to(np.asarray(term.values, float), shape).reshape(-1)
        begin = begin + count
    return RowBlock(rows, counts, columns, values)


def _rows_of(inner: Lanes, outer: Lanes) -> IndexArray | None:
    """Row of each inner lane, sorted; None where inner lanes are a grid over the outer ones."""
    levels = path(inner, outer)
    if all(level.rows is None for level in levels):
        return None
    rows: IndexArray = np.arange(inner.size)
    for level in levels:
        if level.rows is not None:
            rows = level.rows[rows]
        else:
            assert level.parent is not None
            rows = rows // math.prod(level.shape[len(level.parent.shape) :])
    return rows


def _may_repeat(terms: Sequence[Term], lanes: Lanes) -> bool:
    """Whether some column may occur twice in a row."""
    for term in terms:
        inner: set[int] = set()
        for level in path(term.lanes, lanes):
            inner |= level.own_templates
        if not inner <= term.plain:
            return True
    for one, other in combinations(terms, 2):
        if one.component != other.component:
            continue
        if not (same_lanes(one.lanes, lanes) and same_lanes(other.lanes, lanes)):
            return True
        if (one.columns == other.columns).any():
            return True
    return False


def _matrix_of(block: RowBlock) -> Any:
    counts = np.broadcast_to(np.asarray(block.counts), block.rows)
    starts = np.concatenate([[0], np.cumsum(counts)])
    width = int(block.columns.max()) + 1 if block.columns.size else 1
    return sp.csr_array((block.values, block.columns, starts), shape=(block.rows, width))


def _summed(block: RowBlock) -> RowBlock:
    matrix = _matrix_of(block)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return _block_of(matrix, block.rows)


def _without_zeros(block: RowBlock) -> RowBlock:
    if block.values.all():
        return block
    matrix = _matrix_of(block)
    matrix.eliminate_zeros()
    return _block_of(matrix, block.rows)


def _block_of(matrix: Any, rows: int) -> RowBlock:
    return RowBlock(rows, np.diff(matrix.indptr), matrix.indices.astype(np.int32), matrix.data)
