"""A formulation with data: an AbstractModel and named arrays become a `LinearModel`.

Each traced rule is evaluated over its whole index set in numpy, and the entries are laid out as a
sparse matrix. No Pyomo object is made for a variable, a constraint or a value.

A changed parameter re-evaluates only the rows, bounds and costs that name it (`Program.update`),
and only their constants where it multiplies no variable.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import Flaw, InputError, UsageError
from ..labels import FloatArray, Labels
from ..linear import LinearModel, same_array
from .assembly import Assembly, dense_row, row_block
from .data import Data
from .evaluator import Evaluator
from .lanes import Lanes
from .layout import Layout
from .spaces import SCALAR, Space, UnknownLabelError
from .terms import Linear
from .tracing import NotTraceableError, Trace, relations

if TYPE_CHECKING:
    from .formulation import Formulation, TracedConstraint, TracedVariable


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
        space_of = self.data.sets.index_space
        variables, constraints = formulation.variables.values(), formulation.constraints
        self._columns = Layout({one.name: space_of(one.component) for one in variables})
        self._rows = Layout({one.name: space_of(one.component) for one in constraints})
        self._lanes: dict[int, Lanes] = {}
        self._evaluator = Evaluator(self.data, self._columns, formulation.expression)
        self._assembly = Assembly(self._columns.size)
        #: What an update can use again: constants by side of a relation, rows by part of the
        #: objective. Filled by updates only, so that compiling holds no more than it must.
        self._constants: dict[tuple[str, int], Any] = {}
        self._parts: dict[int, tuple[FloatArray, float]] = {}
        with _as_input_errors():
            self.linear = self._compiled(begin)

    # -- compiling ---------------------------------------------------------------------------

    def _compiled(self, begin: float) -> LinearModel:
        columns, rows, model = self._columns, self._rows, self.formulation.model
        lower, upper = np.empty(columns.size), np.empty(columns.size)
        integer = np.empty(columns.size, dtype=np.bool_)
        for variable in self.formulation.variables.values():
            span = columns.span(variable.name)
            lower[span], upper[span] = self._bounds(variable)
            integer[span] = variable.integer
        row_lower, row_upper = np.empty(rows.size), np.empty(rows.size)
        for constraint in self.formulation.constraints:
            span = rows.span(constraint.name)
            row_lower[span], row_upper[span] = self._family(constraint)
        starts, indices, coefficients = self._assembly.matrix()
        cost, offset = self._objective()
        objective = self.formulation.objective
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
            maximize=objective is not None and objective.maximize,
            labels=Labels(
                lambda: columns.families(model),
                lambda: rows.families(model),
                _refuse_to_load,
            ),
            source=self._source,
            build_seconds=time.perf_counter() - begin,
        )

    def _family(self, traced: TracedConstraint) -> tuple[Any, Any]:
        """Evaluate a constraint family: its entries go to the matrix, its limits are returned."""
        space = self._rows.spaces[traced.name]
        lanes = self._lanes_of(traced.trace, space)
        sides = [self._evaluator.linear(side, lanes) for side in traced.trace.expression.args]
        body, low, high = _turned(traced, sides)
        self._assembly.put(traced.name, row_block(body.terms, lanes))
        return _flat(low, space), _flat(high, space)

    def _limits(self, traced: TracedConstraint) -> tuple[Any, Any]:
        """Limits of a constraint family, its entries being known."""
        space = self._rows.spaces[traced.name]
        lanes = self._lanes_of(traced.trace, space)
        sides = []
        for number, side in enumerate(traced.trace.expression.args):
            key = (traced.name, number)
            if key not in self._constants:
                self._constants[key] = self._evaluator.constant(side, lanes)
            sides.append(Linear(self._constants[key]))
        _, low, high = _turned(traced, sides)
        return _flat(low, space), _flat(high, space)

    def _objective(self, *, keep: bool = False) -> tuple[FloatArray, float]:
        """Costs and constant, part by part; parts that are kept are not evaluated again."""
        cost, offset = np.zeros(self._columns.size), 0.0
        objective = self.formulation.objective
        if objective is None:
            return cost, offset
        lanes = self._lanes_of(objective.trace, SCALAR)
        for number, node in enumerate(objective.parts):
            part = self._parts.get(number)
            if part is None:
                value = self._evaluator.linear(node, lanes)
                part = dense_row(value.terms, self._columns.size), float(value.constant)
                if keep:
                    self._parts[number] = part
            cost += part[0]
            offset += part[1]
        return cost, offset

    def _bounds(self, traced: TracedVariable) -> tuple[Any, Any]:
        """Lower and upper bounds of a variable: the tighter of its domain and its own."""
        trace = traced.bounds
        if trace is None:
            return traced.lower, traced.upper
        space = self._columns.spaces[traced.name]
        lanes = self._lanes_of(trace, space)
        sides = [
            None if side is None else self._evaluator.linear(side, lanes)
            for side in trace.expression
        ]
        if any(side is not None and side.terms for side in sides):
            raise NotTraceableError(f"the bounds of '{traced.name}' hold a variable")
        low, high = (None if s is None else _flat(s.constant, space) for s in sides)
        return (
            traced.lower if low is None else np.maximum(traced.lower, low),
            traced.upper if high is None else np.minimum(traced.upper, high),
        )

    def _lanes_of(self, trace: Trace, space: Space) -> Lanes:
        """Lanes of a trace, the same ones each time: what is kept is kept by lanes."""
        found = self._lanes.get(id(trace))
        if found is None:
            found = self._lanes[id(trace)] = Lanes.over(space, trace.templates)
        return found

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
        before = self.data.parameters.state()
        changed = self.data.parameters.change(parameters)
        if not changed:
            return self.linear
        try:
            with _as_input_errors():
                fields = self._changed(changed)
        except Exception:
            self.data.parameters.restore(before)
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
        objective = self.formulation.objective
        if objective is not None and objective.named.everywhere & changed:
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
        objective = self.formulation.objective
        for number, named in enumerate(() if objective is None else objective.parts_named):
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
            span = self._rows.span(traced.name)
            lower[span], upper[span] = self._family(traced) if inside else self._limits(traced)
        now |= {"row_lower": lower, "row_upper": upper}
        if entries:
            now["starts"], now["indices"], now["coefficients"] = self._assembly.matrix()

    def _change_bounds(self, changed: frozenset[str], now: dict[str, Any]) -> None:
        variables = self.formulation.variables.values()
        touched = [one for one in variables if one.named.everywhere & changed]
        if not touched:
            return
        lower, upper = self.linear.column_lower.copy(), self.linear.column_upper.copy()
        for variable in touched:
            span = self._columns.span(variable.name)
            lower[span], upper[span] = self._bounds(variable)
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
