"""Evaluating a traced expression over a whole index set at once: from nodes to `Linear`.

Parameters are looked up by arrays of positions, variables become arrays of columns, sums over sets
open lanes further inside. Where the members of a component stand seldom depends on values, so it is
found once and kept until somebody says otherwise (`Evaluator.forget`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import numeric_expr as expressions

from .data import Data
from .lanes import Lanes, Renamed, bound
from .layout import Layout
from .spaces import Axis, IndexArray, Space, UnknownLabelError
from .terms import Linear, Term, scaled
from .tracing import (
    GetItemExpression,
    IndexTemplate,
    NotTraceableError,
    TemplateSumExpression,
    Trace,
    sum_groups,
    summand,
    template_key,
)

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


class Evaluator:
    """Evaluates traces with the data at hand.

    Parameters
    ----------
    data
        Sets and parameters with data.
    columns
        Where the variables stand.
    expression_trace
        Trace of a named Expression.
    """

    def __init__(
        self, data: Data, columns: Layout, expression_trace: Callable[[Any], Trace]
    ) -> None:
        self._sets = data.sets
        self._parameters = data.parameters
        self._columns = columns
        self._expression_trace = expression_trace
        self._places: dict[tuple[int, int], tuple[IndexArray, Any, Lanes]] = {}
        self._inner: dict[tuple[int, ...], tuple[Lanes, Any, Lanes]] = {}
        self._terms: dict[tuple[int, int], tuple[Term, Any]] = {}
        self._free: dict[int, tuple[bool, Any]] = {}
        self._with_terms = True

    def forget(self) -> None:
        """Drop the positions found so far, because a parameter they depend on has changed."""
        self._places.clear()
        self._terms.clear()
        self._inner.clear()

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
        if not self._with_terms and self._without_constant(node):
            return Linear()
        if isinstance(node, IndexTemplate):
            return Linear(_numeric(self._number(node, lanes)))
        if isinstance(node, TemplateSumExpression):
            return self._sum(node, lanes)
        if isinstance(node, GetItemExpression):
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

    def constant(self, node: Any, lanes: Lanes) -> Any:
        """The part of an expression without variables, whose terms are not even made."""
        self._with_terms = False
        try:
            return self.linear(node, lanes).constant
        finally:
            self._with_terms = True

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
            values, space = self._parameters.numbers(component)
            return Linear(values[self._flat(component, space, indices, lanes, node)])
        if kind is pyo.Var:
            return self._variable(component, indices, lanes, node)
        if kind is pyo.Expression:
            return self._named(component, indices, lanes)
        raise NotTraceableError(f"an index of {component}")

    def _variable(self, component: Any, indices: Any, lanes: Lanes, node: Any) -> Linear:
        if not self._with_terms:
            return Linear()
        key = (id(node), id(lanes))
        found = self._terms.get(key)
        if found is None:
            name = component.local_name
            place = self._flat(component, self._columns.spaces[name], indices, lanes, node)
            stands = (
                lanes.standing_for(template_key(index))
                for index in indices
                if isinstance(index, IndexTemplate)
            )
            plain = frozenset(template for template in stands if template is not None)
            columns = place + np.int32(self._columns.first[name])
            found = self._terms[key] = (Term(columns, 1.0, lanes, name, plain), node)
        return Linear(0.0, [found[0]])

    def _reference(self, node: Any, lanes: Lanes) -> Linear:
        """A scalar component."""
        kind = getattr(node, "ctype", None)
        if kind is pyo.Param:
            return Linear(self._parameters.numbers(node)[0][0])
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
        if isinstance(node, TemplateSumExpression):
            return self._without_constant(summand(node))
        # An indexed component stands for its members; asking a node for `ctype` makes another node.
        node = node.args[0] if isinstance(node, GetItemExpression) else node
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
            space = self._sets.index_space(component)
            places = self._places_along(component, space, indices, lanes)
            self._member(component, space, places)
            positions = bound(known.templates, space.axes, places)
            stands = {
                template_key(template): lanes.standing_for(template_key(index))
                if isinstance(index, IndexTemplate)
                else None
                for template, index in zip(known.templates, indices, strict=True)
            }
            found = self._inner[key] = (Renamed(lanes, positions, stands), indices, lanes)
        return self.linear(known.expression, found[0])

    def _sum(self, node: Any, lanes: Lanes) -> Linear:
        key = (id(node), id(lanes))
        found = self._inner.get(key)
        if found is None:
            inside = lanes
            for over, templates in sum_groups(node):
                inside = self._opened(over, templates, inside)
            self._inner[key] = (inside, node, lanes)
        else:
            inside = found[0]
        body = self.linear(summand(node), inside)
        constant = body.constant
        here = inside
        while here is not lanes:
            constant = here.gathered(constant)
            assert here.parent is not None
            here = here.parent
        return Linear(constant, body.terms)

    def _opened(self, over: Any, templates: tuple[Any, ...], lanes: Lanes) -> Lanes:
        """Lanes of a sum over a set inside other lanes."""
        if not isinstance(over, GetItemExpression):
            return lanes.opened(self._sets.space_of(over), templates)
        declared = over.args[0]
        lists = self._sets.lists_of(declared)
        which = self._flat(declared, lists.space, over.args[1:], lanes, over)
        return lanes.written_out(lists, which, templates)

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
            if isinstance(index, IndexTemplate):
                own, places = lanes.position(template_key(index))
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
        if isinstance(node, IndexTemplate):
            axis, places = lanes.position(template_key(node))
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
