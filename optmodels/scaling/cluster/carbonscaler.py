"""CarbonScaler for many jobs: each job plans for itself, the cluster arbitrates.

Hanafy et al., "CarbonScaler" (2023), plan a single elastic job greedily: all servers of all slots
before the deadline are ranked by the work that they add per gram, and the best are taken until the
job is done. For concave profiles that is the cheapest plan. Hanafy et al., "CarbonFlex" (2025),
compare against it with many jobs of hidden length: a job is planned with the mean length of its
queue, and where the cluster is full, servers go where they add the most work.

Plans are made for all jobs of a profile at once. One ranking serves them all, since a job's plan is
as much of the ranking, its own window considered, as its work needs.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.cluster_policy import (
    ClusterPolicy,
    ahead,
    carried_over,
    grant,
    scale_up,
)
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.replay import ClusterState

_ROUNDING = 1e-9
#: Jobs are planned in batches of so many entries (jobs × slots × levels): some tens of megabytes.
_BATCH_ENTRIES = 2_000_000


class CarbonScaler(ClusterPolicy):
    """CarbonScaler with mean lengths: a greedy scaling plan per job, made again when it fails.

    A job expects to be as long as its queue's mean, and once it has done more than that, to need
    one slot more. At arrival it plans for the slots up to arrival + mean length + delay, later for
    as many as what is left of both allows. The plan is made again when the job got other servers
    than planned, when the plan is over and the job is not, and for all jobs when the forecast has
    moved. A job that has used up its delay runs on its fewest servers to its end.

    Ours: what happens beyond the mean length, and who is first: the base of every planned job comes
    before the scaling of any (all bases add the same work), older jobs first among equals. That a
    job may not wait longer than its delay, even if its plan would make up for it by scaling, is a
    rule of the cluster: without it jobs shorter than the mean would often be late.

    Parameters
    ----------
    tolerance
        Relative change of the forecast, or error of it, above which all plans are made again (5 %
        in the paper's experiments).

    Notes
    -----
    - Assumptions: a forecast, the mean length of each queue.
    - Proven ratio: none for a cluster; alone, with a concave profile and its true length, a job's
      plan is the cheapest for its forecast.
    - Complexity: O(J H K) when plans are made again, H slots ahead, K levels and J jobs in the
      system.
    - Reference: Hanafy et al., "CarbonScaler" (2023), arXiv 2302.08681; for many jobs as in
      CarbonFlex, arXiv 2505.18357.
    """

    name = "carbonscaler"
    summary = "greedy scaling plan per job for its queue's mean length, made again when it fails"
    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})

    def __init__(self, tolerance: float = 0.05) -> None:
        if not tolerance >= 0:
            raise UsageError(f"The tolerance is {tolerance:g}; allowed: 0 or more.")
        self.tolerance = tolerance

    def start(self) -> None:
        """Forget the jobs of the last run."""
        header = self.header
        # No plan is longer than the longest forecast.
        self._horizon = header.slots + header.slots_per_day
        self._length = np.minimum(header.queues.mean_length, self._horizon)
        delay = np.minimum(header.queues.delay, self._horizon)
        self._horizon = min(self._horizon, int((_whole_slots(self._length) + delay).max()))
        self._job = np.empty(0, dtype=np.int64)
        # By job: its plan (servers by slot since it was made), and when that was.
        self._plan = np.zeros((0, self._horizon), dtype=np.int64)
        self._planned_at = self._plan_end = np.empty(0, dtype=np.int64)
        self._failed = np.empty(0, dtype=np.bool_)
        self._believed, self._believed_at = np.empty(0), 0

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state: ClusterState = observation.state
        slot, header = observation.slot, self.header
        overdue, fewest = self.overdue(state), self.fewest(state)
        self._remember(state)
        again = self._failed | (slot >= self._plan_end) | self._forecast_moved(observation)
        self._make_plans(observation, np.flatnonzero(again & ~overdue))
        since = np.minimum(slot - self._planned_at, self._horizon - 1)
        planned = np.where(overdue, fewest, self._plan[np.arange(len(since)), since])
        order = self.turns(state)
        base = grant(order, np.where(planned > 0, fewest, 0), header.capacity, overdue)
        given = scale_up(base, planned, header.marginal, state.profile, order, header.capacity)
        self._failed = given != planned
        return given

    def _remember(self, state: ClusterState) -> None:
        """Carry the plans of the jobs that are still there over to this slot."""
        kept = carried_over(self._job, state.job)
        new = len(state.job) - len(kept)
        if new or len(kept) < len(self._job):
            self._plan = np.concatenate(
                [self._plan[kept], np.zeros((new, self._horizon), dtype=np.int64)]
            )
            nothing = np.zeros(new, dtype=np.int64)
            self._planned_at = np.append(self._planned_at[kept], nothing)
            self._plan_end = np.append(self._plan_end[kept], nothing)
            self._failed = np.append(self._failed[kept], np.ones(new, dtype=np.bool_))
        self._job = state.job

    def _forecast_moved(self, observation: Observation) -> bool:
        """Whether the forecast is no longer the one that plans were made from."""
        newest = ahead(observation, self._horizon)
        old = self._believed[observation.slot - self._believed_at :][: len(newest)]
        shared = newest[: len(old)]
        if len(old) and (np.abs(shared - old) <= self.tolerance * old).all():
            # Slots that come into sight are believed as they are seen first.
            self._believed = np.append(old, newest[len(old) :])
            self._believed_at = observation.slot
            return False
        self._believed, self._believed_at = newest, observation.slot
        return True

    def _make_plans(self, observation: Observation, jobs: IntArray) -> None:
        """Plan these jobs from this slot on."""
        if not len(jobs):
            return
        state: ClusterState = observation.state
        slot, queue = observation.slot, state.queue[jobs]
        carbon = ahead(observation, self._horizon)
        work = np.maximum(self._length[queue] - state.work_done[jobs], 1.0)
        window = np.minimum(_whole_slots(work) + self.slack(state)[jobs], len(carbon))
        profiles = state.profile[jobs]
        self._plan[jobs] = 0
        for code in np.unique(profiles).tolist():
            mine = np.flatnonzero(profiles == code)
            marginal = self.header.profiles[code].marginal
            reach = int(window[mine].max())
            cost = increment_costs(carbon[:reach], self._level_kw(code), marginal)
            size = max(1, _BATCH_ENTRIES // cost.size)
            for some in (mine[i : i + size] for i in range(0, len(mine), size)):
                levels = greedy_levels(cost, marginal, work[some], window[some])
                servers = np.where(levels > 0, levels + (self.header.fewest[code] - 1), 0)
                self._plan[jobs[some], :reach] = servers
        self._planned_at[jobs] = slot
        runs = self._plan[jobs] > 0
        last = self._horizon - np.argmax(runs[:, ::-1], axis=1)
        self._plan_end[jobs] = slot + np.where(runs.any(axis=1), last, 0)

    def _level_kw(self, code: int) -> FloatArray:
        """Power of each level of a profile [kW]."""
        header, profile = self.header, self.header.profiles[code]
        network = profile.network_gbps * header.network_w_per_gbps / 1000
        return profile.servers * header.server_kw + network


def increment_costs(carbon: FloatArray, level_kw: FloatArray, marginal: FloatArray) -> FloatArray:
    """Carbon per unit of work of each level in each slot, shape (slots, levels).

    No level is cheaper than the one below it, which it stands on; one that adds no work is never
    worth anything.

    Parameters
    ----------
    carbon
        Carbon intensity of each slot [g/kWh].
    level_kw
        Power of each level [kW].
    marginal
        Work that each level adds to the one below.
    """
    adds = marginal > 0
    added_kw = np.diff(level_kw, prepend=0.0)
    per_work = np.divide(added_kw, marginal, out=np.full(len(marginal), np.inf), where=adds)
    per_work = np.maximum.accumulate(per_work)
    cost = np.full((len(carbon), len(marginal)), np.inf)
    useful = np.isfinite(per_work)
    cost[:, useful] = carbon[:, None] * per_work[useful]
    return cost


def greedy_levels(
    cost: FloatArray, marginal: FloatArray, work: FloatArray, window: IntArray
) -> IntArray:
    """Levels of the greedy plans of jobs with one profile, shape (jobs, slots).

    The cheapest increments are taken until the work is done, the last of them whole; of equal ones
    the earlier slot first. Where a window cannot hold the work, every useful increment is taken.

    Parameters
    ----------
    cost
        Carbon per unit of work of each level in each slot (`increment_costs`).
    marginal
        Work that each level adds to the one below.
    work
        Work of each job.
    window
        Number of slots that each job may use.
    """
    slots, levels = cost.shape
    # Row by row: earlier slots first, lower levels first, both kept by the stable order.
    rank = np.argsort(cost, axis=None, kind="stable")
    slot, level = rank // levels, rank % levels
    useful = np.isfinite(cost.ravel()[rank])
    allowed: NDArray[np.bool_] = useful & (slot < window[:, None])
    gain = np.where(allowed, marginal[level], 0.0)
    before = np.cumsum(gain, axis=1) - gain
    taken = np.empty_like(allowed)
    taken[:, rank] = allowed & (before < work[:, None] * (1 - _ROUNDING))
    counts: IntArray = taken.reshape(len(work), slots, levels).sum(axis=2)
    return counts


def _whole_slots(work: FloatArray) -> IntArray:
    """Slots that this work takes on the fewest servers."""
    return np.ceil(work * (1 - _ROUNDING)).astype(np.int64)
