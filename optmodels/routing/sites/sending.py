"""Where requests go, once it is known which instances run.

The best flows for given instances are a small linear programme of one phase: a lost request costs
a thousand times the longest time from end to end, so that the fewest are lost, in the least time.
What it finds holds within the solver's tolerance; the flows are then trimmed, so that every limit
holds to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.fleet import Fleet, IntArray
from optmodels.routing.sites.hulls import all_columns
from optmodels.routing.sites.programme import Costs, Programme

#: Cost of a lost request of the least weight, in longest times from end to end.
_LOST_TIMES = 1000.0


@dataclass(frozen=True, eq=False)
class Sent:
    """Flows of a period.

    Attributes
    ----------
    flow
        Requests by origin, site and row [1/s], (O, S, R).
    lost
        Weighted requests that are not served [1/s].
    """

    flow: FloatArray
    lost: float


class Sender:
    """Finds the best flows for running instances, for one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        time = Costs.latency(fleet)
        longest = float(fleet.residence.max(initial=0.0) + fleet.rtt_s.max(initial=0.0))
        least = float(fleet.weight[fleet.weight > 0].min(initial=np.inf))
        unit = _LOST_TIMES * longest / (least if np.isfinite(least) else 1.0)
        self._costs = replace(time, lost=1.0, running=time.running / unit, flow=time.flow / unit)
        self._programme = Programme(fleet, self._costs, columns=all_columns(fleet))
        self._power = np.full(fleet.sites, np.inf)

    def send(
        self, running: IntArray, demand: FloatArray, effective: FloatArray | None = None
    ) -> Sent:
        """Send as many requests as possible, in the least time.

        Parameters
        ----------
        running
            Running instances, (S, R).
        demand
            Arriving requests [1/s], (O, C).
        effective
            Instances of each degree that serve, less than those that run where some load, (S, G).
        """
        fleet, most = self.fleet, running.astype(np.float64)
        serving = fleet.of_degree(most)
        if effective is not None:
            serving = np.minimum(serving, effective)
        point = self._programme.weigh(
            self._costs, self._power, demand, most_running=most, most_configured=serving
        )
        used = np.minimum(point.running, most)
        used = used * _shrink(fleet.of_degree(used), serving)[:, fleet.degree_of]
        flow = self._by_row(point.flow, used)
        flow = flow * _shrink(self._by_class(flow), demand)[:, None, fleet.row_class]
        left = demand - self._by_class(flow)
        return Sent(flow, float(np.maximum(left, 0.0).sum(axis=0) @ fleet.weight))

    def _by_row(self, arcs: FloatArray, used: FloatArray) -> FloatArray:
        """Flows by row: what a bin gets, in proportion to the capacities of its rows."""
        fleet, bins = self.fleet, self.fleet.bins
        arc_bin, arc_origin = np.nonzero(bins.origins)
        to_bin = np.zeros((len(bins), fleet.origins))
        to_bin[arc_bin, arc_origin] = arcs
        site, row = np.nonzero(used)
        place = bins.of[site, row]
        capacity = used[site, row] * fleet.rate[row]
        whole = np.bincount(place, weights=capacity, minlength=len(bins))
        per_capacity = np.minimum(
            1.0, whole / np.maximum(to_bin.sum(axis=1), np.finfo(np.float64).tiny)
        ) / np.where(whole > 0, whole, 1.0)
        flow = np.zeros((fleet.origins, fleet.sites, fleet.rows))
        flow[:, site, row] = (to_bin[place] * (per_capacity[place] * capacity)[:, None]).T
        return flow

    def _by_class(self, flow: FloatArray) -> FloatArray:
        """Flows by origin and class, (O, C)."""
        fleet = self.fleet
        by_row = flow.sum(axis=1)
        served = np.zeros((fleet.origins, fleet.classes))
        for c in range(fleet.classes):
            served[:, c] = by_row[:, fleet.row_class == c].sum(axis=1)
        return served


def _shrink(value: FloatArray, most: FloatArray) -> FloatArray:
    """Factor, at most 1, that brings values to a limit."""
    factor: FloatArray = np.where(value > most, most / np.where(value > 0, value, 1.0), 1.0)
    return factor
