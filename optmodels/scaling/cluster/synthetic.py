"""Synthetic clusters: seeded arrivals with a daily swing, on a synthetic grid.

Jobs arrive independently of each other, more by day than by night (given their number, such
arrivals are a Poisson process). Half of them are short, a few run for days; within a queue the
logarithm of the length is uniform. Each job is of a random kind (`profile_facts`). As many jobs
arrive as keep a cluster that runs everything at once, each on its fewest servers, at the target
utilisation. The carbon intensity is that of `optmodels.synthesis.solar_grid`; it goes on after the
last arrival until the last job must be done.

The queues, kinds of jobs, the capacity of 150 servers at half of its utilisation and the price of
the network are those of CarbonFlex (Hanafy et al., arXiv:2505.18357); a server draws the 60 W that
CarbonScaler measured for its CPU servers. Shares and lengths are ours. Nothing is measured here.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray
from optmodels.scaling.cluster.load import (
    LONGEST_H,
    NETWORK_W_PER_GBPS,
    SERVER_KW,
    Load,
    nearest_count,
    queue_table,
)
from optmodels.scaling.cluster.profile_facts import ELASTICITIES, profile_table, workloads_of
from optmodels.synthesis.sizes import Sizes, begin_of
from optmodels.synthesis.solar_grid import NOTE, ZONE, carbon_intensity, local_hours

CAPACITY = 150
#: Size arguments of the generator with their defaults.
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "hours": 168,
        "jobs": None,
        "capacity": None,
        "utilisation": 0.5,
        "elasticity": "mix",
        "most_servers": 16,
        "longest_hours": 48,
        "past_hours": 336,
        "slot_minutes": 60,
        "daily_swing": 0.5,
        "server_kw": SERVER_KW,
        "network_w_per_gbps": NETWORK_W_PER_GBPS,
        "start_kwh": 0.0,
        "late_factor": 1.0,
        "start": "2023-06-01T00:00:00Z",
        "mean_g_per_kwh": 250.0,
        "solar": 0.6,
        "noise": 0.1,
    }
)
LARGEST_SLOTS = 100_000
LARGEST_JOBS = 1_000_000
LARGEST_CAPACITY = 1_000_000
LARGEST_PROFILE = 1000

#: Shares of the queues among the jobs, and their shortest jobs [h].
_SHARES = (0.5, 0.35, 0.15)
_SHORTEST_H = (1.0, *LONGEST_H[:-1])
_LENGTH_DECIMALS = 2
#: Hour of the day with the most arrivals.
_PEAK_HOUR = 14.0
#: Jobs of the sample from which the mean lengths of the queues come where there is no past.
_SAMPLE = 1000


def generate(
    seed: int,
    *,
    hours: float = 168,
    jobs: int | None = None,
    capacity: int | None = None,
    utilisation: float = 0.5,
    elasticity: str = "mix",
    most_servers: int = 16,
    longest_hours: float = 48,
    past_hours: float = 336,
    slot_minutes: float = 60,
    daily_swing: float = 0.5,
    server_kw: float = SERVER_KW,
    network_w_per_gbps: float = NETWORK_W_PER_GBPS,
    start_kwh: float = 0.0,
    late_factor: float = 1.0,
    start: str = "2023-06-01T00:00:00Z",
    mean_g_per_kwh: float = 250.0,
    solar: float = 0.6,
    noise: float = 0.1,
) -> ClusterInstance:
    """Make a synthetic cluster; the same arguments give the same fingerprint on every platform.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    hours
        Time in which jobs arrive [h]. The carbon series is longer by what the last jobs may need.
    jobs
        Number of jobs; by default as many as the utilisation asks for.
    capacity
        Servers of the cluster. By default 150, or where `jobs` is given, as many as the utilisation
        asks for.
    utilisation
        Server-hours of all jobs on their fewest servers, as a share of those of the cluster in
        `hours`. Where `jobs` and `capacity` are both given, it follows from them and is not used.
    elasticity
        Kinds of jobs: "high", "moderate", "low", "mix" of all, or "none" for jobs on one server.
    most_servers
        Most servers of a job.
    longest_hours
        Longest job [h], more than 1.
    past_hours
        Length of an earlier time with its own jobs, from which policies may learn [h]; 0 for none.
    slot_minutes
        Length of a slot [min].
    daily_swing
        Size of the daily swing of the arrivals, 0 to 1.
    server_kw, network_w_per_gbps, start_kwh, late_factor
        Parameters of the instance.
    start
        Start of the first slot, with its offset.
    mean_g_per_kwh, solar, noise
        Level of the carbon intensity [g/kWh], depth of its valley at noon and size of its noise,
        both as shares of the level.

    Returns
    -------
    ClusterInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    UsageError
        `start` is not a time, or has no offset.
    """
    given: dict[str, object] = {
        "hours": hours,
        "jobs": jobs,
        "capacity": capacity,
        "utilisation": utilisation,
        "elasticity": elasticity,
        "most_servers": most_servers,
        "longest_hours": longest_hours,
        "past_hours": past_hours,
        "slot_minutes": slot_minutes,
        "daily_swing": daily_swing,
        "server_kw": server_kw,
        "network_w_per_gbps": network_w_per_gbps,
        "start_kwh": start_kwh,
        "late_factor": late_factor,
        "start": start,
        "mean_g_per_kwh": mean_g_per_kwh,
        "solar": solar,
        "noise": noise,
    }
    _check(seed, given)
    begin = begin_of(start)
    step = slot_minutes / 60
    # Streams of their own: the jobs are the same with and without a past.
    on_grid, on_jobs, on_past = (
        np.random.Generator(np.random.PCG64(sequence))
        for sequence in np.random.SeedSequence(seed).spawn(3)
    )
    draw = _Draw(begin, step, daily_swing, float(longest_hours), workloads_of(elasticity))
    slots, before = round(hours / step), round(past_hours / step)
    if jobs is not None:
        lengths = draw.lengths(on_jobs, int(jobs))
        if capacity is None:
            capacity = max(1, math.ceil(float(lengths.sum()) / (utilisation * hours)))
    else:
        capacity = CAPACITY if capacity is None else capacity
        lengths = draw.lengths_of(on_jobs, utilisation * capacity * hours)
    present = draw.load(on_jobs, lengths, 0, slots)
    tables = {"jobs": present.table(step)}
    if before:
        # The past was as busy as the present is.
        past_lengths = draw.lengths_of(on_past, float(lengths.sum()) * past_hours / hours)
        earlier = draw.load(on_past, past_lengths, -before, 0)
        earlier = Load(earlier.arrival + before, earlier.length_h, earlier.profile)
        known = earlier.ended_by(before, step)
        if len(known.arrival):
            tables["past_jobs"] = known.table(step)
    else:
        known = draw.load(on_past, draw.lengths(on_past, _SAMPLE), 0, slots)
    tables["queues"] = queue_table(known, step)
    tables["profiles"] = profile_table(workloads_of(elasticity), int(most_servers))
    end = max(slots, present.last_due(step))
    numbers = np.arange(-before, end)
    values = carbon_intensity(
        begin, step, numbers, on_grid, mean=mean_g_per_kwh, solar=solar, noise=noise
    )
    times = begin + pd.to_timedelta(numbers * slot_minutes, unit="min")
    frame = pd.DataFrame({"time": times, "carbon_g_per_kwh": values})
    tables["carbon"] = frame.iloc[before:]
    if before:
        tables["past_carbon"] = frame.iloc[:before]
    parameters = {
        "capacity": int(capacity),
        "server_kw": server_kw,
        "slot_minutes": slot_minutes,
        "network_w_per_gbps": network_w_per_gbps,
        "start_kwh": start_kwh,
        "late_factor": late_factor,
        "zone": ZONE,
        "quantity": "direct",
    }
    return ClusterInstance(parameters, tables, origin=_origin(seed, given))


class _Draw:
    """Draws of jobs."""

    def __init__(
        self,
        begin: pd.Timestamp,
        step: float,
        swing: float,
        longest_h: float,
        profiles: tuple[str, ...],
    ) -> None:
        self._begin, self._step, self._swing = begin, step, swing
        # Queues whose shortest job is too long are left out.
        low = np.array(_SHORTEST_H)
        used = low < longest_h
        self._low = low[used]
        self._high = np.minimum(LONGEST_H, longest_h)[used]
        self._bounds = np.cumsum(np.array(_SHARES)[used] / np.array(_SHARES)[used].sum())
        self._profiles = np.array(profiles, dtype=object)

    def lengths(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Lengths of so many jobs [h]."""
        kind = np.minimum(np.searchsorted(self._bounds, rng.random(count)), len(self._low) - 1)
        low, high = self._low[kind], self._high[kind]
        drawn: FloatArray = low * (high / low) ** rng.random(count)
        return drawn.round(_LENGTH_DECIMALS)

    def lengths_of(self, rng: np.random.Generator, target_h: float) -> FloatArray:
        """Lengths of as many jobs as come nearest to so many hours together [h]."""
        lengths = np.empty(0)
        # No job is shorter than the shortest, so this ends.
        while lengths.sum() < target_h or not len(lengths):
            lengths = np.append(lengths, self.lengths(rng, max(_SAMPLE, len(lengths))))
        return lengths[: nearest_count(lengths, target_h)]

    def load(self, rng: np.random.Generator, lengths: FloatArray, first: int, end: int) -> Load:
        """These jobs, arriving between two slots, each of a random kind."""
        slots = np.arange(first, end)
        hour = local_hours(self._begin, self._step, slots)
        weight = 1 + self._swing * np.cos(2 * np.pi * (hour - _PEAK_HOUR) / 24)
        # Rounded, because a cosine may differ in its last digit between platforms.
        bounds = (np.cumsum(weight) / weight.sum()).round(9)
        place = np.searchsorted(bounds, rng.random(len(lengths)), side="right")
        arrival: IntArray = slots[np.sort(np.minimum(place, len(slots) - 1))]
        kind: NDArray[np.int64] = rng.integers(0, len(self._profiles), len(lengths))
        return Load(arrival, lengths, self._profiles[kind])


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range; the rest is checked by the instance."""
    given = Sizes(seed, sizes, "sizes of a synthetic cluster")
    minutes = given.number("slot_minutes", 0, 1440, open_low=True)
    if minutes is not None:
        step = minutes / 60
        if given.number("hours", 0, LARGEST_SLOTS * step, open_low=True) is not None:
            given.whole("hours", "slots", 0, unit=step)
        given.whole("past_hours", "slots", 0, LARGEST_SLOTS * step, unit=step)
    if sizes["jobs"] is not None:
        given.whole("jobs", "jobs", 1, LARGEST_JOBS)
    if sizes["capacity"] is not None:
        given.whole("capacity", "servers", 1, LARGEST_CAPACITY)
    given.number("utilisation", 0, 10, open_low=True)
    given.choice("elasticity", ELASTICITIES)
    given.whole("most_servers", "servers", 1, LARGEST_PROFILE)
    given.number("longest_hours", _SHORTEST_H[0], LARGEST_SLOTS, open_low=True)
    given.number("daily_swing", 0, 1)
    given.number("mean_g_per_kwh", 0, open_low=True)
    given.number("solar", 0, 1)
    given.number("noise", 0, 1)
    given.start()
    given.check()
    hours: Any = sizes["hours"]
    past: Any = sizes["past_hours"]
    count: Any = sizes["jobs"]
    if count is None:
        capacity: Any = CAPACITY if sizes["capacity"] is None else sizes["capacity"]
        utilisation: Any = sizes["utilisation"]
        count = utilisation * capacity * hours / _SHORTEST_H[0]
    given.limit("jobs", count * (1 + past / hours), LARGEST_JOBS)
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "scaling.cluster", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
