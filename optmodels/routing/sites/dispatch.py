"""A dispatch: what a fleet does in one period, and what loading weights takes away from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.policy import FloatArray, frozen
from optmodels.routing.sites.profile import IntArray, integers


@dataclass(frozen=True, eq=False)
class Dispatch:
    """Decisions of one period.

    Attributes
    ----------
    configured
        Instances that hold GPUs, by site and tensor-parallel degree, shape (S, G), whole numbers.
    running
        Instances that run, by site and row of the profile, shape (S, R), whole numbers.
    flow
        Requests that are served, by origin, site and row [1/s], shape (O, S, R).
    """

    configured: IntArray
    running: IntArray
    flow: FloatArray


@dataclass(frozen=True, eq=False)
class Loading:
    """Which configured instances still load weights.

    A newly configured instance serves nothing for `reload_seconds`. Whenever instances are taken
    away from a site and degree, those that have loaded least go first. In the first period any
    configuration stands there loaded.

    Attributes
    ----------
    reload_periods
        Time to load, in periods.
    configured
        Instances of the period before, shape (S, G); None before the first period.
    young
        Of them, those configured 1, 2, ... periods before this one, as long as that matters, shape
        (K, S, G).
    """

    reload_periods: float
    configured: IntArray | None = None
    young: IntArray | None = None

    def after(self, configured: IntArray) -> tuple[FloatArray, Loading]:
        """Configure these instances for the next period.

        Returns
        -------
        effective
            Instances that serve, as a mean over the period: those configured without the share of
            the period in which they load, shape (S, G).
        loading
            What loads after the period.
        """
        now = integers(configured)
        ages = int(np.ceil(self.reload_periods))
        if self.configured is None or self.young is None or not ages:
            young = np.zeros((ages, *now.shape), dtype=np.int64)
            return frozen(now), Loading(self.reload_periods, now, integers(young))
        young = np.empty_like(self.young)
        young[1:] = self.young[:-1]
        young[0] = 0
        change = now - self.configured
        if change.any():
            fewer = np.maximum(-change, 0)
            for age in range(ages):
                taken = np.minimum(young[age], fewer)
                young[age] -= taken
                fewer -= taken
            young[0] = np.maximum(change, 0)
        # How much of this period those of each age still load.
        share = np.clip(self.reload_periods - np.arange(ages), 0.0, 1.0)
        effective = now - np.tensordot(share, young, axes=1)
        return frozen(effective), Loading(self.reload_periods, now, integers(young))
