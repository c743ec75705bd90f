"""Every touch of Pyomo's inside: tracing rules, and reading what an AbstractModel declares.

A rule is traced once, with placeholders in place of indices; what comes out is an expression tree
over `IndexTemplate`s, sums over sets, and references to components by name. Nothing of the data
enters Pyomo: each set is given a single placeholder member, each parameter a placeholder value.

Pyomo keeps most of this private. All names that are not its public interface are used in this
module and nowhere else; `tests/solver/test_tracing.py` has a test for each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.set import SetProduct
from pyomo.core.expr import relational_expr as relations
from pyomo.core.expr.template_expr import (
    GetItemExpression,
    IndexTemplate,
    TemplateSumExpression,
    templatize_rule,
)

#: `templatize_rule` replaces the builtin ``sum`` while it runs: never in two threads at once.
_TRACING = threading.Lock()

#: Members of every set while rules are traced. A rule may name one of them itself, as in `m.x[0]`;
#: any other label of its own is not found then, and the model is left to the standard path.
PLACEHOLDERS = (0, 1)


class NotTraceableError(Exception):
    """The formulation uses something that cannot be traced; the reason is the message."""


@dataclass(frozen=True)
class Trace:
    """What a rule says, for all indices at once.

    Attributes
    ----------
    expression
        Expression tree over templates; a tuple for bounds and ranged constraints by tuple.
    templates
        The index templates of the component, in the order of its dimensions.
    """

    expression: Any
    templates: tuple[Any, ...]


def prepared(formulation: Any) -> Any:
    """Copy of an AbstractModel that is ready for tracing; the model itself is not changed.

    Raises
    ------
    NotTraceableError
        It holds components that have no array form.
    """
    model = formulation.clone()
    allowed = {pyo.Set, pyo.RangeSet, pyo.Param, pyo.Var, pyo.Expression, pyo.Constraint,
               pyo.Objective, pyo.BuildAction, pyo.BuildCheck, pyo.Suffix}  # fmt: skip
    for component in model.component_objects(descend_into=False):
        if component.ctype not in allowed:
            raise NotTraceableError(f"{component.ctype.__name__} '{component.name}'")
        if component.ctype in (pyo.BuildAction, pyo.BuildCheck) or component.ctype is pyo.RangeSet:
            raise NotTraceableError(f"{component.ctype.__name__} '{component.name}'")
        try:
            _construct(component)
        except NotTraceableError:
            raise
        except Exception as error:
            raise NotTraceableError(f"'{component.name}' cannot be set up: {error}") from error
    return model


def _construct(component: Any) -> None:
    kind = component.ctype
    if component.is_constructed():
        return
    if kind is pyo.Set:
        if getattr(component, "_init_values", None) is not None:
            raise NotTraceableError(f"the set '{component.name}' has members of its own")
        if component.is_indexed():
            component.construct({index: [] for index in component.index_set()})
        else:
            component.construct({None: _placeholders(component)})
    elif kind is pyo.Param:
        if component._default_val is not component.NoValue or component._rule is not None:
            raise NotTraceableError(f"the parameter '{component.name}' has values of its own")
        # An immutable parameter would be folded into the trace as a number.
        component._mutable = True
        component.construct({})
    elif kind is pyo.Var:
        component._dense = False
        component.construct()
    elif kind is pyo.Expression:
        # Only the declaration matters: the rule is traced when the expression is used.
        rule, component._rule = component._rule, None
        component.construct()
        component._rule = rule


def _placeholders(component: Any) -> list[Any]:
    """Members that the set's own domain admits."""
    domain = component._init_domain(component.parent_block(), None, component)
    if isinstance(domain, SetProduct):
        return list(domain)
    dimensions = component.dimen if isinstance(component.dimen, int) else 1
    if dimensions > 1:
        return [(label,) * dimensions for label in PLACEHOLDERS]
    return [label for label in PLACEHOLDERS if label in domain] or [next(iter(domain))]


def trace(component: Any, rule: Any) -> Trace:
    """Trace a rule of a component.

    Raises
    ------
    NotTraceableError
        The rule looks at its index or data in a way that has no template.
    """
    indices = component.index_set() if component.is_indexed() else None
    with _TRACING:
        try:
            expression, templates = templatize_rule(component.parent_block(), rule, indices)
        except Exception as error:
            raise NotTraceableError(f"the rule of '{component.name}': {error}") from error
    return Trace(expression, tuple(templates))


def sets(model: Any) -> Iterator[Any]:
    """Declared sets, in order."""
    yield from model.component_objects(pyo.Set, descend_into=False)


def variables(model: Any) -> Iterator[Any]:
    """Declared variables, in order."""
    yield from model.component_objects(pyo.Var, descend_into=False)


def parameters(model: Any) -> Iterator[Any]:
    """Declared parameters, in order."""
    yield from model.component_objects(pyo.Param, descend_into=False)


def constraints(model: Any) -> Iterator[tuple[Any, Trace]]:
    """Active constraints with their traces, in order."""
    for component in model.component_objects(pyo.Constraint, active=True, descend_into=False):
        yield component, trace(component, component._rule)


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
        The domain differs from member to member, or is no interval.
    """
    rule = variable._rule_domain
    if not rule.constant():
        raise NotTraceableError(f"the domain of '{variable.name}' depends on its index")
    low, high, step = rule(variable.parent_block(), None, variable).get_interval()
    if step not in (0, 1):
        raise NotTraceableError(f"the domain of '{variable.name}' has steps of {step}")
    return low, high, step == 1


def bounds_of(variable: Any) -> Trace | None:
    """Trace of the bounds of a variable, a pair; None where it has none."""
    rule = variable._rule_bounds
    if rule is None:
        return None
    if rule.constant():
        return Trace(rule(variable.parent_block(), None), ())
    return trace(variable, rule)


def is_product(index_set: Any) -> bool:
    """Whether an index set is a product of sets."""
    return isinstance(index_set, SetProduct)


def parts(index_set: Any) -> list[Any]:
    """Sets of a product, in order; the set itself if it is none."""
    return list(index_set.subsets(expand_all_set_operators=False))


def within(declared: Any) -> Any:
    """Set that a multi-dimensional set was declared to be within; None if it says none."""
    initial = declared._init_domain
    found = getattr(initial, "_set", None)
    return found if found is not None and is_product(found) else None


def declared_within(declared: Any) -> Any:
    """Declared set that the members of an indexed set are within; None if it says none."""
    found: Any = getattr(declared._init_domain, "_set", None)
    if found is None or found.ctype is not pyo.Set:
        return None
    # The sets of everybody, such as Reals, stand in no model.
    return found if found.parent_block() is declared.parent_block() else None


def sum_groups(expression: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Sets that a template sum runs over, each with its templates, from the outside in."""
    return [(group[0]._set, tuple(group)) for group in expression._iters]


def summand(expression: Any) -> Any:
    """What a template sum adds up."""
    return expression._local_args_[0]


def template_key(template: Any) -> int:
    """Identity of an index template."""
    key: int = template._id
    return key


__all__ = [
    "GetItemExpression",
    "IndexTemplate",
    "NotTraceableError",
    "TemplateSumExpression",
    "Trace",
    "bounds_of",
    "constraints",
    "declared_within",
    "domain_of",
    "is_product",
    "named_expression",
    "objective",
    "parameters",
    "parts",
    "prepared",
    "relations",
    "sets",
    "sum_groups",
    "summand",
    "template_key",
    "trace",
    "variables",
    "within",
]
