"""The layered graph of a service: every route is a path from its source to its sink.

A node is a stage at a place; a relay has one node per transport by which its payload may have come,
because what leaves it may have to be translated. An arc is a `Step`. So latency and cost are sums
over arcs, and the cheapest route within a latency limit is a shortest path with one constraint (see
`optmodels.routing.pipeline.labels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray
from optmodels.routing.pipeline.instance import Candidate, PipelineInstance, Service
from optmodels.routing.pipeline.steps import Step, Steps
from optmodels.routing.pipeline.transport import Kind

if TYPE_CHECKING:
    import networkx as nx

IntArray = NDArray[np.int64]

#: A limit is kept if it is exceeded by no more than this share: the audit allows more.
ROUNDING = 1e-9


class Node(NamedTuple):
    """A stage at a place: its position from 0, the place, and how the payload came (relays)."""

    position: int
    place: Candidate
    arrival: Kind | None


class Visit(NamedTuple):
    """One stage of a route: where it runs, and the transport that leads to it."""

    place: Candidate
    kind: Kind | None


Route = tuple[Visit, ...]


@dataclass(frozen=True)
class Arc:
    """An arc: nodes by number (source 0, sink -1), transport, step and its cost [USD/h]."""

    tail: int
    head: int
    kind: Kind | None
    step: Step
    usd: float


@dataclass(frozen=True)
class Layers:
    """The layered graph of one service.

    Attributes
    ----------
    service
        Whose.
    nodes
        Nodes by number, stage by stage. There is neither a source nor a sink among them: routes
        start with any arc of `starts` and end at any node of the last stage.
    arcs
        Arcs, stage by stage; those into the first stage have the tail -1.
    """

    service: Service
    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]

    @cached_property
    def out(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the arcs that leave each node."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for a, arc in enumerate(self.arcs):
            if arc.tail >= 0:
                found[arc.tail].append(a)
        return tuple(map(tuple, found))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Numbers of the arcs into the first stage."""
        return tuple(a for a, arc in enumerate(self.arcs) if arc.tail < 0)

    @cached_property
    def delays_ms(self) -> FloatArray:
        """Latency of each arc [ms]."""
        return np.array([arc.step.delay_ms for arc in self.arcs])

    @cached_property
    def usd(self) -> FloatArray:
        """Cost of each arc but for cards [USD/h]."""
        return np.array([arc.usd for arc in self.arcs])

    def to_end(self, weights: FloatArray, allowed: NDArray[np.bool_] | None = None) -> FloatArray:
        """Least sum of weights from each node to the last stage; infinite where none leads on."""
        last = len(self.service.stages) - 1
        least = np.array([0.0 if node.position == last else np.inf for node in self.nodes])
        for a in range(len(self.arcs) - 1, -1, -1):
            arc = self.arcs[a]
            if arc.tail >= 0 and (allowed is None or allowed[a]):
                least[arc.tail] = min(least[arc.tail], weights[a] + least[arc.head])
        return least

    def from_start(self, weights: FloatArray) -> FloatArray:
        """Least sum of weights from the start to each node, its own stage included."""
        least = np.full(len(self.nodes), np.inf)
        for a, arc in enumerate(self.arcs):
            before = 0.0 if arc.tail < 0 else least[arc.tail]
            least[arc.head] = min(least[arc.head], before + weights[a])
        return least

    @cached_property
    def uses(self) -> tuple[IntArray, IntArray, FloatArray]:
        """What arcs take of resources: arc, resource and amount of each pair."""
        found = [
            (a, r, amount) for a, arc in enumerate(self.arcs) for r, amount in arc.step.uses.items()
        ]
        arc, resource, amount = zip(*found, strict=True) if found else ((), (), ())
        return (
            np.array(arc, dtype=np.int64),
            np.array(resource, dtype=np.int64),
            np.array(amount, dtype=np.float64),
        )

    @cached_property
    def stages_of_arcs(self) -> IntArray:
        """Position of the stage that each arc leads to."""
        return np.array([self.nodes[arc.head].position for arc in self.arcs], dtype=np.int64)

    @cached_property
    def least_delay_ms(self) -> float:
        """Latency of the fastest route, ties and shared limits aside; infinite without any."""
        onward = self.to_end(self.delays_ms)
        return min(
            (self.delays_ms[a] + onward[self.arcs[a].head] for a in self.starts), default=np.inf
        )

    def route(self, path: list[int]) -> Route:
        """The route of a path of arcs."""
        return tuple(Visit(self.nodes[self.arcs[a].head].place, self.arcs[a].kind) for a in path)

    def graph(self) -> nx.MultiDiGraph:
        """The graph for networkx, with "source" and "sink"; edges have ``delay`` and ``cost``.

        Examples
        --------
        ``networkx.shortest_path_length(layers.graph(), "source", "sink", weight="delay")``
        """
        import networkx as nx

        graph = nx.MultiDiGraph()
        graph.add_nodes_from(["source", "sink", *range(len(self.nodes))])
        for a, arc in enumerate(self.arcs):
            tail = "source" if arc.tail < 0 else arc.tail
            facts = {"delay": arc.step.delay_ms, "cost": arc.usd, "transport": arc.kind}
            graph.add_edge(tail, arc.head, key=a, arc=a, **facts)
        last = len(self.service.stages) - 1
        for n, node in enumerate(self.nodes):
            if node.position == last:
                graph.add_edge(n, "sink", key=-1, arc=-1, delay=0.0, cost=0.0, transport=None)
        return graph


def layers_of(steps: Steps, service: Service) -> Layers:
    """Build the graph of a service; what cannot be part of a route within its limit is left out.

    An arc is left out where the fastest way there and on exceeds the latency limit, or where it
    alone takes more of a resource than there is. Every route that keeps the limits is a path.
    """
    whole = _whole(steps, service)
    delays = whole.delays_ms
    before, onward = whole.from_start(delays), whole.to_end(delays)
    capacity = steps.resources.capacity
    limit = service.limit_ms * (1 + ROUNDING)
    kept = []
    for a, arc in enumerate(whole.arcs):
        reached = 0.0 if arc.tail < 0 else before[arc.tail]
        fits = all(u <= capacity[r] * (1 + ROUNDING) for r, u in arc.step.uses.items())
        if fits and reached + delays[a] + onward[arc.head] <= limit:
            kept.append(arc)
    return _without_dead_ends(service, whole.nodes, kept)


def whole_layers(instance: PipelineInstance) -> list[Layers]:
    """Graphs of all services with every arc, those beyond a limit among them."""
    steps = Steps(instance)
    return [_whole(steps, service) for service in instance.services]


def _whole(steps: Steps, service: Service) -> Layers:
    nodes: list[Node] = []
    arcs: list[Arc] = []
    previous: list[int] = []
    for place in service.stages[0].candidates:
        step = steps.first(service, place)
        arcs.append(Arc(-1, len(nodes), None, step, steps.usd(service, step)))
        previous.append(len(nodes))
        nodes.append(Node(0, place, None))
    for position in range(1, len(service.stages)):
        stage = service.stages[position]
        number: dict[Node, int] = {}
        for tail in previous:
            for place in stage.candidates:
                for kind in steps.transports(nodes[tail].place, place):
                    node = Node(position, place, kind if stage.relay else None)
                    if node not in number:
                        number[node] = len(nodes)
                        nodes.append(node)
                    source, arrival = nodes[tail].place, nodes[tail].arrival
                    step = steps.step(service, position - 1, source, place, kind, arrival)
                    usd = steps.usd(service, step)
                    arcs.append(Arc(tail, number[node], kind, step, usd))
        previous = list(number.values())
    return Layers(service, tuple(nodes), tuple(arcs))


def _without_dead_ends(service: Service, nodes: tuple[Node, ...], arcs: list[Arc]) -> Layers:
    """The graph of these arcs that lie on some path from the start to the end, renumbered."""
    last = len(service.stages) - 1
    reached: set[int] = set()
    for arc in arcs:
        if arc.tail < 0 or arc.tail in reached:
            reached.add(arc.head)
    ending = {n for n in reached if nodes[n].position == last}
    for arc in reversed(arcs):
        if arc.head in ending and (arc.tail < 0 or arc.tail in reached):
            ending.add(arc.tail)
    used = sorted(n for n in ending & reached if n >= 0)
    number = {n: i for i, n in enumerate(used)} | {-1: -1}
    return Layers(
        service,
        tuple(nodes[n] for n in used),
        tuple(
            Arc(number[arc.tail], number[arc.head], arc.kind, arc.step, arc.usd)
            for arc in arcs
            if arc.tail in number and arc.head in number and arc.head in ending
        ),
    )
