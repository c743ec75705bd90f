"""Plan what is in the system over the hours ahead, run the first slot, plan again.

In each slot the greedy plan of CarbonFlex's oracle (Hanafy et al., "CarbonFlex", 2025: blocks of
work by work per carbon, earlier due first, under the capacity) is made for the jobs in the system
as if each had its expected length left, over a day of forecast and its repetition. Its first slot
is run. The paper does not describe such a policy; the derivation is ours, and a natural yardstick
for policies that learn: it plans well, but for nobody who has not arrived yet.

*Greedy in parallel.* One block after the other would take too long for hundreds of jobs in every
slot of a year. Instead all jobs choose at once the cheapest blocks that they need; a slot that is
asked for too much keeps the best of them and turns the others away, who choose again. This is
deferred acceptance (Gale and Shapley); since jobs and slots agree on which blocks are better, it
ends where the greedy plan does, but for blocks of several servers that do not fit side by side.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy, ahead, grant
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.lengths import Lengths
from optmodels.scaling.cluster.prices import Blocks

_ROUNDING = 1e-9


class RecedingHorizon(ClusterPolicy):
    """Greedy plan for the jobs in the system with their expected lengths; first slot run.

    Parameters
    ----------
    horizon_days
        How far ahead to plan. The forecast counts for the first day, later days are taken to be
        like it. Of a job whose window ends later, the share of its work that falls into the horizon
        is planned.

    Notes
    -----
    - Assumptions: a day of forecast that repeats, expected lengths.
    - Proven ratio: none.
    - Complexity: some sweeps over J H K entries per slot, H slots ahead, K levels and J jobs in the
      system.
    - Reference: ours, with the greedy plan of CarbonFlex's oracle, arXiv 2505.18357.
    """

    name = "receding-horizon"
    needs = frozenset({"forecast"})
    summary = "greedy plan for the jobs in the system, expected lengths; first slot run"
    guarantee: ClassVar[None] = None

    def __init__(self, horizon_days: float = 2.0) -> None:
        if not horizon_days > 0:
            raise UsageError(f"horizon_days is {horizon_days:g}; allowed: more than 0.")
        self.horizon_days = horizon_days

    def start(self) -> None:
        """Forget the run before, learn from the past of this one."""
        self._blocks = Blocks(self.header)
        self._lengths = Lengths(self.header)
        self._horizon = max(1, round(self.horizon_days * self.header.slots_per_day))

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state = observation.state
        self._lengths.learn(state.finished)
        fewest, overdue = self.fewest(state), self.overdue(state)
        given = grant(np.flatnonzero(overdue), fewest, self.header.capacity)
        others = np.flatnonzero(~overdue)
        if not len(others) or given.sum() == self.header.capacity:
            return given
        left = self._lengths.mean_left(state.queue, state.work_done)
        window = np.ceil(left - _ROUNDING).astype(np.int64) + np.maximum(self.slack(state), 0)
        # Overdue jobs keep their servers for as long as they are expected to run.
        stop = np.minimum(np.ceil(left[overdue]).astype(np.int64), self._horizon)
        taken = np.bincount(stop, given[overdue], self._horizon + 1)[::-1].cumsum()[::-1][1:]
        free = np.maximum(self.header.capacity - taken.astype(np.int64), 0)
        free[0] = self.header.capacity - given.sum()
        end = np.minimum(window, self._horizon)
        day = ahead(observation, self.header.slots_per_day)
        plan = GreedyPlan(
            self._blocks,
            np.resize(day, self._horizon),
            free,
            state.profile[others],
            end[others],
            (left * end / window)[others],
        )
        given[others] = plan.now()
        # Who cannot be fitted into its window does what it can, as long as servers are free.
        short = others[plan.short() & (given[others] == 0)]
        return given + grant(short, fewest, self.header.capacity - int(given.sum()))


class GreedyPlan:
    """CarbonFlex's greedy plan, all jobs at once.

    Parameters
    ----------
    blocks
        Levels of the profiles.
    carbon
        Expected carbon intensity of the present slot and those to come [g/kWh], shape (H,).
    free
        Servers that may be used in each of them, shape (H,).
    profile, end, work
        Of each job: code of its profile, end of its window [0, end), and the work that it needs.
    """

    def __init__(
        self,
        blocks: Blocks,
        carbon: FloatArray,
        free: IntArray,
        profile: IntArray,
        end: IntArray,
        work: FloatArray,
    ) -> None:
        count, levels = blocks.work.shape
        price = (carbon[None, :, None] * blocks.energy[:, None, :]).reshape(count, -1)
        order = np.argsort(price, axis=1, kind="stable")
        self._end, self._need, self._free = end, work, free
        # All arrays below are (job, block), blocks by rising price.
        self._slot = (order // levels)[profile]
        self._level = (order % levels)[profile]
        self._price = np.take_along_axis(price, order, axis=1)[profile]
        self._work = blocks.work[profile[:, None], self._level]
        self._servers = blocks.servers[profile[:, None], self._level]
        self._open = (self._work > 0) & (self._slot < end[:, None])
        self._open &= blocks.servers[profile, 0][:, None] <= free[self._slot]
        self._chosen = self._choice()
        while self._turned_away():
            self._chosen = self._choice()

    def _choice(self) -> NDArray[np.bool_]:
        """The cheapest open blocks that each job needs."""
        offered = np.where(self._open, self._work, 0.0)
        before = np.cumsum(offered, axis=1) - offered
        chosen: NDArray[np.bool_] = self._open & (before < self._need[:, None] - _ROUNDING)
        return chosen

    def _turned_away(self) -> bool:
        """Close blocks that do not fit; whether there were any."""
        asked = np.bincount(self._slot[self._chosen], self._servers[self._chosen], len(self._free))
        crowded = asked > self._free
        if not crowded.any():
            return False
        job, block = np.nonzero(self._chosen & crowded[self._slot])
        slot, price = self._slot[job, block], self._price[job, block]
        order = np.lexsort((self._end[job], price, slot))
        job, block, slot, price = job[order], block[order], slot[order], price[order]
        total = np.cumsum(self._servers[job, block])
        start = np.searchsorted(slot, slot)
        used = total - np.append(0, total)[start]
        out = used > self._free[slot]
        self._open[job[out], block[out]] = False
        # A slot never takes a block back that is dearer than one it has turned away.
        limit = np.full(len(self._free), np.inf)
        np.minimum.at(limit, slot[out], price[out])
        self._open &= self._price <= limit[self._slot]
        # Without the level below there is none above.
        lowest = np.full((len(self._need), len(self._free)), np.iinfo(np.int64).max)
        np.minimum.at(lowest, (job[out], slot[out]), self._level[job[out], block[out]])
        rows = np.arange(len(self._need))[:, None]
        self._open &= self._level < lowest[rows, self._slot]
        return True

    def now(self) -> IntArray:
        """Servers of each job in the present slot."""
        present = self._chosen & (self._slot == 0)
        servers: IntArray = np.where(present, self._servers, 0).sum(axis=1)
        return servers

    def short(self) -> NDArray[np.bool_]:
        """Jobs that do not get all their work done within their windows."""
        got = np.where(self._chosen, self._work, 0.0).sum(axis=1)
        short: NDArray[np.bool_] = got < self._need - _ROUNDING
        return short
