"""Evaluating a traced expression over a whole index set at once.

A `Lanes` object says what the free index templates stand for: a grid of index combinations, with
one array of positions per template, broadcastable to the shape of the grid. A constraint over
S × T opens a grid of that shape; a sum over a set inside it opens a child grid with one more
dimension, so that ``x[s, t]`` is one broadcast addition and nothing is repeated in memory. Only a
sum over an indexed set, whose size differs from lane to lane, needs its lanes written out.

What comes out is a `Linear`: a constant per lane, and terms (columns, values) that each belong to
the lanes, or to lanes further inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import numeric_expr as expressions

from ..labels import FloatArray
from . import tracing
from .spaces import SCALAR, Axis, IndexArray, Space, UnknownLabelError
from .tracing import NotTraceableError

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}


class Lanes:
    """A grid of index combinations.

    Parameters
    ----------
    shape
        Shape of the grid.
    positions
        Per template, its axis and its positions, broadcastable to the shape.
    parent
        The lanes outside, whose templates are visible too.
    rows
        For lanes that were written out: the lane of the parent (flattened) that each belongs to,
        sorted. None for a grid that continues its parent's by further dimensions.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        positions: dict[int, tuple[Axis, IndexArray]],
        parent: Lanes | None = None,
        rows: IndexArray | None = None,
    ) -> None:
        self.shape = shape
        self.parent = parent
        self.rows = rows
        self._positions = positions
        #: Templates that these lanes were opened for; others are found further out.
        self.own_templates = frozenset(positions)

    @property
    def size(self) -> int:
        """Number of lanes."""
        return math.prod(self.shape)

    def position(self, key: int) -> tuple[Axis, IndexArray]:
        """Axis and positions of a template, as wide as these lanes."""
        found = self._positions.get(key)
        if found is None:
            assert self.parent is not None
            axis, outer = self.parent.position(key)
            found = self._positions[key] = (axis, self.inward(outer))
        return found

    def standing_for(self, key: int) -> int | None:
        """Template that a template of a named Expression stands for; None for a computed index."""
        if key in self.own_templates or self.parent is None:
            return key
        return self.parent.standing_for(key)

    def inward(self, values: Any) -> Any:
        """Array over the parent's lanes, seen from these."""
        if np.ndim(values) == 0:
            return values
        assert self.parent is not None
        if self.rows is None:
            return values.reshape(values.shape + (1,) * (len(self.shape) - values.ndim))
        return np.broadcast_to(values, self.parent.shape).reshape(-1)[self.rows]

    def gathered(self, values: Any) -> Any:
        """Sum of an array over these lanes for each lane of the parent."""
        assert self.parent is not None
        if np.ndim(values) == 0 and not values:
            return 0.0
        whole = np.broadcast_to(values, self.shape)
        if self.rows is None:
            inner = tuple(range(len(self.parent.shape), len(self.shape)))
            return whole.sum(axis=inner)
        sums = np.bincount(self.rows, weights=whole, minlength=self.parent.size)
        return sums.reshape(self.parent.shape)


@dataclass(frozen=True)
class Term:
    """Columns with their coefficients, over some lanes.

    Attributes
    ----------
    columns, values
        Column numbers and coefficients, broadcastable to the shape of the lanes.
    lanes
        The lanes the arrays are over: those of the expression, or further inside.
    component
        Name of the variable.
    plain
        Templates that are indices of the variable as they stand: where all templates of the inner
        lanes are among them, no column occurs twice in a lane.
    """

    columns: IndexArray
    values: Any
    lanes: Lanes
    component: str
    plain: frozenset[int]


@dataclass
class Linear:
    """A constant per lane plus terms."""

    constant: Any = 0.0
    terms: list[Term] = field(default_factory=list)


class Evaluator:
    """Evaluates traces with the data at hand.

    Parameters
    ----------
    space_of
        Index set of a Pyomo set object.
    ragged_of
        Members of an indexed set: the space of its index, where each member list starts, the axes
        and the positions of the members along them.
    parameter
        Value array of a parameter, flat over its space, and the space.
    first_column
        First column of a variable by name.
    variable_space
        Space of a variable by name.
    expression_trace
        Trace of a named Expression.
    """

    def __init__(
        self,
        *,
        space_of: Callable[[Any], Space],
        ragged_of: Callable[[Any], tuple[Space, IndexArray, list[Axis], list[IndexArray]]],
        parameter: Callable[[Any], tuple[FloatArray, Space]],
        first_column: Mapping[str, int],
        variable_space: Mapping[str, Space],
        expression_trace: Callable[[Any], tracing.Trace],
    ) -> None:
        self._space_of = space_of
        self._ragged_of = ragged_of
        self._parameter = parameter
        self._first_column = first_column
        self._variable_space = variable_space
        self._expression_trace = expression_trace
        self._places: dict[tuple[int, int], tuple[IndexArray, Any, Lanes]] = {}
        self._inner: dict[tuple[int, ...], tuple[Lanes, Any, Lanes]] = {}
        self._terms: dict[tuple[int, int], tuple[Term, Any]] = {}
        self._free: dict[int, tuple[bool, Any]] = {}
        #: Without terms an evaluation yields constants only: right-hand sides and bounds.
        self.with_terms = True

    def forget(self) -> None:
        """Drop the positions found so far, because a parameter they depend on has changed."""
        self._places.clear()
        self._terms.clear()
        self._inner.clear()

    def lanes(self, space: Space, templates: tuple[Any, ...]) -> Lanes:
        """Lanes over the members of a component's index set."""
        return Lanes(space.grid_shape, _bound(templates, space.axes, space.grid()))

    # -- linear expressions ------------------------------------------------------------------

    def linear(self, node: Any, lanes: Lanes) -> Linear:
        """Value of an expression in every lane.

        Raises
        ------
        NotTraceableError
            The expression is not linear in the variables, or has no array form.
        """
        if not hasattr(node, "is_expression_type"):
            return Linear(_literal(node))
        if not self.with_terms and self._without_constant(node):
            return Linear()
        if isinstance(node, tracing.IndexTemplate):
            return Linear(_numeric(self._number(node, lanes)))
        if isinstance(node, tracing.TemplateSumExpression):
            return self._sum(node, lanes)
        if isinstance(node, tracing.GetItemExpression):
            return self._item(node, lanes)
        if not node.is_expression_type():
            return self._reference(node, lanes)
        if isinstance(node, expressions.SumExpression):
            total = Linear()
            for argument in node.args:
                part = self.linear(argument, lanes)
                if type(part.constant) is not float or part.constant != 0.0:
                    total.constant = total.constant + part.constant
                total.terms += part.terms
            return total
        if isinstance(node, expressions.ProductExpression):
            left, right = (self.linear(argument, lanes) for argument in node.args)
            return self._product(left, right, lanes)
        if isinstance(node, expressions.NegationExpression):
            return scaled(self.linear(node.args[0], lanes), -1.0, lanes)
        if isinstance(node, expressions.DivisionExpression):
            above, below = (self.linear(argument, lanes) for argument in node.args)
            return scaled(above, self._data(below), lanes, np.divide)
        if isinstance(node, expressions.PowExpression):
            base, power = (self._data(self.linear(argument, lanes)) for argument in node.args)
            return Linear(base**power)
        if isinstance(node, expressions.AbsExpression):
            return Linear(np.abs(self._data(self.linear(node.args[0], lanes))))
        if isinstance(node, expressions.UnaryFunctionExpression):
            name = node.getname()
            if name in _FUNCTIONS:
                return Linear(_FUNCTIONS[name](self._data(self.linear(node.args[0], lanes))))
        if getattr(node, "ctype", None) is pyo.Expression:
            return self._reference(node, lanes)
        raise NotTraceableError(f"{type(node).__name__} has no array form")

    def _product(self, left: Linear, right: Linear, lanes: Lanes) -> Linear:
        if left.terms and right.terms:
            raise NotTraceableError("a product of variables")
        if right.terms:
            return scaled(right, left.constant, lanes)
        return scaled(left, right.constant, lanes)

    def _data(self, value: Linear) -> Any:
        if value.terms:
            raise NotTraceableError("a variable inside a nonlinear function")
        return value.constant

    def _item(self, node: Any, lanes: Lanes) -> Linear:
        component, indices = node.args[0], node.args[1:]
        kind = getattr(component, "ctype", None)
        if kind is pyo.Param:
            values, space = self._parameter(component)
            return Linear(values[self._flat(component, space, indices, lanes, node)])
        if kind is pyo.Var:
            return self._variable(component, indices, lanes, node)
        if kind is pyo.Expression:
            return self._named(component, indices, lanes)
        raise NotTraceableError(f"an index of {component}")

    def _variable(self, component: Any, indices: Any, lanes: Lanes, node: Any) -> Linear:
        if not self.with_terms:
            return Linear()
        key = (id(node), id(lanes))
        found = self._terms.get(key)
        if found is None:
            name = component.local_name
            place = self._flat(component, self._variable_space[name], indices, lanes, node)
            stands = (
                lanes.standing_for(tracing.template_key(index))
                for index in indices
                if isinstance(index, tracing.IndexTemplate)
            )
            plain = frozenset(template for template in stands if template is not None)
            columns = place + np.int32(self._first_column[name])
            found = self._terms[key] = (Term(columns, 1.0, lanes, name, plain), node)
        return Linear(0.0, [found[0]])

    def _reference(self, node: Any, lanes: Lanes) -> Linear:
        """A scalar component."""
        kind = getattr(node, "ctype", None)
        if kind is pyo.Param:
            return Linear(self._parameter(node)[0][0])
        if kind is pyo.Var:
            return self._variable(node, (), lanes, node)
        if kind is pyo.Expression:
            return self._named(node, (), lanes)
        raise NotTraceableError(f"{type(node).__name__} has no array form")

    def _without_constant(self, node: Any) -> bool:
        """Whether an expression has no part free of variables, whatever the data."""
        found = self._free.get(id(node))
        if found is None:
            found = self._free[id(node)] = (self._look_for_constant(node), node)
        return found[0]

    def _look_for_constant(self, node: Any) -> bool:
        if not hasattr(node, "is_expression_type"):
            return False
        if isinstance(node, tracing.TemplateSumExpression):
            return self._without_constant(tracing.summand(node))
        # An indexed component stands for its members; asking a node for `ctype` makes another node.
        node = node.args[0] if isinstance(node, tracing.GetItemExpression) else node
        kind = getattr(node, "ctype", None)
        if kind is pyo.Expression:
            return self._without_constant(self._expression_trace(node).expression)
        if kind is not None:
            return kind is pyo.Var
        if isinstance(node, expressions.SumExpression):
            return all(self._without_constant(argument) for argument in node.args)
        if isinstance(node, expressions.ProductExpression):
            return any(self._without_constant(argument) for argument in node.args)
        if isinstance(node, expressions.NegationExpression | expressions.DivisionExpression):
            return self._without_constant(node.args[0])
        return False

    def _named(self, component: Any, indices: Any, lanes: Lanes) -> Linear:
        """A named Expression: its own trace, with its templates standing for the indices."""
        known = self._expression_trace(component)
        key = (id(component), *(id(index) for index in indices), id(lanes))
        found = self._inner.get(key)
        if found is None:
            space = self._space_of(component.index_set()) if component.is_indexed() else SCALAR
            places = self._places_along(component, space, indices, lanes)
            self._member(component, space, places)
            bound = _bound(known.templates, space.axes, places)
            stands = {
                tracing.template_key(template): lanes.standing_for(tracing.template_key(index))
                if isinstance(index, tracing.IndexTemplate)
                else None
                for template, index in zip(known.templates, indices, strict=True)
            }
            found = self._inner[key] = (_Renamed(lanes, bound, stands), indices, lanes)
        return self.linear(known.expression, found[0])

    def _sum(self, node: Any, lanes: Lanes) -> Linear:
        key = (id(node), id(lanes))
        found = self._inner.get(key)
        if found is None:
            inside = lanes
            for over, templates in tracing.sum_groups(node):
                inside = self._opened(over, templates, inside)
            self._inner[key] = (inside, node, lanes)
        else:
            inside = found[0]
        body = self.linear(tracing.summand(node), inside)
        constant = body.constant
        here = inside
        while here is not lanes:
            constant = here.gathered(constant)
            assert here.parent is not None
            here = here.parent
        return Linear(constant, body.terms)

    def _opened(self, over: Any, templates: tuple[Any, ...], lanes: Lanes) -> Lanes:
        """Lanes of a sum over a set inside other lanes."""
        if isinstance(over, tracing.GetItemExpression):
            return self._ragged(over, templates, lanes)
        space = self._space_of(over)
        outer = (1,) * len(lanes.shape)
        places = [place.reshape(outer + place.shape) for place in space.grid()]
        bound = _bound(templates, space.axes, places)
        return Lanes(lanes.shape + space.grid_shape, bound, lanes)

    def _ragged(self, over: Any, templates: tuple[Any, ...], lanes: Lanes) -> Lanes:
        declared = over.args[0]
        space, starts, axes, members = self._ragged_of(declared)
        place = self._flat(declared, space, over.args[1:], lanes, over)
        outer = np.broadcast_to(place, lanes.shape).reshape(-1)
        counts = (starts[1:] - starts[:-1])[outer]
        rows = np.repeat(np.arange(lanes.size), counts)
        ends = np.cumsum(counts)
        chosen = np.arange(rows.size) + np.repeat(starts[:-1][outer] - ends + counts, counts)
        bound = _bound(templates, axes, [member[chosen] for member in members])
        return Lanes((rows.size,), bound, lanes, rows)

    # -- positions ---------------------------------------------------------------------------

    def _flat(
        self, component: Any, space: Space, indices: Any, lanes: Lanes, node: Any
    ) -> IndexArray:
        """Members of a component that its indices name; kept, as they seldom depend on values."""
        key = (id(node), id(lanes))
        found = self._places.get(key)
        if found is None:
            places = self._places_along(component, space, indices, lanes)
            found = self._places[key] = (self._member(component, space, places), node, lanes)
        return found[0]

    def _places_along(
        self, component: Any, space: Space, indices: Any, lanes: Lanes
    ) -> list[IndexArray]:
        """Positions of indices along the axes of a component."""
        if len(indices) != len(space.axes):
            raise NotTraceableError(
                f"'{component.local_name}' has {len(space.axes)} dimensions, "
                f"but is used with {len(indices)} indices"
            )
        return [
            self._place(index, axis, lanes, component)
            for index, axis in zip(indices, space.axes, strict=True)
        ]

    def _member(self, component: Any, space: Space, places: list[IndexArray]) -> IndexArray:
        try:
            return space.flat(places)
        except UnknownLabelError as error:
            raise _unknown(component, error) from None

    def _place(self, index: Any, axis: Axis, lanes: Lanes, component: Any) -> IndexArray:
        try:
            if isinstance(index, tracing.IndexTemplate):
                own, places = lanes.position(tracing.template_key(index))
                if own is axis:
                    return places
                moved = axis.places_of(own)[places]
                if (moved < 0).any():
                    missing = np.broadcast_to(places, moved.shape)[moved < 0].reshape(-1)[0]
                    raise UnknownLabelError(own.labels[missing])
                return moved
            if not hasattr(index, "is_expression_type"):
                label = np.empty((), dtype=object)
                label[()] = index
                return axis.positions(label)
            return axis.positions(np.asarray(self._number(index, lanes)))
        except UnknownLabelError as error:
            raise _unknown(component, error) from None

    def _number(self, node: Any, lanes: Lanes) -> Any:
        """Labels, and arithmetic on labels, as arrays."""
        if isinstance(node, tracing.IndexTemplate):
            axis, places = lanes.position(tracing.template_key(node))
            return axis.labels[places]
        if not hasattr(node, "is_expression_type"):
            return node
        try:
            if isinstance(node, expressions.SumExpression):
                first, *others = (self._number(argument, lanes) for argument in node.args)
                for other in others:
                    first = first + other
                return first
            if isinstance(node, expressions.NegationExpression):
                return -self._number(node.args[0], lanes)
            if isinstance(node, expressions.ProductExpression):
                left, right = (self._number(argument, lanes) for argument in node.args)
                return left * right
        except TypeError as error:
            raise NotTraceableError(
                f"arithmetic with labels that are no numbers: {error}"
            ) from error
        value = self.linear(node, lanes)
        return self._data(value)


class _Renamed(Lanes):
    """The same lanes, with further names for positions: the inside of a named Expression."""

    def __init__(
        self,
        lanes: Lanes,
        positions: dict[int, tuple[Axis, IndexArray]],
        stands: dict[int, int | None],
    ) -> None:
        super().__init__(lanes.shape, positions, lanes.parent, lanes.rows)
        self.same = lanes
        self.own_templates = lanes.own_templates
        self._stands = stands

    def position(self, key: int) -> tuple[Axis, IndexArray]:
        found = self._positions.get(key)
        return self.same.position(key) if found is None else found

    def standing_for(self, key: int) -> int | None:
        return self._stands[key] if key in self._stands else self.same.standing_for(key)


def scaled(
    value: Linear, factor: Any, lanes: Lanes, operation: Callable[..., Any] = np.multiply
) -> Linear:
    """A linear expression times (or divided by) data over the same lanes."""
    terms = []
    for term in value.terms:
        inner = factor
        if np.ndim(factor):
            for level in reversed(path(term.lanes, lanes)):
                inner = level.inward(inner)
        values = operation(term.values, inner)
        terms.append(Term(term.columns, values, term.lanes, term.component, term.plain))
    # Most expressions with variables have no constant: no array of zeros is made for them.
    nothing = bool(terms) and type(value.constant) is float and value.constant == 0.0
    return Linear(0.0 if nothing else operation(value.constant, factor), terms)


def path(inner: Lanes, outer: Lanes) -> list[Lanes]:
    """Lanes from the inner ones out to, not including, the outer ones."""
    found = []
    while not same_lanes(inner, outer):
        found.append(inner)
        assert inner.parent is not None
        inner = inner.parent
    return found


def _root(lanes: Lanes) -> Lanes:
    while isinstance(lanes, _Renamed):
        lanes = lanes.same
    return lanes


def same_lanes(one: Lanes, other: Lanes) -> bool:
    """Whether two lanes are the same, whatever names their positions have."""
    return _root(one) is _root(other)


def _bound(
    templates: tuple[Any, ...], axes: Sequence[Axis], places: Sequence[IndexArray]
) -> dict[int, tuple[Axis, IndexArray]]:
    """Positions by template; none for a rule that takes no indices."""
    if templates and len(templates) != len(axes):
        raise NotTraceableError(
            f"a set has {len(axes)} dimensions, but is used with {len(templates)} indices; "
            "declare it with dimen=..."
        )
    return {
        tracing.template_key(template): (axis, place)
        for template, axis, place in zip(templates, axes, places, strict=False)
    }


def _numeric(labels: Any) -> Any:
    """Labels as the numbers that they are."""
    found = np.asarray(labels)
    if found.dtype.kind == "O" and not all(isinstance(n, int | float) for n in found.flat):
        raise NotTraceableError("labels that are no numbers")
    return found.astype(np.float64)


def _literal(value: Any) -> np.float64:
    try:
        return np.float64(value)
    except (TypeError, ValueError):
        raise NotTraceableError(f"{value!r} is no number") from None


def _unknown(component: Any, error: UnknownLabelError) -> UnknownLabelError:
    """The same error with the component in it, once."""
    if error.component is not None:
        return error
    return UnknownLabelError(error.label, component.local_name)
