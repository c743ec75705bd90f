"""Our own policy: run a block of work now if that is cheaper than what it would replace later.

All published policies of this problem decide by the carbon intensity alone: its rank in the day
ahead, a percentile, a plan per job, or, CarbonFlex, the decisions of an oracle in similar
situations. This one asks of every block of every job (its k-th server in this slot) the economist's
question: what does the work cost now, and what will the same work cost if it is left for later?

*Cost now.* Carbon intensity times the power that the block adds.

*Cost later.* The price of the last unit of work that the job still has to buy within its window
(`optmodels.scaling.cluster.prices`), as an expectation over its unknown length
(`optmodels.scaling.cluster.lengths`). Later work has its carbon intensity, known for a day ahead
and expected from the same time of past days beyond, and it competes with the other jobs in the
system and with those that are expected to arrive: clean hours in which everybody wants to run are
priced until demand meets capacity. A work unit on a badly scaling fifth server costs more than on
the first, so scaling up, waiting and pausing are weighed against each other by one rule.

Blocks whose work is cheaper now than later are served in the order of their advantage per server
until the capacity is used.

*Work cannot all be left to the one clean hour far ahead*: when the slack is used up, the job has to
run in whatever comes. The i-th unit of its work is due i slots after its slack ends, so each unit
has a window of its own, and the price of work later is that of the dearest of them.

*Slack.* A job may end until arrival + ⌈length⌉ + delay. What it can still wait is therefore its
delay, minus its age, plus its work done so far, whatever its length: scaling up by one unit of work
buys one more slot of waiting. Policies that only count waited slots give that away. A job whose
slack is used up runs, before all others.

The policy is our own design and has no proven guarantee: prices found by adjustment are
approximate, the work of a job is priced as if its length were known in each case, and expected
arrivals are treated as a steady flow. The defaults were chosen on weeks of real carbon and jobs
other than those that it is measured on.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy, ahead
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.lengths import Lengths
from optmodels.scaling.cluster.outlook import Outlook
from optmodels.scaling.cluster.prices import Blocks, Demand, Prices, adjusted
from optmodels.scaling.cluster.replay import ClusterState

#: What counts as no slack although rounding left some.
_ROUNDING = 1e-9


class OpportunityPrice(ClusterPolicy):
    """Run a block now if its work costs less than the work that it replaces later.

    Parameters
    ----------
    horizon_days
        How far ahead work may be left; the forecast counts for the first day.
    persistence
        Share of a day's deviation from the usual day that is expected to last to the next day.
    memory_days
        Days whose mean is the usual day.
    lengths
        Q: possible lengths that the distribution of a job's length is represented by.
    levels
        Price levels that work is tabulated by.
    rounds, first_rounds
        Adjustments of the prices of servers in each slot, and in the first.
    step
        Change of the price of a server at an excess demand of the whole capacity, relative to the
        mean carbon intensity of the horizon.
    arrival_step
        Slots that expected arrivals are lumped by.

    Notes
    -----
    - Assumptions: a day of forecast, usual days, expected lengths and arrivals.
    - Proven ratio: none.
    - Complexity: a fixed number of sweeps over J H K entries per slot, H slots ahead, K levels and
      J jobs in the system.
    - Reference: ours.
    """

    name = "opportunity-price"
    needs = frozenset({"forecast"})
    summary = "run work that is cheaper now than the work it replaces later; our own design"
    guarantee: ClassVar[None] = None

    def __init__(
        self,
        horizon_days: float = 4.0,
        persistence: float = 0.65,
        memory_days: int = 14,
        lengths: int = 3,
        levels: int = 96,
        rounds: int = 2,
        first_rounds: int = 60,
        step: float = 0.1,
        arrival_step: int = 3,
    ) -> None:
        whole = (memory_days, lengths, levels - 1, rounds, first_rounds, arrival_step)
        if not (horizon_days > 0 and 0 <= persistence <= 1 and step >= 0 and min(whole) >= 1):
            raise UsageError(
                "A parameter of 'opportunity-price' is out of range; allowed: horizon_days > 0, "
                "0 ≤ persistence ≤ 1, step ≥ 0, levels ≥ 2, all other numbers at least 1."
            )
        self.horizon_days = horizon_days
        self.persistence = persistence
        self.memory_days = memory_days
        self.lengths = lengths
        self.levels = levels
        self.rounds = rounds
        self.first_rounds = first_rounds
        self.step = step
        self.arrival_step = arrival_step

    def start(self) -> None:
        """Forget the run before, learn from the past of this one."""
        header = self.header
        self._blocks = Blocks(header)
        self._lengths = Lengths(header)
        self._horizon = max(2, round(self.horizon_days * header.slots_per_day))
        self._outlook = Outlook(header, self._horizon, self.persistence, self.memory_days)
        self._capacity_price: FloatArray | None = None
        self._arrived = np.zeros((len(header.queues.names), len(header.profiles)))
        self._watched = 0
        if header.past is not None:
            jobs = header.past.jobs
            np.add.at(self._arrived, (jobs.queue, jobs.profile), 1.0)
            self._watched = len(header.past.carbon)

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state = observation.state
        self._watch(observation.slot, state)
        if not len(state.job):
            return np.zeros(0, dtype=np.int64)
        left = self._lengths.left(state.queue, state.work_done, self.lengths)
        slack = self.gained_slack(observation.slot, state)
        day = ahead(observation, self.header.slots_per_day)
        carbon = self._outlook.carbon(observation, day)
        end = np.ceil(np.maximum(left + slack[:, None], left) - _ROUNDING).astype(np.int64)
        end = np.maximum(end, 1)
        prices = self._prices(carbon, state, left, end)
        benefit, cost = self._worth(prices, float(day[0]), state, left, end, slack)
        return self._served(state, slack, benefit - cost)

    def gained_slack(self, slot: int, state: ClusterState) -> FloatArray:
        """Slots that each job may still wait without being late, whatever its length."""
        delay = self.header.queues.delay[state.queue]
        return delay - (slot - state.arrival) + state.work_done

    def _watch(self, slot: int, state: ClusterState) -> None:
        """Learn lengths and how many jobs arrive."""
        self._lengths.learn(state.finished)
        new = state.arrival == slot
        np.add.at(self._arrived, (state.queue[new], state.profile[new]), 1.0)
        self._watched += 1

    def _prices(
        self, carbon: FloatArray, state: ClusterState, left: FloatArray, end: IntArray
    ) -> Prices:
        """Adjust the prices of servers, starting from those of the slot before."""
        count, values = left.shape
        known = Demand(
            np.repeat(state.profile, values),
            np.zeros(count * values, dtype=np.int64),
            end.reshape(-1),
            left.reshape(-1),
            np.full(count * values, 1 / values),
        )
        demand = (known + self._expected()).within(self._horizon)
        if self._capacity_price is None:
            price, rounds = np.zeros(self._horizon), self.first_rounds
        else:
            price, rounds = np.append(self._capacity_price[1:], 0.0), self.rounds
        step = self.step * float(carbon.mean())
        prices = Prices(self._blocks, carbon, price, self.levels)
        for _ in range(rounds):
            price = adjusted(price, prices, demand, self.header.capacity, step)
            prices = Prices(self._blocks, carbon, price, self.levels)
        self._capacity_price = price
        return prices

    def _expected(self) -> Demand:
        """Jobs that are expected to arrive within the horizon."""
        queue, profile = np.nonzero(self._arrived)
        rate = self._arrived[queue, profile] / self._watched
        values = max(1, self.lengths // 2)
        left = self._lengths.left(queue, np.zeros(len(queue)), values)
        end = np.ceil(left - _ROUNDING).astype(np.int64) + self.header.queues.delay[queue][:, None]
        starts = np.arange(1, self._horizon, self.arrival_step)
        each = len(queue) * values
        lumped = np.minimum(self.arrival_step, self._horizon - starts)
        return Demand(
            np.tile(np.repeat(profile, values), len(starts)),
            np.repeat(starts, each),
            np.tile(end.reshape(-1), len(starts)) + np.repeat(starts, each),
            np.tile(left.reshape(-1), len(starts)),
            np.tile(np.repeat(rate / values, values), len(starts)) * np.repeat(lumped, each),
        )

    def _worth(
        self,
        prices: Prices,
        carbon: float,
        state: ClusterState,
        left: FloatArray,
        end: IntArray,
        slack: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Expected cost later and now of the work of each block, both in g/kWh·servers.

        Both of shape (jobs, levels). A job that ends within the slot saves nothing beyond its work,
        and draws power only until its end.
        """
        blocks, kw = self._blocks, self.header.server_kw
        profile = state.profile
        reach = np.cumsum(blocks.work, axis=1)[profile]
        power = np.cumsum(blocks.power_kw, axis=1)[profile] / kw
        done = np.minimum(left[:, :, None], reach[:, None, :])
        before = np.concatenate([np.zeros((*left.shape, 1)), done[:, :, :-1]], axis=2)
        gain = done - before
        # What is still to be done once half of the block is.
        rest = left[:, :, None] - (done + before) / 2
        job, value, level = np.nonzero(gain > 0)
        stop = np.minimum(end[job, value], self._horizon)
        share = (stop - 1) / np.maximum(end[job, value] - 1, 1)
        price = np.zeros_like(gain)
        start = np.ones(len(job), dtype=np.int64)
        asked = rest[job, value, level] * share
        price[job, value, level] = prices.of_work(profile[job], start, stop, asked)
        running = np.minimum(left[:, :, None] / reach[:, None, :], 1.0)
        drawn = (running * power[:, None, :]).mean(axis=1)
        cost = carbon * np.diff(drawn, axis=1, prepend=0.0)
        # Half of the energy of a start is booked when a server is taken, half when it is given up.
        half = self.header.start_kwh / (kw * self.header.slot_hours) * carbon / 2
        servers = blocks.servers[profile]
        held = np.cumsum(servers, axis=1) <= state.servers[:, None]
        cost += np.where(held, -half, half) * servers
        # Work that is left to one clean slot far ahead cannot all wait for it: by the time that the
        # slack is used up, the next unit is due. The price of work is that of the dearest unit.
        job, level = np.nonzero(blocks.work[profile] > 0)
        below = reach - blocks.work[profile]
        until = np.floor(np.maximum(slack, 0.0)[job] + below[job, level] + 1 + _ROUNDING)
        stop = np.clip(until, 2, self._horizon).astype(np.int64)
        unit = np.zeros_like(reach)
        unit[job, level] = prices.of_work(
            profile[job], np.ones(len(job), dtype=np.int64), stop, np.ones(len(job))
        )
        long = left[:, :, None] >= below[:, None, :] + 1 - _ROUNDING
        price = np.where(long, np.maximum(price, unit[:, None, :]), price)
        price = np.maximum.accumulate(price, axis=1)
        return (price * gain).mean(axis=1), cost

    def _served(self, state: ClusterState, slack: FloatArray, advantage: FloatArray) -> IntArray:
        """Servers by advantage; those who can wait no longer come first."""
        servers = self._blocks.servers[state.profile]
        per_server = advantage / np.maximum(servers, 1)
        per_server[servers == 0] = -np.inf
        per_server = np.minimum.accumulate(per_server, axis=1)
        pressed = slack < 1 - _ROUNDING
        per_server[pressed, 0] = np.inf
        job, level = np.nonzero(per_server > 0)
        # Among equals the older job, and each job level by level.
        order = np.lexsort((level, slack[job], -per_server[job, level]))
        return taken(job[order], servers[job, level][order], len(state.job), self.header.capacity)


def taken(job: IntArray, servers: IntArray, jobs: int, capacity: int) -> IntArray:
    """Servers of each job when blocks are handed out in order while they fit.

    Parameters
    ----------
    job, servers
        Job and size of each block, first served first; the blocks of a job from the lowest level.
    jobs
        Number of jobs.
    capacity
        Servers there are. Of a job whose next block does not fit, no further block is taken.
    """
    given = np.zeros(jobs, dtype=np.int64)
    left = capacity
    while len(job) and left > 0:
        fits = np.cumsum(servers) <= left
        stop = len(job) if fits.all() else int(np.argmin(fits))
        np.add.at(given, job[:stop], servers[:stop])
        left -= int(servers[:stop].sum())
        if stop == len(job):
            break
        keep = job[stop:] != job[stop]
        job, servers = job[stop:][keep], servers[stop:][keep]
    return given
