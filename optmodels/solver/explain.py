"""Why a model is infeasible, in the names of its own constraints.

*Irreducible sets.* A set of limits (one side of a row, one bound of a variable) is irreducibly
infeasible when no point satisfies all of them, but dropping any one makes it satisfiable
(Chinneck, *Feasibility and Infeasibility in Optimization*, 2008). We find one in two steps. An
elastic LP, which may break every row at a price of one per unit, is solved; by Farkas' lemma the
rows and bounds with non-zero prices at its optimum cannot hold together. Then a deletion filter
drops, one by one, what is not needed. The filter decides by solving, so the result is irreducible
by construction. (HiGHS's own ``getIis`` answers "valid" with an empty set by default.)

*Elastic answers.* A conflict may come from integrality alone: the relaxation is feasible and has
no irreducible set. Then the integer model is solved with elastic rows, and the answer is the set
of rows that must give way, and by how much, at the least weighted sum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import NoSolutionError, SolverError, UsageError, shorten
from .conflict import Conflict, Limit, conflict_of
from .front import linear_only
from .labels import FloatArray
from .linear import FEASIBILITY_TOLERANCE, LinearModel
from .options import Limits, is_number
from .outcome import Outcome
from .session import Session
from .status import Status

_PRICE_NOISE = 1e-9
_LEAST_SECONDS = 0.01


def explain_model(
    model: Any,
    *,
    time_limit_s: float = 60,
    weights: Mapping[str, float] | None = None,
    data: object = None,
) -> Conflict:
    """Explain why a model is infeasible.

    Parameters
    ----------
    model
        Pyomo or CVXPY model, linear (the objective does not matter).
    time_limit_s
        Wall seconds for all solves together.
    weights
        Price of breaking one unit of a constraint, by component name (default 1 each); used
        where only integrality causes the conflict.
    data
        Data of an AbstractModel.

    Returns
    -------
    Conflict
        With ``kind == "feasible"`` and an empty frame where there is nothing to explain.

    Raises
    ------
    UsageError
        A cone programme, unknown component in `weights`, weights that are not positive.
    NoSolutionError
        The time ended before the conflict was known.
    SolverError
        The solver failed.
    """
    limits = Limits(time_limit_s=time_limit_s)
    linear = linear_only(model, "Explanation", data)
    linear.check()
    prices = _prices(linear, weights)
    deadline = time.monotonic() + float(limits.time_limit_s or math.inf)
    linear = replace(linear, cost=np.zeros(linear.columns), offset=0.0, hessian=None)
    crossed = _crossed(linear)
    if crossed:
        return conflict_of(linear, "irreducible", crossed)
    relaxed = replace(linear, integer=np.zeros(linear.columns, dtype=np.bool_))
    ended = _solve(relaxed, deadline).status
    if ended is Status.INFEASIBLE:
        return _irreducible(relaxed, deadline)
    if ended is Status.NO_SOLUTION_AT_LIMIT:
        raise NoSolutionError(_TOO_SHORT)
    if not ended.has_solution:
        raise SolverError("HiGHS failed on the feasibility problem.")
    if not linear.is_mip:
        return conflict_of(linear, "feasible", [])
    return _elastic(linear, prices, deadline)


_TOO_SHORT = "The time ended before the conflict was known. Fix: a larger time_limit_s."


def _prices(model: LinearModel, weights: Mapping[str, float] | None) -> FloatArray:
    prices = np.ones(model.rows)
    for name, weight in (weights or {}).items():
        family = model.labels.rows.get(name)
        if family is None:
            raise UsageError.unknown("constraint in weights", str(name), model.labels.rows)
        if not (is_number(weight) and 0 < weight < math.inf):
            raise UsageError(f"Weight of '{name}' is {shorten(weight)}; allowed: a number > 0.")
        prices[family.positions[family.positions >= 0]] = float(weight)
    return prices


def _solve(model: LinearModel, deadline: float) -> Outcome:
    left = deadline - time.monotonic()
    limit = max(left, _LEAST_SECONDS) if math.isfinite(left) else None
    outcome = Session(model, limits=Limits(time_limit_s=limit)).solve()
    if outcome.interrupted:
        raise NoSolutionError("Interrupted before the conflict was known.")
    return outcome


def _crossed(model: LinearModel) -> list[Limit]:
    """A limit pair that contradicts itself: crossed bounds, no integer between, empty rows."""
    low, high = model.column_lower, model.column_upper
    whole_low = np.where(model.integer, np.ceil(low - FEASIBILITY_TOLERANCE), low)
    whole_high = np.where(model.integer, np.floor(high + FEASIBILITY_TOLERANCE), high)
    for is_row, lower, upper in (
        (False, whole_low, whole_high),
        (True, model.row_lower, model.row_upper),
    ):
        scale = np.maximum(1.0, np.abs(np.where(np.isfinite(lower), lower, 0.0)))
        bad = np.flatnonzero(lower > upper + FEASIBILITY_TOLERANCE * scale)
        if len(bad):
            return [Limit(is_row, int(bad[0]), True), Limit(is_row, int(bad[0]), False)]
    empty = np.bincount(model.indices, minlength=model.rows) == 0
    for side, breach in ((True, model.row_lower), (False, -model.row_upper)):
        bad = np.flatnonzero(empty & (breach > FEASIBILITY_TOLERANCE))
        if len(bad):
            return [Limit(True, int(bad[0]), side)]
    return []


def _elastic_model(model: LinearModel, prices: FloatArray) -> tuple[LinearModel, Any, Any]:
    """The model whose rows may be broken: ``row_lower <= A x + s - t <= row_upper``."""
    short = np.flatnonzero(np.isfinite(model.row_lower))
    over = np.flatnonzero(np.isfinite(model.row_upper))
    extra = len(short) + len(over)
    elastic = replace(
        model,
        cost=np.concatenate([np.zeros(model.columns), prices[short], prices[over]]),
        starts=np.concatenate(
            [model.starts, model.starts[-1] + np.arange(1, extra + 1, dtype=np.int32)]
        ),
        indices=np.concatenate([model.indices, short, over]).astype(np.int32),
        coefficients=np.concatenate([model.coefficients, np.ones(len(short)), -np.ones(len(over))]),
        column_lower=np.concatenate([model.column_lower, np.zeros(extra)]),
        column_upper=np.concatenate([model.column_upper, np.full(extra, np.inf)]),
        integer=np.concatenate([model.integer, np.zeros(extra, dtype=np.bool_)]),
        maximize=False,
    )
    return elastic, short, over


def _elastic(model: LinearModel, prices: FloatArray, deadline: float) -> Conflict:
    """Which rows must give way when only integrality causes the conflict."""
    elastic, short, over = _elastic_model(model, prices)
    outcome = _solve(elastic, deadline)
    if outcome.x is None or outcome.objective is None or outcome.bound is None:
        if outcome.status is Status.NO_SOLUTION_AT_LIMIT:
            raise NoSolutionError(_TOO_SHORT)
        raise SolverError(f"The elastic model ended as {outcome.status}; it has a solution.")
    if outcome.objective <= FEASIBILITY_TOLERANCE * float(np.max(prices, initial=1.0)):
        return conflict_of(model, "feasible", [])
    if outcome.status is not Status.OPTIMAL and outcome.bound <= FEASIBILITY_TOLERANCE:
        raise NoSolutionError(_TOO_SHORT)
    slack = outcome.x[model.columns :]
    broken = np.flatnonzero(slack > FEASIBILITY_TOLERANCE)
    rows = np.concatenate([short, over])[broken]
    limits = [
        Limit(True, int(row), bool(place < len(short)))
        for row, place in zip(rows, broken, strict=True)
    ]
    return conflict_of(
        model, "elastic", limits, slack[broken].tolist(), outcome.status is Status.OPTIMAL
    )


def _irreducible(model: LinearModel, deadline: float) -> Conflict:
    members = _farkas_members(model, deadline)
    part, members_in_part = _restrict(model, members)
    if _feasible(part, deadline) is not False:
        # Prices at the edge of rounding: start from everything instead.
        members = _all_members(model)
        part, members_in_part = _restrict(model, members)
    kept, finished = _deletion_filter(part, members_in_part, deadline)
    chosen = [member for member, keep in zip(members, kept, strict=True) if keep]
    return conflict_of(model, "irreducible" if finished else "infeasible_subset", chosen)


def _all_members(model: LinearModel) -> list[Limit]:
    return [
        Limit(is_row, int(position), is_lower)
        for is_row, is_lower, values in (
            (False, True, model.column_lower),
            (False, False, model.column_upper),
            (True, True, model.row_lower),
            (True, False, model.row_upper),
        )
        for position in np.flatnonzero(np.isfinite(values))
    ]


def _farkas_members(model: LinearModel, deadline: float) -> list[Limit]:
    """Limits that cannot hold together: those priced by the elastic LP."""
    elastic, _, _ = _elastic_model(model, np.ones(model.rows))
    outcome = _solve(elastic, deadline)
    if outcome.status is Status.NO_SOLUTION_AT_LIMIT:
        raise NoSolutionError(_TOO_SHORT)
    if outcome.row_dual is None:
        return _all_members(model)
    y = np.where(np.abs(outcome.row_dual) > _PRICE_NOISE, outcome.row_dual, 0.0)
    d = -(model.matrix.T @ y)
    d = np.where(np.abs(d) > _PRICE_NOISE * (1.0 + np.abs(model.matrix).T @ np.abs(y)), d, 0.0)
    # Bounds first: the filter drops what comes first, and rows explain more than bounds.
    return [
        Limit(is_row, int(position), bool(price[position] > 0))
        for is_row, price in ((False, d), (True, y))
        for position in np.flatnonzero(price)
    ]


def _restrict(model: LinearModel, members: Sequence[Limit]) -> tuple[LinearModel, list[Limit]]:
    """The small model of these limits alone, and the limits in its numbering."""
    rows = np.array(
        sorted({member.position for member in members if member.is_row}), dtype=np.int64
    )
    matrix = sp.csr_array(model.matrix)[rows, :].tocsc()
    touched = set(np.flatnonzero(np.diff(matrix.indptr)).tolist())
    bounded = {member.position for member in members if not member.is_row}
    columns = np.array(sorted(touched | bounded), dtype=np.int64)
    matrix = matrix[:, columns]
    matrix.sort_indices()
    row_at = {row: place for place, row in enumerate(rows.tolist())}
    column_at = {column: place for place, column in enumerate(columns.tolist())}
    renumbered = [
        member._replace(position=(row_at if member.is_row else column_at)[member.position])
        for member in members
    ]
    part = LinearModel(
        cost=np.zeros(len(columns)),
        starts=matrix.indptr.astype(np.int32),
        indices=matrix.indices.astype(np.int32),
        coefficients=matrix.data,
        row_lower=model.row_lower[rows],
        row_upper=model.row_upper[rows],
        column_lower=model.column_lower[columns],
        column_upper=model.column_upper[columns],
        integer=np.zeros(len(columns), dtype=np.bool_),
    )
    return _only(part, renumbered), renumbered


def _only(model: LinearModel, members: Sequence[Limit]) -> LinearModel:
    """The model with these limits and no others."""
    sides = {
        "row_lower": np.full(model.rows, -np.inf),
        "row_upper": np.full(model.rows, np.inf),
        "column_lower": np.full(model.columns, -np.inf),
        "column_upper": np.full(model.columns, np.inf),
    }
    for member in members:
        name = member.side
        sides[name][member.position] = getattr(model, name)[member.position]
    return replace(model, **sides)  # type: ignore[arg-type]


def _feasible(model: LinearModel, deadline: float) -> bool | None:
    """Whether a point exists; None when time ends or the solver cannot say."""
    status = _solve(model, deadline).status
    return True if status.has_solution else False if status is Status.INFEASIBLE else None


def _deletion_filter(
    part: LinearModel, members: Sequence[Limit], deadline: float
) -> tuple[list[bool], bool]:
    """Drop each limit in turn, and keep it dropped while the rest stays infeasible."""
    kept = [True] * len(members)
    for place in range(len(members)):
        if time.monotonic() > deadline:
            return kept, False
        kept[place] = False
        rest = [member for member, keep in zip(members, kept, strict=True) if keep]
        feasible = _feasible(_only(part, rest), deadline)
        if feasible is None:
            kept[place] = True
            return kept, False
        kept[place] = feasible
    return kept, True
