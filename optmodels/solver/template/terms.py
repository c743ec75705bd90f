"""Linear expressions over lanes: a constant per lane, and terms.

A term is an array of columns and one of coefficients. It belongs to the lanes of the expression,
or to lanes further inside: a sum over variables is never written out, only the row it ends in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .lanes import Lanes, path
from .spaces import IndexArray


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
