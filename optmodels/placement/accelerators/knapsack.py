"""The knapsack: as much value as the memory of the nodes holds, whatever the responses."""

from __future__ import annotations

from typing import ClassVar

from optmodels.placement.accelerators.replay import (
    ALL_APPLICATIONS,
    AcceleratorsHeader,
    Arrival,
    Placing,
)
from optmodels.policy import Observation, Policy


class Knapsack(Policy):
    """The placement of most value by memory alone, found by a mixed-integer programme.

    Notes
    -----
    - Assumptions: all applications are known in advance.
    - Proven ratio: none.
    - Complexity: one mixed-integer programme of N M binaries, N applications and M nodes.
    - Reference: memory-only baseline; ours.
    """

    name = "knapsack"
    summary = "most value that the memory holds, without a model of responses"
    needs: ClassVar[frozenset[str]] = frozenset({ALL_APPLICATIONS})

    def reset(self, header: AcceleratorsHeader) -> None:
        """Fill the memories at once."""
        from optmodels.placement.accelerators.model import chosen_pairs, row_data, row_formulation
        from optmodels.solver import solve_model

        applications = header.applications or ()
        self._node_of: dict[str, int] = {}
        rows = row_data(header.hardware, applications, memory_only=True)
        if rows is None:
            return
        solution = solve_model(row_formulation(), data=rows.data).require()
        for i, j in chosen_pairs(solution):
            self._node_of[applications[i].name] = j

    def decide(self, observation: Observation) -> Placing:
        """Place who arrives where it was planned."""
        state: Arrival = observation.state
        return Placing(self._node_of.get(state.application.name))
