r"""Latency of a plan at the load that its routes make, by open queueing formulas.

The programme plans with the latency of a lone request, or with every GPU as busy as it may be.
Once the routes are known, so are the loads, and with Poisson arrivals

- GPU stages and processor stages share the GPUs and cores of their host: a mean request takes as
  long as with that many servers (Erlang), every stage is stretched alike;
- transfers share link and ports: the fullest of them stretches the transfer by
  :math:`1 / (1 - \rho)`;
- copies wait in order at the copy engine of their direction, one per GPU, the load spread evenly
  (Pollaczek and Khinchine).

Means add up along a route whatever the stations do to each other's arrivals; that each station
sees Poisson arrivals is an approximation. The choice of stations is ours; the formulas are those of
`optmodels.queueing`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optmodels.plan import Plan
from optmodels.policy import FloatArray
from optmodels.queueing.cores import cores_response
from optmodels.queueing.stations import fcfs_wait, ps_response
from optmodels.routing.pipeline.audit import decision_of, load_of, steps_of
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.layers import Route
from optmodels.routing.pipeline.steps import Step, Steps

_MS_PER_S = 1e3
_US_PER_MS = 1e3
_DOWN, _WIRE, _UP = 1, 2, 3
#: From this many servers per busy one on nobody waits.
_PLENTY = 100


def loaded_latency(instance: PipelineInstance, plan: Plan) -> pd.DataFrame:
    """Latency of each service alone and at the load of the plan.

    Returns
    -------
    pandas.DataFrame
        ``service``, ``planned_ms`` (what the limit was held against), ``loaded_ms`` (infinite where
        something is busy all the time), ``limit_ms``.
    """
    steps = Steps(instance)
    routes = [route or () for route in decision_of(instance, plan.tables).routes]
    taken = [
        steps_of(steps, service, route)
        for service, route in zip(instance.services, routes, strict=True)
    ]
    stations = _Stations(instance, steps, routes, taken)
    rows = []
    for k, service in enumerate(instance.services):
        rows.append(
            {
                "service": service.name,
                "planned_ms": sum(step.delay_ms for step in taken[k]),
                "loaded_ms": stations.latency_ms(k),
                "limit_ms": service.limit_ms,
            }
        )
    return pd.DataFrame(rows)


class _Stations:
    """What requests wait for, once all routes are known."""

    def __init__(
        self,
        instance: PipelineInstance,
        steps: Steps,
        routes: Sequence[Route],
        taken: Sequence[Sequence[Step]],
    ) -> None:
        self._instance, self._steps = instance, steps
        self._routes, self._taken = routes, taken
        self._load = load_of(steps, taken)
        self._visits = {device: np.zeros(len(instance.hosts)) for device in ("cpu", "gpu")}
        #: (host, part) -> rates [1/ms] and times [ms] of the copies there.
        self._copies: dict[tuple[int, int], list[tuple[float, float]]] = {}
        for service, route, own in zip(instance.services, routes, taken, strict=True):
            rate = service.rate_per_s / _MS_PER_S
            for q, (visit, step) in enumerate(zip(route, own, strict=True)):
                if visit.place.ms > 0:
                    self._visits[visit.place.device][visit.place.host] += rate
                for part in (_DOWN, _UP):
                    if step.parts_ms[part] > 0:
                        host = route[q - 1].place.host if part == _DOWN else visit.place.host
                        here = self._copies.setdefault((host, part), [])
                        here.append((rate, step.parts_ms[part]))
        self._gpus: FloatArray = instance.host_column("gpus")
        self._cores: FloatArray = instance.host_column("cores")

    def latency_ms(self, k: int) -> float:
        """Mean latency of a request of a service [ms]."""
        route, total = self._routes[k], 0.0
        for q, (visit, step) in enumerate(zip(route, self._taken[k], strict=True)):
            translation, down, wire, up, _ = step.parts_ms
            total += translation + down + wire + up
            total += visit.place.ms * self._stretch(visit.place.device, visit.place.host)
            if q:
                source, target = route[q - 1].place.host, visit.place.host
                for part, host in ((_DOWN, source), (_UP, target)):
                    if step.parts_ms[part] > 0:
                        total += self._copy_wait(host, part)
                if source != target:
                    kind = visit.kind or "tcp"
                    fixed = self._instance.constants.transports[kind].setup_us
                    fixed += self._instance.links[source, target].delay_us
                    moving = wire - fixed / _US_PER_MS
                    total += moving * (self._sharing(source, target) - 1)
        return float(total)

    def _stretch(self, device: str, host: int) -> float:
        """How much longer a stage takes than alone."""
        rate = float(self._visits[device][host])
        if rate <= 0:
            return 1.0
        resources = self._steps.resources
        gpu = device == "gpu"
        busy = float(self._load[resources.gpus(host) if gpu else resources.cores(host)])
        count = max(1, int((self._gpus if gpu else self._cores)[host]))
        if count >= _PLENTY * max(busy, 1.0):
            return 1.0
        mean = busy / rate
        return float(cores_response(rate, mean, count)) / mean

    def _copy_wait(self, host: int, part: int) -> float:
        rates, times = np.array(self._copies[host, part]).T
        return float(fcfs_wait(rates / max(1.0, float(self._gpus[host])), times))

    def _sharing(self, source: int, target: int) -> float:
        resources = self._steps.resources
        link = self._instance.links[source, target]
        used = [
            resources.link(link),
            resources.port(source, out=True),
            resources.port(target, out=False),
        ]
        # Capacities are shares of the whole.
        most = float(self._instance.parameters.link_busy_max)
        fullest = most * max(float(self._load[r] / resources.capacity[r]) for r in used)
        return float(ps_response([fullest], [1.0])[0])
