"""Policies of failover: FailLite's mechanisms, one by one and together, and their rivals.

==================  =============================  =====================================
policy              warm backups                   when a server fails
==================  =============================  =====================================
full-warm           full size, of all that fit     nothing is loaded
full-cold           none                           full size is loaded
full-warm-cold      full size, critical only       full size is loaded
small-cold          none                           the heuristic of `recovering`
small-cold-prog     none                           the same, progressively
faillite-noprog     best sizes, critical only      the heuristic
faillite            best sizes, critical only      the heuristic, progressively
faillite-cover      as many as possible first      the heuristic, progressively
faillite-greedy     greedy sizes, critical only    the heuristic, progressively
faillite-tuned      as faillite, with a chosen     the heuristic, progressively
                    headroom
==================  =============================  =====================================

The paper (FailLite, arXiv:2504.15856) names baselines of full size; these definitions are ours.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.failover.actions import NONE, Recovery, Warm, no_recovery, no_warm
from optmodels.ensembles.failover.greedy import greedy_backups
from optmodels.ensembles.failover.headroom import Headroom, best_of, choose_headroom, simulated
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.recovering import (
    Free,
    Room,
    choose,
    order_of,
    plain,
    progressive,
)
from optmodels.ensembles.failover.replay import FailoverHeader
from optmodels.ensembles.failover.warm_backups import place_backups
from optmodels.policy import Observation, Policy

IntArray = NDArray[np.int64]

#: Gap and number of nodes at which policies stop looking for better warm backups. There is no limit
#: of time, so that the same question has the same answer everywhere.
POLICY_GAP, POLICY_NODES = 1e-3, 100


class FailoverPolicy(Policy):
    """Warm backups once, then a recovery for each failure; subclasses say which.

    Attributes
    ----------
    solves
        Whether the warm backups come from a solver, which may take long.
    """

    solves: ClassVar[bool] = False

    def reset(self, header: FailoverHeader) -> None:
        """Take down what is told."""
        self._told = header.told

    def decide(self, observation: Observation) -> Warm | Recovery:
        """Place warm backups at first, recover afterwards."""
        if observation.slot == 0:
            return self.place(self._told)
        return self.recover(self._told, observation.state.room)

    @abstractmethod
    def place(self, told: FailoverInstance) -> Warm:
        """Warm backups."""

    @abstractmethod
    def recover(self, told: FailoverInstance, room: Room) -> Recovery:
        """What is loaded in the room that a failure leaves."""


def full_size(told: FailoverInstance, applications: IntArray) -> Warm:
    """Warm backups of full size: critical and heavy ones first, then large ones, worst fit."""
    warm = no_warm(len(told.applications))
    nothing = np.zeros(0, dtype=np.int64)
    nobody = np.zeros(len(told.servers), dtype=bool)
    free = Free(Room(nobody, told.free_mb, told.free_gflops, nothing))
    for a in order_of(told, applications).tolist():
        c = int(told.candidates.primary[a])
        k = free.worst_fit(told, c, told.may_stand[c])
        if k != NONE:
            free.take(told, c, k)
            warm.candidate[a], warm.server[a] = c, k
    return warm


def best_backups(
    told: FailoverInstance,
    headroom: float | None,
    mode: str = "weighted",
    time_limit_s: float | None = None,
) -> Warm:
    """Warm backups as FailLite places them: by the formulation, within the limits above."""
    return place_backups(
        told,
        mode=mode,
        headroom=headroom,
        time_limit_s=time_limit_s,
        mip_gap=POLICY_GAP,
        options={"mip_max_nodes": POLICY_NODES},
    ).warm


def tuned(
    told: FailoverInstance,
    place: Callable[[FailoverInstance, float], Warm],
    recover: Callable[[FailoverInstance, Room], Recovery],
) -> Headroom:
    """Headroom chosen with greedy backups, with those of `place` beside it where they do better."""
    greedy = choose_headroom(told, recover=recover)
    warm = place(told, greedy.share)
    return best_of([greedy, Headroom(greedy.share, warm, simulated(told, warm, recover))])


class FullWarm(FailoverPolicy):
    """Same-size warm backups and nothing else.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(A S) once, A applications and S servers.
    - Reference: baseline named by FailLite, arXiv:2504.15856; its form is ours.
    """

    name = "full-warm"
    summary = "warm backups of full size for all applications that fit; nothing is loaded"

    def place(self, told: FailoverInstance) -> Warm:
        """Full size, as many as fit."""
        return full_size(told, np.arange(len(told.applications)))

    def recover(self, told: FailoverInstance, room: Room) -> Recovery:
        """Nothing."""
        return no_recovery()


class FullCold(FailoverPolicy):
    """Full-size models, loaded at the failure.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(A S) per failure, A failed applications and S servers.
    - Reference: baseline named by FailLite, arXiv:2504.15856; its form is ours.
    """

    name = "full-cold"
    summary = "no warm backups; full size is loaded at the failure, worst fit"

    def place(self, told: FailoverInstance) -> Warm:
        """Nothing."""
        return no_warm(len(told.applications))

    def recover(self, told: FailoverInstance, room: Room) -> Recovery:
        """Full size or nothing."""
        return plain(choose(told, room, shrink=False))


class FullWarmCold(FullCold):
    """Same-size warm backups of critical applications, full-size cold ones of the others.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(A S) once and per failure, A applications and S servers.
    - Reference: baseline named by FailLite, arXiv:2504.15856; its form is ours.
    """

    name = "full-warm-cold"
    summary = "warm backups of full size for critical applications; full size is loaded for others"

    def place(self, told: FailoverInstance) -> Warm:
        """Full size of critical applications."""
        return full_size(told, np.flatnonzero(told.critical))


class SmallCold(FullCold):
    """The heuristic of the failure alone.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(A V S) per failure, A failed applications, V variants and S servers.
    - Reference: ours, a part of FailLite, arXiv:2504.15856.
    """

    name = "small-cold"
    summary = "no warm backups; variants that fit are loaded at the failure"

    def recover(self, told: FailoverInstance, room: Room) -> Recovery:
        """Variants that fit."""
        return plain(choose(told, room))


class SmallColdProgressive(FullCold):
    """The heuristic of the failure, progressively.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(A V S) per failure, A failed applications, V variants and S servers.
    - Reference: ours, a part of FailLite, arXiv:2504.15856.
    """

    name = "small-cold-prog"
    summary = "no warm backups; variants that fit are loaded at the failure, small ones first"

    def recover(self, told: FailoverInstance, room: Room) -> Recovery:
        """Variants that fit, small ones first."""
        return progressive(told, choose(told, room), room)


class FailLite(SmallColdProgressive):
    """FailLite's three mechanisms together.

    Parameters
    ----------
    headroom
        Share of the free capacity left to cold backups, 0 to 1; by default the instance's.
    time_limit_s
        Limit on the solver's time for the warm backups [s]; by default none, so that they are the
        same on every machine.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none; the warm backups alone are within the gap of the search.
    - Complexity: one mixed-integer programme of groups of like applications, variants and servers,
      to a gap of 1e-3 or 100 nodes; then O(A V S) per failure, A failed applications, V variants
      and S servers.
    - Reference: FailLite, arXiv:2504.15856; formulation and heuristic are ours.
    """

    name = "faillite"
    summary = "best small warm backups for critical applications; others are loaded, small first"
    mode: ClassVar[str] = "weighted"

    solves = True

    def __init__(self, headroom: float | None = None, time_limit_s: float | None = None) -> None:
        self.headroom, self.time_limit_s = headroom, time_limit_s

    def place(self, told: FailoverInstance) -> Warm:
        """The best backups that leave the headroom free."""
        return best_backups(told, self.headroom, self.mode, self.time_limit_s)


class FailLiteNoProgress(FailLite):
    """FailLite without progressive failover.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none; the warm backups alone are within the gap of the search.
    - Complexity: one mixed-integer programme of groups of like applications, variants and servers,
      to a gap of 1e-3 or 100 nodes; then O(A V S) per failure, A failed applications, V variants
      and S servers.
    - Reference: FailLite, arXiv:2504.15856 without progressive failover.
    """

    name = "faillite-noprog"
    summary = "as faillite, but what is chosen is loaded at once"

    def recover(self, told: FailoverInstance, room: Room) -> Recovery:
        """Variants that fit, at once."""
        return plain(choose(told, room))


class FailLiteCover(FailLite):
    """FailLite that backs up as many critical applications as it can.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none; the warm backups alone are within the gap of the search.
    - Complexity: one mixed-integer programme of groups of like applications, variants and servers,
      to a gap of 1e-3 or 100 nodes; then O(A V S) per failure, A failed applications, V variants
      and S servers.
    - Reference: ours, after FailLite, arXiv:2504.15856.
    """

    name = "faillite-cover"
    summary = "as faillite, but as many critical applications as possible are backed up first"
    mode = "coverage-first"


class FailLiteGreedy(FailLite):
    """FailLite without a solver.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(A V S) once, A applications, V variants and S servers; then O(A V S) per
      failure, A failed applications, V variants and S servers.
    - Reference: ours, after FailLite, arXiv:2504.15856.
    """

    name = "faillite-greedy"
    summary = "as faillite, but warm backups are placed greedily"
    solves = False

    def place(self, told: FailoverInstance) -> Warm:
        """The smallest of each, then upgrades by accuracy per megabyte."""
        share = told.parameters.headroom if self.headroom is None else self.headroom
        return greedy_backups(told, float(share))


class FailLiteTuned(FailLite):
    """FailLite with the headroom that loses the fewest applications, and is then the soonest.

    Notes
    -----
    - Assumptions: the failures of the instance.
    - Proven ratio: none.
    - Complexity: a simulation of every failure for each of eleven shares, then as `faillite`.
    - Reference: ours, after FailLite, arXiv:2504.15856.
    """

    name = "faillite-tuned"
    summary = "as faillite, with the headroom that recovers the most, and then the soonest"

    def place(self, told: FailoverInstance) -> Warm:
        """The best backups beside the headroom that is best for greedy ones; or these."""
        place = partial(best_backups, time_limit_s=self.time_limit_s)
        return tuned(told, place, self.recover).warm


KINDS: tuple[type[FailoverPolicy], ...] = (
    FullWarm,
    FullCold,
    FullWarmCold,
    SmallCold,
    SmallColdProgressive,
    FailLiteNoProgress,
    FailLite,
    FailLiteCover,
    FailLiteGreedy,
    FailLiteTuned,
)
