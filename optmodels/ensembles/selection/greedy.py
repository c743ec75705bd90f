"""Greedy selection: one member after another, on the server where it helps most.

With the rules "best" and "cover" the expected accuracy is a monotone submodular function of the set
of placed members: a member helps the less, the more are there (weighted sums over failures of a
maximum, or of coverage). Greedy selection then has at least :math:`1/(p+1)` of the optimum's gain
where the limits are p matroids (Fisher, Nemhauser and Wolsey 1978): one candidate per server is one
matroid, one server per candidate another. Votes are neither monotone nor submodular: a second
member often makes a majority worse and a third one better, so nothing is proven, and looking two
members ahead pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from optmodels.ensembles.selection.configurations import Prices
from optmodels.ensembles.selection.evaluation import validated
from optmodels.ensembles.selection.tasks import Placement, Rules, Servers, Task, faults, has_room
from optmodels.policy import FloatArray

#: Gain that counts as one, beyond rounding.
_TIE = 1e-12


def gain_of(
    task: Task, servers: Servers, rules: Rules, prices: Prices, placement: Placement
) -> float:
    """How much less the objective is than without any member."""
    found = validated(task, servers, rules, placement)
    nothing = (prices.expected + prices.worst) * task.fallback
    gain = task.share * (prices.expected * found.expected + prices.worst * found.worst - nothing)
    if prices.energy:
        gain -= prices.energy * task.energy(placement)
    if prices.memory:
        gain -= prices.memory * float(task.memory(placement, len(servers)).sum())
    return gain


def fits(
    task: Task, servers: Servers, rules: Rules, placement: Placement, free_mb: FloatArray
) -> bool:
    """Whether members break no limit, in this free memory."""
    return has_room(task, placement, free_mb) and not faults(task, servers, rules, placement)


def extensions(
    task: Task,
    servers: Servers,
    rules: Rules,
    placement: Placement,
    free_mb: FloatArray,
    size: int = 1,
) -> Iterator[Placement]:
    """Placements with `size` members more."""
    rest = [pair for pair in task.pairs if pair not in placement]
    for added in combinations(rest, size):
        larger = tuple(sorted((*placement, *added)))
        if fits(task, servers, rules, larger, free_mb):
            yield larger


def greedy(
    task: Task,
    servers: Servers,
    rules: Rules,
    prices: Prices,
    free_mb: FloatArray,
    *,
    per_megabyte: bool = False,
    look_ahead: bool = False,
) -> Placement:
    """Add the member, or pair of members, that gains most, until none gains.

    Parameters
    ----------
    task, servers, rules, prices
        The application and what is minimised.
    free_mb
        Free memory of each server.
    per_megabyte
        Whether gains count per megabyte.
    look_ahead
        Whether pairs are tried where no single member gains.
    """

    def value(placement: Placement) -> float:
        return gain_of(task, servers, rules, prices, placement)

    placement: Placement = ()
    current = 0.0
    while True:
        found = _step(task, servers, rules, placement, free_mb, current, value, per_megabyte, 1)
        if found is None and look_ahead:
            found = _step(task, servers, rules, placement, free_mb, current, value, per_megabyte, 2)
        if found is None:
            return placement
        placement = found
        current = value(placement)


def _step(
    task: Task,
    servers: Servers,
    rules: Rules,
    placement: Placement,
    free_mb: FloatArray,
    current: float,
    value: Callable[[Placement], float],
    per_megabyte: bool,
    size: int,
) -> Placement | None:
    """The best larger placement; None where none gains."""
    best: Placement | None = None
    most = 0.0
    before = float(task.memory(placement, len(free_mb)).sum())
    for larger in extensions(task, servers, rules, placement, free_mb, size):
        more = value(larger) - current
        if more <= _TIE:
            continue
        if per_megabyte:
            taken = float(task.memory(larger, len(free_mb)).sum()) - before
            more /= max(taken, np.finfo(float).tiny)
        if more > most * (1 + _TIE):
            best, most = larger, more
    return best


def in_turn(
    tasks: tuple[Task, ...], servers: Servers, rules: Rules, prices: Prices
) -> tuple[Placement, ...]:
    """Greedy placements of all applications, the weightiest first, each in what is left."""
    free = np.array(servers.capacity_mb)
    found: dict[int, Placement] = {}
    for a in sorted(range(len(tasks)), key=lambda a: (-tasks[a].share, a)):
        found[a] = greedy(tasks[a], servers, rules, prices, free)
        free = np.maximum(free - tasks[a].memory(found[a], len(servers)), 0.0)
    return tuple(found[a] for a in range(len(tasks)))


def matroids(task: Task, servers: Servers, rules: Rules) -> int | None:
    """Number of matroids that are the limits of one application alone; None where they are none.

    Slots of servers (or of sites) and servers of candidates are partition matroids, the number of
    members a uniform one. Memory that several members share, and energy, are knapsacks.
    """
    if rules.members_per_server > 1 and not rules.one_per_site:
        return None
    by_server = [
        max((float(task.energy_j[m, s]) for m, t in task.pairs if t == s), default=0.0)
        for s in range(len(servers))
    ]
    if sum(by_server) > task.energy_max_j:
        return None
    slots = len(set(servers.sites.tolist())) if rules.one_per_site else len(servers)
    return 1 + (rules.copies_max < slots) + (task.members_max < slots)
