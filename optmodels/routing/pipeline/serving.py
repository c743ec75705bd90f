r"""One served model behind any number of proxies: its latency alone, and under load.

A request goes from its client over one or more hops to a GPU server and the answer comes back over
the same hops. `Serving.parts` is the latency of a lone request, part by part. Under load, requests
meet at five stations of the server:

=================  ==========================================  =====================================
station            demand of a request                         discipline
=================  ==========================================  =====================================
``link in``        request bytes / rate                        shared
``copy to GPU``    one copy up, none with GPUDirect            in order, one engine, no priorities
``GPU``            inference and preprocessing, and the time   shared among streams; or one request
                   lost to copies                              after another; or sliced by context
``copy to host``   one copy down, none with GPUDirect          in order, one engine, no priorities
``link out``       answer bytes / rate                         shared
=================  ==========================================  =====================================

Everything else (set-up times, earlier hops, proxies) delays but is not fought over.

**Copies disturb kernels.** If copies were only a station of their own, the gain of avoiding them
would vanish as soon as the GPU is the bottleneck, and the gains that were measured for many clients
could not be explained. So a copy of time T takes :math:`\eta T` of GPU time from *the others*: with
N clients a request demands

.. math:: D_{GPU} = \text{inference} + \eta \frac{N - 1}{N} T_{copies},

nothing for a lone client. At saturation GPUDirect then saves about :math:`(N - 1) \eta T_{copies}`
of each response, and exactly nothing if :math:`\eta = 0`.

**What is the paper's, and what is ours.** "Understanding the Benefits of Hardware-Accelerated
Communication in Model-Serving Applications" (arXiv:2305.03165) reports that GPUDirect RDMA saves 15
to 50 % of the latency of serving, 70 to 160 ms. Stations, formulas, parameters and
:math:`\eta` are ours. :math:`\eta` depends on the GPU and was *not* fitted: `interference_for`
says which value a given saving would take, so that nobody has to believe ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from optmodels.errors import UsageError, shorten
from optmodels.policy import FloatArray
from optmodels.queueing.stations import fcfs_response, fcfs_wait, ps_response
from optmodels.routing.pipeline.catalogue import ServedModel
from optmodels.routing.pipeline.mva import Closed, mva
from optmodels.routing.pipeline.transport import (
    DEFAULTS,
    KINDS,
    PARSE_US,
    Constants,
    Kind,
    translates,
)

STATIONS = ("link in", "copy to GPU", "GPU", "copy to host", "link out")
Sharing = Literal["streams", "serial", "contexts"]
SHARING = ("streams", "serial", "contexts")

_MS_PER_S = 1e3
_US_PER_MS = 1e3


@dataclass(frozen=True)
class Serving:
    """One model behind proxies.

    Attributes
    ----------
    model
        What is served.
    hops
        Transports from the client to the server; one proxy between two hops. Only the last one can
        be GPUDirect: a proxy has no GPU.
    constants
        Times of hops and copies.
    raw
        Whether the raw picture is sent, and preprocessed on the GPU.
    preprocess_ms
        GPU time of that [ms].
    parse_us
        Time of a proxy, each way [µs].
    sharing
        How requests share the GPU: "streams" (all at once, also MPS), "serial" (one request after
        another, copies included, which then disturb nobody), "contexts" (time slices).
    switch_share
        Share of the GPU that switching contexts takes; for "contexts" only.

    Raises
    ------
    UsageError
        The hops or a number are out of range.
    """

    model: ServedModel
    hops: tuple[Kind, ...] = ("tcp",)
    constants: Constants = DEFAULTS
    raw: bool = False
    preprocess_ms: float = 0.0
    parse_us: float = PARSE_US
    sharing: Sharing = "streams"
    switch_share: float = 0.1

    def __post_init__(self) -> None:
        if not self.hops:
            raise UsageError("There is no hop; allowed: one or more transports.")
        for kind in self.hops:
            if kind not in KINDS or kind not in self.constants.transports:
                raise UsageError.unknown("transport", kind, self.constants.transports)
        if "gpudirect" in self.hops[:-1]:
            raise UsageError(
                "Only the last hop can be GPUDirect: a proxy has no GPU memory to write to."
            )
        if self.sharing not in SHARING:
            raise UsageError.unknown("way of sharing a GPU", shorten(self.sharing), SHARING)
        if not 0 <= self.switch_share < 1:
            raise UsageError(f"The switch share is {self.switch_share}; allowed: 0 to below 1.")

    @property
    def request_bytes(self) -> int:
        """What the client sends [bytes]."""
        return self.model.raw_bytes if self.raw else self.model.request_bytes

    def parts(self) -> list[tuple[str, float]]:
        """Latency of a lone request, part by part in the order of time [ms]."""
        found: list[tuple[str, float]] = []
        sent, answered = self.request_bytes, self.model.reply_bytes
        last = len(self.hops) - 1
        for i, kind in enumerate(self.hops):
            if i:
                found += self._proxy("request", self.hops[i - 1], kind, sent)
            hop = self.constants.hop(kind, sent, to_gpu=i == last)
            found.append((f"request by {kind}", hop.wire_ms))
            if hop.up_ms:
                found.append(("copy to GPU", hop.up_ms))
        if self.raw:
            found.append(("preprocessing", self.preprocess_ms))
        found.append(("inference", self.model.infer_ms))
        for i in range(last, -1, -1):
            hop = self.constants.hop(self.hops[i], answered, from_gpu=i == last)
            if hop.down_ms:
                found.append(("copy to host", hop.down_ms))
            found.append((f"answer by {self.hops[i]}", hop.wire_ms))
            if i:
                found += self._proxy("answer", self.hops[i], self.hops[i - 1], answered)
        return found

    def _proxy(
        self, what: str, arrival: Kind, departure: Kind, size: float
    ) -> list[tuple[str, float]]:
        passed = [(f"proxy, {what}", self.parse_us / _US_PER_MS)]
        if translates(arrival, departure):
            passed.append((f"translation, {what}", self.constants.translation_ms(size)))
        return passed

    @property
    def alone_ms(self) -> float:
        """Latency of a lone request [ms]."""
        return float(sum(ms for _, ms in self.parts()))

    @property
    def copies_ms(self) -> float:
        """Time of both copies of a request [ms]."""
        return float(sum(ms for name, ms in self.parts() if name.startswith("copy")))

    def demands(self, clients: float) -> FloatArray:
        """Demand of a request at each of `STATIONS` [ms], for this many clients.

        For infinitely many the copies of a request disturb others all the time.
        """
        up, down = self._copies()
        work = self.model.infer_ms + (self.preprocess_ms if self.raw else 0.0)
        link_in, link_out = self._links()
        if self.sharing == "serial":
            return np.array([link_in, 0.0, up + work + down, 0.0, link_out])
        others = 1.0 if np.isinf(clients) else (clients - 1) / clients
        work += self.constants.copy_interference * others * (up + down)
        if self.sharing == "contexts" and clients > 1:
            work /= 1 - self.switch_share
        return np.array([link_in, up, work, down, link_out])

    def _copies(self) -> tuple[float, float]:
        kind = self.hops[-1]
        up = self.constants.hop(kind, self.request_bytes, to_gpu=True).up_ms
        down = self.constants.hop(kind, self.model.reply_bytes, from_gpu=True).down_ms
        return up, down

    def _links(self) -> tuple[float, float]:
        """Times that a request holds the link of the server: transfers without set-up."""
        kind = self.hops[-1]
        if kind == "local":
            return 0.0, 0.0
        empty = self.constants.hop(kind, 0.0).wire_ms
        sizes = (self.request_bytes, self.model.reply_bytes)
        there, back = (self.constants.hop(kind, size).wire_ms - empty for size in sizes)
        return there, back

    @property
    def elsewhere_ms(self) -> float:
        """Latency of a request that is not at any station [ms]."""
        return self.alone_ms - float(self.demands(1).sum())

    def closed(self, clients: int) -> Closed:
        """N clients that send the next request when they have the answer to the last one.

        The residence at the stations, in the order of `STATIONS`; `response_ms` adds the rest.
        """
        return mva(self.demands(clients), clients, self.elsewhere_ms)

    def response_ms(self, clients: int) -> float:
        """Mean latency with this many clients [ms]; that of a lone request for one."""
        return float(self.closed(clients).response[0]) + self.elsewhere_ms

    def open_ms(self, rate_per_s: float) -> float:
        """Mean latency with Poisson arrivals at this rate [ms]; infinite beyond what can be served.

        Sharing stations by M/G/1 processor sharing, copies in order by Pollaczek and Khinchine.
        """
        rate = rate_per_s / _MS_PER_S
        alone, full = self.demands(1), self.demands(np.inf)
        total = self.elsewhere_ms
        for station, own, load in zip(STATIONS, alone, full, strict=True):
            if load <= 0:
                continue
            in_order = station.startswith("copy") or (station == "GPU" and self.sharing == "serial")
            if in_order:
                total += float(fcfs_response([rate], [load])[0])
            else:
                stretch = float(ps_response([rate], [load])[0]) / load
                total += stretch * (load if self.sharing == "contexts" else own)
        return total

    def saturated_ms(self) -> float:
        """What a further client adds to the response at saturation [ms]: the largest demand."""
        return float(self.demands(np.inf).max())


def interference_for(saved_ms: float, slow: Serving, fast: Serving, clients: int) -> float:
    """Interference with which the fast serving would save this much for so many clients.

    Parameters
    ----------
    saved_ms
        Difference of the responses [ms].
    slow, fast
        What is compared; both get the interference that is looked for.
    clients
        Number of clients, at least 2.

    Returns
    -------
    float
        The value; NaN where no value up to `MOST_INTERFERENCE` gives that much.
    """

    def saving(eta: float) -> float:
        one, other = (with_interference(s, eta) for s in (slow, fast))
        return one.response_ms(clients) - other.response_ms(clients)

    low, high = 0.0, MOST_INTERFERENCE
    if clients < 2 or saving(low) > saved_ms or saving(high) < saved_ms:
        return float("nan")
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if saving(middle) < saved_ms else (low, middle)
    return (low + high) / 2


MOST_INTERFERENCE = 1e3
_BISECTIONS = 60


def with_interference(serving: Serving, eta: float) -> Serving:
    """The same serving with another interference of copies."""
    return replace(serving, constants=replace(serving.constants, copy_interference=eta))


@dataclass(frozen=True)
class Prioritised:
    """What a client with priority gets [ms].

    Attributes
    ----------
    response_ms
        Its latency beside the others.
    isolated_ms
        Its latency if the others were not there.
    """

    response_ms: float
    isolated_ms: float

    @property
    def inversion_ms(self) -> float:
        """What the others cost it in spite of its priority."""
        return self.response_ms - self.isolated_ms


def prioritised(
    serving: Serving, rate_per_s: float, other: Serving, other_rate_per_s: float
) -> Prioritised:
    """Latency of a client whose kernels go before those of another one, open load.

    Priorities of streams act on execution: kernels of the first client pre-empt those of the
    second. Copy engines know no priorities: all copies wait in one queue. So with TCP or RDMA the
    second client delays the first one all the same: *priority inversion*. With GPUDirect there is
    no copy to wait for. Links are left out: each client has its own.

    Parameters
    ----------
    serving, rate_per_s
        The client with priority, and its requests [1/s].
    other, other_rate_per_s
        The one without, and its requests [1/s].
    """
    rates = np.array([rate_per_s, other_rate_per_s]) / _MS_PER_S
    copies = np.array([serving._copies(), other._copies()])
    work = serving.demands(1)[STATIONS.index("GPU")]
    kernels = float(ps_response([rates[0]], [work])[0]) if work > 0 else 0.0
    beside = alone = 0.0
    for way in range(2):
        if copies[0, way] > 0:
            there = copies[:, way] > 0
            beside += float(fcfs_wait(rates[there], copies[there, way]))
            alone += float(fcfs_wait(rates[:1], copies[:1, way]))
    rest = serving.alone_ms - work
    return Prioritised(rest + kernels + beside, rest + kernels + alone)


def partitioned_ms(serving: Serving, rate_per_s: float, share: float, *, copies_too: bool) -> float:
    """Mean latency on a partition of a GPU, open load [ms].

    Parameters
    ----------
    serving, rate_per_s
        The client of the partition, and its requests [1/s].
    share
        Part of the GPU that is its own.
    copies_too
        Whether the copy engines are partitioned as well (MIG), or only execution (MPS); then the
        engines are taken to be free of others.

    Raises
    ------
    UsageError
        The share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise UsageError(f"The share of a GPU is {share}; allowed: above 0, at most 1.")
    faster = serving.constants
    if copies_too:
        faster = replace(faster, copy_gb_per_s=faster.copy_gb_per_s * share)
    slower = replace(serving.model, infer_ms=serving.model.infer_ms / share)
    part = replace(
        serving,
        model=slower,
        constants=faster,
        preprocess_ms=serving.preprocess_ms / share,
    )
    return part.open_ms(rate_per_s)
