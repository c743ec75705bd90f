r"""How long requests take on a node, by formula: the test whether a node keeps its promises.

A request crosses the network, its application's front end (cores that it shares with requests of
the same application), and the accelerator, which it shares with requests of all applications there:

.. math::
    R_i = R^{net} + R_i^{front} + R_i^{acc}

Means add, whatever the processes are; that the accelerator sees Poisson arrivals behind a front end
of shared cores is exact. A node keeps its promises when (Ibis, arXiv:2201.07312)

- its load, switches included, is at most ``load_max``,
- the load of every front end is at most ``frontend_load_max``,
- the mean response of *every* application on it is at most its SLO.

Applications of one model count as one tenant of the accelerator: they never push each other out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.placement.accelerators.hardware import (
    TOLERANCE,
    Application,
    Device,
    Rules,
    allowed_ms,
    frontend_response_ms,
)
from optmodels.policy import FloatArray
from optmodels.queueing.residency import swapped
from optmodels.queueing.stations import fcfs_wait, load, ps_response

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Crowd:
    """What many sets of requests would do to one accelerator.

    Attributes
    ----------
    load
        Share of the time for which it is busy, shape (sets,).
    response_ms
        Mean time of a request of each model at the accelerator [ms], shape (sets, models).
    least_ms
        The same, but a value that no further request of any model can lower.
    """

    load: FloatArray
    response_ms: FloatArray
    least_ms: FloatArray


def crowd(device: Device, rates: FloatArray, models: IntArray, rules: Rules) -> Crowd:
    """Loads and responses at an accelerator.

    Parameters
    ----------
    device
        The kind of node.
    rates
        Requests per ms of each model, shape (sets, models).
    models
        Which models these are; all of them offered by the device.
    rules
        Which forms of the formulas count.
    """
    service, second = device.service_ms[models], device.second_ms2[models]
    if device.discipline == "ps":
        response = ps_response(rates, service, rules.sharing)
        # The additive form may promise a shorter delay when small requests join.
        bound = response if rules.sharing == "exact" else np.broadcast_to(service, rates.shape)
        return Crowd(load(rates, service), response, bound)
    tenants = swapped(
        rates, service, device.switch_ms[models], seconds=second, form=rules.second_moment
    )
    wait = fcfs_wait(tenants.rates, tenants.means, tenants.seconds)[..., np.newaxis]
    # More load of a model makes its own switches rarer; load and wait only ever grow, the wait not
    # in the collapsed form. Our derivation, checked in tests/queueing.
    growing = wait if rules.second_moment == "mixture" or not device.swaps else 0.0
    least = np.broadcast_to(service + growing, rates.shape)
    return Crowd(tenants.load, tenants.means + wait, least)


@dataclass(frozen=True)
class NodeReport:
    """What a node promises its applications.

    Attributes
    ----------
    load
        Share of the time for which its accelerator is busy, switches included.
    response_ms
        Mean response of each application [ms], network and front end included.
    kept
        Whether the promise to each application is kept.
    load_kept
        Whether the load is within its limit.
    """

    load: float
    response_ms: FloatArray
    kept: NDArray[np.bool_]
    load_kept: bool

    @property
    def ok(self) -> bool:
        """Whether the node keeps all its promises."""
        return self.load_kept and bool(self.kept.all())


def report(device: Device, applications: Sequence[Application], rules: Rules) -> NodeReport:
    """What a node with these applications, all of models that it offers, promises."""
    if not applications:
        return NodeReport(0.0, np.empty(0), np.empty(0, dtype=np.bool_), True)
    numbers: IntArray = np.array([a.model for a in applications], dtype=np.int64)
    models, own = np.unique(numbers, return_inverse=True)
    rates = np.bincount(own, [a.rate_per_ms for a in applications], len(models))
    one_set: FloatArray = rates.astype(np.float64)[np.newaxis]
    found = crowd(device, one_set, models, rules)
    accelerator = found.response_ms[0, own]
    front = np.array([frontend_response_ms(device, a) for a in applications])
    allowed = np.array([allowed_ms(device, a, rules) for a in applications])
    # Relative to the promise, not to what is left of it.
    slack = TOLERANCE * np.array([a.slo_ms for a in applications])
    busy = float(found.load[0])
    return NodeReport(
        load=busy,
        response_ms=rules.network_ms + front + accelerator,
        kept=accelerator <= allowed + slack,
        load_kept=busy <= rules.load_max * (1 + TOLERANCE),
    )


def keeps_promises(device: Device, applications: Sequence[Application], rules: Rules) -> bool:
    """Whether a node with these applications keeps all its promises; its memory apart."""
    return report(device, applications, rules).ok
