"""Lost service against warm memory: any weighted sum of the two, by the same oracle.

Warm backups take memory whether anything fails or not. With a price on every warm megabyte the
formulation says which of them are worth their memory: a weighted sum a · lost + b · memory is, but
for the factor a, the lost service and the price b / a of a warm megabyte. With no weight on lost
service nothing stands warm.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from optmodels.ensembles.failover.actions import no_warm
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.optimum import completed, search
from optmodels.ensembles.failover.replay import plan_of
from optmodels.plan import Provenance
from optmodels.registry import Weighted

#: What can be traded, and the column of the cost that holds it.
OBJECTIVES: Mapping[str, str] = MappingProxyType({"lost_s": "total", "warm_mb": "warm_mb"})


def weighted(
    instance: FailoverInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find a plan of a small weighted sum of lost service and warm memory, with a bound.

    Parameters
    ----------
    instance
        The question.
    weights
        Weight by objective, at least 0: ``lost_s``, ``warm_mb``.
    time_limit_s, mip_gap
        Limits of the oracle.
    """
    started = time.perf_counter()
    service, memory = (float(weights.get(name, 0.0)) for name in OBJECTIVES)
    if service > 0:
        best, bound = search(
            instance, warm_price=memory / service, time_limit_s=time_limit_s, mip_gap=mip_gap
        )
        bound *= service
    else:
        best = completed(instance, no_warm(len(instance.applications)), "nothing stands warm")
        bound = 0.0
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in weights.items() if weight)
    plan = plan_of(
        instance,
        best.warm,
        best.recoveries,
        maker="weighted optimum",
        provenance=Provenance(f"least {words}, by {best.words}", time.perf_counter() - started),
    )
    value = service * plan.cost.total + memory * plan.cost["warm_mb"]
    return Weighted(plan, value, min(bound, value))
