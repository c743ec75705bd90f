"""The oracle of serving pipelines: routes and cards of least cost, with a proven bound.

==========  ========================================================================================
method      what it is
==========  ========================================================================================
"labels"    one service: label setting on its layered graph, exact. Refused for more than one
"milp"      any number of services: the formulation, started from an improved greedy plan
"auto"      "labels" for one service, else "milp"
==========  ========================================================================================

Whichever is used, the plan is audited, its objective is the audit's, and it must not be worse than
the greedy plans.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.plan import Plan, Provenance
from optmodels.policy import FloatArray
from optmodels.routing.pipeline.assigning import assigned
from optmodels.routing.pipeline.audit import Decision, audit, tables_of
from optmodels.routing.pipeline.improving import improved, path_of
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.labels import Terms, cheapest_route
from optmodels.routing.pipeline.layers import Layers, Route, layers_of
from optmodels.routing.pipeline.limits import explain
from optmodels.routing.pipeline.steps import Card, Steps

METHODS = ("auto", "labels", "milp")

#: Relative difference between two computations of one number that the feasibility tolerance of the
#: solver explains.
_ROUNDING = 1e-6
#: Share of a time limit that the solver gets, however long the greedy start took.
_LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Searched:
    """What a method found: the decision, a proven bound, a status, and the method in words."""

    decision: Decision
    bound: float
    status: str
    words: str


@dataclass(frozen=True)
class Limits:
    """Limits of the solver."""

    time_limit_s: float | None = None
    mip_gap: float = 1e-4
    seed: int = 0
    options: Mapping[str, object] | None = None


def solve(
    instance: PipelineInstance,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find the cheapest routes and cards; arguments as in `optmodels.api.solve`.

    Raises
    ------
    InfeasibleError
        No routes keep all limits; the reasons say which.
    NoSolutionError
        The limit ended the search before a plan was found.
    UsageError
        The method does not apply to the instance, or solver options were given to a method
        without a solver.
    """
    one = len(instance.services) == 1
    chosen = ("labels" if one else "milp") if method == "auto" else method
    if chosen == "labels" and not one:
        raise UsageError(
            f"The method 'labels' routes one service; {instance.name} has "
            f"{len(instance.services)}. Fix: use 'milp'."
        )
    if chosen == "labels" and options:
        raise UsageError(
            f"The method 'labels' has no solver options, but got {', '.join(options)}. "
            "Fix: leave them out, or use 'milp'."
        )
    started = time.perf_counter()
    steps, layers = graphs_of(instance)
    if chosen == "labels":
        found = by_labels(steps, layers[0])
    else:
        limits = Limits(time_limit_s, mip_gap, seed, options)
        found = by_solver(instance, steps, layers, limits)
    seconds = time.perf_counter() - started
    tables = tables_of(instance, found.decision)
    checked = audit(instance, tables)
    objective = checked.cost.total
    if found.bound > objective + _ROUNDING * abs(objective):
        raise SolverError(
            f"The method '{chosen}' claims a bound of {found.bound:.12g} USD/h above its own plan "
            f"of {objective:.12g} USD/h for {instance.name}."
        )
    given = {"method": method, "time_limit_s": time_limit_s, "mip_gap": mip_gap, **(options or {})}
    return Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker="optimum",
        status=found.status,
        bound=min(found.bound, objective),
        tables=tables,
        audit=checked,
        provenance=Provenance(found.words, seconds, options=given, seed=seed),
    )


def graphs_of(instance: PipelineInstance) -> tuple[Steps, list[Layers]]:
    """Steps of an instance and the graph of each service, each with some route of its own.

    Raises
    ------
    InfeasibleError
        Some service has none.
    """
    steps = Steps(instance)
    layers = [layers_of(steps, service) for service in instance.services]
    if not all(one.starts for one in layers):
        raise InfeasibleError(f"{instance.name} has no plan.", explain(instance))
    return steps, layers


def by_labels(
    steps: Steps,
    layers: Layers,
    weights: FloatArray | None = None,
    card_weight: float = 1.0,
) -> Searched:
    """The exact optimum of one service.

    Raises
    ------
    InfeasibleError
        There is none.
    """
    prices = {card: card_weight * usd for card, usd in steps.offered.items()}
    terms = Terms(prices, room=steps.resources.capacity, weights=weights)
    found = cheapest_route(layers, terms)
    if found is None:
        raise InfeasibleError(f"{steps.instance.name} has no plan.", explain(steps.instance))
    decision = Decision((layers.route(found.path),), found.cards)
    words = f"label setting, {found.labels} labels (exact)"
    return Searched(decision, found.value, "optimal", words)


def greedy_start(
    steps: Steps,
    layers: Sequence[Layers],
    weights: Sequence[FloatArray] | None = None,
    card_weight: float = 1.0,
) -> Decision | None:
    """The best of some greedy plans, improved: where the programme starts; None without any.

    Cards are paid by their first user, or shared by all, or free to whoever wants them.
    """
    of = {id(one): weight for one, weight in zip(layers, weights or [], strict=False)}
    plans = []
    for share in (1.0, 1 / len(layers), 0.0):
        plan = assigned(
            steps,
            layers,
            prices={card: share * card_weight * usd for card, usd in steps.offered.items()},
            weights=None if weights is None else lambda one: of[id(one)],
        )
        if plan is not None:
            plans.append((worth(steps, layers, plan, weights, card_weight), plan))
    if not plans:
        return None
    best = min(plans, key=lambda one: one[0])[1]
    return improved(steps, layers, best, weights, card_weight)


def by_solver(
    instance: PipelineInstance,
    steps: Steps,
    layers: Sequence[Layers],
    limits: Limits,
    weights: Sequence[FloatArray] | None = None,
    card_weight: float = 1.0,
) -> Searched:
    """The optimum of many services by the mixed-integer programme.

    Raises
    ------
    InfeasibleError
        There is none.
    SolverError
        The solver's answer is worse than a greedy plan.
    """
    from optmodels.routing.pipeline.model import formulation, model_data
    from optmodels.solver import Status, check_not_worse, solve_model

    began = time.perf_counter()
    start = greedy_start(steps, layers, weights, card_weight)
    left = limits.time_limit_s
    if left is not None:
        # The limit is that of the whole search; the solver always gets some of it.
        left = max(left - (time.perf_counter() - began), _LEAST_SHARE * left)
    data = model_data(steps, layers, weights=weights, card_weight=card_weight)
    given = None if start is None else _as_start(steps, layers, start)
    solution = solve_model(
        formulation(),
        data=data,
        time_limit_s=left,
        mip_gap=limits.mip_gap,
        seed=limits.seed,
        options=limits.options,
        warm_start=given,
    )
    if solution.status is Status.INFEASIBLE:
        raise InfeasibleError(f"{instance.name} has no plan.", explain(instance))
    solution.require()
    decision = _decision(steps, layers, solution)
    value = worth(steps, layers, decision, weights, card_weight)
    if given is not None and start is not None:
        known = worth(steps, layers, start, weights, card_weight)
        slack = max(limits.mip_gap, _ROUNDING)
        check_not_worse(value, known, "minimize", instance.name, tolerance=slack)
    return Searched(
        decision,
        float(solution.bound or 0.0),
        str(solution.status),
        "mixed-integer programme (HiGHS)",
    )


def worth(
    steps: Steps,
    layers: Sequence[Layers],
    decision: Decision,
    weights: Sequence[FloatArray] | None = None,
    card_weight: float = 1.0,
) -> float:
    """Weight of a decision: its arcs and its cards."""
    total = card_weight * sum(steps.offered[card] for card in decision.cards)
    for k, one in enumerate(layers):
        weight = one.usd if weights is None else weights[k]
        route = decision.routes[k]
        total += sum(float(weight[a]) for a in path_of(one, route)) if route else 0.0
    return float(total)


def _as_start(
    steps: Steps, layers: Sequence[Layers], decision: Decision
) -> dict[str, pd.Series[Any]]:
    flow = np.zeros(sum(len(one.arcs) for one in layers))
    first = 0
    for one, route in zip(layers, decision.routes, strict=True):
        if route is not None:
            flow[[first + a for a in path_of(one, route)]] = 1.0
        first += len(one.arcs)
    bought = [float(card in decision.cards) for card in steps.offered]
    return {
        "flow": pd.Series(flow, index=np.arange(1, flow.size + 1)),
        "bought": pd.Series(bought, index=np.arange(1, len(bought) + 1), dtype=float),
    }


def _decision(steps: Steps, layers: Sequence[Layers], solution: Any) -> Decision:
    """Routes in a solution; only cards that they use are bought."""
    flow = solution.values["flow"].to_numpy()
    routes: list[Route | None] = []
    used: set[Card] = set()
    first = 0
    for one in layers:
        own = flow[first : first + len(one.arcs)]
        path = [max(one.starts, key=lambda a: own[a])]
        while ahead := one.out[one.arcs[path[-1]].head]:
            path.append(max(ahead, key=lambda a: own[a]))
        routes.append(one.route(path))
        for a in path:
            used |= {card for card in one.arcs[a].step.needs if card in steps.offered}
        first += len(one.arcs)
    return Decision(tuple(routes), frozenset(used))
