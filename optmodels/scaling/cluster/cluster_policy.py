"""What all policies of the cluster share: who is overdue, who fits.

A policy of this problem answers each slot with a number of servers for every job in the system. It
never knows how long a job still runs. What it may use are the mean lengths of the queues, the past
that the header brings, and what it has seen ending.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray, Observation, Policy
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.replay import SERIES, ClusterHeader, ClusterState


class ClusterPolicy(Policy):
    """Base of the policies of a cluster; subclasses implement `decide`, and `start` if needed."""

    header: ClusterHeader

    def reset(self, header: ClusterHeader) -> None:
        """Start a new run."""
        self.header = header
        self.start()

    def start(self) -> None:
        """Prepare for a new run; `header` is set."""
        return

    def fewest(self, state: ClusterState) -> IntArray:
        """Fewest servers of each job in the system."""
        return self.header.fewest[state.profile]

    def slack(self, state: ClusterState) -> IntArray:
        """Slots that each job may still wait or pause; 0 or less for an overdue job."""
        return self.header.queues.delay[state.queue] - state.waited

    def overdue(self, state: ClusterState) -> NDArray[np.bool_]:
        """Jobs that have used up their delay: they run until they are done."""
        return self.slack(state) <= 0


def intensity(observation: Observation) -> float:
    """Carbon intensity of the slot that is about to start [g/kWh]."""
    return float(observation.past[SERIES][-1])


def ahead(observation: Observation, slots: int) -> FloatArray:
    """Carbon intensity of this slot and, as forecast, of the next ones [g/kWh].

    There are at least the slots of a day; a longer look may come back shorter.
    """
    if observation.forecast is None:
        raise ValueError("this policy was replayed without the forecast that it needs")
    return observation.forecast[:slots]


def grant(order: IntArray, wish: IntArray, capacity: int) -> IntArray:
    """Servers for jobs one after the other, each its whole wish or nothing.

    Parameters
    ----------
    order
        Positions of the jobs, first served first; jobs that are not in it get nothing.
    wish
        Servers that each job (by position) asks for.
    capacity
        Servers there are.

    Returns
    -------
    numpy.ndarray
        Servers of each job by position. A job that does not fit is passed over, and smaller ones
        behind it may still fit.
    """
    given = np.zeros(len(wish), dtype=np.int64)
    left = capacity
    queue = order[wish[order] > 0]
    while len(queue) and left > 0:
        fits = np.cumsum(wish[queue]) <= left
        # Those before the first that does not fit are served; it is passed over.
        stop = len(queue) if fits.all() else int(np.argmin(fits))
        served = queue[:stop]
        given[served] = wish[served]
        left -= int(wish[served].sum())
        queue = queue[stop + 1 :]
        queue = queue[wish[queue] <= left]
    return given
