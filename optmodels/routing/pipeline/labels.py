"""The cheapest route of one service, exactly: label setting on its layered graph.

A label is a way from the start to a node: its cost, its latency, the cards it has bought, and,
where they can run out, what it has taken of the shared resources. Labels are made stage by stage.
One is dropped when

- the fastest way on from its node (a reverse shortest path) would break the latency limit,
- the cheapest way on from its node would cost more than a route that is known, or
- another label of the node is no slower, takes no more of any scarce resource, and would still be
  no dearer after buying every card that it lacks and this one has.

What the dropped label could become, the other can become as well, so the optimum survives. Cards
are what makes costs of a route more than the sum over its arcs: the card of a gateway serves the
request and the reply, and is paid once. A card that no way on from a node could need is forgotten
there. The known route is the best one if every hop paid for its cards anew; the cheapest way on is
judged by the cost of arcs alone, and also with an equal share of each card for every hop that could
need it, whichever says more. And how late a label is counts only where the slowest way on would
break the limit.

Stages that share a host are told apart by the hosts that later stages will have to match. Label
setting for shortest paths with resources is classical (Desrochers and Soumis, INFOR 1988); the
dominance over cards is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.routing.pipeline.layers import ROUNDING, Layers, Route
from optmodels.routing.pipeline.steps import Card


@dataclass(frozen=True)
class Terms:
    """On which terms a route is looked for.

    Attributes
    ----------
    cards_usd
        Cost of each card that would have to be bought [USD/h]; what is not named is there already.
    room
        What is left of each resource; None for everything.
    allowed
        Arcs that may be used; None for all.
    weights
        What is to be least, per arc; None for the cost of the arcs.
    limit_ms
        Latency limit; None for that of the service.
    at_most
        What the route may weigh at most, cards included; None for anything. A search for something
        better than what is known is fast.
    """

    cards_usd: Mapping[Card, float]
    room: FloatArray | None = None
    allowed: NDArray[np.bool_] | None = None
    weights: FloatArray | None = None
    limit_ms: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Found:
    """The cheapest route.

    Attributes
    ----------
    path
        Its arcs by number.
    value
        Sum of the weights, and the cards.
    delay_ms
        Its latency [ms].
    cards
        Cards that it buys.
    labels
        Labels that were kept in the search.
    """

    path: list[int]
    value: float
    delay_ms: float
    cards: frozenset[Card]
    labels: int


@dataclass(frozen=True, slots=True)
class _Label:
    value: float
    shared: float
    delay: float
    late: float
    cards: frozenset[Card]
    used: tuple[float, ...]
    arc: int
    before: _Label | None


#: A node, and the hosts that later stages must match.
_Key = tuple[int, tuple[int, ...]]


def cheapest_route(layers: Layers, terms: Terms) -> Found | None:
    """Route of the least weight on these terms; None where there is no route.

    Parameters
    ----------
    layers
        The graph.
    terms
        Prices, limits, and what may be used.
    """
    search = _Search(layers, terms)
    best = search.run()
    if best is None:
        return None
    path = _path_to(best)
    return Found(path, best.value, best.delay, search.cards_of(path), search.labels)


def _path_to(end: _Label) -> list[int]:
    path: list[int] = []
    label: _Label | None = end
    while label is not None:
        path.append(label.arc)
        label = label.before
    return path[::-1]


def route_of(layers: Layers, found: Found) -> Route:
    """The route that was found."""
    return layers.route(found.path)


class _Search:
    """One search."""

    def __init__(self, layers: Layers, terms: Terms) -> None:
        self.layers = layers
        self.terms = terms
        self.prices = terms.cards_usd
        self.weights = layers.usd if terms.weights is None else terms.weights
        self.delays = layers.delays_ms
        limit = layers.service.limit_ms if terms.limit_ms is None else terms.limit_ms
        self.limit = limit * (1 + ROUNDING)
        self.allowed = self._fitting(terms)
        self.scarce = self._scarce(terms.room)
        room = np.empty(0) if terms.room is None else terms.room[self.scarce]
        self.room: list[float] = (room + _slack(room)).tolist()
        self.onward = layers.to_end(self.delays, self.allowed)
        # Before this time at a node, no way on can break the limit.
        self.early = self.limit + layers.to_end(-self.delays, self.allowed)
        self.needs = [
            frozenset(c for c in arc.step.needs if c in self.prices) for arc in layers.arcs
        ]
        self.useful = self._useful()
        self.onward_value = layers.to_end(self.weights, self.allowed)
        self.shares = self._shares()
        self.onward_shared = layers.to_end(self.shares, self.allowed)
        self.known = np.inf
        self.labels = 0

    def cards_of(self, path: list[int]) -> frozenset[Card]:
        """Cards that a path buys."""
        return frozenset(card for a in path for card in self.needs[a])

    def _useful(self) -> list[frozenset[Card]]:
        """Cards that some way on from each node needs."""
        found: list[set[Card]] = [set() for _ in self.layers.nodes]
        for a in range(len(self.needs) - 1, -1, -1):
            arc = self.layers.arcs[a]
            if arc.tail >= 0 and self.allowed[a]:
                found[arc.tail] |= self.needs[a] | found[arc.head]
        return [frozenset(cards) for cards in found]

    def _shares(self) -> FloatArray:
        """Weights with an equal share of each card for every hop that could need it."""
        hops: dict[Card, set[int]] = {}
        for a, needs in enumerate(self.needs):
            for card in needs:
                hops.setdefault(card, set()).add(self.layers.nodes[self.layers.arcs[a].head][0])
        part = [sum(self.prices[c] / len(hops[c]) for c in needs) for needs in self.needs]
        shared: FloatArray = self.weights + np.array(part)
        return shared

    def _route_known(self) -> float:
        """Weight of the best route if every hop paid for its cards anew, cards then paid once."""
        if not any(self.needs):
            return float("inf")
        anew = self.weights + np.array([sum(self.prices[c] for c in needs) for needs in self.needs])
        terms = replace(self.terms, cards_usd={}, weights=anew, at_most=np.inf)
        end = _Search(self.layers, terms).run()
        if end is None:
            return float("inf")
        path = _path_to(end)
        return float(self.weights[path].sum() + sum(self.prices[c] for c in self.cards_of(path)))

    def _fitting(self, terms: Terms) -> NDArray[np.bool_]:
        """Arcs that are allowed and fit by themselves."""
        count = len(self.layers.arcs)
        allowed = np.ones(count, dtype=bool) if terms.allowed is None else terms.allowed.copy()
        if terms.room is not None:
            arc, resource, amount = self.layers.uses
            room = terms.room[resource]
            allowed[arc[amount > room + _slack(room)]] = False
        return allowed

    def _scarce(self, room: FloatArray | None) -> list[int]:
        """Resources that a route could use up although each of its arcs fits."""
        if room is None:
            return []
        arc, resource, amount = self.layers.uses
        use = self.allowed[arc]
        # Most that one arc into a stage takes, by stage and resource; then summed over the stages.
        stage = self.layers.stages_of_arcs[arc[use]]
        pairs, inverse = np.unique(stage * room.size + resource[use], return_inverse=True)
        most = np.zeros(pairs.size)
        np.maximum.at(most, inverse, amount[use])
        total = np.bincount(pairs % room.size, weights=most, minlength=room.size)
        scarce: list[int] = np.flatnonzero(total > np.maximum(room, 0.0)).tolist()
        return scarce

    def run(self) -> _Label | None:
        """Label of the best route; None where there is none."""
        layers = self.layers
        known = self.terms.at_most
        self.known = (self._route_known() if known is None else known) * (1 + ROUNDING)
        buckets: dict[_Key, list[_Label]] = {}
        for a in layers.starts:
            self._extend(buckets, None, (), a)
        for _ in range(1, len(layers.service.stages)):
            following: dict[_Key, list[_Label]] = {}
            for (node, hosts), labels in buckets.items():
                for label in labels:
                    for a in layers.out[node]:
                        self._extend(following, label, hosts, a)
            buckets = following
        ends = [label for labels in buckets.values() for label in labels]
        return min(ends, key=lambda label: (label.value, label.delay), default=None)

    def _extend(
        self,
        buckets: dict[_Key, list[_Label]],
        before: _Label | None,
        hosts: tuple[int, ...],
        a: int,
    ) -> None:
        """Follow an arc, if that keeps all limits and nothing dominates the result."""
        if not self.allowed[a]:
            return
        arc = self.layers.arcs[a]
        delay = float(self.delays[a]) + (0.0 if before is None else before.delay)
        if delay + self.onward[arc.head] > self.limit:
            return
        used: tuple[float, ...] = ()
        if self.scarce:
            past = (0.0,) * len(self.scarce) if before is None else before.used
            used = tuple(
                u + arc.step.uses.get(r, 0.0) for u, r in zip(past, self.scarce, strict=True)
            )
            if any(u > room for u, room in zip(used, self.room, strict=True)):
                return
        met = self._met(arc.head, hosts)
        if met is None:
            return
        owned: frozenset[Card] = frozenset() if before is None else before.cards
        needs = self.needs[a]
        value = float(self.weights[a]) + sum(self.prices[c] for c in needs - owned)
        value += 0.0 if before is None else before.value
        shared = float(self.shares[a]) + (0.0 if before is None else before.shared)
        least = max(value + self.onward_value[arc.head], shared + self.onward_shared[arc.head])
        if least > self.known:
            return
        late = max(delay, float(self.early[arc.head]))
        kept = (owned | needs) & self.useful[arc.head]
        label = _Label(value, shared, delay, late, kept, used, a, before)
        bucket = buckets.setdefault((arc.head, met), [])
        if any(self._dominates(other, label) for other in bucket):
            return
        self.labels += 1
        bucket[:] = [other for other in bucket if not self._dominates(label, other)]
        bucket.append(label)

    def _met(self, head: int, hosts: tuple[int, ...]) -> tuple[int, ...] | None:
        """Hosts that later stages must match after this node; None where it breaks a tie."""
        node = self.layers.nodes[head]
        ties = self.layers.service.ties
        if not ties:
            return ()
        # One entry per tie: -1 before its earlier and after its later stage.
        wanted = list(hosts) or [-1] * len(ties)
        for i, (later, earlier) in enumerate(ties):
            if node.position == later:
                if wanted[i] != node.place.host:
                    return None
                wanted[i] = -1
            elif node.position == earlier:
                wanted[i] = node.place.host
        return tuple(wanted)

    def _dominates(self, one: _Label, other: _Label) -> bool:
        if one.late > other.late or one.value > other.value:
            return False
        lacking = other.cards - one.cards
        if one.value + sum(self.prices[c] for c in lacking) > other.value:
            return False
        return all(u <= v for u, v in zip(one.used, other.used, strict=True))


def _slack(room: FloatArray) -> FloatArray:
    slack: FloatArray = ROUNDING * np.maximum(np.abs(room), ROUNDING)
    return slack
