"""Energy against carbon for one elastic job: any weighted sum of its costs, by the same oracle.

The plan of least ``a · carbon + b · energy`` is the plan of least carbon of another job. With
carbon intensity `c_t`, power `p_t` and the switching cost `β` per server,

    a (Σ c_t p_t Δ + β Σ|Δn|) + b Σ p_t Δ  =  Σ (a c_t + b) p_t Δ + a β Σ|Δn|:

the job whose carbon intensity is `a c_t + b` and whose switching cost is `a β`. So the exact
methods, their bounds and their checks serve every weighting. The plan is audited on the true job.

Switching costs carbon only: the energy of starting and stopping servers is not part of
``energy_kwh``, since the job's data give it in grams.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.plan import Plan, Provenance
from optmodels.registry import Weighted
from optmodels.scaling.job.audit import audit, tables_of
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.optimum import solve

#: What can be traded, and the column of the cost that holds it: the carbon of the job is its total.
OBJECTIVES: Mapping[str, str] = MappingProxyType(
    {
        "carbon_g": "total",
        "energy_kwh": "energy_kwh",
        "execution_g": "execution_g",
        "switching_g": "switching_g",
    }
)


def weighted(
    instance: JobInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find the plan of the least weighted sum of carbon and energy, exactly.

    Parameters
    ----------
    instance
        The job.
    weights
        Weight by objective, at least 0: ``carbon_g`` (all carbon, switching included),
        ``execution_g`` and ``switching_g`` (its two parts), ``energy_kwh``.
    time_limit_s, mip_gap
        Limits of a search; the exact methods of this problem need none.

    Raises
    ------
    InfeasibleError
        The work does not fit before the deadline.
    """
    part = {name: float(weights.get(name, 0.0)) for name in OBJECTIVES}
    priced = _priced(
        instance,
        per_gram=part["carbon_g"] + part["execution_g"],
        per_kwh=part["energy_kwh"],
        per_switching_gram=part["carbon_g"] + part["switching_g"],
    )
    solved = solve(priced, time_limit_s=time_limit_s, mip_gap=mip_gap)
    long = solved.tables["shares"]
    levels = priced.levels
    shares = np.zeros((instance.slots, levels.servers.size))
    slot = instance.times.get_indexer(pd.DatetimeIndex(long["time"]))
    shares[slot, np.searchsorted(levels.servers, long["servers"])] = long["share"]
    tables = tables_of(instance, shares, levels)
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in part.items() if weight)
    made = solved.provenance
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="weighted optimum",
        # Least in the weighted sum: of the job's own objective nothing is proven.
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(instance, tables),
        provenance=Provenance(f"least {words}, by {made.method}", made.seconds, made.options),
    )
    value = sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in part.items())
    bound = -np.inf if solved.bound is None else solved.bound
    return Weighted(plan, value, min(bound, value))


def _priced(
    instance: JobInstance, *, per_gram: float, per_kwh: float, per_switching_gram: float
) -> JobInstance:
    """The job whose carbon is the weighted sum: what only policies need is left out."""
    tables = instance.tables
    carbon = tables["carbon"].iloc[: instance.slots].copy()
    carbon["carbon_g_per_kwh"] = per_gram * carbon["carbon_g_per_kwh"] + per_kwh
    kept = {name: tables[name] for name in ("profile",) if name in tables}
    parameters = instance.parameters.model_dump()
    parameters["switching_g"] *= per_switching_gram
    return JobInstance(parameters, {**kept, "carbon": carbon}, name=instance.name)
