"""Who gets the servers of a slot: CarbonFlex's scheduling.

Every level of every job in the system is an item: the fewest servers of a job together, then each
further server. Items are served by what they add to the work of their job, most first; among
equals, jobs on their fewest servers come before any job above, then the job with the least slack,
then the oldest. Items that add less than a threshold are left out, and so are those beyond the
servers that are provisioned. Jobs that have used up their slack stand before all of this: they run
on their fewest servers until they are done, also beyond what is provisioned.

Source: Hanafy et al., "CarbonFlex" (arXiv 2505.18357), Algorithm 3. Where its print is not to be
taken literally we read it so: a level at the threshold itself is served (with a strict comparison
a threshold of 1 would run nothing); slack shrinks only while a job does not run; a level that adds
nothing is never served; and where an item of several servers does not fit, smaller items behind it
still may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.cluster_policy import grant
from optmodels.scaling.cluster.instance import IntArray, Profile

#: Marginal throughputs that differ by less are equal.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Ladder:
    """The levels of all profiles as tables, profile × level; level 0 is the fewest servers.

    Attributes
    ----------
    fewest
        Fewest servers by profile.
    marginal
        Work that each level adds to the one below; 0 where there is no such level.
    rank
        Order in which levels are served: larger marginals first, fewest servers before others.
    """

    fewest: IntArray
    marginal: FloatArray
    rank: NDArray[np.int16]

    @classmethod
    def of(cls, profiles: Sequence[Profile]) -> Ladder:
        """Ladder of these profiles, in the order of their codes."""
        levels = max(len(profile.servers) for profile in profiles)
        marginal = np.zeros((len(profiles), levels))
        for code, profile in enumerate(profiles):
            # Rounding in a profile must not put a level before the one below it.
            marginal[code, : len(profile.servers)] = np.minimum.accumulate(profile.marginal)
        steps = np.round(marginal / _ROUNDING).astype(np.int64)
        above = np.broadcast_to(np.arange(levels) > 0, steps.shape)
        _, rank = np.unique(np.where(above, 1, 0) - 2 * steps, return_inverse=True)
        fewest = np.array([profile.fewest for profile in profiles], dtype=np.int64)
        kind = np.int16 if marginal.size <= np.iinfo(np.int16).max else np.int64
        return cls(fewest, marginal, rank.reshape(steps.shape).astype(kind))

    def levels_from(self, threshold: float) -> IntArray:
        """Number of levels of each profile that add at least this much, and anything at all."""
        least = max(threshold - _ROUNDING, _ROUNDING)
        return np.asarray((self.marginal >= least).sum(axis=1), dtype=np.int64)


def schedule(
    ladder: Ladder,
    profile: IntArray,
    slack: IntArray,
    overdue: NDArray[np.bool_],
    *,
    servers: int,
    threshold: float,
    capacity: int,
) -> IntArray:
    """Servers of each job in the system.

    Parameters
    ----------
    ladder
        Levels of the profiles.
    profile
        Code of the profile of each job, oldest job first.
    slack
        Slots that each job may still wait.
    overdue
        Jobs that run on their fewest servers, ahead of everything.
    servers
        m: servers that are provisioned. Overdue jobs may raise it.
    threshold
        ρ: least work that a level must add to be served, relative to the fewest servers.
    capacity
        M: servers of the cluster.

    Returns
    -------
    numpy.ndarray
        Servers of each job: 0 or a level of its profile, in sum at most the larger of `servers`
        and what the overdue jobs need, and at most `capacity`.
    """
    order = np.argsort(slack, kind="stable")
    fewest = ladder.fewest[profile]
    given = grant(order[overdue[order]], fewest, capacity)
    left = min(max(servers, int(given.sum())), capacity) - int(given.sum())
    has_first = given > 0
    count = np.maximum(ladder.levels_from(threshold)[profile] - has_first, 0)[order]
    if left <= 0 or not count.any():
        return given
    job = np.repeat(order, count)
    before = np.cumsum(count) - count
    level = np.arange(len(job)) - np.repeat(before, count) + has_first[job]
    served = np.argsort(ladder.rank[profile[job], level], kind="stable")
    job, level = job[served], level[served]
    size = np.where(level == 0, fewest[job], 1)
    while len(job) and left > 0:
        fits = np.cumsum(size) <= left
        stop = len(job) if fits.all() else int(np.argmin(fits))
        # Levels of a job come in order, so a sum is all that they are.
        given += np.bincount(job[:stop], weights=size[:stop], minlength=len(given)).astype(np.int64)
        left -= int(size[:stop].sum())
        # A job whose fewest servers do not fit now gets nothing above them either.
        passed = np.zeros(len(given), dtype=bool)
        passed[job[stop:][size[stop:] > left]] = True
        keep = ~passed[job[stop:]]
        job, size = job[stop:][keep], size[stop:][keep]
    return given
