r"""The mathematics of warm and cold backups together, for all failures at once.

**In words.** Before anything fails, let backups of some applications stand warm. In each failure,
every application that it takes switches to its warm backup where that survives, or else loads a
cold one on a server that is up, at once or by way of a smaller one, or is lost. Everything fits
into what the primaries leave free. The service that a failure loses on average is least.

**In symbols.** Failure f has probability :math:`\pi_f` and takes the applications :math:`I_f`;
i is an application of weight :math:`w_i`, j a candidate, k a server, o an *option*: a candidate to
load first and one that serves in the end.

.. math::
    \min \sum_f \pi_f \sum_{i \in I_f} w_i H
    - \sum_{ijk} \Big( \sum_{f:\, i \in I_f,\, k \notin f} \pi_f \Big) g_{ij} x_{ijk}
    - \sum_{f,i,o,k} \pi_f h_{io} y_{fiok}
    + \rho \sum_{ijk} m_{ij} x_{ijk}

    \text{one warm}    && \sum_{jk} x_{ijk} &\le 1 \\
    \text{one way}     && \sum_{j,\, k \notin f} x_{ijk} + \sum_{ok} y_{fiok} &\le 1
                       && i \in I_f \\
    \text{warm memory} && u_k = \sum_{ij} m_{ij} x_{ijk} &\le F_k \\
    \text{memory}      && u_k + \sum_{io} m_{io} y_{fiok} + \mu_{fk} z_{fk} &\le F_k
                       && k \notin f \\
    \text{two stages}  && \sum_{o \text{ of two stages}} y_{fiok} &\le z_{fk} && k \notin f \\
    \text{compute}     && v_{fk} + \sum_{io} c_{io} y_{fiok} &\le G_k && k \notin f

where v is the compute of all warm backups on k, or where compute is multiplexed, of those that f
calls; x and y are binary. Whoever is the last on a server to go from a small replica to a larger
one holds both for a moment, when all others hold what serves in the end: so where there are two
stages, the smallest first replica that is possible there has to fit as well (:math:`\mu`, z). A
gain is the service that is had instead of none within the horizon H,

.. math:: w_i (H - \ell), \qquad \ell \text{ as in } \texttt{optmodels.ensembles.failover.timeline},

with loading counted as if nobody else were loaded on the same server.

=================  =====================  ==================================================
symbol             name                   meaning, unit
=================  =====================  ==================================================
:math:`g, h`       ``warm_gain``,         service that a backup saves in a failure, weighted [s]
                   ``cold_gain``
:math:`m, c`       ``memory``,            memory [MB] and compute [GFLOP/s] of what serves in the
                   ``compute``            end
:math:`F, G`       ``memory_most``,       what the primaries leave of a server [MB], [GFLOP/s]
                   ``compute_most``
:math:`\rho`       ``warm_price``         price of a warm MB [s/MB], 0 unless memory is traded
:math:`x, y`       ``warm``, ``cold``     which backups stand ready, which are loaded in a failure
:math:`u, z`       ``warm_mb``,           memory of the warm backups of a server [MB], whether
                   ``staged``             anything is loaded in two stages there
:math:`\mu`        ``stage_memory``       memory of the smallest first replica [MB]
=================  =====================  ==================================================

The model leaves two things out: the waiting in the queue of a server that loads one model after
another, and the room that several first replicas take. Both only make a failure worse, so the
optimum of the model is a proven lower bound; and where servers load in parallel and no option has
two stages it is exact. All of it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from optmodels.ensembles.failover.timeline import lost_ms
from optmodels.policy import FloatArray
from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.ensembles.failover.instance import FailoverInstance

IntArray = NDArray[np.int64]

_MS = 1e-3


@dataclass(frozen=True)
class Options:
    """Ways to load an application in a failure, of all applications; arrays of shape (O,).

    Attributes
    ----------
    first, target
        Candidate that is loaded first, and that serves in the end.
    gain_s
        Service had within the horizon, weighted [s], if nobody else is loaded.
    """

    first: IntArray
    target: IntArray
    gain_s: FloatArray


def options_of(instance: FailoverInstance) -> Options:
    """Every candidate at once, or by way of a smaller one where that gains anything."""
    options = instance.candidates
    pairs = [
        (s, t)
        for a in range(len(instance.applications))
        for t in options.of(a)
        for s in range(int(options.start[a]), t + 1)
    ]
    first, target = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    gain = cold_gain_s(instance, first, target)
    direct = cold_gain_s(instance, target, target)
    keep = (first == target) | (gain > direct)
    return Options(first[keep], target[keep], gain[keep])


def warm_gain_s(instance: FailoverInstance) -> FloatArray:
    """Service that each candidate saves where it stands warm, weighted [s], shape (C,)."""
    options = instance.candidates
    up = np.full(options.count, instance.warm_ms)
    return _gain_s(instance, np.arange(options.count), np.arange(options.count), up, up)


def cold_gain_s(instance: FailoverInstance, first: IntArray, target: IntArray) -> FloatArray:
    """Service that options save where nobody else is loaded, weighted [s]."""
    load = instance.candidates.load_ms
    up = instance.cold_ms + load[first]
    final = up + np.where(first == target, 0.0, load[target])
    return _gain_s(instance, first, target, up, final)


def _gain_s(
    instance: FailoverInstance,
    first: IntArray,
    target: IntArray,
    up_ms: FloatArray,
    final_ms: FloatArray,
) -> FloatArray:
    options = instance.candidates
    down, degraded = lost_ms(
        instance, up_ms, final_ms, options.quality[first], options.quality[target]
    )
    weight = instance.weight[options.application[target]]
    gain: FloatArray = weight * (instance.horizon_ms - down - degraded) * _MS
    return gain


def all_lost_s(instance: FailoverInstance) -> float:
    """Service that a failure loses on average where nothing is done, weighted [s]."""
    each = [f.probability * float(instance.weight[f.failed].sum()) for f in instance.failures]
    return float(sum(each)) * instance.horizon_ms * _MS


@cache
def formulation() -> pyo.AbstractModel:
    """The formulation without any data in it."""
    m = pyo.AbstractModel(name="ensembles.failover")
    m.applications = pyo.Set(doc="applications")
    m.candidates = pyo.Set(doc="candidates of all applications")
    m.options = pyo.Set(doc="options of all applications")
    m.servers = pyo.Set(doc="servers")
    m.warm_places = pyo.Set(dimen=2, doc="a candidate and a server where it may stand warm")
    m.warm_of = pyo.Set(m.applications, dimen=2, doc="candidates and servers of an application")
    m.warm_on = pyo.Set(m.servers, doc="candidates that may stand on a server")
    m.losses = pyo.Set(doc="pairs of a failure and an application that it takes")
    m.cold_places = pyo.Set(dimen=3, doc="such a pair, an option, and a server that is up")
    m.surviving = pyo.Set(m.losses, dimen=2, doc="warm places that survive")
    m.cold_of = pyo.Set(m.losses, dimen=2, doc="options and servers of a pair")
    m.rooms = pyo.Set(dimen=2, doc="a failure and a server that is up and may load")
    m.cold_in = pyo.Set(m.rooms, dimen=2, doc="pairs and options that may be loaded there")
    m.stages = pyo.Set(dimen=3, doc="such a pair, and a loss that may take two stages there")
    m.staged_options = pyo.Set(m.stages, doc="its options of two stages")
    m.calling = pyo.Set(m.rooms, doc="candidates whose warm backups compute there")

    m.all_lost = pyo.Param(mutable=True)
    m.warm_gain = pyo.Param(m.warm_places, mutable=True)
    m.cold_gain = pyo.Param(m.cold_places, mutable=True)
    m.warm_memory = pyo.Param(m.candidates)
    m.warm_compute = pyo.Param(m.candidates)
    m.memory = pyo.Param(m.options)
    m.compute = pyo.Param(m.options)
    m.memory_most = pyo.Param(m.servers, mutable=True)
    m.compute_most = pyo.Param(m.servers, mutable=True)
    m.stage_memory = pyo.Param(m.rooms)
    m.warm_price = pyo.Param(mutable=True)

    m.warm = pyo.Var(m.warm_places, within=pyo.Binary)
    m.cold = pyo.Var(m.cold_places, within=pyo.Binary)
    m.warm_mb = pyo.Var(m.servers, bounds=lambda m, k: (0.0, m.memory_most[k]))
    m.staged = pyo.Var(m.rooms, bounds=(0, 1))

    @m.Constraint(m.applications, doc="at most one warm backup of each application")
    def one_warm(m: Any, i: int) -> Any:
        return sum(m.warm[c, k] for c, k in m.warm_of[i]) <= 1

    @m.Constraint(m.losses, doc="an application goes on in one way: warm, cold, or not")
    def one_way(m: Any, f: int) -> Any:
        warm = sum(m.warm[c, k] for c, k in m.surviving[f])
        return warm + sum(m.cold[f, o, k] for o, k in m.cold_of[f]) <= 1

    @m.Constraint(m.servers, doc="memory of the warm backups")
    def warm_memory_use(m: Any, k: int) -> Any:
        return sum(m.warm_memory[c] * m.warm[c, k] for c in m.warm_on[k]) == m.warm_mb[k]

    @m.Constraint(m.rooms, doc="warm and cold backups fit into memory")
    def memory_limit(m: Any, f: int, k: int) -> Any:
        loaded = sum(m.memory[o] * m.cold[i, o, k] for i, o in m.cold_in[f, k])
        return m.warm_mb[k] + loaded + m.stage_memory[f, k] * m.staged[f, k] <= m.memory_most[k]

    @m.Constraint(m.stages, doc="the last of those that take two stages holds both replicas")
    def two_stages(m: Any, f: int, k: int, i: int) -> Any:
        return sum(m.cold[i, o, k] for o in m.staged_options[f, k, i]) <= m.staged[f, k]

    @m.Constraint(m.rooms, doc="warm and cold backups fit into compute")
    def compute_limit(m: Any, f: int, k: int) -> Any:
        loaded = sum(m.compute[o] * m.cold[i, o, k] for i, o in m.cold_in[f, k])
        called = sum(m.warm_compute[c] * m.warm[c, k] for c in m.calling[f, k])
        return called + loaded <= m.compute_most[k]

    @m.Objective(sense=pyo.minimize, doc="service lost by a failure on average, weighted [s]")
    def lost(m: Any) -> Any:
        warm = sum(m.warm_gain[c, k] * m.warm[c, k] for c, k in m.warm_places)
        cold = sum(m.cold_gain[f, o, k] * m.cold[f, o, k] for f, o, k in m.cold_places)
        price = sum(m.warm_price * m.warm_mb[k] for k in m.servers)
        return m.all_lost - warm - cold + price

    return m


def size_of(instance: FailoverInstance) -> int:
    """Largest number of binaries that the formulation can have, counted without making it."""
    per_application = np.bincount(
        instance.candidates.application[options_of(instance).target],
        minlength=len(instance.applications),
    )
    cold = sum(
        int(per_application[f.failed].sum()) * int((~f.down).sum()) for f in instance.failures
    )
    return int(instance.may_stand.sum()) + cold


def model_data(instance: FailoverInstance, *, warm_price: float = 0.0) -> dict[str, Any]:
    """Data of the formulation by component name; everything by its number in the instance.

    Parameters
    ----------
    instance
        The question.
    warm_price
        Price of a warm megabyte [s/MB].
    """
    options, ways = instance.candidates, options_of(instance)
    count, servers = len(instance.applications), np.arange(len(instance.servers))
    c, k = np.nonzero(instance.may_stand)
    owner = options.application[c]
    probability = np.zeros((count, len(servers)))
    for failure in instance.failures:
        probability[np.ix_(failure.failed, ~failure.down)] += failure.probability
    by_server = np.lexsort((c, k))
    cold, losses = _cold_places(instance, ways)
    rooms = _rooms(instance, cold, losses)
    staged = _stages(instance, ways, cold, losses, rooms["rooms"])
    multiplexed = bool(instance.parameters.multiplexed_compute)
    calling = []
    surviving = []
    for f, kk in zip(*rooms["rooms"], strict=True):
        on = c[k == kk]
        if multiplexed:
            on = on[instance.failures[f].down[instance.home[options.application[on]]]]
        calling.append(on)
    # Places are sorted by application: nobody is looked for among those of the others.
    first = np.searchsorted(owner, np.arange(count + 1))
    for f, a in losses:
        own = np.arange(first[a], first[a + 1])
        own = own[~instance.failures[f].down[k[own]]]
        surviving.append((c[own], k[own]))
    gain = warm_gain_s(instance)[c] * probability[owner, k]
    loss, option, where = cold
    chance = np.array([instance.failures[f].probability for f, _ in losses])
    number = np.arange(len(losses))
    return {
        "applications": np.arange(count),
        "candidates": np.arange(options.count),
        "options": np.arange(len(ways.target)),
        "servers": servers,
        "warm_places": (c, k),
        "warm_of": (first, (c, k)),
        "warm_on": (np.searchsorted(k[by_server], np.arange(len(servers) + 1)), c[by_server]),
        "losses": number,
        "cold_places": cold,
        "surviving": _pairs(surviving),
        "cold_of": (np.searchsorted(loss, np.arange(len(losses) + 1)), (option, where)),
        **rooms,
        **staged,
        "calling": (_starts([len(on) for on in calling]), _joined(calling)),
        "all_lost": all_lost_s(instance),
        "warm_gain": gain,
        "cold_gain": ways.gain_s[option] * chance[loss] if len(loss) else np.zeros(0),
        "warm_memory": options.memory_mb,
        "warm_compute": options.gflops,
        "memory": options.memory_mb[ways.target],
        "compute": options.gflops[ways.target],
        "memory_most": instance.free_mb,
        "compute_most": instance.free_gflops,
        "warm_price": warm_price,
    }


def concrete_model(instance: FailoverInstance) -> pyo.ConcreteModel:
    """The formulation with the data of an instance, as an ordinary Pyomo model."""
    return instance_of(formulation(), model_data(instance), name=instance.name)


def _cold_places(
    instance: FailoverInstance, ways: Options
) -> tuple[tuple[IntArray, IntArray, IntArray], list[tuple[int, int]]]:
    """Losses, options and servers of everything that may be loaded; and the losses."""
    options = instance.candidates
    fits = instance.fast_enough & (options.memory_mb[:, None] <= instance.free_mb[None, :])
    fits &= options.gflops[:, None] <= instance.free_gflops[None, :]
    fits = fits[ways.target] & instance.fast_enough[ways.first]
    start = np.searchsorted(
        options.application[ways.target], np.arange(len(instance.applications) + 1)
    )
    losses = [(f, a) for f, one in enumerate(instance.failures) for a in one.failed.tolist()]
    parts = []
    for i, (f, a) in enumerate(losses):
        own = slice(int(start[a]), int(start[a + 1]))
        o, k = np.nonzero(fits[own] & ~instance.failures[f].down[None, :])
        parts.append((np.full(len(o), i), o + start[a], k))
    columns = [_joined([part[n] for part in parts]) for n in range(3)]
    return (columns[0], columns[1], columns[2]), losses


def _rooms(
    instance: FailoverInstance,
    cold: tuple[IntArray, IntArray, IntArray],
    losses: list[tuple[int, int]],
) -> dict[str, Any]:
    """Failures and servers that are up, and what may be loaded there."""
    loss, option, where = cold
    up = np.array([~failure.down for failure in instance.failures])
    f, k = np.nonzero(up)
    failure = np.array([one for one, _ in losses], dtype=np.int64)
    room = failure[loss] * len(instance.servers) + where if len(loss) else loss
    order = np.argsort(room, kind="stable")
    starts = np.searchsorted(room[order], f * len(instance.servers) + k)
    return {
        "rooms": (f, k),
        "cold_in": (np.append(starts, len(room)), (loss[order], option[order])),
    }


def _stages(
    instance: FailoverInstance,
    ways: Options,
    cold: tuple[IntArray, IntArray, IntArray],
    losses: list[tuple[int, int]],
    rooms: tuple[IntArray, IntArray],
) -> dict[str, Any]:
    """Options of two stages by failure, server and loss, and the least memory that they take."""
    loss, option, where = cold
    two = np.flatnonzero(ways.first[option] != ways.target[option])
    if not len(two):
        empty = np.zeros(0, dtype=np.int64)
        return {
            "stages": (empty, empty, empty),
            "staged_options": (np.zeros(1, dtype=np.int64), empty),
            "stage_memory": np.zeros(len(rooms[0])),
        }
    failure = np.array([one for one, _ in losses], dtype=np.int64)
    keys = np.stack([failure[loss[two]], where[two], loss[two]])
    order = np.lexsort((keys[2], keys[1], keys[0]))
    keys, two = keys[:, order], two[order]
    opens = np.append(True, (np.diff(keys, axis=1) != 0).any(axis=0))
    least = np.full((len(instance.failures), len(instance.servers)), np.inf)
    first_memory = instance.candidates.memory_mb[ways.first[option[two]]]
    np.minimum.at(least, (keys[0], keys[1]), first_memory)
    memory = least[rooms]
    return {
        "stages": tuple(keys[:, opens]),
        "staged_options": (np.append(np.flatnonzero(opens), len(two)), option[two]),
        "stage_memory": np.where(np.isfinite(memory), memory, 0.0),
    }


def _pairs(parts: list[tuple[IntArray, IntArray]]) -> tuple[IntArray, tuple[IntArray, IntArray]]:
    starts = _starts([len(one) for one, _ in parts])
    return starts, (_joined([one for one, _ in parts]), _joined([two for _, two in parts]))


def _starts(lengths: list[int]) -> IntArray:
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
