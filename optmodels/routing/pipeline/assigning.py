"""Services one after another: each takes its best route in what the others have left.

`assigned` is what all rules have in common. It keeps every limit: a service only gets a route that
fits into what is left, within its latency limit. Where one finds none, the services that were in
trouble go first in another round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.routing.pipeline.audit import Decision
from optmodels.routing.pipeline.labels import Found, Terms, cheapest_route
from optmodels.routing.pipeline.layers import Layers, Route
from optmodels.routing.pipeline.steps import Card, Steps

#: Rounds in which services that found no room are moved to the front.
ROUNDS = 6

#: What an arc weighs for a service, and which arcs it may use.
Weights = Callable[[Layers], FloatArray]
Allowed = Callable[[Layers], NDArray[np.bool_]]


def assigned(
    steps: Steps,
    layers: Sequence[Layers],
    *,
    prices: Mapping[Card, float],
    owned: frozenset[Card] = frozenset(),
    weights: Weights | None = None,
    allowed: Sequence[Allowed] = (),
    order: Sequence[int] | None = None,
) -> Decision | None:
    """Route all services one after another; None where some service finds no room.

    Parameters
    ----------
    steps, layers
        Steps of the instance, graphs of its services.
    prices
        What a card that is not there yet counts for the service that would need it first. A card
        without a price is not to be had.
    owned
        Cards that are there from the start.
    weights
        What a service wants to be least; by default its cost.
    allowed
        Arcs that a service may use, the first choice first: a later entry serves where no route
        is found with the earlier ones. By default all.
    order
        Order of the services; by default those that weigh most on the resources first.
    """
    queue = list(_by_load(steps, layers) if order is None else order)
    for _ in range(ROUNDS):
        found, failed = _one_round(steps, layers, queue, prices, owned, weights, allowed)
        if found is not None:
            return found
        queue = [failed, *(k for k in queue if k != failed)]
    return None


def _one_round(
    steps: Steps,
    layers: Sequence[Layers],
    queue: Sequence[int],
    prices: Mapping[Card, float],
    owned: frozenset[Card],
    weights: Weights | None,
    allowed: Sequence[Allowed],
) -> tuple[Decision | None, int]:
    """Routes in this order, or the service that found none."""
    room = steps.resources.capacity.copy()
    have = set(owned)
    routes: list[Route | None] = [None] * len(layers)
    used: set[Card] = set()
    for k in queue:
        one = layers[k]
        left = {card: price for card, price in prices.items() if card not in have}
        forbidden = {c for c in steps.offered if c not in have and c not in prices}
        found = _route(one, left, forbidden, room, weights, allowed)
        if found is None:
            return None, k
        have |= found.cards
        routes[k] = one.route(found.path)
        for a in found.path:
            used |= {card for card in one.arcs[a].step.needs if card in steps.offered}
            for r, amount in one.arcs[a].step.uses.items():
                room[r] -= amount
    # A card that no route uses in the end is not bought.
    return Decision(tuple(routes), frozenset(used)), -1


def _route(
    one: Layers,
    prices: Mapping[Card, float],
    forbidden: set[Card],
    room: FloatArray,
    weights: Weights | None,
    allowed: Sequence[Allowed],
) -> Found | None:
    could = np.array([not (arc.step.needs & forbidden) for arc in one.arcs], dtype=bool)
    wanted = None if weights is None else weights(one)
    for choice in allowed or (None,):
        may = could if choice is None else could & choice(one)
        found = cheapest_route(one, Terms(prices, room=room, allowed=may, weights=wanted))
        if found is not None:
            return found
    return None


def _by_load(steps: Steps, layers: Sequence[Layers]) -> list[int]:
    """Services by the largest share that they must take of any resource, largest first."""
    capacity = steps.resources.capacity
    shares = []
    for one in layers:
        by_position: dict[int, float] = {}
        for arc in one.arcs:
            share = max((u / capacity[r] for r, u in arc.step.uses.items()), default=0.0)
            position = one.nodes[arc.head].position
            by_position[position] = min(by_position.get(position, np.inf), share)
        shares.append(max(by_position.values(), default=0.0))
    return sorted(range(len(layers)), key=lambda k: (-shares[k], k))
