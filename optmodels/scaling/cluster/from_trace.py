"""Clusters of real jobs on a real grid: cut both traces, and scale the load to the cluster.

A job trace has its own clock; it is laid over the carbon trace so that its first day begins where
the earlier time begins. As in CarbonFlex (Hanafy et al., arXiv:2505.18357) only jobs of at least
an hour count, each gets the profile of a random kind of job, and the load is scaled to a target
utilisation of the cluster. The processors of the trace are not used: every job starts from one
server, as the profiles of the paper do (our reading; the paper does not say what becomes of them).

Scaled how (ours): without a capacity, all jobs of the time are kept and the cluster is made large
enough. With a capacity, jobs are drawn from those of the time until they make up the load; where
the time has too few, the jobs of later times of the trace, whole days away, are laid over it.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw, InputError, UsageError, shorten
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.scaling.cluster.load import (
    NETWORK_W_PER_GBPS,
    SERVER_KW,
    Load,
    nearest_count,
    queue_table,
)
from optmodels.scaling.cluster.profile_facts import ELASTICITIES, profile_table, workloads_of
from optmodels.scaling.vintages import forecast_table
from optmodels.traces.trace import CARBON, Trace
from optmodels.traces.vintages import Vintages

UTILISATION = 0.5
LEAST_HOURS = 1.0
MOST_SERVERS = 16
_DAY_H = 24.0
_ROUNDING = 1e-9
_COLUMNS = ("arrival_h", "length_h")


def from_trace(
    trace: Trace,
    jobs: pd.DataFrame,
    *,
    start: str | dt.datetime,
    hours: float,
    past_hours: float = 0.0,
    capacity: int | None = None,
    utilisation: float = UTILISATION,
    elasticity: str = "mix",
    most_servers: int = MOST_SERVERS,
    least_hours: float = LEAST_HOURS,
    jobs_from_hours: float = 0.0,
    server_kw: float = SERVER_KW,
    network_w_per_gbps: float = NETWORK_W_PER_GBPS,
    start_kwh: float = 0.0,
    late_factor: float = 1.0,
    slot_minutes: float | None = None,
    tz: str | dt.tzinfo | None = None,
    vintages: Vintages | None = None,
    seed: int = 0,
    jobs_source: str = "job trace",
    name: str | None = None,
    command: str | None = None,
) -> ClusterInstance:
    """Make the instance of a cluster in which jobs arrive from `start` on for `hours`.

    Parameters
    ----------
    trace
        Carbon intensity, as `optmodels.traces.read_carbon` gives it. It must reach past the last
        arrival, until the last job must be done.
    jobs
        Jobs with ``arrival_h`` and ``length_h``, as `optmodels.traces.read_jobs` gives them.
    start
        Begin of the arrivals, on the grid of the carbon trace: with an offset, or naive together
        with `tz`.
    hours
        Time in which jobs arrive [h], a multiple of the slot.
    past_hours
        Length of the earlier time from which policies may learn [h]; 0 for none. It takes the
        first jobs of the trace and the carbon before `start`. Of its jobs, those that could have
        ended by `start` are kept.
    capacity
        Servers of the cluster; by default as many as the utilisation asks for.
    utilisation
        Server-hours of all jobs on one server each, as a share of those of the cluster in `hours`.
    elasticity
        Kinds of jobs: "high", "moderate", "low", "mix" of all, or "none" for jobs on one server.
    most_servers
        Most servers of a job.
    least_hours
        Shorter jobs are left out [h].
    jobs_from_hours
        Time of the job trace that is the begin of the earlier time, or of `start` without one [h].
    server_kw, network_w_per_gbps, start_kwh, late_factor
        Parameters of the instance.
    slot_minutes
        Length of a slot [min], a multiple of the step of the carbon trace, over which that is
        averaged; by default the step itself.
    tz
        Zone of a naive `start`.
    vintages
        Real forecasts, of which those that speak of the slots are kept.
    seed
        Seed of the kinds of jobs and of the draw of jobs.
    jobs_source
        Name of the job trace, for messages and the origin.
    name
        Label of the instance.
    command
        The command that makes the instance, for its origin.

    Returns
    -------
    ClusterInstance
        Jobs and carbon intensity cut from the traces.

    Raises
    ------
    InputError
        A trace or the forecasts do not cover the time, or a trace has too few jobs for the load,
        or a number is out of range.
    UsageError
        `start` is naive without `tz` or off the grid, or `hours`, `past_hours` or `slot_minutes`
        do not fit the grid.
    """
    _check(
        {
            "hours": (hours, 0.0, True),
            "past_hours": (past_hours, 0.0, False),
            "utilisation": (utilisation, 0.0, True),
            "least_hours": (least_hours, 0.0, False),
            "jobs_from_hours": (jobs_from_hours, 0.0, False),
            "most_servers": (most_servers, 1, False),
            "seed": (seed, 0, False),
            **({} if capacity is None else {"capacity": (capacity, 1, False)}),
            **({} if slot_minutes is None else {"slot_minutes": (slot_minutes, 1e-3, False)}),
        },
        whole=("most_servers", "seed", "capacity"),
    )
    if elasticity not in ELASTICITIES:
        raise UsageError.unknown("elasticity", str(elasticity), ELASTICITIES)
    missing = [Flaw("is missing", field=column) for column in _COLUMNS if column not in jobs]
    if missing:
        raise InputError(missing, jobs_source)
    step = trace.step if slot_minutes is None else pd.Timedelta(minutes=slot_minutes)
    grid = trace if slot_minutes is None else trace.resample(step)
    begin = grid.window(start, hours, tz=tz).start
    past = grid.window(begin - pd.Timedelta(hours=past_hours), past_hours) if past_hours else None
    step_h = step / pd.Timedelta(hours=1)
    source = _Source(jobs, least_hours, jobs_from_hours, past_hours, hours, jobs_source)
    # Streams of their own: the jobs are the same with and without a past.
    on_jobs, on_past = (
        np.random.Generator(np.random.PCG64(sequence))
        for sequence in np.random.SeedSequence(seed).spawn(2)
    )
    kinds = np.array(workloads_of(elasticity), dtype=object)
    target = None if capacity is None else utilisation * capacity * hours
    arrival, length, laid = source.take(on_jobs, past_hours, hours, target)
    present = _load(on_jobs, arrival, length, step_h, kinds)
    if capacity is None:
        capacity = max(1, math.ceil(float(length.sum()) / (utilisation * hours) - _ROUNDING))
    tables = {"jobs": present.table(step_h), "profiles": profile_table(tuple(kinds), most_servers)}
    notes = [f"{trace.source}: {trace.quantity} carbon intensity of {trace.zone}", *trace.report]
    notes += [note for note in grid.report if note not in trace.report]
    notes.append(f"{jobs_source}: {len(length)} jobs of at least {least_hours:g} h")
    if laid > 1:
        notes.append(f"drawn from {laid} times laid over each other")
    if past is not None:
        share = None if target is None else target * past_hours / hours
        arrival, length, _ = source.take(on_past, 0.0, past_hours, share)
        known = _load(on_past, arrival, length, step_h, kinds).ended_by(len(past), step_h)
        tables["past_carbon"] = _rows(past.frame)
        if len(known.arrival):
            tables["past_jobs"] = known.table(step_h)
    else:
        known = source.all()
        notes.append("mean lengths of the queues are those of the whole job trace: no past")
    tables["queues"] = queue_table(known, step_h)
    slots = max(round(hours / step_h), present.last_due(step_h))
    horizon = _until(grid, begin, slots * step_h, hours)
    tables["carbon"] = _rows(horizon.frame)
    if vintages is not None:
        tables["forecast"] = forecast_table(vintages, horizon)
        notes.append(f"forecasts: {vintages.source}")
        notes += [note for note in vintages.report if note not in notes]
    parameters = {
        "capacity": capacity,
        "server_kw": server_kw,
        "slot_minutes": step.total_seconds() / 60,
        "network_w_per_gbps": network_w_per_gbps,
        "start_kwh": start_kwh,
        "late_factor": late_factor,
        "zone": trace.zone,
        "quantity": trace.quantity,
    }
    said = "; ".join(note.rstrip(".") for note in notes)
    origin = said if command is None else f"{command}  # {said}"
    return ClusterInstance(parameters, tables, name=name, origin=origin)


@dataclass(frozen=True)
class _Source:
    """The jobs of a trace that count, and where its times begin."""

    jobs: pd.DataFrame
    least_h: float
    first_h: float
    past_h: float
    hours: float
    name: str

    def all(self) -> Load:
        """All jobs that count, wherever they stand in the trace; of their profiles nothing."""
        lengths = self.jobs["length_h"].to_numpy(dtype=np.float64)
        lengths = lengths[lengths >= self.least_h]
        return Load(np.zeros(len(lengths), np.int64), lengths, np.full(len(lengths), "", object))

    def take(
        self, rng: np.random.Generator, offset_h: float, hours: float, target_h: float | None
    ) -> tuple[FloatArray, FloatArray, int]:
        """Jobs of a time that begins `offset_h` after the first.

        Returns
        -------
        tuple
            Arrivals from the begin of the time [h], sorted, and lengths [h], which together are
            nearest to `target_h` where that is given; and how many times are laid over each other.
        """
        arrivals = self.jobs["arrival_h"].to_numpy(dtype=np.float64)
        lengths = self.jobs["length_h"].to_numpy(dtype=np.float64)
        # The trace ends some time after its last arrival: it may be silent as long as before.
        silent = float(np.diff(np.sort(arrivals)).max(initial=0.0))
        end = float(arrivals.max()) + silent
        # Times to be laid over each other are whole days apart: arrivals swing by day.
        stride = math.ceil((self.past_h + self.hours) / _DAY_H - _ROUNDING) * _DAY_H
        found: list[tuple[FloatArray, FloatArray]] = []
        total, begin = 0.0, self.first_h + offset_h
        while begin + hours <= end + _ROUNDING and (not found or target_h is not None):
            inside = (arrivals >= begin) & (arrivals < begin + hours) & (lengths >= self.least_h)
            found.append((arrivals[inside] - begin, lengths[inside]))
            total += float(lengths[inside].sum())
            if target_h is not None and total >= target_h:
                break
            begin += stride
        if not total:
            what = f"has no job of at least {self.least_h:g} h" if found else "is not covered"
            first = self.first_h + offset_h
            raise InputError(
                Flaw(
                    what,
                    file=self.name,
                    field="times of the job trace",
                    value=f"{first:g} .. {first + hours:g} h",
                    allowed=f"times within 0 .. {end:.1f} h",
                )
            )
        if target_h is not None and total < target_h:
            raise InputError(
                Flaw(
                    "has too few jobs for this load",
                    file=self.name,
                    value=f"{total:.0f} server-hours",
                    allowed=f"at least {target_h:.0f} server-hours in {hours:g} h",
                    fix=f"take at most {total / target_h:.0%} of the capacity or of the "
                    "utilisation, or leave the capacity out",
                )
            )
        arrival = np.concatenate([times for times, _ in found])
        length = np.concatenate([times for _, times in found])
        if target_h is not None:
            drawn = rng.permutation(len(length))
            drawn = drawn[: nearest_count(length[drawn], target_h)]
            arrival, length = arrival[drawn], length[drawn]
        order = np.argsort(arrival, kind="stable")
        return arrival[order], length[order], len(found)


def _load(
    rng: np.random.Generator,
    arrival_h: FloatArray,
    length_h: FloatArray,
    step_h: float,
    kinds: NDArray[np.object_],
) -> Load:
    """These jobs, from the first whole slot after their arrival on, each of a random kind."""
    slot = np.ceil(arrival_h / step_h - _ROUNDING).astype(np.int64)
    return Load(slot, length_h, kinds[rng.integers(0, len(kinds), len(slot))])


def _until(grid: Trace, begin: pd.Timestamp, hours: float, arrivals_h: float) -> Trace:
    """The carbon trace until the last job must be done."""
    if begin + pd.Timedelta(hours=hours) <= grid.end:
        return grid.window(begin, hours)
    raise InputError(
        Flaw(
            f"is when the last job must be done, but the trace of {grid.zone} has ended by then",
            field="start, hours",
            value=f"{begin + pd.Timedelta(hours=hours):%Y-%m-%d %H:%M} UTC",
            allowed=f"up to {grid.end:%Y-%m-%d %H:%M} UTC",
            cause=f"jobs arrive for {arrivals_h:g} h and may then run, wait or pause for days",
            fix="start earlier, or take fewer hours",
        )
    )


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Time and carbon intensity as columns."""
    return frame[[CARBON]].reset_index()


def _check(numbers: dict[str, tuple[object, float, bool]], whole: tuple[str, ...]) -> None:
    """Refuse numbers of a wrong kind or out of range, all at once."""
    flaws = []
    for name, (value, low, open_low) in numbers.items():
        kinds = int if name in whole else int | float
        right = isinstance(value, kinds) and not isinstance(value, bool)
        right = right and low <= value < math.inf and not (open_low and value == low)  # type: ignore[operator]
        if not right:
            kind = "a whole number" if name in whole else "a number"
            words = f"{kind} {'>' if open_low else '>='} {low:g}"
            flaws.append(Flaw("is out of range", field=name, value=shorten(value), allowed=words))
    if flaws:
        raise InputError(flaws, "cluster from traces")
