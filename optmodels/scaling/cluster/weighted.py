"""Energy against carbon for a cluster: any weighted sum of the two, by the same oracle.

The objective ``carbon_g`` is the total of a plan: its carbon and the price of its lateness, which
is counted in grams. Without that price the least carbon would be that of a cluster that is late for
ever. The plan of least ``a · carbon + b · energy`` is the plan of least cost of another cluster:
with carbon intensity `c_t`, energy `e_t` of the plan in slot t (starts included), and lateness
`h_j` at the price `r_j`,

    a (Σ c_t e_t + Σ r_j h_j) + b Σ e_t  =  Σ (a c_t + b) e_t + Σ a r_j h_j:

the cluster whose carbon intensity is `a c_t + b` and whose lateness costs `a r_j`. Since `r_j` is a
multiple of the highest carbon intensity, the same multiple of the new highest one is made smaller
accordingly: ``late_factor`` becomes a · late_factor · max c / (a · max c + b). So methods, bounds
and checks of the oracle serve every weighting. The plan is audited on the true cluster.

With no weight on carbon lateness is free: what is proven then is the least energy of any plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from optmodels.errors import SolverError
from optmodels.plan import Plan, Provenance
from optmodels.registry import Weighted
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.scaling.cluster.optimum import solve

#: What can be traded, and the column of the cost that holds it.
OBJECTIVES: Mapping[str, str] = MappingProxyType({"carbon_g": "total", "energy_kwh": "energy_kwh"})

#: Relative difference between two computations of one number that rounding explains.
_ROUNDING = 1e-9


def weighted(
    instance: ClusterInstance,
    weights: Mapping[str, float],
    *,
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
) -> Weighted:
    """Find a plan of a small weighted sum of carbon and energy, with a bound for any plan.

    Parameters
    ----------
    instance
        The cluster.
    weights
        Weight by objective, at least 0: ``carbon_g`` (all carbon, and the price of lateness),
        ``energy_kwh``.
    time_limit_s, mip_gap
        Limits of the oracle.

    Raises
    ------
    SolverError
        The other cluster does not cost the weighted sum of this one.
    """
    part = {name: float(weights.get(name, 0.0)) for name in OBJECTIVES}
    # Weights are relative to the largest, so that the numbers of the other cluster stay ordinary.
    unit = max(part.values())
    priced = _priced(instance, part["carbon_g"] / unit, part["energy_kwh"] / unit)
    solved = solve(priced, time_limit_s=time_limit_s, mip_gap=mip_gap)
    words = " + ".join(f"{weight:.6g} × {name}" for name, weight in part.items() if weight)
    made = solved.provenance
    tables = dict(solved.tables)
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="weighted optimum",
        # Least in the weighted sum: of the cluster's own objective nothing is proven.
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(instance, tables),
        provenance=Provenance(f"least {words}, by {made.method}", made.seconds, made.options),
    )
    value = sum(weight * plan.cost[OBJECTIVES[name]] for name, weight in part.items())
    if abs(value - unit * solved.objective) > _ROUNDING * abs(value):
        raise SolverError(
            f"The weighted sum of a plan for {instance.name} is {value:.12g}, but the cluster with "
            f"that sum for its carbon costs {unit * solved.objective:.12g}."
        )
    bound = 0.0 if solved.bound is None else unit * solved.bound
    return Weighted(plan, value, min(bound, value))


def _priced(instance: ClusterInstance, per_gram: float, per_kwh: float) -> ClusterInstance:
    """The cluster whose carbon is the weighted sum; what only policies need is left out."""
    tables = instance.tables
    carbon = tables["carbon"].copy()
    carbon["carbon_g_per_kwh"] = per_gram * carbon["carbon_g_per_kwh"] + per_kwh
    parameters = instance.parameters.model_dump()
    highest = float(carbon["carbon_g_per_kwh"].max())
    share = per_gram * float(instance.carbon.max()) / highest if highest > 0 else 1.0
    parameters["late_factor"] *= share
    kept = {name: tables[name] for name in ("jobs", "queues", "profiles")}
    return ClusterInstance(parameters, {**kept, "carbon": carbon}, name=instance.name)
