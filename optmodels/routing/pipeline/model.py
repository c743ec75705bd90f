r"""Routes of many services and the cards they share: the mathematics.

**In words.** Every service follows one path through its layered graph, within its latency limit.
Together the paths take no more of any link, port, processor or GPU than there is. A path may use
RDMA or GPUDirect at a host only if the card is bought there. What is paid: the cards, the cores,
GPUs and transit that the paths take, and requests in flight.

**In formulas**, for services k with arcs a, and cards i:

.. math::

    \min \quad & \sum_i \kappa_i Y_i + \sum_k \sum_a c_{ka} f_{ka} \\
    \text{s.t.} \quad
    & \sum_{a \text{ starts}} f_{ka} = 1 \quad \forall k, \qquad
      \sum_{a \to n} f_{ka} = \sum_{n \to a} f_{ka} \quad \forall k, n \\
    & \sum_a d_{ka} f_{ka} \le L_k \quad \forall k \\
    & \sum_k \sum_a u_{kar} f_{ka} \le C_r \quad \forall r \\
    & \sum_{a \in A_{kq} : a \text{ needs } i} f_{ka} \le Y_i \quad \forall k, q, i \\
    & \sum_{a \to (q, v)} f_{ka} = \sum_{a \to (q', v)} f_{ka}
      \quad \forall k, \text{ stages } q, q' \text{ that share a host}, v

where :math:`A_{kq}` are the arcs of hop q. A path has one arc per hop, so the row of a card sums
over them: tighter than a row per arc, and fewer rows. For large instances that is what decides
whether the relaxation says anything about cards.

============================  =============================  ======================================
symbol                        name                           meaning [unit]
============================  =============================  ======================================
:math:`f`                     ``flow``                       whether the service takes the arc
:math:`Y`                     ``bought``                     whether the card is bought
:math:`\kappa`                ``card_usd``                   cost of a card [USD/h]
:math:`c`                     ``usd``                        cost of an arc [USD/h]
:math:`d / L`                 ``delay``                      latency, as a share of the limit
:math:`u / C`                 ``use``                        load, as a share of the capacity
============================  =============================  ======================================

Everything here is ours; what the transports do for latency was measured in arXiv:2305.03165.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from optmodels.errors import InfeasibleError
from optmodels.routing.pipeline.layers import ROUNDING, Layers, layers_of
from optmodels.routing.pipeline.steps import Card, Steps
from optmodels.solver.template import instance_of

if TYPE_CHECKING:
    from optmodels.routing.pipeline.instance import PipelineInstance


@cache
def formulation() -> pyo.AbstractModel:
    """The formulation without any data in it."""
    m = pyo.AbstractModel(name="routing.pipeline")
    m.services = pyo.Set(doc="services, from 1")
    m.arcs = pyo.Set(doc="arcs of all services, from 1")
    m.nodes = pyo.Set(doc="nodes that routes pass through, from 1")
    m.limited = pyo.Set(within=m.services, doc="services whose slowest route breaks their limit")
    m.resources = pyo.Set(doc="resources that routes could use up")
    m.cards = pyo.Set(doc="cards that are offered, from 1")
    m.hops = pyo.Set(doc="hops of services that may need a card, from 1")
    m.needs = pyo.Set(within=m.hops * m.cards, doc="hops, and cards that they may need")
    m.shared = pyo.Set(doc="pairs of stages that share a host, by host, from 1")

    m.starting = pyo.Set(m.services, within=m.arcs, doc="arcs into the first stage")
    m.into = pyo.Set(m.nodes, within=m.arcs, doc="arcs into a node")
    m.out = pyo.Set(m.nodes, within=m.arcs, doc="arcs out of a node")
    m.own = pyo.Set(m.limited, within=m.arcs, doc="arcs of a service")
    m.users = pyo.Set(m.resources, within=m.arcs, doc="arcs that take of a resource")
    m.needing = pyo.Set(m.needs, within=m.arcs, doc="arcs of a hop that need a card")
    m.earlier = pyo.Set(m.shared, within=m.arcs, doc="arcs to the earlier stage at the host")
    m.later = pyo.Set(m.shared, within=m.arcs, doc="arcs to the later stage at the host")

    m.uses = pyo.Set(within=m.resources * m.arcs, doc="resources, and arcs that take of them")
    m.usd = pyo.Param(m.arcs, mutable=True)
    m.delay = pyo.Param(m.arcs, mutable=True)
    m.use = pyo.Param(m.uses, mutable=True)
    m.card_usd = pyo.Param(m.cards, mutable=True)

    m.flow = pyo.Var(m.arcs, within=pyo.Binary)
    m.bought = pyo.Var(m.cards, within=pyo.Binary)

    @m.Constraint(m.services, doc="every service takes one route")
    def start(m: Any, k: int) -> Any:
        return sum(m.flow[a] for a in m.starting[k]) == 1

    @m.Constraint(m.nodes, doc="a route goes on from where it arrives")
    def go_on(m: Any, n: int) -> Any:
        return sum(m.flow[a] for a in m.into[n]) == sum(m.flow[a] for a in m.out[n])

    @m.Constraint(m.limited, doc="a route keeps the latency limit of its service")
    def latency(m: Any, k: int) -> Any:
        return sum(m.delay[a] * m.flow[a] for a in m.own[k]) <= 1

    @m.Constraint(m.resources, doc="routes take no more of a resource than there is")
    def capacity(m: Any, r: int) -> Any:
        return sum(m.use[r, a] * m.flow[a] for a in m.users[r]) <= 1

    @m.Constraint(m.needs, doc="RDMA and GPUDirect need their cards")
    def card(m: Any, h: int, i: int) -> Any:
        return sum(m.flow[a] for a in m.needing[h, i]) <= m.bought[i]

    @m.Constraint(m.shared, doc="stages that share a host run at the same one")
    def same_host(m: Any, g: int) -> Any:
        return sum(m.flow[a] for a in m.earlier[g]) == sum(m.flow[a] for a in m.later[g])

    @m.Objective(sense=pyo.minimize, doc="cost of routes and cards [USD/h]")
    def cost(m: Any) -> Any:
        return sum(m.usd[a] * m.flow[a] for a in m.arcs) + sum(
            m.card_usd[i] * m.bought[i] for i in m.cards
        )

    return m


def model_data(
    steps: Steps,
    layers: Sequence[Layers],
    *,
    weights: Sequence[np.ndarray[Any, np.dtype[np.float64]]] | None = None,
    card_weight: float = 1.0,
) -> dict[str, Any]:
    """Data of the formulation by component name.

    Parameters
    ----------
    steps
        Steps of the instance.
    layers
        Graph of each service; each must have a route.
    weights
        What is to be least, per arc of each service; by default the cost.
    card_weight
        Factor on the cost of cards.
    """
    gathered = _Gathered(steps, layers)
    cards = list(steps.offered)
    costs = [one.usd for one in layers] if weights is None else list(weights)
    use = gathered.use()
    resources = sorted(use)
    starts, members = _ragged([[a for a, _ in use[r]] for r in resources])
    return {
        "services": np.arange(1, len(layers) + 1),
        "arcs": np.arange(1, gathered.arcs + 1),
        "nodes": np.arange(1, len(gathered.into) + 1),
        "limited": np.array(gathered.limited, dtype=np.int64),
        "resources": np.array(resources, dtype=np.int64),
        "cards": np.arange(1, len(cards) + 1),
        "hops": np.arange(1, gathered.hops + 1),
        "needs": gathered.needs(cards),
        "shared": np.arange(1, len(gathered.earlier) + 1),
        "starting": _ragged(gathered.starting),
        "into": _ragged(gathered.into),
        "out": _ragged(gathered.out),
        "own": _ragged(gathered.own),
        "users": (starts, members),
        "needing": _ragged([members for _, members in sorted(gathered.needing.items())]),
        "earlier": _ragged(gathered.earlier),
        "later": _ragged(gathered.later),
        "uses": (np.repeat(np.array(resources, dtype=np.int64), np.diff(starts)), members),
        "usd": np.concatenate(costs),
        "delay": np.concatenate([one.delays_ms / one.service.limit_ms for one in layers]),
        "use": np.array([share for r in resources for _, share in use[r]], dtype=np.float64),
        "card_usd": card_weight * np.array([steps.offered[c] for c in cards], dtype=np.float64),
    }


class _Gathered:
    """Rows of the formulation as lists of arcs, numbered through all services from 1."""

    def __init__(self, steps: Steps, layers: Sequence[Layers]) -> None:
        self._steps, self._layers = steps, layers
        self.arcs = sum(len(one.arcs) for one in layers)
        self.starting: list[list[int]] = []
        self.into: list[list[int]] = []
        self.out: list[list[int]] = []
        self.own: list[list[int]] = []
        self.limited: list[int] = []
        self.earlier: list[list[int]] = []
        self.later: list[list[int]] = []
        self.hops = 0
        #: (hop, card) -> arcs, cards by their place among the offered ones from 1.
        self.needing: dict[tuple[int, int], list[int]] = {}
        number: dict[Card, int] = {card: i for i, card in enumerate(steps.offered, start=1)}
        first = 1
        for k, one in enumerate(layers, start=1):
            self._add(one, k, first, number)
            first += len(one.arcs)

    def _add(self, one: Layers, k: int, first: int, number: dict[Card, int]) -> None:
        last = len(one.service.stages) - 1
        into: list[list[int]] = [[] for _ in one.nodes]
        for a, arc in enumerate(one.arcs):
            into[arc.head].append(first + a)
            hop = self.hops + one.nodes[arc.head].position
            for card in arc.step.needs:
                if card in number:
                    self.needing.setdefault((hop, number[card]), []).append(first + a)
        self.hops += last
        self.starting.append([first + a for a in one.starts])
        for n, node in enumerate(one.nodes):
            if node.position < last:
                self.into.append(into[n])
                self.out.append([first + a for a in one.out[n]])
        slowest = -one.to_end(-one.delays_ms)
        worst = max(one.delays_ms[a] + slowest[one.arcs[a].head] for a in one.starts)
        if worst > one.service.limit_ms * (1 + ROUNDING):
            self.limited.append(k)
            self.own.append([first + a for a in range(len(one.arcs))])
        for later, earlier in one.service.ties:
            hosts = {n.place.host for n in one.nodes if n.position in (later, earlier)}
            for host in sorted(hosts):
                for position, rows in ((earlier, self.earlier), (later, self.later)):
                    here = [
                        n
                        for n, node in enumerate(one.nodes)
                        if node.position == position and node.place.host == host
                    ]
                    rows.append([a for n in here for a in into[n]])

    def use(self) -> dict[int, list[tuple[int, float]]]:
        """Arcs and their shares of the capacity, of each resource that could run out."""
        capacity = self._steps.resources.capacity
        found: dict[int, list[tuple[int, float]]] = {}
        most: dict[int, float] = {}
        first = 1
        for one in self._layers:
            highest: dict[tuple[int, int], float] = {}
            for a, arc in enumerate(one.arcs, start=first):
                position = one.nodes[arc.head].position
                for r, amount in arc.step.uses.items():
                    found.setdefault(r, []).append((a, amount / capacity[r]))
                    highest[r, position] = max(highest.get((r, position), 0.0), amount)
            for (r, _), amount in highest.items():
                most[r] = most.get(r, 0.0) + amount
            first += len(one.arcs)
        return {r: rows for r, rows in found.items() if most[r] > capacity[r]}

    def needs(self, cards: Sequence[Card]) -> tuple[Any, Any]:
        """Hops and cards of the rows of cards, in order."""
        pairs = np.array(sorted(self.needing), dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


def _ragged(lists: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return starts, np.array([a for one in lists for a in one], dtype=np.int64)


def concrete_model(instance: PipelineInstance) -> pyo.ConcreteModel:
    """The formulation with the data of an instance, as an ordinary Pyomo model.

    Raises
    ------
    InfeasibleError
        A service has no route at all, so that there is nothing to formulate.
    """
    steps = Steps(instance)
    layers = [layers_of(steps, service) for service in instance.services]
    if not all(one.starts for one in layers):
        from optmodels.routing.pipeline.limits import explain

        raise InfeasibleError(f"{instance.name} has no plan.", explain(instance))
    return instance_of(formulation(), model_data(steps, layers), name=instance.name)
