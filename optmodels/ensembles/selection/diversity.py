r"""Diversity: how differently two members err, and a programme that rewards it.

=================  ================================================================================
measure            of members m and n, over the samples
=================  ================================================================================
``disagreement``   share on which just one of them is right
``double fault``   share on which both are wrong; the lower, the better
``q``              Yule's Q of being right: near 0 for independent errors
``correlation``    correlation of being right
=================  ================================================================================

The programme deploys the set with the largest sum of expected own accuracies and of the
disagreement of its pairs. That is a *proxy*: it is exact for no rule with more than two members, so
whatever it finds is scored by the true one. Only for pairs there is an identity: the share on which
anybody is right is one minus the double fault.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyomo.environ as pyo

from optmodels.ensembles.selection.accuracies import Measured, Predicted
from optmodels.ensembles.selection.failures import BoolArray
from optmodels.ensembles.selection.tasks import TOLERANCE, Placement, Rules, Servers, Task
from optmodels.policy import FloatArray
from optmodels.solver import solve_model


def diversity_table(correct: BoolArray) -> pd.DataFrame:
    """Measures of every pair of candidates.

    Parameters
    ----------
    correct
        (candidates, samples): whether a candidate is right.
    """
    rows = []
    for m in range(len(correct)):
        for n in range(m + 1, len(correct)):
            both = float(np.mean(correct[m] & correct[n]))
            neither = float(np.mean(~correct[m] & ~correct[n]))
            first = float(np.mean(correct[m] & ~correct[n]))
            second = float(np.mean(~correct[m] & correct[n]))
            agree, differ = both * neither, first * second
            spread = float(np.std(correct[m]) * np.std(correct[n]))
            rows.append(
                {
                    "first": m,
                    "second": n,
                    "disagreement": first + second,
                    "double_fault": neither,
                    # Of two that never differ, or never both err, 0 / 0 counts as 0.
                    "q": (agree - differ) / (agree + differ) if agree + differ else 0.0,
                    "correlation": (agree - differ) / spread if spread else 0.0,
                }
            )
    names = ["first", "second", "disagreement", "double_fault", "q", "correlation"]
    return pd.DataFrame(rows, columns=names)


#: Gap at which the search may stop: what is searched for is a proxy.
PROXY_GAP = 1e-3


@cache
def pair_formulation() -> pyo.AbstractModel:
    """Members that are accurate and disagree, without any data in it."""
    m = pyo.AbstractModel(name="ensembles.selection by pairs")
    m.candidates = pyo.Set(doc="candidates that can run somewhere")
    m.servers = pyo.Set(doc="servers that can run one")
    m.pairs = pyo.Set(dimen=2, doc="a candidate and a server that can run it")
    m.couples = pyo.Set(dimen=2, doc="two candidates that disagree")
    m.servers_of = pyo.Set(m.candidates, doc="servers that can run a candidate")
    m.later = pyo.Set(m.candidates, doc="second of the couples of which a candidate is the first")
    m.earlier = pyo.Set(m.candidates, doc="first of those of which it is the second")
    m.candidates_on = pyo.Set(m.servers, doc="candidates that a server can run")

    m.worth = pyo.Param(m.pairs, mutable=True)
    m.bonus = pyo.Param(m.couples, mutable=True)
    m.energy_j = pyo.Param(m.pairs, mutable=True)
    m.energy_max_j = pyo.Param(mutable=True)
    m.members_max = pyo.Param(mutable=True)
    m.partners_max = pyo.Param(mutable=True)

    m.deployed = pyo.Var(m.pairs, within=pyo.Binary)
    m.together = pyo.Var(m.couples, bounds=(0, 1))

    @m.Constraint(m.candidates, doc="a candidate runs once at most")
    def once(m: Any, i: int) -> Any:
        return sum(m.deployed[i, s] for s in m.servers_of[i]) <= 1

    @m.Constraint(m.servers, doc="a server runs one member at most")
    def slot(m: Any, s: int) -> Any:
        return sum(m.deployed[i, s] for i in m.candidates_on[s]) <= 1

    @m.Constraint(doc="energy of a request on all members")
    def energy(m: Any) -> Any:
        return sum(m.energy_j[i, s] * m.deployed[i, s] for i, s in m.pairs) <= m.energy_max_j

    @m.Constraint(doc="members of the application")
    def members(m: Any) -> Any:
        return sum(m.deployed[i, s] for i, s in m.pairs) <= m.members_max

    @m.Constraint(m.couples, doc="a couple needs its first")
    def first(m: Any, i: int, j: int) -> Any:
        return m.together[i, j] <= sum(m.deployed[i, s] for s in m.servers_of[i])

    @m.Constraint(m.couples, doc="a couple needs its second")
    def second(m: Any, i: int, j: int) -> Any:
        return m.together[i, j] <= sum(m.deployed[j, s] for s in m.servers_of[j])

    @m.Constraint(m.candidates, doc="a member has no more partners than there can be")
    def partners(m: Any, i: int) -> Any:
        # Implied by the others, but not by their linear relaxation, which is weak without it.
        deployed = sum(m.deployed[i, s] for s in m.servers_of[i])
        first = sum(m.together[i, j] for j in m.later[i])
        second = sum(m.together[j, i] for j in m.earlier[i])
        return first + second <= m.partners_max * deployed

    @m.Objective(sense=pyo.maximize, doc="own accuracies and disagreement")
    def total(m: Any) -> Any:
        own = sum(m.worth[i, s] * m.deployed[i, s] for i, s in m.pairs)
        return own + sum(m.bonus[i, j] * m.together[i, j] for i, j in m.couples)

    return m


def diverse(
    task: Task, servers: Servers, rules: Rules, free_mb: FloatArray, *, bonus: float = 1.0
) -> Placement:
    """Members of the largest sum of expected own accuracies and disagreement.

    One member runs on a server (and, where the rules say so, at a site: further ones there are left
    out, the least accurate first).

    Parameters
    ----------
    task, servers, rules
        The application, and where it runs.
    free_mb
        Free memory of each server.
    bonus
        What disagreement counts for.
    """
    room = free_mb + TOLERANCE * np.maximum(free_mb, 1.0)
    pairs = [(m, s) for m, s in task.pairs if task.memory_mb[m] <= room[s]]
    if not pairs:
        return ()
    candidate, server = (np.array(side) for side in zip(*pairs, strict=True))
    candidates, used = np.unique(candidate), np.unique(server)
    alive = np.array([1 - servers.failures.failing(s) for s in range(len(servers))])
    first, second, differ = _couples(task, candidates)
    by_server, by_second = np.argsort(server, kind="stable"), np.argsort(second, kind="stable")
    solution = solve_model(
        pair_formulation(),
        data={
            "candidates": candidates,
            "servers": used,
            "pairs": (candidate, server),
            "couples": (first, second),
            "servers_of": (_starts(candidate, candidates), server),
            "candidates_on": (_starts(server[by_server], used), candidate[by_server]),
            "worth": task.accuracies.singles[candidate] * alive[server],
            "bonus": bonus * differ,
            "energy_j": task.energy_j[candidate, server],
            "energy_max_j": task.energy_max_j,
            "members_max": float(task.members_max),
            "partners_max": float(min(task.members_max, len(used)) - 1),
            "later": (_starts(first, candidates), second),
            "earlier": (_starts(second[by_second], candidates), first[by_second]),
        },
        mip_gap=PROXY_GAP,
    ).require()
    deployed = solution.values["deployed"]
    found = [(int(m), int(s)) for m, s in deployed.index[deployed.to_numpy() > 1 / 2]]
    if rules.one_per_site:
        singles, seen, kept = task.accuracies.singles, set(), []
        for m, s in sorted(found, key=lambda pair: (-singles[pair[0]], pair)):
            if int(servers.sites[s]) not in seen:
                kept.append((m, s))
                seen.add(int(servers.sites[s]))
        found = kept
    return tuple(sorted(found))


def _couples(task: Task, candidates: Any) -> tuple[Any, Any, Any]:
    """Couples of candidates that disagree, and on which share of the samples.

    Of members whose answers are not known, how much better two are than the better one of them.
    """
    accuracies = task.accuracies
    rows = []
    for place, m in enumerate(candidates):
        for n in candidates[place + 1 :]:
            if isinstance(accuracies, Predicted):
                differ = float(np.mean(accuracies.correct[m] != accuracies.correct[n]))
            elif isinstance(accuracies, Measured) and task.members_max > 1:
                best = max(accuracies.of((m,)), accuracies.of((n,)))
                differ = max(0.0, accuracies.of((m, n)) - best)
            else:
                differ = 0.0
            if differ > 0:
                rows.append((int(m), int(n), differ))
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    kinds = (np.int64, np.int64, np.float64)
    first, second, values = (np.array(c, dtype=k) for c, k in zip(columns, kinds, strict=True))
    return first, second, values


def _starts(sorted_labels: Any, labels: Any) -> Any:
    """Where the members of each label begin, and where the last ones end."""
    return np.append(np.searchsorted(sorted_labels, labels), len(sorted_labels))
