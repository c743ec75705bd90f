"""Trade-offs of applications at edge sites: carbon, energy and round trips, weighted.

Every weighted sum of the three is the same placement at other prices
(`optmodels.placement.edge.prices.mixed`), so the oracle, its bounds and its checks serve all of
them. With weights on carbon and energy this is the dial of CarbonEdge between the two; the third
one says what carbon costs in latency. `optmodels.frontier` finds the weights.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from optmodels.errors import UsageError
from optmodels.placement.edge.audit import audit, tables_of
from optmodels.placement.edge.instance import EdgeInstance
from optmodels.placement.edge.optimum import Limits, search
from optmodels.placement.edge.prices import mixed
from optmodels.plan import Plan, Provenance
from optmodels.registry import Weighted

#: What can be traded, and the column of the cost that holds it.
OBJECTIVES: Mapping[str, str] = MappingProxyType(
    {"carbon_g": "carbon_g", "energy_kwh": "energy_kwh", "rtt_ms": "rtt_ms"}
)


def weighted(
    instance: EdgeInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find a placement of a small weighted sum, with a bound for any placement.

    Parameters
    ----------
    instance
        The question.
    weights
        Weight by objective, at least 0: ``carbon_g``, ``energy_kwh``, ``rtt_ms`` (the sum over all
        applications).
    time_limit_s, mip_gap
        Limits of the search.

    Raises
    ------
    UsageError
        Applications may be left out: then the least of everything is to place none.
    InfeasibleError
        Not all applications can be placed.
    """
    if instance.parameters.unplaced_g is not None:
        raise UsageError(
            f"Applications of {instance.name} may be left out, and leaving all out costs no "
            "energy: there is no trade-off. Fix: remove the parameter 'unplaced_g'."
        )
    part = {name: float(weights.get(name, 0.0)) for name in OBJECTIVES}
    # Weights are relative to the largest, so that prices stay ordinary numbers.
    unit = max(part.values())
    prices = mixed(instance, {name: weight / unit for name, weight in part.items()})
    started = time.perf_counter()
    found = search(instance, prices, Limits("auto", time_limit_s, mip_gap))
    seconds = time.perf_counter() - started
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in part.items() if weight)
    tables = tables_of(instance, found.placement)
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="weighted optimum",
        # Least in the weighted sum: of the carbon alone nothing is proven.
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(instance, tables),
        provenance=Provenance(
            f"least {words}, by {found.words}",
            seconds,
            {"time_limit_s": time_limit_s, "mip_gap": mip_gap},
        ),
    )
    value = sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in part.items())
    return Weighted(plan, value, min(unit * found.bound, value))
