"""Blocks: what the jobs of a cluster may take, one server at a time.

A *pair* is a job and a slot of its window. In a pair the job may take *blocks*: its fewest servers
together (level 0), then one further server after the other. Blocks stand in the order of job, slot,
level; whoever takes a block has taken those of the levels below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.audit import Schedule
from optmodels.scaling.cluster.instance import IntArray, Jobs, Profile

#: Differences of marginal throughput below this are rounding.
_DIGITS = 12


@dataclass(frozen=True)
class Blocks:
    """All blocks of some jobs.

    Attributes
    ----------
    pair_job, pair_slot
        Job and slot of each pair.
    pair, level
        Pair and level of each block; level 0 is the fewest servers.
    job, slot
        Job and slot of each block.
    code
        Profile code of each block.
    servers
        Servers of the job when it has taken the block.
    added
        Servers that the block adds.
    gain
        Work that the block adds in a slot; never more than the block below.
    """

    pair_job: IntArray
    pair_slot: IntArray
    pair: IntArray
    level: IntArray
    job: IntArray
    slot: IntArray
    code: IntArray
    servers: IntArray
    added: IntArray
    gain: FloatArray

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.pair)


def blocks_of(jobs: Jobs, until: IntArray, profiles: Sequence[Profile]) -> Blocks:
    """All blocks of jobs in the slots from their arrival up to (not including) `until`."""
    span = np.maximum(until - jobs.arrival, 0)
    pair_job = np.repeat(np.arange(jobs.count), span)
    place = np.arange(len(pair_job)) - (np.cumsum(span) - span)[pair_job]
    pair_slot = place + jobs.arrival[pair_job]
    fewest = np.array([p.fewest for p in profiles], dtype=np.int64)
    count = np.array([len(p.servers) for p in profiles], dtype=np.int64)[jobs.profile][pair_job]
    pair = np.repeat(np.arange(len(pair_job)), count)
    level = np.arange(len(pair)) - (np.cumsum(count) - count)[pair]
    job = pair_job[pair]
    code = jobs.profile[job]
    return Blocks(
        pair_job=pair_job,
        pair_slot=pair_slot,
        pair=pair,
        level=level,
        job=job,
        slot=pair_slot[pair],
        code=code,
        servers=fewest[code] + level,
        added=np.where(level == 0, fewest[code], 1),
        gain=by_level(profiles, [gains(p) for p in profiles])[code, level],
    )


def gains(profile: Profile) -> FloatArray:
    """Work that each level adds, without the rises that only rounding makes."""
    found: FloatArray = np.minimum.accumulate(np.round(profile.marginal, _DIGITS))
    return found


def by_level(profiles: Sequence[Profile], values: Sequence[FloatArray]) -> FloatArray:
    """Values of each profile's levels as a table: profile × level; 0 where there is no level."""
    table = np.zeros((len(profiles), max((len(p.servers) for p in profiles), default=0)))
    for code, row in enumerate(values):
        table[code, : len(row)] = row
    return table


def schedule_of(blocks: Blocks, used: FloatArray) -> Schedule:
    """The schedule that takes each block for a share of its slot.

    Parameters
    ----------
    blocks
        The blocks.
    used
        Share of each block, never more than that of the block below.
    """
    return rows_of(blocks.job, blocks.slot, blocks.servers, used)


def rows_of(job: IntArray, slot: IntArray, servers: IntArray, used: FloatArray) -> Schedule:
    """The schedule that uses blocks for shares of their slots.

    Parameters
    ----------
    job, slot, servers
        Of each block, sorted in this order; `servers` are those of the job with the block.
    used
        Share of each block, never more than that of the block below.
    """
    above = np.append(used[1:], 0.0)
    goes_on = np.zeros(len(used), dtype=bool)
    goes_on[:-1] = (job[1:] == job[:-1]) & (slot[1:] == slot[:-1])
    # The time spent at or above a level, less the time above it, is spent at it.
    share = used - np.where(goes_on, above[: len(used)], 0.0)
    rows = np.flatnonzero(share > 0)
    return Schedule(job[rows], slot[rows], servers[rows], share[rows])
