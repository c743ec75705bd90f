"""The oracle of the cluster: the best plan that was found, with a bound that is proven.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"prices"    prices of servers from the relaxation, a plan made from them, and a search from it
"milp"      the formulation of `optmodels.scaling.cluster.model`, solved by HiGHS from the plan of
            "prices": the optimum, for small clusters
"greedy"    CarbonFlex's oracle as published; the plan's maker is "carbonflex-oracle"
"auto"      "prices", and for a small cluster with a gap left some nodes of "milp"
==========  ========================================================================================

All have the bound of the relaxation at least, all plans are audited, and "prices", "milp" and
"auto" are never worse than "greedy". A plan is called optimal where its gap is no more than
``mip_gap``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import SolverError, UsageError
from optmodels.plan import Audit, Plan, Provenance
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.audit import Schedule, audit
from optmodels.scaling.cluster.blocks import Blocks, blocks_of, schedule_of
from optmodels.scaling.cluster.bound import LowerBound, Relaxation
from optmodels.scaling.cluster.horizon import finished_greedy, horizon
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray
from optmodels.scaling.cluster.replay import tables_of
from optmodels.scaling.cluster.search import Search
from optmodels.solver import with_nodes

METHODS = ("auto", "milp", "prices", "greedy")
#: Maker of the published oracle's plans.
GREEDY_MAKER = "carbonflex-oracle"

#: Blocks up to which "auto" goes on to the formulation, and the nodes that it gives it.
SMALL_BLOCKS, SMALL_NODES = 1000, 1000
#: Share of the time limit for the relaxation, and of what is left then for the search where the
#: formulation comes after it.
_BOUND_SHARE, _SEARCH_SHARE = 0.5, 0.25
#: Shares of a slot below this are what a solver's tolerance leaves, not work.
_TOLERANCE = 1e-7
#: A binary above this is one.
_TAKEN = 0.5
#: Relative difference between two computations of one number that rounding explains.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Candidate:
    """A schedule with its audit, and how it was made."""

    tables: dict[str, pd.DataFrame]
    found: Audit
    words: str

    @property
    def cost(self) -> float:
        return self.found.cost.total


def solve(
    instance: ClusterInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find the best plan and a proven bound; arguments as in `optmodels.api.solve`.

    A cluster always has a plan: where jobs cannot be done in time, they are late at a price
    (`optmodels.scaling.cluster.limits.explain` says why).

    Raises
    ------
    UsageError
        Unknown method, or solver options for a method that runs no formulation.
    InputError
        The instance is too large for the oracle.
    """
    if method not in METHODS:
        raise UsageError.unknown("method", method, METHODS)
    if options and method in ("prices", "greedy"):
        raise UsageError(
            f"The method '{method}' has no solver options, but got {', '.join(options)}. "
            "Fix: leave them out, or use the method 'milp'."
        )
    started = time.perf_counter()
    end = np.inf if time_limit_s is None else started + time_limit_s
    greedy = _candidate(instance, finished_greedy(instance).schedule, "CarbonFlex's oracle")
    relaxation = Relaxation(instance)
    seconds = None if time_limit_s is None else _BOUND_SHARE * time_limit_s
    relaxed = relaxation.best(greedy.cost, time_limit_s=seconds)
    bound, best = relaxed.value, greedy
    if method != "greedy":
        search = Search(relaxation, relaxed, seed)
        # The formulation needs time as well.
        now = time.perf_counter()
        stop = now + _SEARCH_SHARE * (end - now) if method == "milp" else end
        schedule = search.run(bound * (1 + mip_gap), stop)
        best = _better(best, _candidate(instance, schedule, "prices of servers, and search"))
    small = relaxation.blocks.count <= SMALL_BLOCKS
    if method == "milp" or (method == "auto" and small and not _proven(best.cost, bound, mip_gap)):
        left = end - time.perf_counter()
        ending = with_nodes(options, SMALL_NODES) if method == "auto" else options
        if left > 0:
            best, bound = _by_milp(instance, relaxation, relaxed, best, left, mip_gap, seed, ending)
    if bound > best.cost * (1 + _ROUNDING) + _ROUNDING:
        raise SolverError(
            f"The method '{method}' claims a bound of {bound:.12g} g above its own plan of "
            f"{best.cost:.12g} g for {instance.name}."
        )
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    took = time.perf_counter() - started
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker=GREEDY_MAKER if method == "greedy" else "optimum",
        status="optimal" if _proven(best.cost, bound, mip_gap) else "feasible",
        bound=min(bound, best.cost),
        tables=best.tables,
        audit=best.found,
        provenance=Provenance(best.words, took, options=given, seed=seed),
    )


def _proven(cost: float, bound: float, mip_gap: float) -> bool:
    return cost - bound <= max(mip_gap, _ROUNDING) * abs(cost) + _ROUNDING


def _candidate(instance: ClusterInstance, schedule: Schedule, words: str) -> _Candidate:
    tables = tables_of(instance, schedule)
    found = audit(instance, tables)
    found.require(f"'{words}' for {instance.name}")
    return _Candidate(tables, found, words)


def _better(one: _Candidate, other: _Candidate) -> _Candidate:
    return other if other.cost < one.cost else one


def _by_milp(
    instance: ClusterInstance,
    relaxation: Relaxation,
    relaxed: LowerBound,
    best: _Candidate,
    seconds: float,
    mip_gap: float,
    seed: int,
    options: Mapping[str, object] | None,
) -> tuple[_Candidate, float]:
    """The formulation's plan where it is better than the best known, and the better bound."""
    from optmodels.scaling.cluster.model import formulation, model_data
    from optmodels.solver import solve_model

    proven = horizon(instance, relaxation, relaxed.prices, best.cost)
    until = _slots_of(instance, best.tables)
    if proven is not None:
        until = np.maximum(until, proven)
    blocks = blocks_of(instance.jobs, until, instance.profiles)
    solution: Any = solve_model(
        formulation(),
        data=model_data(instance, until),
        time_limit_s=None if np.isinf(seconds) else seconds,
        mip_gap=mip_gap,
        seed=seed,
        warm_start=_start(instance, best.tables, blocks),
        options=options,
    )
    # Without an end of lateness the formulation leaves plans out, and its bound is none.
    bound = relaxed.value
    if proven is not None and solution.bound is not None:
        bound = max(bound, float(solution.bound))
    if not solution.status.has_solution:
        return best, bound
    used = _repaired(instance, blocks, solution.values["used"].to_numpy())
    if used is None:
        return best, bound
    # Where starts are free, nobody keeps a server that it does not use.
    taken = used > 0
    if float(instance.parameters.start_kwh) > 0:
        taken |= solution.values["taken"].to_numpy() > _TAKEN
    words = "formulation (HiGHS), from prices of servers"
    schedule = _with_idle(blocks, schedule_of(blocks, used), used, taken)
    return _better(best, _candidate(instance, schedule, words)), bound


def _with_idle(
    blocks: Blocks, schedule: Schedule, used: FloatArray, taken: NDArray[np.bool_]
) -> Schedule:
    """The schedule, with rows of share 0 for servers that are kept so as not to be started anew."""
    top = taken.copy()
    top[:-1] &= ~(taken[1:] & (blocks.level[1:] > 0))
    idle = np.flatnonzero(top & (used == 0))
    return Schedule(
        np.append(schedule.job, blocks.job[idle]),
        np.append(schedule.slot, blocks.slot[idle]),
        np.append(schedule.servers, blocks.servers[idle]),
        np.append(schedule.share, np.zeros(len(idle))),
    )


def _slots_of(instance: ClusterInstance, tables: Mapping[str, pd.DataFrame]) -> IntArray:
    """Slot from which on each job needs no room: its due slot, or the end of a known plan."""
    finish = np.ceil(tables["jobs"]["finish_slot"].to_numpy()).astype(np.int64)
    needed: IntArray = np.maximum(instance.due, finish)
    return needed


def _start(
    instance: ClusterInstance, tables: Mapping[str, pd.DataFrame], blocks: Blocks
) -> dict[str, pd.Series]:
    """The blocks that a known plan takes, as a first solution; the solver finds the shares."""
    held = tables["schedule"].groupby(["job", "slot"])["servers"].max()
    number = instance.jobs.number[blocks.job]
    asked = pd.MultiIndex.from_arrays([number, blocks.slot])
    most = held.reindex(asked, fill_value=0).to_numpy()
    index = pd.MultiIndex.from_arrays([number, blocks.slot, blocks.level + 1])
    return {"taken": pd.Series((most >= blocks.servers).astype(np.float64), index=index)}


def _repaired(instance: ClusterInstance, blocks: Blocks, used: FloatArray) -> FloatArray | None:
    """Shares of a solver, which errs in the last digits, made to do each job's work exactly.

    None where the blocks that are used cannot do the work.
    """
    shares = np.clip(np.where(used > _TOLERANCE, used, 0.0), 0.0, 1.0)
    where = np.searchsorted(blocks.job, np.arange(instance.jobs.count + 1))
    for job, length in enumerate(instance.jobs.length.tolist()):
        own = slice(int(where[job]), int(where[job + 1]))
        fixed = _do_work(blocks.level[own], blocks.gain[own], shares[own], length)
        if fixed is None:
            return None
        shares[own] = fixed
    return shares


def _do_work(
    level: IntArray, gain: FloatArray, shares: FloatArray, length: float
) -> FloatArray | None:
    shares = shares.copy()
    last = len(shares) - 1
    for i in np.flatnonzero(level > 0).tolist():
        shares[i] = min(shares[i], shares[i - 1])
    missing = length - float(gain @ shares)
    rising = sorted(np.flatnonzero(shares > 0).tolist(), key=lambda i: (level[i], i))
    for i in rising if missing > 0 else reversed(rising):
        most = shares[i - 1] if level[i] > 0 else 1.0
        least = shares[i + 1] if i < last and level[i + 1] > 0 else 0.0
        share = min(max(shares[i] + missing / gain[i], least), most) if gain[i] > 0 else shares[i]
        missing -= float(gain[i] * (share - shares[i]))
        shares[i] = share
    return shares if abs(missing) <= _ROUNDING * length else None
