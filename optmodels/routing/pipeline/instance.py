"""Pipelines of model serving: what is known, and what is asked.

A request passes through a chain of stages (client, gateway, preprocessing, inference, gateway,
client). Each stage runs at one of several hosts, on a processor or a GPU, and its output travels to
the next one by TCP, RDMA, GPUDirect RDMA or shared memory. RDMA needs a network card that can do it
at both ends; GPUDirect, where a payload starts or ends in the memory of a GPU, needs one that
reaches that memory. Such cards cost something. They save latency, processor time (which TCP takes
per byte) and GPU time (which copies disturb). Which host and which transport for each stage, and
which cards are worth buying, so that everything together costs least and every service keeps its
latency?

The first stage is where a request starts and the last one where its answer ends: usually the same
client. A *relay* forwards its payload without looking at it; every other stage makes a new one.
Services are not split: all requests of one take the same route.

The measured gains of such transports are the subject of "Understanding the Benefits of
Hardware-Accelerated Communication in Model-Serving Applications" (arXiv:2305.03165). The latency
model, the costs and the optimisation are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.policy import FloatArray, frozen
from optmodels.routing.pipeline.checks import (
    busy_flaws,
    candidate_flaws,
    host_flaws,
    link_flaws,
    stage_flaws,
)
from optmodels.routing.pipeline.transport import Constants, Kind, Nic, Transport
from optmodels.schema import Parameters, Place, Row, Table, column

_LARGEST = 1e12
Device = Literal["cpu", "gpu"]
NicState = Literal["none", "offered", "installed"]


class PipelineParameters(Parameters):
    """Scalar parameters of serving pipelines."""

    copy_setup_us: float = column(
        "set-up of a copy between host and GPU", unit="us", default=10.0, ge=0, le=_LARGEST
    )
    copy_gb_per_s: float = column(
        "rate of a copy between host and GPU", unit="GB/s", default=11.0, ge=1e-6, le=_LARGEST
    )
    translation_gb_per_s: float = column(
        "rate at which a relay moves a payload between TCP and RDMA",
        unit="GB/s",
        default=8.0,
        ge=1e-6,
        le=_LARGEST,
    )
    copy_interference: float = column(
        "GPU time lost per time of copying", default=1.0, ge=0, le=1e3
    )
    gpu_busy_max: float = column(
        "largest share of the time for which GPUs of a host may be busy", default=0.8, gt=0, le=1
    )
    link_busy_max: float = column(
        "largest share of links and ports that may be used", default=1.0, gt=0, le=1
    )
    latency_at: Literal["unloaded", "busy"] = column(
        "latency that the limits speak of: of a lone request, or with every GPU as busy as it may "
        "be (processor sharing: GPU stages take 1 / (1 - gpu_busy_max) times as long)",
        default="unloaded",
    )
    in_flight_usd_per_hour: float = column(
        "price of a request in flight", unit="USD/h", default=0.0, ge=0, le=_LARGEST
    )


class TransportRow(Row):
    """One transport."""

    transport: Kind = column("kind of transport")
    setup_us: float = column("time of an empty message", unit="us", ge=0, le=_LARGEST)
    gb_per_s: float = column("rate of one stream", unit="GB/s", ge=1e-6, le=_LARGEST)
    cpu_ns_per_byte: float = column("processor time at each end", unit="ns/byte", ge=0, le=_LARGEST)


class HostRow(Row):
    """One host."""

    host: str = column("name of the host")
    cores: float = column("processor cores for stages and transports", ge=0, le=_LARGEST)
    gpus: int = column("GPUs", ge=0, le=10**6)
    port_gb_per_s: float = column(
        "rate of its network port, each way", unit="GB/s", ge=1e-6, le=_LARGEST
    )
    rdma: NicState = column("whether its network card does RDMA, or one that does is offered")
    gpudirect: NicState = column("whether the card reaches GPU memory, or one that does is offered")
    rdma_usd_per_hour: float = column(
        "cost of the offered RDMA card", unit="USD/h", ge=0, le=_LARGEST
    )
    gpudirect_usd_per_hour: float = column(
        "cost of GPUDirect beyond that of RDMA", unit="USD/h", ge=0, le=_LARGEST
    )
    core_usd_per_hour: float = column("price of a busy core", unit="USD/h", ge=0, le=_LARGEST)
    gpu_usd_per_hour: float = column("price of a busy GPU", unit="USD/h", ge=0, le=_LARGEST)


class LinkRow(Row):
    """A link between two hosts, alike both ways."""

    host_a: str = column("one host")
    host_b: str = column("the other host")
    gb_per_s: float = column("rate each way", unit="GB/s", ge=1e-6, le=_LARGEST)
    delay_us: float = column("one-way delay", unit="us", ge=0, le=_LARGEST)
    usd_per_gb: float = column("price of transit", unit="USD/GB", ge=0, le=_LARGEST)


class ServiceRow(Row):
    """One service."""

    service: str = column("name of the service")
    rate_per_s: float = column("requests", unit="1/s", gt=0, le=_LARGEST)
    limit_ms: float = column("longest latency of a request", unit="ms", gt=0, le=_LARGEST)


class StageRow(Row):
    """One stage of a service."""

    service: str = column("name of the service")
    position: int = column("place in the chain, from 1", ge=1, le=10**4)
    stage: str = column("name of the stage")
    kind: Literal["relay", "compute"] = column("forwards its payload, or makes a new one")
    bytes_out: float = column("payload to the next stage", unit="bytes", ge=0, le=_LARGEST)


class CandidateRow(Row):
    """A place where a stage may run."""

    service: str = column("name of the service")
    position: int = column("place of the stage in the chain", ge=1, le=10**4)
    host: str = column("host")
    device: Device = column("what it runs on there")
    ms: float = column("time of the stage there", unit="ms", ge=0, le=_LARGEST)


class TieRow(Row):
    """Two stages of a service that share a host."""

    service: str = column("name of the service")
    position: int = column("place of the later stage", ge=1, le=10**4)
    with_position: int = column("place of the earlier stage", ge=1, le=10**4)


@dataclass(frozen=True)
class Candidate:
    """A place where a stage may run: number of the host, device, and time [ms]."""

    host: int
    device: Device
    ms: float


@dataclass(frozen=True)
class Stage:
    """A stage: its name, whether it relays, its payload to the next one, and where it may run."""

    name: str
    relay: bool
    bytes_out: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Service:
    """A service: its name, rate, limit, stages, and ties as (later, earlier) positions from 0."""

    name: str
    rate_per_s: float
    limit_ms: float
    stages: tuple[Stage, ...]
    ties: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Link:
    """A link: its number, rate [GB/s], one-way delay [µs], price [USD/GB]; `way` 0 is a to b."""

    number: int
    way: int
    gb_per_s: float
    delay_us: float
    usd_per_gb: float


class PipelineInstance(Instance):
    """Frozen data of serving pipelines.

    Tables: ``transports``, ``hosts``, ``links`` (at most one per pair of hosts), ``services``,
    ``stages``, ``candidates``, and optionally ``ties`` (a reply passes the gateway of its request).
    """

    problem: ClassVar[str] = "routing.pipeline"
    title: ClassVar[str] = "Which hosts and transports should serving pipelines use?"
    parameters_model: ClassVar[type[Parameters]] = PipelineParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "transports": Table(TransportRow, ("transport",), "Transports that may be used."),
        "hosts": Table(HostRow, ("host",), "Hosts, clients among them."),
        "links": Table(
            LinkRow, ("host_a", "host_b"), "Links, one row per pair of hosts.", required=False
        ),
        "services": Table(ServiceRow, ("service",), "Services."),
        "stages": Table(StageRow, ("service", "position"), "Stages of each service, in order."),
        "candidates": Table(
            CandidateRow, ("service", "position", "host", "device"), "Where stages may run."
        ),
        "ties": Table(TieRow, ("service", "position"), "Stages that share a host.", required=False),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        flaws = host_flaws(tables["hosts"], places["hosts"]) + busy_flaws(parameters)
        if "links" in tables:
            flaws += link_flaws(tables["links"], tables["hosts"], places["links"])
        flaws += stage_flaws(tables, places)
        return flaws + candidate_flaws(tables, places)

    @cached_property
    def constants(self) -> Constants:
        """What the times of hops are made of."""
        p = self.parameters
        rows = _records(self._tables["transports"])
        found: dict[Kind, Transport] = {
            row.transport: Transport(
                float(row.setup_us), float(row.gb_per_s), float(row.cpu_ns_per_byte)
            )
            for row in rows
        }
        return Constants(
            found,
            float(p.copy_setup_us),
            float(p.copy_gb_per_s),
            float(p.translation_gb_per_s),
            float(p.copy_interference),
        )

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, in the order of every array by host."""
        return tuple(str(name) for name in self._tables["hosts"]["host"])

    @cached_property
    def host_number(self) -> dict[str, int]:
        """Number of each host."""
        return {name: v for v, name in enumerate(self.hosts)}

    def host_column(self, name: str) -> FloatArray:
        """A number of each host, shape (H,), read-only."""
        return frozen(self._tables["hosts"][name])

    @cached_property
    def nic_states(self) -> dict[Nic, tuple[NicState, ...]]:
        """Whether each host has a card that does RDMA, or GPUDirect."""
        table = self._tables["hosts"]
        return {"rdma": tuple(table["rdma"]), "gpudirect": tuple(table["gpudirect"])}

    @cached_property
    def nic_usd(self) -> dict[Nic, FloatArray]:
        """Cost of each offered card [USD/h], shape (H,)."""
        return {
            "rdma": self.host_column("rdma_usd_per_hour"),
            "gpudirect": self.host_column("gpudirect_usd_per_hour"),
        }

    @cached_property
    def links(self) -> dict[tuple[int, int], Link]:
        """Links by (from, to); two entries per row of the table."""
        if "links" not in self._tables:
            return {}
        found = {}
        number = self.host_number
        for i, row in enumerate(_records(self._tables["links"])):
            a, b = number[row.host_a], number[row.host_b]
            facts = (float(row.gb_per_s), float(row.delay_us), float(row.usd_per_gb))
            found[a, b], found[b, a] = Link(i, 0, *facts), Link(i, 1, *facts)
        return found

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """Services with their stages, in the order of their names."""
        number = self.host_number
        places: dict[tuple[str, int], list[Candidate]] = {}
        for row in _records(self._tables["candidates"]):
            one = Candidate(number[row.host], row.device, float(row.ms))
            places.setdefault((row.service, row.position), []).append(one)
        stages: dict[str, list[Stage]] = {}
        for row in _records(self._tables["stages"]):
            stages.setdefault(row.service, []).append(
                Stage(
                    str(row.stage),
                    row.kind == "relay",
                    float(row.bytes_out),
                    tuple(places[row.service, row.position]),
                )
            )
        ties: dict[str, list[tuple[int, int]]] = {}
        if "ties" in self._tables:
            for row in _records(self._tables["ties"]):
                ties.setdefault(row.service, []).append((row.position - 1, row.with_position - 1))
        return tuple(
            Service(
                str(row.service),
                float(row.rate_per_s),
                float(row.limit_ms),
                tuple(stages[row.service]),
                tuple(ties.get(row.service, ())),
            )
            for row in _records(self._tables["services"])
        )

    @property
    def gpu_stretch(self) -> float:
        """How much longer a GPU stage takes in the latency that the limits speak of."""
        p = self.parameters
        if p.latency_at == "unloaded":
            return 1.0
        return float(1 / (1 - p.gpu_busy_max)) if p.gpu_busy_max < 1 else float("inf")

    @property
    def rates(self) -> FloatArray:
        """Requests of each service [1/s], shape (K,)."""
        return np.array([service.rate_per_s for service in self.services])

    def model(self) -> Any:
        """The choice of routes and cards as an ordinary Pyomo model, to edit or to hand on."""
        from optmodels.routing.pipeline.model import concrete_model

        return concrete_model(self)


def _records(table: pd.DataFrame) -> Iterator[Any]:
    """Rows of a checked table, with a field per column."""
    return iter(table.itertuples(index=False))
