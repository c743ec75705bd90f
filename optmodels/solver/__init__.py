"""The safe solve layer for anybody's Pyomo or CVXPY model; it knows no problem.

A model goes through four rooms. A *front end* (`pyomo_standard`, `cvxpy_adapter`) turns it into a
`LinearModel`: plain arrays with lazily resolved labels. A `Session` owns one HiGHS and pushes the
arrays into it. What comes back is *checked in numpy* (rows, bounds, integrality, and a bound by
weak duality) before it becomes a `Solution`. A model without a solution gives no numbers: its
`Solution` raises, and `explain_model` says which limits conflict.

Importing this package is cheap: pyomo, cvxpy, highspy, numpy and pandas are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conflict import Conflict
    from .cvxpy_live import LiveProblem as LiveProblem
    from .explain import explain_model
    from .export import export_model
    from .front import compile_model, solve_model
    from .labels import Family, Labels
    from .linear import LinearModel
    from .live import LiveModel, shifted_start
    from .session import Session
    from .solution import Solution, check_not_worse
    from .status import Status

# Not listed here: `LiveProblem`, whose module brings CVXPY along.
__all__ = [
    "Conflict",
    "Family",
    "Labels",
    "LinearModel",
    "LiveModel",
    "Session",
    "Solution",
    "Status",
    "check_not_worse",
    "compile_model",
    "explain_model",
    "export_model",
    "seconds_left",
    "shifted_start",
    "solve_model",
    "with_nodes",
]

_ROOMS = {
    "Conflict": "conflict",
    "Family": "labels",
    "Labels": "labels",
    "LinearModel": "linear",
    "LiveModel": "live",
    "LiveProblem": "cvxpy_live",
    "Session": "session",
    "Solution": "solution",
    "Status": "status",
    "check_not_worse": "solution",
    "compile_model": "front",
    "explain_model": "explain",
    "export_model": "export",
    "shifted_start": "live",
    "solve_model": "front",
    "seconds_left": "options",
    "with_nodes": "options",
}


def __getattr__(name: str) -> Any:
    """Import the room of a public name when it is first asked for."""
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
