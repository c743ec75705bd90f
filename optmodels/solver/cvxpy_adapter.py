"""Front end for CVXPY problems.

CVXPY canonicalises the problem (its chain of reductions); we take the resulting arrays instead of
letting CVXPY call the solver, because at a time limit without incumbent it hands out a point that
violates the constraints. Linear, mixed-integer linear and quadratic problems become a
`LinearModel` for HiGHS. Problems with cones go to Clarabel as a `ConicProblem`, and the point is
checked against every cone here.

The way back (values of the variables, duals of the constraints) is CVXPY's own: the numbers are
sent backwards through its chain, so that they mean exactly what CVXPY means by them. The same way
tells where each variable and constraint stands in the matrix: we send the *places* back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cvxpy as cp
import numpy as np
import pandas as pd
import scipy.sparse as sp
from cvxpy import settings as names
from cvxpy.constraints.cones import Cone
from cvxpy.reductions.cvx_attr2constr import CvxAttr2Constr

from ..errors import UsageError
from .labels import Family, FloatArray, Labels, make_index, scalar_index
from .linear import FEASIBILITY_TOLERANCE, LinearModel
from .reasons import first_line

if TYPE_CHECKING:
    from .cones import ConicProblem

_NO_COUNTS = {
    "ipm_iteration_count": 0,
    "crossover_iteration_count": 0,
    "pdlp_iteration_count": 0,
    "qp_iteration_count": 0,
    "simplex_iteration_count": 0,
}


def compile_cvxpy(
    problem: cp.Problem, source: cp.Problem | None = None
) -> LinearModel | ConicProblem:
    """Turn a CVXPY problem into a `LinearModel`, or a `ConicProblem` where it has cones.

    Parameters
    ----------
    problem
        The problem; what CVXPY remembers of its canonical form stays with it.
    source
        Problem with the same objective and constraints that values are loaded into, where it is
        not `problem` itself.

    Raises
    ------
    UsageError
        The problem is not convex (DCP), a parameter has no value, or it mixes integers with
        cones or a quadratic objective.
    """
    begin = time.perf_counter()
    source = problem if source is None else source
    if not problem.is_dcp():
        raise UsageError(
            "The CVXPY problem is not convex by the DCP rules. Fix: find the expression with "
            "`expr.is_convex()`, and write it by convex atoms."
        )
    empty = [parameter.name() for parameter in problem.parameters() if parameter.value is None]
    if empty:
        raise UsageError(f"CVXPY parameters without a value: {', '.join(empty)}.")
    if not problem.variables():
        return _without_variables(source, begin)
    has_cones = any(isinstance(constraint, Cone) for constraint in problem.constraints)
    if problem.is_qp() and not has_cones:
        return _linear(problem, source, begin)
    if problem.is_mixed_integer():
        raise UsageError(
            "The CVXPY problem mixes integer variables with cones (norms, quadratic constraints, "
            "logarithms), which no solver here can prove optimal. Fix: use linear atoms "
            "(norm1, norm_inf, max), or continuous variables."
        )
    from .cones import ConicProblem

    return ConicProblem(problem, source, begin)


def problem_data(problem: cp.Problem, solver: str) -> tuple[dict[str, Any], Any, list[Any]]:
    """CVXPY's arrays for a solver, its chain of reductions, and the memory of the way back."""
    try:
        data, chain, inverse = problem.get_problem_data(solver, solver_opts={})
    except (cp.error.SolverError, cp.error.DCPError, ValueError) as error:
        reason = first_line(error)
        hint = ""
        if problem.is_mixed_integer():
            hint = " HiGHS takes no quadratic objective with integer variables."
        raise UsageError(f"CVXPY cannot prepare the problem: {reason}.{hint}") from error
    return data, chain, list(inverse)


def _linear(problem: cp.Problem, source: cp.Problem, begin: float) -> LinearModel:
    data, chain, inverse = problem_data(problem, cp.HIGHS)
    hessian = None
    if names.P in data:
        rows = sp.vstack([data[names.A], data[names.F]])
        upper = np.concatenate([data[names.B], data[names.G]])
        cost, equal = data[names.Q], len(data[names.B])
        if data[names.P].count_nonzero():
            triangle = sp.csc_array(sp.triu(data[names.P]))
            hessian = sp.csc_array(triangle + sp.triu(triangle, 1).T)
    else:
        rows, upper, cost = data[names.A], data[names.B], data[names.C]
        equal = data["dims"].zero
    matrix = sp.csc_array(rows)
    matrix.sum_duplicates()
    matrix.sort_indices()
    upper = np.asarray(upper, dtype=np.float64).reshape(-1)
    lower = np.full(len(upper), -np.inf)
    lower[:equal] = upper[:equal]
    count = len(cost)
    integer = np.zeros(count, dtype=np.bool_)
    integer[list(data[names.INT_IDX])] = True
    low, high = (
        np.full(count, default) if given is None else np.array(given, dtype=np.float64)
        for given, default in (
            (data.get(names.LOWER_BOUNDS), -np.inf),
            (data.get(names.UPPER_BOUNDS), np.inf),
        )
    )
    binary = list(data[names.BOOL_IDX])
    integer[binary] = True
    low[binary] = np.maximum(low[binary], 0.0)
    high[binary] = np.minimum(high[binary], 1.0)
    # CVXPY turned a maximisation into a minimisation; we turn it back.
    maximize = isinstance(problem.objective, cp.Maximize)
    sign = -1.0 if maximize else 1.0
    return LinearModel(
        cost=sign * np.asarray(cost, dtype=np.float64).reshape(-1),
        starts=matrix.indptr.astype(np.int32),
        indices=matrix.indices.astype(np.int32),
        coefficients=matrix.data.astype(np.float64),
        row_lower=lower,
        row_upper=upper,
        column_lower=low,
        column_upper=high,
        integer=integer,
        offset=sign * float(inverse[-1][names.OFFSET]),
        maximize=maximize,
        hessian=None if hessian is None else sign * hessian,
        labels=CvxpyLabels(source, chain, inverse, count, len(upper), maximize),
        source=source,
        build_seconds=time.perf_counter() - begin,
    )


def _without_variables(problem: cp.Problem, begin: float) -> LinearModel:
    """A problem of constants: feasible or not, nothing to decide."""
    false = [
        index
        for index, constraint in enumerate(problem.constraints)
        if np.max(constraint.violation(), initial=0.0) > FEASIBILITY_TOLERANCE
    ]
    nothing, count = np.zeros(0), len(false)
    families = [
        Family(name, np.array([row]), scalar_index, doc=str(problem.constraints[index]))
        for row, index in enumerate(false)
        for name in [constraint_names(problem)[index]]
    ]
    return LinearModel(
        cost=nothing,
        starts=np.zeros(1, dtype=np.int32),
        indices=np.zeros(0, dtype=np.int32),
        coefficients=nothing,
        row_lower=np.ones(count),
        row_upper=np.full(count, np.inf),
        column_lower=nothing,
        column_upper=nothing,
        integer=np.zeros(0, dtype=np.bool_),
        offset=float(problem.objective.value),
        maximize=isinstance(problem.objective, cp.Maximize),
        labels=Labels(lambda: (), lambda: families, lambda *_: None),
        source=problem,
        build_seconds=time.perf_counter() - begin,
    )


def constraint_names(problem: cp.Problem) -> list[str]:
    """Label of each constraint where it has one, else ``constraint_0``, ``constraint_1``, ..."""
    given = [getattr(constraint, "label", None) for constraint in problem.constraints]
    return _unique([str(label or f"constraint_{i}") for i, label in enumerate(given)])


def _unique(wanted: Iterable[str]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for name in wanted:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result


def _index_of(shape: tuple[int, ...]) -> pd.Index:
    if math.prod(shape) == 1 and not shape:
        return scalar_index()
    if len(shape) == 1:
        return pd.RangeIndex(shape[0])
    return make_index(list(np.ndindex(*shape)))


def _array(value: Any) -> np.ndarray:
    dense = value.toarray() if hasattr(value, "toarray") else value
    return np.asarray(dense, dtype=np.float64)


def _series(name: str, value: Any, shape: tuple[int, ...]) -> pd.Series:
    array = _array(value).reshape(shape, order="F") if np.size(value) else np.zeros(shape)
    return pd.Series(array.reshape(-1), index=_index_of(shape), name=name)


def named_solution(
    problem: cp.Problem, found: Any
) -> tuple[dict[str, pd.Series], dict[str, pd.Series]]:
    """Values and duals by name from a solution in CVXPY's own terms."""
    variables = problem.variables()
    values = {
        name: _series(name, found.primal_vars[variable.id], variable.shape)
        for name, variable in zip(
            _unique(variable.name() for variable in variables), variables, strict=True
        )
    }
    duals = {}
    for name, constraint in zip(constraint_names(problem), problem.constraints, strict=True):
        value = (found.dual_vars or {}).get(constraint.id)
        if value is None:
            continue
        parts = value if isinstance(value, list | tuple) else [value]
        if len(parts) == 1:
            duals[name] = _series(name, parts[0], np.shape(_array(parts[0])))
        else:
            flat = np.concatenate([_array(part).reshape(-1, order="F") for part in parts])
            duals[name] = pd.Series(flat, index=pd.RangeIndex(len(flat)), name=name)
    return values, duals


class _NotInteger:
    """A solver's inverse data that calls the problem continuous.

    CVXPY sends no duals back for integer problems, but the places of their rows we want.
    """

    def __init__(self, inverse: Any) -> None:
        self._inverse = inverse

    def __getitem__(self, key: str) -> Any:
        return False if key in ("is_mip", "IS_MIP") else self._inverse[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inverse, name)


class CvxpyLabels(Labels):
    """Names of a canonicalised problem's rows and columns, and the way back to CVXPY.

    Rows and columns which CVXPY introduced itself carry no name of the problem; they answer as
    ``auxiliary_constraint[i]`` and ``auxiliary_variable[j]``.
    """

    def __init__(
        self,
        problem: cp.Problem,
        chain: Any,
        inverse: list[Any],
        columns: int,
        rows: int,
        maximize: bool,
    ) -> None:
        super().__init__(self._column_families, self._row_families)
        self._problem, self._chain, self._inverse = problem, chain, inverse
        self._sizes = (columns, rows)
        self._sign = -1.0 if maximize else 1.0

    def _result(self, x: FloatArray, row_dual: FloatArray | None) -> dict[str, Any]:
        """What CVXPY expects from HiGHS for a point and row duals of the minimisation."""
        return {
            "run_time": 0.0,
            "info": SimpleNamespace(objective_function_value=0.0, **_NO_COUNTS),
            "solution": SimpleNamespace(
                col_value=x,
                row_dual=np.zeros(self._sizes[1]) if row_dual is None else row_dual,
            ),
            "model_status": "kOptimal",
        }

    def _back(self, x: FloatArray, row_dual: FloatArray | None) -> Any:
        """Send a point and row duals (of the minimisation) backwards through CVXPY's chain."""
        return self._chain.invert(self._result(x, row_dual), self._inverse)

    @cached_property
    def _places(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """Places plus one of the variables and of the constraints, by CVXPY's ids."""
        columns, rows = self._sizes
        # 1, 2, 3, ... so that zero means "nowhere"; signs may flip on the way.
        found: Any = self._result(np.arange(1.0, columns + 1), np.arange(1.0, rows + 1))
        inverse = [*self._inverse[:-1], _NotInteger(self._inverse[-1])]
        where: dict[int, Any] = {}
        for reduction, memory in zip(
            reversed(self._chain.reductions), reversed(inverse), strict=True
        ):
            if isinstance(reduction, CvxAttr2Constr) and memory:
                # This step would clip the places to the variables' bounds: rename them here.
                renamed = memory[0]
                where |= {
                    old: found.primal_vars[new.id]
                    for old, new in renamed.items()
                    if new.id in found.primal_vars
                }
            found = reduction.invert(found, memory)
        return {**found.primal_vars, **where}, found.dual_vars or {}

    def _column_families(self) -> Iterable[Family]:
        variables = self._problem.variables()
        for name, variable in zip(
            _unique(variable.name() for variable in variables), variables, strict=True
        ):
            places = self._places[0].get(variable.id)
            yield _family(name, places, variable.shape, self._sizes[0], None)

    def _row_families(self) -> Iterable[Family]:
        constraints = self._problem.constraints
        for name, constraint in zip(constraint_names(self._problem), constraints, strict=True):
            places = self._places[1].get(constraint.id)
            yield _family(name, places, constraint.shape, self._sizes[1], str(constraint))

    def values(self, x: FloatArray) -> dict[str, pd.Series]:
        """Value of every variable by name."""
        return named_solution(self._problem, self._back(x, None))[0]

    def duals(self, row_dual: FloatArray) -> dict[str, pd.Series]:
        """``dual_value`` of every constraint by name."""
        x = np.zeros(self._sizes[0])
        return named_solution(self._problem, self._back(x, self._sign * row_dual))[1]

    def reduced_costs(self, column_dual: FloatArray) -> dict[str, pd.Series]:
        """Nothing: in CVXPY bounds are constraints, and have duals."""
        return {}

    def load(
        self, x: FloatArray, row_dual: FloatArray | None, column_dual: FloatArray | None
    ) -> bool:
        """Write values and duals into the problem's variables and constraints."""
        found = self._back(x, None if row_dual is None else self._sign * row_dual)
        if found.dual_vars is None:
            found.dual_vars = {}
        self._problem.unpack(found)
        return True


def _family(name: str, places: Any, shape: tuple[int, ...], size: int, doc: str | None) -> Family:
    count = math.prod(shape)
    positions = np.full(count, -1, dtype=np.int64)
    if places is not None and np.size(_array(places)) == count:
        found = np.abs(_array(places).reshape(shape, order="F").reshape(-1))
        whole = (found == np.round(found)) & (found >= 1) & (found <= size)
        positions[whole] = found[whole].astype(np.int64) - 1
    return Family(name, positions, lambda: _index_of(shape), doc=doc)
