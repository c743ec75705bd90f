r"""How much capacity to keep free for cold backups.

More headroom leaves fewer warm backups, so that fewer applications are back at once, and more room
to load the others, so that fewer are lost. Two answers:

- *necessary* (`least_headroom`): where all critical applications are backed up, the smallest
  variants of the others that a failure takes must fit into what is kept free on the servers that
  survive, :math:`\alpha \sum_{k \notin f} F_k \ge d_f` for all f; enough but for what is lost by
  whole models not filling servers;
- *simulated* (`choose_headroom`): the share on a grid with which a recovery of every failure gets
  the most applications back, and of several such shares the one that gets them back soonest. The
  grid goes up to 1, nothing warm at all, so that warm backups are never kept to their own harm.

Both are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.ensembles.failover.actions import Recovery, Warm
from optmodels.ensembles.failover.audit import cost_of, outcome
from optmodels.ensembles.failover.greedy import greedy_backups
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.recovering import Room, choose, progressive
from optmodels.ensembles.failover.replay import room_of
from optmodels.errors import UsageError
from optmodels.plan import Cost

#: Shares that are tried.
GRID = tuple(round(0.1 * i, 1) for i in range(11))
_ROUNDING = 1e-9

Place = Callable[[FailoverInstance, float], Warm]


@dataclass(frozen=True)
class Headroom:
    """A share to keep free, the warm backups beside it, and what they lead to."""

    share: float
    warm: Warm
    cost: Cost


def least_headroom(instance: FailoverInstance) -> float:
    """Share of the free memory that cold backups need in the worst failure; above 1 if too much."""
    options = instance.candidates
    smallest = np.where(instance.critical, 0.0, options.memory_mb[options.start[:-1]])
    shares = [0.0]
    for failure in instance.failures:
        needed = float(smallest[failure.failed].sum())
        free = float(instance.free_mb[~failure.down].sum())
        if needed > 0:
            shares.append(needed / free if free > 0 else float("inf"))
    return max(shares)


def simulated(
    instance: FailoverInstance,
    warm: Warm,
    recover: Callable[[FailoverInstance, Room], Recovery] | None = None,
) -> Cost:
    """What warm backups lead to, over all failures; by default with FailLite's recovery."""
    outcomes = []
    for failure in instance.failures:
        room = room_of(instance, warm, failure)
        if recover is None:
            recovery = progressive(instance, choose(instance, room), room)
        else:
            recovery = recover(instance, room)
        outcomes.append(outcome(instance, warm, failure, recovery))
    return cost_of(instance, warm, outcomes)


def choose_headroom(
    instance: FailoverInstance,
    shares: Sequence[float] = GRID,
    *,
    place: Place = greedy_backups,
    recover: Callable[[FailoverInstance, Room], Recovery] | None = None,
) -> Headroom:
    """The share with which the most applications are recovered, and these the soonest.

    Parameters
    ----------
    instance
        The question.
    shares
        Shares to try, each 0 to 1, in rising order.
    place
        How warm backups are placed beside a share.
    recover
        How failures are recovered; by default FailLite's way.

    Raises
    ------
    UsageError
        No shares, shares out of range or not in order.
    """
    given = list(shares)
    if not given or given != sorted(given) or not 0 <= given[0] <= given[-1] <= 1:
        raise UsageError(f"The shares are {given}; allowed: numbers from 0 to 1 in rising order.")
    tried = []
    for share in given:
        warm = place(instance, share)
        tried.append(Headroom(share, warm, simulated(instance, warm, recover)))
    return best_of(tried)


def best_of(tried: Sequence[Headroom]) -> Headroom:
    """Whichever recovers the most, and of these the soonest; the first of several."""
    most = max(map(_rate, tried))
    return min(
        (found for found in tried if _rate(found) >= most - _ROUNDING),
        key=lambda found: found.cost.quantities.get("mttr_ms", 0.0),
    )


def headroom_table(
    instance: FailoverInstance, shares: Sequence[float] = GRID, *, place: Place = greedy_backups
) -> pd.DataFrame:
    """What each share leads to: one row with its recovery rate, MTTR, accuracy and lost service."""
    rows = []
    for share in shares:
        warm = place(instance, share)
        rows.append({"headroom": share, **simulated(instance, warm).columns})
    return pd.DataFrame(rows)


def _rate(found: Headroom) -> float:
    # Where nothing fails, nothing is lost.
    return found.cost.quantities.get("recovery_rate", 1.0)
