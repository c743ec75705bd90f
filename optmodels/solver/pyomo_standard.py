"""Front end for Pyomo models, through Pyomo's own standard-form compiler.

`LinearStandardFormCompiler` walks every expression once and gives sparse matrices; here they
become a `LinearModel`. What the compiler leaves out is put back: variables that no constraint
names, both sides of a ranged constraint in one row, and constraints without variables that are
false (they make the model infeasible, they are no error of the program).

Garbage collection is paused while the arrays are built: it saves a quarter of the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from ..errors import Flaw, InputError, OptmodelsError, UsageError
from .labels import Family, FloatArray, Labels, make_index, scalar_index
from .linear import LinearModel
from .pyomo_instance import create_instance
from .reasons import first_line

_TRIVIAL_TOLERANCE = 1e-9
_HARMLESS = frozenset(
    {
        "Block",
        "BuildAction",
        "BuildCheck",
        "Constraint",
        "Expression",
        "ExternalFunction",
        "LogicalConstraint",
        "Objective",
        "Param",
        "Piecewise",
        "Port",
        "RangeSet",
        "Set",
        "Suffix",
        "Var",
        "BooleanVar",
    }
)
_ADVICE = {
    "Disjunct": "apply `pyo.TransformationFactory('gdp.bigm').apply_to(model)` first",
    "Disjunction": "apply `pyo.TransformationFactory('gdp.bigm').apply_to(model)` first",
    "LogicalConstraint": (
        "apply `pyo.TransformationFactory('core.logical_to_linear').apply_to(model)` first"
    ),
    "SOSConstraint": "write the special ordered set with binary variables",
    "Complementarity": "apply the transformations 'mpec.simple_disjunction' and 'gdp.bigm' first",
    "DerivativeVar": "apply `pyo.TransformationFactory('dae.finite_difference')` first",
}


def compile_pyomo(model: Any, data: object = None) -> LinearModel:
    """Turn a Pyomo model into a `LinearModel`.

    Parameters
    ----------
    model
        ConcreteModel, or AbstractModel together with its data.
    data
        What `AbstractModel.create_instance` takes; only for an AbstractModel.

    Raises
    ------
    UsageError
        Several active objectives, nonlinear or quadratic terms, components that are no linear
        constraints, an AbstractModel without data.
    InputError
        Coefficients or bounds that are not finite, fixed variables without value.
    """
    begin = time.perf_counter()
    with PauseGC():
        if not model.is_constructed():
            model = _instance(model, data)
        elif data is not None:
            raise UsageError("`data` is for an AbstractModel; this model already has its data.")
        _refuse_foreign(model)
        try:
            info = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=None)
            return _assemble(model, info, begin)
        except OptmodelsError:
            raise
        except Exception as error:  # one slow look finds the cause of every kind of failure
            return _compile_without_constants(model, _diagnose(model, error), begin)


def _instance(model: Any, data: object) -> Any:
    try:
        return create_instance(model, data)
    except Exception as error:
        missing = "" if data is not None else " Fix: pass data=... with the model's data."
        raise UsageError(
            f"The AbstractModel cannot be given its data: {error}.{missing}"
        ) from error


def _refuse_foreign(model: Any) -> None:
    problems: dict[str, list[str]] = {}
    for block in model.block_data_objects(active=True, descend_into=True):
        for component in block.component_map(active=True).values():
            kind = component.ctype.__name__
            if kind == "LogicalConstraint" and len(component) == 0:
                continue
            if kind not in _HARMLESS or kind in _ADVICE:
                problems.setdefault(kind, []).append(component.name)
    if problems:
        told = "; ".join(
            f"{kind} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}): "
            + _ADVICE.get(kind, "deactivate it or write it as linear constraints")
            for kind, names in problems.items()
        )
        raise UsageError(f"The model holds components that are no linear constraints. Fix: {told}.")
    objectives = [
        objective.name
        for objective in model.component_data_objects(pyo.Objective, active=True, descend_into=True)
    ]
    if len(objectives) > 1:
        raise UsageError(
            f"The model has {len(objectives)} active objectives ({', '.join(objectives[:5])}). "
            "Fix: deactivate all but one."
        )


def _diagnose(model: Any, error: Exception) -> list[tuple[Any, float]]:
    """Find out, expression by expression, why the compiler failed; all causes together.

    Returns the constraints and the objective without variables, the only trouble left, each with
    the value of its body.
    """
    flaws: list[Flaw] = []
    crooked: list[str] = []
    constant: list[tuple[Any, float]] = []
    active = {"active": True, "descend_into": True}
    flaws += [
        Flaw("is fixed but has no value", field=variable.name)
        for variable in model.component_data_objects(pyo.Var, **active)
        if variable.fixed and variable.value is None
    ]
    if flaws:
        raise InputError(flaws, "Pyomo model") from error
    for data in model.component_data_objects((pyo.Objective, pyo.Constraint), **active):
        is_row = data.ctype is pyo.Constraint
        try:
            body = data.body if is_row else data.expr
            repn = generate_standard_repn(body, compute_values=True, quadratic=False)
        except Exception as cause:
            flaws.append(Flaw(f"cannot be evaluated ({first_line(cause)})", field=data.name))
            continue
        if repn.nonlinear_expr is not None:
            crooked.append(data.name)
        for variable, coefficient in zip(repn.linear_vars, repn.linear_coefs, strict=True):
            if not _finite(coefficient):
                flaws.append(
                    Flaw(
                        f"is not a usable coefficient of {variable.name}",
                        field=data.name,
                        value=coefficient,
                    )
                )
        if not _finite(repn.constant):
            flaws.append(Flaw("is not a usable constant", field=data.name, value=repn.constant))
        if not repn.linear_vars:
            constant.append((data, repn.constant))
        if is_row:
            limits = (data.lower, data.upper)
            if any(side is not None and math.isnan(pyo.value(side)) for side in limits):
                flaws.append(Flaw("has a limit that is not a number", field=data.name))
    if crooked:
        raise UsageError(
            f"Nonlinear or quadratic terms in {', '.join(crooked[:10])}"
            f"{', ...' if len(crooked) > 10 else ''}: HiGHS solves linear and mixed-integer "
            "linear Pyomo models. Fix: write a convex quadratic objective with CVXPY, or make "
            "the terms linear (products with a binary variable have a linear form)."
        ) from error
    if flaws:
        raise InputError(flaws, "Pyomo model") from error
    if not constant:
        raise UsageError(f"Pyomo cannot compile the model: {first_line(error)}.") from error
    return constant


def _compile_without_constants(
    model: Any, constant: Sequence[tuple[Any, float]], begin: float
) -> LinearModel:
    """Compile a copy of the model without its constant parts; what they say is put back.

    Pyomo refuses a constraint without variables that is false; some versions also fail on a
    constant objective.
    """
    copy = model.clone()
    false: list[tuple[Any, float, float]] = []
    goal: tuple[float, bool] | None = None
    dropped = []
    for data, level in constant:
        twin = pyo.ComponentUID(data, context=model).find_component_on(copy)
        dropped.append(twin)
        if data.ctype is pyo.Objective:
            goal = (float(level), data.sense == pyo.maximize)
            continue
        lower, upper = (
            side if side is None else pyo.value(side) for side in (data.lower, data.upper)
        )
        low = -math.inf if lower is None else lower - level
        high = math.inf if upper is None else upper - level
        slack = _TRIVIAL_TOLERANCE * max(1.0, abs(level))
        if low > slack or high < -slack:
            false.append((twin, low, high))
    for twin in dropped:
        twin.deactivate()
    try:
        info = LinearStandardFormCompiler().write(copy, mixed_form=True, set_sense=None)
    except Exception as error:
        raise UsageError(f"Pyomo cannot compile the model: {first_line(error)}.") from error
    for twin in dropped:
        twin.activate()
    return _assemble(copy, info, begin, false=false, goal=goal, source=model)


def _assemble(
    model: Any,
    info: Any,
    begin: float,
    *,
    false: Sequence[tuple[Any, float, float]] = (),
    goal: tuple[float, bool] | None = None,
    source: object = None,
) -> LinearModel:
    offset, maximize = goal or (0.0, False)
    if info.objectives:
        offset += float(np.asarray(info.c_offset).reshape(-1)[0])
        maximize = info.objectives[0].sense == pyo.maximize
    columns, matrix, costs, rhs, shift = _free_part(info)
    known = {id(variable) for variable in columns}
    fixed: dict[int, float] = {}
    for component in model.component_objects(pyo.Var, active=True, descend_into=True):
        for variable in component.values():
            if variable.fixed:
                fixed[id(variable)] = _number(variable.value)
            elif id(variable) not in known:
                known.add(id(variable))  # a Reference shows the same variable again
                columns.append(variable)
    lower, upper, integer = _column_data(columns)
    matrix, row_lower, row_upper, rows = _row_data(info.rows, matrix, rhs)
    cost = np.zeros(len(columns))
    cost[: len(costs)] = costs
    ends = np.full(len(columns) - matrix.shape[1], matrix.indptr[-1], dtype=np.int32)
    rows += [data for data, _, _ in false]
    return LinearModel(
        cost=cost,
        starts=np.concatenate([matrix.indptr.astype(np.int32), ends]),
        indices=matrix.indices.astype(np.int32),
        coefficients=matrix.data.astype(np.float64),
        row_lower=np.concatenate([row_lower, [low for _, low, _ in false]]),
        row_upper=np.concatenate([row_upper, [high for _, _, high in false]]),
        column_lower=lower,
        column_upper=upper,
        integer=integer,
        offset=offset + shift,
        maximize=maximize,
        labels=_labels(model, columns, rows, fixed),
        source=model if source is None else source,
        build_seconds=time.perf_counter() - begin,
    )


def _column_data(columns: Sequence[Any]) -> tuple[FloatArray, FloatArray, np.ndarray]:
    lower = np.full(len(columns), -np.inf)
    upper = np.full(len(columns), np.inf)
    integer = np.zeros(len(columns), dtype=np.bool_)
    flaws = []
    for j, variable in enumerate(columns):
        try:
            low, high = variable.bounds
        except ValueError as error:  # Pyomo refuses some bounds itself (NaN, +inf below)
            flaws.append(Flaw(f"has unusable bounds ({first_line(error)})", field=variable.name))
            continue
        if low is not None:
            lower[j] = low
        if high is not None:
            upper[j] = high
        if not variable.is_continuous():
            if not variable.is_integer():
                flaws.append(
                    Flaw(
                        "is not a domain for a linear model",
                        field=variable.name,
                        value=variable.domain,
                        allowed="real, integer or binary",
                    )
                )
            integer[j] = True
    if flaws:
        raise InputError(flaws, "Pyomo model")
    return lower, upper, integer


def _free_part(info: Any) -> tuple[list[Any], Any, FloatArray, FloatArray, float]:
    """Columns, matrix, costs, right-hand sides and objective shift without fixed variables.

    Some versions of Pyomo leave a fixed variable in as an ordinary column, which would set it free.
    """
    columns, matrix = list(info.columns), info.A
    rhs = np.asarray(info.rhs, dtype=np.float64).reshape(-1)
    costs = info.c.toarray()[0] if info.objectives else np.zeros(len(columns))
    fixed = np.fromiter((variable.fixed for variable in columns), np.bool_, len(columns))
    if not fixed.any():
        return columns, matrix, costs, rhs, 0.0
    held = [variable for variable in columns if variable.fixed]
    flaws = [
        Flaw("is fixed but has no value", field=variable.name)
        for variable in held
        if variable.value is None
    ]
    if flaws:
        raise InputError(flaws, "Pyomo model")
    values = np.array([float(variable.value) for variable in held])
    rhs = rhs - matrix[:, fixed] @ values
    shift = float(costs[fixed] @ values)
    columns = [variable for variable in columns if not variable.fixed]
    return columns, matrix[:, ~fixed].tocsc(), costs[~fixed], rhs, shift


def _row_data(
    entries: Sequence[Any], matrix: Any, rhs: FloatArray
) -> tuple[Any, FloatArray, FloatArray, list[Any]]:
    """Matrix and limits, the two rows of a ranged constraint made one again."""
    rows = [entry.constraint for entry in entries]
    kinds = np.fromiter((entry.bound_type for entry in entries), np.int8, len(rows))
    lower = np.where(kinds == 1, -np.inf, rhs)
    upper = np.where(kinds == -1, np.inf, rhs)
    # The compiler writes a ranged constraint as its upper row and then its lower row.
    second = np.zeros(len(rows), dtype=np.bool_)
    second[1:] = np.fromiter(
        (a is b for a, b in zip(rows[1:], rows[:-1], strict=True)), np.bool_, max(len(rows) - 1, 0)
    )
    if second.any():
        lower[np.flatnonzero(second) - 1] = lower[second]
        keep = ~second
        matrix = matrix.tocsr()[keep, :].tocsc()
        lower, upper = lower[keep], upper[keep]
        rows = [row for row, kept in zip(rows, keep.tolist(), strict=True) if kept]
    matrix.sort_indices()
    return matrix, lower, upper, rows


def _labels(
    model: Any, columns: Sequence[Any], rows: Sequence[Any], fixed: dict[int, float]
) -> Labels:
    def column_families() -> Iterable[Family]:
        return _families(model, pyo.Var, columns, fixed)

    def row_families() -> Iterable[Family]:
        return _families(model, pyo.Constraint, rows, {})

    def load(x: FloatArray, row_dual: FloatArray | None, column_dual: FloatArray | None) -> None:
        for variable, value in zip(columns, x.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
            variable.stale = False
        for name, members, prices in (("dual", rows, row_dual), ("rc", columns, column_dual)):
            suffix = model.component(name)
            if isinstance(suffix, pyo.Suffix) and suffix.import_enabled() and prices is not None:
                suffix.clear()
                suffix.update(zip(members, prices.tolist(), strict=True))

    return Labels(column_families, row_families, load)


def _families(
    model: Any, ctype: Any, members: Sequence[Any], constants: dict[int, float]
) -> Iterable[Family]:
    places = {id(data): position for position, data in enumerate(members)}
    # Members may stand outside the model when only a block of it is solved.
    components = {
        id(component): component
        for component in model.component_objects(ctype, active=True, descend_into=True)
    }
    for data in members:
        parent = data.parent_component()
        components.setdefault(id(parent), parent)
    for component in components.values():
        kept = [
            (index, data)
            for index, data in component.items()
            if ctype is pyo.Var or data.active or id(data) in places
        ]
        values = [constants.get(id(data), math.nan) for _, data in kept]
        yield Family(
            component.name,
            np.fromiter((places.get(id(data), -1) for _, data in kept), np.int64, len(kept)),
            _index_maker(component, [index for index, _ in kept]),
            np.array(values) if constants else None,
            component.doc,
        )


def _index_maker(component: Any, labels: list[Hashable]) -> Callable[[], pd.Index]:
    def make() -> pd.Index:
        if not component.is_indexed():
            return scalar_index() if labels else scalar_index()[:0]
        parts = list(component.index_set().subsets())
        names: list[str | None] | None = [part.local_name for part in parts]
        if any(part.dimen != 1 for part in parts) or len(set(names or ())) != len(parts):
            names = None
        return make_index(labels, names)

    return make


def _finite(value: object) -> bool:
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]
