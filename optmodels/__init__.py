"""optmodels: planning green AI and compute infrastructure, with proven optima.

One instance object is accepted by the oracle, by planners and by online algorithms, and one audit
judges them all:

>>> import optmodels as om
>>> inst = om.generate("scaling.job", seed=1)
>>> plan = om.solve(inst)
>>> str(plan.status)
'optimal'

Everything here is imported on first use, so that ``import optmodels`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optmodels.api import check, explain, generate, load, solve
    from optmodels.comparison import Comparison, compare
    from optmodels.instance import Instance
    from optmodels.plan import Plan
    from optmodels.policy import Observation, Policy
    from optmodels.registry import problems
    from optmodels.reports import report
    from optmodels.solver import explain_model, solve_model
    from optmodels.studies import (
        AdviceCurve,
        Gaps,
        Study,
        Worst,
        adversary,
        advice_curve,
        gaps,
        study,
    )
    from optmodels.trade_off import Frontier, frontier

_HOME = {
    "check": "optmodels.api",
    "explain": "optmodels.api",
    "generate": "optmodels.api",
    "load": "optmodels.api",
    "solve": "optmodels.api",
    "Comparison": "optmodels.comparison",
    "compare": "optmodels.comparison",
    "Instance": "optmodels.instance",
    "Plan": "optmodels.plan",
    "Observation": "optmodels.policy",
    "Policy": "optmodels.policy",
    "problems": "optmodels.registry",
    "report": "optmodels.reports",
    "explain_model": "optmodels.solver",
    "solve_model": "optmodels.solver",
    "AdviceCurve": "optmodels.studies",
    "Gaps": "optmodels.studies",
    "Study": "optmodels.studies",
    "Worst": "optmodels.studies",
    "adversary": "optmodels.studies",
    "advice_curve": "optmodels.studies",
    "gaps": "optmodels.studies",
    "study": "optmodels.studies",
    "Frontier": "optmodels.trade_off",
    "frontier": "optmodels.trade_off",
}

__all__ = [
    "AdviceCurve",
    "Comparison",
    "Frontier",
    "Gaps",
    "Instance",
    "Observation",
    "Plan",
    "Policy",
    "Study",
    "Worst",
    "adversary",
    "advice_curve",
    "check",
    "compare",
    "explain",
    "explain_model",
    "frontier",
    "gaps",
    "generate",
    "load",
    "problems",
    "report",
    "solve",
    "solve_model",
    "study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'optmodels' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
