"""A plan made cheaper, one service or one host at a time.

Two moves, repeated until neither helps: one service is taken out and gets the best route in what
the others leave, with their cards for free; or the cards of one host are given back, and the
services that used them are routed anew without. Either keeps every limit, so whatever comes out is
a plan, and no dearer than what went in. The search for routes is that of
`optmodels.routing.pipeline.labels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.pipeline.audit import Decision
from optmodels.routing.pipeline.labels import Terms, cheapest_route
from optmodels.routing.pipeline.layers import Layers, Route
from optmodels.routing.pipeline.steps import Card, Steps

#: Most rounds over all services and hosts.
ROUNDS = 4
#: Relative gain that is worth a move.
_GAIN = 1e-9


def path_of(layers: Layers, route: Route) -> list[int]:
    """Arcs of a route by number."""
    path: list[int] = []
    for visit in route:
        ahead = layers.out[layers.arcs[path[-1]].head] if path else layers.starts
        path.append(
            next(
                a
                for a in ahead
                if layers.arcs[a].kind == visit.kind
                and layers.nodes[layers.arcs[a].head].place == visit.place
            )
        )
    return path


def improved(
    steps: Steps,
    layers: Sequence[Layers],
    decision: Decision,
    weights: Sequence[FloatArray] | None = None,
    card_weight: float = 1.0,
) -> Decision:
    """A decision that weighs no more than the given one, which must keep all limits.

    Parameters
    ----------
    steps, layers
        Steps of the instance, graphs of its services.
    decision
        A route for every service.
    weights
        What is to be least, per arc of each service; by default the cost.
    card_weight
        Factor on the cost of cards.
    """
    search = _Descent(steps, layers, decision, weights, card_weight)
    for _ in range(ROUNDS):
        gained = [search.reroute(k) for k in range(len(layers))]
        gained += [search.give_back(host) for host in search.hosts_with_cards()]
        if not any(gained):
            break
    return search.decision()


def bought_in_bundles(
    steps: Steps,
    layers: Sequence[Layers],
    decision: Decision,
    bundles: Sequence[frozenset[Card]],
) -> Decision:
    """Buy bundles of cards, one after another, as long as the whole becomes cheaper.

    Parameters
    ----------
    steps, layers
        Steps of the instance, graphs of its services.
    decision
        A route for every service, from which to start.
    bundles
        Cards that are bought together; no other cards are.
    """
    search = _Descent(steps, layers, decision, None, 1.0)
    for _ in range(ROUNDS):
        gained = [search.buy(bundle) for bundle in bundles]
        if not any(gained):
            break
    return search.decision()


class _Descent:
    """The plan so far: a path per service, and what is left of each resource."""

    def __init__(
        self,
        steps: Steps,
        layers: Sequence[Layers],
        decision: Decision,
        weights: Sequence[FloatArray] | None,
        card_weight: float,
    ) -> None:
        self.layers = layers
        self.prices = {card: card_weight * usd for card, usd in steps.offered.items()}
        self.weights = [one.usd for one in layers] if weights is None else list(weights)
        self.paths = [
            path_of(one, route or ()) for one, route in zip(layers, decision.routes, strict=True)
        ]
        self._known: dict[tuple[int, tuple[int, ...]], tuple[FloatArray, frozenset[Card]]] = {}
        self._lowest: dict[int, float] = {}
        self._usable: dict[int, frozenset[Card]] = {}
        self.room = steps.resources.capacity.copy()
        for k in range(len(layers)):
            self.room -= self._load(k)

    def decision(self) -> Decision:
        """Routes, and the cards that they use."""
        routes = [one.route(path) for one, path in zip(self.layers, self.paths, strict=True)]
        return Decision(tuple(routes), self._cards(range(len(self.paths))))

    def hosts_with_cards(self) -> list[int]:
        """Hosts at which cards are bought."""
        return sorted({host for host, _ in self._cards(range(len(self.paths)))})

    def reroute(self, k: int) -> bool:
        """Route one service anew beside the others; whether that gained."""
        others = self._cards(j for j in range(len(self.paths)) if j != k)
        before = self._weight(k) + self._price(self._cards([k]) - others)
        room = self.room + self._load(k)
        path = self._best(k, room, others, frozenset(), before * (1 - _GAIN))
        if path is None:
            return False
        self._take(k, path)
        return True

    def buy(self, bundle: frozenset[Card]) -> bool:
        """Offer all services a bundle of cards; whether those that took it gained by its price."""
        everybody = range(len(self.paths))
        have = self._cards(everybody) | bundle
        forbidden = frozenset(self.prices) - have
        before = sum(self._weight(k) for k in everybody) + self._price(self._cards(everybody))
        kept, room = list(self.paths), self.room.copy()
        for k in everybody:
            if self._could_use(k, bundle):
                most = self._weight(k) * (1 - _GAIN)
                path = self._best(k, self.room + self._load(k), have, forbidden, most)
                if path is not None:
                    self._take(k, path)
        after = sum(self._weight(k) for k in everybody) + self._price(self._cards(everybody))
        if after >= before * (1 - _GAIN):
            self.paths, self.room = kept, room
            return False
        return True

    def _could_use(self, k: int, bundle: frozenset[Card]) -> bool:
        if k not in self._usable:
            arcs = self.layers[k].arcs
            self._usable[k] = frozenset(card for arc in arcs for card in arc.step.needs)
        return bool(self._usable[k] & bundle)

    def give_back(self, host: int) -> bool:
        """Route the services that use the cards of a host without them; whether that gained."""
        everybody = range(len(self.paths))
        gone = frozenset(card for card in self._cards(everybody) if card[0] == host)
        users = [k for k in everybody if self._cards([k]) & gone]
        before = sum(self._weight(k) for k in users) + self._price(self._cards(everybody))
        kept, room = list(self.paths), self.room.copy()
        for k in users:
            self.room = self.room + self._load(k)
        rest = set(users)
        # What is left to spend, if those who are still to be routed take their least.
        budget = before * (1 - _GAIN) - sum(self._least(k) for k in users)
        budget -= self._price(self._cards(k for k in everybody if k not in rest) - gone)
        for k in users:
            rest.discard(k)
            have = self._cards(j for j in everybody if j not in rest and j != k)
            budget += self._least(k)
            path = self._best(k, self.room, have, gone, budget)
            if path is None:
                self.paths, self.room = kept, room
                return False
            self.paths[k] = path
            self.room = self.room - self._load(k)
            budget -= self._weight(k) + self._price(self._cards([k]) - have)
        after = sum(self._weight(k) for k in users) + self._price(self._cards(everybody))
        if after >= before * (1 - _GAIN):
            self.paths, self.room = kept, room
            return False
        return True

    def _best(
        self,
        k: int,
        room: FloatArray,
        have: frozenset[Card],
        forbidden: frozenset[Card],
        at_most: float | None,
    ) -> list[int] | None:
        one = self.layers[k]
        prices = {card: usd for card, usd in self.prices.items() if card not in have}
        allowed = None
        if forbidden:
            allowed = np.array([not (arc.step.needs & forbidden) for arc in one.arcs], dtype=bool)
        terms = Terms(prices, room, allowed, self.weights[k], at_most=at_most)
        found = cheapest_route(one, terms)
        return None if found is None else found.path

    def _least(self, k: int) -> float:
        """What any route of a service weighs at least, cards apart."""
        if k not in self._lowest:
            one, weights = self.layers[k], self.weights[k]
            onward = one.to_end(weights)
            self._lowest[k] = float(min(weights[a] + onward[one.arcs[a].head] for a in one.starts))
        return self._lowest[k]

    def _take(self, k: int, path: list[int]) -> None:
        self.room = self.room + self._load(k)
        self.paths[k] = path
        self.room = self.room - self._load(k)

    def _load(self, k: int) -> FloatArray:
        return self._facts(k)[0]

    def _facts(self, k: int) -> tuple[FloatArray, frozenset[Card]]:
        """What the path of a service takes of each resource, and the cards that it needs."""
        key = (k, tuple(self.paths[k]))
        if key not in self._known:
            load = np.zeros_like(self.room)
            cards: set[Card] = set()
            for a in self.paths[k]:
                step = self.layers[k].arcs[a].step
                cards |= {card for card in step.needs if card in self.prices}
                for r, amount in step.uses.items():
                    load[r] += amount
            self._known[key] = (load, frozenset(cards))
        return self._known[key]

    def _weight(self, k: int) -> float:
        return float(self.weights[k][self.paths[k]].sum())

    def _price(self, cards: frozenset[Card]) -> float:
        return sum(self.prices[card] for card in sorted(cards))

    def _cards(self, services: Iterable[int]) -> frozenset[Card]:
        return frozenset().union(*(self._facts(k)[1] for k in services))
