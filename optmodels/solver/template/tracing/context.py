"""While a rule is traced: ``sum`` and loops over sets give templates, looks at the data end it.

A rule is ordinary Python, and may look where no placeholder can answer: how many members a set
has, which is the first, whether a label is in it. Pyomo's own tracing would answer from the
placeholders, and expand ``sum(... for i in [1, 2] for j in m.J)`` to its first term; either gives
a wrong model without a word. Here such looks end the trace (`NotTraceableError`), and the model
goes the ordinary way.
"""

from __future__ import annotations

import builtins
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import GeneratorType
from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.set import _FiniteSetMixin
from pyomo.core.expr.numeric_expr import NumericValue
from pyomo.core.expr.template_expr import (
    GetAttrExpression,
    _template_iter_context,
    _TemplateIterManager,
)

from .nodes import (
    GetItemExpression,
    IndexTemplate,
    NotTraceableError,
    TemplateSumExpression,
    template_key,
)

#: While a rule is traced, the builtin ``sum`` and the iteration of sets are replaced: never by two
#: threads at once.
_TRACING = threading.Lock()
_NUMBERS = itertools.count(1)
_SUM = builtins.sum
_MEMBERS = _FiniteSetMixin.__iter__


class _Context(_template_iter_context):  # type: ignore[misc]
    """Replaces ``sum`` and the iteration of sets, for the tracing thread only."""

    def __init__(self) -> None:
        super().__init__()
        # Template numbers are unique among all traces: traces are evaluated inside each other.
        self.thread = threading.get_ident()

    @property
    def asking(self) -> bool:
        """Whether a question comes from the rule being traced, not from Pyomo or elsewhere."""
        return self.thread == threading.get_ident() and not _TemplateIterManager.paused

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
def tracing() -> Iterator[_Context]:
    """Replace them; in the block, a rule may be called. One trace at a time."""
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


_SET_QUESTIONS = (
    "__len__", "__contains__", "__getitem__", "at", "bounds", "data", "first", "last", "next",
    "nextw", "ord", "ordered_data", "prev", "prevw", "sorted_data",
)  # fmt: skip
_MEMBER_QUESTIONS = ("__contains__", "__iter__", "__len__", "items", "keys", "values")


def watch_set(component: Any) -> None:
    """Let a set refuse, while a rule is traced, what only its members can answer."""
    _watch(component, _SET_QUESTIONS)


def watch_members(component: Any) -> None:
    """Let an indexed component refuse to tell its members; ``m.x[index]`` becomes a node."""
    _watch(component, _MEMBER_QUESTIONS, __getitem__=_item)


def _watch(component: Any, questions: tuple[str, ...], **others: Callable[..., Any]) -> None:
    base = type(component)

    def refusing(name: str) -> Callable[..., Any]:
        original = getattr(base, name)

        def ask(self: Any, *args: Any, **kwargs: Any) -> Any:
            context = _TemplateIterManager.context
            if isinstance(context, _Context) and context.asking:
                raise NotTraceableError(f"it asks for `{name}` of '{self.local_name}'")
            return original(self, *args, **kwargs)

        return ask

    methods = {name: refusing(name) for name in questions if callable(getattr(base, name, None))}
    component.__class__ = type(base.__name__, (base,), {"__slots__": (), **methods, **others})


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
