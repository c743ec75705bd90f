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
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import Flaw, InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

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
class Family:
    """The rows or columns of one named component, and where they stand in the matrix.

    Parameters
    ----------
    name
        Name of the component.
    positions
        Place of each member in the matrix; -1 for a member that is not in it.
    index
        Makes the labels of the members, in the same order.
    constants
        Values of the members outside the matrix (fixed variables); NaN elsewhere.
    doc
        One sentence that says what the component means.
    """

    name: str
    positions: IntArray
    index: Callable[[], pd.Index]
    constants: FloatArray | None = None
    doc: str | None = None

    def series(self, vector: FloatArray, outside: float = 0.0) -> pd.Series:
        """The members' entries of a vector over the matrix, labelled."""
        inside = self.positions >= 0
        values = np.full(len(self.positions), outside)
        if self.constants is not None:
            values = np.where(np.isnan(self.constants), values, self.constants)
        values[inside] = vector[self.positions[inside]]
        return pd.Series(values, index=self.index(), name=self.name)


class Labels:
    """Names of the columns and rows of a `LinearModel`, resolved when asked for.

    Parameters
    ----------
    columns, rows
        Make the families of the variables and of the constraints.
    load
        Writes a solution ``(x, row duals, reduced costs)`` into the caller's model; the duals are
        ``None`` for a model with integers.
    """

    def __init__(
        self,
        columns: Callable[[], Iterable[Family]],
        rows: Callable[[], Iterable[Family]],
        load: Callable[[FloatArray, FloatArray | None, FloatArray | None], None] | None = None,
    ) -> None:
        self._make_columns = columns
        self._make_rows = rows
        self._load = load

    @cached_property
    def columns(self) -> Mapping[str, Family]:
        """Families of the variables by name."""
        return {family.name: family for family in self._make_columns()}

    @cached_property
    def rows(self) -> Mapping[str, Family]:
        """Families of the constraints by name."""
        return {family.name: family for family in self._make_rows()}

    def values(self, x: FloatArray) -> dict[str, pd.Series]:
        """Value of every variable by component."""
        return {name: family.series(x, np.nan) for name, family in self.columns.items()}

    def duals(self, row_dual: FloatArray) -> dict[str, pd.Series]:
        """Dual of every constraint by component; 0 for a row that holds without variables."""
        return {name: family.series(row_dual) for name, family in self.rows.items()}

    def reduced_costs(self, column_dual: FloatArray) -> dict[str, pd.Series]:
        """Reduced cost of every variable by component; NaN for a fixed variable."""
        free = {
            name: Family(name, family.positions, family.index)
            for name, family in self.columns.items()
        }
        return {name: family.series(column_dual, np.nan) for name, family in free.items()}

    def load(
        self, x: FloatArray, row_dual: FloatArray | None, column_dual: FloatArray | None
    ) -> bool:
        """Write a solution into the caller's model; False where there is no such model."""
        if self._load is None:
            return False
        self._load(x, row_dual, column_dual)
        return True

    @cached_property
    def _column_places(self) -> dict[int, tuple[str, Hashable]]:
        return _places(self.columns.values())

    @cached_property
    def _row_places(self) -> dict[int, tuple[str, Hashable]]:
        return _places(self.rows.values())

    def column(self, position: int) -> tuple[str, Hashable]:
        """``(component, index)`` of a column; ``(component, None)`` for a scalar."""
        return self._column_places.get(position, ("auxiliary_variable", position))

    def row(self, position: int) -> tuple[str, Hashable]:
        """``(component, index)`` of a row; ``(component, None)`` for a scalar."""
        return self._row_places.get(position, ("auxiliary_constraint", position))


def _places(families: Iterable[Family]) -> dict[int, tuple[str, Hashable]]:
    places: dict[int, tuple[str, Hashable]] = {}
    for family in families:
        labels = family.index()
        scalar = is_scalar_index(labels)
        for position, label in zip(family.positions.tolist(), labels, strict=True):
            if position >= 0:
                places[position] = (family.name, None if scalar else label)
    return places


def make_index(labels: Sequence[Hashable], names: Sequence[str | None] | None = None) -> pd.Index:
    """Index of a component: a MultiIndex for tuples of one length, flat otherwise."""
    tuples = [label for label in labels if isinstance(label, tuple)]
    if labels and len(tuples) == len(labels) and len({len(label) for label in tuples}) == 1:
        depth = len(tuples[0])
        fitting = list(names) if names is not None and len(names) == depth else None
        levels: pd.Index = pd.MultiIndex.from_tuples(tuples, names=fitting)
        return levels
    name = names[0] if names is not None and len(names) == 1 else None
    if tuples:
        mixed: pd.Index = pd.Index(list(labels), dtype=object, tupleize_cols=False, name=name)
        return mixed
    flat: pd.Index = pd.Index(list(labels), name=name)
    return flat


SCALAR_NAME = "scalar"


def scalar_index() -> pd.Index:
    """Index of the length-1 series of a scalar component."""
    return pd.RangeIndex(1, name=SCALAR_NAME)


def is_scalar_index(index: pd.Index) -> bool:
    """Whether an index was made by `scalar_index`."""
    return isinstance(index, pd.RangeIndex) and index.name == SCALAR_NAME and len(index) == 1


def place_text(component: str, index: Hashable) -> str:
    """``name[i,j]``, the way people write it."""
    if index is None:
        return component
    parts = index if isinstance(index, tuple) else (index,)
    return f"{component}[{','.join(str(part) for part in parts)}]"


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
