"""CarbonFlex's oracle: a greedy over the blocks of all jobs, as published, lengths known.

Every job offers its *blocks*: for each slot between its arrival and the slot in which it is due,
its fewest servers together, then one server after the other. A block of marginal throughput p in a
slot of carbon intensity c is worth p / c. The greedy takes the blocks from the most valuable on,
skips those that do not fit into the cluster any more, and stops with a job when its work is done.
Jobs for which not enough is left get a later due slot, and everything starts anew.

From the paper (Hanafy et al., "CarbonFlex: Enabling Carbon-aware Provisioning and Scheduling for
Cloud Clusters", 2025, algorithm 1): the blocks, their value and order (ties to the job that is due
earlier), the extension of due slots. Ours, where the paper is silent or cannot be meant:

- the printed test of the capacity refuses a block that fills the cluster to the last server; here
  the last server may be used;
- the last block of a job runs for the share of its slot that is still needed;
- further ties go to the lower level, then to the earlier slot, so that a linear profile on constant
  carbon stays on its fewest servers;
- exactly the unfinished jobs get one more slot, then twice as much each time, up to the last slot.

The paper's value counts neither the power of moving data between servers nor that a first block
may be several servers, and neither does this. Where jobs start from one server, move no data and
find room for all they want it is an optimum, as the paper proves; where the capacity binds it is a
heuristic, although the paper claims more (`bound` says how far it is away; `optimum` finds better).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray, frozen
from optmodels.scaling.cluster.audit import Schedule
from optmodels.scaling.cluster.blocks import Blocks, blocks_of, by_level, gains, schedule_of
from optmodels.scaling.cluster.instance import IntArray, Jobs, Profile, whole

#: A job within this of its length is done.
_DONE = 1e-12
#: Blocks that are looked at before those of finished jobs and full slots are thrown out.
_FIRST_CHUNK, _LARGEST_CHUNK = 4096, 65536


@dataclass(frozen=True)
class GreedySchedule:
    """What the greedy has decided.

    Attributes
    ----------
    schedule
        Which job runs when, on how many servers; `job` counts in the order of the jobs given.
    due
        Slot in which each job was due in the end: as given, or later where it had to be.
    left
        Work for which there was no room before the last slot of the carbon series [slots on the
        fewest servers]; 0 for a job that is done.
    """

    schedule: Schedule
    due: IntArray
    left: FloatArray


def greedy_schedule(
    jobs: Jobs,
    due: IntArray,
    carbon: FloatArray,
    profiles: Sequence[Profile],
    capacity: int,
) -> GreedySchedule:
    """Schedule jobs of known length by CarbonFlex's oracle.

    Parameters
    ----------
    jobs
        The jobs; arrivals count from the first slot of `carbon`.
    due
        Slot by which each job should be done, shape (jobs,).
    carbon
        Carbon intensity [g/kWh], ≥ 0; its end is the last slot in which a job may run.
    profiles
        How jobs scale, by code.
    capacity
        Servers of the cluster.

    Returns
    -------
    GreedySchedule
        Its schedule never uses more than the capacity.

    Notes
    -----
    Sorting B blocks takes O(B log B) in numpy, and one pass over those that are still of interest.
    """
    last = len(carbon)
    extension = np.zeros(jobs.count, dtype=np.int64)
    while True:
        extended = np.minimum(due + extension, last)
        schedule, left = _pass(jobs, extended, carbon, profiles, capacity)
        late = (left > 0) & (extended < last)
        if not late.any():
            return GreedySchedule(schedule, whole(np.where(extension, extended, due)), frozen(left))
        extension[late] = np.maximum(1, 2 * extension[late])


def servers_and_thresholds(
    schedule: Schedule, profile: IntArray, profiles: Sequence[Profile], slots: int
) -> tuple[IntArray, FloatArray]:
    """What a schedule says about each slot: how many servers, and down to which throughput.

    Parameters
    ----------
    schedule
        Which job runs when, on how many servers.
    profile
        Code of each job's profile.
    profiles
        How jobs scale, by code.
    slots
        Number of slots.

    Returns
    -------
    servers
        Servers in use (m_t), shape (slots,).
    threshold
        Least marginal throughput of a running job's last server (ρ_t); 1 where nothing runs.
    """
    table = by_level(profiles, [gains(p) for p in profiles])
    fewest = np.array([p.fewest for p in profiles], dtype=np.int64)
    order = np.lexsort((-schedule.servers, schedule.slot, schedule.job))
    job, slot, servers = (a[order] for a in (schedule.job, schedule.slot, schedule.servers))
    top = np.ones(len(order), dtype=bool)
    top[1:] = (job[1:] != job[:-1]) | (slot[1:] != slot[:-1])
    top &= slot < slots
    job, slot, servers = job[top], slot[top], servers[top]
    used = np.bincount(slot, weights=servers, minlength=slots).astype(np.int64)
    threshold = np.ones(slots)
    code = profile[job]
    np.minimum.at(threshold, slot, table[code, servers - fewest[code]])
    return used, threshold


def _pass(
    jobs: Jobs,
    due: IntArray,
    carbon: FloatArray,
    profiles: Sequence[Profile],
    capacity: int,
) -> tuple[Schedule, FloatArray]:
    """One run over all blocks; the schedule, and the work that found no room."""
    blocks = blocks_of(jobs, due, profiles)
    useful = np.flatnonzero(blocks.gain > 0)
    rank = due[blocks.job] * (int(blocks.level.max(initial=0)) + 1) + blocks.level
    price = carbon[blocks.slot[useful]] / blocks.gain[useful]
    order = useful[np.lexsort((rank[useful], price))]
    taken, left = _take(blocks, order, jobs.length, capacity, len(carbon))
    used = np.zeros(blocks.count)
    used[taken] = 1.0
    # Of the blocks of a job only the last one that it took can be more than it needs.
    last = np.full(jobs.count, -1, dtype=np.int64)
    last[blocks.job[taken]] = taken
    over = np.flatnonzero((left < 0) & (last >= 0))
    used[last[over]] = 1.0 + left[over] / blocks.gain[last[over]]
    return schedule_of(blocks, used), np.where(left > _DONE * jobs.length, left, 0.0)


def _take(
    blocks: Blocks, order: IntArray, length: FloatArray, capacity: int, slots: int
) -> tuple[IntArray, FloatArray]:
    """Blocks that are taken, in this order; work that is left of each job, negative if beyond."""
    reached = [0] * len(blocks.pair_job)
    free = [capacity] * slots
    left = length.tolist()
    done = (length * _DONE).tolist()
    taken: list[int] = []
    size = _FIRST_CHUNK
    columns = (blocks.pair, blocks.job, blocks.slot, blocks.level, blocks.added, blocks.gain)
    while len(order):
        chunk, order = order[:size], order[size:]
        rows = zip(chunk.tolist(), *(c[chunk].tolist() for c in columns), strict=True)
        for block, pair, job, slot, level, added, gain in rows:
            if reached[pair] == level and added <= free[slot] and left[job] > done[job]:
                reached[pair] = level + 1
                free[slot] -= added
                left[job] -= gain
                taken.append(block)
        size = min(2 * size, _LARGEST_CHUNK)
        unfinished = np.array(left) > np.array(done)
        order = order[unfinished[blocks.job[order]] & (np.array(free) > 0)[blocks.slot[order]]]
    return np.array(taken, dtype=np.int64), np.array(left)
