r"""The `LinearModel`: what every front end emits and the session consumes.

.. math::

    \min \; \text{(or max)} \; c^\top x + \tfrac12 x^\top Q x + c_0
    \quad\text{s.t.}\quad r^- \le A x \le r^+,\; \ell \le x \le u,\;
    x_j \in \mathbb{Z} \text{ for } j \in I

Arrays only; :math:`A` is held by columns (CSC). The names of its places, ``(component, index)``,
live in `Labels` and are made when somebody asks.

The arrays also judge the solver's answer. `LinearModel.worst_violation` re-computes every row,
bound and integrality. `LinearModel.dual_bound` turns *any* row duals :math:`y` into a bound by
weak duality (minimisation): with :math:`d = c - A^\top y`,

.. math::

    c^\top x = y^\top A x + d^\top x
    \;\ge\; \sum_i \min_{r^-_i \le a \le r^+_i} y_i a + \sum_j \min_{\ell_j \le v \le u_j} d_j v

holds for every feasible :math:`x`, however inexact :math:`y` is. A convex quadratic objective is
bounded through its tangent at the point that was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import Flaw, InputError
from .labels import FloatArray, IntArray, Labels, place_text

FEASIBILITY_TOLERANCE = 1e-6
"""Violation that a solution may have, relative to max(1, |bound|) of the row or column."""

DUAL_NOISE = 1e-9
"""Reduced costs up to this share of 1 + |c_j| count as zero where the variable is unbounded.

Without it, rounding in the last digit of one free variable's reduced cost would turn every bound
into minus infinity.
"""

SOLVER_DUAL_NOISE = 1e-7
"""The same when nothing better is to be had: HiGHS's own dual feasibility tolerance."""

ROUNDING = 1e-12
"""Breaches up to this size are none: sums of this many digits differ in their last ones."""

LARGEST_COEFFICIENT = 1e15
"""Matrix entries from this size are refused, as HiGHS refuses them."""

INFINITE = 1e20
"""Bounds from this size are infinite to HiGHS; costs from this size are refused."""

_MOST_FLAWS = 1000
_BOUNDS = frozenset({"row_lower", "row_upper", "column_lower", "column_upper"})
_MATRIX = frozenset({"starts", "indices", "coefficients"})


@dataclass(frozen=True)
class Violation:
    """The worst breach of a constraint, a bound or integrality by a point.

    Parameters
    ----------
    amount
        Size of the breach in the units of the row or column.
    relative
        The same divided by max(1, |bound|).
    kind
        ``row``, ``bound`` or ``integrality``.
    position
        Row or column; -1 when nothing is breached.
    """

    amount: float
    relative: float
    kind: str
    position: int

    def describe(self, labels: Labels) -> str:
        """The breach in words."""
        place = labels.row if self.kind == "row" else labels.column
        return f"{self.kind} of {place_text(*place(self.position))} violated by {self.amount:.3g}"


def _empty_labels() -> Labels:
    return Labels(lambda: (), lambda: ())


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear, mixed-integer linear or convex quadratic model as arrays.

    Parameters
    ----------
    cost
        Objective coefficient of each column.
    starts, indices, coefficients
        The matrix by columns (CSC); row numbers within a column without repetition.
    row_lower, row_upper, column_lower, column_upper
        Bounds; ±inf where there is none.
    integer
        True for each column that must be integer.
    offset
        Constant of the objective.
    maximize
        Sense of the objective.
    hessian
        Symmetric matrix Q of the quadratic term, or ``None``.
    labels
        Names of rows and columns.
    source
        The caller's own model, for messages and for loading values back.
    build_seconds
        Time the front end took.
    """

    cost: FloatArray
    starts: NDArray[np.int32]
    indices: NDArray[np.int32]
    coefficients: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    column_lower: FloatArray
    column_upper: FloatArray
    integer: NDArray[np.bool_]
    offset: float = 0.0
    maximize: bool = False
    hessian: Any | None = None
    labels: Labels = field(default_factory=_empty_labels, repr=False)
    source: object = field(default=None, repr=False)
    build_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._cut_infinite(_BOUNDS)

    def _cut_infinite(self, names: Iterable[str]) -> None:
        """What is infinite to HiGHS is infinite here, or a bound of 1e30 would enter the proofs."""
        for name in names:
            values = getattr(self, name)
            large = np.abs(values) >= INFINITE
            if np.count_nonzero(large) != np.count_nonzero(np.isinf(values)):
                object.__setattr__(self, name, np.where(large, np.copysign(np.inf, values), values))

    def changed(self, **fields: Any) -> LinearModel:
        """Return the model with some fields replaced.

        Like `dataclasses.replace`, but what was computed from the other fields is kept, and only
        the new arrays are looked at: a window of a rolling horizon changes little.
        """
        new = object.__new__(type(self))
        known = vars(new)
        known.update(vars(self))
        if fields.keys() & _MATRIX:
            known.pop("matrix", None)
            known.pop("transposed", None)
        if "integer" in fields:
            known.pop("is_mip", None)
        known.update(fields)
        new._cut_infinite(fields.keys() & _BOUNDS)
        return new

    @property
    def columns(self) -> int:
        """Number of variables."""
        return len(self.cost)

    @property
    def rows(self) -> int:
        """Number of constraints."""
        return len(self.row_lower)

    @property
    def nonzeros(self) -> int:
        """Number of stored matrix entries."""
        return len(self.coefficients)

    @cached_property
    def is_mip(self) -> bool:
        """Whether any variable must be integer."""
        return bool(self.integer.any())

    @cached_property
    def matrix(self) -> Any:
        """The matrix as ``scipy.sparse.csc_array``."""
        return sp.csc_array(
            (self.coefficients, self.indices, self.starts), shape=(self.rows, self.columns)
        )

    @cached_property
    def transposed(self) -> Any:
        """The matrix by rows of variables; kept, for scipy checks all indices of a new array."""
        return self.matrix.T

    def objective(self, x: FloatArray) -> float:
        """Objective of a point, constant included."""
        value = _total(self.cost * x) + self.offset
        if self.hessian is not None:
            value += 0.5 * _total(x * (self.hessian @ x))
        return value

    def check(self, since: LinearModel | None = None) -> None:
        """Refuse numbers which no solver can use.

        Parameters
        ----------
        since
            A model that was checked: arrays it shares are not looked at again.

        Raises
        ------
        InputError
            NaN anywhere, infinite or huge coefficients, impossible infinite bounds; every one
            named by component and index.
        """
        flaws = [] if self._looks_usable(since) else self._flaws()
        if flaws:
            raise InputError(flaws, "Model")

    def _looks_usable(self, since: LinearModel | None) -> bool:
        """The same by extremes alone: without temporary arrays, and false where a NaN is."""

        def known(name: str) -> bool:
            return since is not None and getattr(since, name) is getattr(self, name)

        return (
            (known("cost") or _all_within(self.cost, INFINITE))
            and (known("coefficients") or _all_within(self.coefficients, LARGEST_COEFFICIENT))
            and (known("column_lower") or _largest(self.column_lower) < np.inf)
            and (known("row_lower") or _largest(self.row_lower) < np.inf)
            and (known("column_upper") or _least(self.column_upper) > -np.inf)
            and (known("row_upper") or _least(self.row_upper) > -np.inf)
            and math.isfinite(self.offset)
            and (self.hessian is None or bool(np.isfinite(self.hessian.data).all()))
        )

    def _flaws(self) -> list[Flaw]:
        """What is wrong, number by number."""
        flaws: list[Flaw] = []

        def add(bad: NDArray[np.bool_], values: FloatArray, what: str, place: Any) -> None:
            flaws.extend(
                Flaw(what, field=place_text(*place(int(j))), value=float(values[j]))
                for j in np.flatnonzero(bad)[: _MOST_FLAWS - len(flaws)]
            )

        column, row = self.labels.column, self.labels.row
        add(
            ~(np.abs(self.cost) < INFINITE),
            self.cost,
            "is not a usable objective coefficient",
            column,
        )
        for values, wrong, side, place in (
            (self.column_lower, np.inf, "lower bound", column),
            (self.column_upper, -np.inf, "upper bound", column),
            (self.row_lower, np.inf, "lower limit", row),
            (self.row_upper, -np.inf, "upper limit", row),
        ):
            add(np.isnan(values) | (values == wrong), values, f"is not a usable {side}", place)
        for entry in np.flatnonzero(~(np.abs(self.coefficients) < LARGEST_COEFFICIENT)):
            j = int(np.searchsorted(self.starts, entry, side="right")) - 1
            flaws.append(
                Flaw(
                    f"is not a usable coefficient of {place_text(*column(j))}",
                    field=place_text(*row(int(self.indices[entry]))),
                    value=float(self.coefficients[entry]),
                    allowed=f"finite, smaller than {LARGEST_COEFFICIENT:g} in size",
                )
            )
            if len(flaws) >= _MOST_FLAWS:
                break
        if not np.isfinite(self.offset):
            flaws.append(
                Flaw("is not a usable constant", field="objective", value=float(self.offset))
            )
        if self.hessian is not None and not np.isfinite(self.hessian.data).all():
            flaws.append(Flaw("has a quadratic coefficient that is not finite", field="objective"))
        return flaws

    def worst_violation(self, x: FloatArray) -> Violation:
        """The largest breach by a point, relative to max(1, |bound|)."""
        worst = Violation(0.0, 0.0, "row", -1)
        if not np.isfinite(x).all():
            return Violation(np.inf, np.inf, "bound", int(np.flatnonzero(~np.isfinite(x))[0]))
        activity = self.matrix @ x
        for values, lower, upper, kind in (
            (activity, self.row_lower, self.row_upper, "row"),
            (x, self.column_lower, self.column_upper, "bound"),
        ):
            # Nearly every value is within its limits: look closely at the others only.
            if _largest(lower - values) <= ROUNDING and _largest(values - upper) <= ROUNDING:
                continue
            outside = np.flatnonzero((values < lower) | (values > upper))
            v, low, high = values[outside], lower[outside], upper[outside]
            for excess, bound in ((low - v, low), (v - high, high)):
                scale = np.where(np.isfinite(bound), np.maximum(1.0, np.abs(bound)), 1.0)
                worst = _worse(worst, excess, excess / scale, kind, outside)
        if self.is_mip:
            integers = np.flatnonzero(self.integer)
            fraction = np.abs(x[integers] - np.round(x[integers]))
            worst = _worse(worst, fraction, fraction, "integrality", integers)
        return worst

    def reduced_costs(self, row_dual: FloatArray, at: FloatArray | None = None) -> FloatArray:
        """Cost of each column less what its rows pay: c + Q x - Aᵀ y.

        Parameters
        ----------
        row_dual
            Duals of the rows.
        at
            Point of the gradient; needed for a quadratic objective only.
        """
        priced: FloatArray = self.transposed @ row_dual
        return np.subtract(self._gradient(at), priced, out=priced)

    def dual_bound(
        self,
        row_dual: FloatArray,
        at: FloatArray | None = None,
        *,
        reduced: FloatArray | None = None,
        noise: float = DUAL_NOISE,
    ) -> float:
        """Bound on the optimum proven by weak duality from any row duals.

        Parameters
        ----------
        row_dual
            Duals of the rows, in the sign convention d objective / d right-hand side.
        at
            Point whose tangent bounds a quadratic objective; not needed for a linear one.
        reduced
            ``reduced_costs(row_dual, at)``, where it is known already.
        noise
            Reduced costs up to this share of 1 + |c_j| count as zero at an infinite bound.

        Returns
        -------
        float
            Lower bound of a minimisation, upper bound of a maximisation; infinite when these
            duals prove nothing.
        """
        if self.hessian is not None and at is None:
            return np.inf if self.maximize else -np.inf
        y = np.asarray(row_dual, dtype=np.float64)
        limit = np.where(self._pays(y), self.row_lower, self.row_upper)
        endless = np.isinf(limit)
        if y[endless].any():
            # A dual of the wrong sign proves nothing: its row is left out.
            y, reduced = np.where(endless, 0.0, y), None
        limit[endless] = 0.0
        d = self.reduced_costs(y, at) if reduced is None else reduced
        bound = np.where(self._pays(d), self.column_lower, self.column_upper)
        endless = np.flatnonzero(np.isinf(bound))
        if len(endless):
            cost = self._gradient(at)[endless]
            if (np.abs(d[endless]) > noise * (1.0 + np.abs(cost))).any():
                return np.inf if self.maximize else -np.inf
            bound[endless] = 0.0
        total = _total(y * limit) + _total(d * bound) + self.offset
        if self.hessian is not None:
            total -= 0.5 * _total(at * (self.hessian @ at))
        return total

    def _pays(self, duals: FloatArray) -> NDArray[np.bool_]:
        """Whether a dual speaks of the lower bound (that of a minimisation: the positive one)."""
        return duals < 0 if self.maximize else duals > 0

    def _gradient(self, at: FloatArray | None) -> FloatArray:
        return self.cost if self.hessian is None else self.cost + self.hessian @ at


def _worse(
    worst: Violation, amount: FloatArray, relative: FloatArray, kind: str, positions: IntArray
) -> Violation:
    if len(relative) == 0:
        return worst
    place = int(np.argmax(relative))
    if not relative[place] > worst.relative:
        return worst
    position = int(positions[place])
    return Violation(float(amount[place]), float(relative[place]), kind, position)


def _largest(values: FloatArray) -> float:
    return float(values.max()) if len(values) else -np.inf


def _least(values: FloatArray) -> float:
    return float(values.min()) if len(values) else np.inf


def _all_within(values: FloatArray, limit: float) -> bool:
    """Whether every value is a number smaller than the limit in size."""
    return _largest(values) < limit and _least(values) > -limit


def same_array(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays hold the same numbers; what `np.array_equal` does, in fewer steps."""
    return one is other or (one.shape == other.shape and bool((one == other).all()))


def _total(terms: FloatArray) -> float:
    """Pairwise sum: more exact than a BLAS dot product, and without waking BLAS's threads."""
    return float(np.sum(terms))
