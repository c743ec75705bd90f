"""Cost against latency: any weighted sum of the two, by the same oracle.

Both are sums over arcs: the cost of a plan, and the mean latency of a request, to which service k
contributes with its share of the requests. Cards count with the weight of the cost. With no weight
on cost they are free, and what is proven is the least mean latency of any plan.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from optmodels.plan import Plan, Provenance
from optmodels.registry import Weighted
from optmodels.routing.pipeline.audit import audit, tables_of
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.optimum import Limits, by_labels, by_solver, graphs_of

#: What can be traded, and the column of the cost that holds it.
OBJECTIVES: Mapping[str, str] = MappingProxyType({"cost_usd": "total", "latency_ms": "latency_ms"})


def weighted(
    instance: PipelineInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find a plan of a small weighted sum of cost and mean latency, with a bound for any plan.

    Parameters
    ----------
    instance
        The question.
    weights
        Weight by objective, at least 0: ``cost_usd`` (total cost per hour), ``latency_ms`` (mean
        latency of a request).
    time_limit_s, mip_gap
        Limits of the oracle.
    """
    part = {name: float(weights.get(name, 0.0)) for name in OBJECTIVES}
    # Weights are relative to the largest, so that the numbers of the programme stay ordinary.
    unit = max(part.values())
    per_usd, per_ms = part["cost_usd"] / unit, part["latency_ms"] / unit
    started = time.perf_counter()
    steps, layers = graphs_of(instance)
    total = float(instance.rates.sum())
    arcs = [
        per_usd * one.usd + per_ms * one.service.rate_per_s / total * one.delays_ms
        for one in layers
    ]
    if len(layers) == 1:
        found = by_labels(steps, layers[0], arcs[0], per_usd)
    else:
        limits = Limits(time_limit_s, mip_gap)
        found = by_solver(instance, steps, layers, limits, arcs, per_usd)
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in part.items() if weight)
    tables = tables_of(instance, found.decision)
    seconds = time.perf_counter() - started
    given = {"time_limit_s": time_limit_s, "mip_gap": mip_gap}
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="weighted optimum",
        # Least in the weighted sum: of the cost alone nothing is proven.
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(instance, tables),
        provenance=Provenance(f"least {words}, by {found.words}", seconds, given),
    )
    value = sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in part.items())
    return Weighted(plan, value, min(unit * found.bound, value))
