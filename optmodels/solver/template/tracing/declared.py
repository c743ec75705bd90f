"""What an AbstractModel declares, read off it, and a copy of it that can be traced.

Nothing of the data enters Pyomo: in the copy every set has a single placeholder member, and every
parameter is mutable and without value. What the model says of its own about sets and parameters
(members, limits, defaults, domains) is written down first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.initializer import ConstantInitializer
from pyomo.core.base.set import SetOperator

from ...reasons import first_line
from .context import watch_members, watch_set
from .nodes import NotTraceableError, is_product, parts

#: The only member of every set while rules are traced; no one would write it in a rule.
PLACEHOLDER = 8_317_205_946_113


@dataclass(frozen=True)
class DeclaredSet:
    """What an AbstractModel says about a set.

    Attributes
    ----------
    component
        The set, in the copy that is traced.
    dimension
        Number of labels in a member; None where the model does not say.
    within
        Set that it is a subset of: a declared one, a product, or one of everybody's such as
        ``Integers``; None where the model does not say.
    members
        Members that the model gives itself; None for none.
    limits
        Start, end and step of a ``RangeSet``: numbers or scalar parameters.
    obstacle
        Why it has no array form; None where it has.
    """

    component: Any
    dimension: int | None
    within: Any = None
    members: list[Any] | None = None
    limits: tuple[Any, ...] | None = None
    obstacle: str | None = None


@dataclass(frozen=True)
class DeclaredParameter:
    """What an AbstractModel says about a parameter.

    Attributes
    ----------
    component
        The parameter, in the copy that is traced.
    domain
        Set of allowed values.
    default
        Value where the data have none; None where the model does not say.
    obstacle
        Why it has no array form without data, and with them (`strict`).
    """

    component: Any
    domain: Any
    default: float | None = None
    obstacle: str | None = None
    strict: bool = False


def _declared_as(index_set: Any, known: Mapping[str, DeclaredSet]) -> DeclaredSet | None:
    found = known.get(getattr(index_set, "local_name", ""))
    return found if found is not None and found.component is index_set else None


@dataclass(frozen=True)
class Declarations:
    """A copy of an AbstractModel that is ready for tracing, and its sets and parameters."""

    model: Any
    sets: dict[str, DeclaredSet]
    parameters: dict[str, DeclaredParameter]

    def set_of(self, index_set: Any) -> DeclaredSet | None:
        """What is declared of a set; None for a product of sets, or a set without name."""
        return _declared_as(index_set, self.sets)


def declarations(formulation: Any) -> Declarations:
    """Copy an AbstractModel and set up its sets and parameters; the model is not changed."""
    model = formulation.clone()
    sets: dict[str, DeclaredSet] = {}
    parameters: dict[str, DeclaredParameter] = {}
    for component in model.component_objects(descend_into=False):
        name = component.local_name
        if component.ctype is pyo.RangeSet:
            sets[name] = _range(component)
        elif component.ctype is pyo.Set and not isinstance(component, SetOperator):
            sets[name] = _set(component, sets)
        elif component.ctype is pyo.Param:
            parameters[name] = _parameter(component)
    return Declarations(model, sets, parameters)


def _range(component: Any) -> DeclaredSet:
    limits = tuple(getattr(component, "_init_data", ((), None))[0])
    limits = (1, *limits) if len(limits) == 1 else limits
    component._init_data = ((PLACEHOLDER, PLACEHOLDER), component._init_data[1])
    obstacle = None
    if not 2 <= len(limits) <= 3 or not all(_plain_limit(limit) for limit in limits):
        obstacle = f"the limits of the RangeSet '{component.local_name}'"
    if any(getattr(component, f"_init_{what}", None) for what in ("validate", "filter")):
        obstacle = f"the RangeSet '{component.local_name}' has a filter or validation"
    constant = [*component] if component.is_constructed() else None
    if constant is None:
        component.construct()
    watch_set(component)
    return DeclaredSet(component, 1, None, constant, limits, obstacle)


def _plain_limit(limit: Any) -> bool:
    return isinstance(limit, int | float) or getattr(limit, "ctype", None) is pyo.Param


def _set(component: Any, known: dict[str, DeclaredSet]) -> DeclaredSet:
    name = component.local_name
    obstacle = None
    if component._filter is not None or component._validate is not None:
        obstacle = f"the set '{name}' has a filter or validation"
    values, members = component._init_values, None
    if values is not None:
        if isinstance(values._init, ConstantInitializer) and not component.is_indexed():
            own = pyo.Set(initialize=list(values(component.parent_block(), None)))
            own.construct()
            members = list(own)
        else:
            obstacle = f"the members of the set '{name}' are given by a rule"
    within = _domain_of(component._init_domain)
    dimension = component._init_dimen(component.parent_block(), None)
    if not isinstance(dimension, int):
        dimension = _dimension(within, known)
    elif dimension == 0:
        dimension = None
    # The placeholder is in no domain, and passes no filter.
    component._filter = component._validate = component._init_values = None
    component._init_domain._set = None
    place = (PLACEHOLDER,) * dimension if (dimension or 1) > 1 else PLACEHOLDER
    if component.is_indexed():
        _construct_index(component)
        component.construct({index: [place] for index in component.index_set()})
    else:
        component.construct({None: [place]})
        watch_set(component)
    return DeclaredSet(component, dimension, within, members, None, obstacle)


def _domain_of(initial: Any) -> Any:
    """Set named as the domain of a set; None where there is none, or a rule chooses it."""
    found = getattr(initial, "_set", None)
    if found is not None and callable(getattr(found, "constant", None)):
        found = found(None, None) if found.constant() else None
    return found


def _dimension(index_set: Any, known: dict[str, DeclaredSet]) -> int | None:
    if index_set is None:
        return None
    if is_product(index_set):
        # A set that does not say how wide it is has a single placeholder, no tuple.
        return sum(_dimension(part, known) or 1 for part in parts(index_set))
    declared = _declared_as(index_set, known)
    return None if declared is None else declared.dimension


def _parameter(component: Any) -> DeclaredParameter:
    name = component.local_name
    default, rule = component._default_val, component._rule
    value = None if default is component.NoValue else default
    obstacle = None
    if value is not None and not isinstance(value, int | float):
        value, obstacle = None, f"the default of the parameter '{name}' is no number"
    if rule is not None:
        constant = isinstance(rule, ConstantInitializer)
        own = rule(component.parent_block(), None) if constant else None
        if isinstance(own, int | float):
            value = own
        else:
            obstacle = f"the values of the parameter '{name}' are given by a rule"
    strict = component._validate is not None
    if strict:
        obstacle = f"the parameter '{name}' has a validation"
    # Without value, and mutable: an immutable one would enter the trace as a number.
    component._mutable, component._rule = True, None
    component._default_val, component._validate = component.NoValue, None
    _construct_index(component)
    component.construct({})
    if component.is_indexed():
        watch_members(component)
    found = DeclaredParameter(component, component.domain, value, obstacle, strict)
    component.domain = pyo.Any
    return found


def _construct_index(component: Any) -> None:
    for anonymous in component._anonymous_sets or ():
        anonymous.construct()


_TRACED = {pyo.Var, pyo.Expression, pyo.Constraint, pyo.Objective}
#: And components without a rule to trace.
_KNOWN = _TRACED | {pyo.Set, pyo.RangeSet, pyo.Param, pyo.Suffix}


def prepare(declared: Declarations) -> None:
    """Set up variables and named Expressions for tracing.

    Raises
    ------
    NotTraceableError
        The model holds components that have no array form.
    """
    for component in declared.model.component_objects(descend_into=False):
        kind, name = component.ctype, component.local_name
        if kind not in _KNOWN or isinstance(component, pyo.ConstraintList | pyo.VarList):
            raise NotTraceableError(f"the {type(component).__name__} '{name}'")
        try:
            if kind is pyo.Var:
                component._dense, component._rule_init = False, None
                _construct_index(component)
                _construct_without_bounds(component)
            elif kind is pyo.Expression:
                # Only the declaration matters: the rule is traced when the expression is used.
                rule, component._rule = component._rule, None
                component.construct()
                component._rule = rule
            elif kind in _TRACED:
                _construct_index(component)
        except Exception as error:
            raise NotTraceableError(f"'{name}' cannot be set up: {first_line(error)}") from error
        if kind in (pyo.Var, pyo.Expression) and component.is_indexed():
            watch_members(component)


def _construct_without_bounds(variable: Any) -> None:
    """Construct a variable; bounds and domain may need data, and are traced on their own."""
    bounds, domain = variable._rule_bounds, variable._rule_domain
    variable._rule_bounds = None
    variable.construct()
    variable._rule_bounds, variable._rule_domain = bounds, domain


def fingerprint(formulation: Any) -> tuple[Any, ...]:
    """What a trace depends on: the components, their rules, and which are active."""
    kept = ("_rule", "_rule_bounds", "_rule_domain", "_init_values", "_init_domain", "_default_val")
    return tuple(
        part
        for component in formulation.component_objects(descend_into=True)
        for part in (component, component.active, *(getattr(component, n, None) for n in kept))
    )
