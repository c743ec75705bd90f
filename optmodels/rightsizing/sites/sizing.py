r"""Sizes from a power series alone: percentile, break-even and newsvendor.

A site with n GPUs and power for :math:`X_t = P_t / w` of them serves :math:`\min(X_t, n)`. Its
utilisation :math:`U(n) = \mathrm{E}[\min(X, n)] / n` never rises with n, while the useful hours
:math:`n U(n)` are concave. An installed GPU-hour costs K and a useful one is worth
:math:`v = c_g - w p_{wind}`: what it saves on the grid, less its wind energy.

- *Percentile*: the power that is there for a share :math:`1 - q` of the time.
- *Break-even*: the largest site whose useful hour costs no more than the grid's on average,
  :math:`U(n) \ge U^* = K / v`. Its last GPUs lose what its first ones gain.
- *Newsvendor*: the size of the largest gain :math:`v\,\mathrm{E}[\min(X, n)] - K n`. It is the
  quantile where :math:`\mathrm{Prob}(X \ge n)` falls to :math:`K / v`, the same threshold, and
  never above the break-even size.

Percentile sizing is what work on wind-powered GPUs speaks of; the other two, and the comparison,
are ours.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

#: Share of a sample that counts as rounding where a quantile falls on one.
_ROUNDING = 1e-9


def utilisation(gpus_fed: ArrayLike, size: float) -> float:
    """Share of the time for which an installed GPU has power: E[min(X, n)] / n.

    Parameters
    ----------
    gpus_fed
        GPUs that the wind can feed in each slot, shape (T,).
    size
        Installed GPUs; for 0 the limit from above, the share of slots with any wind.
    """
    fed = np.asarray(gpus_fed, dtype=np.float64)
    if size <= 0:
        return float((fed > 0).mean())
    return float(np.minimum(fed, size).mean() / size)


def percentile_size(gpus_fed: ArrayLike, share: float) -> float:
    """Largest size that has power for all but at most this share of the slots."""
    fed = np.sort(np.asarray(gpus_fed, dtype=np.float64))
    below = math.floor(share * fed.size * (1 + _ROUNDING))
    return float(fed[min(below, fed.size - 1)])


def newsvendor_size(gpus_fed: ArrayLike, threshold: float) -> float:
    """Smallest size of the largest gain: where Prob(X > n) falls to the threshold K / v.

    Parameters
    ----------
    gpus_fed
        GPUs that the wind can feed in each slot, shape (T,).
    threshold
        K / v; from 1 on nothing is worth installing, nor where it is infinite: a wind that costs
        as much as the grid.
    """
    if threshold >= 1:
        return 0.0
    fed = np.sort(np.asarray(gpus_fed, dtype=np.float64))
    rank = math.ceil(fed.size * (1 - threshold) - _ROUNDING * fed.size)
    return float(fed[min(rank, fed.size) - 1]) if rank > 0 else 0.0


def break_even_size(gpus_fed: ArrayLike, threshold: float) -> float:
    """Largest size with a utilisation of at least the threshold, exactly; may be infinite.

    Between two values of the series the utilisation is (a + b n) / n with b the share of larger
    values: the size solves an equation of one unknown.
    """
    if threshold <= 0:
        return math.inf
    fed = np.sort(np.asarray(gpus_fed, dtype=np.float64))
    below = np.cumsum(fed)
    above = np.arange(fed.size - 1, -1, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        used = (below + above * fed) / (fed * fed.size)
    enough = np.flatnonzero((fed > 0) & (used >= threshold * (1 - _ROUNDING)))
    if not enough.size:
        return 0.0
    last = int(enough[-1])
    slope = threshold * fed.size - above[last]
    if slope <= 0:
        return float(fed[last])
    # Rounding must not shrink a size that is enough by the series itself.
    size = max(below[last] / slope, fed[last])
    return float(size if last == fed.size - 1 else min(size, fed[last + 1]))
