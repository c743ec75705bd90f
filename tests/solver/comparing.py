"""Comparing two forms of one model, up to the order of rows and columns."""

from __future__ import annotations

from pathlib import Path

import highspy
import numpy as np
import scipy.sparse as sp

from optmodels.solver import LinearModel, export_model
from optmodels.solver.export import CONSTANT, safe_names
from optmodels.solver.labels import place_text

_DIGITS = 1e-11


def by_name(model: LinearModel) -> tuple[dict, dict, tuple]:
    """Columns, rows and the rest of a model by the names of its places."""
    columns = [place_text(*model.labels.column(j)) for j in range(model.columns)]
    rows = [place_text(*model.labels.row(i)) for i in range(model.rows)]
    return _named(model, columns, rows)


def _named(model: LinearModel, columns: list[str], rows: list[str]) -> tuple[dict, dict, tuple]:
    assert len(set(columns)) == model.columns and len(set(rows)) == model.rows
    matrix = model.matrix.tocsr()
    entries = {}
    for i, name in enumerate(rows):
        span = slice(matrix.indptr[i], matrix.indptr[i + 1])
        places = matrix.indices[span].tolist()
        assert len(set(places)) == len(places), "a column stands twice in a row"
        entries[name] = (
            float(model.row_lower[i]),
            float(model.row_upper[i]),
            {columns[j]: v for j, v in zip(places, matrix.data[span].tolist(), strict=True) if v},
        )
    described = {
        name: (
            float(model.column_lower[j]),
            float(model.column_upper[j]),
            bool(model.integer[j]),
            float(model.cost[j]),
        )
        for j, name in enumerate(columns)
    }
    return described, entries, (model.offset, model.maximize)


def assert_same(one: LinearModel, other: LinearModel) -> None:
    """Two models are the same up to order.

    A row may be turned (all signs): Pyomo turns a row of which one side has no terms left. Columns
    that appear in no row and cost nothing, and rows without entries that hold anyway, may be
    missing from one of them: Pyomo leaves them out.
    """
    (columns, rows, rest), (other_columns, other_rows, other_rest) = by_name(one), by_name(other)
    _assert_close(rest[0], other_rest[0], "offset")
    assert rest[1] == other_rest[1]
    used = {name for _, _, row in (*rows.values(), *other_rows.values()) for name in row}
    for name in columns.keys() | other_columns.keys():
        mine, theirs = columns.get(name), other_columns.get(name)
        if mine is None or theirs is None:
            present = mine or theirs
            assert name not in used and present[3] == 0, f"only one model has {name}"
            continue
        for a, b in zip(mine, theirs, strict=True):
            _assert_close(a, b, name)
    for name in rows.keys() | other_rows.keys():
        mine, theirs = rows.get(name), other_rows.get(name)
        if mine is None or theirs is None:
            low, high, row = mine or theirs
            assert not row and low <= 1e-9 and high >= -1e-9, f"only one model has {name}"
            continue
        assert mine[2].keys() == theirs[2].keys(), name
        if _turned(mine, theirs):
            theirs = (-theirs[1], -theirs[0], {name: -v for name, v in theirs[2].items()})
        for a, b in zip(mine[:2], theirs[:2], strict=True):
            _assert_close(a, b, name)
        for column, value in mine[2].items():
            _assert_close(value, theirs[2][column], f"{column} in {name}")


def _turned(mine: tuple, theirs: tuple) -> bool:
    column = next(iter(mine[2]), None)
    return column is not None and mine[2][column] * theirs[2][column] < 0


def _assert_close(a: float, b: float, what: str) -> None:
    same = a == b or abs(a - b) <= _DIGITS * max(1.0, abs(a), abs(b))
    assert same, f"{what}: {a} is not {b}"


def read_back(model: LinearModel, folder: Path, suffix: str) -> LinearModel:
    """What HiGHS reads from the file that a model is exported to, by the model's own names."""
    path = export_model(model, folder / f"model{suffix}")
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    lp = highs.getLp()
    # A last column of cost 1 times the constant of the objective, where there is one.
    size = model.columns + 1

    def column_of(place):
        return model.labels.column(place) if place < model.columns else (CONSTANT, None)

    columns = dict(zip(safe_names(size, column_of), range(size), strict=True))
    rows = dict(zip(safe_names(model.rows, model.labels.row), range(10**9), strict=False))
    column_places = np.array([columns[name] for name in lp.col_names_], dtype=int)
    # An LP file has two rows for one with two limits.
    halves = {f"{name}{half}": place for name, place in rows.items() for half in ("lo", "up")}
    row_places = np.array([{**halves, **rows}[name] for name in lp.row_names_], dtype=int)
    assert lp.a_matrix_.format_ == highspy.MatrixFormat.kColwise
    second = np.array([name in halves and name.endswith("up") for name in lp.row_names_], bool)
    read = sp.csc_array(
        (lp.a_matrix_.value_, lp.a_matrix_.index_, lp.a_matrix_.start_),
        shape=(lp.num_row_, lp.num_col_),
    )
    read.data[second[read.indices]] = 0.0
    read.eliminate_zeros()
    read = read.tocoo()
    shape = (model.rows, size)
    placed = sp.coo_array(
        (read.data, (row_places[read.coords[0]], column_places[read.coords[1]])), shape=shape
    ).tocsc()[:, :-1]

    def spread(values, places, size, outside):
        whole = np.full(size, outside, dtype=np.array(outside).dtype)
        whole[places] = values
        return whole

    kinds = list(lp.integrality_) or [highspy.HighsVarType.kContinuous] * lp.num_col_
    whole = [kind == highspy.HighsVarType.kInteger for kind in kinds]
    integer = spread(whole, column_places, size, False)[:-1]
    # HiGHS writes no marker before a column without entries: it takes the kind of the last one.
    idle = np.diff(model.starts) == 0
    integer[idle] = model.integer[idle]
    lower, upper = np.array(model.row_lower), np.array(model.row_upper)
    lower[:], upper[:] = -np.inf, np.inf
    np.maximum.at(lower, row_places, lp.row_lower_)
    np.minimum.at(upper, row_places, lp.row_upper_)
    cost = spread(lp.col_cost_, column_places, size, 0.0)
    column_lower = spread(lp.col_lower_, column_places, size, 0.0)
    column_upper = spread(lp.col_upper_, column_places, size, np.inf)
    if cost[-1]:
        assert column_lower[-1] == column_upper[-1] == 1
    return LinearModel(
        cost=cost[:-1],
        starts=placed.indptr.astype(np.int32),
        indices=placed.indices.astype(np.int32),
        coefficients=placed.data,
        row_lower=lower,
        row_upper=upper,
        column_lower=column_lower[:-1],
        column_upper=column_upper[:-1],
        integer=integer,
        offset=lp.offset_ + cost[-1],
        maximize=lp.sense_ == highspy.ObjSense.kMaximize,
        labels=model.labels,
    )
