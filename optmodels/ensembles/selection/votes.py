"""The textbook programme of one application: its data, and its answer, scored again.

See `optmodels.ensembles.selection.model` for the formulas. It is here to be compared with, and to
be believed the less: with many samples it takes minutes where all configurations take a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optmodels.ensembles.selection.accuracies import Margins, Predicted
from optmodels.ensembles.selection.pricing import Limits
from optmodels.ensembles.selection.tasks import TOLERANCE, Placement, Rules, Servers, Task
from optmodels.errors import UsageError
from optmodels.solver import solve_model

#: Patterns of failures less likely than this are left out; the bound counts them as always right.
LEAST_PROBABILITY = 1e-6
#: Entries of the programme, at most.
MOST_ENTRIES = 5_000_000


@dataclass(frozen=True)
class Voted:
    """What the programme found.

    Attributes
    ----------
    placement
        Its members; None where a limit ended the search before any were found.
    claimed
        What the solver says that they are worth: expectation and worst case by their weights, the
        patterns that were left out counted as always wrong.
    bound
        Proven upper bound on what any members are worth.
    left_out
        Probability of the patterns that were left out.
    """

    placement: Placement | None
    claimed: float
    bound: float
    left_out: float


def solve_votes(task: Task, servers: Servers, rules: Rules, limits: Limits) -> Voted:
    """Solve the programme of one application.

    Raises
    ------
    UsageError
        The programme cannot say what is asked, or is too large.
    """
    from optmodels.ensembles.selection.model import vote_formulation

    accuracies = task.accuracies
    if not isinstance(accuracies, Predicted) or rules.copies_max > 1 or task.fallback > 0:
        raise UsageError(
            f"The method 'votes' cannot say what {task.name} asks for: a learned rule, copies of a "
            "candidate, or an accuracy while nobody is alive. Fix: use 'table'."
        )
    if not task.pairs:
        return Voted((), 0.0, 0.0, 0.0)
    rule = accuracies.rule if accuracies.rule in ("best", "cover") else "votes"
    data, left_out = vote_data(task, accuracies, servers, rules, rule)
    solution = solve_model(
        vote_formulation(rule),
        data=data,
        time_limit_s=limits.time_limit_s,
        mip_gap=limits.mip_gap,
        seed=limits.seed,
        options=limits.options,
    )
    if str(solution.status) not in ("optimal", "feasible", "no_solution_at_limit"):
        solution.require()
    extra = rules.expected_share * left_out
    bound = 1.0 if solution.bound is None else min(1.0, extra - float(solution.bound))
    if solution.objective is None:
        return Voted(None, -np.inf, bound, left_out)
    deployed = solution.values["deployed"]
    chosen = deployed.index[deployed.to_numpy() > 1 / 2]
    placement = tuple(sorted((int(m), int(s)) for m, s in chosen))
    return Voted(placement, -float(solution.objective), bound, left_out)


def vote_data(
    task: Task, accuracies: Predicted, servers: Servers, rules: Rules, rule: str
) -> tuple[dict[str, Any], float]:
    """Data of the programme by component name, and the probability of what was left out."""
    candidate, server = (np.array(side) for side in zip(*task.pairs, strict=True))
    used, candidates = np.unique(server), np.unique(candidate)
    probabilities = servers.failures.alive(tuple(used.tolist()))
    positions = np.arange(len(probabilities))
    alive = (positions[:, None] >> np.arange(len(used)) & 1).astype(bool)
    worst = alive.sum(axis=1) >= len(used) - rules.worst_failures
    worst &= rules.expected_share < 1
    likely = probabilities >= LEAST_PROBABILITY
    patterns = positions[(likely | worst) & (positions > 0)]
    # With nobody alive the accuracy is zero whatever is deployed: the worst case, if it is one.
    doomed = bool(worst[0])
    if doomed:
        worst[:] = False
        patterns = positions[likely & (positions > 0)]
    left_out = float(probabilities[~likely & (positions > 0) & ~worst].sum())
    by_server = np.argsort(server, kind="stable")
    pattern_of, candidate_of, servers_of = _living(task, used, alive, patterns, candidates)
    sites = [int(servers.sites[s]) for s in server]
    areas = np.unique(sites) if rules.one_per_site else np.zeros(0, dtype=np.int64)
    by_site = np.argsort(sites, kind="stable") if rules.one_per_site else by_server[:0]
    data: dict[str, Any] = {
        "candidates": candidates,
        "used": used,
        "areas": areas,
        "pairs": (candidate, server),
        "patterns": patterns,
        "worst_patterns": patterns[worst[patterns]],
        "alive": (candidate_of, pattern_of),
        "servers_of": (_starts(candidate, candidates), server),
        "candidates_on": (_starts(server[by_server], used), candidate[by_server]),
        "pairs_at": (
            _starts(np.array(sites)[by_site], areas),
            (candidate[by_site], server[by_site]),
        ),
        "live_servers": servers_of,
        "memory_mb": task.memory_mb[candidates],
        "capacity_mb": servers.capacity_mb[used] * (1 + TOLERANCE / 2),
        "energy_j": task.energy_j[candidate, server],
        "energy_max_j": task.energy_max_j * (1 + TOLERANCE / 2),
        "members_max": float(task.members_max),
        "members_per_server": float(rules.members_per_server),
        "probability": np.where(likely, probabilities, 0.0)[patterns],
        "expected_share": rules.expected_share,
        "least_max": 0.0 if doomed else 1.0,
    }
    if rule == "best":
        order = np.lexsort((candidate_of, pattern_of))
        data["alive_in"] = (_starts(pattern_of[order], patterns), candidate_of[order])
        data["own"] = accuracies.own[candidates]
    else:
        most = min(len(used) * rules.members_per_server, task.members_max)
        living = np.zeros((len(patterns), accuracies.count), dtype=bool)
        living[np.searchsorted(patterns, pattern_of), candidate_of] = True
        data |= _group_data(accuracies.margins, living, most, rule)
    return data, left_out


def _living(
    task: Task, used: Any, alive: Any, patterns: Any, candidates: Any
) -> tuple[Any, Any, Any]:
    """Pairs of a candidate and a pattern in which it may be alive, with its live servers."""
    pattern_of, candidate_of, starts, members = [], [], [0], []
    for m in candidates:
        for f in patterns:
            living = [int(s) for j, s in enumerate(used) if alive[f, j] and task.allowed[m, s]]
            if living:
                pattern_of.append(f)
                candidate_of.append(m)
                members += living
                starts.append(len(members))
    # Of whole numbers also where there are none: an empty list makes an array of floats.
    pattern, candidate, first, there = (
        np.array(numbers, dtype=np.int64) for numbers in (pattern_of, candidate_of, starts, members)
    )
    return pattern, candidate, (first, there)


def _group_data(margins: Margins, living: Any, most: int, rule: str) -> dict[str, Any]:
    """Data of the groups of samples: shares, margins, and who votes in each pattern."""
    values, groups = margins.values, np.arange(len(margins.counts))
    entries = int((values != 0).sum()) * len(living)
    if entries > MOST_ENTRIES:
        raise UsageError(
            f"The method 'votes' would have {entries:,} entries; allowed: {MOST_ENTRIES:,}. Fix: "
            "use 'table'."
        )
    data: dict[str, Any] = {"groups": groups, "part_of": margins.counts / margins.total}
    if rule == "cover":
        covers = values[:, 0, :, None].astype(bool) & living.T[:, None, :]
        data["covers"] = _ragged(covers)
        return data
    # A wrong class that is behind wherever another one is needs no row of its own.
    needed = np.array([_needed(values[:, :, g]) for g in groups], dtype=bool)
    needed = needed.reshape(len(groups), values.shape[1])
    group, row = np.nonzero(needed)
    least = np.sort(np.minimum(values[:, row, group], 0), axis=0)[:most].sum(axis=0)
    candidate, line = np.nonzero(values[:, row, group])
    votes = (values[:, row, group] != 0)[:, :, None] & living.T[:, None, :]
    return {
        **data,
        "rows": (row, group),
        "voters": _ragged(votes),
        "votes": (candidate, row[line], group[line]),
        "margin": values[candidate, row[line], group[line]].astype(np.float64),
        "free": 1.0 - least,
    }


def _needed(margins: Any) -> Any:
    """Which wrong classes need a row: margins (candidates, classes) nowhere above another's."""
    needed = np.ones(margins.shape[1], dtype=bool)
    for c in range(margins.shape[1]):
        for other in range(margins.shape[1]):
            if other != c and needed[other] and np.all(margins[:, other] <= margins[:, c]):
                needed[c] = False
                break
    return needed


def _ragged(members: Any) -> Any:
    """Starts and members by the last two axes of a (candidates, rows, patterns) mask."""
    order = np.moveaxis(members, 0, 2)
    counts = order.sum(axis=2).ravel()
    return np.append(0, np.cumsum(counts)), np.nonzero(order)[2]


def _starts(sorted_labels: Any, labels: Any) -> Any:
    """Where the members of each label begin, and where the last ones end."""
    return np.append(np.searchsorted(sorted_labels, labels), len(sorted_labels))
