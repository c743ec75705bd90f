"""Why no routes keep all limits: the limits in words."""

from __future__ import annotations

import numpy as np

from optmodels.routing.pipeline.assigning import assigned
from optmodels.routing.pipeline.instance import PipelineInstance, Service
from optmodels.routing.pipeline.labels import Terms, cheapest_route
from optmodels.routing.pipeline.layers import Layers, layers_of, whole_layers
from optmodels.routing.pipeline.steps import Steps


def explain(instance: PipelineInstance) -> list[str]:
    """Say which limits keep services from having routes; empty if nothing does.

    Services are looked at one by one first: that is exact. Where each has a route of its own, the
    mixed-integer programme says whether they have routes together, and a relaxation which shared
    resources are short.
    """
    steps = Steps(instance)
    reasons: list[str] = []
    graphs: list[Layers] = []
    for service, whole in zip(instance.services, whole_layers(instance), strict=True):
        graphs.append(layers_of(steps, service))
        reasons += _own_reasons(steps, service, whole, graphs[-1])
    if reasons or len(graphs) == 1:
        return reasons
    return _shared_reasons(steps, graphs)


def _own_reasons(steps: Steps, service: Service, whole: Layers, kept: Layers) -> list[str]:
    """Why a service has no route although it is alone."""
    capacity = steps.resources.capacity
    if kept.starts and cheapest_route(kept, Terms({}, room=capacity)) is not None:
        return []
    free = Terms({}, limit_ms=float("inf"))
    fastest = cheapest_route(whole, Terms({}, weights=whole.delays_ms, limit_ms=float("inf")))
    if fastest is None:
        cause = "links, transports and cards lead from no first stage to a last one"
        if cheapest_route(_untied(whole), free) is not None:
            cause = "its stages that share a host have no host in common on any route"
        return [f"{service.name}: {cause}"]
    if fastest.delay_ms > service.limit_ms:
        return [
            f"{service.name}: its fastest route takes {fastest.delay_ms:.6g} ms, the limit is "
            f"{service.limit_ms:.6g} ms"
        ]
    return [
        f"{service.name}: at {service.rate_per_s:.6g} requests/s every route within "
        f"{service.limit_ms:.6g} ms takes more of a link, port, processor or GPU than there is"
    ]


def _untied(layers: Layers) -> Layers:
    service = layers.service
    free = Service(service.name, service.rate_per_s, service.limit_ms, service.stages, ())
    return Layers(free, layers.nodes, layers.arcs)


def _shared_reasons(steps: Steps, graphs: list[Layers]) -> list[str]:
    """Which resources are short for all services together."""
    from optmodels.routing.pipeline.model import formulation, model_data
    from optmodels.solver import Status, solve_model

    if assigned(steps, graphs, prices=dict.fromkeys(steps.offered, 0.0)) is not None:
        return []
    data = model_data(steps, graphs, weights=[np.zeros_like(one.usd) for one in graphs])
    if not len(data["resources"]):
        return []
    solved = solve_model(formulation(), data=data, mip_gap=1.0)
    if solved.status is not Status.INFEASIBLE:
        return []
    names = ", ".join(steps.resources.name(int(r)) for r in data["resources"])
    return [
        "capacity: every service has a route of its own, but not all together",
        f"shared and possibly short: {names}",
    ]
