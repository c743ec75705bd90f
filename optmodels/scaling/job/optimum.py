"""The oracle of the elastic job: the offline optimum of an instance, with its proven bound.

==============  ====================================================================================
method          what it is
==============  ====================================================================================
"taut-string"   the taut string, for a job whose work is proportional to its servers; answers every
                job length at once; the bound comes from an independent dynamic programme
"secant"        dynamic programming and secant steps, for the same jobs
"levels"        dynamic programming over the levels of any profile
"lp"            the formulation of `optmodels.scaling.job.model`, solved by HiGHS
"auto"          "taut-string" where it applies, else "levels"
==============  ====================================================================================

All are exact. Whichever is used, the plan is audited, its objective is the audit's, and it must not
be worse than the plan of a simple heuristic.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.plan import Plan, Provenance
from optmodels.policy import FloatArray
from optmodels.scaling.job.audit import audit, tables_of
from optmodels.scaling.job.exact.levels import level_oracle
from optmodels.scaling.job.exact.secant import secant_oracle, two_state
from optmodels.scaling.job.exact.taut_string import JobLengthCurve
from optmodels.scaling.job.greedy import greedy_increments
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.limits import explain

METHODS = ("auto", "taut-string", "secant", "levels", "lp")

#: Relative difference between two computations of one number that rounding explains.
_ROUNDING = 1e-9


def solve(
    instance: JobInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find the offline optimum; arguments as in `optmodels.api.solve`.

    Raises
    ------
    InfeasibleError
        The work does not fit before the deadline; the reasons say which limits conflict.
    UsageError
        The method does not apply to the instance, or solver options were given to a method
        without a solver.
    """
    reasons = explain(instance)
    if reasons:
        raise InfeasibleError(f"{instance.name} has no plan.", reasons)
    started = time.perf_counter()
    proportional = instance.levels.proportional
    chosen = method if method != "auto" else ("taut-string" if proportional else "levels")
    if chosen in ("taut-string", "secant") and not proportional:
        raise UsageError(
            f"The method '{chosen}' needs work and power in proportion to the servers; the profile "
            f"of {instance.name} has levels that are not. Fix: use 'levels' or 'lp'."
        )
    if chosen == "lp":
        shares, bound, words, status = _by_lp(instance, time_limit_s, mip_gap, seed, options)
    else:
        if options:
            raise UsageError(
                f"The method '{chosen}' has no solver options, but got {', '.join(options)}. "
                "Fix: leave them out, or use the method 'lp'."
            )
        shares, bound, words = _METHODS[chosen](instance)
        status = "optimal"
    seconds = time.perf_counter() - started
    tables = tables_of(instance, shares, instance.levels)
    found = audit(instance, tables)
    objective = found.cost.total
    if bound > objective * (1 + _ROUNDING) + _ROUNDING:
        raise SolverError(
            f"The method '{chosen}' claims a bound of {bound:.12g} g above its own plan of "
            f"{objective:.12g} g for {instance.name}."
        )
    if status == "optimal":
        _compare_with_heuristic(instance, objective, chosen)
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


def _by_taut_string(instance: JobInstance) -> tuple[FloatArray, float, str]:
    costs, beta, work, cap = _in_units(instance)
    curve = JobLengthCurve.from_costs(costs, beta, cap)
    # The dual value at the curve's own price is a proof that owes nothing to the string.
    price = curve.multiplier(work)
    bound = cap * two_state(costs - price, beta)[1] + price * work
    rate = curve.schedule(work)
    return rate[:, None], bound, "taut string (exact, all job lengths at once)"


def _by_secant(instance: JobInstance) -> tuple[FloatArray, float, str]:
    costs, beta, work, cap = _in_units(instance)
    answer = secant_oracle(costs, beta, work, cap)
    words = f"dynamic programming and secant steps (exact, {answer.iterations} iterations)"
    return answer.schedule[:, None], answer.bound, words


def _by_levels(instance: JobInstance) -> tuple[FloatArray, float, str]:
    profile = instance.levels
    answer = level_oracle(
        instance.carbon * instance.slot_hours,
        profile.servers,
        profile.throughput,
        profile.power_kw,
        switching=float(instance.parameters.switching_g),
        work=float(instance.parameters.work),
        cap=instance.cap,
    )
    words = f"dynamic programming over levels (exact, {answer.iterations} iterations)"
    return answer.schedule, answer.bound, words


def _by_lp(
    instance: JobInstance,
    time_limit_s: float | None,
    mip_gap: float,
    seed: int,
    options: Mapping[str, object] | None,
) -> tuple[FloatArray, float, str, str]:
    from optmodels.scaling.job.model import formulation, model_data
    from optmodels.solver import solve_model

    solution: Any = solve_model(
        formulation(),
        data=model_data(instance),
        time_limit_s=time_limit_s,
        mip_gap=mip_gap,
        seed=seed,
        options=options,
    ).require()
    share = solution.values["share"]
    shares = np.zeros((instance.slots, instance.levels.servers.size))
    slot = share.index.get_level_values(0).to_numpy(dtype=int) - 1
    level = share.index.get_level_values(1).to_numpy(dtype=int)
    shares[slot, level] = np.maximum(share.to_numpy(), 0.0)
    return shares, float(solution.bound), "linear programme (HiGHS)", str(solution.status)


_METHODS = {"taut-string": _by_taut_string, "secant": _by_secant, "levels": _by_levels}


def _in_units(instance: JobInstance) -> tuple[FloatArray, float, float, float]:
    """Costs, switching, work and cap in units of the full rate."""
    unit = instance.unit
    work = float(instance.parameters.work) / unit.throughput
    return instance.carbon * unit.kwh, unit.switching_g, work, unit.cap


def _compare_with_heuristic(instance: JobInstance, objective: float, method: str) -> None:
    """Refuse an optimum that the greedy without switching costs undercuts."""
    profile = instance.profile.up_to(instance.cap)
    work = float(instance.parameters.work)
    # The greedy keeps to the hull of the profile; a job that needs more than that has no such plan.
    if work > instance.slots * float(profile.throughput[-1]):
        return
    shares = greedy_increments(
        instance.carbon * instance.slot_hours,
        profile.servers,
        profile.throughput,
        profile.power_kw,
        work,
    )
    energy = shares @ profile.power_kw * instance.slot_hours
    changes = np.abs(np.diff(shares @ profile.servers, prepend=0.0, append=0.0)).sum()
    greedy = float(energy @ instance.carbon + instance.parameters.switching_g * changes)
    if objective > greedy * (1 + 1e-6) + 1e-6:
        raise SolverError(
            f"The method '{method}' found {objective:.12g} g for {instance.name}, but a simple "
            f"greedy needs only {greedy:.12g} g: the method or its solver is wrong."
        )
