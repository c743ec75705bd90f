"""A cluster of elastic batch jobs: what is known, and what is asked.

Jobs arrive over time and share `capacity` servers. Each belongs to a *queue*, which says how long
a job may wait or pause (its delay), and scales by a *profile*: on more servers it gets more work
done in a slot, but less and less per server. How long a job runs is hidden from policies until it
is done. The carbon intensity of electricity changes from slot to slot. How many servers run in
each slot, and for which jobs, so that the least carbon is emitted?

Units: the work of a job is counted in slots on the fewest servers of its profile. A job of length
3.5 on a profile that starts with one server does 3.5 units of work, 1 in each slot on one server.

A job is late when it ends after slot arrival + ⌈length⌉ + delay. Late jobs are not forbidden (no
policy that does not know lengths could promise that), but every slot of lateness has a price in
grams, so that a policy cannot save carbon by never finishing: `late_factor` times the carbon of
all servers that the job can use through one slot at the highest carbon intensity. The price is our
own; published results count carbon and lateness apart, and so do the cost columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AwareDatetime

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.scaling.cluster.checks import job_flaws, profile_flaws, reach_flaws
from optmodels.scaling.vintages import ForecastRow, forecast_flaws, newest_issued
from optmodels.schema import Parameters, Place, Row, Table, column
from optmodels.spacing import spacing_flaws

IntArray = NDArray[np.int64]

_LARGEST = 1e12
_SECOND_MINUTES, _YEAR_MINUTES = 1 / 60, 366 * 24 * 60.0


class ClusterParameters(Parameters):
    """Scalar parameters of a cluster."""

    capacity: int = column("servers of the cluster", unit="servers", ge=1, le=10**9)
    server_kw: float = column("power of a running server", unit="kW", gt=0, le=_LARGEST)
    slot_minutes: float = column(
        "length of a slot", unit="min", ge=_SECOND_MINUTES, le=_YEAR_MINUTES
    )
    network_w_per_gbps: float = column(
        "power of moving data between the servers of a job", unit="W/Gbps", default=0.0, ge=0
    )
    start_kwh: float = column(
        "energy of starting a server for a job: boot, restore", unit="kWh/server", default=0.0, ge=0
    )
    late_factor: float = column(
        "price of a slot of lateness, relative to all servers of the job at the highest carbon "
        "intensity",
        default=1.0,
        ge=0,
        le=1e6,
    )
    zone: str | None = column("grid zone of the carbon intensity", default=None)
    quantity: Literal["direct", "lifecycle", "marginal", "unspecified"] = column(
        "what the carbon intensity counts", default="unspecified"
    )


class CarbonRow(Row):
    """Carbon intensity of one slot."""

    time: AwareDatetime = column("start of the slot, UTC")
    carbon_g_per_kwh: float = column(
        "carbon intensity of electricity", unit="g/kWh", ge=0, le=_LARGEST
    )


class JobRow(Row):
    """One batch job."""

    job: int = column("number of the job", ge=0)
    arrival_slot: int = column("first slot in which it may run", unit="slots", ge=0)
    length_slots: float = column(
        "run time on the fewest servers of its profile; hidden from policies",
        unit="slots",
        gt=0,
        le=_LARGEST,
    )
    queue: str = column("queue it was submitted to")
    profile: str = column("how it scales")


class QueueRow(Row):
    """One queue."""

    queue: str = column("name of the queue")
    delay_slots: int = column("slots that its jobs may wait or pause", unit="slots", ge=0)
    mean_length_slots: float = column("mean run time of past jobs", unit="slots", gt=0)


class ProfileRow(Row):
    """What a number of servers does for a job."""

    profile: str = column("name of the profile")
    servers: int = column("servers of the job", unit="servers", ge=1)
    throughput: float = column(
        "work done in a slot, relative to the fewest servers", unit="work/slot", gt=0, le=_LARGEST
    )
    network_gbps: float = column("data moved between them", unit="Gbps", ge=0, le=_LARGEST)


@dataclass(frozen=True)
class Profile:
    """How a kind of job scales: one entry per level, from the fewest servers to the most.

    Attributes
    ----------
    name
        Its name.
    servers
        Consecutive numbers of servers.
    throughput
        Work done in a slot; 1 on the fewest servers, less and less more per further server.
    network_gbps
        Data moved between the servers.
    """

    name: str
    servers: IntArray
    throughput: FloatArray
    network_gbps: FloatArray

    @property
    def fewest(self) -> int:
        """Fewest servers that the job runs on."""
        return int(self.servers[0])

    @property
    def most(self) -> int:
        """Most servers that it can use."""
        return int(self.servers[-1])

    @cached_property
    def marginal(self) -> FloatArray:
        """Work that each level adds to the one below; 1 for the fewest servers."""
        return frozen(np.diff(self.throughput, prepend=0.0))


@dataclass(frozen=True)
class Queues:
    """The queues, in the order of their codes."""

    names: tuple[str, ...]
    delay: IntArray
    mean_length: FloatArray


@dataclass(frozen=True)
class Jobs:
    """Jobs as arrays, in the order of their arrival; `queue` and `profile` are codes."""

    number: IntArray
    arrival: IntArray
    length: FloatArray
    queue: IntArray
    profile: IntArray

    @property
    def count(self) -> int:
        """Number of jobs."""
        return len(self.number)


class ClusterInstance(Instance):
    """Frozen data of a cluster of elastic batch jobs.

    Tables: ``carbon`` (one row per slot, up to the last slot that a job may need), ``jobs``,
    ``queues``, ``profiles``, and optionally ``past_carbon`` with ``past_jobs``, an earlier time of
    the same cluster, from which policies may learn, and ``forecast``, real forecasts of the carbon
    intensity.
    """

    problem: ClassVar[str] = "scaling.cluster"
    title: ClassVar[str] = "How many servers should a cluster of batch jobs run, and for which?"
    parameters_model: ClassVar[type[Parameters]] = ClusterParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "carbon": Table(CarbonRow, ("time",), "Carbon intensity, one row per slot."),
        "jobs": Table(JobRow, ("job",), "Batch jobs."),
        "queues": Table(QueueRow, ("queue",), "Queues and the delay that they allow."),
        "profiles": Table(ProfileRow, ("profile", "servers"), "How jobs scale with servers."),
        "past_carbon": Table(
            CarbonRow, ("time",), "Carbon intensity of an earlier time.", required=False
        ),
        "past_jobs": Table(JobRow, ("job",), "Jobs of that earlier time.", required=False),
        "forecast": Table(
            ForecastRow, ("issue_time", "time"), "Real forecasts by issue time.", required=False
        ),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        step = pd.Timedelta(minutes=parameters.slot_minutes)
        flaws: list[Flaw] = []
        for name in ("carbon", "past_carbon"):
            if name in tables:
                flaws += spacing_flaws(tables[name]["time"], step, places[name])
        if "forecast" in tables:
            flaws += forecast_flaws(tables["forecast"], places["forecast"])
        unsound = profile_flaws(tables["profiles"], parameters.capacity, places["profiles"])
        flaws += unsound
        for jobs, carbon in (("jobs", "carbon"), ("past_jobs", "past_carbon")):
            if jobs not in tables:
                continue
            if carbon not in tables:
                flaws.append(
                    Flaw("is missing beside 'past_jobs'", field=f"table '{carbon}'", fix="give it")
                )
                continue
            found = job_flaws(tables[jobs], tables["queues"], tables["profiles"], places[jobs])
            flaws += found
            if jobs == "jobs" and not found:
                flaws += reach_flaws(
                    tables[jobs], tables["queues"], len(tables[carbon]), places[carbon]
                )
        return flaws

    @property
    def slots(self) -> int:
        """T: number of slots with a carbon intensity."""
        return len(self._tables["carbon"])

    @property
    def slot_hours(self) -> float:
        """Δ: length of a slot [h]."""
        return float(self.parameters.slot_minutes) / 60

    @property
    def capacity(self) -> int:
        """M: servers of the cluster."""
        return int(self.parameters.capacity)

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """Starts of the slots, UTC."""
        return pd.DatetimeIndex(self._tables["carbon"]["time"], name="time")

    @cached_property
    def carbon(self) -> FloatArray:
        """Carbon intensity of each slot [g/kWh], shape (T,), read-only."""
        return frozen(self._tables["carbon"]["carbon_g_per_kwh"])

    def carbon_until(self, slots: int) -> FloatArray:
        """Carbon intensity of this many slots; after the series its last day repeats."""
        more = slots - self.slots
        if more <= 0:
            return frozen(self.carbon[:slots])
        return frozen(np.append(self.carbon, np.resize(self.carbon[-self.slots_per_day :], more)))

    @cached_property
    def slots_per_day(self) -> int:
        """Slots in 24 hours, at least one."""
        return max(1, round(24 / self.slot_hours))

    @cached_property
    def queues(self) -> Queues:
        """The queues."""
        table = self._tables["queues"]
        return Queues(
            tuple(str(name) for name in table["queue"]),
            whole(table["delay_slots"]),
            frozen(table["mean_length_slots"]),
        )

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles, in the order of their codes."""
        return tuple(
            Profile(
                str(name),
                whole(rows["servers"]),
                frozen(rows["throughput"]),
                frozen(rows["network_gbps"]),
            )
            for name, rows in self._tables["profiles"].groupby("profile", sort=True)
        )

    @cached_property
    def jobs(self) -> Jobs:
        """The jobs, in the order of their arrival."""
        return self._jobs_of("jobs")

    @cached_property
    def past_jobs(self) -> Jobs | None:
        """Jobs of the earlier time; None where the instance has none."""
        return self._jobs_of("past_jobs") if "past_jobs" in self._tables else None

    @cached_property
    def past_carbon(self) -> FloatArray:
        """Carbon intensity of the earlier time [g/kWh]; empty where the instance has none."""
        if "past_carbon" not in self._tables:
            return frozen(np.empty(0))
        return frozen(self._tables["past_carbon"]["carbon_g_per_kwh"])

    def vintages(self) -> FloatArray | None:
        """Real forecasts as a (T, T) table: row t holds the newest values issued by slot t."""
        if "forecast" not in self._tables:
            return None
        return newest_issued(self._tables["forecast"], self.times)

    def _jobs_of(self, name: str) -> Jobs:
        table = self._tables[name].sort_values(["arrival_slot", "job"], kind="stable")
        return Jobs(
            number=whole(table["job"]),
            arrival=whole(table["arrival_slot"]),
            length=frozen(table["length_slots"]),
            queue=_codes(table["queue"], self.queues.names),
            profile=_codes(table["profile"], tuple(p.name for p in self.profiles)),
        )

    @cached_property
    def due(self) -> IntArray:
        """Slot by which each job must be done so as not to be late: a + ⌈l⌉ + d."""
        jobs = self.jobs
        # A length that is whole but for its last digit is whole.
        whole_length = np.ceil(jobs.length * (1 - 1e-12)).astype(np.int64)
        return whole(jobs.arrival + whole_length + self.queues.delay[jobs.queue])

    @cached_property
    def level_power_kw(self) -> tuple[FloatArray, ...]:
        """Power of each level of each profile, servers and network together [kW]."""
        p = self.parameters
        return tuple(
            frozen(
                profile.servers * float(p.server_kw)
                + profile.network_gbps * float(p.network_w_per_gbps) / 1000
            )
            for profile in self.profiles
        )

    @cached_property
    def late_g_per_slot(self) -> FloatArray:
        """Price of a slot of lateness of each job [g/slot]."""
        p = self.parameters
        most = np.array([profile.most for profile in self.profiles])[self.jobs.profile]
        highest = float(self.carbon.max())
        return frozen(p.late_factor * most * float(p.server_kw) * self.slot_hours * highest)

    def model(self) -> Any:
        """The cluster as an ordinary Pyomo model, to edit or to give to another solver."""
        from optmodels.scaling.cluster.model import concrete_model

        return concrete_model(self)


def whole(values: Any) -> IntArray:
    """Read-only copy as 64-bit integers."""
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False
    return array


def _codes(labels: pd.Series[Any], names: tuple[str, ...]) -> IntArray:
    return whole(pd.Index(names).get_indexer(pd.Index(labels)))
