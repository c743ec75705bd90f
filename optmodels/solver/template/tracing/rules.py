"""The rules of a model, each traced once: constraints, objective, Expressions, bounds, domains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.set import SetOperator

from ...reasons import first_line
from .context import tracing
from .nodes import NotTraceableError, Trace, relations


def trace(component: Any, rule: Any) -> Trace:
    """Trace a rule of a component.

    Raises
    ------
    NotTraceableError
        The rule looks at its index or data in a way that has no template.
    """
    if rule is None:
        raise NotTraceableError(f"'{component.local_name}' has no rule")
    with tracing() as context:
        try:
            templates: tuple[Any, ...] = ()
            if component.is_indexed():
                templates = next(iter(context.get_iter(component.index_set())))
                templates = templates if isinstance(templates, tuple) else (templates,)
                context.cache.clear()
            expression = rule(component.parent_block(), templates)
        except Exception as error:
            raise NotTraceableError(
                f"the rule of '{component.local_name}': {first_line(error)}"
            ) from error
        if context.cache:
            over = context.cache[-1][0]._set
            raise NotTraceableError(f"the rule of '{component.local_name}' loops over {over}")
    return Trace(expression, templates)


def constraints(model: Any) -> Iterator[tuple[Any, Trace]]:
    """Active constraints with their traces, in order."""
    for component in model.component_objects(pyo.Constraint, active=True, descend_into=False):
        found = trace(component, component.rule)
        if isinstance(found.expression, tuple):
            relation = relations.tuple_to_relational_expr(found.expression)
            found = Trace(relation, found.templates)
        if not isinstance(found.expression, _RELATIONS):
            what = getattr(found.expression, "__name__", type(found.expression).__name__)
            raise NotTraceableError(f"the rule of '{component.local_name}' gives {what}")
        strict = getattr(found.expression, "strict", False)
        if any(strict) if isinstance(strict, tuple) else strict:
            raise NotTraceableError(f"'{component.local_name}' is a strict inequality")
        yield component, found


_RELATIONS = (
    relations.EqualityExpression,
    relations.InequalityExpression,
    relations.RangedExpression,
)


def objective(model: Any) -> tuple[Any, Trace, bool] | None:
    """Active objective with its trace, and whether it is maximised; None if there is none.

    Raises
    ------
    NotTraceableError
        There are several.
    """
    found = list(model.component_objects(pyo.Objective, active=True, descend_into=False))
    if not found:
        return None
    if len(found) > 1 or found[0].is_indexed():
        raise NotTraceableError("more than one objective")
    component = found[0]
    sense = component._init_sense(model, None)
    return component, trace(component, component.rule), sense == pyo.maximize


def named_expression(component: Any) -> Trace:
    """Trace of a named Expression."""
    return trace(component, component._rule)


def domain_of(variable: Any) -> tuple[float | None, float | None, bool]:
    """Lower end, upper end and integrality of a variable's domain.

    Raises
    ------
    NotTraceableError
        The domain differs from member to member, depends on data, or is no interval.
    """
    rule, name = variable._rule_domain, variable.local_name
    if not rule.constant():
        raise NotTraceableError(f"the domain of '{name}' depends on its index")
    domain = trace(variable, lambda block, _: rule(block, None, variable)).expression
    if domain.parent_block() is not None or isinstance(domain, SetOperator):
        raise NotTraceableError(f"the domain of '{name}' is a set of the model")
    low, high, step = domain.get_interval()
    if step not in (0, 1):
        raise NotTraceableError(f"the domain of '{name}' has steps of {step}")
    return low, high, step == 1


def bounds_of(variable: Any) -> Trace | None:
    """Trace of the bounds of a variable, a pair; None where it has none."""
    rule = variable._rule_bounds
    if rule is None:
        return None
    # Also where it is the same for all members: a rule may look at the data.
    found = trace(variable, rule)
    pair = (None, None) if found.expression is None else found.expression
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise NotTraceableError(f"the bounds of '{variable.local_name}' are no pair")
    return Trace(pair, found.templates)


def variables(model: Any) -> Iterator[Any]:
    """Declared variables, in order."""
    yield from model.component_objects(pyo.Var, descend_into=False)
