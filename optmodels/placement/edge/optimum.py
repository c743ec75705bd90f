"""The oracle of applications at edge sites: the placement of least carbon, with a proven bound.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"milp"      the formulation as it stands, all arcs and all fillings: the reference, for small
            instances and for those with a budget of moves
"columns"   the relaxation by columns, and dives for whole servers: a plan and a bound in seconds
            where the formulation has hundreds of thousands of columns. Ends with a gap
"auto"      "columns"; where a gap is left that was not asked for, it is closed (`closing`), unless
            that looks long and there is no time limit
==========  ========================================================================================

Whichever is used, the plan is handed out server by server and audited, its objective is the
audit's, and it must not be worse than placing application by application.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optmodels.errors import InfeasibleError, NoSolutionError, SolverError, UsageError
from optmodels.placement.edge import prices as priced
from optmodels.placement.edge.audit import Placement, audit, cost_of, tables_of
from optmodels.placement.edge.closing import close_gap
from optmodels.placement.edge.columns import Columns
from optmodels.placement.edge.diving import SHARES, dive, expanded
from optmodels.placement.edge.fillings import Servers
from optmodels.placement.edge.greedy import greedy
from optmodels.placement.edge.instance import EdgeInstance, IntArray
from optmodels.placement.edge.model import forced_moves, formulation, model_data
from optmodels.placement.edge.packing import pack
from optmodels.placement.edge.prices import Prices
from optmodels.plan import Plan, Provenance
from optmodels.solver import Status, solve_model

METHODS = ("auto", "columns", "milp")

#: Share of the gap asked for that the relaxation may leave open, and the least share.
RELAXED_SHARE, LEAST_GAP = 0.2, 1e-7

_ROUNDING = 1e-7


@dataclass(frozen=True)
class Limits:
    """Limits of the search."""

    method: str = "auto"
    time_limit_s: float | None = None
    mip_gap: float = 1e-4
    seed: int = 0
    options: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Found:
    """A placement, what it costs at the prices it was searched for, and a bound on that."""

    placement: Placement
    value: float
    bound: float
    closed: bool
    words: str


def solve(
    instance: EdgeInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find the placement of least carbon; arguments as in `optmodels.api.solve`.

    Raises
    ------
    InfeasibleError
        Not all applications can be placed; the reasons say which, and why.
    UsageError
        The method does not apply to the instance.
    NoSolutionError
        The time ended before a placement was found.
    """
    started = time.perf_counter()
    limits = Limits(method, time_limit_s, mip_gap, seed, options)
    found = search(instance, priced.carbon(instance), limits)
    seconds = time.perf_counter() - started
    tables = tables_of(instance, found.placement)
    made = audit(instance, tables)
    objective = made.cost.total
    _compare(instance, found, objective, mip_gap)
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="optimum",
        status="optimal" if found.closed else "feasible",
        bound=min(found.bound, objective),
        tables=tables,
        audit=made,
        provenance=Provenance(found.words, seconds, options=given, seed=seed),
    )


def search(instance: EdgeInstance, prices: Prices, limits: Limits) -> Found:
    """Find a placement of least price; arguments and errors as for `solve`."""
    budget = instance.parameters.moves_max_gb is not None
    if limits.method == "columns" and budget:
        raise UsageError(
            f"The method 'columns' knows no budget of moves, which {instance.name} has. "
            "Fix: use 'milp'."
        )
    _require_reach(instance)
    servers = Servers(instance)
    if limits.method == "milp" or budget or not len(instance.arcs[0]):
        return _by_milp(instance, servers, prices, limits)
    return _by_columns(instance, servers, prices, limits)


def _require_reach(instance: EdgeInstance) -> None:
    """Refuse at once what no search is needed for."""
    if instance.parameters.unplaced_g is None:
        reached = np.bincount(instance.arcs[0], minlength=len(instance.classes)) > 0
        if not reached.all():
            _infeasible(instance)


def _infeasible(instance: EdgeInstance) -> None:
    from optmodels.placement.edge.limits import explain

    raise InfeasibleError(f"{instance.name} has no plan.", explain(instance))


def _by_milp(instance: EdgeInstance, servers: Servers, prices: Prices, limits: Limits) -> Found:
    """The formulation by HiGHS."""
    lists = servers.listed
    counted = instance.parameters.moves_max_gb is not None
    solution = solve_model(
        formulation(counted),
        data=model_data(instance, prices, fillings=lists),
        time_limit_s=limits.time_limit_s,
        mip_gap=limits.mip_gap,
        seed=limits.seed,
        options=limits.options,
    )
    if solution.status is Status.INFEASIBLE and servers.complete:
        _infeasible(instance)
    solution.require()
    placed, amount = _whole(solution)
    placement = pack(instance, servers, placed, expanded(lists, amount))
    value = _value(instance, prices, placement)
    bound = float(solution.bound if solution.bound is not None else -np.inf)
    bound += forced_moves(instance, prices)
    closed = solution.status is Status.OPTIMAL and servers.complete
    return Found(
        placement, value, bound if servers.complete else 0.0, closed, "all columns (HiGHS)"
    )


def _whole(solution: Any) -> tuple[IntArray, IntArray]:
    """Applications by arc and servers by filling, whole.

    A vertex of the transportation that is left for whole servers is whole; HiGHS gives vertices.
    """
    amount = np.round(solution.values["filled"].to_numpy()).astype(np.int64)
    given = solution.values["placed"].to_numpy()
    if len(given) and np.abs(given - np.round(given)).max() > 1e-6:
        raise SolverError("A placement on whole servers is not whole.")
    return np.round(given).astype(np.int64), amount


def _value(instance: EdgeInstance, prices: Prices, placement: Placement) -> float:
    square = placement.square(instance)
    return priced.total(instance, prices, square[instance.arcs], placement.on) + forced_moves(
        instance, prices
    )


def _by_columns(instance: EdgeInstance, servers: Servers, prices: Prices, limits: Limits) -> Found:
    """The relaxation, dives, and what a gap needs to be closed."""
    begin = time.monotonic()
    deadline = np.inf if limits.time_limit_s is None else begin + limits.time_limit_s
    columns = Columns(instance, servers, prices)
    relaxed = columns.solve(max(RELAXED_SHARE * limits.mip_gap, LEAST_GAP), deadline)
    constant = forced_moves(instance, prices)
    bound = relaxed.bound + constant
    best: Found | None = None
    for share in SHARES:
        made = dive(columns, relaxed, share, deadline)
        if made is not None:
            placement = pack(instance, servers, *made)
            value = _value(instance, prices, placement)
            if best is None or value < best.value:
                best = Found(placement, value, bound, False, "")
        if best is not None and _close(best, limits.mip_gap):
            break
        if time.monotonic() > deadline:
            break
    if best is None or not _close(best, limits.mip_gap):
        start = greedy(instance, prices)
        value = np.inf if start is None else _value(instance, prices, start)
        if start is not None and (best is None or value < best.value):
            best = Found(start, value, bound, False, "")
    words = f"columns ({relaxed.rounds} programmes, dives)"
    if best is not None and (_close(best, limits.mip_gap) or limits.method == "columns"):
        closed = _close(best, limits.mip_gap)
        return Found(best.placement, best.value, bound, closed, words)
    left = None if best is None else (best.placement, best.value - constant)
    ended = close_gap(columns, relaxed, left, limits.mip_gap, deadline)
    if ended.placement is None:
        if relaxed.left > 0 and servers.complete:
            return _by_milp(instance, servers, prices, limits)
        raise NoSolutionError(f"No placement of {instance.name} was found within the limits.")
    final = Found(
        ended.placement,
        _value(instance, prices, ended.placement),
        ended.bound + constant,
        False,
        f"{words}, closed (HiGHS)" if ended.ran else words,
    )
    return replace(final, closed=_close(final, limits.mip_gap))


def _close(found: Found, gap: float) -> bool:
    return found.value - found.bound <= gap * abs(found.value) + _ROUNDING * (1 + abs(found.value))


def _compare(instance: EdgeInstance, found: Found, objective: float, gap: float) -> None:
    """Refuse a plan that costs something else, a bound above it, or a careless optimum."""
    slack = _ROUNDING * (1.0 + abs(objective))
    if abs(found.value - objective) > slack:
        raise SolverError(
            f"The search claims {found.value:.12g} g for {instance.name}, its plan costs "
            f"{objective:.12g} g."
        )
    if found.bound > objective + slack:
        raise SolverError(
            f"The search claims a bound of {found.bound:.12g} g above its own plan of "
            f"{objective:.12g} g for {instance.name}."
        )
    simple = greedy(instance, priced.carbon(instance)) if found.closed else None
    if simple is not None:
        least = cost_of(instance, simple).total
        if objective > least * (1 + gap) + slack:
            raise SolverError(
                f"The search found {objective:.12g} g for {instance.name}, but placing one by one "
                f"costs only {least:.12g} g: the search or its solver is wrong."
            )
