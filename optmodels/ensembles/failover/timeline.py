r"""What happens after a failure, and when.

An application whose server has died is down until it is noticed (`detection_ms`), until its backup
serves, and until its clients are redirected (`switch_ms`). A warm backup serves at once. A cold one
is planned (`plan_ms`), waits until its server has loaded what stands before it in the queue, and is
loaded:

.. math::
    T^{warm} = T_{detect} + T_{switch}, \qquad
    T^{cold} = T_{detect} + T_{plan} + T_{queue} + T_{load} + T_{switch}

With parallel loading nobody waits. In a progressive failover a small variant is loaded first and
serves while the larger one is loaded, after which the small one is unloaded: :math:`T` is when the
first one serves, :math:`T^{up}` when the last one does. In between both are in memory.

Service lost within the horizon H, in full-service milliseconds, for quality q (accuracy relative to
the primary's):

.. math::
    \ell = T + (1 - q_{first}) (T^{up} - T) + (1 - q_{final}) (H - T^{up})

with all times cut at H, and :math:`\ell = H` for an application that is not recovered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import Recovery
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.policy import FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Loading:
    """When a recovery loads what; times since loading began [ms], of shape (L,).

    Attributes
    ----------
    first_begin, first_end
        Loading of what serves first.
    last_begin, last_end
        Loading of what serves in the end; the same where there is no upgrade.
    """

    first_begin: FloatArray
    first_end: FloatArray
    last_begin: FloatArray
    last_end: FloatArray


def loading(instance: FailoverInstance, recovery: Recovery) -> Loading:
    """Times of loading, server by server."""
    load = instance.candidates.load_ms
    upgraded = recovery.upgrade_turn > 0
    if instance.parameters.loading == "parallel":
        begin = np.zeros(recovery.count)
        first_end = load[recovery.first]
        last_end = first_end + np.where(upgraded, load[recovery.target], 0.0)
        return Loading(begin, first_end, np.where(upgraded, first_end, begin), last_end)
    # One queue per server: first loadings and upgrades by their turns.
    row = np.concatenate([np.arange(recovery.count), np.flatnonzero(upgraded)])
    turn = np.concatenate([recovery.turn, recovery.upgrade_turn[upgraded]])
    takes = load[np.concatenate([recovery.first, recovery.target[upgraded]])]
    order = np.lexsort((turn, recovery.server[row]))
    done = np.cumsum(takes[order])
    server = recovery.server[row][order]
    opens = np.append(True, server[1:] != server[:-1])[: len(server)]
    # A loading begins at the very moment at which the one before it ends, to the last digit.
    start = np.append(0.0, done)[: len(done)]
    idle = np.repeat(start[opens], np.diff(np.append(np.flatnonzero(opens), len(server))))
    begin, end = np.empty(len(row)), np.empty(len(row))
    begin[order], end[order] = start - idle, done - idle
    first_begin, first_end = begin[: recovery.count], end[: recovery.count]
    last_begin, last_end = first_begin.copy(), first_end.copy()
    last_begin[upgraded], last_end[upgraded] = begin[recovery.count :], end[recovery.count :]
    return Loading(first_begin, first_end, last_begin, last_end)


def peaks(
    instance: FailoverInstance, recovery: Recovery, times: Loading
) -> tuple[FloatArray, FloatArray]:
    """Most memory [MB] and compute [GFLOP/s] that a recovery uses on each server, shapes (S,).

    A replica takes memory from the moment it begins to load, and compute from the moment it serves.
    A small replica gives both back when the larger one serves.
    """
    options = instance.candidates
    memory, compute = np.zeros(len(instance.servers)), np.zeros(len(instance.servers))
    upgraded = recovery.upgrade_turn > 0
    for k in np.unique(recovery.server).tolist():
        own = np.flatnonzero(recovery.server == k)
        up = own[upgraded[own]]
        memory[k] = _peak(
            [
                (times.first_begin[own], options.memory_mb[recovery.first[own]]),
                (times.last_begin[up], options.memory_mb[recovery.target[up]]),
                (times.last_end[up], -options.memory_mb[recovery.first[up]]),
            ]
        )
        compute[k] = _peak(
            [
                (times.first_end[own], options.gflops[recovery.first[own]]),
                (times.last_end[up], options.gflops[recovery.target[up]]),
                (times.last_end[up], -options.gflops[recovery.first[up]]),
            ]
        )
    return memory, compute


def _peak(changes: list[tuple[FloatArray, FloatArray]]) -> float:
    """Highest level; at one moment what is given back comes first."""
    moment = np.concatenate([when for when, _ in changes])
    amount = np.concatenate([how_much for _, how_much in changes])
    order = np.lexsort((amount, moment))
    return float(np.cumsum(amount[order]).max(initial=0.0))


def lost_ms(
    instance: FailoverInstance,
    up_ms: FloatArray,
    final_ms: FloatArray,
    first_quality: FloatArray,
    final_quality: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Service lost by being down, and by lower accuracy, within the horizon [ms].

    Parameters
    ----------
    instance
        The question.
    up_ms, final_ms
        When the first and the last replica serve [ms after the failure].
    first_quality, final_quality
        Their accuracy relative to the primary's.
    """
    horizon = instance.horizon_ms
    up, final = np.minimum(up_ms, horizon), np.minimum(final_ms, horizon)
    degraded = (1 - first_quality) * (final - up) + (1 - final_quality) * (horizon - final)
    return up, degraded
