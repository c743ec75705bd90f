"""Synthetic applications on GPUs and Edge TPUs: seeded, with service times that were measured.

The service and switch times of the models are those that the authors of Ibis (arXiv:2201.07312)
measured on an Edge TPU, and the rates of inferences that they give for a small GPU (Jetson Nano,
half precision). Who asks for what is drawn: the model of an application, its rate and its SLO, each
from a few classes, so that alike applications occur as they do in practice. Memory of models on the
GPU and front ends are our own round numbers.

Only uniform random numbers of PCG64 are drawn, so that a seed gives the same fingerprint on every
platform.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from optmodels.placement.accelerators.instance import AcceleratorsInstance
from optmodels.synthesis.sizes import Sizes

#: Size arguments of the generator with their defaults.
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "apps": 20,
        "gpus": 2,
        "tpus": 2,
        "slo_min": 1.5,
        "slo_max": 10.0,
        "rate_max": 20.0,
        "reserve_share": 0.05,
        "gpu_memory_mb": 4096.0,
        "tpu_memory_mb": 1024.0,
    }
)

LARGEST_APPS = 5000
LARGEST_NODES = 1000
NOTE = "synthetic: service times measured by the authors of Ibis, applications drawn from a seed"

GPU, TPU = "gpu", "edge-tpu"

#: Model: inference and switch [ms] on an Edge TPU, and size of its parameters [MB], measured.
TPU_MODELS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "EfficientNet-S": (9.83, 17.33, 6.56),
        "EfficientNet-M": (15.85, 22.63, 8.33),
        "EfficientNet-L": (42.18, 17.53, 12.30),
        "InceptionV3": (62.95, 19.39, 23.36),
        "InceptionV4": (125.13, 19.43, 42.16),
        "MobileNetV1": (4.55, 15.12, 4.21),
        "MobileNetV2": (4.91, 10.43, 3.75),
    }
)
#: Model: inferences per second on a small GPU, measured, and memory [MB], ours.
GPU_MODELS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "ResNet18": (92.3, 500.0),
        "GoogLeNet": (72.0, 500.0),
        "ResNet34": (51.2, 600.0),
        "ResNet50": (34.0, 600.0),
        "InceptionV3": (32.7, 600.0),
        "MobileNetV2": (76.8, 450.0),
    }
)
#: Requests per second that an application may send, as far as they are not above `rate_max`.
RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
#: Load of an application on its fastest node at most.
LOAD_MAX = 0.5
#: What an SLO has beyond a multiple of the service: network, front end, a margin [ms].
SLO_BASE_MS = 50.0
SLO_CLASSES = 4
#: Front ends serve this many requests per second on one core, measured by the authors.
FRONTEND_RATES: Mapping[str, float] = MappingProxyType({GPU: 41.7, TPU: 50.0})
#: Memory of a front end, and of the runtime that holds a model for an Edge TPU [MB]; ours.
FRONTEND_MB = 100.0
TPU_RUNTIME_MB = 60.0


def generate(
    seed: int,
    *,
    apps: int = 20,
    gpus: int = 2,
    tpus: int = 2,
    slo_min: float = 1.5,
    slo_max: float = 10.0,
    rate_max: float = 20.0,
    reserve_share: float = 0.05,
    gpu_memory_mb: float = 4096.0,
    tpu_memory_mb: float = 1024.0,
) -> AcceleratorsInstance:
    """Make synthetic applications and nodes; the same arguments give the same fingerprint.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    apps
        Number of applications.
    gpus, tpus
        Number of nodes with a GPU, and with an Edge TPU; at least one of either.
    slo_min, slo_max
        Range of the SLOs: multiples of the service on the slowest node that runs the model, on top
        of 50 ms.
    rate_max
        Largest rate of an application [1/s], at least 0.5.
    reserve_share
        Share of every SLO that is held back for what the formulas leave out.
    gpu_memory_mb, tpu_memory_mb
        Memory of a node [MB].

    Returns
    -------
    AcceleratorsInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    """
    sizes: dict[str, object] = {
        "apps": apps,
        "gpus": gpus,
        "tpus": tpus,
        "slo_min": slo_min,
        "slo_max": slo_max,
        "rate_max": rate_max,
        "reserve_share": reserve_share,
        "gpu_memory_mb": gpu_memory_mb,
        "tpu_memory_mb": tpu_memory_mb,
    }
    _check(seed, sizes)
    rng = np.random.Generator(np.random.PCG64(seed))
    profiles = _profiles(bool(gpus), bool(tpus))
    slowest = profiles.groupby("model")["service_ms"].max()
    names = sorted(slowest.index)
    fastest = profiles.groupby("model")["service_ms"].min()
    multiples = np.round(np.geomspace(slo_min, slo_max, SLO_CLASSES), 2)

    def drawn(choices: int) -> list[int]:
        return [min(int(choices * u), choices - 1) for u in rng.uniform(size=apps)]

    model = [names[i] for i in drawn(len(names))]
    classes = [_rates(float(fastest[name]), rate_max) for name in model]
    rate = [own[int(u * len(own))] for own, u in zip(classes, rng.uniform(size=apps), strict=True)]
    slo = [
        round(SLO_BASE_MS + multiples[i] * float(slowest[name]), 1)
        for i, name in zip(drawn(len(multiples)), model, strict=True)
    ]
    width = len(str(apps))
    tables = {
        "apps": pd.DataFrame(
            {
                "app": [f"app-{i + 1:0{width}d}" for i in range(apps)],
                "model": model,
                "rate_per_s": rate,
                "slo_ms": slo,
                "value": 1.0,
                "arrival": np.arange(1, apps + 1),
            }
        ),
        "nodes": _nodes(gpus, tpus, gpu_memory_mb, tpu_memory_mb),
        "devices": _devices(bool(gpus), bool(tpus)),
        "profiles": profiles,
    }
    parameters = {"reserve_share": reserve_share}
    return AcceleratorsInstance(parameters, tables, origin=_origin(seed, sizes))


def _rates(service_ms: float, most: float) -> list[float]:
    """Rates that an application may have: not more than half of what its fastest node serves."""
    return [rate for rate in RATES if rate <= most and rate * service_ms / 1000 <= LOAD_MAX]


def _profiles(with_gpus: bool, with_tpus: bool) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    if with_gpus:
        rows += [
            (name, GPU, round(1000 / rate, 2), 0.0, 0.0, memory)
            for name, (rate, memory) in GPU_MODELS.items()
        ]
    if with_tpus:
        rows += [
            (name, TPU, service, 0.0, switch, TPU_RUNTIME_MB + memory)
            for name, (service, switch, memory) in TPU_MODELS.items()
        ]
    columns = ["model", "device", "service_ms", "variation", "switch_ms", "memory_mb"]
    return pd.DataFrame(rows, columns=columns)


def _nodes(gpus: int, tpus: int, gpu_memory_mb: float, tpu_memory_mb: float) -> pd.DataFrame:
    width = len(str(max(gpus, tpus)))
    kinds = ((GPU, gpus, gpu_memory_mb), (TPU, tpus, tpu_memory_mb))
    rows = [
        (f"{kind}-{i + 1:0{width}d}", kind, float(memory))
        for kind, count, memory in kinds
        for i in range(count)
    ]
    return pd.DataFrame(rows, columns=["node", "device", "memory_mb"])


def _devices(with_gpus: bool, with_tpus: bool) -> pd.DataFrame:
    rows = [
        (kind, discipline, round(1000 / FRONTEND_RATES[kind], 2), 1, FRONTEND_MB)
        for kind, discipline, there in ((GPU, "ps", with_gpus), (TPU, "fcfs", with_tpus))
        if there
    ]
    columns = ["device", "discipline", "frontend_ms", "frontend_cores", "frontend_mb"]
    return pd.DataFrame(rows, columns=columns)


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range; the rest is checked by the instance."""
    given = Sizes(seed, sizes, "sizes of synthetic accelerators")
    given.whole("apps", "applications", 1, LARGEST_APPS)
    counts = [given.whole(name, "nodes", 0, LARGEST_NODES) for name in ("gpus", "tpus")]
    if counts == [0, 0]:
        given.limit("gpus", 0, -1)
    least = given.number("slo_min", 0, 1000)
    given.number("slo_max", 0 if least is None else least, 1000)
    given.number("rate_max", RATES[0], 1e6)
    given.number("reserve_share", 0, 0.9)
    for name in ("gpu_memory_mb", "tpu_memory_mb"):
        given.number(name, 0, 1e9, open_low=True)
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "placement.accelerators", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
