"""Policies that first shape the capacity of a day, then serve jobs within it.

Radovanović et al., "Carbon-Aware Computing for Datacenters" (2021), give a cluster a *virtual
capacity curve* for each day ahead: the flexible load that the day is expected to bring is moved
into its cleanest hours, and the scheduler of the cluster, which knows nothing of carbon, works
within the curve. Hanafy et al., "CarbonFlex" (2025), compare against such a curve with first come
first served below it, and with scaling of jobs into what it leaves free.

Ours is how the load is expected here: what the jobs in the system still need by the mean lengths of
their queues, and as many new jobs as on average so far. The curve has no inflexible load below it
and no margin; jobs that have used up their delay run above the curve, up to the capacity.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy, ahead, grant
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.learning.schedule import Ladder, schedule
from optmodels.scaling.cluster.replay import ClusterState


class Vcc(ClusterPolicy):
    """Day-ahead virtual capacity curve, jobs first come first served on their fewest servers.

    The days are counted from the first slot. Where nothing is known of arrivals (no past, first
    day), the first curve is the whole capacity.

    Notes
    -----
    - Assumptions: a day of forecast, arrivals like those so far.
    - Proven ratio: none.
    - Complexity: O(D log D) per day of D slots, O(J log J) per slot, J jobs in the system.
    - Reference: Radovanović et al., "Carbon-Aware Computing for Datacenters" (2021).
    """

    name = "vcc"
    summary = "day-ahead capacity curve in the cleanest hours, first come first served within it"
    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})

    def start(self) -> None:
        """Learn from the past how much work arrives."""
        header = self.header
        self._load, self._slots_seen, self._next = 0.0, 0, 0
        self._curve = np.full(header.slots_per_day, header.capacity)
        if header.past is not None and header.past.jobs.count:
            jobs = header.past.jobs
            self._load = float((jobs.length * header.fewest[jobs.profile]).sum())
            self._slots_seen = int(jobs.arrival.max()) + 1

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state: ClusterState = observation.state
        hour = observation.slot % self.header.slots_per_day
        if hour == 0:
            self._curve = self._day_curve(observation)
        self._count_arrivals(state)
        return self.serve(state, int(self._curve[hour]))

    def serve(self, state: ClusterState, servers: int) -> IntArray:
        """Servers of each job where the curve allows so many in all."""
        overdue, fewest = self.overdue(state), self.fewest(state)
        limit = min(self.header.capacity, max(servers, int(fewest[overdue].sum())))
        return grant(self.turns(state), fewest, limit, overdue)

    def _count_arrivals(self, state: ClusterState) -> None:
        """Add what this slot has brought to the load seen so far."""
        new = slice(int(np.searchsorted(state.job, self._next)), None)
        self._load += float(
            self.header.queues.mean_length[state.queue[new]]
            @ self.header.fewest[state.profile[new]]
        )
        self._next = int(state.job[-1]) + 1 if len(state.job[new]) else self._next
        self._slots_seen += 1

    def _day_curve(self, observation: Observation) -> IntArray:
        """Capacity of each slot of the day that begins."""
        header, state = self.header, observation.state
        if not self._slots_seen:
            return np.full(header.slots_per_day, header.capacity)
        old = slice(0, int(np.searchsorted(state.job, self._next)))
        left = np.maximum(header.queues.mean_length[state.queue[old]] - state.work_done[old], 1.0)
        backlog = float(left @ header.fewest[state.profile[old]])
        arriving = self._load / self._slots_seen * header.slots_per_day
        return packed(ahead(observation, header.slots_per_day), backlog + arriving, header.capacity)


class VccScaling(Vcc):
    """The same curve, but jobs are scheduled within it as CarbonFlex schedules them.

    Servers below the curve that are left when all jobs have their fewest go to scaling, one by one
    to where they add the most work (`optmodels.scaling.cluster.learning.schedule`).

    Notes
    -----
    - Assumptions: a day of forecast, arrivals like those so far.
    - Proven ratio: none.
    - Complexity: O(D log D) per day of D slots, O(J K log(J K)) per slot, K levels and J jobs in
      the system.
    - Reference: Radovanović et al. (2021), with the scheduling of CarbonFlex, arXiv 2505.18357.
    """

    name = "vcc-scaling"
    summary = "day-ahead capacity curve in the cleanest hours, jobs scaled into what it leaves free"

    def start(self) -> None:
        """Learn from the past how much work arrives."""
        super().start()
        self._ladder = Ladder.of(self.header.profiles)

    def serve(self, state: ClusterState, servers: int) -> IntArray:
        """Servers of each job where the curve allows so many in all."""
        return schedule(
            self._ladder,
            state.profile,
            self.slack(state),
            self.overdue(state),
            servers=servers,
            threshold=0.0,
            capacity=self.header.capacity,
        )


def packed(carbon: FloatArray, load: float, capacity: int) -> IntArray:
    """Servers of each slot that do a load at the least carbon, at most the capacity each.

    Parameters
    ----------
    carbon
        Carbon intensity of each slot [g/kWh].
    load
        Work to be done [server-slots]; what does not fit is left out.
    capacity
        Servers there are.
    """
    order = np.argsort(carbon, kind="stable")
    below = load - capacity * np.arange(len(carbon))
    curve = np.zeros(len(carbon), dtype=np.int64)
    curve[order] = np.ceil(np.clip(below, 0, capacity)).astype(np.int64)
    return curve
