"""Steps of a route: what one hop and the stage behind it take, use, need and cost.

A step leads from a place where one stage ran to a place where the next one runs, by one transport.
Its latency is made of parts (`PARTS`), its load falls on resources (links and ports by direction,
cores and GPUs by host), and it needs network cards. Both the search for routes and the audit speak
of a plan through the steps of its routes; each computes them anew from the raw instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optmodels.policy import FloatArray, frozen
from optmodels.routing.pipeline.instance import Candidate, Link, PipelineInstance, Service
from optmodels.routing.pipeline.transport import NICS, Kind, Nic, translates

#: Parts of the latency of a step, in the order in which they pass.
PARTS = ("translation", "copy to host", "transfer", "copy to GPU", "stage")
_MS_PER_S = 1e3
_BYTES_PER_GB = 1e9
_S_PER_H = 3600.0

Card = tuple[int, Nic]


@dataclass(frozen=True)
class Step:
    """One hop and the stage behind it.

    Attributes
    ----------
    parts_ms
        Latency by part, in the order of `PARTS` [ms].
    uses
        What the service takes of each resource, by number of the resource.
    needs
        Cards that must be there, by host and kind.
    """

    parts_ms: tuple[float, ...]
    uses: dict[int, float]
    needs: frozenset[Card]

    @property
    def delay_ms(self) -> float:
        """Latency of the step [ms]."""
        return sum(self.parts_ms)


class Resources:
    """What routes share: how much there is of it, and what it costs.

    Links and ports are in GB/s by direction, cores and GPUs in busy ones. GPUs, links and ports
    count up to the share that may be busy.

    Parameters
    ----------
    instance
        The question.
    """

    def __init__(self, instance: PipelineInstance) -> None:
        self._instance = instance
        self._hosts = len(instance.hosts)
        self._links = len(instance.links)
        each = [1.0] * self._hosts
        by_number = sorted(
            (2 * link.number + link.way, link, pair) for pair, link in instance.links.items()
        )
        links = float(instance.parameters.link_busy_max)
        port = instance.host_column("port_gb_per_s") * links
        gpus = instance.host_column("gpus") * float(instance.parameters.gpu_busy_max)
        self.capacity: FloatArray = frozen(
            np.concatenate(
                [
                    [link.gb_per_s * links for _, link, _ in by_number],
                    port,
                    port,
                    instance.host_column("cores"),
                    gpus,
                ]
            )
        )
        transit = [link.usd_per_gb * _S_PER_H for _, link, _ in by_number]
        self.usd: FloatArray = frozen(
            np.concatenate(
                [
                    transit,
                    np.zeros(2 * self._hosts),
                    instance.host_column("core_usd_per_hour"),
                    instance.host_column("gpu_usd_per_hour"),
                ]
            )
        )
        self.family: tuple[str, ...] = (
            *("link" for _ in by_number),
            *("port out" for _ in each),
            *("port in" for _ in each),
            *("cores" for _ in each),
            *("GPUs" for _ in each),
        )
        self._pairs = [pair for _, _, pair in by_number]

    def link(self, link: Link) -> int:
        """Number of a direction of a link."""
        return 2 * link.number + link.way

    def port(self, host: int, *, out: bool) -> int:
        """Number of a direction of the port of a host."""
        return self._links + (0 if out else self._hosts) + host

    def cores(self, host: int) -> int:
        """Number of the cores of a host."""
        return self._links + 2 * self._hosts + host

    def gpus(self, host: int) -> int:
        """Number of the GPUs of a host."""
        return self._links + 3 * self._hosts + host

    def name(self, resource: int) -> str:
        """A resource in words."""
        hosts = self._instance.hosts
        if resource < self._links:
            a, b = self._pairs[resource]
            return f"link from {hosts[a]} to {hosts[b]} [GB/s]"
        family, host = divmod(resource - self._links, self._hosts)
        words = ("port out of {} [GB/s]", "port into {} [GB/s]", "cores of {}", "GPUs of {}")
        return words[family].format(hosts[host])


class Steps:
    """All steps that an instance allows.

    Parameters
    ----------
    instance
        The question.
    """

    def __init__(self, instance: PipelineInstance) -> None:
        self.instance = instance
        self.resources = Resources(instance)
        self._constants = instance.constants
        self._stretch = instance.gpu_stretch
        self._port: list[float] = instance.host_column("port_gb_per_s").tolist()

    @cached_property
    def offered(self) -> dict[Card, float]:
        """Cards that can be bought, with their cost [USD/h]."""
        found = {}
        for v in range(len(self.instance.hosts)):
            for nic in NICS:
                if self.instance.nic_states[nic][v] == "offered":
                    found[v, nic] = float(self.instance.nic_usd[nic][v])
        return found

    def needs(self, kind: Kind, source: Candidate, target: Candidate) -> frozenset[Card]:
        """Cards that a transport needs between two places, installed ones among them."""
        if kind not in ("rdma", "gpudirect"):
            return frozenset()
        cards: set[Card] = {(source.host, "rdma"), (target.host, "rdma")}
        if kind == "gpudirect":
            cards |= {(c.host, "gpudirect") for c in (source, target) if c.device == "gpu"}
        return frozenset(cards)

    def transports(self, source: Candidate, target: Candidate) -> list[Kind]:
        """Transports that could lead from one place to another, once cards are bought."""
        known = self._constants.transports
        if source.host == target.host:
            return ["local"] if "local" in known else []
        if (source.host, target.host) not in self.instance.links:
            return []
        found: list[Kind] = []
        for kind in ("tcp", "rdma", "gpudirect"):
            if kind not in known:
                continue
            if kind == "gpudirect" and "gpu" not in (source.device, target.device):
                continue
            cards = self.needs(kind, source, target)
            if all(self.instance.nic_states[nic][v] != "none" for v, nic in cards):
                found.append(kind)
        return found

    def first(self, service: Service, place: Candidate) -> Step:
        """The first stage of a service, before which there is no hop."""
        uses: dict[int, float] = {}
        stage = self._stage_ms(service, place, uses)
        return Step((0.0, 0.0, 0.0, 0.0, stage), uses, frozenset())

    def step(
        self,
        service: Service,
        position: int,
        source: Candidate,
        target: Candidate,
        kind: Kind,
        arrival: Kind | None,
    ) -> Step:
        """The hop from the stage at a position to the next one, and that next stage.

        Parameters
        ----------
        service
            Whose.
        position
            Of the stage that the hop starts from, from 0.
        source, target
            Where the two stages run.
        kind
            Transport of the hop.
        arrival
            Transport by which the payload came to the first of the two; None for the first stage.
        """
        stage = service.stages[position]
        size, rate = stage.bytes_out, service.rate_per_s
        uses: dict[int, float] = {}
        resources = self.resources
        link = self.instance.links.get((source.host, target.host))
        limits: dict[str, float] = {}
        if link is not None:
            slowest = min(link.gb_per_s, self._port[source.host], self._port[target.host])
            limits = {"link_gb_per_s": slowest, "link_us": link.delay_us}
            flow = rate * size / _BYTES_PER_GB
            _add(uses, resources.link(link), flow)
            _add(uses, resources.port(source.host, out=True), flow)
            _add(uses, resources.port(target.host, out=False), flow)
        hop = self._constants.hop(
            kind, size, from_gpu=source.device == "gpu", to_gpu=target.device == "gpu", **limits
        )
        translation = 0.0
        if stage.relay and arrival is not None and translates(arrival, kind):
            translation = self._constants.translation_ms(size)
        busy = rate / _MS_PER_S
        _add(uses, resources.cores(source.host), busy * (hop.cpu_ms + translation))
        _add(uses, resources.cores(target.host), busy * hop.cpu_ms)
        lost = busy * self._constants.copy_interference
        _add(uses, resources.gpus(source.host), lost * hop.down_ms)
        _add(uses, resources.gpus(target.host), lost * hop.up_ms)
        taken = self._stage_ms(service, target, uses)
        parts = (translation, hop.down_ms, hop.wire_ms, hop.up_ms, taken)
        return Step(parts, uses, self.needs(kind, source, target))

    def usd(self, service: Service, step: Step) -> float:
        """Cost of a step but for its cards [USD/h]."""
        used = sum(self.resources.usd[r] * amount for r, amount in step.uses.items())
        in_flight = service.rate_per_s * step.delay_ms / _MS_PER_S
        return float(used + in_flight * self.instance.parameters.in_flight_usd_per_hour)

    def _stage_ms(self, service: Service, place: Candidate, uses: dict[int, float]) -> float:
        """Latency of a stage, its load added to what is used."""
        gpu = place.device == "gpu"
        resource = self.resources.gpus if gpu else self.resources.cores
        _add(uses, resource(place.host), service.rate_per_s * place.ms / _MS_PER_S)
        return place.ms * self._stretch if gpu else place.ms


def _add(uses: dict[int, float], resource: int, amount: float) -> None:
    if amount > 0:
        uses[resource] = uses.get(resource, 0.0) + amount
