"""Which parameters an expression names, and which of them as coefficients of variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    places
        Those that stand inside an index, and say which member is meant.
    """

    everywhere: frozenset[str] = _NOTHING
    coefficients: frozenset[str] = _NOTHING
    variables: bool = False
    places: frozenset[str] = _NOTHING


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
            _NOTHING.union(*(f.places for f in found)),
        )

    def component(owner: Any, indices: Any) -> Named:
        inside = all_of(indices).everywhere
        if owner.ctype is pyo.Param:
            return Named(inside | {owner.local_name}, places=inside)
        if owner.ctype is pyo.Var:
            # A parameter inside an index moves the variable: it counts as a coefficient.
            return Named(inside, inside, True, inside)
        if owner.ctype is pyo.Expression:
            body = walk(expression_trace(owner).expression)
            return Named(
                body.everywhere | inside,
                body.coefficients | inside,
                body.variables,
                body.places | inside,
            )
        return Named(inside, places=inside)

    def walk(one: Any) -> Named:
        if isinstance(one, tuple):
            return all_of(one)
        if isinstance(one, tracing.IndexTemplate) or not hasattr(one, "is_expression_type"):
            return Named()
        if isinstance(one, tracing.QUESTIONS):
            raise tracing.NotTraceableError(f"it asks for {one}")
        if isinstance(one, tracing.TemplateSumExpression):
            body = walk(tracing.summand(one))
            # The index of a set in a set says which terms there are.
            over = all_of(
                index
                for group, _ in tracing.sum_groups(one)
                if isinstance(group, tracing.GetItemExpression)
                for index in group.args[1:]
            ).everywhere
            coefficients = body.coefficients | over
            everywhere, places = body.everywhere | over, body.places | over
            return Named(everywhere, coefficients, body.variables, places)
        if isinstance(one, tracing.GetItemExpression):
            return component(one.args[0], one.args[1:])
        if getattr(one, "ctype", None) in (pyo.Param, pyo.Var, pyo.Expression):
            return component(one, ())
        if not one.is_expression_type():
            return Named()
        found = all_of(one.args)
        multiplies = isinstance(one, expressions.ProductExpression | expressions.DivisionExpression)
        if multiplies and found.variables:
            factors = [walk(argument) for argument in one.args]
            data = _NOTHING.union(*(f.everywhere for f in factors if not f.variables))
            return replace(found, coefficients=found.coefficients | data)
        return found

    return walk(node)


def summands(trace: tracing.Trace) -> list[Any]:
    """Parts of a traced expression that are added up."""
    node = trace.expression
    added = isinstance(node, expressions.SumExpression)
    return list(node.args) if added else [node]
