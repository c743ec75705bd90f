"""The audit of serving pipelines: the only place where dollars and latencies are computed.

A plan has two tables. ``routes`` (service, position, stage, host, device, transport) says where
each stage of each service runs and by which transport its payload comes; the first stage of a
service has the transport "none". ``cards`` (host, card) names the network cards that are bought; an
empty table buys none. Everything else is recomputed here from the raw instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd

from optmodels.plan import Audit, Cost, Violation
from optmodels.policy import FloatArray
from optmodels.routing.pipeline.instance import Candidate, PipelineInstance, Service
from optmodels.routing.pipeline.layers import Route, Visit
from optmodels.routing.pipeline.steps import Card, Step, Steps
from optmodels.routing.pipeline.transport import NICS, Kind
from optmodels.violations import audited, lacking

#: Largest tolerated error, relative to each limit.
TOLERANCE = 1e-6
ROUTE_COLUMNS = ("service", "position", "stage", "host", "device", "transport")
CARD_COLUMNS = ("host", "card")
START = "none"
"""The transport of a first stage."""
_MS_PER_S = 1e3


@dataclass(frozen=True)
class Decision:
    """A route for each service, and the cards that are bought.

    Attributes
    ----------
    routes
        Routes in the order of the services; None where there is none.
    cards
        Cards by host and kind.
    """

    routes: tuple[Route | None, ...]
    cards: frozenset[Card]


def audit(instance: PipelineInstance, tables: Mapping[str, pd.DataFrame]) -> Audit:
    """Recompute what a plan costs and which limits it breaks.

    Parameters
    ----------
    instance
        The question.
    tables
        ``routes`` (service, position, stage, host, device, transport) and ``cards`` (host, card).

    Returns
    -------
    Audit
        Cost in USD/h (cards, cores, GPUs, transit, requests in flight), with the mean latency of a
        request; and the violations.
    """
    decision, violations = read_decision(instance, tables)
    steps = Steps(instance)
    taken = [
        None if route is None else steps_of(steps, service, route)
        for service, route in zip(instance.services, decision.routes, strict=True)
    ]
    violations += _card_violations(instance, steps, decision, taken)
    violations += _limit_violations(instance, steps, taken)
    return audited(cost_of(instance, steps, decision, taken), violations)


def steps_of(steps: Steps, service: Service, route: Route) -> list[Step]:
    """Steps of a route, anew from the raw instance."""
    found = [steps.first(service, route[0].place)]
    for position in range(1, len(route)):
        source, target = route[position - 1], route[position]
        if target.kind is None:
            continue
        found.append(
            steps.step(service, position - 1, source.place, target.place, target.kind, source.kind)
        )
    return found


def cost_of(
    instance: PipelineInstance,
    steps: Steps,
    decision: Decision,
    taken: Sequence[Sequence[Step] | None],
) -> Cost:
    """What routes and cards cost, sound or not."""
    load = load_of(steps, taken)
    usd = steps.resources.usd * load
    family = np.array(steps.resources.family, dtype=object)
    rates = instance.rates
    delays = np.array([sum(s.delay_ms for s in one) if one else 0.0 for one in taken])
    in_flight = float(rates @ delays) / _MS_PER_S
    return Cost(
        parts={
            # In a fixed order: a set has another in every process, and sums their last digit.
            "cards_usd": sum(
                (steps.offered.get(card, 0.0) for card in sorted(decision.cards)), 0.0
            ),
            "cores_usd": float(usd[family == "cores"].sum()),
            "gpus_usd": float(usd[family == "GPUs"].sum()),
            "transit_usd": float(usd[family == "link"].sum()),
            "in_flight_usd": in_flight * float(instance.parameters.in_flight_usd_per_hour),
        },
        quantities={
            "latency_ms": float(rates @ delays / rates.sum()),
            "busy_cores": float(load[family == "cores"].sum()),
            "busy_gpus": float(load[family == "GPUs"].sum()),
            "cards": float(len(decision.cards)),
        },
        unit="USD/h",
    )


def load_of(steps: Steps, taken: Iterable[Sequence[Step] | None]) -> FloatArray:
    """What routes take of each resource together."""
    load = np.zeros(steps.resources.capacity.size)
    for one in taken:
        for step in one or ():
            for r, amount in step.uses.items():
                load[r] += amount
    return load


def tables_of(instance: PipelineInstance, decision: Decision) -> dict[str, pd.DataFrame]:
    """Tables of a plan."""
    rows = [
        (service.name, q + 1, service.stages[q].name, *_place(instance, visit))
        for service, route in zip(instance.services, decision.routes, strict=True)
        for q, visit in enumerate(route or ())
    ]
    cards = [(instance.hosts[v], nic) for v, nic in sorted(decision.cards)]
    return {
        "routes": pd.DataFrame(rows, columns=list(ROUTE_COLUMNS)),
        "cards": pd.DataFrame(cards, columns=list(CARD_COLUMNS), dtype=object),
    }


def _place(instance: PipelineInstance, visit: Visit) -> tuple[str, str, str]:
    return instance.hosts[visit.place.host], visit.place.device, visit.kind or START


def read_decision(
    instance: PipelineInstance, tables: Mapping[str, pd.DataFrame]
) -> tuple[Decision, list[Violation]]:
    """The sound routes and cards of a plan, and what is wrong with the others."""
    violations = lacking(ROUTE_COLUMNS, tables.get("routes"), "routes")
    violations += lacking(CARD_COLUMNS, tables.get("cards"), "cards")
    if violations:
        return Decision((None,) * len(instance.services), frozenset()), violations
    table = tables["routes"]
    rows: dict[str, list[Any]] = {service.name: [] for service in instance.services}
    for i, row in enumerate(_records(table, ROUTE_COLUMNS)):
        if row.service in rows:
            rows[row.service].append(row)
        else:
            where = f"row {i + 1} of 'routes'"
            violations.append(Violation("known services", where, float(i + 1), "a service"))
    steps = Steps(instance)
    routes = []
    for service in instance.services:
        route, wrong = _read_route(instance, steps, service, rows[service.name])
        routes.append(route)
        violations += wrong
    cards, wrong = _read_cards(instance, steps, tables["cards"])
    return Decision(tuple(routes), cards), violations + wrong


def _read_route(
    instance: PipelineInstance, steps: Steps, service: Service, rows: list[Any]
) -> tuple[Route | None, list[Violation]]:
    """The route of a service, or what is wrong with it."""
    count = len(service.stages)
    given = [row.position for row in rows]
    if sorted(map(str, given)) != sorted(map(str, range(1, count + 1))):
        allowed = f"each position from 1 to {count} once"
        return None, [Violation("stages of a route", service.name, float(len(given)), allowed)]
    visits: list[Visit] = []
    for row in sorted(rows, key=lambda row: int(row.position)):
        q = len(visits)
        where = f"{service.name}, position {q + 1}"
        place = _candidate(instance, service, q, row)
        if place is None:
            return None, [Violation("place of a stage", where, q + 1.0, "one of its candidates")]
        kind: Kind | None = row.transport if row.transport in get_args(Kind) else None
        options = steps.transports(visits[-1].place, place) if visits else []
        sound = kind in options if visits else row.transport == START
        if not sound:
            allowed = (", ".join(options) or "no transport leads there") if visits else START
            return None, [Violation(f"transport '{row.transport}'", where, q + 1.0, allowed)]
        visits.append(Visit(place, kind))
    wrong = [
        Violation(
            "stages that share a host",
            f"{service.name}, positions {earlier + 1} and {later + 1}",
            float(later + 1),
            f"at {instance.hosts[visits[earlier].place.host]}, both",
        )
        for later, earlier in service.ties
        if visits[later].place.host != visits[earlier].place.host
    ]
    return tuple(visits), wrong


def _candidate(
    instance: PipelineInstance, service: Service, position: int, row: Any
) -> Candidate | None:
    host = instance.host_number.get(row.host) if isinstance(row.host, str) else None
    for place in service.stages[position].candidates:
        if place.host == host and place.device == row.device:
            return place
    return None


def _read_cards(
    instance: PipelineInstance, steps: Steps, table: pd.DataFrame
) -> tuple[frozenset[Card], list[Violation]]:
    cards: set[Card] = set()
    violations = []
    for i, row in enumerate(_records(table, CARD_COLUMNS)):
        host = instance.host_number.get(row.host) if isinstance(row.host, str) else None
        nic = next((nic for nic in NICS if nic == row.card), None)
        where = f"row {i + 1} of 'cards'"
        if host is None or nic is None or (host, nic) not in steps.offered:
            words = "a card that is offered at its host"
            violations.append(Violation("cards to buy", where, i + 1.0, words))
        elif (host, nic) in cards:
            violations.append(Violation("cards to buy", where, i + 1.0, "each once"))
        else:
            cards.add((host, nic))
    return frozenset(cards), violations


def _card_violations(
    instance: PipelineInstance,
    steps: Steps,
    decision: Decision,
    taken: Sequence[Sequence[Step] | None],
) -> list[Violation]:
    """Transports without their cards; GPUDirect without RDMA."""
    found = []
    for service, one in zip(instance.services, taken, strict=True):
        lacking = {
            card
            for step in one or ()
            for card in step.needs
            if card in steps.offered and card not in decision.cards
        }
        found += [
            Violation(f"card for {nic}", f"{service.name}, {instance.hosts[v]}", 0.0, "bought")
            for v, nic in sorted(lacking)
        ]
    return found


def _limit_violations(
    instance: PipelineInstance, steps: Steps, taken: Sequence[Sequence[Step] | None]
) -> list[Violation]:
    """Services that are too slow, and resources of which too much is taken."""
    found = []
    for service, one in zip(instance.services, taken, strict=True):
        delay = sum(step.delay_ms for step in one or ())
        if delay > service.limit_ms * (1 + TOLERANCE):
            words = f"at most {service.limit_ms:.9g}"
            found.append(Violation("latency [ms]", service.name, delay, words))
    capacity = steps.resources.capacity
    load = load_of(steps, taken)
    return found + [
        Violation(
            "shared resource",
            steps.resources.name(int(r)),
            float(load[r]),
            f"at most {capacity[r]:.9g}",
        )
        for r in np.flatnonzero(load > capacity + TOLERANCE * np.maximum(capacity, TOLERANCE))
    ]


def _records(table: pd.DataFrame, columns: Sequence[str]) -> Iterator[Any]:
    return iter(table[list(columns)].itertuples(index=False))


def decision_of(instance: PipelineInstance, tables: Mapping[str, pd.DataFrame]) -> Decision:
    """The decision in the tables of an audited plan."""
    return read_decision(instance, tables)[0]
