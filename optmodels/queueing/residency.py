r"""Models that push each other out of a processor's memory.

An Edge TPU keeps the parameters of one model. A request for another model has to load them first,
which takes its switch time :math:`o_i`. In the order of arrival the models of Poisson streams are
independent draws: a request of model :math:`i` finds another one with probability
:math:`1 - p_i`, :math:`p_i = \lambda_i / \Lambda`. Its service, with the switch, has the moments

.. math::
    s'_i = s_i + (1 - p_i)\, o_i, \qquad
    m'_i = m_i + (1 - p_i)(2 s_i o_i + o_i^2)

which then go into the formula of first come, first served. This "mixture" is ours; Ibis
(arXiv:2201.07312), whose services are constant, takes :math:`s_i'^2` for the second moment
("collapsed"; for services that vary by themselves :math:`m_i - s_i^2 + s_i'^2`, our reading), which
leaves out how much the switches vary and so promises waits that are too short: by 31 % in a
simulated case of two equal models whose switch takes four times as long as their service. What the
mixture leaves out itself is that two services in a row depend on each other, some percent of the
wait.

Where the memory has room for several models and drops the one not used for longest, the probability
of a miss is that of Che's approximation (`lru_miss`). Tenants of one model never push each other
out: add their rates first (`merged_rates`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray
from optmodels.queueing.tenants import Tenants, finite, tenants_of

SwapForm = Literal["mixture", "collapsed"]
SWAP_FORMS = ("mixture", "collapsed")

_HALVINGS = 200


def merged_rates(rates: ArrayLike, models: ArrayLike, count: int) -> FloatArray:
    """Rate of each model: the sum over its tenants.

    Parameters
    ----------
    rates
        Rate of each tenant, shape (tenants,).
    models
        Number of the model of each tenant, from 0, shape (tenants,).
    count
        Number of models.

    Raises
    ------
    UsageError
        A rate is out of range, or a model is none of the `count`.
    """
    rate = finite(rates, "rates", 0.0).ravel()
    model: NDArray[np.int64] = np.asarray(models, dtype=np.int64).ravel()
    if model.shape != rate.shape or ((model < 0) | (model >= count)).any():
        raise UsageError(f"Give every rate the number of its model, 0 to {count - 1}.")
    return np.asarray(np.bincount(model, weights=rate, minlength=count), dtype=np.float64)


def switch_probability(rates: ArrayLike) -> FloatArray:
    """Probability 1 - p_i that a request finds another model than its own, one model resident.

    Parameters
    ----------
    rates
        Rate of each model, shape (..., models). A model without requests would always be absent
        where others have some; where nobody sends any, nobody switches.

    Raises
    ------
    UsageError
        A rate is out of range.
    """
    rate = finite(rates, "rates", 0.0)
    total = rate.sum(axis=-1, keepdims=True)
    share = np.divide(rate, total, out=np.ones_like(rate), where=total > 0)
    return np.asarray(1 - share, dtype=np.float64)


def lru_miss(rates: ArrayLike, sizes: ArrayLike, capacity: float) -> FloatArray:
    r"""Probability that a request finds its model dropped, by Che's approximation.

    The memory forgets a model after the time :math:`T` for which the expected size of what was
    asked for in it, :math:`\sum_i b_i (1 - e^{-\lambda_i T})`, is the capacity; a miss is
    :math:`e^{-\lambda_i T}`.

    Parameters
    ----------
    rates
        Rate of each model, shape (models,).
    sizes
        Size of each model in memory, in the unit of the capacity.
    capacity
        Room of the memory. Where all models fit nobody is ever dropped; where none fits everybody
        always is.

    Raises
    ------
    UsageError
        Something is out of range.
    """
    rate = finite(rates, "rates", 0.0).ravel()
    size = finite(sizes, "sizes", 0.0).ravel()
    room = float(finite(capacity, "capacities", 0.0))
    if rate.shape != size.shape:
        raise UsageError("Give one size for every rate.")
    # What is larger than the memory never stays, and takes no room from the others.
    stays = size <= room
    if float(size[stays & (rate > 0)].sum()) <= room:
        return np.where(stays, 0.0, 1.0)

    def held(span: float) -> float:
        return float((size * -np.expm1(-rate * span))[stays].sum())

    low, high = 0.0, 1.0 / float(rate[rate > 0].max())
    while held(high) < room:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if held(middle) < room else (low, middle)
    return np.where(stays, np.exp(-rate * high), 1.0)


def swapped(
    rates: ArrayLike,
    means: ArrayLike,
    switches: ArrayLike,
    *,
    seconds: ArrayLike | None = None,
    misses: ArrayLike | None = None,
    form: SwapForm = "mixture",
) -> Tenants:
    """Services with the switch included, as tenants for the formulas of a station.

    Parameters
    ----------
    rates
        Rate of each model, shape (..., models); tenants of one model merged.
    means
        Mean service times without the switch.
    switches
        Time to load each model.
    seconds
        Second moments of the services without the switch; by default those of constant services.
    misses
        Probability that a request has to load its model; by default that of one resident model.
    form
        "mixture", or "collapsed" for the second moment that Ibis uses.

    Raises
    ------
    UsageError
        Something is out of range, or the form is unknown.
    """
    if form not in SWAP_FORMS:
        raise UsageError.unknown("form of the second moment", str(form), SWAP_FORMS)
    given = tenants_of(rates, means, seconds)
    switch = finite(switches, "switch times", 0.0)
    if misses is None:
        miss = switch_probability(given.rates)
    else:
        miss = finite(misses, "probabilities of a miss", 0.0, 1.0)
    mean = given.means + miss * switch
    if form == "mixture":
        second = given.seconds + miss * switch * (2 * given.means + switch)
    else:
        second = given.seconds - given.means**2 + mean**2
    return Tenants(given.rates, mean, second)
