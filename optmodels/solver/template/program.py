"""The template compiler: an AbstractModel and named arrays in, a `LinearModel` out.

A formulation is traced once (`Formulation`), whatever the data. With data (`data` says in which
forms) it becomes a `Program`: each traced rule is evaluated over its whole index set in numpy, and
the entries are laid out as a sparse matrix. No Pyomo object is made for a variable, a constraint or
a value.

A changed parameter re-evaluates only the rows, bounds and costs that name it (`Program.update`),
and only their constants where it multiplies no variable.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ...errors import Flaw, InputError, UsageError
from ..labels import Family, FloatArray, Labels
from ..linear import LinearModel, same_array
from . import tracing
from .assembly import Assembly, dense_row, row_block
from .data import Data
from .lanes import Evaluator, Lanes, Linear
from .names import Named, named_parameters, summands
from .spaces import SCALAR, Space, UnknownLabelError
from .tracing import NotTraceableError, Trace, relations


@dataclass(frozen=True)
class TracedConstraint:
    """A constraint family and its relation over templates.

    Attributes
    ----------
    name
        Of the family.
    named, sides
        Parameters that the relation names, and those that each of its sides does.
    varies
        Whether each side has variables.
    """

    component: Any
    name: str
    trace: Trace
    named: Named
    sides: tuple[frozenset[str], ...]
    varies: tuple[bool, ...]


class Formulation:
    """An AbstractModel, traced.

    Parameters
    ----------
    model
        AbstractModel; it is copied, not changed.
    hold
        Keep the AbstractModel alive. False for a table of formulations by model, which would
        otherwise keep every model for ever.

    Raises
    ------
    NotTraceableError
        Something in it has no array form; the message says what.
    """

    def __init__(self, model: Any, *, hold: bool = True) -> None:
        self._source: Callable[[], Any] = (lambda: model) if hold else weakref.ref(model)
        self.declared = tracing.declarations(model)
        tracing.prepare(self.declared)
        self.model = self.declared.model
        self.sets = {name: one.component for name, one in self.declared.sets.items()}
        self.parameters = {name: one.component for name, one in self.declared.parameters.items()}
        self._expressions: dict[int, Trace] = {}
        self.variables = {v.local_name: v for v in tracing.variables(self.model)}
        self.bounds = {n: tracing.bounds_of(v) for n, v in self.variables.items()}
        self.domains = {n: tracing.domain_of(v) for n, v in self.variables.items()}
        self.constraints = [
            TracedConstraint(
                component,
                component.local_name,
                trace,
                self._named(trace),
                self._named_parts(trace.expression.args),
                tuple(_varies(argument) for argument in trace.expression.args),
            )
            for component, trace in tracing.constraints(self.model)
        ]
        self.objective = tracing.objective(self.model)
        self.objective_parts = [] if self.objective is None else summands(self.objective[1])
        self.objective_parts_named = self._named_parts(self.objective_parts)
        self.objective_named = Named() if self.objective is None else self._named(self.objective[1])
        self.bounds_named = {
            n: Named() if t is None else self._named(t) for n, t in self.bounds.items()
        }
        every = [self.objective_named, *self.bounds_named.values()]
        every += [traced.named for traced in self.constraints]
        #: Parameters that say which member of a component is meant.
        self.placing = frozenset[str]().union(*(named.places for named in every))
        #: Parameters that say how large a RangeSet is.
        self.sizing = frozenset(
            limit.local_name
            for declared in self.declared.sets.values()
            for limit in declared.limits or ()
            if not isinstance(limit, int | float)
        )

    @property
    def source(self) -> Any:
        """The AbstractModel.

        Raises
        ------
        UsageError
            It is no longer there.
        """
        found = self._source()
        if found is None:
            raise UsageError("The AbstractModel of this formulation was deleted. Fix: keep it.")
        return found

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
            Data are missing, of a wrong form, or use labels that are not in their sets.
        UsageError
            A name is not one of the formulation's.
        NotTraceableError
            A rule is not linear, or has no array form.
        """
        return Program(self, data)

    def _named(self, trace: Trace) -> Named:
        return named_parameters(trace.expression, self.expression)

    def _named_parts(self, nodes: Iterable[Any]) -> tuple[frozenset[str], ...]:
        return tuple(named_parameters(node, self.expression).everywhere for node in nodes)


class Program:
    """A formulation with data: arrays that can be solved, and changed.

    Attributes
    ----------
    linear
        The arrays.
    """

    linear: LinearModel

    def __init__(self, formulation: Formulation, data: Mapping[str, Any]) -> None:
        begin = time.perf_counter()
        self.formulation = formulation
        self._source = formulation.source
        self.data = Data(formulation.declared, data)
        if self.data.obstacle is not None:
            raise NotTraceableError(self.data.obstacle)
        self.variable_space = {
            name: self.data.index_space(variable)
            for name, variable in formulation.variables.items()
        }
        self.row_space = {
            traced.name: self.data.index_space(traced.component)
            for traced in formulation.constraints
        }
        self.first_column, self.columns = _places(self.variable_space)
        self.first_row, self.rows = _places(self.row_space)
        self._lanes: dict[tuple[str, str], Lanes] = {}
        self._evaluator = Evaluator(
            space_of=self.data.space_of,
            ragged_of=self.data.ragged_of,
            parameter=self.data.parameter,
            first_column=self.first_column,
            variable_space=self.variable_space,
            expression_trace=formulation.expression,
        )
        self._assembly = Assembly(self.columns)
        #: What an update can use again: constants by side of a relation, rows by part of the
        #: objective. Filled by updates only, so that compiling holds no more than it must.
        self._constants: dict[tuple[str, int], Any] = {}
        self._parts: dict[int, tuple[FloatArray, float]] = {}
        with _as_input_errors():
            self.linear = self._compiled(begin)

    # -- compiling ---------------------------------------------------------------------------

    def _compiled(self, begin: float) -> LinearModel:
        lower, upper = np.empty(self.columns), np.empty(self.columns)
        integer = np.empty(self.columns, dtype=np.bool_)
        for name in self.formulation.variables:
            span = self._span(name)
            lower[span], upper[span] = self._bounds(name)
            integer[span] = self.formulation.domains[name][2]
        row_lower, row_upper = np.empty(self.rows), np.empty(self.rows)
        for traced in self.formulation.constraints:
            span = self._rows(traced)
            row_lower[span], row_upper[span] = self._family(traced)
        starts, indices, coefficients = self._assembly.matrix()
        cost, offset = self._objective()
        return LinearModel(
            cost=cost,
            starts=starts,
            indices=indices,
            coefficients=coefficients,
            row_lower=row_lower,
            row_upper=row_upper,
            column_lower=lower,
            column_upper=upper,
            integer=integer,
            offset=offset,
            maximize=self.formulation.objective is not None and self.formulation.objective[2],
            labels=Labels(
                lambda: self._families(self.variable_space, self.first_column),
                lambda: self._families(self.row_space, self.first_row),
                _refuse_to_load,
            ),
            source=self._source,
            build_seconds=time.perf_counter() - begin,
        )

    def _family(self, traced: TracedConstraint) -> tuple[Any, Any]:
        """Evaluate a constraint family: its entries go to the matrix, its limits are returned."""
        name = traced.name
        space = self.row_space[name]
        lanes = self._lanes_of("rows", name, space, traced.trace.templates)
        body, low, high = self._relation(traced, lanes)
        self._assembly.put(name, row_block(body.terms, lanes))
        return _flat(low, space), _flat(high, space)

    def _limits(self, traced: TracedConstraint) -> tuple[Any, Any]:
        """Limits of a constraint family, its entries being known."""
        name = traced.name
        space = self.row_space[name]
        lanes = self._lanes_of("rows", name, space, traced.trace.templates)
        self._evaluator.with_terms = False
        try:
            for side, argument in enumerate(traced.trace.expression.args):
                if (name, side) not in self._constants:
                    value = self._evaluator.linear(argument, lanes)
                    self._constants[name, side] = value.constant
        finally:
            self._evaluator.with_terms = True
        sides = range(len(traced.trace.expression.args))
        known = [Linear(self._constants[name, side]) for side in sides]
        _, low, high = _turned(traced, known)
        return _flat(low, space), _flat(high, space)

    def _relation(self, traced: TracedConstraint, lanes: Lanes) -> tuple[Linear, Any, Any]:
        """Body, lower and upper limit of a relation."""
        arguments = traced.trace.expression.args
        return _turned(traced, [self._evaluator.linear(one, lanes) for one in arguments])

    def _objective(self, *, keep: bool = False) -> tuple[FloatArray, float]:
        """Costs and constant, part by part; parts that are kept are not evaluated again."""
        lanes = self._lanes_of("objective", "", SCALAR, ())
        cost, offset = np.zeros(self.columns), 0.0
        for number, node in enumerate(self.formulation.objective_parts):
            part = self._parts.get(number)
            if part is None:
                value = self._evaluator.linear(node, lanes)
                part = dense_row(value.terms, self.columns), float(value.constant)
                if keep:
                    self._parts[number] = part
            cost += part[0]
            offset += part[1]
        return cost, offset

    def _bounds(self, name: str) -> tuple[Any, Any]:
        low, high, _ = self.formulation.domains[name]
        lower: Any = -np.inf if low is None else low
        upper: Any = np.inf if high is None else high
        trace = self.formulation.bounds[name]
        if trace is None:
            return lower, upper
        space = self.variable_space[name]
        lanes = self._lanes_of("bounds", name, space, trace.templates)
        sides = [
            None if side is None else self._evaluator.linear(side, lanes)
            for side in trace.expression
        ]
        if any(side is not None and side.terms for side in sides):
            raise NotTraceableError(f"the bounds of '{name}' hold a variable")
        first, last = (None if s is None else _flat(s.constant, space) for s in sides)
        return (
            lower if first is None else np.maximum(lower, first),
            upper if last is None else np.minimum(upper, last),
        )

    def _lanes_of(self, kind: str, name: str, space: Space, templates: tuple[Any, ...]) -> Lanes:
        """Lanes of a component, the same ones each time: what is kept is kept by lanes."""
        found = self._lanes.get((kind, name))
        if found is None:
            found = self._lanes[kind, name] = self._evaluator.lanes(space, templates)
        return found

    def _span(self, name: str) -> slice:
        first = self.first_column[name]
        return slice(first, first + self.variable_space[name].size)

    def _rows(self, traced: TracedConstraint) -> slice:
        name = traced.name
        first = self.first_row[name]
        return slice(first, first + self.row_space[name].size)

    def _families(self, spaces: Mapping[str, Space], first: Mapping[str, int]) -> Iterator[Family]:
        for name, space in spaces.items():
            component = self.formulation.model.component(name)
            positions = np.arange(first[name], first[name] + space.size)
            yield Family(name, positions, _indexer(space, component), doc=component.doc)

    # -- changing ----------------------------------------------------------------------------

    def update(self, **parameters: Any) -> LinearModel:
        """Change parameters, and re-evaluate only what names them.

        Parameters
        ----------
        parameters
            New values by name, in any form that `data` describes.

        Returns
        -------
        LinearModel
            What a fresh compilation would give; arrays that did not change are the same objects
            as before.

        Raises
        ------
        UsageError
            A name is not a parameter of the formulation, or says how large a set is.
        InputError
            Values have the wrong form, are outside their domain or name no label. Nothing is
            changed then.
        """
        begin = time.perf_counter()
        sizing = sorted(self.formulation.sizing & parameters.keys())
        if sizing:
            raise UsageError(f"'{sizing[0]}' says how large a set is. Fix: compile anew.")
        before = self.data.state()
        changed = self.data.change(parameters)
        if not changed:
            return self.linear
        try:
            with _as_input_errors():
                fields = self._changed(changed)
        except Exception:
            self.data.restore(before)
            self._forget()
            with _as_input_errors():
                self._compiled(begin)
            raise
        seconds = time.perf_counter() - begin
        self.linear = self.linear.changed(**fields, build_seconds=seconds)
        return self.linear

    def _changed(self, changed: frozenset[str]) -> dict[str, Any]:
        """Arrays that differ after a change of parameters."""
        if changed & self.formulation.placing:
            self._forget()
        self._forget_values(changed)
        now: dict[str, Any] = {}
        self._change_rows(changed, now)
        self._change_bounds(changed, now)
        if self.formulation.objective_named.everywhere & changed:
            now["cost"], now["offset"] = self._objective(keep=True)
        return {name: new for name, new in now.items() if _differs(getattr(self.linear, name), new)}

    def _forget(self) -> None:
        """Use nothing again: positions and values may all differ."""
        self._evaluator.forget()
        self._constants.clear()
        self._parts.clear()

    def _forget_values(self, changed: frozenset[str]) -> None:
        """Keep no value that names a changed parameter."""
        for traced in self.formulation.constraints:
            for side, named in enumerate(traced.sides):
                if named & changed:
                    self._constants.pop((traced.name, side), None)
        for number, named in enumerate(self.formulation.objective_parts_named):
            if named & changed:
                self._parts.pop(number, None)

    def _change_rows(self, changed: frozenset[str], now: dict[str, Any]) -> None:
        touched = [t for t in self.formulation.constraints if t.named.everywhere & changed]
        if not touched:
            return
        lower, upper = self.linear.row_lower.copy(), self.linear.row_upper.copy()
        entries = False
        for traced in touched:
            inside = bool(traced.named.coefficients & changed)
            entries |= inside
            span = self._rows(traced)
            lower[span], upper[span] = self._family(traced) if inside else self._limits(traced)
        now |= {"row_lower": lower, "row_upper": upper}
        if entries:
            now["starts"], now["indices"], now["coefficients"] = self._assembly.matrix()

    def _change_bounds(self, changed: frozenset[str], now: dict[str, Any]) -> None:
        named = self.formulation.bounds_named.items()
        touched = [name for name, one in named if one.everywhere & changed]
        if not touched:
            return
        lower, upper = self.linear.column_lower.copy(), self.linear.column_upper.copy()
        for name in touched:
            span = self._span(name)
            lower[span], upper[span] = self._bounds(name)
        now |= {"column_lower": lower, "column_upper": upper}


def _turned(traced: TracedConstraint, arguments: Sequence[Linear]) -> tuple[Linear, Any, Any]:
    """Body, lower and upper limit of a relation between evaluated arguments.

    Rows are turned as Pyomo turns them, so that duals have the same sign on either path: the
    side with variables is the body; with variables on both sides it is left minus right.
    """
    relation = traced.trace.expression
    if isinstance(relation, relations.RangedExpression):
        low, body, high = arguments
        if low.terms or high.terms:
            raise NotTraceableError(f"'{traced.name}' has variable limits")
        return body, low.constant - body.constant, high.constant - body.constant
    left, right = arguments
    equal = isinstance(relation, relations.EqualityExpression)
    varies_left, varies_right = traced.varies
    if varies_right and not varies_left:
        side = left.constant - right.constant
        return right, side, side if equal else np.inf
    moved = [replace(term, values=np.negative(term.values)) for term in right.terms]
    side = right.constant - left.constant
    # Pyomo states every inequality as "left ≤ right".
    return Linear(0.0, [*left.terms, *moved]), side if equal else -np.inf, side


class _as_input_errors(np.errstate):  # noqa: N801 - reads as a phrase
    """Unknown labels become errors of the input; what cannot be computed becomes NaN, quietly.

    NaN and infinities are found, and named by row and column, when the arrays are checked.
    """

    def __init__(self) -> None:
        super().__init__(all="ignore")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        if isinstance(error, UnknownLabelError):
            flaw = Flaw(
                "is no index of it",
                field=error.component,
                value=error.label,
                fix="compare the sets of the formulation",
            )
            raise InputError(flaw) from None


def _refuse_to_load(*_: Any) -> None:
    raise UsageError(
        "An AbstractModel has no variables to write values into. Fix: make a ConcreteModel with "
        "`instance_of(model, data)` or `model.create_instance(...)`, and solve that."
    )


def _places(spaces: Mapping[str, Space]) -> tuple[dict[str, int], int]:
    """First place of each component, and the number of places."""
    first: dict[str, int] = {}
    total = 0
    for name, space in spaces.items():
        first[name] = total
        total += space.size
    return first, total


def _varies(argument: Any) -> bool:
    """Whether Pyomo takes a side of a relation for one with variables."""
    return hasattr(argument, "is_expression_type") and bool(argument.is_potentially_variable())


def _flat(values: Any, space: Space) -> FloatArray:
    """Values over the members of a space, flattened."""
    array: FloatArray = np.asarray(values)
    if array.shape != space.grid_shape:
        array = np.broadcast_to(array, space.grid_shape)
    return array.reshape(-1)


def _differs(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray):
        return not same_array(old, new)
    return bool(old != new)


def _indexer(space: Space, component: Any) -> Any:
    def make() -> pd.Index:
        if not component.is_indexed():
            return space.index()
        parts = tracing.parts(component.index_set())
        names = [part.local_name for part in parts]
        fitting = names if len(names) == len(space.axes) and len(set(names)) == len(names) else None
        return space.index(fitting)

    return make


__all__ = ["Formulation", "Program"]
