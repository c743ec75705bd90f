"""Errors against energy and memory, and expectation against the worst case.

All four objectives are sums over applications of what their configurations say, so any weighted sum
of them is found by the same oracle: prices on errors, joules and megabytes. The front of
``expected_error`` against ``worst_error`` shows the price of robustness: how much of the
expectation is given up for a better worst case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from optmodels.ensembles.selection.audit import audit, tables_of
from optmodels.ensembles.selection.configurations import Prices
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.optimum import search
from optmodels.ensembles.selection.pricing import Limits
from optmodels.plan import Plan, Provenance
from optmodels.registry import Weighted

#: What can be traded, and the column of the cost that holds it.
OBJECTIVES: Mapping[str, str] = MappingProxyType(
    {name: name for name in ("expected_error", "worst_error", "energy_j", "memory_mb")}
)


def weighted(
    instance: SelectionInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find a plan of a small weighted sum of errors, energy and memory, with a bound.

    Parameters
    ----------
    instance
        The question.
    weights
        Weight by objective, at least 0: ``expected_error``, ``worst_error``, ``energy_j``,
        ``memory_mb``.
    time_limit_s, mip_gap
        Limits of the oracle.
    """
    started = time.perf_counter()
    part = {name: float(weights.get(name, 0.0)) for name in OBJECTIVES}
    # Prices are relative to the largest, so that gains stay ordinary numbers.
    unit = max(part.values())
    prices = Prices(*(weight / unit for weight in part.values()))
    found = search(instance, prices, Limits(time_limit_s, mip_gap))
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in part.items() if weight)
    tables = tables_of(instance, found.placements)
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="weighted optimum",
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(instance, tables),
        provenance=Provenance(f"least {words}, by {found.words}", time.perf_counter() - started),
    )
    value = sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in part.items())
    nothing = sum(task.share * (1 - task.fallback) for task in instance.tasks)
    bound = unit * ((prices.expected + prices.worst) * nothing - found.bound)
    return Weighted(plan, value, min(bound, value))
