"""Rules for routes and cards: each service in turn takes its best route in what is left.

They differ in what they may use, in what they want to be least, and in what a new card counts for
the service that would need it first. All keep every limit, or say that they found no way to (see
`optmodels.routing.pipeline.assigning`). Services that need most of some resource go first.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation, Policy
from optmodels.routing.pipeline.assigning import assigned
from optmodels.routing.pipeline.audit import Decision
from optmodels.routing.pipeline.improving import bought_in_bundles
from optmodels.routing.pipeline.labels import Terms, cheapest_route
from optmodels.routing.pipeline.layers import Layers
from optmodels.routing.pipeline.replay import PipelineHeader
from optmodels.routing.pipeline.steps import Card
from optmodels.routing.pipeline.transport import Kind

Flags = NDArray[np.bool_]


class Rule(Policy):
    """Routes from a greedy rule; subclasses say which."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def reset(self, header: PipelineHeader) -> None:
        """Take down the question."""
        self._header = header

    def decide(self, observation: Observation) -> Decision:
        """Choose routes and cards, once.

        Raises
        ------
        UsageError
            The rule finds no routes that keep all limits.
        """
        found = self.assignment(self._header)
        if found is None:
            raise UsageError(
                f"'{self.name}' finds no routes for {self._header.instance.name} that keep all "
                "limits."
            )
        return found

    @abstractmethod
    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Routes and cards, None where the rule finds none."""


class AllTcp(Rule):
    """TCP between hosts, shared memory within: what the others are measured by.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours; TCP is the baseline of Hanafy et al., arXiv:2305.03165.
    """

    name = "all-tcp"
    summary = "TCP everywhere, no card is bought; hosts by least cost"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Least cost without RDMA, on cards that are there or not."""
        return assigned(header.steps, header.layers, prices={}, allowed=[_without_verbs])


class AllRdma(Rule):
    """RDMA wherever it can be had, TCP elsewhere.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours; transports of Hanafy et al., arXiv:2305.03165.
    """

    name = "all-rdma"
    summary = "RDMA on every hop that can have it, its cards bought; TCP elsewhere"
    order: ClassVar[tuple[Kind, ...]] = ("local", "rdma", "tcp")

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Least cost over the best transports that each pair of places can have."""
        best = [_best_transports(self.order), lambda one: np.ones(len(one.arcs), dtype=bool)]
        return assigned(header.steps, header.layers, prices=_free(header), allowed=best)


class GpudirectFirst(AllRdma):
    """GPUDirect wherever it can be had, then RDMA, then TCP.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours; transports of Hanafy et al., arXiv:2305.03165.
    """

    name = "gpudirect-first"
    summary = "GPUDirect on every hop that can have it, else RDMA, else TCP; all cards bought"
    order: ClassVar[tuple[Kind, ...]] = ("local", "gpudirect", "rdma", "tcp")


class Colocated(Rule):
    """As few hops between hosts as possible.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours.
    """

    name = "colocated"
    summary = "as few hops between hosts as possible, cost decides among equals"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Hops weigh more than anything else."""
        total = 1 + sum(float(one.usd.sum()) for one in header.layers)
        total += sum(header.steps.offered.values())
        return assigned(
            header.steps,
            header.layers,
            prices=header.steps.offered,
            weights=lambda one: one.usd + total * _between_hosts(one),
        )


class MinLatency(Rule):
    """The fastest route of each service, whatever it costs.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours.
    """

    name = "min-latency"
    summary = "the fastest route of each service, all cards that it needs bought"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Latency alone; cards count nothing."""
        return assigned(
            header.steps,
            header.layers,
            prices=_free(header),
            weights=lambda one: one.delays_ms,
        )


class MinCost(Rule):
    """The cheapest route of each service; who needs a card first pays it.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none for several services; each route is the cheapest in what the services
      before it left (label setting is exact).
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours.
    """

    name = "min-cost"
    summary = "the cheapest route of each service within its limit; the first user pays a card"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Cost, cards in full."""
        return assigned(header.steps, header.layers, prices=header.steps.offered)


class SharedCards(Rule):
    """The cheapest route of each service, every card counted at an equal share.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: ours.
    """

    name = "shared-cards"
    summary = "the cheapest routes, each new card counted at 1/(number of services) of its price"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Cost, cards in shares."""
        count = len(header.layers)
        prices = {card: usd / count for card, usd in header.steps.offered.items()}
        return assigned(header.steps, header.layers, prices=prices)


class GreedyCards(Rule):
    """Cards bought one bundle after another, as long as the whole becomes cheaper.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: all services once per bundle and purchase, each by label setting.
    - Reference: ours.
    """

    name = "greedy-cards"
    summary = "starts without cards, then buys bundles of them as long as the whole gets cheaper"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Offer bundles to all services: the cards of some service's best route."""
        steps, layers = header.steps, header.layers
        start = assigned(steps, layers, prices={})
        if start is None:
            # Without cards some service has no route: start from the cheapest ones with cards.
            start = assigned(steps, layers, prices=steps.offered)
        if start is None:
            return None
        return bought_in_bundles(steps, layers, start, _bundles(header))


class LpRounding(Rule):
    """The linear relaxation of the programme; cards it buys by half or more count nothing.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one linear programme of all arcs, then one label-setting search per service and
      round, at most six rounds.
    - Reference: ours.
    """

    name = "lp-rounding"
    summary = "linear relaxation, cards bought by half or more are taken; then cheapest routes"

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Solve the relaxation, round its cards, route greedily."""
        from optmodels.routing.pipeline.relaxation import relaxed_cards

        shares = relaxed_cards(header.steps, header.layers)
        owned = frozenset(card for card, share in shares.items() if share >= _HALF)
        return assigned(header.steps, header.layers, prices=header.steps.offered, owned=owned)


class RandomRoutes(Rule):
    """Random weights for all arcs: what no thought at all costs.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: one label-setting search per service and round, at most six rounds.
    - Reference: baseline; ours.
    """

    name = "random"
    summary = "routes of least random weight within their limits; all cards that they need"
    randomised = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def assignment(self, header: PipelineHeader) -> Decision | None:
        """Weights between 0 and 1 for each arc."""
        rng = np.random.default_rng(self.seed)
        drawn = {id(one): rng.random(len(one.arcs)) for one in header.layers}
        return assigned(
            header.steps,
            header.layers,
            prices=_free(header),
            weights=lambda one: drawn[id(one)],
        )


_HALF = 0.5


def _free(header: PipelineHeader) -> dict[Card, float]:
    """All offered cards at no price."""
    return dict.fromkeys(header.steps.offered, 0.0)


def _without_verbs(one: Layers) -> Flags:
    return np.array([arc.kind in (None, "tcp", "local") for arc in one.arcs], dtype=bool)


def _between_hosts(one: Layers) -> FloatArray:
    return np.array([arc.kind not in (None, "local") for arc in one.arcs], dtype=np.float64)


def _best_transports(order: tuple[Kind, ...]) -> Any:
    """Arcs whose transport is the first of an order between their two nodes."""

    def chosen(one: Layers) -> Flags:
        rank = {kind: i for i, kind in enumerate(order)}
        best: dict[tuple[int, Any], int] = {}
        keys = [(arc.tail, one.nodes[arc.head].place) for arc in one.arcs]
        ranks = [-1 if a.kind is None else rank.get(a.kind, len(rank)) for a in one.arcs]
        for key, value in zip(keys, ranks, strict=True):
            best[key] = min(best.get(key, len(rank)), value)
        return np.array(
            [
                value == best[key] and value < len(rank)
                for key, value in zip(keys, ranks, strict=True)
            ],
            dtype=bool,
        )

    return chosen


def _bundles(header: PipelineHeader) -> list[frozenset[Card]]:
    """Cards of each service's fastest route, and of its cheapest one if cards were free."""
    free = _free(header)
    capacity = header.steps.resources.capacity
    found: dict[frozenset[Card], None] = {}
    for one in header.layers:
        for weights in (None, one.delays_ms):
            route = cheapest_route(one, Terms(free, room=capacity, weights=weights))
            if route is not None and route.cards:
                found[route.cards] = None
    return list(found)
