r"""The mathematics of warm backups alone.

**In words.** For each group of like critical applications choose how many of them get a warm backup
of which size on which server, so that the accuracy that a failure of their primaries would leave is
greatest. Each application has at most one, none in its home zone. Backups fit into what the
primaries leave free, of which a share is kept for cold backups.

**In symbols.** Group g has :math:`N_g` applications, of which :math:`n_{gz}` are at home in zone z;
its candidates are j, servers are k.

.. math::
    \max \sum_{gjk} w_g A_{gj} x_{gjk}

    \text{one each}   && \sum_{jk} x_{gjk} &\le N_g \\
    \text{not at home}&& \sum_{j,\, k \in z} x_{gjk} &\le N_g - n_{gz} \\
    \text{memory}     && \sum_{gj} m_{gj} x_{gjk} &\le F_k \\
    \text{headroom}   && \sum_{gjk} m_{gj} x_{gjk} &\le (1 - \alpha) \sum_k F_k \\
    \text{compute}    && \text{as memory and headroom} \\
    \text{coverage}   && \sum_{gjk} x_{gjk} &\ge n

and :math:`x_{gjk}` are whole. With a headroom per server, memory and compute have
:math:`(1 - \alpha) F_k` instead. Where compute is multiplexed, a warm backup that waits computes
nothing, so that compute has a row for each failure f and each server k that survives it instead:

.. math:: \sum_{g \text{ at home in } f} \sum_j c_{gj} x_{gjk} \le G_k

These are more rows, but never a worse optimum: each is implied by the row that it replaces.

=================  =================  ======================================================
symbol             name               meaning, unit
=================  =================  ======================================================
:math:`w_g A_{gj}` ``value``          weight times accuracy relative to the primary's
:math:`m, c`       ``memory``,        memory [MB] and compute [GFLOP/s] of a replica
                   ``compute``
:math:`F_k, G_k`   ``memory_most``,   what backups may take of a server [MB], [GFLOP/s]
                   ``compute_most``
:math:`n`          ``least``          fewest applications with a backup
:math:`x`          ``backups``        backups of a size on a server
=================  =================  ======================================================

With one application per group this is the usual assignment with two capacities. The plain sum may
leave an application without a backup so that others are more accurate: coverage first finds the
largest number of backups, and then the most accurate ones. FailLite (arXiv:2504.15856) is the model
for this; the formulation itself, and the grouping (see `optmodels.ensembles.failover.grouping`),
are ours.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

if TYPE_CHECKING:
    from optmodels.ensembles.failover.grouping import Groups
    from optmodels.ensembles.failover.instance import FailoverInstance

IntArray = NDArray[np.int64]


@cache
def formulation() -> pyo.AbstractModel:
    """The formulation without any data in it."""
    m = pyo.AbstractModel(name="ensembles.failover warm backups")
    m.groups = pyo.Set(doc="groups of like applications")
    m.sizes = pyo.Set(dimen=2, doc="a group and the place of a candidate of its")
    m.servers = pyo.Set(doc="servers that may hold a backup")
    m.places = pyo.Set(dimen=3, doc="a group, a candidate of its, a server that may hold it")
    m.places_of_group = pyo.Set(m.groups, dimen=2, doc="candidates and servers of a group")
    m.places_on_server = pyo.Set(m.servers, dimen=2, doc="groups and candidates on a server")
    m.homes = pyo.Set(doc="pairs of a group and a zone where some of it are at home")
    m.places_at_home = pyo.Set(m.homes, dimen=3, doc="places in such a zone")
    m.computing = pyo.Set(within=m.servers, doc="servers whose backups take compute all the time")
    m.places_computing = pyo.Set(dimen=3, doc="places of such backups")
    m.calls = pyo.Set(doc="pairs of a failure and a surviving server")
    m.places_called = pyo.Set(m.calls, dimen=3, doc="places that compute in such a pair")

    m.value = pyo.Param(m.sizes, mutable=True)
    m.memory = pyo.Param(m.sizes)
    m.compute = pyo.Param(m.sizes)
    m.most = pyo.Param(m.places, mutable=True)
    m.group_most = pyo.Param(m.groups, mutable=True)
    m.home_most = pyo.Param(m.homes, mutable=True)
    m.memory_most = pyo.Param(m.servers, mutable=True)
    m.compute_most = pyo.Param(m.servers, mutable=True)
    m.call_most = pyo.Param(m.calls, mutable=True)
    m.memory_total = pyo.Param(mutable=True)
    m.compute_total = pyo.Param(mutable=True)
    m.least = pyo.Param(mutable=True)

    m.backups = pyo.Var(
        m.places,
        within=pyo.NonNegativeIntegers,
        bounds=lambda m, g, j, k: (0, m.most[g, j, k]),
    )

    @m.Constraint(m.groups, doc="each application has at most one backup")
    def one_each(m: Any, g: int) -> Any:
        return sum(m.backups[g, j, k] for j, k in m.places_of_group[g]) <= m.group_most[g]

    @m.Constraint(m.homes, doc="a backup does not stand where its primary does")
    def not_at_home(m: Any, h: int) -> Any:
        return sum(m.backups[g, j, k] for g, j, k in m.places_at_home[h]) <= m.home_most[h]

    @m.Constraint(m.servers, doc="backups fit into the memory of a server")
    def memory_limit(m: Any, k: int) -> Any:
        used = sum(m.memory[g, j] * m.backups[g, j, k] for g, j in m.places_on_server[k])
        return used <= m.memory_most[k]

    @m.Constraint(doc="a share of all memory is left to cold backups")
    def memory_headroom(m: Any) -> Any:
        return sum(m.memory[g, j] * m.backups[g, j, k] for g, j, k in m.places) <= m.memory_total

    @m.Constraint(m.computing, doc="backups fit into the compute of a server")
    def compute_limit(m: Any, k: int) -> Any:
        used = sum(m.compute[g, j] * m.backups[g, j, k] for g, j in m.places_on_server[k])
        return used <= m.compute_most[k]

    @m.Constraint(doc="a share of all compute is left to cold backups")
    def compute_headroom(m: Any) -> Any:
        used = sum(m.compute[g, j] * m.backups[g, j, k] for g, j, k in m.places_computing)
        return used <= m.compute_total

    @m.Constraint(m.calls, doc="backups that a failure calls fit into the compute of a server")
    def call_limit(m: Any, c: int) -> Any:
        return (
            sum(m.compute[g, j] * m.backups[g, j, k] for g, j, k in m.places_called[c])
            <= m.call_most[c]
        )

    @m.Constraint(doc="so many applications have a backup at least")
    def coverage(m: Any) -> Any:
        return sum(m.backups[g, j, k] for g, j, k in m.places) >= m.least

    @m.Objective(sense=pyo.maximize, doc="weighted accuracy of the backups")
    def accuracy(m: Any) -> Any:
        return sum(m.value[g, j] * m.backups[g, j, k] for g, j, k in m.places)

    return m


def model_data(
    instance: FailoverInstance,
    groups: Groups,
    headroom: float,
    *,
    count_only: bool = False,
    least: int = 0,
) -> dict[str, Any]:
    """Data of the formulation by component name; candidates are counted within their group.

    Parameters
    ----------
    instance
        The question.
    groups
        Applications that want a backup.
    headroom
        Share of the free capacity that is left to cold backups.
    count_only
        Whether every backup counts alike.
    least
        Fewest applications with a backup.
    """
    options = instance.candidates
    count = len(groups.members)
    lead = np.array([members[0] for members in groups.members], dtype=np.int64)
    levels = options.start[lead + 1] - options.start[lead]
    g = np.repeat(np.arange(count), levels)
    j = np.arange(int(levels.sum())) - np.repeat(np.cumsum(levels) - levels, levels)
    candidate = options.start[lead[g]] + j
    away = np.array([groups.away(instance, i) for i in range(count)]).reshape(count, -1)
    allowed = instance.fast_enough[candidate] & (away[g] > 0)
    allowed &= options.memory_mb[candidate][:, None] <= instance.free_mb[None, :]
    if groups.compute:
        allowed &= options.gflops[candidate][:, None] <= instance.free_gflops[None, :]
    row, k = np.nonzero(allowed)
    places = (g[row], j[row], k)
    by_server = np.lexsort((row, k))
    share = 1 - headroom
    on_server = share if instance.parameters.headroom_per_server else 1.0
    multiplexed = groups.compute and bool(instance.parameters.multiplexed_compute)
    always = groups.compute and not multiplexed
    value = np.ones(len(g)) if count_only else instance.weight[lead[g]] * options.quality[candidate]
    servers = np.arange(len(instance.servers))
    homes, home_most = _homes(groups, away, places)
    calls, call_most = _calls(instance, groups, places) if multiplexed else ([], [])
    return {
        "groups": np.arange(count),
        "sizes": (g, j),
        "servers": servers,
        "places": places,
        "places_of_group": (np.searchsorted(places[0], np.arange(count + 1)), (j[row], k)),
        "places_on_server": (
            np.searchsorted(k[by_server], np.arange(len(servers) + 1)),
            (places[0][by_server], places[1][by_server]),
        ),
        "homes": np.arange(len(homes)),
        "places_at_home": _ragged(homes, places),
        "computing": servers if always else servers[:0],
        "places_computing": places if always else tuple(part[:0] for part in places),
        "calls": np.arange(len(calls)),
        "places_called": _ragged(calls, places),
        "value": value,
        "memory": options.memory_mb[candidate],
        "compute": options.gflops[candidate],
        "most": away[places[0], k].astype(np.float64),
        "group_most": np.array([float(groups.size(i)) for i in range(count)]),
        "home_most": np.array(home_most, dtype=np.float64),
        "memory_most": on_server * instance.free_mb,
        "compute_most": on_server * instance.free_gflops,
        "call_most": np.array(call_most, dtype=np.float64),
        "memory_total": share * float(instance.free_mb.sum()),
        # What is multiplexed is not kept free: it is the cold backups' as well.
        "compute_total": share * float(instance.free_gflops.sum()),
        "least": float(least),
    }


Places = tuple[IntArray, IntArray, IntArray]


def _homes(groups: Groups, away: IntArray, places: Places) -> tuple[list[IntArray], list[int]]:
    """Rows of places of a group in a zone where some, not all, of it are at home."""
    found, most = [], []
    zone = groups.zone[places[2]]
    for i in range(len(groups.members)):
        if groups.size(i) == 1:
            continue
        own = np.flatnonzero(places[0] == i)
        for z in np.unique(zone[own]).tolist():
            rows = own[zone[own] == z]
            limit = int(away[i, places[2][rows[0]]])
            if limit < groups.size(i):
                found.append(rows)
                most.append(limit)
    return found, most


def _calls(
    instance: FailoverInstance, groups: Groups, places: Places
) -> tuple[list[IntArray], list[float]]:
    """Rows of places that a failure calls on a server; groups have one home server each."""
    home = np.array([instance.home[members[0]] for members in groups.members])[places[0]]
    found, most = [], []
    for failure in instance.failures:
        called = np.flatnonzero(failure.down[home] & ~failure.down[places[2]])
        for k in np.unique(places[2][called]).tolist():
            found.append(called[places[2][called] == k])
            most.append(float(instance.free_gflops[k]))
    return found, most


def _ragged(rows: list[IntArray], places: Places) -> tuple[IntArray, Places]:
    """An indexed set of places from lists of their numbers."""
    starts = np.append(0, np.cumsum([len(part) for part in rows])).astype(np.int64)
    chosen = np.concatenate([np.zeros(0, dtype=np.int64), *rows]).astype(np.int64)
    return starts, (places[0][chosen], places[1][chosen], places[2][chosen])
