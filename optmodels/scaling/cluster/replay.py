"""One run of a cluster under a policy, slot by slot.

At the start of each slot the environment admits the jobs that have arrived, tells the policy what
is known of every job in the system (queue, profile, arrival, how long it has waited, how much work
it has done: not how long it is), and carries out the answer: a number of servers for each of these
jobs. A job that ends inside a slot gives its servers back at the end of the slot, but draws power
only until its end. The run goes on after the last arrival until all jobs are done.

Everything is held in arrays over the jobs in the system, so that a slot costs a handful of numpy
calls however many jobs there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.policy import FloatArray, Observation, Reveal, frozen
from optmodels.scaling.cluster.audit import Schedule, outcome, schedule_table
from optmodels.scaling.cluster.instance import (
    ClusterInstance,
    IntArray,
    Jobs,
    Profile,
    Queues,
    whole,
)

SERIES = "carbon_g_per_kwh"
_ROUNDING = 1e-12
#: A policy that has not finished by this many times the slots that one job after the other would
#: need is taken for one that never will.
_PATIENCE = 2


@dataclass(frozen=True)
class Past:
    """An earlier time of the same cluster, lengths included: it is over.

    Attributes
    ----------
    carbon
        Carbon intensity [g/kWh].
    jobs
        Its jobs; arrivals count from the first slot of `carbon`.
    """

    carbon: FloatArray
    jobs: Jobs


@dataclass(frozen=True)
class ClusterHeader:
    """What a policy is told before the first slot.

    Attributes
    ----------
    slots
        Slots with a carbon intensity; a run may take longer.
    slot_hours, start
        Length of a slot [h], start of the first.
    slots_per_day
        Slots in 24 hours.
    capacity
        Servers of the cluster.
    server_kw, network_w_per_gbps, start_kwh
        Power of a server [kW], of moving data [W/Gbps], energy of starting a server [kWh].
    queues, profiles
        By code.
    past
        An earlier time to learn from, or None.
    """

    slots: int
    slot_hours: float
    start: pd.Timestamp
    slots_per_day: int
    capacity: int
    server_kw: float
    network_w_per_gbps: float
    start_kwh: float
    queues: Queues
    profiles: tuple[Profile, ...]
    past: Past | None

    @cached_property
    def fewest(self) -> IntArray:
        """Fewest servers by profile code."""
        return whole([profile.fewest for profile in self.profiles])

    @cached_property
    def most(self) -> IntArray:
        """Most servers by profile code."""
        return whole([profile.most for profile in self.profiles])

    @cached_property
    def throughput(self) -> FloatArray:
        """Work of a slot by profile code and number of servers; 0 where there is no such level."""
        table = np.zeros((len(self.profiles), int(self.most.max()) + 1))
        for code, profile in enumerate(self.profiles):
            table[code, profile.servers] = profile.throughput
        table.flags.writeable = False
        return table

    @cached_property
    def marginal(self) -> FloatArray:
        """Work that the last server adds, by profile code and number of servers.

        The fewest servers add 1 together, which is booked with the last of them.
        """
        table = np.zeros_like(self.throughput)
        for code, profile in enumerate(self.profiles):
            table[code, profile.servers] = profile.marginal
        table.flags.writeable = False
        return table


@dataclass(frozen=True)
class Finished:
    """Jobs that ended in the slot before; their lengths are known now.

    Attributes
    ----------
    job, queue
        Job and the code of its queue.
    length
        Its length [slots].
    delay
        Slots between arrival and end beyond its length.
    """

    job: IntArray
    queue: IntArray
    length: FloatArray
    delay: FloatArray


@dataclass(frozen=True)
class ClusterState:
    """The jobs in the system, oldest first: those that have arrived and are not done.

    Attributes
    ----------
    job
        Number of each job in the order of arrival, from 0.
    arrival, queue, profile
        Slot of its arrival, codes of its queue and profile.
    waited
        Slots since its arrival in which it did not run.
    work_done
        Work done so far [slots on the fewest servers].
    servers
        Servers in the slot before.
    finished
        Jobs that ended in the slot before.
    """

    job: IntArray
    arrival: IntArray
    queue: IntArray
    profile: IntArray
    waited: IntArray
    work_done: FloatArray
    servers: IntArray
    finished: Finished


class ClusterEnvironment:
    """One replay of a cluster.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted beyond header and past; nothing can be here.
    forecast
        Source of the forecast in each observation, or None.
    """

    def __init__(
        self,
        instance: ClusterInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        del granted
        self.instance = instance
        self.header = header_of(instance)
        self._forecast = forecast
        jobs, header = instance.jobs, self.header
        self._arrival, self._length = jobs.arrival, jobs.length
        self._queue, self._profile = jobs.queue, jobs.profile
        busy = float((jobs.length * header.fewest[jobs.profile]).sum())
        # After the series, `_PATIENCE` times what any policy that leaves no server idle needs.
        drain = busy / (header.capacity / header.fewest.max()) + jobs.length.max(initial=0.0)
        self._last = instance.slots + _PATIENCE * int(np.ceil(drain)) + _PATIENCE
        self._carbon = Reveal(instance.carbon_until(self._last))
        self._system = np.empty(0, dtype=np.int64)
        self._waited = np.zeros(jobs.count, dtype=np.int64)
        self._done = np.zeros(jobs.count)
        self._servers = np.zeros(jobs.count, dtype=np.int64)
        self._admitted = 0
        self._left = jobs.count
        self._slot = 0
        self._finished = self._ended(np.empty(0, dtype=np.int64), np.empty(0))
        self._log: list[tuple[IntArray, int, IntArray, FloatArray]] = []
        self._admit()

    def observe(self) -> Observation | None:
        """What the policy may see now; None when all jobs are done."""
        if not self._left:
            return None
        system, slot = self._system, self._slot
        return Observation(
            slot=slot,
            time=self.header.start + slot * pd.Timedelta(hours=self.header.slot_hours),
            past={SERIES: self._carbon.up_to(slot)},
            state=ClusterState(
                job=whole(system),
                arrival=whole(self._arrival[system]),
                queue=whole(self._queue[system]),
                profile=whole(self._profile[system]),
                waited=whole(self._waited[system]),
                work_done=frozen(self._done[system]),
                servers=whole(self._servers[system]),
                finished=self._finished,
            ),
            forecast=self._ahead(slot),
        )

    def _ahead(self, slot: int) -> FloatArray | None:
        """Forecast from this slot on, followed by a day like its last one.

        So there is always a day ahead, also where the series is about to end or has ended.
        """
        if self._forecast is None:
            return None
        seen, day = self._carbon.up_to(slot), self.header.slots_per_day
        known = self._forecast.at(slot, seen) if slot < self.header.slots else seen[slot:]
        before = np.concatenate([seen[:-1], known])[-day:]
        return frozen(np.concatenate([known, before]))

    def act(self, action: object) -> None:
        """Run each job in the system on these numbers of servers through the slot.

        Raises
        ------
        UsageError
            The answer is not one whole number per job, is no level of a job's profile, exceeds
            the capacity, or the policy never finishes its jobs.
        """
        if not self._left:
            raise UsageError("A policy went on after the end of all jobs; nothing is left to do.")
        servers = self._checked(action)
        system, slot = self._system, self._slot
        running = np.flatnonzero(servers)
        job, held = system[running], servers[running]
        rate = self.header.throughput[self._profile[job], held]
        left = self._length[job] - self._done[job]
        # Within rounding of its end a job is done.
        ends = rate >= left * (1 - _ROUNDING)
        share = np.where(ends, np.minimum(left / rate, 1.0), 1.0)
        self._done[job] = np.where(ends, self._length[job], self._done[job] + rate)
        self._waited[system[servers == 0]] += 1
        self._servers[system] = servers
        if len(job):
            self._log.append((job, slot, held, share))
        self._finished = self._ended(job[ends], slot + share[ends])
        if ends.any():
            keep = np.ones(len(system), dtype=bool)
            keep[running[ends]] = False
            self._system = system[keep]
            self._left -= int(ends.sum())
        self._slot += 1
        if self._left and self._slot >= self._last:
            raise UsageError(
                f"After {self._slot} slots a policy has not finished {self._left} jobs, and no "
                "jobs arrive any more. Likely cause: it never runs jobs that have waited long "
                "enough. Fix: let it run overdue jobs."
            )
        self._admit()

    def _checked(self, action: object) -> IntArray:
        system, slot = self._system, self._slot
        try:
            given = np.asarray(action)
            numbers = given.astype(np.int64)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(
                f"In slot {slot} a policy answered {shorten(action)}; allowed: an array of whole "
                "numbers of servers."
            ) from None
        if given.shape != system.shape or (len(given) and not np.array_equal(given, numbers)):
            raise UsageError(
                f"In slot {slot} a policy answered {shorten(action)}; allowed: one whole number "
                f"of servers for each of the {len(system)} jobs in the system."
            )
        profile = self._profile[system]
        fewest, most = self.header.fewest[profile], self.header.most[profile]
        wrong = (numbers != 0) & ((numbers < fewest) | (numbers > most))
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise UsageError(
                f"In slot {slot} a policy gave job {self.instance.jobs.number[system[i]]} "
                f"{numbers[i]} servers; allowed: 0, or {fewest[i]} to {most[i]}."
            )
        if numbers.sum() > self.header.capacity:
            raise UsageError(
                f"In slot {slot} a policy asked for {numbers.sum()} servers; the cluster has "
                f"{self.header.capacity}."
            )
        return numbers

    def _admit(self) -> None:
        """Jobs that arrive by the current slot enter the system."""
        end = int(np.searchsorted(self._arrival, self._slot, side="right"))
        if end > self._admitted:
            self._system = np.append(self._system, np.arange(self._admitted, end))
            self._admitted = end

    def _ended(self, job: IntArray, finish: FloatArray) -> Finished:
        length = self._length[job]
        return Finished(
            whole(job),
            whole(self._queue[job]),
            frozen(length),
            frozen(finish - self._arrival[job] - length),
        )

    @property
    def latest(self) -> Schedule:
        """What ran in the slot before; rows are jobs, oldest first."""
        if not self._log or self._log[-1][1] != self._slot - 1:
            nothing = np.empty(0, dtype=np.int64)
            return Schedule(nothing, nothing, nothing, np.empty(0))
        job, slot, servers, share = self._log[-1]
        return Schedule(job.copy(), np.full(len(job), slot), servers.copy(), share.copy())

    @property
    def schedule(self) -> Schedule:
        """What has run so far."""
        if not self._log:
            nothing = np.empty(0, dtype=np.int64)
            return Schedule(nothing, nothing, nothing, np.empty(0))
        jobs, slots, servers, shares = zip(*self._log, strict=True)
        lengths = [len(job) for job in jobs]
        return Schedule(
            np.concatenate(jobs),
            np.repeat(np.array(slots, dtype=np.int64), lengths),
            np.concatenate(servers),
            np.concatenate(shares),
        )


def header_of(instance: ClusterInstance) -> ClusterHeader:
    """What a policy is told before the first slot."""
    p = instance.parameters
    past = instance.past_jobs
    return ClusterHeader(
        slots=instance.slots,
        slot_hours=instance.slot_hours,
        start=instance.times[0],
        slots_per_day=instance.slots_per_day,
        capacity=instance.capacity,
        server_kw=float(p.server_kw),
        network_w_per_gbps=float(p.network_w_per_gbps),
        start_kwh=float(p.start_kwh),
        queues=instance.queues,
        profiles=instance.profiles,
        past=None if past is None else Past(instance.past_carbon, past),
    )


def decisions(environment: ClusterEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made."""
    return tables_of(environment.instance, environment.schedule)


def tables_of(instance: ClusterInstance, schedule: Schedule) -> dict[str, pd.DataFrame]:
    """Tables of a plan: its schedule, and what became of each job.

    Parameters
    ----------
    instance
        The question.
    schedule
        Which job runs when, on how many servers.
    """
    result = outcome(instance, schedule)
    jobs = instance.jobs
    ends = pd.DataFrame(
        {
            "job": jobs.number,
            "arrival_slot": jobs.arrival,
            "start_slot": result.start,
            "finish_slot": result.finish,
            "delay_slots": result.delay,
            "late_slots": result.late,
        }
    )
    return {"schedule": schedule_table(instance, schedule), "jobs": ends}
