"""Who places a batch: CarbonEdge, the baselines of its paper, and placing one by one.

All but the last solve the same placement with the same limits, each at prices of its own
(`optmodels.placement.edge.prices`), and know no later batch. That they solve it well keeps the
comparison fair: what separates them is what they look at.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from optmodels.errors import InfeasibleError, UsageError
from optmodels.placement.edge import prices
from optmodels.placement.edge.audit import Placement
from optmodels.placement.edge.greedy import greedy
from optmodels.placement.edge.instance import EdgeInstance
from optmodels.placement.edge.optimum import Limits, search
from optmodels.placement.edge.prices import Prices
from optmodels.policy import Observation, Policy


class Planner(Policy):
    """Solves the placement of a batch at some prices.

    Parameters
    ----------
    mip_gap
        Relative gap at which the search may stop.
    """

    def __init__(self, mip_gap: float = 1e-4) -> None:
        self.mip_gap = mip_gap

    def reset(self, header: Any) -> None:
        """Nothing is remembered: the question of a batch says all."""
        del header

    def decide(self, observation: Observation) -> Placement:
        """Place the batch.

        Raises
        ------
        UsageError
            What earlier batches left has no room for this one.
        """
        question: EdgeInstance = observation.state
        try:
            limits = Limits("auto", mip_gap=self.mip_gap)
            return search(question, self.prices(question), limits).placement
        except InfeasibleError as error:
            raise UsageError(f"'{self.name}' finds no place for a batch: {error}") from None

    @abstractmethod
    def prices(self, question: EdgeInstance) -> Prices:
        """Prices at which the batch is placed."""


class CarbonEdge(Planner):
    """Least carbon by the intensities that are told.

    Notes
    -----
    - Assumptions: the intensities that are told.
    - Proven ratio: none over several batches; what a batch's plan may lose by its own prices is
      bounded by the gap of the search.
    - Complexity: per batch one search by columns, with a proven gap, for up to a relative gap of
      1e-4 where it can be closed.
    - Reference: CarbonEdge, arXiv:2502.14076; the equations are ours.
    """

    name = "carbon-edge"
    summary = "least carbon of each batch: energy of the work and of servers, times intensity"

    def prices(self, question: EdgeInstance) -> Prices:
        """Grams."""
        return prices.carbon(question)


class LatencyAware(Planner):
    """Shortest round trips.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none over several batches; what a batch's plan may lose by its own prices is
      bounded by the gap of the search.
    - Complexity: per batch one search by columns, with a proven gap, for up to a relative gap of
      1e-4 where it can be closed.
    - Reference: baseline of CarbonEdge, arXiv:2502.14076.
    """

    name = "latency-aware"
    summary = "least sum of round trips, ties by energy"

    def prices(self, question: EdgeInstance) -> Prices:
        """Milliseconds."""
        return prices.latency(question)


class EnergyAware(Planner):
    """Least energy, wherever it comes from.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none over several batches; what a batch's plan may lose by its own prices is
      bounded by the gap of the search.
    - Complexity: per batch one search by columns, with a proven gap, for up to a relative gap of
      1e-4 where it can be closed.
    - Reference: baseline of CarbonEdge, arXiv:2502.14076.
    """

    name = "energy-aware"
    summary = "least energy of the work and of servers, whatever the intensity"

    def prices(self, question: EdgeInstance) -> Prices:
        """Kilowatt-hours."""
        return prices.energy(question)


class IntensityAware(Planner):
    """Cleanest places, whatever the energy.

    Notes
    -----
    - Assumptions: the intensities that are told.
    - Proven ratio: none over several batches; what a batch's plan may lose by its own prices is
      bounded by the gap of the search.
    - Complexity: per batch one search by columns, with a proven gap, for up to a relative gap of
      1e-4 where it can be closed.
    - Reference: baseline of CarbonEdge, arXiv:2502.14076.
    """

    name = "intensity-aware"
    summary = "least sum of intensities of the places, whatever the energy, ties by energy"

    def prices(self, question: EdgeInstance) -> Prices:
        """Grams per kilowatt-hour."""
        return prices.intensity(question)


class OneByOne(Policy):
    """Each application where it adds least carbon; a rule of ours, without any search.

    Notes
    -----
    - Assumptions: the intensities that are told.
    - Proven ratio: none.
    - Complexity: O(N G) per batch, N applications and G groups of servers.
    - Reference: ours.
    """

    name = "one-by-one"
    summary = "each application where it adds least carbon, a server's base power included"

    def reset(self, header: Any) -> None:
        """Nothing is remembered."""
        del header

    def decide(self, observation: Observation) -> Placement:
        """Place the batch.

        Raises
        ------
        UsageError
            Some application finds no place any more.
        """
        question: EdgeInstance = observation.state
        found = greedy(question, prices.carbon(question))
        if found is None:
            raise UsageError(
                f"'{self.name}' finds no place for some application; 'carbon-edge' may."
            )
        return found
