"""What all policies of the cluster share: who is overdue, whose turn it is, who fits.

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

    def turns(self, state: ClusterState, *, pausing: bool = True) -> IntArray:
        """Positions of the jobs in the order in which they are served.

        Overdue jobs come first, and of equal jobs those that run already, then the older ones. So
        a job that is overdue and runs is never stopped.

        Parameters
        ----------
        state
            The jobs in the system.
        pausing
            Whether jobs that run may be paused for overdue ones; else all that run come first.
        """
        late, waits = self.overdue(state), state.servers == 0
        rank = 2 * ~late + waits if pausing else waits * (1 + ~late)
        return np.argsort(rank, kind="stable")


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


def grant(
    order: IntArray,
    wish: IntArray,
    capacity: int,
    waited_for: NDArray[np.bool_] | None = None,
) -> IntArray:
    """Servers for jobs one after the other, each its whole wish or nothing.

    Parameters
    ----------
    order
        Positions of the jobs, first served first; jobs that are not in it get nothing.
    wish
        Servers that each job (by position) asks for.
    capacity
        Servers there are.
    waited_for
        Jobs (by position) that nobody may overtake: where one of them does not fit, those behind
        it get nothing. Without it a stream of small jobs could keep a large one out for ever.

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
        large = wish[queue] > left
        if waited_for is not None and (stuck := large & waited_for[queue]).any():
            first = int(np.argmax(stuck))
            queue, large = queue[:first], large[:first]
        queue = queue[~large]
        fits = np.cumsum(wish[queue]) <= left
        # Those before the first that does not fit any more are served.
        stop = len(queue) if fits.all() else int(np.argmin(fits))
        served = queue[:stop]
        given[served] = wish[served]
        left -= int(wish[served].sum())
        queue = queue[stop:]
    return given


def scale_up(
    given: IntArray,
    most: IntArray,
    marginal: FloatArray,
    profile: IntArray,
    order: IntArray,
    capacity: int,
) -> IntArray:
    """Further servers, one by one, to where each adds the most work.

    Parameters
    ----------
    given
        Servers of each job by position; jobs without servers get none.
    most
        Servers beyond which each job is not scaled.
    marginal
        Work that the last server adds, by profile code and number of servers, non-increasing in
        the servers (`ClusterHeader.marginal`).
    profile
        Profile code of each job.
    order
        Positions of the jobs, first served first where further servers add the same work.
    capacity
        Servers there are, those given already included.

    Returns
    -------
    numpy.ndarray
        Servers of each job by position.
    """
    left = capacity - int(given.sum())
    more = np.where(given > 0, np.maximum(most - given, 0), 0)[order]
    if left <= 0 or not more.any():
        return given
    job = np.repeat(order, more)
    # 1, 2, ... within each job.
    step = np.arange(len(job)) - np.repeat(np.cumsum(more) - more, more) + 1
    # Stable: where two servers of a job add the same work, the lower one stays first.
    best = np.argsort(-marginal[profile[job], given[job] + step], kind="stable")[:left]
    return given + np.bincount(job[best], minlength=len(given))


def carried_over(before: IntArray, now: IntArray) -> IntArray:
    """Where those jobs of `now` that were there before stand in `before`.

    Both are `ClusterState.job`, of this slot and of the one before. The jobs that are not among
    the answer are new, and stand behind the others. A policy that remembers something of each job
    keeps an array ``note`` in the order of the state: ``np.append(note[carried_over(...)], new)``.
    """
    old = int(np.searchsorted(now, before[-1], side="right")) if len(before) else 0
    return np.searchsorted(before, now[:old])
