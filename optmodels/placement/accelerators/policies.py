"""Policies: which node hosts an application when it arrives.

Two families. Those that look at memory alone are what Ibis (arXiv:2201.07312) is measured
against: they break promises. The *model-driven* ones place an application only where the formulas
say that the promises to everybody are kept, and differ in the node they choose among these. A third
family is told all applications in advance: `optmodels.placement.accelerators.foresight`.

Ibis's own are `breadth` and `depth` on one kind of node, and `heterogeneous` on several.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from optmodels.placement.accelerators.audit import Placement
from optmodels.placement.accelerators.fitting import (
    feasible_nodes,
    has_model,
    load_of,
    nodes_with_room,
    repair,
)
from optmodels.placement.accelerators.hardware import Application, Hardware
from optmodels.placement.accelerators.replay import (
    AcceleratorsHeader,
    Arrival,
    Placing,
)
from optmodels.policy import Observation, Policy


class PlacementPolicy(Policy):
    """Hosts an application on one of the nodes that qualify; subclasses say which and whose."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def reset(self, header: AcceleratorsHeader) -> None:
        """Take down the nodes."""
        self._hardware = header.hardware

    def decide(self, observation: Observation) -> Placing:
        """Choose among the nodes that qualify; reject where none does."""
        state: Arrival = observation.state
        nodes = self.candidates(state.application, state.placement)
        if not nodes:
            return self.without(state.application, state.placement)
        return Placing(self.choose(nodes, state.application, state.placement))

    @abstractmethod
    def candidates(self, application: Application, placement: Placement) -> list[int]:
        """Nodes that qualify, in their order."""

    @abstractmethod
    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """One of at least one node that qualifies."""

    def without(self, application: Application, placement: Placement) -> Placing:
        """What to do where no node qualifies."""
        return Placing(None)

    def _load_with(self, node: int, application: Application, placement: Placement) -> float:
        return load_of(self._hardware, node, (*placement[node], application))

    def _free_with(self, node: int, application: Application, placement: Placement) -> float:
        used = self._hardware.device(node).memory_of((*placement[node], application))
        return self._hardware.usable_mb(node) - used


class _MemoryOnly(PlacementPolicy):
    """Nodes with enough memory qualify, whatever the responses."""

    def candidates(self, application: Application, placement: Placement) -> list[int]:
        """Nodes that run the model and have the memory."""
        return list(nodes_with_room(self._hardware, placement, application))


class MemoryFirst(_MemoryOnly):
    """The first node with enough memory.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(M) per arrival, M nodes.
    - Reference: memory-only baseline of Ibis, arXiv:2201.07312.
    """

    name = "memory-first"
    summary = "first node with enough memory, without a model of responses"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The first."""
        return nodes[0]


class MemoryBest(_MemoryOnly):
    """The node that has least memory left then.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(M) per arrival, M nodes.
    - Reference: memory-only baseline of Ibis, arXiv:2201.07312.
    """

    name = "memory-best"
    summary = "node with the least memory left, without a model of responses"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The fullest."""
        return min(nodes, key=lambda n: self._free_with(n, application, placement))


class MemoryWorst(_MemoryOnly):
    """The node that has most memory left then.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(M) per arrival, M nodes.
    - Reference: memory-only baseline of Ibis, arXiv:2201.07312.
    """

    name = "memory-worst"
    summary = "node with the most memory left, without a model of responses"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The emptiest."""
        return max(nodes, key=lambda n: self._free_with(n, application, placement))


class Grouping(_MemoryOnly):
    """A node that holds the model already, else the one with most memory left.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(M) per arrival, M nodes.
    - Reference: memory-only baseline of Ibis, arXiv:2201.07312.
    """

    name = "grouping"
    summary = "beside the same model, else most memory left, without a model of responses"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The first with the same model, else the emptiest."""
        same = [node for node in nodes if has_model(placement, node, application)]
        if same:
            return same[0]
        return max(nodes, key=lambda n: self._free_with(n, application, placement))


class _ModelDriven(PlacementPolicy):
    """Nodes that keep the promises to everybody qualify."""

    def candidates(self, application: Application, placement: Placement) -> list[int]:
        """Nodes that fit the application by memory and by formula."""
        return list(feasible_nodes(self._hardware, placement, application))


class FirstFit(_ModelDriven):
    """The first node that keeps all promises.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: model-driven variant; ours, after Ibis, arXiv:2201.07312.
    """

    name = "first-fit"
    summary = "first node that keeps all promises"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The first."""
        return nodes[0]


class BestFit(_ModelDriven):
    """The node with the highest load then, of those that keep all promises.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: model-driven variant; ours, after Ibis, arXiv:2201.07312.
    """

    name = "best-fit"
    summary = "busiest node that keeps all promises"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The busiest."""
        return max(nodes, key=lambda n: self._load_with(n, application, placement))


class WorstFit(_ModelDriven):
    """The node with the lowest load then, of those that keep all promises.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: model-driven variant; ours, after Ibis, arXiv:2201.07312.
    """

    name = "worst-fit"
    summary = "idlest node that keeps all promises"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The idlest."""
        return min(nodes, key=lambda n: self._load_with(n, application, placement))


class Breadth(_ModelDriven):
    """Ibis's breadth: the same model, else an idle node, else the least loaded.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: Ibis, arXiv:2201.07312.
    """

    name = "breadth"
    summary = "beside the same model, else an idle node, else the idlest (Ibis)"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The first group that is not empty; the idlest in it."""
        same = [node for node in nodes if has_model(placement, node, application)]
        idle = [node for node in nodes if not placement[node]]
        return min(same or idle or nodes, key=lambda n: self._load_with(n, application, placement))


class Depth(_ModelDriven):
    """Ibis's depth: on shared accelerators beside the same model, else the first that fits.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: Ibis, arXiv:2201.07312.
    """

    name = "depth"
    summary = "beside the same model on a shared accelerator, else first fit (Ibis)"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """The first, but for the same model."""
        same = [
            node
            for node in nodes
            if self._hardware.device(node).discipline == "ps"
            and has_model(placement, node, application)
        ]
        return (same or list(nodes))[0]


class Heterogeneous(Breadth):
    """Ibis on several kinds of nodes: the best of each, then the smaller increase of load.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: Ibis, arXiv:2201.07312.
    """

    name = "heterogeneous"
    summary = "best node of each kind by breadth, then the smaller increase of load (Ibis)"

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """Of the best node of each kind the one whose load grows least; shared ones win ties."""
        best = [
            super(Heterogeneous, self).choose(group, application, placement)
            for group in by_device(self._hardware, nodes)
        ]

        def increase(node: int) -> tuple[float, bool]:
            before = load_of(self._hardware, node, placement[node])
            after = self._load_with(node, application, placement)
            return after - before, self._hardware.device(node).discipline != "ps"

        return min(best, key=increase)


class RandomDevice(Breadth):
    """A kind of node drawn at random, then the best node of it: Ibis's baseline for several kinds.

    Parameters
    ----------
    seed
        Seed of the draws.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, M nodes with A applications each.
    - Reference: baseline of Ibis, arXiv:2201.07312.
    """

    name = "random-device"
    summary = "kind of node drawn at random, then its best node by breadth"
    randomised = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def reset(self, header: AcceleratorsHeader) -> None:
        """Start the draws anew."""
        super().reset(header)
        self._rng = np.random.default_rng(self.seed)

    def choose(self, nodes: Sequence[int], application: Application, placement: Placement) -> int:
        """Draw a kind among those with a node that fits."""
        groups = by_device(self._hardware, nodes)
        drawn = groups[int(self._rng.integers(len(groups)))]
        return super().choose(drawn, application, placement)


class Repair(Heterogeneous):
    """Like `heterogeneous`, but one hosted application moves where that makes room.

    Notes
    -----
    - Assumptions: Poisson arrivals; responses by the formulas of `response`.
    - Proven ratio: none.
    - Complexity: O(M A) per arrival, and O(N M A) where one has to move; M nodes, A applications
      each, N hosted.
    - Reference: ours.
    """

    name = "one-move"
    summary = "as heterogeneous, but moves one hosted application where that makes room"

    def without(self, application: Application, placement: Placement) -> Placing:
        """Move one application, if that helps; else reject."""
        found = repair(self._hardware, placement, application)
        return Placing(None) if found is None else Placing(found[0], (found[1],))


def by_device(hardware: Hardware, nodes: Sequence[int]) -> list[list[int]]:
    """Nodes by their kind."""
    groups: dict[int, list[int]] = {}
    for node in nodes:
        groups.setdefault(hardware.device_of[node], []).append(node)
    return list(groups.values())
