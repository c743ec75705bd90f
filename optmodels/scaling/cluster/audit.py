"""The audit of a cluster: the only place where its grams and kWh are computed.

A plan is a table ``schedule``: which job holds how many servers in which slot, and for which share
of the slot it runs on them. A job may run on several numbers of servers in one slot, one after the
other; what it holds is then the largest of them, and it holds it for the whole slot. Nothing else
of a plan is believed: work, energy, carbon and lateness are recomputed from the raw instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.scaling.cluster.instance import ClusterInstance, IntArray
from optmodels.violations import audited, lacking, listed, numbers, row_violations

#: Largest tolerated error, relative to the scale of each limit.
TOLERANCE = 1e-7
COLUMNS = ("job", "slot", "servers", "share")
#: Latest slot of a plan; the audit holds numbers for every slot up to the last in use.
_LAST_SLOT = 10_000_000


@dataclass(frozen=True)
class Schedule:
    """Rows of a schedule as arrays; `job` counts in the order of `ClusterInstance.jobs`."""

    job: IntArray
    slot: IntArray
    servers: IntArray
    share: FloatArray


@dataclass(frozen=True)
class Outcome:
    """What became of each job.

    Attributes
    ----------
    work
        Work done [slots on the fewest servers].
    start
        First slot with servers; -1 for a job that never ran.
    finish
        Time of its end, in slots from the start [slots]; 0 for a job that never ran.
    delay
        Slots between arrival and end beyond its length; negative where scaling sped it up.
    late
        Slots after its due slot.
    """

    work: FloatArray
    start: IntArray
    finish: FloatArray
    delay: FloatArray
    late: FloatArray


def audit(instance: ClusterInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan costs and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``schedule`` (job, slot, servers, share): one row per job, slot and number of servers.

    Returns
    -------
    Audit
        Cost in g: execution, network, starting, and the price of lateness; with it the carbon
        alone, energy and server-hours; and the violations.
    """
    schedule, violations = read_schedule(instance, tables)
    held, used = held_servers(instance, schedule)
    result = outcome(instance, schedule)
    violations += _job_violations(instance, schedule, held, result)
    violations += [
        Violation("capacity", f"slot {t}", float(used[t]), f"at most {instance.capacity} servers")
        for t in listed(used > instance.capacity)
    ]
    cost = _cost(instance, schedule, held, used, result)
    return audited(cost, violations)


def schedule_table(instance: ClusterInstance, schedule: Schedule) -> pd.DataFrame:
    """The table of a plan: jobs by their own numbers, sorted by job, slot and servers."""
    number = instance.jobs.number[schedule.job]
    order = np.lexsort((schedule.servers, schedule.slot, number))
    return pd.DataFrame(
        {
            "job": number[order],
            "slot": schedule.slot[order],
            "servers": schedule.servers[order],
            "share": schedule.share[order],
        }
    )


def read_schedule(
    instance: ClusterInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Schedule, list[Violation]]:
    """The sound rows of a plan's schedule, and what is wrong with the others."""
    empty = np.empty(0, dtype=np.int64)
    table = tables.get("schedule")
    missing = lacking(COLUMNS, table, "schedule")
    if table is None or missing:
        return Schedule(empty, empty, empty, np.empty(0)), missing
    number, slot, servers, share = (numbers(table[name]) for name in COLUMNS)
    order = np.argsort(instance.jobs.number, kind="stable")
    sorted_numbers = instance.jobs.number[order]
    place = np.minimum(np.searchsorted(sorted_numbers, number), max(len(order) - 1, 0))
    known = np.zeros(len(number), dtype=bool)
    if len(order):
        known = sorted_numbers[place] == number
    job = order[place] if len(order) else np.zeros(len(number), dtype=np.int64)
    fewest, most = _range(instance)
    profile = instance.jobs.profile[job] if len(order) else job
    right_slot = known & (slot == np.floor(slot)) & (slot >= 0) & (slot <= _LAST_SLOT)
    right_servers = known & (servers == np.floor(servers))
    if len(order):
        right_servers &= (servers >= fewest[profile]) & (servers <= most[profile])
    right_share = (share >= -TOLERANCE) & (share <= 1 + TOLERANCE)
    use = known & right_slot & right_servers & right_share
    violations = [
        violation
        for limit, right, values, allowed in (
            ("job of the cluster", known, number, "a job of the instance"),
            ("slot", right_slot | ~known, slot, f"a whole number, 0 to {_LAST_SLOT:,}"),
            ("servers of a job", right_servers | ~known, servers, "a level of its profile"),
            ("share of a slot", right_share, share, "0 to 1"),
        )
        for violation in row_violations(
            limit, ~right, values, allowed, lambda i: f"row {i + 1} (job {number[i]:.12g})"
        )
    ]
    rows = Schedule(
        job[use],
        slot[use].astype(np.int64),
        servers[use].astype(np.int64),
        np.clip(share[use], 0.0, 1.0),
    )
    key = pd.MultiIndex.from_arrays([rows.job, rows.slot, rows.servers])
    violations += [
        Violation(
            "one row per job, slot and servers",
            f"job {instance.jobs.number[rows.job[i]]}, slot {rows.slot[i]}",
            int(rows.servers[i]),
            "once",
        )
        for i in listed(key.duplicated())
    ]
    return rows, violations


def held_servers(instance: ClusterInstance, schedule: Schedule) -> tuple[Schedule, IntArray]:
    """What each job holds in each slot (its largest number, its whole share), and the sums.

    Returns
    -------
    held
        One row per job and slot with servers; ``share`` is the sum of its shares.
    used
        Servers in use in each slot, shape (T',) up to the last slot in use.
    """
    order = np.lexsort((schedule.slot, schedule.job))
    job, slot = schedule.job[order], schedule.slot[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (job[1:] != job[:-1]) | (slot[1:] != slot[:-1])
    first = np.flatnonzero(new)
    if not len(first):
        return schedule, np.zeros(instance.slots, dtype=np.int64)
    servers = np.maximum.reduceat(schedule.servers[order], first)
    share = np.add.reduceat(schedule.share[order], first)
    held = Schedule(job[first], slot[first], servers, share)
    length = max(instance.slots, int(held.slot.max()) + 1)
    used = np.bincount(held.slot, weights=held.servers, minlength=length).astype(np.int64)
    return held, used


def outcome(instance: ClusterInstance, schedule: Schedule) -> Outcome:
    """What became of each job under a schedule."""
    jobs, rows = instance.jobs, schedule
    count = jobs.count
    throughput = _levels(instance, tuple(p.throughput for p in instance.profiles))
    done = throughput[jobs.profile[rows.job], rows.servers] * rows.share
    work: FloatArray = np.bincount(rows.job, weights=done, minlength=count).astype(np.float64)
    running = rows.share > 0
    start = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(start, rows.job[running], rows.slot[running])
    start[start == np.iinfo(np.int64).max] = -1
    last = np.zeros(count, dtype=np.int64)
    np.maximum.at(last, rows.job[running], rows.slot[running])
    at_end = rows.slot == last[rows.job]
    end_share = np.bincount(rows.job[at_end], weights=rows.share[at_end], minlength=count)
    finish: FloatArray = (last + end_share).astype(np.float64)
    delay = finish - jobs.arrival - jobs.length
    late = np.maximum(finish - instance.due, 0.0)
    late[late <= TOLERANCE] = 0.0
    return Outcome(work, start, finish, delay, late)


def _job_violations(
    instance: ClusterInstance, schedule: Schedule, held: Schedule, result: Outcome
) -> list[Violation]:
    jobs = instance.jobs
    number = jobs.number
    early = schedule.slot < jobs.arrival[schedule.job]
    violations = [
        Violation(
            "arrival",
            f"job {number[schedule.job[i]]}",
            int(schedule.slot[i]),
            f"slots from {jobs.arrival[schedule.job[i]]}",
        )
        for i in listed(early)
    ]
    wrong = ~(np.abs(result.work - jobs.length) <= TOLERANCE * jobs.length)
    violations += [
        Violation("work of a job", f"job {number[j]}", float(result.work[j]), f"{jobs.length[j]:g}")
        for j in listed(wrong)
    ]
    violations += [
        Violation(
            "time in a slot",
            f"job {number[held.job[i]]}, slot {held.slot[i]}",
            float(held.share[i]),
            "at most 1",
        )
        for i in listed(held.share > 1 + TOLERANCE)
    ]
    return violations


def _cost(
    instance: ClusterInstance,
    schedule: Schedule,
    held: Schedule,
    used: IntArray,
    result: Outcome,
) -> Cost:
    p, jobs = instance.parameters, instance.jobs
    hours = instance.slot_hours
    carbon = instance.carbon_until(len(used))
    network = _levels(instance, tuple(q.network_gbps for q in instance.profiles))
    execution_kwh = schedule.servers * schedule.share * float(p.server_kw) * hours
    moved = network[jobs.profile[schedule.job], schedule.servers]
    network_kwh = moved * schedule.share * float(p.network_w_per_gbps) / 1000 * hours
    # Rows of `held` are sorted by job and slot: a job that ran in the slot before keeps its
    # servers; what it holds beyond them is started.
    before = np.zeros(len(held.job), dtype=np.int64)
    goes_on = (held.job[1:] == held.job[:-1]) & (held.slot[1:] == held.slot[:-1] + 1)
    before[1:] = np.where(goes_on, held.servers[:-1], 0)
    started_kwh = np.maximum(held.servers - before, 0) * float(p.start_kwh)
    grams = {
        "execution_g": float(execution_kwh @ carbon[schedule.slot]),
        "network_g": float(network_kwh @ carbon[schedule.slot]),
        "starting_g": float(started_kwh @ carbon[held.slot]),
    }
    return Cost(
        parts={**grams, "late_g": float(result.late @ instance.late_g_per_slot)},
        quantities={
            "carbon_g": sum(grams.values()),
            "energy_kwh": float(execution_kwh.sum() + network_kwh.sum() + started_kwh.sum()),
            "server_hours": float(used.sum() * hours),
        },
        unit="g",
    )


def _range(instance: ClusterInstance) -> tuple[IntArray, IntArray]:
    profiles = instance.profiles
    return np.array([p.fewest for p in profiles]), np.array([p.most for p in profiles])


def _levels(instance: ClusterInstance, columns: tuple[FloatArray, ...]) -> FloatArray:
    """A column of the profiles as a table: profile × number of servers; 0 outside a profile."""
    most = max(profile.most for profile in instance.profiles)
    table = np.zeros((len(columns), most + 1))
    for code, (profile, column) in enumerate(zip(instance.profiles, columns, strict=True)):
        table[code, profile.servers] = column
    return table
