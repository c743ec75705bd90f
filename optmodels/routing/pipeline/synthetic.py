"""Synthetic pipelines: served models behind gateways in an edge facility, drawn from a seed.

Clients reach gateways by TCP over an access network; gateways, processors and GPUs hang on one
25 Gbit/s fabric. A service serves one of the models of `catalogue.MODELS`: client, gateway,
preprocessing (on a processor or a GPU), inference on a GPU, the same gateway, the same client. GPUs
differ in speed and price. All prices, rates and speeds are ours and nothing of it is measured; the
transports are `transport.DEFAULTS`.

Only uniform random numbers of PCG64 are drawn and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from optmodels.routing.pipeline.catalogue import MODELS, ServedModel
from optmodels.routing.pipeline.instance import PipelineInstance
from optmodels.routing.pipeline.transport import DEFAULTS, PARSE_US
from optmodels.synthesis.sizes import Sizes

#: Size arguments of the generator with their defaults; None and 0 mean "without".
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "services": 8,
        "gpu_hosts": 4,
        "cpu_hosts": 2,
        "gateways": 2,
        "clients": 3,
        "gpus_per_host": 4,
        "load_gpus": 1.0,
        "choices": 0,
        "cards": "offered",
        "limit_factor": 1.6,
        "copy_interference": 1.0,
        "in_flight_usd_per_hour": 0.05,
    }
)
LARGEST_HOSTS = 2000
LARGEST_SERVICES = 5000
NOTE = "synthetic: drawn from a seed, no value is measured"

#: What is the same in all synthetic pipelines.
PORT_GB_PER_S = 3.125
ACCESS_GB_PER_S, ACCESS_US = 1.25, 200.0
FABRIC_US = 2.0
CORE_USD, GPU_USD = 0.04, 0.6
CARD_USD: Mapping[str, float] = MappingProxyType({"rdma": 0.02, "gpudirect": 0.01})
"""A card of some 900 USD, and what GPUDirect adds to it, over five years."""
_GPU_SPEED = (0.8, 1.4)
_RATE = (0.4, 1.6)
_PREPROCESS_NS_PER_BYTE: Mapping[str, float] = MappingProxyType({"cpu": 6.0, "gpu": 0.4})


def generate(
    seed: int,
    *,
    services: int = 8,
    gpu_hosts: int = 4,
    cpu_hosts: int = 2,
    gateways: int = 2,
    clients: int = 3,
    gpus_per_host: int = 4,
    load_gpus: float = 1.0,
    choices: int = 0,
    cards: str = "offered",
    limit_factor: float = 1.6,
    copy_interference: float = 1.0,
    in_flight_usd_per_hour: float = 0.05,
) -> PipelineInstance:
    """Make synthetic pipelines; the same arguments give the same fingerprint everywhere.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    services
        Number of services.
    gpu_hosts, cpu_hosts, gateways, clients
        Numbers of hosts of each kind; only `cpu_hosts` may be 0.
    gpus_per_host
        GPUs of each GPU host.
    load_gpus
        GPUs that a service keeps busy on average.
    choices
        Most hosts of a kind that a stage may run at; 0 for all of them.
    cards
        "offered", "installed" or "none": RDMA and GPUDirect inside the facility.
    limit_factor
        Latency limit relative to the TCP latency at a GPU of ordinary speed.
    copy_interference
        GPU time lost per time of copying.
    in_flight_usd_per_hour
        Price of a request in flight [USD/h].

    Returns
    -------
    PipelineInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    """
    sizes: dict[str, object] = {
        "services": services,
        "gpu_hosts": gpu_hosts,
        "cpu_hosts": cpu_hosts,
        "gateways": gateways,
        "clients": clients,
        "gpus_per_host": gpus_per_host,
        "load_gpus": load_gpus,
        "choices": choices,
        "cards": cards,
        "limit_factor": limit_factor,
        "copy_interference": copy_interference,
        "in_flight_usd_per_hour": in_flight_usd_per_hour,
    }
    _check(seed, sizes)
    rng = np.random.Generator(np.random.PCG64(seed))
    names = {
        "gpu": _names("gpu", gpu_hosts),
        "cpu": _names("cpu", cpu_hosts),
        "gateway": _names("gateway", gateways),
        "client": _names("client", clients),
    }
    speed = dict(zip(names["gpu"], np.round(rng.uniform(*_GPU_SPEED, gpu_hosts), 2), strict=True))
    rows = _Rows(rng, names, speed, choices or LARGEST_HOSTS)
    for k in range(services):
        rows.add(f"service-{k + 1:0{len(str(services))}d}", load_gpus, limit_factor)
    tables = {
        "transports": _transports(),
        "hosts": _hosts(names, speed, gpus_per_host, cards),
        "links": rows.links(),
        "services": pd.DataFrame(rows.services),
        "stages": pd.DataFrame(rows.stages),
        "candidates": pd.DataFrame(rows.candidates),
        "ties": pd.DataFrame(rows.ties),
    }
    parameters = {
        "copy_interference": copy_interference,
        "in_flight_usd_per_hour": in_flight_usd_per_hour,
    }
    return PipelineInstance(parameters, tables, origin=_origin(seed, sizes))


class _Rows:
    """Rows of the tables of services, gathered one service after another."""

    def __init__(
        self,
        rng: np.random.Generator,
        names: Mapping[str, list[str]],
        speed: Mapping[str, float],
        most: int,
    ) -> None:
        self._rng, self._names, self._speed, self._most = rng, names, speed, most
        self.services: list[dict[str, Any]] = []
        self.stages: list[dict[str, Any]] = []
        self.candidates: list[dict[str, Any]] = []
        self.ties: list[dict[str, Any]] = []

    def add(self, name: str, load_gpus: float, limit_factor: float) -> None:
        """Draw one service."""
        model = tuple(MODELS.values())[self._below(len(MODELS))]
        raw = self._rng.uniform() < _HALF
        rate = load_gpus * self._rng.uniform(*_RATE) * _MS_PER_S / model.infer_ms
        client = self._names["client"][self._below(len(self._names["client"]))]
        size = model.raw_bytes if raw else model.request_bytes
        self.services.append(
            {
                "service": name,
                "rate_per_s": round(rate, 3),
                "limit_ms": round(limit_factor * _tcp_ms(model, size), 3),
            }
        )
        gateways = self._some("gateway")
        parse = PARSE_US / _US_PER_MS
        chain: list[tuple[str, str, float, list[tuple[str, str, float]]]] = [
            ("request", "compute", size, [(client, "cpu", 0.0)]),
            ("gateway", "relay", size, [(host, "cpu", parse) for host in gateways]),
        ]
        if raw:
            places = [(host, device) for device in ("cpu", "gpu") for host in self._some(device)]
            work = {d: ns * size / _NS_PER_MS for d, ns in _PREPROCESS_NS_PER_BYTE.items()}
            here = [(host, d, round(self._at(host, d, work[d]), 4)) for host, d in places]
            chain.append(("preprocess", "compute", model.request_bytes, here))
        gpus = self._some("gpu")
        chain += [
            (
                f"infer {model.name}",
                "compute",
                model.reply_bytes,
                [(host, "gpu", round(self._at(host, "gpu", model.infer_ms), 4)) for host in gpus],
            ),
            ("reply", "relay", model.reply_bytes, [(host, "cpu", parse) for host in gateways]),
            ("answer", "compute", 0.0, [(client, "cpu", 0.0)]),
        ]
        for position, (stage, kind, sent, places_of) in enumerate(chain, start=1):
            key = {"service": name, "position": position}
            self.stages.append({**key, "stage": stage, "kind": kind, "bytes_out": float(sent)})
            for host, device, ms in places_of:
                self.candidates.append({**key, "host": host, "device": device, "ms": ms})
        back = next(i for i, one in enumerate(chain, start=1) if one[0] == "reply")
        self.ties.append({"service": name, "position": back, "with_position": 2})

    def links(self) -> pd.DataFrame:
        """Links that some route could use."""
        hosts: dict[tuple[str, int], list[str]] = {}
        for row in self.candidates:
            hosts.setdefault((row["service"], row["position"]), []).append(row["host"])
        pairs = {
            (min(a, b), max(a, b))
            for (service, position), here in hosts.items()
            for a in here
            for b in hosts.get((service, position + 1), ())
            if a != b
        }
        clients = set(self._names["client"])
        rows = []
        for a, b in sorted(pairs):
            access = a in clients or b in clients
            rows.append(
                {
                    "host_a": a,
                    "host_b": b,
                    "gb_per_s": ACCESS_GB_PER_S if access else PORT_GB_PER_S,
                    "delay_us": ACCESS_US if access else FABRIC_US,
                    "usd_per_gb": 0.0,
                }
            )
        return pd.DataFrame(rows)

    def _at(self, host: str, device: str, ms: float) -> float:
        return ms / self._speed[host] if device == "gpu" else ms

    def _some(self, kind: str) -> list[str]:
        """Hosts of a kind where a stage may run."""
        names = self._names[kind]
        if len(names) <= self._most:
            return names
        order = np.argsort(self._rng.random(len(names)), kind="stable")[: self._most]
        return [names[i] for i in sorted(order.tolist())]

    def _below(self, count: int) -> int:
        return min(int(self._rng.uniform() * count), count - 1)


_HALF = 0.5
_MS_PER_S = 1e3
_US_PER_MS = 1e3
_NS_PER_MS = 1e6


def _tcp_ms(model: ServedModel, request_bytes: float) -> float:
    """Latency over TCP through one gateway at an ordinary GPU."""
    hops = (request_bytes, request_bytes, model.reply_bytes, model.reply_bytes)
    wire = sum(DEFAULTS.hop("tcp", size).total_ms for size in hops)
    copies = DEFAULTS.copy_ms(model.request_bytes) + DEFAULTS.copy_ms(model.reply_bytes)
    work = _PREPROCESS_NS_PER_BYTE["cpu"] * model.raw_bytes / _NS_PER_MS
    around = 2 * (PARSE_US + ACCESS_US + FABRIC_US) / _US_PER_MS
    return wire + copies + work + around + model.infer_ms


def _transports() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "transport": kind,
                "setup_us": one.setup_us,
                "gb_per_s": one.gb_per_s,
                "cpu_ns_per_byte": one.cpu_ns_per_byte,
            }
            for kind, one in DEFAULTS.transports.items()
        ]
    )


def _hosts(
    names: Mapping[str, list[str]], speed: Mapping[str, float], gpus_per_host: int, cards: str
) -> pd.DataFrame:
    rows = []
    for kind, hosts in names.items():
        inside = kind != "client"
        for host in hosts:
            gpu = kind == "gpu"
            rows.append(
                {
                    "host": host,
                    "cores": 32.0 if inside else 1e6,
                    "gpus": gpus_per_host if gpu else 0,
                    "port_gb_per_s": PORT_GB_PER_S if inside else 1e3,
                    "rdma": cards if inside else "none",
                    "gpudirect": cards if gpu else "none",
                    "rdma_usd_per_hour": CARD_USD["rdma"],
                    "gpudirect_usd_per_hour": CARD_USD["gpudirect"],
                    "core_usd_per_hour": CORE_USD if inside else 0.0,
                    # A faster GPU costs more than its speed is worth.
                    "gpu_usd_per_hour": round(GPU_USD * speed[host] ** 1.5, 4) if gpu else 0.0,
                }
            )
    return pd.DataFrame(rows)


def _names(kind: str, count: int) -> list[str]:
    return [f"{kind}-{i + 1:0{len(str(count))}d}" for i in range(count)]


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range."""
    given = Sizes(seed, sizes, "sizes of synthetic pipelines")
    given.whole("services", "services", 1, LARGEST_SERVICES)
    for name in ("gpu_hosts", "gateways", "clients", "gpus_per_host"):
        given.whole(name, "hosts" if name != "gpus_per_host" else "GPUs", 1, LARGEST_HOSTS)
    given.whole("cpu_hosts", "hosts", 0, LARGEST_HOSTS)
    given.whole("choices", "hosts", 0, LARGEST_HOSTS)
    given.choice("cards", ("offered", "installed", "none"))
    given.number("load_gpus", 0, 1e6, open_low=True)
    given.number("limit_factor", 0, 1e6, open_low=True)
    given.number("copy_interference", 0, 1e3)
    given.number("in_flight_usd_per_hour", 0, 1e9)
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "routing.pipeline", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
