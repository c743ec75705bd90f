"""Every touch of Pyomo's inside: tracing rules, and reading what an AbstractModel declares.

A rule is traced once, with placeholders in place of indices; what comes out is an expression tree
over `IndexTemplate`s, sums over sets, and references to components. Nothing of the data enters
Pyomo: every set has a single placeholder member, every parameter is mutable and without value.

A rule is ordinary Python, and may look where no placeholder can answer: how many members a set
has, which is the first, whether a label is in it. `Pyomo`'s own tracing would answer from the
placeholders, and expand ``sum(... for i in [1, 2] for j in m.J)`` to its first term; either gives
a wrong model without a word. Here such looks end the trace (`NotTraceableError`), and the model
goes the ordinary way.

Pyomo keeps most of this private. All names that are not its public interface are used in this
module and nowhere else; `tests/solver/test_tracing.py` has a test for each.
"""

from __future__ import annotations

import builtins
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.initializer import ConstantInitializer
from pyomo.core.base.set import SetOperator, SetProduct, _FiniteSetMixin
from pyomo.core.expr import relational_expr as relations
from pyomo.core.expr.numeric_expr import NumericValue
from pyomo.core.expr.template_expr import (
    CallExpression,
    GetAttrExpression,
    GetItemExpression,
    IndexTemplate,
    TemplateSumExpression,
    _template_iter_context,
    _TemplateIterManager,
)

#: While a rule is traced, the builtin ``sum`` and the iteration of sets are replaced: never by two
#: threads at once.
_TRACING = threading.Lock()
_NUMBERS = itertools.count(1)
_SUM = builtins.sum
_MEMBERS = _FiniteSetMixin.__iter__

#: The only member of every set while rules are traced; no one would write it in a rule.
PLACEHOLDER = 8_317_205_946_113


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


@dataclass(frozen=True)
class Declarations:
    """A copy of an AbstractModel that is ready for tracing, and its sets and parameters."""

    model: Any
    sets: dict[str, DeclaredSet]
    parameters: dict[str, DeclaredParameter]


# -- declarations ------------------------------------------------------------------------------


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
    _watch(component, _SET_QUESTIONS)
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
        _watch(component, _SET_QUESTIONS)
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
        return _SUM(_dimension(part, known) or 1 for part in parts(index_set))
    declared = known.get(getattr(index_set, "local_name", ""))
    if declared is not None and declared.component is index_set:
        return declared.dimension
    return None


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
        _watch(component, _MEMBER_QUESTIONS, getitem=True)
    found = DeclaredParameter(component, component.domain, value, obstacle, strict)
    component.domain = pyo.Any
    return found


def _construct_index(component: Any) -> None:
    for anonymous in component._anonymous_sets or ():
        anonymous.construct()


_HARMLESS = {pyo.Set, pyo.RangeSet, pyo.Param, pyo.Suffix}
_SET_QUESTIONS = (
    "__len__", "__contains__", "__getitem__", "at", "bounds", "data", "first", "last", "next",
    "nextw", "ord", "ordered_data", "prev", "prevw", "sorted_data",
)  # fmt: skip
_MEMBER_QUESTIONS = ("__contains__", "__iter__", "__len__", "items", "keys", "values")


def _watch(component: Any, questions: tuple[str, ...], *, getitem: bool = False) -> None:
    """Let a component refuse, while a rule is traced, what only its data can answer."""
    base = type(component)

    def refusing(name: str) -> Callable[..., Any]:
        original = getattr(base, name)

        def ask(self: Any, *args: Any, **kwargs: Any) -> Any:
            context = _TemplateIterManager.context
            if isinstance(context, _Context) and context.asking:
                raise NotTraceableError(f"it asks for `{name}` of '{self.local_name}'")
            return original(self, *args, **kwargs)

        return ask

    names = [name for name in questions if hasattr(base, name)]
    space: dict[str, Any] = {
        name: refusing(name) for name in names if callable(getattr(base, name))
    }
    if getitem:
        space["__getitem__"] = _item
    component.__class__ = type(base.__name__, (base,), {"__slots__": (), **space})


def _item(component: Any, index: Any) -> Any:
    """``m.x[index]`` as a node of the trace, whatever the labels."""
    flat = tuple(_flattened(index))
    if any(isinstance(label, slice) or label is Ellipsis or label is None for label in flat):
        raise NotTraceableError(f"a slice of '{component.local_name}'")
    return GetItemExpression((component, *flat))


def _flattened(index: Any) -> Iterator[Any]:
    if isinstance(index, tuple):
        for part in index:
            yield from _flattened(part)
    else:
        yield index


def prepare(declared: Declarations) -> None:
    """Set up variables and named Expressions for tracing.

    Raises
    ------
    NotTraceableError
        The model holds components that have no array form.
    """
    own = {pyo.Var, pyo.Expression, pyo.Constraint, pyo.Objective}
    for component in declared.model.component_objects(descend_into=False):
        kind, name = component.ctype, component.local_name
        if kind not in own | _HARMLESS or isinstance(component, pyo.ConstraintList | pyo.VarList):
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
            elif kind in (pyo.Constraint, pyo.Objective):
                _construct_index(component)
        except Exception as error:
            raise NotTraceableError(f"'{name}' cannot be set up: {_line(error)}") from error
        if kind in (pyo.Var, pyo.Expression) and component.is_indexed():
            _watch(component, _MEMBER_QUESTIONS, getitem=True)


def _construct_without_bounds(variable: Any) -> None:
    """Construct a variable; bounds and domain may need data, and are traced on their own."""
    bounds, domain = variable._rule_bounds, variable._rule_domain
    variable._rule_bounds = None
    variable.construct()
    variable._rule_bounds, variable._rule_domain = bounds, domain


# -- tracing -----------------------------------------------------------------------------------


class _Context(_template_iter_context):  # type: ignore[misc]
    """Replaces ``sum`` and the iteration of sets, for the tracing thread only."""

    def __init__(self) -> None:
        super().__init__()
        # Template numbers are unique among all traces: traces are evaluated inside each other.
        self.thread = threading.get_ident()
        self.quiet = False

    @property
    def asking(self) -> bool:
        """Whether a question comes from the rule being traced, not from Pyomo or elsewhere."""
        return (
            self.thread == threading.get_ident()
            and not self.quiet
            and not _TemplateIterManager.paused
        )

    def next_id(self) -> int:
        return next(_NUMBERS)

    def get_iter(self, source: Any) -> Any:
        if threading.get_ident() != self.thread:
            return _MEMBERS(source)
        if isinstance(source, GetItemExpression):
            return self._over_members(source)
        return super().get_iter(source)

    def _over_members(self, source: Any) -> Iterator[Any]:
        """Templates for the members of an indexed set, whose index may be a template itself."""
        declared = source.args[0]
        if getattr(declared, "ctype", None) is not pyo.Set:
            raise NotTraceableError(f"it loops over {source}")
        width = next(iter(declared._data.values())).dimen
        group = self.next_group()
        found = tuple(IndexTemplate(source, i, self.next_id(), group) for i in range(width))
        self.cache.append(found)
        yield found[0] if width == 1 else found

    def sum_template(self, terms: Any, start: Any = 0) -> Any:
        if threading.get_ident() != self.thread or not isinstance(terms, GeneratorType):
            return _SUM(terms, start)
        before = len(self.cache)
        nothing = object()
        first = next(terms, nothing)
        opened = self.cache[before:]
        del self.cache[before:]
        if not opened:
            return start if first is nothing else _SUM(terms, start + first)
        if first is nothing or not _runs_over(terms, opened):
            raise NotTraceableError("a sum over sets that has a condition or another loop in it")
        total = TemplateSumExpression((first,), opened)
        return total if isinstance(start, int) and start == 0 else start + total


def _runs_over(generator: Any, opened: list[tuple[Any, ...]]) -> bool:
    """Whether the loops of a generator are over these sets and nothing else."""
    frame = generator.gi_frame
    if frame is None:
        return False
    code = frame.f_code
    found: set[int] = set()
    for name in (*code.co_varnames, *code.co_cellvars):
        if name.startswith("."):
            continue
        bound = frame.f_locals.get(name)
        templates = bound if isinstance(bound, tuple) else (bound,)
        if not all(isinstance(template, IndexTemplate) for template in templates):
            return False
        found |= {template_key(template) for template in templates}
    return found == {template_key(template) for group in opened for template in group}


@contextmanager
def _tracing() -> Iterator[_Context]:
    with _TRACING:
        context = _Context()
        iterated = (_FiniteSetMixin, GetItemExpression, GetAttrExpression)
        with _TemplateIterManager.init(context, *iterated), _comparing(context):
            yield context


@contextmanager
def _comparing(context: _Context) -> Iterator[None]:
    """Refuse ``s == "label"``: Pyomo's answer is no expression but False, whatever s stands for."""
    original = NumericValue.__eq__

    def equal(self: Any, other: Any) -> Any:
        answer = original(self, other)
        if answer is NotImplemented and context.asking:
            raise NotTraceableError(f"it compares {self} with {other!r}")
        return answer

    NumericValue.__eq__ = equal
    try:
        yield
    finally:
        NumericValue.__eq__ = original


def trace(component: Any, rule: Any) -> Trace:
    """Trace a rule of a component.

    Raises
    ------
    NotTraceableError
        The rule looks at its index or data in a way that has no template.
    """
    if rule is None:
        raise NotTraceableError(f"'{component.local_name}' has no rule")
    with _tracing() as context:
        try:
            templates: tuple[Any, ...] = ()
            if component.is_indexed():
                templates = next(iter(context.get_iter(component.index_set())))
                templates = templates if isinstance(templates, tuple) else (templates,)
                context.cache.clear()
            expression = rule(component.parent_block(), templates)
        except Exception as error:
            raise NotTraceableError(
                f"the rule of '{component.local_name}': {_line(error)}"
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


# -- reading -----------------------------------------------------------------------------------


def variables(model: Any) -> Iterator[Any]:
    """Declared variables, in order."""
    yield from model.component_objects(pyo.Var, descend_into=False)


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


def fingerprint(formulation: Any) -> tuple[Any, ...]:
    """What a trace depends on: the components, their rules, and which are active."""
    kept = ("_rule", "_rule_bounds", "_rule_domain", "_init_values", "_init_domain", "_default_val")
    return tuple(
        part
        for component in formulation.component_objects(descend_into=True)
        for part in (component, component.active, *(getattr(component, n, None) for n in kept))
    )


def _line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0].rstrip(".")


__all__ = [
    "QUESTIONS",
    "Declarations",
    "DeclaredParameter",
    "DeclaredSet",
    "GetItemExpression",
    "IndexTemplate",
    "NotTraceableError",
    "TemplateSumExpression",
    "Trace",
    "bounds_of",
    "constraints",
    "declarations",
    "domain_of",
    "fingerprint",
    "is_product",
    "named_expression",
    "objective",
    "own_members",
    "parts",
    "prepare",
    "relations",
    "sum_groups",
    "summand",
    "template_key",
    "trace",
    "variables",
]
