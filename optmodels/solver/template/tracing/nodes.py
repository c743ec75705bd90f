"""What a trace is made of: nodes over index templates, and how to read them.

A traced rule is an expression tree as Pyomo builds it, with an `IndexTemplate` wherever the rule
wrote one of its indices: ``m.x[t]`` is a `GetItemExpression`, ``sum(... for s in m.S)`` a
`TemplateSumExpression` over one term. The inside of the nodes and of index sets is read here, so
that nobody else needs to know how Pyomo keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyomo.core.base.set import SetOperator, SetProduct
from pyomo.core.expr import relational_expr as relations
from pyomo.core.expr.template_expr import (
    CallExpression,
    GetAttrExpression,
    GetItemExpression,
    IndexTemplate,
    TemplateSumExpression,
)

#: Nodes that ask a member of a component for something, such as ``m.x[t].ub``.
QUESTIONS = (GetAttrExpression, CallExpression)


class NotTraceableError(Exception):
    """The formulation uses something that has no array form; the reason is the message."""


@dataclass(frozen=True)
class Trace:
    """What a rule says, for all indices at once.

    Attributes
    ----------
    expression
        Expression tree over templates; a pair for bounds.
    templates
        The index templates of the component, in the order of its dimensions.
    """

    expression: Any
    templates: tuple[Any, ...]


def is_product(index_set: Any) -> bool:
    """Whether an index set is a product of sets."""
    return isinstance(index_set, SetProduct)


def parts(index_set: Any) -> list[Any]:
    """Sets of a product, in order; the set itself if it is none."""
    return list(index_set.subsets(expand_all_set_operators=False))


def own_members(index_set: Any) -> list[Any]:
    """Members of a set without name, such as the list in ``Var([1, 2])``.

    Raises
    ------
    NotTraceableError
        Its members depend on other sets.
    """
    if isinstance(index_set, SetOperator) or not index_set.isfinite():
        raise NotTraceableError(f"the set {index_set}")
    return list(index_set)


def sum_groups(expression: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """Sets that a template sum runs over, each with its templates, from the outside in."""
    return [(group[0]._set, tuple(group)) for group in expression._iters]


def summand(expression: Any) -> Any:
    """What a template sum adds up."""
    return expression._local_args_[0]


def template_key(template: Any) -> int:
    """Number of an index template, unique among all traces."""
    key: int = template._id
    return key


__all__ = [
    "QUESTIONS",
    "GetItemExpression",
    "IndexTemplate",
    "NotTraceableError",
    "TemplateSumExpression",
    "Trace",
    "is_product",
    "own_members",
    "parts",
    "relations",
    "sum_groups",
    "summand",
    "template_key",
]
