"""Planner-L: what to configure and run in a slot, from the power and demand that are expected.

The fewest lost requests come first, then the least time or power (`optmodels.routing.sites.model`).
A mixed-integer programme of fifty sites takes minutes; its linear programme on the rows that it can
need takes a fraction of a second, and whole instances made from it
(`optmodels.routing.sites.rounding`) serve all but some thousandths of what it serves. The loss of
the linear programme is a lower bound on that of every plan for the slot, so each plan knows how far
it may be from the best.

The public abstract of Heron ("AI Greenferencing", arXiv:2505.09989) tells of planning at a quarter
of an hour, and of no formulas; the formulation and the production path are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import Fleet, IntArray
from optmodels.routing.sites.programme import Costs, Point, Programme
from optmodels.routing.sites.rounding import Limits, configuration, left_over, whole


@dataclass(frozen=True, eq=False)
class SlotPlan:
    """A plan in whole instances, and what the linear programme says of it.

    Attributes
    ----------
    configured
        Instances that hold GPUs, (S, G).
    running
        Instances that run, (S, R).
    lost
        Weighted requests that these cannot serve [1/s].
    bound
        No plan for the slot loses less [1/s].
    point
        The optimum of the linear programme.
    """

    configured: IntArray
    running: IntArray
    lost: float
    bound: float
    point: Point

    def gap(self, demand: FloatArray, weight: FloatArray) -> float:
        """Share of what the linear programme serves that this plan does not."""
        served = float(demand.sum(axis=0) @ weight) - self.bound
        return max(0.0, self.lost - self.bound) / served if served > 0 else 0.0


class Planner:
    """Plans slots for one fleet; each starts from the basis of the one before.

    Parameters
    ----------
    fleet
        The fleet.
    second
        What is least among plans that lose equally few: "latency" or "power".
    """

    def __init__(self, fleet: Fleet, second: str = "latency") -> None:
        self.fleet = fleet
        self._programme = Programme(fleet, Costs.second(fleet, second))

    def plan(
        self,
        power_kw: FloatArray,
        demand: FloatArray,
        *,
        before: IntArray | None = None,
        reload_share: float = 0.0,
    ) -> SlotPlan:
        """Plan a slot.

        Parameters
        ----------
        power_kw
            Wind power that each site is expected to have [kW], (S,).
        demand
            Requests that are expected [1/s], (O, C).
        before
            Instances that are configured now, (S, G); None where any would stand there loaded.
        reload_share
            Share of the slot for which a newly configured instance loads, at most 1.
        """
        fleet = self.fleet
        known = None if before is None else before.astype(np.float64)
        point = self._programme.solve(power_kw, demand, before=known, reload_share=reload_share)
        most = power_kw + fleet.backup_kw
        limits = Limits(most)
        running = whole(fleet, point, demand, limits)
        return SlotPlan(
            configured=configuration(fleet, running, most, before=before, spare=True),
            running=running,
            lost=left_over(fleet, running, demand),
            bound=max(point.bound, 0.0),
            point=point,
        )
