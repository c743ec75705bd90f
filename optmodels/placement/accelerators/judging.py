"""The judge of a placement: an event simulation of every node, request by request.

The audit believes the formulas; this room does not. Requests of each application arrive as a
Poisson process, share the cores of its front end, go on to the accelerator in the order in which
they leave there, wait or share, and load their model where another is resident. Whether a promise
is kept is read off the measured means.

Services are constant where their profile says so, and of a gamma distribution with the profile's
variation otherwise. The first tenth of the requests warms the node up and is not counted. A node
whose accelerator, or a front end on it, has more work than time is never in equilibrium: its
responses count as infinite, and are not simulated.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import UsageError
from optmodels.placement.accelerators.audit import Placement, read_placement
from optmodels.placement.accelerators.hardware import Application, Device, frontend_load
from optmodels.policy import FloatArray
from optmodels.queueing.events import (
    IntArray,
    fcfs_departures,
    poisson_arrivals,
    sharing_departures,
    switched,
)
from optmodels.queueing.residency import swapped

if TYPE_CHECKING:
    from optmodels.placement.accelerators.hardware import Hardware
    from optmodels.placement.accelerators.instance import AcceleratorsInstance
    from optmodels.plan import Plan

#: Requests simulated on every node unless somebody says otherwise.
REQUESTS = 200_000
LEAST_REQUESTS = 1000
#: Share of the requests that warms a node up, and batches from whose means errors are estimated.
WARMING = 0.1
BATCHES = 20
_REMEMBERED = 4096
# Squared variations below this are rounding.
_CONSTANT = 1e-9
_COLUMNS = (
    "app",
    "node",
    "rate_per_s",
    "slo_ms",
    "mean_ms",
    "error_ms",
    "late",
    "surely_late",
    "kept",
    "surely_kept",
    "value",
)


@dataclass(frozen=True)
class Judgement:
    """What a simulation measured of a placement.

    Attributes
    ----------
    frame
        One row per hosted application: ``app``, ``node``, ``rate_per_s``, ``slo_ms``, measured
        ``mean_ms`` and its standard error ``error_ms``, ``late`` (the mean exceeds the SLO),
        ``surely_late`` (by more than two standard errors), ``kept`` (nobody on its node is late),
        ``surely_kept`` (nobody on its node is surely late), ``value``.
    """

    frame: pd.DataFrame

    @property
    def hosted(self) -> int:
        """Applications hosted at all."""
        return len(self.frame)

    @property
    def kept(self) -> int:
        """Applications hosted without violation: nobody on their node is late."""
        return int(self.frame["kept"].sum())

    @property
    def surely_kept(self) -> int:
        """The same, where only who is late beyond two standard errors counts as late."""
        return int(self.frame["surely_kept"].sum())

    @property
    def late(self) -> int:
        """Applications whose promise is broken."""
        return int(self.frame["late"].sum())

    @property
    def surely_late(self) -> int:
        """Applications whose promise is broken by more than two standard errors."""
        return int(self.frame["surely_late"].sum())


def judge(
    instance: AcceleratorsInstance,
    plan: Plan | Placement,
    *,
    requests: int = REQUESTS,
    seed: int = 0,
) -> Judgement:
    """Simulate a placement and measure the mean response of every application.

    The requests of a node depend on the seed and on what it hosts, on nothing else: the same node
    gets the same verdict in every placement.

    Parameters
    ----------
    instance
        The question.
    plan
        A plan, or the applications of each node.
    requests
        Requests of every node that hosts anybody.
    seed
        Seed of the requests.

    Returns
    -------
    Judgement
        Applications kept and late, by simulation.

    Raises
    ------
    UsageError
        There are too few requests.
    """
    if requests < LEAST_REQUESTS:
        raise UsageError(f"{requests} requests are too few; allowed: at least {LEAST_REQUESTS}.")
    placement = plan if isinstance(plan, tuple) else read_placement(instance, plan.tables)[0]
    columns: dict[str, list[object]] = {name: [] for name in _COLUMNS}
    for node, hosted in enumerate(placement):
        if not hosted:
            continue
        mean, error = measured(instance.hardware, node, hosted, requests, seed)
        slo = np.array([a.slo_ms for a in hosted])
        late = mean > slo
        sure = mean - 2 * error > slo
        for place, application in enumerate(hosted):
            row = (
                application.name,
                instance.hardware.nodes[node],
                application.rate_per_ms * 1000,
                application.slo_ms,
                float(mean[place]),
                float(error[place]),
                bool(late[place]),
                bool(sure[place]),
                not late.any(),
                not sure.any(),
                application.value,
            )
            for name, value in zip(_COLUMNS, row, strict=True):
                columns[name].append(value)
    frame = pd.DataFrame(columns, columns=list(_COLUMNS))
    flags = ["late", "surely_late", "kept", "surely_kept"]
    return Judgement(frame.astype(dict.fromkeys(flags, bool)))


def measured(
    hardware: Hardware, node: int, hosted: Sequence[Application], requests: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Measured mean response [ms] of each application of a node, and its standard error.

    Parameters
    ----------
    hardware
        The nodes.
    node
        Number of the node.
    hosted
        Its applications, at least one, all of models that it offers.
    requests
        Requests of all of them together.
    seed
        Seed of the requests.

    Returns
    -------
    tuple of numpy.ndarray
        Means and standard errors [ms], one number per application of the node.
    """
    order = sorted(range(len(hosted)), key=lambda i: hosted[i].name)
    device = hardware.device(node)
    same = tuple(hosted[i] for i in order)
    network = hardware.rules.network_ms
    found = _simulated(_Node(device), same, requests, seed)
    mean, error = np.empty(len(hosted)), np.empty(len(hosted))
    mean[order], error[order] = found[0] + network, found[1]
    return mean, error


class _Node:
    """A device as something to remember simulations by: equal where all its numbers are."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._key = (
            device.name,
            device.discipline,
            device.frontend_ms,
            device.frontend_cores,
            device.service_ms.tobytes(),
            device.second_ms2.tobytes(),
            device.switch_ms.tobytes(),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Node) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=_REMEMBERED)
def _simulated(
    node: _Node, hosted: tuple[Application, ...], requests: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    device = node.device
    count = len(hosted)
    if _overloaded(device, hosted):
        return np.full(count, np.inf), np.zeros(count)
    content = zlib.crc32(repr((device.name, hosted)).encode())
    rng = np.random.default_rng([seed, content])
    rates = [a.rate_per_ms for a in hosted]
    arrivals, tenants = poisson_arrivals(rates, requests, rng)
    reached = _through_frontends(device, arrivals, tenants, count)
    order = np.argsort(reached, kind="stable")
    models = np.array([a.model for a in hosted])[tenants[order]]
    departures = np.empty(requests)
    departures[order] = _through_accelerator(device, reached[order], models, rng)
    return _means(departures - arrivals, tenants, count)


def _overloaded(device: Device, hosted: Sequence[Application]) -> bool:
    """Whether the accelerator or a front end gets more work than it has time for."""
    if any(frontend_load(device, a) >= 1 for a in hosted):
        return True
    models: IntArray = np.unique(np.array([a.model for a in hosted], dtype=np.int64))
    rates = [sum(a.rate_per_ms for a in hosted if a.model == model) for model in models]
    # A shared accelerator switches nothing: its switch times are 0.
    busy = swapped(rates, device.service_ms[models], device.switch_ms[models]).load
    return bool(busy >= 1)


def _through_frontends(
    device: Device, arrivals: FloatArray, tenants: IntArray, count: int
) -> FloatArray:
    """When each request reaches the accelerator."""
    if device.frontend_ms == 0:
        return arrivals
    reached = np.empty_like(arrivals)
    for tenant in range(count):
        own = np.flatnonzero(tenants == tenant)
        services = np.full(len(own), device.frontend_ms)
        reached[own] = sharing_departures(arrivals[own], services, cores=device.frontend_cores)
    return reached


def _through_accelerator(
    device: Device, arrivals: FloatArray, models: IntArray, rng: np.random.Generator
) -> FloatArray:
    """When each request leaves; arrivals in order."""
    mean = device.service_ms[models]
    variance = device.second_ms2[models] - mean**2
    services = mean.copy()
    varied = variance > _CONSTANT * mean**2
    if varied.any():
        scale = variance[varied] / mean[varied]
        services[varied] = rng.gamma(mean[varied] / scale, scale)
    if device.discipline == "ps":
        return sharing_departures(arrivals, services)
    return fcfs_departures(arrivals, services + device.switch_ms[models] * switched(models))


def _means(responses: FloatArray, tenants: IntArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Means by tenant, and their standard errors from the means of consecutive batches."""
    cut = int(len(responses) * WARMING)
    response, tenant = responses[cut:], tenants[cut:]
    batch: NDArray[np.int64] = np.arange(len(response)) * BATCHES // len(response)
    cell = tenant * BATCHES + batch
    number = np.bincount(cell, minlength=count * BATCHES).reshape(count, BATCHES)
    total = np.bincount(cell, response, count * BATCHES).reshape(count, BATCHES)
    seen = number.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total.sum(axis=1) / seen
        # Of a ratio of sums: a batch counts by its number of requests.
        residual = total - mean[:, np.newaxis] * number
        error = np.sqrt((residual**2).sum(axis=1) * BATCHES / (BATCHES - 1)) / seen
    # Nobody was seen of a tenant that hardly ever asks: nothing is known, and nothing is late.
    return np.where(seen > 0, mean, 0.0), np.where(seen > 0, error, np.inf)
