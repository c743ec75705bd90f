"""Arrays into HiGHS."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import SolverError
from .linear import LinearModel


def pass_model(highs: Any, model: LinearModel) -> None:
    """Hand the arrays to HiGHS.

    Raises
    ------
    SolverError
        HiGHS refuses them.
    """
    import highspy

    # HiGHS reads integrality as int32 (0 continuous, 1 integer) and infinities as they are.
    common = (
        model.cost,
        model.column_lower,
        model.column_upper,
        model.row_lower,
        model.row_upper,
        np.asarray(model.starts, dtype=np.int32),
        np.asarray(model.indices, dtype=np.int32),
        model.coefficients,
    )
    sense = highspy.ObjSense.kMaximize if model.maximize else highspy.ObjSense.kMinimize
    shape = (model.columns, model.rows, model.nonzeros)
    by_column = int(highspy.MatrixFormat.kColwise)
    integrality = model.integer.astype(np.int32)
    if model.hessian is None:
        returned = highs.passModel(
            *shape, by_column, int(sense), model.offset, *common, integrality
        )
    else:
        import scipy.sparse as sp

        lower = sp.csc_array(sp.tril(model.hessian))
        lower.sort_indices()
        returned = highs.passModel(
            *shape,
            lower.nnz,
            by_column,
            int(highspy.HessianFormat.kTriangular),
            int(sense),
            model.offset,
            *common,
            lower.indptr.astype(np.int32),
            lower.indices.astype(np.int32),
            lower.data.astype(np.float64),
            integrality,
        )
    if returned == highspy.HighsStatus.kError:
        raise SolverError("HiGHS refuses the model.")
