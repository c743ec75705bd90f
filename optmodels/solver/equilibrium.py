"""Equilibration: the same model with coefficients near one, for claims that scales make doubtful.

HiGHS drops coefficients below 1e-9 and works with absolute tolerances, so that a model whose
coefficients are tiny, or span many orders of magnitude, may be called infeasible or unbounded
although it is not. Rows and
continuous columns are multiplied by powers of two, which changes no digit of any number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .labels import FloatArray
from .linear import LinearModel

WIDE = 1e9
"""Ratio of the largest to the smallest coefficient from which claims are looked at twice."""

TINY = 1e-6
"""Coefficients up to this size are looked at twice: from 1e-9 on they are nothing to HiGHS."""

_ROUNDS = 6


def is_doubtful(model: LinearModel) -> bool:
    """Whether its coefficients make a claim that there is no optimum doubtful."""
    sizes = np.abs(model.coefficients[model.coefficients != 0.0])
    if not len(sizes):
        return False
    least = float(sizes.min())
    return least <= TINY or float(sizes.max()) > WIDE * least


@dataclass(frozen=True)
class Equilibrated:
    """A model with other units.

    Attributes
    ----------
    model
        The model in these units.
    rows, columns
        What each row was multiplied by, and each variable's unit: x = columns × scaled x, and
        duals = rows × scaled duals.
    """

    model: LinearModel
    rows: FloatArray
    columns: FloatArray


def equilibrated(model: LinearModel) -> Equilibrated:
    """The model with geometric means of rows and continuous columns near one."""
    used = np.flatnonzero(model.coefficients)
    row = model.indices[used]
    column = np.repeat(np.arange(model.columns), np.diff(model.starts))[used]
    size = np.log2(np.abs(model.coefficients[used]))
    rows, columns = np.zeros(model.rows), np.zeros(model.columns)
    for _ in range(_ROUNDS):
        rows = -_middle(row, size + columns[column], model.rows)
        columns = -_middle(column, size + rows[row], model.columns)
        columns[model.integer] = 0.0
    r, c = np.exp2(np.round(rows)), np.exp2(np.round(columns))
    every = np.repeat(np.arange(model.columns), np.diff(model.starts))
    hessian = model.hessian
    if hessian is not None:
        import scipy.sparse as sp

        unit = sp.diags_array(c)
        hessian = sp.csc_array(unit @ hessian @ unit)
    scaled = replace(
        model,
        cost=model.cost * c,
        coefficients=model.coefficients * r[model.indices] * c[every],
        row_lower=model.row_lower * r,
        row_upper=model.row_upper * r,
        column_lower=model.column_lower / c,
        column_upper=model.column_upper / c,
        hessian=hessian,
        source=None,
    )
    return Equilibrated(scaled, r, c)


def _middle(group: np.ndarray, values: FloatArray, count: int) -> FloatArray:
    """Mean of the least and the largest value of each group; 0 for an empty one."""
    least, most = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(least, group, values)
    np.maximum.at(most, group, values)
    nobody = np.isinf(least)
    least[nobody] = most[nobody] = 0.0
    found: FloatArray = 0.5 * (least + most)
    return found
