"""The oracle of ensembles: the selection with the least mean error, with a proven bound.

================  ==================================================================================
method            what it is
================  ==================================================================================
"table"           all configurations of one application, computed as arrays; the best one. Exact
"configurations"  a programme that chooses a configuration for each application. Exact
"votes"           the textbook programme of one application, by groups of samples. Exact, but slow
"auto"            "table" for one application, else "configurations"
================  ==================================================================================

Where an application has too many configurations to list, only those of fewer members are looked at,
and the bound says what others could gain at most.

Whichever is used, the selection is audited, its objective is the audit's, what the method claims is
compared with it, and a claim that is worse than a greedy selection is refused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optmodels.ensembles.selection.accuracies import MOST_SUBSETS, subset_count
from optmodels.ensembles.selection.audit import audit, tables_of
from optmodels.ensembles.selection.configurations import MOST_CELLS, Configurations, Prices
from optmodels.ensembles.selection.greedy import gain_of, in_turn
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.pricing import Limits, choose
from optmodels.ensembles.selection.tasks import Placement, Task
from optmodels.ensembles.selection.votes import solve_votes
from optmodels.errors import SolverError, UsageError
from optmodels.plan import Plan, Provenance
from optmodels.solver import check_not_worse

METHODS = ("auto", "table", "configurations", "votes")

#: Difference between two computations of one error that rounding, or the solver, explains.
_ROUNDING = 1e-9
_SOLVER = 1e-6


@dataclass(frozen=True)
class Found:
    """Members of all applications, and what is proven.

    Attributes
    ----------
    placements
        Members of each application.
    gain
        How much less the objective is than without any member.
    bound
        Proven upper bound on the gain of any selection.
    words
        How it was found.
    """

    placements: tuple[Placement, ...]
    gain: float
    bound: float
    words: str


def solve(
    instance: SelectionInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
    most_cells: int = MOST_CELLS,
) -> Plan:
    """Find the selection with the least mean error; arguments as in `optmodels.api.solve`.

    Parameters
    ----------
    most_cells
        Configurations of an application that are looked at, before those of many members are left
        out.

    Raises
    ------
    UsageError
        The method does not apply to the instance.
    SolverError
        What the method claims is not what its selection is worth, or a greedy one is better.
    """
    started = time.perf_counter()
    if method not in METHODS:
        raise UsageError.unknown("method", method, METHODS)
    limits = Limits(time_limit_s, mip_gap, seed, options)
    share = instance.rules.expected_share
    found = search(instance, Prices(share, 1 - share), limits, method, most_cells)
    tables = tables_of(instance, found.placements)
    audited = audit(instance, tables)
    objective = audited.cost.total
    nothing = float(sum(task.share * (1 - task.fallback) for task in instance.tasks))
    bound = max(0.0, min(nothing - found.bound, objective))
    proven = objective - bound <= max(mip_gap * abs(objective), _ROUNDING)
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


def search(
    instance: SelectionInstance,
    prices: Prices,
    limits: Limits,
    method: str = "auto",
    most_cells: int = MOST_CELLS,
) -> Found:
    """Find the selection with the largest gain at these prices, checked against a greedy one.

    Raises
    ------
    UsageError
        The method does not apply to the instance.
    SolverError
        The method is wrong.
    """
    single = len(instance.tasks) == 1
    if method in ("table", "votes") and not single:
        raise UsageError(
            f"The method '{method}' is for one application; {instance.name} has "
            f"{len(instance.tasks)}. Fix: use 'configurations'."
        )
    simple = in_turn(instance.tasks, instance.servers, instance.rules, prices)
    known = _gain(instance, simple, prices)
    if method == "votes":
        found = _by_votes(instance, limits, simple, known)
    else:
        by_table = method == "table" or (method == "auto" and single)
        found = _by_configurations(instance, prices, limits, most_cells, simple, known, by_table)
    scored = _gain(instance, found.placements, prices)
    slack = _SOLVER if method == "votes" else _ROUNDING
    if abs(scored - found.gain) > slack * max(1.0, abs(scored)):
        raise SolverError(
            f"The method '{method}' claims that members of {instance.name} gain "
            f"{found.gain:.12g}; scored again, they gain {scored:.12g}: the method or its solver "
            "is wrong."
        )
    check_not_worse(
        found.bound,
        max(known, scored),
        "maximize",
        f"bound of the method '{method}' for {instance.name}",
        tolerance=slack,
    )
    if known > scored:
        return replace(found, placements=simple, gain=known)
    return replace(found, gain=scored)


def _gain(instance: SelectionInstance, placements: Sequence[Placement], prices: Prices) -> float:
    return float(
        sum(
            gain_of(task, instance.servers, instance.rules, prices, placement)
            for task, placement in zip(instance.tasks, placements, strict=True)
        )
    )


def _by_configurations(
    instance: SelectionInstance,
    prices: Prices,
    limits: Limits,
    most_cells: int,
    simple: tuple[Placement, ...],
    known: float,
    by_table: bool,
) -> Found:
    servers = instance.servers
    made = [_listed(instance, task, prices, most_cells) for task in instance.tasks]
    whole = all(own.task is task for own, task in zip(made, instance.tasks, strict=True))
    part = "all configurations" if whole else "configurations of few members"
    if by_table:
        gain, placement = made[0].best()
        bound = gain if whole else max(gain, _most(instance.tasks[0], prices))
        return Found((placement,), gain, bound, f"{part}, as arrays")
    columns = [own.columns() for own in made]
    choice = choose(
        columns, servers.capacity_mb, max(known, 0.0), limits, _nothing(instance, prices)
    )
    bound = choice.bound
    if not whole:
        bound = max(bound, sum(_most(task, prices) for task in instance.tasks))
    words = f"one of {part} for each application (HiGHS)"
    if choice.numbers is None:
        return Found(simple, known, max(bound, known), words)
    placements = tuple(
        () if number < 0 else own.placement(number)
        for own, number in zip(columns, choice.numbers, strict=True)
    )
    return Found(placements, choice.gain, bound, words)


def _listed(
    instance: SelectionInstance, task: Task, prices: Prices, most_cells: int
) -> Configurations:
    """Configurations of an application, of as many members as can be listed."""
    most = task.members_max
    while True:
        limited = task if most == task.members_max else replace(task, members_max=most)
        size = min(most, len(instance.servers) * instance.rules.members_per_server)
        if most > 1 and subset_count(len(task.candidates), size) > MOST_SUBSETS:
            most -= 1
            continue
        try:
            return Configurations(
                limited, instance.servers, instance.rules, prices, most_cells=most_cells
            )
        except UsageError:
            if most == 1:
                raise
            most -= 1


def _nothing(instance: SelectionInstance, prices: Prices) -> float:
    """The objective without any member."""
    errors = sum(task.share * (1 - task.fallback) for task in instance.tasks)
    return (prices.expected + prices.worst) * float(errors)


def _most(task: Task, prices: Prices) -> float:
    """What no members of an application gain, were no server ever to fail."""
    best = max(task.accuracies.ceiling, task.fallback) - task.fallback
    return task.share * (prices.expected + prices.worst) * best


def _by_votes(
    instance: SelectionInstance, limits: Limits, simple: tuple[Placement, ...], known: float
) -> Found:
    task = instance.tasks[0]
    voted = solve_votes(task, instance.servers, instance.rules, limits)
    words = "programme by groups of samples (HiGHS)"
    if voted.placement is None:
        return Found(simple, known, voted.bound, words)
    scored = _gain(instance, (voted.placement,), _own_prices(instance))
    # The solver may leave groups wrong that it could have right; it must not claim more.
    slack = _SOLVER + instance.rules.expected_share * voted.left_out
    if voted.claimed > scored + slack:
        raise SolverError(
            f"The solver claims that members of {instance.name} are worth {voted.claimed:.12g}; "
            f"scored again, they are worth {scored:.12g}."
        )
    proven = voted.bound - voted.claimed <= max(limits.mip_gap * abs(voted.claimed), _SOLVER)
    if proven:
        check_not_worse(
            voted.claimed + instance.rules.expected_share * voted.left_out,
            known,
            "maximize",
            f"programme by groups of samples for {instance.name}",
            tolerance=max(_SOLVER, limits.mip_gap),
        )
    return Found((voted.placement,), scored, max(voted.bound, scored), words)


def _own_prices(instance: SelectionInstance) -> Prices:
    share = instance.rules.expected_share
    return Prices(share, 1 - share)


def certified(instance: SelectionInstance, gain: float, matroids: int) -> float:
    """Error that a greedy selection cannot exceed, where the optimum gains this much."""
    nothing = float(np.sum([task.share * (1 - task.fallback) for task in instance.tasks]))
    return nothing - gain / (matroids + 1)
