"""The oracle of GPUs at wind sites: the cheapest fleet for a known series, with a proven bound.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"segments"  each site by itself: the size of the largest gain, a quantile of its power. Exact where
            the demand has room for all sites in every slot and there are neither batteries nor
            grid connections; refused elsewhere
"partition" the linear programme of "lp" for a fleet without batteries, found from groups of slots
            that are parted until nothing is lost, and proven as exactly (see
            `optmodels.rightsizing.sites.partition`). Its time grows in proportion to slots and
            sites
"lp"        the formulation as a linear programme, for a fleet without modules and opening costs
"milp"      the formulation with whole modules and openings
"reduced"   the formulation on the means of groups of like slots. Sizes are then run and audited on
            all slots; the optimum of the means is a proven lower bound, because the cost of a fleet
            is convex in wind and demand (see `optmodels.rightsizing.sites.reductions`). Not exact,
            and not for batteries, which tie slots together
"auto"      "segments" where it is exact; else, without integers, "partition", or "lp" where there
            are batteries; with integers "milp", or "reduced" from a million slots × sites on, if
            there are no batteries
==========  ========================================================================================

Whichever is used, the plan is audited, its objective is the audit's, and it must not be worse than
what simple sizes cost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.plan import Plan, Provenance
from optmodels.policy import FloatArray
from optmodels.rightsizing.sites.audit import Dispatch, Fleet, audit, cost_of, tables_of
from optmodels.rightsizing.sites.dispatch import dispatch, dispatch_of
from optmodels.rightsizing.sites.firm import firm_sizes
from optmodels.rightsizing.sites.instance import SitesInstance
from optmodels.rightsizing.sites.limits import explain
from optmodels.rightsizing.sites.sizing import newsvendor_size

if TYPE_CHECKING:
    from optmodels.rightsizing.sites.model import Scenario

METHODS = ("auto", "segments", "partition", "lp", "milp", "reduced")

#: Slots × sites from which on "auto" reduces, the number of groups of slots, and the rounds of
#: regrouping them.
LARGE = 1_000_000
GROUPS = 2000
REGROUPINGS = 5

#: Relative difference between two computations of one number that rounding, or the feasibility
#: tolerance of the solver, explains.
_ROUNDING = 1e-7

#: The same for sums whose terms cancel, as a share of what the grid alone would cost.
_LAST_DIGITS = 1e-12


def solve(
    instance: SitesInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find the cheapest fleet; arguments as in `optmodels.api.solve`.

    Raises
    ------
    InfeasibleError
        No fleet is firm enough; the reasons say which limits conflict.
    UsageError
        The method does not apply to the instance, or solver options were given to a method
        without a solver.
    """
    reasons = explain(instance)
    if reasons:
        raise InfeasibleError(f"{instance.name} has no plan.", reasons)
    started = time.perf_counter()
    separate = separate_optimum(instance) if method in ("auto", "segments") else None
    chosen = _chosen(instance, separate is not None) if method == "auto" else method
    _require_fit(instance, chosen, separate is not None, options)
    limits = _Limits(time_limit_s, mip_gap, seed, options)
    if separate is not None:
        (fleet, bound), status, words = separate, "optimal", "sites one by one (exact)"
        flows = dispatch(instance, fleet)
    elif chosen == "partition":
        fleet, bound, status, words = _by_partition(instance, limits)
        flows = dispatch(instance, fleet)
    elif chosen == "reduced":
        fleet, bound, words = _by_means(instance, limits)
        flows, status = dispatch(instance, fleet), "feasible"
    else:
        fleet, flows, bound, status, words = _by_solver(instance, limits)
    seconds = time.perf_counter() - started
    tables = tables_of(instance, fleet, flows)
    found = audit(instance, tables)
    objective = found.cost.total
    if bound > objective + _ROUNDING * abs(objective) + _last_digits(instance):
        raise SolverError(
            f"The method '{chosen}' claims a bound of {bound:.12g} USD above its own plan of "
            f"{objective:.12g} USD for {instance.name}."
        )
    if status == "optimal":
        _compare_with_simple(instance, objective, chosen, mip_gap if chosen == "milp" else 0.0)
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="optimum",
        status=status,
        bound=min(bound, objective),
        tables=tables,
        audit=found,
        provenance=Provenance(words, seconds, options=given, seed=seed),
    )


@dataclass(frozen=True)
class _Limits:
    """Limits of the solver."""

    time_limit_s: float | None
    mip_gap: float
    seed: int
    options: Mapping[str, object] | None


def _chosen(instance: SitesInstance, separate: bool) -> str:
    """What "auto" is here."""
    if separate:
        return "segments"
    battery = bool(instance.battery_max_kwh.any())
    if has_integers(instance):
        return "reduced" if instance.power_kw.size >= LARGE and not battery else "milp"
    return "lp" if battery else "partition"


def _require_fit(
    instance: SitesInstance, method: str, separate: bool, options: Mapping[str, object] | None
) -> None:
    """Refuse a method that is not made for the instance."""
    if method == "segments" and not separate:
        raise UsageError(
            f"The method 'segments' sizes each site by itself; the sites of {instance.name} "
            "hang together by the demand, the firmness, a battery or a grid connection. "
            "Fix: use 'partition', 'lp' or 'milp'."
        )
    if method == "segments" and options:
        raise UsageError(
            f"The method 'segments' has no solver options, but got {', '.join(options)}. "
            "Fix: leave them out, or use 'partition', 'lp' or 'milp'."
        )
    if method in ("lp", "partition") and has_integers(instance):
        raise UsageError(
            f"The method '{method}' knows neither modules nor opening costs, which {instance.name} "
            "has. Fix: use 'milp'."
        )
    if method in ("reduced", "partition") and instance.battery_max_kwh.any():
        raise UsageError(
            f"The method '{method}' joins slots, which the batteries of {instance.name} tie "
            "together. Fix: use 'lp' or 'milp'."
        )


def has_integers(instance: SitesInstance) -> bool:
    """Whether sites come in modules or cost something to be opened."""
    return instance.parameters.module_gpus is not None or bool(
        (instance.opening_usd * instance.eligible > 0).any()
    )


def separate_optimum(instance: SitesInstance) -> tuple[Fleet, float] | None:
    """Best size of each site by itself and its cost, None where that is not the optimum.

    Without the limit of the demand the sites do not know each other, so their best sizes cost no
    more than any fleet. Where they respect the demand and the firmness all the same, they are the
    optimum. The gain of a site is concave in its size: of whole modules, one of the two around the
    quantile is best.
    """
    if instance.battery_max_kwh.any() or instance.backup_kw.any():
        return None
    best = np.array([_best_size(instance, s) for s in range(len(instance.sites))])
    fleet = Fleet(best, np.zeros_like(best))
    fed = np.minimum(instance.power_kw / instance.gpu_kw, best).sum(axis=1)
    if (fed > instance.demand).any():
        return None
    if instance.wind_usd >= instance.grid_usd:
        fed = np.zeros_like(fed)
    unmet = float((instance.demand - fed).sum()) * instance.slot_hours
    if unmet > instance.unmet_most:
        return None
    return fleet, cost_of(instance, fleet, dispatch(instance, fleet)).total


def _best_size(instance: SitesInstance, s: int) -> float:
    """Size of the largest gain of a site, 0 where no size pays for its opening."""
    most = float(instance.most_gpus[s])
    fed = instance.power_kw[:, s] / instance.gpu_kw
    size = min(newsvendor_size(fed, instance.break_even), most)
    module = instance.parameters.module_gpus
    sizes = [size]
    if module is not None:
        down = float(instance.whole_modules(np.array([size]))[0])
        sizes = [down, min(down + module, most)]
    value = instance.grid_usd - instance.wind_usd
    step = instance.slot_hours
    cost = instance.installed_usd * instance.hours
    gains = [value * step * float(np.minimum(fed, n).sum()) - cost * n for n in sizes]
    best = int(np.argmax(gains))
    return sizes[best] if gains[best] > instance.opening_usd[s] else 0.0


def _solution(
    instance: SitesInstance, limits: _Limits, scenarios: list[Scenario] | None = None
) -> Any:
    from optmodels.rightsizing.sites.model import formulation, model_data
    from optmodels.solver import solve_model

    return solve_model(
        formulation(),
        data=model_data(instance, scenarios),
        time_limit_s=limits.time_limit_s,
        mip_gap=limits.mip_gap,
        seed=limits.seed,
        options=limits.options,
    ).require()


def _by_partition(instance: SitesInstance, limits: _Limits) -> tuple[Fleet, float, str, str]:
    """Sizes of the linear programme, without the programme as a whole."""
    from optmodels.rightsizing.sites.partition import partitioned_sizes

    sized = partitioned_sizes(
        instance,
        time_limit_s=limits.time_limit_s,
        seed=limits.seed,
        options=limits.options,
    )
    status = "optimal" if sized.optimal else "feasible"
    words = f"linear programme by a partition of the slots in {sized.groups} groups (HiGHS)"
    return Fleet(sized.gpus, np.zeros_like(sized.gpus)), sized.bound, status, words


def _by_means(instance: SitesInstance, limits: _Limits) -> tuple[Fleet, float, str]:
    """Sizes that are best for the means of groups of slots, and the bound that they prove."""
    from optmodels.rightsizing.sites.model import Scenario
    from optmodels.rightsizing.sites.reductions import represent

    groups = represent(
        instance.power_kw,
        GROUPS,
        demand=instance.demand * instance.gpu_kw,
        seed=limits.seed,
        rounds=REGROUPINGS,
    )
    demand = np.asarray(groups.demand) / instance.gpu_kw
    means = Scenario(groups.power, demand, groups.weight * instance.hours)
    solution = _solution(instance, limits, [means])
    fleet = fleet_of(instance, solution)
    gpus = firm_sizes(instance, fleet.gpus)
    words = f"means of {len(groups.weight)} groups of slots (HiGHS)"
    return Fleet(gpus, fleet.battery_kwh), float(solution.bound), words


def _by_solver(instance: SitesInstance, limits: _Limits) -> tuple[Fleet, Dispatch, float, str, str]:
    solution = _solution(instance, limits)
    fleet = fleet_of(instance, solution)
    flows = _used(dispatch_of(instance, solution), fleet)
    if not fleet.battery_kwh.any():
        # The same fleet, without the rounding of the solver.
        flows = dispatch(instance, fleet)
    words = "mixed-integer programme" if has_integers(instance) else "linear programme"
    return fleet, flows, float(solution.bound), str(solution.status), f"{words} (HiGHS)"


def _used(flows: Dispatch, fleet: Fleet) -> Dispatch:
    """The dispatch without batteries at sites without GPUs, which a free one may charge in vain."""
    there = fleet.battery_kwh > 0
    return replace(
        flows,
        charge_kw=np.where(there, flows.charge_kw, 0.0),
        discharge_kw=np.where(there, flows.discharge_kw, 0.0),
    )


def fleet_of(instance: SitesInstance, solution: Any) -> Fleet:
    """Sizes in a solution of the formulation, whole modules made whole."""
    gpus, battery = (np.zeros(len(instance.sites)) for _ in range(2))
    for name, target in (("size", gpus), ("battery", battery)):
        values = solution.values[name]
        target[values.index.to_numpy(dtype=int) - 1] = np.maximum(values.to_numpy(), 0.0)
    gpus = np.minimum(gpus, instance.most_gpus)
    module = instance.parameters.module_gpus
    if module is not None and len(solution.values["modules"]):
        gpus = np.round(gpus / module) * module
    gpus[gpus <= _ROUNDING * instance.nameplate_kw / instance.gpu_kw] = 0.0
    battery = np.where(gpus > 0, np.minimum(battery, instance.battery_max_kwh), 0.0)
    return Fleet(gpus, battery)


def _last_digits(instance: SitesInstance) -> float:
    """Cost that is rounding [USD]: free wind and GPUs cost zero, but what adds up to it is not."""
    return _LAST_DIGITS * instance.grid_usd * float(instance.demand.sum()) * instance.slot_hours


def _compare_with_simple(
    instance: SitesInstance, objective: float, method: str, gap: float
) -> None:
    """Refuse an optimum that sizes without any optimisation undercut."""
    quantiles: FloatArray = np.array(
        [
            newsvendor_size(instance.power_kw[:, s] / instance.gpu_kw, instance.break_even)
            for s in range(len(instance.sites))
        ]
    )
    for sizes in (np.zeros_like(quantiles), quantiles):
        gpus = instance.whole_modules(np.minimum(sizes, instance.most_gpus))
        fleet = Fleet(gpus, np.zeros_like(gpus))
        cost = cost_of(instance, fleet, dispatch(instance, fleet))
        firm = cost["unmet_gpu_hours"] <= instance.unmet_most
        most = cost.total + (gap + 1e-6) * abs(cost.total) + _last_digits(instance)
        if firm and objective > most:
            raise SolverError(
                f"The method '{method}' found {objective:.12g} USD for {instance.name}, but simple "
                f"sizes cost only {cost.total:.12g} USD: the method or its solver is wrong."
            )
