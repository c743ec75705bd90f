"""The oracle of shared accelerators: the placement that loses least, with a proven bound.

=========  =========================================================================================
method     what it is
=========  =========================================================================================
"rows"     a mixed-integer programme with a row per application and node. Exact where loading models
           takes no time and sharing is not "additive"; refused elsewhere
"columns"  every set of applications that a node can host is listed, and one chosen for each node.
           Exact for everything, if the list is complete
"auto"     "columns" where the list is complete (where rows are exact: and short); else "rows" where
           these are exact; else the sets listed so far, with the bound of the rows, which leave out
           the time to load models. Neither of these two searches proves much: they end after
           `CUT_NODES` nodes each where no limit is given
=========  =========================================================================================

Whichever is used, the placement is audited, its objective is the audit's, and it must not be worse
than what greedy policies find; those are the answer where a limit ends the search too early.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optmodels.errors import SolverError, UsageError
from optmodels.placement.accelerators import foresight, policies
from optmodels.placement.accelerators.audit import Placement, audit, cost_of, tables_of
from optmodels.placement.accelerators.columns import MOST_COLUMNS, Columns, columns_of
from optmodels.placement.accelerators.hardware import Application
from optmodels.placement.accelerators.instance import AcceleratorsInstance
from optmodels.placement.accelerators.replay import ALL_APPLICATIONS, AcceleratorsEnvironment
from optmodels.placement.accelerators.response import IntArray
from optmodels.plan import Plan, Provenance
from optmodels.policy import replay
from optmodels.solver import seconds_left, with_nodes

METHODS = ("auto", "rows", "columns")

#: Sets that "auto" looks at where there are exact rows to fall back to.
SHORT_LIST = 20_000
#: Nodes of each of the two searches where the list of sets was cut and no limit was given.
CUT_NODES = 500

#: Difference between two sums of values that rounding, or the tolerance of the solver, explains.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class _Limits:
    """Limits of all searches together; `end` by ``time.perf_counter``, `share` of what is left."""

    end: float | None
    mip_gap: float
    seed: int
    options: Mapping[str, object] | None
    share: float = 1.0

    @property
    def seconds(self) -> float | None:
        """Time that the next search may take [s], a moment at least."""
        left = seconds_left(self.end)
        return None if left is None else self.share * left


@dataclass(frozen=True)
class _Found:
    """A placement and what is proven of it."""

    placement: Placement | None
    bound: float
    words: str


def solve(
    instance: AcceleratorsInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
    most_columns: int = MOST_COLUMNS,
) -> Plan:
    """Find the placement that loses least; arguments as in `optmodels.api.solve`.

    Parameters
    ----------
    most_columns
        Sets of applications looked at before their list is cut.

    Raises
    ------
    UsageError
        The method does not apply to the instance.
    SolverError
        What the solver claims is not what its placement costs, or a greedy policy is better.
    """
    started = time.perf_counter()
    end = None if time_limit_s is None else started + time_limit_s
    limits = _Limits(end, mip_gap, seed, options)
    found = _search(instance, method, limits, most_columns)
    greedy = best_greedy(instance)
    ours = None if found.placement is None else cost_of(instance, found.placement).total
    simple = cost_of(instance, greedy).total
    slack = _ROUNDING * max(instance.total_value, 1.0)
    if found.bound > simple + slack:
        raise SolverError(
            f"The method '{method}' claims that every placement of {instance.name} loses at least "
            f"{found.bound:.12g}, but a greedy one loses only {simple:.12g}: the method or its "
            "solver is wrong."
        )
    placement = found.placement if found.placement is not None and ours is not None else greedy
    if ours is not None and simple < ours:
        placement = greedy
    tables = tables_of(instance, placement)
    audited = audit(instance, tables)
    objective = audited.cost.total
    bound = min(found.bound, objective)
    proven = objective - bound <= max(mip_gap * abs(objective), slack)
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="optimum",
        status="optimal" if proven else "feasible",
        bound=bound,
        tables=tables,
        audit=audited,
        provenance=Provenance(found.words, time.perf_counter() - started, options=given, seed=seed),
    )


def best_greedy(instance: AcceleratorsInstance) -> Placement:
    """The best placement of the greedy policies that keep all promises."""
    kinds = (
        policies.BestFit,
        policies.Repair,
        foresight.SmallFirst,
        foresight.TightFirst,
    )
    placements = []
    for kind in kinds:
        environment = AcceleratorsEnvironment(instance, frozenset({ALL_APPLICATIONS}))
        replay(environment, kind())
        placements.append(environment.placement)
    return min(placements, key=lambda placement: cost_of(instance, placement).total)


def _search(
    instance: AcceleratorsInstance, method: str, limits: _Limits, most_columns: int
) -> _Found:
    from optmodels.placement.accelerators.model import row_data

    rows = row_data(instance.hardware, instance.applications)
    if rows is None:
        nobody: Placement = tuple(() for _ in instance.hardware.nodes)
        return _Found(nobody, instance.total_value, "no node can host any application (exact)")
    if method == "rows":
        if not rows.exact:
            raise UsageError(
                f"The method 'rows' cannot say what {instance.name} asks for: the time to load "
                "models, or additive sharing. Fix: use 'columns'."
            )
        return _by_rows(instance, rows.data, limits)
    short = method == "auto" and rows.exact
    most = min(most_columns, SHORT_LIST) if short else most_columns
    columns = columns_of(instance.hardware, instance.applications, most)
    if columns.complete:
        return _by_columns(instance, columns, limits)
    if method == "auto" and rows.exact:
        return _by_rows(instance, rows.data, limits)
    if limits.end is None:
        limits = replace(limits, options=with_nodes(limits.options, CUT_NODES))
    relaxed = _by_rows(instance, rows.data, replace(limits, share=0.5))
    listed = _by_columns(instance, columns, limits)
    words = f"{len(columns.counts)} of the sets that nodes can host; bound without loading (HiGHS)"
    return _Found(listed.placement, relaxed.bound, words)


def _by_rows(instance: AcceleratorsInstance, data: dict[str, Any], limits: _Limits) -> _Found:
    from optmodels.placement.accelerators.model import chosen_pairs, row_formulation

    solution = _solution(row_formulation(), data, limits)
    words = "mixed-integer programme in rows (HiGHS)"
    bound = _whole(instance, solution.bound)
    if solution.objective is None:
        return _Found(None, bound, words)
    nodes: list[list[Any]] = [[] for _ in instance.hardware.nodes]
    for i, j in chosen_pairs(solution):
        nodes[j].append(instance.applications[i])
    return _Found(tuple(map(tuple, nodes)), bound, words)


def _by_columns(instance: AcceleratorsInstance, columns: Columns, limits: _Limits) -> _Found:
    from optmodels.placement.accelerators.model import column_data, column_formulation

    data = column_data(columns, instance.total_value)
    solution = _solution(column_formulation(), data, limits)
    words = f"a set for each node, of {len(columns.counts)} that they can host (HiGHS)"
    bound = _whole(instance, solution.bound)
    if solution.objective is None:
        return _Found(None, bound, words)
    used = solution.values["used"]
    chosen = np.repeat(used.index.to_numpy(dtype=np.int64), used.to_numpy().round().astype(int))
    placement = placement_of(instance, columns, chosen)
    claimed = float(solution.objective)
    cost = cost_of(instance, placement).total
    if abs(cost - claimed) > _ROUNDING * max(instance.total_value, 1.0):
        raise SolverError(
            f"The columns claim a loss of {claimed:.12g} for {instance.name}, but their placement "
            f"loses {cost:.12g}: the list of sets or the solver is wrong."
        )
    return _Found(placement, bound, words)


def placement_of(instance: AcceleratorsInstance, columns: Columns, chosen: IntArray) -> Placement:
    """Applications of each node where these sets are hosted, whoever is too many left out.

    Parameters
    ----------
    instance
        The question.
    columns
        The list of sets.
    chosen
        Numbers of the sets, once for each node that hosts them.
    """
    counts = columns.counts[chosen]
    members = np.array([len(kind.members) for kind in columns.kinds])
    surplus = np.maximum(counts.sum(axis=0) - members, 0)
    for row in np.flatnonzero(columns.safe[chosen]):
        leaving = np.minimum(counts[row], surplus)
        counts[row] -= leaving
        surplus -= leaving
    nodes: list[tuple[Application, ...]] = [() for _ in instance.hardware.nodes]
    free = [list(group.nodes) for group in columns.classes]
    waiting = [list(kind.members) for kind in columns.kinds]
    for column, row in zip(chosen, counts, strict=True):
        node = free[columns.class_of[column]].pop(0)
        nodes[node] = tuple(waiting[k].pop(0) for k in np.flatnonzero(row) for _ in range(row[k]))
    return tuple(nodes)


def _solution(formulation: Any, data: dict[str, Any], limits: _Limits) -> Any:
    from optmodels.solver import solve_model

    found = solve_model(
        formulation,
        data=data,
        time_limit_s=limits.seconds,
        mip_gap=limits.mip_gap,
        seed=limits.seed,
        options=limits.options,
    )
    # Greedy placements stand in for a search that ended too early; nothing does for a failure.
    if str(found.status) not in ("optimal", "feasible", "no_solution_at_limit"):
        found.require()
    return found


def _whole(instance: AcceleratorsInstance, bound: float | None) -> float:
    """A bound on what is lost, raised to a whole number where all values are whole."""
    if bound is None or not math.isfinite(bound):
        return 0.0
    values = [application.value for application in instance.applications]
    if all(value == round(value) for value in values):
        return max(0.0, float(math.ceil(bound - _ROUNDING * max(sum(values), 1.0))))
    return max(0.0, bound)
