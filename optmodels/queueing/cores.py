r"""Several processors: a front end of ``cores`` that requests share.

With :math:`a = \lambda s` requests in service on average and :math:`c` cores, each request on one
of its own while there are enough, the mean response of processor sharing is

.. math::
    R = s + \frac{C(c, a)\, s}{c - a}

with Erlang's probability :math:`C` that all cores are busy. It does not depend on the distribution
of the service times, and requests leave such a station as a Poisson process: what comes behind it
sees arrivals as if it were not there.
"""

from __future__ import annotations

import numpy as np

from optmodels.errors import UsageError
from optmodels.queueing.tenants import finite


def erlang_c(cores: int, offered: float) -> float:
    """Probability that all cores are busy; 1 from full load on.

    Parameters
    ----------
    cores
        Number of cores, at least 1.
    offered
        Mean number of requests in service if there were cores without end, rate times service.

    Raises
    ------
    UsageError
        An argument is out of range.
    """
    if not (isinstance(cores, int | np.integer) and cores >= 1):
        raise UsageError(f"The number of cores is {cores}; allowed: a whole number from 1.")
    load = float(finite(offered, "offered loads", 0.0))
    if load >= cores:
        return 1.0
    # Erlang's loss formula by its recursion, which neither overflows nor cancels.
    blocked = 1.0
    for busy in range(1, int(cores) + 1):
        blocked = load * blocked / (busy + load * blocked)
    return blocked / (1 - load / cores * (1 - blocked))


def cores_response(rate: float, mean: float, cores: int = 1) -> float:
    """Mean response of requests that share `cores`; infinite from full load on.

    Parameters
    ----------
    rate
        Requests per unit of time.
    mean
        Mean service time on one core.
    cores
        Number of cores, at least 1.

    Raises
    ------
    UsageError
        An argument is out of range.
    """
    service = float(finite(mean, "mean service times", 0.0))
    offered = float(finite(rate, "rates", 0.0)) * service
    waiting = erlang_c(cores, offered)
    if offered >= cores:
        return float("inf")
    return service + waiting * service / (cores - offered)
