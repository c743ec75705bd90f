"""A formulation, traced: what the compiler knows of an AbstractModel before it sees data.

Every rule is traced once, whatever the data, and looked through for the parameters it names: so a
`Program` knows what a changed parameter can change.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from . import tracing
from .names import Named, named_parameters, summands
from .program import Program
from .tracing import Trace


@dataclass(frozen=True)
class TracedConstraint:
    """A constraint family and its relation over templates.

    Attributes
    ----------
    name
        Of the family.
    named, sides
        Parameters that the relation names, and those that each of its sides does.
    varies
        Whether each side has variables.
    """

    component: Any
    name: str
    trace: Trace
    named: Named
    sides: tuple[frozenset[str], ...]
    varies: tuple[bool, ...]


@dataclass(frozen=True)
class TracedVariable:
    """A variable, its domain and its bounds over templates.

    Attributes
    ----------
    name
        Of the variable.
    lower, upper, integer
        Ends of its domain, infinite where there are none, and integrality.
    bounds
        Trace of its bounds, a pair; None where it has none.
    named
        Parameters that the bounds name.
    """

    component: Any
    name: str
    lower: float
    upper: float
    integer: bool
    bounds: Trace | None
    named: Named


@dataclass(frozen=True)
class TracedObjective:
    """The objective, in parts that are added up.

    Attributes
    ----------
    parts
        Expressions.
    maximize
        Whether more is better.
    named, parts_named
        Parameters that it names, and those that each part does.
    """

    trace: Trace
    parts: Sequence[Any]
    maximize: bool
    named: Named
    parts_named: tuple[frozenset[str], ...]


class Formulation:
    """An AbstractModel, traced.

    Parameters
    ----------
    model
        AbstractModel; it is copied, not changed.
    hold
        Keep the AbstractModel alive. False for a table of formulations by model, which would
        otherwise keep every model for ever.

    Raises
    ------
    NotTraceableError
        Something in it has no array form; the message says what.
    """

    def __init__(self, model: Any, *, hold: bool = True) -> None:
        self._source: Callable[[], Any] = (lambda: model) if hold else weakref.ref(model)
        self.declared = tracing.declarations(model)
        tracing.prepare(self.declared)
        self.model = self.declared.model
        self.parameters = {name: one.component for name, one in self.declared.parameters.items()}
        self._expressions: dict[int, Trace] = {}
        self.variables = {
            component.local_name: self._variable(component)
            for component in tracing.variables(self.model)
        }
        self.constraints = [self._constraint(*one) for one in tracing.constraints(self.model)]
        objective = tracing.objective(self.model)
        self.objective = None if objective is None else self._objective(*objective[1:])
        every = [one.named for one in self.constraints]
        every += [one.named for one in self.variables.values()]
        if self.objective is not None:
            every.append(self.objective.named)
        #: Parameters that say which member of a component is meant.
        self.placing = frozenset[str]().union(*(named.places for named in every))
        #: Parameters that say how large a RangeSet is.
        self.sizing = frozenset(
            limit.local_name
            for declared in self.declared.sets.values()
            for limit in declared.limits or ()
            if not isinstance(limit, int | float)
        )

    @property
    def source(self) -> Any:
        """The AbstractModel.

        Raises
        ------
        UsageError
            It is no longer there.
        """
        found = self._source()
        if found is None:
            raise UsageError("The AbstractModel of this formulation was deleted. Fix: keep it.")
        return found

    def expression(self, component: Any) -> Trace:
        """Trace of a named Expression, made when first needed."""
        found = self._expressions.get(id(component))
        if found is None:
            found = self._expressions[id(component)] = tracing.named_expression(component)
        return found

    def compile(self, data: Mapping[str, Any]) -> Program:
        """Program for some data.

        Raises
        ------
        InputError
            Data are missing, of a wrong form, or use labels that are not in their sets.
        UsageError
            A name is not one of the formulation's.
        NotTraceableError
            A rule is not linear, or has no array form.
        """
        return Program(self, data)

    def _variable(self, component: Any) -> TracedVariable:
        bounds = tracing.bounds_of(component)
        low, high, integer = tracing.domain_of(component)
        return TracedVariable(
            component,
            component.local_name,
            -math.inf if low is None else low,
            math.inf if high is None else high,
            integer,
            bounds,
            Named() if bounds is None else self._named(bounds),
        )

    def _constraint(self, component: Any, trace: Trace) -> TracedConstraint:
        sides = trace.expression.args
        return TracedConstraint(
            component,
            component.local_name,
            trace,
            self._named(trace),
            self._named_parts(sides),
            tuple(_varies(side) for side in sides),
        )

    def _objective(self, trace: Trace, maximize: bool) -> TracedObjective:
        parts = summands(trace)
        return TracedObjective(trace, parts, maximize, self._named(trace), self._named_parts(parts))

    def _named(self, trace: Trace) -> Named:
        return named_parameters(trace.expression, self.expression)

    def _named_parts(self, nodes: Iterable[Any]) -> tuple[frozenset[str], ...]:
        return tuple(named_parameters(node, self.expression).everywhere for node in nodes)


def _varies(argument: Any) -> bool:
    """Whether Pyomo takes a side of a relation for one with variables."""
    return hasattr(argument, "is_expression_type") and bool(argument.is_potentially_variable())
