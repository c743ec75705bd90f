r"""How long one payload takes from the memory of one host to that of another.

A payload of B bytes over a transport with the set-up time :math:`\alpha` and the rate
:math:`\beta` takes :math:`\alpha + B / \beta`. TCP and RDMA read and write host memory: what
comes from a GPU is copied down first, and what a GPU needs is copied up afterwards, each copy
:math:`\alpha_c + B / \beta_c`. GPUDirect RDMA reads and writes the memory of the GPU itself: no
copies. On one host a payload goes through shared memory, or stays where it is if both stages run on
its GPUs.

A relay (gateway, proxy, load balancer) stores and forwards. Where one of its sides is TCP and the
other RDMA or GPUDirect, the payload moves between two kinds of buffers: a *translation* of
:math:`B / \beta_m`. Between RDMA and GPUDirect the same registered buffer serves, and nothing is
translated.

**Ours.** "Understanding the Benefits of Hardware-Accelerated Communication in Model-Serving
Applications" (Hanafy et al., arXiv:2305.03165) measures such pipelines; its public abstract gives
no parameters. All numbers of `DEFAULTS` are ours: those of a 25 Gbit/s network, one core per TCP
stream and a PCIe 3 copy engine. They were not fitted to the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Kind = Literal["tcp", "rdma", "gpudirect", "local"]
Nic = Literal["rdma", "gpudirect"]

KINDS: tuple[Kind, ...] = ("tcp", "rdma", "gpudirect", "local")
#: Transports whose ends are registered buffers, not sockets.
VERBS: frozenset[Kind] = frozenset({"rdma", "gpudirect"})
NICS: tuple[Nic, ...] = ("rdma", "gpudirect")

_US_PER_MS = 1e3
_BYTES_PER_MS = 1e6
"""Bytes in a millisecond at 1 GB/s."""


@dataclass(frozen=True)
class Transport:
    """One way of moving a payload.

    Attributes
    ----------
    setup_us
        Time of a message without content [µs].
    gb_per_s
        Rate of one stream [GB/s]; a link may be slower.
    cpu_ns_per_byte
        Processor time at each end [ns/byte].
    """

    setup_us: float
    gb_per_s: float
    cpu_ns_per_byte: float = 0.0


@dataclass(frozen=True)
class Constants:
    r"""What the times of all hops are made of.

    Attributes
    ----------
    transports
        Transports by kind; one that is missing cannot be used.
    copy_setup_us, copy_gb_per_s
        A copy between host and GPU: set-up [µs] and rate [GB/s].
    translation_gb_per_s
        Rate of moving a payload between a socket and a registered buffer [GB/s].
    copy_interference
        :math:`\eta`: GPU time lost per time of copying. Copies and launches share queues with
        kernels; 0 means that copies do not disturb execution.
    """

    transports: Mapping[Kind, Transport]
    copy_setup_us: float = 10.0
    copy_gb_per_s: float = 11.0
    translation_gb_per_s: float = 8.0
    copy_interference: float = 1.0

    def copy_ms(self, size: float) -> float:
        """Time of one copy of `size` bytes between host and GPU [ms]."""
        return self.copy_setup_us / _US_PER_MS + size / (self.copy_gb_per_s * _BYTES_PER_MS)

    def translation_ms(self, size: float) -> float:
        """Time of moving `size` bytes between a socket and a registered buffer [ms]."""
        return size / (self.translation_gb_per_s * _BYTES_PER_MS)

    def hop(
        self,
        kind: Kind,
        size: float,
        *,
        from_gpu: bool = False,
        to_gpu: bool = False,
        link_gb_per_s: float = float("inf"),
        link_us: float = 0.0,
    ) -> Hop:
        """Times of one hop.

        Parameters
        ----------
        kind
            Transport.
        size
            Payload [bytes].
        from_gpu, to_gpu
            Whether the payload starts in, and must end in, the memory of a GPU.
        link_gb_per_s, link_us
            Rate and one-way delay of the link between the two hosts.
        """
        transport = self.transports[kind]
        stays = kind == "local" and from_gpu and to_gpu
        if stays:
            return Hop(0.0, 0.0, 0.0, 0.0)
        copies = kind != "gpudirect"
        rate = min(transport.gb_per_s, link_gb_per_s)
        return Hop(
            down_ms=self.copy_ms(size) if from_gpu and copies else 0.0,
            wire_ms=(transport.setup_us + link_us) / _US_PER_MS + size / (rate * _BYTES_PER_MS),
            up_ms=self.copy_ms(size) if to_gpu and copies else 0.0,
            cpu_ms=transport.cpu_ns_per_byte * size / _BYTES_PER_MS,
        )


@dataclass(frozen=True)
class Hop:
    """Times of one hop [ms].

    Attributes
    ----------
    down_ms
        Copy from the GPU to host memory at the sender.
    wire_ms
        Set-up, delay of the link and transfer.
    up_ms
        Copy from host memory to the GPU at the receiver.
    cpu_ms
        Processor time at each of the two ends; it passes during the transfer and adds no latency.
    """

    down_ms: float
    wire_ms: float
    up_ms: float
    cpu_ms: float = field(default=0.0)

    @property
    def total_ms(self) -> float:
        """Latency of the hop [ms]."""
        return self.down_ms + self.wire_ms + self.up_ms


def translates(arrival: Kind, departure: Kind) -> bool:
    """Whether a relay has to translate between these two transports."""
    return (arrival == "tcp" and departure in VERBS) or (arrival in VERBS and departure == "tcp")


DEFAULTS = Constants(
    transports=MappingProxyType(
        {
            "tcp": Transport(60.0, 1.05, 1.0),
            "rdma": Transport(8.0, 2.9),
            "gpudirect": Transport(10.0, 2.8),
            "local": Transport(2.0, 10.0),
        }
    )
)
PARSE_US = 50.0
"""Store-and-forward time of a relay, each way [µs]; ours, too."""
