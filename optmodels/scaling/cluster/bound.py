r"""A proven lower bound on the cost of a cluster, from prices of its servers.

**The relaxation.** A job may take any share of a block, and does not hold the whole block for it;
a block does not need those below it; starting a server is free. Work that a job does after it is
due goes into its *late bin*, which has no capacity and costs no more per unit of work than any way
of doing it late. So whatever a policy does, late or not, the relaxation can do it for no more.

.. math::
    \min \sum_{j,t,k} c_t \Delta P_{jk} \, y_{jtk} + \sum_j q_j z_j

    \text{work}      && \sum_{t,k} \Delta\theta_{jk} \, y_{jtk} + z_j &= l_j  && \forall j
    \text{capacity}  && \sum_{j,k} \Delta s_{jk} \, y_{jtk} &\le M            && \forall t
    && 0 \le y \le 1, \ z \ge 0

**The bound.** Let a server cost an extra price :math:`\pi_t \ge 0` in slot t and drop the capacity.
Every job then buys its cheapest blocks by itself, and what all jobs pay, less
:math:`M \sum_t \pi_t`, is at most the optimum, whatever the prices (Lagrange). `Relaxation.bound`
computes this in numpy: the proof owes nothing to the solver that finds the prices.

**The prices** come from the relaxation as a linear programme with few columns: blocks that jobs
have bought at some prices. Its duals are new prices, at which jobs buy new blocks, until they want
nothing new (column generation, with blocks as columns). Then the bound is the optimum.

================  =====================  ==================================================
symbol            name                   meaning, unit
================  =====================  ==================================================
:math:`y`         ``used``               share of block k of job j in slot t [1]
:math:`z`         ``late``               work of the late bin [work]
:math:`c_t`       ``carbon``             carbon of 1 kW through slot t [g/kW]
ΔP, Δθ, Δs        ``cost``, ``gain``,    power, work, servers that a block adds [kW, work, 1]
                  ``added``
:math:`q_j`       ``late_cost``          least cost of a unit of work after the due slot [g/work]
:math:`M`         ``capacity``           servers of the cluster
:math:`\pi_t`     ``prices``             price of a server in a slot [g]
================  =====================  ==================================================

The relaxation and its solution are ours; only the cluster is the paper's (see `greedy`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from optmodels.errors import Flaw, InputError, SolverError
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.blocks import Blocks, blocks_of, by_level
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray

#: Steps of price adjustment before the first linear programme, and the most programmes.
_STEPS, _ROUNDS = 5, 200
#: New blocks of a job in a round.
_NEW_BLOCKS = 20
#: A bound within this share of the linear programme is its optimum.
_ROUNDING = 1e-9
#: Blocks from this number on do not fit into the memory of an ordinary computer.
MOST_BLOCKS = 30_000_000


@dataclass(frozen=True)
class Answer:
    """What all jobs buy at some prices.

    Attributes
    ----------
    bound
        What they pay, less the price of the whole cluster: a lower bound [g].
    used
        Share of each block.
    late
        Work in the late bin of each job.
    job_cost
        What each job pays, prices of servers included [g].
    job_price
        Price of the dearest work that each job buys [g/work].
    """

    bound: float
    used: FloatArray
    late: FloatArray
    job_cost: FloatArray
    job_price: FloatArray


@dataclass(frozen=True)
class LowerBound:
    """The best bound that was found, with what proves it.

    Attributes
    ----------
    value
        No policy costs less [g].
    prices
        Price of a server in each slot [g/server]: `Relaxation.bound` of them is `value`.
    exact
        Whether it is the optimum of the relaxation.
    used, late
        Blocks and late work of the relaxation's solution; where it is not exact, of its best
        solution so far.
    """

    value: float
    prices: FloatArray
    exact: bool
    used: FloatArray
    late: FloatArray


class Relaxation:
    """The relaxation of an instance.

    Parameters
    ----------
    instance
        The question.
    count_late_work
        Ask for the least work in the late bins instead of the least carbon: blocks are free, and a
        unit of late work costs 1.

    Raises
    ------
    InputError
        There are so many blocks that they would not fit into memory.
    """

    def __init__(self, instance: ClusterInstance, *, count_late_work: bool = False) -> None:
        jobs = instance.jobs
        levels = np.array([len(p.servers) for p in instance.profiles])[jobs.profile]
        count = int((np.maximum(instance.due - jobs.arrival, 0) * levels).sum())
        if count > MOST_BLOCKS:
            raise InputError(
                Flaw(
                    "has too many jobs, slots and levels for the oracle",
                    value=count,
                    field=f"jobs × slots × levels of {instance.name}",
                    allowed=f"at most {MOST_BLOCKS:,}",
                    fix="compare policies without the optimum, or take a shorter time",
                )
            )
        self.instance = instance
        self.blocks: Blocks = blocks_of(jobs, instance.due, instance.profiles)
        self.cost = block_costs(instance, self.blocks)
        self.late_cost = late_costs(instance)
        if count_late_work:
            self.cost = np.zeros_like(self.cost)
            self.late_cost = np.ones_like(self.late_cost)

    @cached_property
    def _first(self) -> IntArray:
        """First block of each job."""
        return np.searchsorted(self.blocks.job, np.arange(self.instance.jobs.count))

    def bound(self, prices: FloatArray) -> float:
        """Lower bound proven by these prices of servers, each at least 0."""
        return self.answer(prices).bound

    def answer(self, prices: FloatArray) -> Answer:
        """What every job buys at these prices if it is alone: its cheapest blocks."""
        blocks, instance = self.blocks, self.instance
        length, count = instance.jobs.length, instance.jobs.count
        cost = self.cost + prices[blocks.slot] * blocks.added
        unit = np.full(blocks.count, np.inf)
        np.divide(cost, blocks.gain, out=unit, where=blocks.gain > 0)
        order = np.lexsort((unit, blocks.job))
        job, gain, paid = blocks.job[order], blocks.gain[order], cost[order]
        unit = unit[order]
        wanted = unit < self.late_cost[job]
        offered = np.where(wanted, gain, 0.0)
        before = np.cumsum(offered) - offered
        if len(before):
            starts = np.minimum(self._first, len(before) - 1)
            before -= before[starts][job]
        share = np.zeros(blocks.count)
        np.divide(length[job] - before, offered, out=share, where=offered > 0)
        share = np.clip(share, 0.0, 1.0)
        used = np.zeros(blocks.count)
        used[order] = share
        done = np.bincount(job, weights=share * offered, minlength=count)
        late = np.maximum(length - done, 0.0)
        job_cost = np.bincount(job, weights=share * paid, minlength=count) + late * self.late_cost
        job_price = np.zeros(count)
        np.maximum.at(job_price, job, np.where(share > 0, unit, 0.0))
        job_price = np.where(late > _ROUNDING * length, self.late_cost, job_price)
        bound = float(job_cost.sum() - instance.capacity * prices.sum())
        return Answer(bound, used, late, job_cost, job_price)

    def demand(self, used: FloatArray) -> FloatArray:
        """Servers of each slot that these shares of blocks take."""
        blocks = self.blocks
        return np.bincount(
            blocks.slot, weights=used * blocks.added, minlength=self.instance.slots
        ).astype(np.float64)

    def best(self, known: float, *, time_limit_s: float | None = None) -> LowerBound:
        """The optimum of the relaxation, or the best bound within the time limit.

        Parameters
        ----------
        known
            Cost of a plan; sets the length of the first steps.
        time_limit_s
            Wall seconds.
        """
        end = np.inf if time_limit_s is None else time.perf_counter() + time_limit_s
        prices, value, active = self._adjusted(known, end)
        used, late, exact = np.zeros(self.blocks.count), self.instance.jobs.length, False
        for _ in range(_ROUNDS):
            left = end - time.perf_counter()
            if left <= 0:
                break
            columns = np.flatnonzero(active)
            outcome = self._programme(columns, None if np.isinf(left) else left)
            if outcome is None:
                break
            used = np.zeros(self.blocks.count)
            used[columns] = np.clip(outcome.x[: len(columns)], 0.0, 1.0)
            late = np.maximum(outcome.x[len(columns) :], 0.0)
            count = self.instance.jobs.count
            tried = np.maximum(-outcome.row_dual[count:], 0.0)
            found = self.bound(tried)
            if found > value:
                value, prices = found, tried
            exact = outcome.objective - value <= _ROUNDING * abs(outcome.objective)
            new = self._wanted(tried, outcome.row_dual[:count], active)
            if exact or not len(new):
                break
            active[new] = True
        return LowerBound(value, prices, bool(exact), used, late)

    def _adjusted(self, known: float, end: float) -> tuple[FloatArray, float, Any]:
        """A few steps of price adjustment: prices, their bound, and what was bought on the way."""
        prices = best_prices = np.zeros(self.instance.slots)
        best = -np.inf
        active = np.zeros(self.blocks.count, dtype=bool)
        for _ in range(_STEPS):
            answer = self.answer(prices)
            active |= answer.used > 0
            if answer.bound > best:
                best, best_prices = answer.bound, prices
            excess = self.demand(answer.used) - self.instance.capacity
            excess[(prices <= 0) & (excess < 0)] = 0.0
            square = float(excess @ excess)
            if square == 0.0 or time.perf_counter() > end:
                break
            step = max(known - answer.bound, 0.0) / square
            prices = np.maximum(prices + step * excess, 0.0)
        return best_prices, best, active

    def _wanted(self, prices: FloatArray, job_price: FloatArray, active: Any) -> IntArray:
        """Blocks that would make the linear programme better: the best of each job."""
        blocks = self.blocks
        reduced = (
            self.cost + prices[blocks.slot] * blocks.added - job_price[blocks.job] * blocks.gain
        )
        new = np.flatnonzero((reduced < -_ROUNDING * (1 + self.cost)) & ~active & (blocks.gain > 0))
        new = new[np.lexsort((reduced[new] / blocks.gain[new], blocks.job[new]))]
        job = blocks.job[new]
        rank = np.arange(len(new)) - np.searchsorted(job, job)
        return new[rank < _NEW_BLOCKS]

    def _programme(self, columns: IntArray, time_limit_s: float | None) -> Any:
        """Solve the relaxation with some of its blocks; None where time ran out."""
        from optmodels.solver import LinearModel, Session, Status
        from optmodels.solver.options import Limits

        blocks, instance = self.blocks, self.instance
        jobs, slots, size = instance.jobs.count, instance.slots, len(columns)
        matrix = sp.csc_array(
            (
                np.concatenate([blocks.gain[columns], blocks.added[columns], np.ones(jobs)]),
                (
                    np.concatenate(
                        [blocks.job[columns], jobs + blocks.slot[columns], np.arange(jobs)]
                    ),
                    np.concatenate([np.arange(size), np.arange(size), size + np.arange(jobs)]),
                ),
            ),
            shape=(jobs + slots, size + jobs),
        )
        matrix.sort_indices()
        model = LinearModel(
            cost=np.concatenate([self.cost[columns], self.late_cost]),
            starts=matrix.indptr.astype(np.int32),
            indices=matrix.indices.astype(np.int32),
            coefficients=matrix.data,
            row_lower=np.concatenate([instance.jobs.length, np.full(slots, -np.inf)]),
            row_upper=np.concatenate(
                [instance.jobs.length, np.full(slots, float(instance.capacity))]
            ),
            column_lower=np.zeros(size + jobs),
            column_upper=np.concatenate([np.ones(size), np.full(jobs, np.inf)]),
            integer=np.zeros(size + jobs, dtype=bool),
        )
        outcome = Session(model, limits=Limits(time_limit_s=time_limit_s)).solve()
        if outcome.status is Status.OPTIMAL:
            return outcome
        if outcome.status in (Status.FEASIBLE, Status.NO_SOLUTION_AT_LIMIT):
            return None
        raise SolverError(
            f"The solver says '{outcome.status}' of the relaxation of {instance.name}, which "
            f"always has a solution. {outcome.message}"
        )


def lower_bound(
    instance: ClusterInstance, known: float, *, time_limit_s: float | None = None
) -> LowerBound:
    """Best proven lower bound on the cost of any policy or plan.

    Parameters
    ----------
    instance
        The question.
    known
        Cost of a plan [g].
    time_limit_s
        Wall seconds; without it the bound is the optimum of the relaxation.
    """
    return Relaxation(instance).best(known, time_limit_s=time_limit_s)


def block_costs(instance: ClusterInstance, blocks: Blocks) -> FloatArray:
    """Carbon of the power that each block adds for a whole slot [g]."""
    added_kw = [np.diff(power, prepend=0.0) for power in instance.level_power_kw]
    table = by_level(instance.profiles, added_kw)
    carbon = instance.carbon_until(int(blocks.slot.max(initial=0)) + 1) * instance.slot_hours
    found: FloatArray = carbon[blocks.slot] * table[blocks.code, blocks.level]
    return found


def late_costs(instance: ClusterInstance) -> FloatArray:
    """What a unit of work costs each job at least if it is done after its due slot [g/work].

    Whoever runs for a share of a late slot at some level is late by that share at least, and emits
    at least what the cleanest of the late slots does; per unit of work the best level counts.
    """
    carbon = instance.carbon_until(instance.slots + instance.slots_per_day) * instance.slot_hours
    cleanest = np.minimum.accumulate(carbon[::-1])[::-1][instance.due]
    found = np.empty(instance.jobs.count)
    for code, profile in enumerate(instance.profiles):
        of_kind = np.flatnonzero(instance.jobs.profile == code)
        per_slot = (
            np.outer(cleanest[of_kind], instance.level_power_kw[code])
            + instance.late_g_per_slot[of_kind, None]
        )
        found[of_kind] = (per_slot / profile.throughput).min(axis=1)
    return found
