r"""Closed queueing networks: exact mean value analysis (MVA).

N clients each send a request, wait for its answer, perhaps think, and send the next one. With
demands :math:`D_k` at stations k and a think time Z, what a client meets when it arrives with n
clients in the network is the network with n - 1 (the arrival theorem of Reiser and Lavenberg,
J. ACM 1980):

.. math::

    R_k(n) = D_k (1 + Q_k(n-1)), \qquad X(n) = \frac{n}{Z + \sum_k R_k(n)}, \qquad
    Q_k(n) = X(n) R_k(n)

Exact for stations that share their speed among whoever is there, or serve in order with exponential
times alike for all. With several classes of clients the same holds per class, over all populations
of the classes. Always, by the asymptotic bounds,
:math:`X \le \min(1 / \max_k D_k,\; N / (Z + \sum_k D_k))`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import UsageError
from optmodels.policy import FloatArray

#: Most populations of several classes that are computed: their number is a product.
MOST_POPULATIONS = 2_000_000


@dataclass(frozen=True)
class Closed:
    """A closed network in its steady state; times in the unit of the demands.

    Attributes
    ----------
    clients
        Number of clients of each class, shape (C,).
    throughput
        Requests per unit of time of each class, shape (C,).
    residence
        Time that a request spends at each station, waiting included, shape (C, K).
    queue
        Mean number of requests of each class at each station, shape (C, K).
    """

    clients: tuple[int, ...]
    throughput: FloatArray
    residence: FloatArray
    queue: FloatArray

    @property
    def response(self) -> FloatArray:
        """Time from request to answer of each class, shape (C,)."""
        total: FloatArray = self.residence.sum(axis=1)
        return total


def mva(demands: ArrayLike, clients: ArrayLike, think: ArrayLike = 0.0) -> Closed:
    """Steady state of a closed network, exactly.

    Parameters
    ----------
    demands
        Time that a request needs at each station: shape (K,) for one class of clients, (C, K) for
        several.
    clients
        Number of clients: one number, or one per class.
    think
        Time between an answer and the next request: one number, or one per class.

    Raises
    ------
    UsageError
        Shapes do not fit, a number is out of range, or there are too many populations.
    """
    work, count, pause = _checked(demands, clients, think)
    classes, stations = work.shape
    sizes = tuple(n + 1 for n in count)
    populations = int(np.prod([float(n) for n in sizes]))
    if populations > MOST_POPULATIONS:
        raise UsageError(
            f"{count} clients make {populations} populations; allowed: {MOST_POPULATIONS}. "
            "Fix: put classes together, or take fewer clients."
        )
    # Mean number of requests at each station, by population; nobody, nothing.
    total = np.zeros((*sizes, stations))
    residence = np.zeros_like(work)
    throughput = np.zeros(classes)
    for population in product(*(range(n) for n in sizes)):
        residence = np.zeros_like(work)
        throughput = np.zeros(classes)
        for c, n in enumerate(population):
            if n:
                one_less = tuple(m - (i == c) for i, m in enumerate(population))
                residence[c] = work[c] * (1 + total[one_less])
                cycle = float(pause[c] + residence[c].sum())
                throughput[c] = n / cycle if cycle > 0 else np.inf
        total[population] = throughput @ residence
    return Closed(tuple(count), throughput, residence, throughput[:, np.newaxis] * residence)


def response_bound(demands: ArrayLike, clients: int, think: float = 0.0) -> float:
    """Least response time that any network with these demands can have, for one class.

    Raises
    ------
    UsageError
        A number is out of range.
    """
    work, count, pause = _checked(demands, clients, think)
    each = work[0]
    return float(max(each.sum(), count[0] * each.max() - pause[0]))


def throughput_bound(demands: ArrayLike, clients: int, think: float = 0.0) -> float:
    """Largest throughput that any network with these demands can have, for one class.

    Raises
    ------
    UsageError
        A number is out of range.
    """
    work, count, pause = _checked(demands, clients, think)
    each = work[0]
    limits = [np.inf if each.max() == 0 else 1 / each.max()]
    cycle = float(each.sum() + pause[0])
    limits.append(count[0] / cycle if cycle > 0 else np.inf)
    return float(min(limits))


def _checked(
    demands: ArrayLike, clients: ArrayLike, think: ArrayLike
) -> tuple[FloatArray, list[int], FloatArray]:
    try:
        work = np.atleast_2d(np.asarray(demands, dtype=np.float64))
        count = np.atleast_1d(np.asarray(clients, dtype=np.float64))
        pause = np.asarray(think, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError("Demands, clients and think times are numbers.") from None
    if work.ndim != 2 or not work.size or count.shape != (len(work),):
        raise UsageError(
            f"Demands have the shape {work.shape}, clients {count.shape}; allowed: a number of "
            "clients for each class of demands."
        )
    if not (np.isfinite(work) & (work >= 0)).all():
        raise UsageError("A demand is out of range; allowed: numbers >= 0.")
    if not ((count >= 1) & (count == np.floor(count)) & np.isfinite(count)).all():
        raise UsageError("A number of clients is out of range; allowed: whole numbers from 1.")
    if pause.ndim > 1 or (pause.ndim == 1 and pause.shape != count.shape):
        raise UsageError(f"{pause.size} think times are given for {count.size} classes.")
    if not (np.isfinite(pause) & (pause >= 0)).all():
        raise UsageError("A think time is out of range; allowed: numbers >= 0.")
    return work, [int(n) for n in count], np.broadcast_to(pause, count.shape)
