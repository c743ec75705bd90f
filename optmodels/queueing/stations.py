r"""One processor: mean responses under first come first served, and under sharing.

**First come, first served.** All tenants wait equally long (Pollaczek and Khinchine):

.. math::
    W = \frac{\sum_i \lambda_i m_i}{2 (1 - \rho)}, \qquad R_i = s_i + W

**Processor sharing.** Everybody is served at once, each at an equal share of the speed; the mean
response does not depend on the distribution of the service times:

.. math::
    R_i = \frac{s_i}{1 - \rho}

Ibis (Liang et al., arXiv:2201.07312) adds the same delay to every tenant instead,
:math:`R_i = s_i + E[S]\,\rho/(1-\rho)`. The mean over all requests is the same, that of each tenant
is not: the form "additive" is for comparison with the paper only.

**Limited sharing.** At most ``streams`` requests share, the others wait in order. Between the two
above we interpolate (our own; a few percent off in simulation, exact at one stream and at
infinitely many):

.. math::
    R_i \approx \rho^{m-1} (s_i + W) + (1 - \rho^{m-1}) \frac{s_i}{1-\rho}

A station with a load of 1 or more is never done: its responses are infinite.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import UsageError
from optmodels.policy import FloatArray
from optmodels.queueing.tenants import Tenants, finite, tenants_of

SharingForm = Literal["exact", "additive"]
SHARING_FORMS = ("exact", "additive")


def load(rates: ArrayLike, means: ArrayLike) -> FloatArray:
    """Share of the time for which a station is busy, rho; 1 and more is too much for it.

    Raises
    ------
    UsageError
        A rate or service time is out of range.
    """
    return tenants_of(rates, means).load


def fcfs_wait(rates: ArrayLike, means: ArrayLike, seconds: ArrayLike | None = None) -> FloatArray:
    """Mean wait W before service, first come first served; one value per station.

    Parameters
    ----------
    rates
        Requests per unit of time of each tenant, shape (..., tenants).
    means
        Mean service times.
    seconds
        Second moments of the service times; by default those of constant services.

    Raises
    ------
    UsageError
        A rate, a service time or a second moment is out of range.
    """
    return _wait(tenants_of(rates, means, seconds))


def fcfs_response(
    rates: ArrayLike, means: ArrayLike, seconds: ArrayLike | None = None
) -> FloatArray:
    """Mean response of each tenant, first come first served; arguments as of `fcfs_wait`."""
    given = tenants_of(rates, means, seconds)
    found: FloatArray = given.means + _wait(given)[..., np.newaxis]
    return found


def ps_response(rates: ArrayLike, means: ArrayLike, form: SharingForm = "exact") -> FloatArray:
    """Mean response of each tenant of a shared processor.

    Parameters
    ----------
    rates
        Requests per unit of time of each tenant, shape (..., tenants).
    means
        Mean service times, as if alone.
    form
        "exact", or "additive" for the approximation that Ibis uses.

    Raises
    ------
    UsageError
        A rate or service time is out of range, or the form is unknown.
    """
    if form not in SHARING_FORMS:
        raise UsageError.unknown("form of processor sharing", str(form), SHARING_FORMS)
    given = tenants_of(rates, means)
    stretch = _stretch(given)[..., np.newaxis]
    if form == "exact":
        shared: FloatArray = given.means * stretch
        return shared
    total = given.rates.sum(axis=-1, keepdims=True)
    busy = given.load[..., np.newaxis]
    mean = np.divide(busy, total, out=np.zeros_like(total), where=total > 0)
    # rho / (1 - rho) as stretch * rho: an idle station delays nobody, a full one without end.
    delayed: FloatArray = given.means + np.where(busy > 0, mean * busy * stretch, 0.0)
    return delayed


def limited_ps_response(
    rates: ArrayLike, means: ArrayLike, streams: int, seconds: ArrayLike | None = None
) -> FloatArray:
    """Mean response of each tenant where at most `streams` requests share the processor.

    Parameters
    ----------
    rates, means, seconds
        As of `fcfs_wait`.
    streams
        Most requests in service at once, at least 1.

    Raises
    ------
    UsageError
        An argument is out of range.
    """
    if not (isinstance(streams, int | np.integer) and streams >= 1):
        raise UsageError(f"The number of streams is {streams}; allowed: a whole number from 1.")
    given = tenants_of(rates, means, seconds)
    queued = given.means + _wait(given)[..., np.newaxis]
    shared = given.means * _stretch(given)[..., np.newaxis]
    # Beyond full load both are infinite, and so is any mean of them.
    weight = np.minimum(given.load, 1.0)[..., np.newaxis] ** (streams - 1)
    unstable = np.isinf(queued)
    found: FloatArray = np.where(
        unstable,
        np.inf,
        weight * np.where(unstable, 0, queued) + (1 - weight) * np.where(unstable, 0, shared),
    )
    return found


def time_sliced(means: ArrayLike, quantum: float, switch: float) -> FloatArray:
    """Mean services of contexts that take turns of `quantum`, each turn costing `switch` more.

    Raises
    ------
    UsageError
        A time is out of range.
    """
    services = finite(means, "mean service times", 0.0, open_low=True)
    turn = finite(quantum, "quanta", 0.0, open_low=True)
    cost = finite(switch, "switch times", 0.0)
    return np.asarray(services * (1 + cost / turn), dtype=np.float64)


def _wait(given: Tenants) -> FloatArray:
    moment = np.asarray((given.rates * given.seconds).sum(axis=-1), dtype=np.float64)
    return np.asarray(moment / 2 * _stretch(given), dtype=np.float64)


def _stretch(given: Tenants) -> FloatArray:
    """1 / (1 - rho), infinite from full load on."""
    free = 1 - given.load
    full = np.full_like(free, np.inf)
    return np.asarray(np.divide(1.0, free, out=full, where=free > 0), dtype=np.float64)
