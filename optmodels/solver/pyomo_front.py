"""The front end for Pyomo models: the fastest path that fits.

An AbstractModel with named arrays is compiled from its traced rules (`template`), a hundred times
faster than through Pyomo's objects. Everything else goes through Pyomo's standard form
(`pyomo_standard`): a ConcreteModel, data in Pyomo's own forms, and formulations that look at their
data in a way that no trace can follow. The reason is logged; either path gives the same matrix.

Traces are kept by model, and dropped with it. A model that was changed since is traced again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

from .linear import LinearModel
from .listening import logger
from .pyomo_standard import compile_pyomo
from .template import Formulation, NotTraceableError
from .template.data import pyomo_data
from .template.tracing import fingerprint

_TRACES: WeakKeyDictionary[Any, tuple[tuple[Any, ...], Formulation | NotTraceableError]]
_TRACES = WeakKeyDictionary()
_LOCK = threading.Lock()


def compile_by_fastest(model: Any, data: object = None) -> LinearModel:
    """Turn a Pyomo model into a `LinearModel` by the fastest path that fits.

    Parameters
    ----------
    model
        ConcreteModel, or AbstractModel together with its data.
    data
        Named arrays, as `optmodels.solver.template.data` describes them, or what
        ``AbstractModel.create_instance`` takes.

    Raises
    ------
    UsageError, InputError
        As for `compile_pyomo` and for `optmodels.solver.template.data.Data`.
    """
    if model.is_constructed() or not is_named_arrays(data):
        if data is not None:
            logger.info("%s: standard form, the data are in Pyomo's own form", model.name)
        return compile_pyomo(model, data)
    try:
        return traced(model).compile(data).linear
    except NotTraceableError as reason:
        logger.info("%s: standard form, because of %s", model.name, reason)
    return compile_pyomo(model, pyomo_data(model, data))


def is_named_arrays(data: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether data are arrays by component name, and not one of Pyomo's own forms."""
    return isinstance(data, Mapping) and all(isinstance(name, str) for name in data)


def traced(model: Any) -> Formulation:
    """Formulation of an AbstractModel, traced at most once as long as the model stays as it is.

    Raises
    ------
    NotTraceableError
        It cannot be traced.
    """
    now = fingerprint(model)
    with _LOCK:
        before, found = _TRACES.get(model, ((), None))
    if found is None or not _identical(before, now):
        try:
            found = Formulation(model, hold=False)
        except NotTraceableError as error:
            found = NotTraceableError(str(error))
        with _LOCK:
            _TRACES[model] = (now, found)
    if isinstance(found, NotTraceableError):
        raise NotTraceableError(str(found))
    return found


def _identical(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Whether two fingerprints hold the same objects (Pyomo's ``==`` makes expressions)."""
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))
