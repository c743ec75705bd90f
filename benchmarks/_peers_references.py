"""What a careful person would write without optmodels: plain references for the peers benchmark.

`convert_by_numbers` is RORO as its paper states it, with quadrature and a bounded minimiser.
`PlainCluster` is a simulator that keeps jobs as objects and visits them slot by slot. `by_length`
solves one linear programme per length of a job, in a HiGHS that stays warm. `plain_placement` gives
the aggregated programme of edge placement to HiGHS as it is. None of them uses our algorithms; the
last one uses our formulation, because the programme must be the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from _scaling_job_speed import _lean_lp
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar

from optmodels.placement.edge.instance import EdgeInstance
from optmodels.placement.edge.model import formulation, model_data
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.solver import Session, compile_model

_TIGHT = 1e-11
"""Tolerance of the bounded minimiser, as tight as it is of use."""


# -------------------------------------------------------------------------------- online policies
def competitive_ratio(L: float, U: float, beta: float) -> float:
    """RORO's ratio α: the root of exp(1/α) = (U - L - 2β) / (U - U/α - 2β)."""
    lowest = U / (U - 2 * beta)

    def residual(alpha: float) -> float:
        return math.exp(1 / alpha) * (U - U / alpha - 2 * beta) - (U - L - 2 * beta)

    return float(brentq(residual, lowest * (1 + 1e-12), U / L * (1 + 1e-9), xtol=1e-14))


def convert_by_numbers(
    costs: FloatArray, work: float, L: float, U: float, beta: float
) -> FloatArray:
    """Rates of RORO, each slot's pseudo-cost minimised numerically, its integral by quadrature."""
    alpha = competitive_ratio(L, U, beta)

    def threshold(done: float) -> float:
        return U - beta + (U / alpha - U + 2 * beta) * math.exp(done / work / alpha)

    rates = np.zeros(len(costs))
    done, before = 0.0, 0.0
    for t, c in enumerate(np.clip(costs, L, U).tolist()):
        left = work - done
        if left <= 1e-12 * work:
            break
        most = min(1.0, left)

        def pseudo_cost(
            x: float, c: float = c, done: float = done, before: float = before
        ) -> float:
            worth = quad(threshold, done, done + x)[0]
            return c * x + beta * abs(x - before) - float(worth)

        found = minimize_scalar(
            pseudo_cost, bounds=(0.0, most), method="bounded", options={"xatol": _TIGHT}
        )
        # The minimiser never tries the ends, nor the kink.
        candidates = [float(found.x), 0.0, most, min(before, most)]
        x = min(candidates, key=pseudo_cost)
        x = min(max(x, left - (len(costs) - t - 1)), most)
        rates[t] = x
        done, before = done + x, x
    return rates


# ---------------------------------------------------------------------------------- the cluster
class _Job:
    """One job of the plain simulator."""

    __slots__ = ("arrival", "delay", "finish", "left", "need", "running", "waited")

    def __init__(self, arrival: int, length: float, delay: int, need: int) -> None:
        self.arrival, self.left, self.delay, self.need = arrival, length, delay, need
        self.waited, self.running, self.finish = 0, False, 0.0


class PlainCluster:
    """A cluster simulated in plain Python, job by job and slot by slot.

    Parameters
    ----------
    instance
        The question. Jobs run on their fewest servers and move no data, as the policies here do.
    """

    def __init__(self, instance: ClusterInstance) -> None:
        jobs, queues = instance.jobs, instance.queues
        needs = [profile.fewest for profile in instance.profiles]
        self._rows = list(
            zip(
                jobs.arrival.tolist(),
                jobs.length.tolist(),
                queues.delay[jobs.queue].tolist(),
                [needs[code] for code in jobs.profile.tolist()],
                strict=True,
            )
        )
        self._carbon = instance.carbon.tolist()
        self._day = instance.slots_per_day
        self._capacity = instance.capacity
        self._kwh = float(instance.parameters.server_kw) * instance.slot_hours

    def run(self, policy: str) -> tuple[float, float]:
        """Grams of carbon, and the sum of the times of all ends [slots].

        Parameters
        ----------
        policy
            "fcfs" or "wait-awhile".
        """
        waiting = [_Job(*row) for row in reversed(self._rows)]
        system: list[_Job] = []
        grams, ends, slot = 0.0, 0.0, 0
        while waiting or system:
            while waiting and waiting[-1].arrival <= slot:
                system.append(waiting.pop())
            left = self._capacity
            carbon = self._carbon_at(slot)
            clean = policy == "fcfs" or carbon < self._threshold(slot)
            over: list[_Job] = []
            for job in self._turns(system, policy):
                overdue = job.waited >= job.delay
                starts = (clean or overdue) and job.need <= left
                if starts:
                    left -= job.need
                    over.append(job)
                elif overdue:
                    break
            runs = set(map(id, over))
            for job in system:
                job.running = id(job) in runs
                if job.running:
                    share = min(1.0, job.left)
                    grams += carbon * self._kwh * job.need * share
                    job.left -= 1.0
                    if job.left <= 1e-12:
                        job.finish = slot + share
                        ends += job.finish
                else:
                    job.waited += 1
            system = [job for job in system if job.left > 1e-12]
            slot += 1
        return grams, ends

    @staticmethod
    def _turns(system: list[_Job], policy: str) -> list[_Job]:
        """Who is asked first: those that run, older ones first; overdue ones before all others."""
        if policy == "fcfs":
            return sorted(system, key=lambda job: not job.running)
        return sorted(system, key=lambda job: 2 * (job.waited < job.delay) + (not job.running))

    def _carbon_at(self, slot: int) -> float:
        known = len(self._carbon)
        # After its end the series goes on like its last day.
        return self._carbon[
            slot if slot < known else known - self._day + (slot - known) % self._day
        ]

    def _threshold(self, slot: int) -> float:
        """The 30th percentile of the day ahead."""
        ahead = sorted(self._carbon_at(t) for t in range(slot, slot + self._day))
        place = 0.3 * (len(ahead) - 1)
        low = int(place)
        return ahead[low] + (place - low) * (ahead[min(low + 1, len(ahead) - 1)] - ahead[low])


# ----------------------------------------------------------------------------- lengths of one job
def by_length(carbon: FloatArray, lengths: Sequence[float], beta: float) -> FloatArray:
    """Least cost of a job of every length: HiGHS on one programme per length, started warm."""
    rows, lower, upper = _lean_lp(carbon, lengths[0])
    slots = carbon.size
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = 2 * slots, slots + 1
    lp.col_cost_ = np.concatenate([carbon, np.full(slots, 2 * beta)])
    lp.col_lower_ = np.zeros(2 * slots)
    lp.col_upper_ = np.concatenate([np.ones(slots), np.full(slots, highspy.kHighsInf)])
    lp.row_lower_, lp.row_upper_ = lower, upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = rows.indptr, rows.indices
    lp.a_matrix_.value_ = rows.data
    highs = highspy.Highs()
    for name, value in (("output_flag", False), ("solver", "simplex"), ("presolve", "off")):
        highs.setOptionValue(name, value)
    highs.passModel(lp)
    costs = []
    for length in lengths:
        highs.changeRowBounds(slots, length, length)
        highs.run()
        costs.append(highs.getInfo().objective_function_value)
    return np.array(costs)


# ------------------------------------------------------------------------------------- placement
@dataclass(frozen=True)
class Placed:
    """What a search for a placement found, and what it took [s of processor]."""

    seconds: float
    objective: float
    bound: float
    reached: bool


def plain_placement(instance: EdgeInstance, gap: float, limit_s: float) -> Placed:
    """The aggregated programme in HiGHS as it is, up to a gap or a limit."""
    started = time.process_time()
    highs: Any = Session(compile_model(formulation(), model_data(instance))).highs
    highspy.Highs.resetGlobalScheduler(True)
    options = {"output_flag": False, "threads": 1, "mip_rel_gap": gap, "time_limit": limit_s}
    for name, value in options.items():
        highs.setOptionValue(name, value)
    highs.run()
    seconds = time.process_time() - started
    highspy.Highs.resetGlobalScheduler(True)
    info = highs.getInfo()
    reached = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return Placed(seconds, info.objective_function_value, info.mip_dual_bound, reached)
