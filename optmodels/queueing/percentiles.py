r"""Percentiles of a response from its mean wait.

Where requests are served in order, the wait is zero with probability :math:`1 - \rho`, and beyond
that its tail is close to exponential, :math:`P(X > x) \approx \rho e^{-\rho x / W}`, which has the
mean :math:`W` and is exact for exponential services (our own approximation for all others):

.. math::
    x_p = \max\Big(0,\ \frac{W}{\rho} \ln \frac{\rho}{1 - p}\Big), \qquad R_{i,p} \approx s_i + x_p
"""

from __future__ import annotations

import math

from optmodels.queueing.tenants import finite


def wait_percentile(wait: float, load: float, share: float) -> float:
    """Wait that a `share` of the requests does not exceed.

    Parameters
    ----------
    wait
        Mean wait.
    load
        Share of the time for which the station is busy, 0 to 1.
    share
        p, at least 0 and below 1.

    Raises
    ------
    UsageError
        An argument is out of range.
    """
    if math.isinf(wait) and wait > 0:
        return float("inf")
    mean = float(finite(wait, "mean waits", 0.0))
    busy = float(finite(load, "loads", 0.0, 1.0))
    beyond = 1 - float(finite(share, "shares", 0.0, math.nextafter(1.0, 0.0)))
    return mean / busy * math.log(busy / beyond) if busy > beyond else 0.0
