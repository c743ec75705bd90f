"""The template compiler: an AbstractModel and named arrays in, a `LinearModel` out.

A formulation is traced once (`Formulation`), whatever the data. With data it becomes a `Program`:
each traced rule is evaluated over its whole index set in numpy, and the entries are laid out as a
sparse matrix. No Pyomo object is made for a variable, a constraint or a value.

Data by component name:

=========================  =====================================================================
component                  data
=========================  =====================================================================
set                        array of labels
set of tuples              tuple of equally long arrays, one per dimension
indexed set                ``(starts, members)``: members of the i-th index are
                           ``members[starts[i]:starts[i + 1]]`` (a tuple of arrays for tuples)
parameter                  number, or array over its index set (flat, or one dimension per set)
=========================  =====================================================================

A changed parameter re-evaluates only the rows, bounds and costs that name it (`Program.update`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ...errors import Flaw, InputError, UsageError
from ..linear import Family, Labels, LinearModel
from . import tracing
from .assembly import RowBlock, dense_row, row_block, sparse_matrix
from .lanes import Evaluator, FloatArray, Lanes, Linear, Term
from .names import Named, named_parameters
from .spaces import SCALAR, Axis, IndexArray, Space, UnknownLabelError, axis_over
from .tracing import NotTraceableError, Trace, relations


@dataclass(frozen=True)
class TracedConstraint:
    """A constraint family, its relation over templates, and the parameters it names."""

    component: Any
    trace: Trace
    named: Named


class Formulation:
    """An AbstractModel, traced.

    Parameters
    ----------
    model
        AbstractModel; it is copied, not changed.

    Raises
    ------
    NotTraceableError
        Something in it has no array form; the message says what.
    """

    def __init__(self, model: Any) -> None:
        self.source = model
        self.model = tracing.prepared(model)
        self._expressions: dict[int, Trace] = {}
        self.sets = {s.local_name: s for s in tracing.sets(self.model)}
        self.parameters = {p.local_name: p for p in tracing.parameters(self.model)}
        self.variables = {v.local_name: v for v in tracing.variables(self.model)}
        self.bounds = {n: tracing.bounds_of(v) for n, v in self.variables.items()}
        self.domains = {n: tracing.domain_of(v) for n, v in self.variables.items()}
        self.constraints = [
            TracedConstraint(component, trace, self._named(trace))
            for component, trace in tracing.constraints(self.model)
        ]
        self.objective = tracing.objective(self.model)
        self.objective_named = None if self.objective is None else self._named(self.objective[1])
        self.bounds_named = {
            n: frozenset() if t is None else self._named(t).everywhere
            for n, t in self.bounds.items()
        }

    def expression(self, component: Any) -> Trace:
        """Trace of a named Expression, made when first needed."""
        found = self._expressions.get(id(component))
        if found is None:
            found = self._expressions[id(component)] = tracing.named_expression(component)
        return found

    def compile(self, data: Mapping[str, Any]) -> Program:
        """Program for some data.

        Raises
        ------
        InputError
            Data are missing, of a wrong shape, or use labels that are not in their sets.
        UsageError
            A name is not one of the formulation's.
        NotTraceableError
            A rule is not linear, or has no array form.
        """
        return Program(self, data)

    def _named(self, trace: Trace) -> Named:
        return named_parameters(trace.expression, self.expression)


class Program:
    """A formulation with data: arrays that can be solved, and changed.

    Attributes
    ----------
    linear
        The arrays.
    """

    def __init__(self, formulation: Formulation, data: Mapping[str, Any]) -> None:
        begin = time.perf_counter()
        self.formulation = formulation
        known = {**formulation.sets, **formulation.parameters}
        for name in data:
            if name not in known:
                raise UsageError.unknown("set or parameter", name, known)
        missing = [
            Flaw("is missing", field=name, fix="give its values by this name")
            for name in known
            if name not in data
        ]
        if missing:
            raise InputError(missing, "Data of the formulation")
        self._data = dict(data)
        self._spaces: dict[int, tuple[Space, Any]] = {}
        self._ragged: dict[int, tuple[Space, IndexArray, list[Axis], list[IndexArray]]] = {}
        self._values: dict[str, tuple[FloatArray, Space]] = {}
        self.variable_space = {n: self._index_space(v) for n, v in formulation.variables.items()}
        self.first_column: dict[str, int] = {}
        total = 0
        for name, space in self.variable_space.items():
            self.first_column[name] = total
            total += space.size
        self.columns = total
        self._evaluator = Evaluator(
            space_of=self.space_of,
            ragged_of=self._ragged_of,
            parameter=self._parameter,
            first_column=self.first_column,
            variable_space=self.variable_space,
            expression_trace=formulation.expression,
        )
        try:
            self.linear = self._compiled(begin)
        except UnknownLabelError as error:
            raise InputError(Flaw(str(error), fix="compare the sets of the formulation")) from None

    # -- sets and parameters -----------------------------------------------------------------

    def space_of(self, index_set: Any) -> Space:
        """Space of a declared set, or of a product of sets."""
        found = self._spaces.get(id(index_set))
        if found is None:
            found = self._spaces[id(index_set)] = (self._make_space(index_set), index_set)
        return found[0]

    def _make_space(self, index_set: Any) -> Space:
        if index_set.local_name in self.formulation.sets:
            return self._declared_space(index_set)
        if not tracing.is_product(index_set):
            raise NotTraceableError(f"the set {index_set}")
        spaces = [self.space_of(part) for part in tracing.parts(index_set)]
        axes = [axis for space in spaces for axis in space.axes]
        if all(space.members is None for space in spaces):
            return Space(axes)
        grids = np.indices([space.size for space in spaces]).reshape(len(spaces), -1)
        members = [
            np.broadcast_to(place, space.grid_shape).reshape(-1)[chosen]
            for space, chosen in zip(spaces, grids, strict=True)
            for place in space.grid()
        ]
        return Space(axes, members)

    def _declared_space(self, declared: Any) -> Space:
        name = declared.local_name
        given = self._data[name]
        outer = tracing.within(declared)
        if not isinstance(given, tuple):
            axis = Axis(given)
            if axis.first is None and len(set(axis.labels.tolist())) != len(axis):
                raise InputError(Flaw("holds a label twice", field=name))
            return Space([axis])
        columns = [np.asarray(column) for column in given]
        if len({len(column) for column in columns}) != 1:
            raise InputError(Flaw("has columns of different lengths", field=name))
        if outer is not None:
            axes = [axis for part in tracing.parts(outer) for axis in self.space_of(part).axes]
        else:
            axes = [axis_over(column) for column in columns]
        if len(axes) != len(columns):
            what = f"has {len(columns)} columns for {len(axes)} dimensions"
            raise InputError(Flaw(what, field=name))
        members = [
            axis.positions(column).astype(np.int32)
            for axis, column in zip(axes, columns, strict=True)
        ]
        return Space(axes, members)

    def _index_space(self, component: Any) -> Space:
        return self.space_of(component.index_set()) if component.is_indexed() else SCALAR

    def _ragged_of(self, declared: Any) -> tuple[Space, IndexArray, list[Axis], list[IndexArray]]:
        found = self._ragged.get(id(declared))
        if found is None:
            space = self._index_space(declared)
            starts, members = self._data[declared.local_name]
            columns = members if isinstance(members, tuple) else (members,)
            starts = np.asarray(starts, dtype=np.int64)
            if len(starts) != space.size + 1 or (np.diff(starts) < 0).any():
                allowed = f"{space.size + 1} rising numbers"
                what = "has starts of a wrong form"
                raise InputError(Flaw(what, field=declared.local_name, allowed=allowed))
            outer = tracing.declared_within(declared)
            axes = (
                list(self.space_of(outer).axes)
                if outer is not None
                else [axis_over(column) for column in columns]
            )
            places = [
                axis.positions(np.asarray(column))
                for axis, column in zip(axes, columns, strict=True)
            ]
            found = self._ragged[id(declared)] = (space, starts, axes, places)
        return found

    def _parameter(self, component: Any) -> tuple[FloatArray, Space]:
        name = component.local_name
        found = self._values.get(name)
        if found is None:
            space = self._index_space(component)
            found = self._values[name] = (self._flat_values(name, space), space)
        return found

    def _flat_values(self, name: str, space: Space) -> FloatArray:
        given = self._data[name]
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            what = "is not a number or an array of numbers"
            raise InputError(Flaw(what, field=name, value=type(given).__name__)) from None
        if space is SCALAR and values.size == 1:
            return values.reshape(1)
        if values.shape not in {space.grid_shape, (space.size,)}:
            allowed = " or ".join(str(s) for s in {space.grid_shape, (space.size,)})
            raise InputError(
                Flaw("has the wrong shape", field=name, value=values.shape, allowed=allowed)
            )
        return values.reshape(-1)

    # -- compiling ---------------------------------------------------------------------------

    def _compiled(self, begin: float) -> LinearModel:
        formulation = self.formulation
        lower, upper = np.empty(self.columns), np.empty(self.columns)
        integer = np.empty(self.columns, dtype=np.bool_)
        for name in formulation.variables:
            span = self._span(name)
            lower[span], upper[span], integer[span] = self._bounds(name)
        blocks: list[RowBlock] = []
        sides: list[tuple[FloatArray, FloatArray]] = []
        self.row_space: dict[str, Space] = {}
        self.first_row: dict[str, int] = {}
        rows = 0
        for traced in formulation.constraints:
            space = self._index_space(traced.component)
            name = traced.component.local_name
            lanes = self._lanes(traced, space)
            body, low, high = self._relation(traced, lanes)
            blocks.append(row_block(body.terms, lanes))
            sides.append((_flat(low, space), _flat(high, space)))
            self.row_space[name], self.first_row[name] = space, rows
            rows += space.size
        starts, indices, coefficients = sparse_matrix(blocks, self.columns)
        cost, offset, maximize = self._objective()
        return LinearModel(
            cost=cost,
            starts=starts,
            indices=indices,
            coefficients=coefficients,
            row_lower=np.concatenate([low for low, _ in sides]) if sides else np.empty(0),
            row_upper=np.concatenate([high for _, high in sides]) if sides else np.empty(0),
            column_lower=lower,
            column_upper=upper,
            integer=integer,
            offset=offset,
            maximize=maximize,
            labels=self._labels(),
            source=formulation.source,
            build_seconds=time.perf_counter() - begin,
        )

    @cached_property
    def _lanes_of(self) -> dict[str, Lanes]:
        return {}

    def _lanes(self, traced: TracedConstraint, space: Space) -> Lanes:
        name = traced.component.local_name
        found = self._lanes_of.get(name)
        if found is None:
            found = self._evaluator.lanes(space, traced.trace.templates)
            self._lanes_of[name] = found
        return found

    def _relation(self, traced: TracedConstraint, lanes: Lanes) -> tuple[Linear, Any, Any]:
        """Body, lower and upper side of a relation, all variables on the left."""
        expression = traced.trace.expression
        if isinstance(expression, tuple):
            expression = relations.tuple_to_relational_expr(expression)
        evaluate = self._evaluator.linear
        arguments = [evaluate(argument, lanes) for argument in expression.args]
        if isinstance(expression, relations.RangedExpression):
            low, body, high = arguments
            if low.terms or high.terms:
                raise NotTraceableError(f"'{traced.component.name}' has variable limits")
            return body, low.constant - body.constant, high.constant - body.constant
        left, right = arguments
        moved = [replace(term, values=-np.asarray(term.values)) for term in right.terms]
        body = Linear(0.0, [*left.terms, *moved])
        side = right.constant - left.constant
        if isinstance(expression, relations.EqualityExpression):
            return body, side, side
        if isinstance(expression, relations.InequalityExpression):
            # Pyomo states every inequality as "left ≤ right".
            return body, -np.inf, side
        raise NotTraceableError(f"'{traced.component.name}' is no equation or inequality")

    def _objective(self) -> tuple[FloatArray, float, bool]:
        if self.formulation.objective is None:
            return np.zeros(self.columns), 0.0, False
        _, trace, maximize = self.formulation.objective
        value = self._evaluator.linear(trace.expression, self._objective_lanes)
        return dense_row(value.terms, self.columns), float(value.constant), maximize

    @cached_property
    def _objective_lanes(self) -> Lanes:
        return self._evaluator.lanes(SCALAR, ())

    def _bounds(self, name: str) -> tuple[Any, Any, bool]:
        low, high, integer = self.formulation.domains[name]
        lower: Any = -np.inf if low is None else low
        upper: Any = np.inf if high is None else high
        trace = self.formulation.bounds[name]
        if trace is not None:
            space = self.variable_space[name]
            lanes = self._evaluator.lanes(space, trace.templates or _unused(space))
            sides = [
                None if side is None else _flat(self._evaluator.linear(side, lanes).constant, space)
                for side in trace.expression
            ]
            lower = lower if sides[0] is None else np.maximum(lower, sides[0])
            upper = upper if sides[1] is None else np.minimum(upper, sides[1])
        return lower, upper, integer

    def _span(self, name: str) -> slice:
        first = self.first_column[name]
        return slice(first, first + self.variable_space[name].size)

    def _labels(self) -> Labels:
        def families(spaces: Mapping[str, Space], first: Mapping[str, int], kind: str) -> Any:
            for name, space in spaces.items():
                component = self.formulation.model.component(name)
                positions = np.arange(first[name], first[name] + space.size)
                yield Family(name, positions, _indexer(space, component), doc=component.doc)

        return Labels(
            lambda: families(self.variable_space, self.first_column, "Var"),
            lambda: families(self.row_space, self.first_row, "Constraint"),
        )

    # -- changing ----------------------------------------------------------------------------

    def update(self, **parameters: Any) -> LinearModel:
        """Change parameters, and re-evaluate only what names them.

        Parameters
        ----------
        parameters
            New values by name, of the same shape as before.

        Returns
        -------
        LinearModel
            The changed arrays; what did not change is shared with the arrays before.

        Raises
        ------
        UsageError
            A name is not a parameter of the formulation.
        InputError
            An array has the wrong shape.
        """
        for name in parameters:
            if name not in self.formulation.parameters:
                raise UsageError.unknown("parameter", name, self.formulation.parameters)
        begin = time.perf_counter()
        self._data.update(parameters)
        for name in parameters:
            self._values.pop(name, None)
        changed = frozenset(parameters)
        fields: dict[str, Any] = {}
        if any(traced.named.coefficients & changed for traced in self.formulation.constraints):
            self.linear = self._compiled(begin)
            return self.linear
        fields |= self._changed_sides(changed)
        fields |= self._changed_bounds(changed)
        named = self.formulation.objective_named
        if named is not None and named.everywhere & changed:
            cost, offset, _ = self._objective()
            fields |= {"cost": cost, "offset": offset}
        seconds = time.perf_counter() - begin
        self.linear = replace(self.linear, **fields, build_seconds=seconds)
        return self.linear

    def _changed_sides(self, changed: frozenset[str]) -> dict[str, Any]:
        touched = [t for t in self.formulation.constraints if t.named.everywhere & changed]
        if not touched:
            return {}
        lower, upper = self.linear.row_lower.copy(), self.linear.row_upper.copy()
        self._evaluator.with_terms = False
        try:
            for traced in touched:
                name = traced.component.local_name
                space = self.row_space[name]
                _, low, high = self._relation(traced, self._lanes(traced, space))
                span = slice(self.first_row[name], self.first_row[name] + space.size)
                lower[span], upper[span] = _flat(low, space), _flat(high, space)
        finally:
            self._evaluator.with_terms = True
        return {"row_lower": lower, "row_upper": upper}

    def _changed_bounds(self, changed: frozenset[str]) -> dict[str, Any]:
        touched = [n for n, named in self.formulation.bounds_named.items() if named & changed]
        if not touched:
            return {}
        lower, upper = self.linear.column_lower.copy(), self.linear.column_upper.copy()
        for name in touched:
            span = self._span(name)
            lower[span], upper[span], _ = self._bounds(name)
        return {"column_lower": lower, "column_upper": upper}


def _flat(values: Any, space: Space) -> FloatArray:
    """Values over the members of a space, flattened."""
    return np.broadcast_to(values, space.grid_shape).reshape(-1)


def _unused(space: Space) -> tuple[Any, ...]:
    return tuple(_Anonymous(i) for i in range(len(space.axes)))


class _Anonymous:
    """Stands for the templates of a rule that has none."""

    def __init__(self, number: int) -> None:
        self._id = -1 - number


def _indexer(space: Space, component: Any) -> Any:
    def make() -> pd.Index:
        if not component.is_indexed():
            return space.index()
        parts = tracing.parts(component.index_set())
        names = [part.local_name for part in parts]
        fitting = names if len(names) == len(space.axes) and len(set(names)) == len(names) else None
        return space.index(fitting)

    return make


__all__ = ["Formulation", "Program", "Term"]
