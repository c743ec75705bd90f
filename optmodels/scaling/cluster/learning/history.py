"""What a cluster has seen: its jobs with their lengths as far as they are known, and the carbon.

From this an oracle can be replayed on what is over. A job that has ended has its length; one that
still runs counts with the work that it has done so far, which is all that was to be done for it
until now; one that has not started yet is left out. Nothing of this needs the future.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import IntArray, Jobs
from optmodels.scaling.cluster.replay import ClusterState, Past


@dataclass(frozen=True)
class Window:
    """A time that is over, to be replayed by an oracle.

    Attributes
    ----------
    carbon
        Carbon intensity from its first slot on [g/kWh].
    jobs
        Jobs that arrived in it; arrivals count from its first slot.
    start
        Its first slot, in slots of the run; negative before the run.
    keep
        First and last (exclusive) of its slots that are learned from. The slots around them are
        there so that the oracle starts with a cluster at work and does not plan for its end.
    """

    carbon: FloatArray
    jobs: Jobs
    start: int
    keep: tuple[int, int]


def windows_of(past: Past, slots: int, margin: int) -> list[Window]:
    """Windows that together cover an earlier time, the oldest first.

    Parameters
    ----------
    past
        The earlier time; it ends where the run begins.
    slots
        Slots that are learned from in a window.
    margin
        Slots around them.
    """
    length = len(past.carbon)
    found = []
    for end in range(length, 0, -slots):
        start = max(0, end - slots)
        first, last = max(0, start - margin), min(length, end + margin)
        jobs = arrived(past.jobs, first, last)
        keep = (start - first, end - first)
        found.append(Window(past.carbon[first:last], jobs, first - length, keep))
    return found[::-1]


def arrived(jobs: Jobs, first: int, last: int) -> Jobs:
    """Jobs that arrived from one slot until before another; arrivals count from the first."""
    here = (jobs.arrival >= first) & (jobs.arrival < last)
    return Jobs(
        jobs.number[here],
        jobs.arrival[here] - first,
        jobs.length[here],
        jobs.queue[here],
        jobs.profile[here],
    )


class History:
    """Jobs of a run as a policy gets to know them, slot by slot."""

    def __init__(self) -> None:
        self._seen = 0
        self._jobs: list[IntArray] = []
        self._ended: list[tuple[IntArray, FloatArray]] = []

    def note(self, state: ClusterState) -> None:
        """Remember the jobs that are new in a slot, and those that ended before it."""
        if len(state.finished.job):
            self._ended.append((state.finished.job, state.finished.length))
        first = int(np.searchsorted(state.job, self._seen))
        if first < len(state.job):
            self._jobs.append(
                np.stack([state.arrival[first:], state.queue[first:], state.profile[first:]])
            )
            self._seen = int(state.job[-1]) + 1

    def window(
        self, state: ClusterState, carbon: FloatArray, start: int, keep: tuple[int, int]
    ) -> Window:
        """Window of the run until now.

        Parameters
        ----------
        state
            Jobs in the system.
        carbon
            Carbon intensity of all slots so far [g/kWh].
        start
            Its first slot.
        keep
            First and last (exclusive) slot of the run that is learned from.
        """
        nothing = np.empty((3, 0), dtype=np.int64)
        arrival, queue, profile = np.concatenate([nothing, *self._jobs], axis=1)
        length = np.zeros(len(arrival))
        for job, known in self._ended:
            length[job] = known
        length[state.job] = state.work_done
        number = np.arange(len(arrival), dtype=np.int64)
        ran = length > 0
        jobs = Jobs(number[ran], arrival[ran], length[ran], queue[ran], profile[ran])
        here = arrived(jobs, start, len(carbon))
        return Window(carbon[start:], here, start, (keep[0] - start, keep[1] - start))
