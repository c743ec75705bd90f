"""Policies that are told all applications in advance, and place them in an order of their own.

They are no rules for arrivals that nobody foresees: they show what knowing everybody is worth to a
simple rule, and give the oracle good placements to begin with.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from optmodels.placement.accelerators.audit import Placement
from optmodels.placement.accelerators.fitting import feasible_nodes
from optmodels.placement.accelerators.hardware import Application, allowed_ms
from optmodels.placement.accelerators.policies import PlacementPolicy
from optmodels.placement.accelerators.replay import ALL_APPLICATIONS, AcceleratorsHeader


class _Ordered(PlacementPolicy):
    """Best fit of all applications in an order of its own; each is placed when it arrives."""

    needs: ClassVar[frozenset[str]] = frozenset({ALL_APPLICATIONS})

    def reset(self, header: AcceleratorsHeader) -> None:
        """Place everybody at once, in the order of the policy."""
        super().reset(header)
        nodes: list[tuple[Application, ...]] = [() for _ in header.hardware.nodes]
        self._node_of: dict[str, int] = {}
        for application in sorted(header.applications or (), key=self.rank):
            fitting = list(feasible_nodes(self._hardware, tuple(nodes), application))
            if fitting:
                node = max(fitting, key=lambda n: self._load_with(n, application, tuple(nodes)))
                nodes[node] = (*nodes[node], application)
                self._node_of[application.name] = node

    def candidates(self, application: Application, placement: Placement) -> list[int]:
        """The node that was chosen, if any."""
        node = self._node_of.get(application.name)
        return [] if node is None else [node]

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The only one."""
        return nodes[0]

    @abstractmethod
    def rank(self, application: Application) -> float:
        """Place in the order, smallest first."""

    def _smallest_load(self, application: Application) -> float:
        """Load on the device on which that is least."""
        loads = [
            application.rate_per_ms * float(device.service_ms[application.model])
            for device in self._hardware.devices
            if device.offers(application.model)
        ]
        return min(loads)


class SmallFirst(_Ordered):
    """Applications of the least load per value first.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`; all applications are
      known in advance.
    - Proven ratio: none.
    - Complexity: O(N M A), N applications, M nodes with A each.
    - Reference: ours.
    """

    name = "small-first"
    summary = "best fit, applications of the least load per value first"

    def rank(self, application: Application) -> float:
        """Load per value."""
        return self._smallest_load(application) / application.value


class LargeFirst(_Ordered):
    """Applications of the most load for their SLO first.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`; all applications are
      known in advance.
    - Proven ratio: none.
    - Complexity: O(N M A), N applications, M nodes with A each.
    - Reference: ours.
    """

    name = "large-first"
    summary = "best fit, applications of the most load for their SLO first"

    def rank(self, application: Application) -> float:
        """Load over SLO, largest first."""
        return -self._smallest_load(application) / application.slo_ms


class TightFirst(_Ordered):
    """Applications that may wait least first.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`; all applications are
      known in advance.
    - Proven ratio: none.
    - Complexity: O(N M A), N applications, M nodes with A each.
    - Reference: ours.
    """

    name = "tight-first"
    summary = "best fit, applications with the least time to wait first"

    def rank(self, application: Application) -> float:
        """Longest wait that keeps the promise, on the device where that is longest."""
        return max(
            allowed_ms(device, application, self._hardware.rules)
            - float(device.service_ms[application.model])
            for device in self._hardware.devices
            if device.offers(application.model)
        )
