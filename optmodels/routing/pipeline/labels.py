"""The cheapest route of one service, exactly: label setting on its layered graph.

A label is a way from the start to a node: its cost, its latency, the cards it has bought, and,
where they can run out, what it has taken of the shared resources. Labels are made stage by stage.
One is dropped when

- the fastest way on from its node (a reverse shortest path) would break the latency limit, or
- another label of the node is no slower, takes no more of any scarce resource, and would still be
  no dearer after buying every card that it lacks and this one has.

What the dropped label could become, the other can become as well, so the optimum survives. Cards
are what makes costs of a route more than the sum over its arcs: the card of a gateway serves the
request and the reply, and is paid once.

Stages that share a host are told apart by the hosts that later stages will have to match. Label
setting for shortest paths with resources is classical (Desrochers and Soumis, INFOR 1988); the
dominance over cards is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    """

    cards_usd: Mapping[Card, float]
    room: FloatArray | None = None
    allowed: NDArray[np.bool_] | None = None
    weights: FloatArray | None = None
    limit_ms: float | None = None


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
    delay: float
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
    path: list[int] = []
    label: _Label | None = best
    while label is not None:
        path.append(label.arc)
        label = label.before
    return Found(path[::-1], best.value, best.delay, best.cards, search.labels)


def route_of(layers: Layers, found: Found) -> Route:
    """The route that was found."""
    return layers.route(found.path)


class _Search:
    """One search."""

    def __init__(self, layers: Layers, terms: Terms) -> None:
        self.layers = layers
        self.prices = terms.cards_usd
        self.weights = layers.usd if terms.weights is None else terms.weights
        self.delays = layers.delays_ms
        limit = layers.service.limit_ms if terms.limit_ms is None else terms.limit_ms
        self.limit = limit * (1 + ROUNDING)
        self.allowed = self._fitting(terms)
        self.scarce = self._scarce(terms.room)
        self.room = [] if terms.room is None else [float(terms.room[r]) for r in self.scarce]
        self.onward = layers.to_end(self.delays, self.allowed)
        self.labels = 0

    def _fitting(self, terms: Terms) -> NDArray[np.bool_]:
        """Arcs that are allowed and fit by themselves."""
        arcs = self.layers.arcs
        allowed = np.ones(len(arcs), dtype=bool) if terms.allowed is None else terms.allowed.copy()
        if terms.room is not None:
            room = terms.room
            for a, arc in enumerate(arcs):
                if allowed[a]:
                    uses = arc.step.uses.items()
                    allowed[a] = all(amount <= room[r] + _slack(room[r]) for r, amount in uses)
        return allowed

    def _scarce(self, room: FloatArray | None) -> list[int]:
        """Resources that a route could use up although each of its arcs fits."""
        if room is None:
            return []
        most: dict[int, dict[int, float]] = {}
        for a, arc in enumerate(self.layers.arcs):
            if self.allowed[a]:
                position = self.layers.nodes[arc.head].position
                for r, amount in arc.step.uses.items():
                    by_position = most.setdefault(r, {})
                    by_position[position] = max(by_position.get(position, 0.0), amount)
        return [r for r, by in sorted(most.items()) if sum(by.values()) > room[r]]

    def run(self) -> _Label | None:
        layers = self.layers
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
        delay = self.delays[a] + (0.0 if before is None else before.delay)
        if delay + self.onward[arc.head] > self.limit:
            return
        used: tuple[float, ...] = ()
        if self.scarce:
            past = (0.0,) * len(self.scarce) if before is None else before.used
            used = tuple(
                u + arc.step.uses.get(r, 0.0) for u, r in zip(past, self.scarce, strict=True)
            )
            if any(u > room + _slack(room) for u, room in zip(used, self.room, strict=True)):
                return
        met = self._met(arc.head, hosts)
        if met is None:
            return
        owned: frozenset[Card] = frozenset() if before is None else before.cards
        new = frozenset(c for c in arc.step.needs if c in self.prices and c not in owned)
        value = float(self.weights[a]) + sum(self.prices[c] for c in new)
        value += 0.0 if before is None else before.value
        label = _Label(value, float(delay), owned | new, used, a, before)
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
        if one.delay > other.delay:
            return False
        lacking = other.cards - one.cards
        if one.value + sum(self.prices[c] for c in lacking) > other.value:
            return False
        return all(u <= v for u, v in zip(one.used, other.used, strict=True))


def _slack(room: float) -> float:
    return ROUNDING * max(abs(room), ROUNDING)
