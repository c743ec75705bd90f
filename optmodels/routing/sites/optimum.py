"""The oracle of requests at wind sites: few lost requests with perfect knowledge, and a bound.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"repair"    each period by its linear programme, made whole, with loading accounted for (see
            `optmodels.routing.sites.foresight`); over few periods the planning policy with
            perfect forecasts is tried as well
"milp"      the formulation in whole instances over all periods, for small instances
"auto"      "repair", and some nodes of "milp" where the instance is small and the gap is open
==========  ========================================================================================

The bound is the sum over the periods of what every policy loses at least: the optimum of a linear
programme in which nothing loads and instances are of any degree at any time, certified by prices on
all rows of the profile (`optmodels.routing.sites.prices`). The programme of "milp" has a bound of
its own, which also knows of loading and whole instances.

Requests that are lost are all that the oracle minimises; among plans that lose equally few in a
period, the second objective of the instance decides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import SolverError, UsageError
from optmodels.plan import Audit, Plan, Provenance
from optmodels.policy import FloatArray
from optmodels.routing.sites.audit import audit
from optmodels.routing.sites.dispatch import Decisions, Dispatch, Loading, read_decisions, tables_of
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.foresight import (
    USUAL_WAY,
    WAYS,
    Foresight,
    Question,
    question_of,
)
from optmodels.routing.sites.hulls import Columns, all_columns
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.prices import least_losses
from optmodels.routing.sites.sending import Sender
from optmodels.solver import with_nodes

METHODS = ("auto", "repair", "milp")

#: Periods up to which "repair" tries all its ways; beyond, only the usual one.
FEW_PERIODS = 100

#: Periods × rows at sites up to which "auto" also tries "milp", and for how many nodes.
SMALL, SMALL_NODES = 2000, 200

#: Relative difference between two computations of one number that rounding, or the tolerance of the
#: audit, explains.
_ROUNDING = 1e-7


@dataclass(frozen=True)
class _Candidate:
    """An audited plan of one of the methods."""

    tables: Mapping[str, pd.DataFrame]
    found: Audit
    words: str

    @property
    def cost(self) -> float:
        return self.found.cost.total


def solve(
    instance: RoutingInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find a plan that loses few requests, with a proven bound; arguments as in `api.solve`.

    Raises
    ------
    UsageError
        Solver options were given to a method that cannot use them.
    SolverError
        A method claims a bound that its own plan undercuts.
    """
    if method == "repair" and options:
        raise UsageError(
            f"The method 'repair' has no solver options, but got {', '.join(options)}. "
            "Fix: leave them out, or use 'milp'."
        )
    started = time.perf_counter()
    end = np.inf if time_limit_s is None else started + time_limit_s
    fleet = Fleet.of(instance)
    second = str(instance.parameters.second_objective)
    question = question_of(instance, fleet)
    bound = float(least_losses(fleet, question.power_kw, question.demand).sum())
    bound *= instance.period_seconds
    best = _by_repair(instance, question, second, end)
    small = instance.periods * len(all_columns(fleet)) <= SMALL
    open_gap = not _proven(best.cost, bound, mip_gap)
    if method == "milp" or (method == "auto" and small and open_gap):
        ending = with_nodes(options, SMALL_NODES) if method == "auto" else options
        left = end - time.perf_counter()
        best, bound = _by_milp(instance, question, best, bound, left, mip_gap, seed, ending)
    if bound > best.cost * (1 + _ROUNDING) + _ROUNDING * float(instance.demand.sum()):
        raise SolverError(
            f"The method '{method}' claims a bound of {bound:.12g} lost requests above its own "
            f"plan of {best.cost:.12g} for {instance.name}."
        )
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="optimum",
        status="optimal" if _proven(best.cost, bound, mip_gap) else "feasible",
        bound=min(bound, best.cost),
        tables=best.tables,
        audit=best.found,
        provenance=Provenance(best.words, time.perf_counter() - started, options=given, seed=seed),
    )


def _proven(cost: float, bound: float, mip_gap: float) -> bool:
    return cost - bound <= max(mip_gap, _ROUNDING) * abs(cost) + _ROUNDING


def _candidate(instance: RoutingInstance, decisions: Decisions, words: str) -> _Candidate:
    tables = tables_of(instance, decisions)
    found = audit(instance, tables)
    found.require(f"'{words}' for {instance.name}")
    return _Candidate(tables, found, words)


def _by_repair(
    instance: RoutingInstance, question: Question, second: str, end: float
) -> _Candidate:
    """The best plan of the ways that there is time for, the usual one at least."""
    foresight = Foresight(question, second)
    usual, _ = foresight.make(USUAL_WAY)
    best = _candidate(instance, usual, f"periods one by one, made whole ({USUAL_WAY})")
    if instance.periods > FEW_PERIODS:
        return best
    for way in WAYS:
        made = None if way == USUAL_WAY else foresight.try_to_make(way, end)
        if made is not None:
            other = _candidate(instance, made[0], f"periods one by one, made whole ({way})")
            best = other if other.cost < best.cost else best
    if best.cost > 0 and time.perf_counter() < end:
        other = _candidate(instance, _by_policy(instance), "Heron with perfect forecasts")
        best = other if other.cost < best.cost else best
    return best


def _by_policy(instance: RoutingInstance) -> Decisions:
    """What the planning policy does when its forecasts are the truth; sometimes it is the best."""
    from optmodels.forecast import FixedForecast
    from optmodels.policy import replay
    from optmodels.routing.sites.policies.heron import Heron
    from optmodels.routing.sites.replay import RoutingEnvironment, joined_series

    told = FixedForecast(joined_series(instance))
    environment = RoutingEnvironment(instance, granted=Heron.needs, forecast=told)
    replay(environment, Heron())
    return environment.decisions


def _by_milp(
    instance: RoutingInstance,
    question: Question,
    best: _Candidate,
    bound: float,
    seconds: float,
    mip_gap: float,
    seed: int,
    options: Mapping[str, object] | None,
) -> tuple[_Candidate, float]:
    """The formulation's plan where it is better than the best known, and the better bound.

    Where loading takes longer than a period, the formulation ends it after one: its bound holds all
    the same, and its plan is judged with the true loading.
    """
    from optmodels.routing.sites.model import formulation, model_data
    from optmodels.solver import solve_model

    fleet = question.fleet
    columns = all_columns(fleet)
    if seconds <= 0 or not len(columns):
        return best, bound
    data = model_data(
        fleet,
        columns,
        question.power_kw,
        question.demand,
        reload_share=min(question.reload_periods, 1.0),
    )
    solution: Any = solve_model(
        formulation(),
        data=data,
        time_limit_s=None if np.isinf(seconds) else seconds,
        mip_gap=mip_gap,
        seed=seed,
        warm_start=_start(instance, columns, best),
        options=options,
    )
    if solution.bound is not None and np.isfinite(solution.bound):
        bound = max(bound, float(solution.bound) * instance.period_seconds)
    if not solution.status.has_solution:
        return best, bound
    periods = instance.periods
    running = np.zeros((periods, fleet.sites, fleet.rows), dtype=np.int64)
    counts = solution.values["running"].to_numpy().reshape(periods, -1)
    running[:, columns.site, columns.row] = np.round(counts).astype(np.int64)
    held = solution.values["configured"].to_numpy().reshape(periods, fleet.sites, -1)
    made = _sent(question, running, np.round(held))
    other = _candidate(instance, made, "formulation (HiGHS)")
    return (other if other.cost <= best.cost else best), bound


def _start(
    instance: RoutingInstance, columns: Columns, best: _Candidate
) -> dict[str, pd.Series[float]]:
    """Instances of a known plan, as a first solution; the solver finds the flows."""
    known, _ = read_decisions(instance, best.tables)
    periods, sites, degrees = known.configured.shape
    running = np.zeros((periods, sites, instance.profile.count))
    running[known.run_period, known.run_site, known.run_row] = known.run_count
    period = np.repeat(np.arange(periods), len(columns))
    site, row = np.tile(columns.site, periods), np.tile(columns.row, periods)
    groups = [np.arange(n) for n in (periods, sites, degrees)]
    return {
        "running": pd.Series(
            running[period, site, row], index=pd.MultiIndex.from_arrays([period, site, row])
        ),
        "configured": pd.Series(
            known.configured.ravel().astype(np.float64), index=pd.MultiIndex.from_product(groups)
        ),
    }


def _sent(question: Question, running: Any, configured: FloatArray) -> Decisions:
    """Best flows for known instances, with the true loading."""
    sender, loading = Sender(question.fleet), Loading(question.reload_periods)
    dispatches = []
    for runs, held, demand in zip(
        running, configured.astype(np.int64), question.demand, strict=True
    ):
        effective, loading = loading.after(held)
        dispatches.append(Dispatch(held, runs, sender.send(runs, demand, effective).flow))
    return Decisions.of(dispatches)
