"""Which parameters an expression names, and which of them as coefficients of variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr import numeric_expr as expressions

from . import tracing

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Named:
    """Parameters of an expression.

    Attributes
    ----------
    everywhere
        All parameters it names.
    coefficients
        Those that a variable is multiplied with or divided by.
    variables
        Whether it has any variable.
    """

    everywhere: frozenset[str]
    coefficients: frozenset[str]
    variables: bool


def named_parameters(node: Any, expression_trace: Callable[[Any], tracing.Trace]) -> Named:
    """Find the parameters of a traced expression.

    Parameters
    ----------
    node
        Expression over templates, or a tuple of them.
    expression_trace
        Trace of a named Expression.
    """

    def all_of(nodes: Any) -> Named:
        found = [walk(one) for one in nodes]
        return Named(
            _NOTHING.union(*(f.everywhere for f in found)),
            _NOTHING.union(*(f.coefficients for f in found)),
            any(f.variables for f in found),
        )

    def component(owner: Any, indices: Any) -> Named:
        # A parameter inside an index moves the variable: it counts as a coefficient.
        inside = all_of(indices).everywhere
        if owner.ctype is pyo.Param:
            return Named(inside | {owner.local_name}, _NOTHING, False)
        if owner.ctype is pyo.Var:
            return Named(inside, inside, True)
        if owner.ctype is pyo.Expression:
            body = walk(expression_trace(owner).expression)
            return Named(body.everywhere | inside, body.coefficients | inside, body.variables)
        return Named(inside, _NOTHING, False)

    def walk(one: Any) -> Named:
        if isinstance(one, tuple):
            return all_of(one)
        if isinstance(one, tracing.IndexTemplate) or not hasattr(one, "is_expression_type"):
            return Named(_NOTHING, _NOTHING, False)
        if isinstance(one, tracing.TemplateSumExpression):
            return walk(tracing.summand(one))
        if isinstance(one, tracing.GetItemExpression):
            return component(one.args[0], one.args[1:])
        if getattr(one, "ctype", None) in (pyo.Param, pyo.Var, pyo.Expression):
            return component(one.parent_component(), ())
        if not one.is_expression_type():
            return Named(_NOTHING, _NOTHING, False)
        found = all_of(one.args)
        multiplies = isinstance(one, expressions.ProductExpression | expressions.DivisionExpression)
        if multiplies and found.variables:
            data = [walk(argument) for argument in one.args]
            factors = _NOTHING.union(*(f.everywhere for f in data if not f.variables))
            inner = _NOTHING.union(*(f.coefficients for f in data))
            return Named(found.everywhere, factors | inner, True)
        return found

    return walk(node)
