"""Nodes, what a model costs on them, and applications: the nouns that every room here shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from optmodels.policy import FloatArray
from optmodels.queueing.cores import cores_response
from optmodels.queueing.residency import SwapForm
from optmodels.queueing.stations import SharingForm

Discipline = Literal["fcfs", "ps"]

#: Largest tolerated excess over a limit, relative to it: the rounding of solvers and of files.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Application:
    """One application that wants to be hosted.

    Attributes
    ----------
    name
        Its name.
    model
        Number of the model whose inferences it asks for.
    rate_per_ms
        Requests per millisecond, a Poisson process.
    slo_ms
        Its promise: the mean response may not be longer [ms].
    value
        What hosting it is worth.
    """

    name: str
    model: int
    rate_per_ms: float
    slo_ms: float
    value: float


@dataclass(frozen=True)
class Device:
    """A kind of node: its front end, its accelerator, and each model on it.

    Attributes
    ----------
    name
        Name of the kind.
    discipline
        "ps": inferences share the accelerator; "fcfs": one after the other.
    frontend_ms
        Time of a request on one core of its application's front end, if alone [ms].
    frontend_cores
        Cores of each front end.
    frontend_mb
        Memory of each front end [MB].
    service_ms, second_ms2
        Mean [ms] and second moment [ms²] of an inference of each model; NaN where the device does
        not offer the model.
    switch_ms
        Time to load each model where another was resident [ms].
    memory_mb
        Memory of each model [MB], counted once for all its applications.
    """

    name: str
    discipline: Discipline
    frontend_ms: float
    frontend_cores: int
    frontend_mb: float
    service_ms: FloatArray
    second_ms2: FloatArray
    switch_ms: FloatArray
    memory_mb: FloatArray

    def offers(self, model: int) -> bool:
        """Whether the device runs this model."""
        return not np.isnan(self.service_ms[model])

    @property
    def swaps(self) -> bool:
        """Whether loading models takes time here."""
        return self.discipline == "fcfs" and bool(np.nansum(self.switch_ms) > 0)

    def memory_of(self, applications: Iterable[Application]) -> float:
        """Memory of these applications [MB]: their front ends, and each model once."""
        hosted = list(applications)
        models = {application.model for application in hosted}
        held = float(sum(self.memory_mb[model] for model in models))
        return held + self.frontend_mb * len(hosted)


@dataclass(frozen=True)
class Rules:
    """When a node counts as able to keep its promises; names as of the instance's parameters."""

    network_ms: float
    memory_share_max: float
    load_max: float
    frontend_load_max: float
    reserve_share: float
    concurrency_guard: float | None
    second_moment: SwapForm
    sharing: SharingForm


@dataclass(frozen=True)
class Hardware:
    """All nodes, without any application.

    Attributes
    ----------
    models
        Names of the models.
    devices
        Kinds of nodes.
    nodes
        Names of the nodes.
    device_of
        Number of the device of each node.
    memory_mb
        Memory of each node [MB].
    rules
        When a node keeps its promises.
    """

    models: tuple[str, ...]
    devices: tuple[Device, ...]
    nodes: tuple[str, ...]
    device_of: tuple[int, ...]
    memory_mb: tuple[float, ...]
    rules: Rules

    def device(self, node: int) -> Device:
        """Kind of a node."""
        return self.devices[self.device_of[node]]

    def usable_mb(self, node: int) -> float:
        """Memory of a node that may be used [MB]."""
        return self.rules.memory_share_max * self.memory_mb[node]

    def has_room(self, node: int, applications: Sequence[Application]) -> bool:
        """Whether the node offers all these models, and has the memory."""
        device = self.device(node)
        if not all(device.offers(application.model) for application in applications):
            return False
        return device.memory_of(applications) <= self.usable_mb(node) * (1 + TOLERANCE)


def frontend_load(device: Device, application: Application) -> float:
    """Share of its front end's cores that an application keeps busy."""
    return application.rate_per_ms * device.frontend_ms / device.frontend_cores


def frontend_response_ms(device: Device, application: Application) -> float:
    """Mean time of a request in its front end [ms]; infinite where that is overloaded."""
    if device.frontend_ms == 0:
        return 0.0
    return cores_response(application.rate_per_ms, device.frontend_ms, device.frontend_cores)


def allowed_ms(device: Device, application: Application, rules: Rules) -> float:
    """Longest mean time at the accelerator that keeps an application's promise [ms].

    What the promise leaves after network and front end; negative where it leaves nothing. With a
    concurrency guard g, the whole response must also stay below g / rate.
    """
    if frontend_load(device, application) > rules.frontend_load_max * (1 + TOLERANCE):
        return -np.inf
    whole = application.slo_ms * (1 - rules.reserve_share)
    if rules.concurrency_guard is not None:
        whole = min(whole, rules.concurrency_guard / application.rate_per_ms)
    return whole - rules.network_ms - frontend_response_ms(device, application)
