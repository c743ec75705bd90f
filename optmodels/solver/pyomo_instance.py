"""AbstractModel and data into a ConcreteModel, also where a row has nothing to decide.

Over an empty set a sum is the number 0, and Python answers ``0 <= 1`` by ``True`` before Pyomo sees
a constraint: it refuses the whole model. Such a row says nothing, or that nothing is feasible, and
that is what it becomes here, as in a traced formulation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pyomo.environ as pyo
from pyomo.core.expr.relational_expr import InequalityExpression


def create_instance(model: Any, data: Any = None, *, name: str | None = None) -> Any:
    """Make a ConcreteModel of an AbstractModel, which stays as it is.

    Parameters
    ----------
    model
        AbstractModel.
    data
        What ``AbstractModel.create_instance`` takes; ``None``: the model has its data.
    name
        Name of the instance; default: the model's.
    """
    own = model.clone()
    for constraint in own.component_objects(pyo.Constraint, descend_into=False):
        # The clone has initializers of its own; those that call no function stay as they are.
        written = getattr(constraint.rule, "_fcn", None)
        if callable(written):
            constraint.rule._fcn = _with_rows(written)
    return own.create_instance(data, name=name)


def _with_rows(written: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of a constraint, of which ``True`` and ``False`` are answers as well."""

    @wraps(written)
    def rule(*args: Any, **kwargs: Any) -> Any:
        told = written(*args, **kwargs)
        # Pyomo's own answers are comparisons, whose truth nobody may ask for.
        if told is True:
            return pyo.Constraint.Feasible
        if told is False:
            return InequalityExpression((1.0, 0.0), strict=False)
        return told

    return rule
