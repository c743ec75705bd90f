"""How real kinds of batch jobs scale: thirteen workloads in three classes.

CarbonFlex (Hanafy et al., arXiv:2505.18357) gives the workloads, their classes of scalability, and
how many bytes the servers of each exchange in a step. It does not give the curves as numbers. So
the curves are ours, from a model with one number per workload that we calibrate: the time of a step
on one server. On k servers the computation of a step takes a k-th of that; then a ring all-reduce
moves 2 (k - 1)/k times the exchanged bytes through each link. With overhead

    σ = 2 · exchanged bytes / (link speed · step time on one server)

the throughput relative to one server is k / (1 + σ (k - 1)): Amdahl's law with σ as the serial
share. It rises and is concave for 0 < σ < 1. All servers together move σ (k - 1) · throughput times
the speed of a link.

The step times of the N-body simulations follow from N² interactions of 20 operations at 50 GFlop/s;
the others are chosen so that each class of the paper scales as its name says (the eighth server of
a "high" job adds half of a server or more, the fourth of a "low" one adds less than half; a test
says so).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

#: Speed of the network link of a server [Gbps]; ours.
LINK_GBPS = 10.0
_BITS_PER_BYTE = 8
#: Decimals of the curves: few enough to be equal on every platform.
_DECIMALS = 6


@dataclass(frozen=True)
class Workload:
    """One kind of job.

    Attributes
    ----------
    scalability
        Class of the paper: "high", "moderate" or "low".
    exchanged_mb
        Data that the servers exchange in a step, as in the paper [MB].
    step_s
        Time of a step on one server, ours [s].
    """

    scalability: str
    exchanged_mb: float
    step_s: float

    @property
    def overhead(self) -> float:
        """σ: time of moving the data of a step, relative to computing it on one server."""
        moving_s = 2 * self.exchanged_mb * _BITS_PER_BYTE / (1000 * LINK_GBPS)
        return moving_s / self.step_s


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        "nbody-100k": Workload("high", 5.3, 4.0),
        "nbody-10k": Workload("high", 0.53, 0.04),
        "resnet101": Workload("high", 170.5, 9.0),
        "efficientnet-s": Workload("high", 82.7, 4.4),
        "nbody-3k": Workload("moderate", 0.16, 0.0036),
        "nbody-2k": Workload("moderate", 0.1, 0.0016),
        "resnet50": Workload("moderate", 97.8, 2.0),
        "vit-b-32": Workload("moderate", 336.6, 5.4),
        "jacobi-3k": Workload("low", 51.2, 0.27),
        "jacobi-2k": Workload("low", 28.6, 0.15),
        "jacobi-1k": Workload("low", 7.16, 0.035),
        "alexnet": Workload("low", 233.1, 1.1),
        "resnet18": Workload("low", 44.7, 0.25),
    }
)
RIGID = "rigid"
#: What the jobs of a cluster may be: one class, all workloads mixed, or jobs that do not scale.
ELASTICITIES = ("high", "moderate", "low", "mix", "none")


def workloads_of(elasticity: str) -> tuple[str, ...]:
    """Names of the profiles from which the jobs of a cluster are drawn."""
    if elasticity == "none":
        return (RIGID,)
    return tuple(
        name for name, kind in WORKLOADS.items() if elasticity in ("mix", kind.scalability)
    )


def profile_table(names: tuple[str, ...], most: int) -> pd.DataFrame:
    """Table ``profiles`` of a cluster: these workloads on 1 to `most` servers.

    Parameters
    ----------
    names
        Names in `WORKLOADS`, or `RIGID` for jobs that run on one server only.
    most
        Most servers of a job.
    """
    parts = []
    for name in names:
        servers = np.arange(1, 2 if name == RIGID else most + 1)
        overhead = 0.0 if name == RIGID else WORKLOADS[name].overhead
        throughput = servers / (1 + overhead * (servers - 1))
        traffic = overhead * (servers - 1) * throughput * LINK_GBPS
        parts.append(
            pd.DataFrame(
                {
                    "profile": name,
                    "servers": servers,
                    "throughput": throughput.round(_DECIMALS),
                    "network_gbps": traffic.round(_DECIMALS),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
