"""Event simulation of one station: what the formulas are judged by.

Requests are arrays in the order of their arrival: when each comes, whose it is, how long its
service takes. First come, first served is a running maximum and needs no loop; sharing goes from
event to event in *virtual time*, the service that a request in service has received since the
start: requests leave in the order of the virtual time at which they are done, so that one heap
suffices however many share. Two million requests take some seconds.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import heappop, heappush

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray
from optmodels.queueing.tenants import finite

IntArray = NDArray[np.int64]


def poisson_arrivals(
    rates: ArrayLike, requests: int, rng: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """Draw requests of Poisson tenants: times of arrival in order, and the tenant of each.

    Raises
    ------
    UsageError
        A rate is out of range, or nobody sends any.
    """
    rate = finite(rates, "rates", 0.0).ravel()
    total = float(rate.sum())
    if total <= 0:
        raise UsageError("No tenant sends any requests. Fix: give a positive rate.")
    times = np.cumsum(rng.exponential(1 / total, size=requests))
    # The last bound is 1 but for rounding: no draw may fall beyond it.
    bounds = np.cumsum(rate)[:-1] / total
    tenants = np.searchsorted(bounds, rng.random(requests), side="right")
    return times, tenants.astype(np.int64)


def fcfs_departures(arrivals: FloatArray, services: FloatArray) -> FloatArray:
    """Times of departure, first come first served; arrivals in order."""
    done = np.cumsum(services)
    departures: FloatArray = done + np.maximum.accumulate(arrivals - (done - services))
    return departures


def switched(models: IntArray) -> NDArray[np.bool_]:
    """Whether each request has to load its model, one model resident; the first one has to."""
    change = np.ones(len(models), dtype=np.bool_)
    change[1:] = models[1:] != models[:-1]
    return change


def lru_switched(models: IntArray, sizes: ArrayLike, capacity: float) -> NDArray[np.bool_]:
    """Whether each request has to load its model where those not used for longest are dropped.

    A model larger than the memory is loaded for every request, and drops no other.
    """
    size = finite(sizes, "sizes", 0.0).tolist()
    resident: OrderedDict[int, float] = OrderedDict()
    used = 0.0
    change = np.ones(len(models), dtype=np.bool_)
    for place, model in enumerate(models.tolist()):
        if model in resident:
            resident.move_to_end(model)
            change[place] = False
        elif size[model] <= capacity:
            resident[model] = size[model]
            used += size[model]
            while used > capacity:
                _, freed = resident.popitem(last=False)
                used -= freed
    return change


def sharing_departures(
    arrivals: FloatArray, services: FloatArray, *, cores: int = 1, streams: int | None = None
) -> FloatArray:
    """Times of departure from cores that requests share; arrivals in order.

    Parameters
    ----------
    arrivals, services
        Time of arrival and length of service, one per request.
    cores
        Number of cores; a request runs on one at most.
    streams
        Most requests in service at once, the others waiting in order; None for no limit.

    Raises
    ------
    UsageError
        There is no core or no stream.
    """
    if cores < 1 or (streams is not None and streams < 1):
        raise UsageError("There must be at least one core and one stream.")
    most = len(arrivals) if streams is None else streams
    departures = [0.0] * len(arrivals)
    serving: list[tuple[float, int]] = []
    waiting: deque[int] = deque()
    lengths = services.tolist()
    now = virtual = 0.0
    for request, arrival in enumerate([*arrivals.tolist(), np.inf]):
        while serving:
            # Real time that a unit of virtual time takes.
            pace = max(1.0, len(serving) / cores)
            finish = serving[0][0]
            end = now + (finish - virtual) * pace
            if end > arrival:
                virtual += (arrival - now) / pace
                break
            now, virtual = end, finish
            departures[heappop(serving)[1]] = end
            if waiting:
                first = waiting.popleft()
                heappush(serving, (virtual + lengths[first], first))
        now = arrival
        if request == len(lengths):
            break
        if not serving:
            # Starting anew keeps virtual time small, and so its rounding.
            virtual = 0.0
        if len(serving) < most:
            heappush(serving, (virtual + lengths[request], request))
        else:
            waiting.append(request)
    return np.array(departures)
