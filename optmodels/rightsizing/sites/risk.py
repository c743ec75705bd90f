"""Fear of the dearest scenarios: the mean of all, mixed with the mean of the worst (CVaR).

A fleet that is cheapest on average may be ruinous in a calm year. The *conditional value at risk*
at level β is the mean cost of the dearest scenarios, of probability 1 - β in all; a scenario at the
edge counts with the part of its probability that still fits in. It is convex in the sizes, and a
linear programme can hold it (Rockafellar and Uryasev, "Optimization of conditional value-at-risk",
2000; the rows are in `optmodels.rightsizing.sites.model`). Here it is computed from costs that are
known, by sorting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray


@dataclass(frozen=True)
class Risk:
    """How much the dearest scenarios count.

    Attributes
    ----------
    weight
        λ, from 0 to 1: share of the objective that is CVaR; the rest is the mean.
    level
        β, from 0 to below 1: share of the probability that is not among the dearest scenarios.

    Raises
    ------
    UsageError
        A number is out of range.
    """

    weight: float = 0.0
    level: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise UsageError(f"The weight of the risk is {self.weight:g}; allowed: 0 to 1.")
        if not 0 <= self.level < 1:
            raise UsageError(f"The level of the risk is {self.level:g}; allowed: 0 to below 1.")

    def measure(self, costs: FloatArray, probabilities: FloatArray) -> float:
        """(1 - λ) mean + λ CVaR of scenario costs; both arrays of shape (K,)."""
        mean = float(costs @ probabilities)
        if self.weight == 0:
            return mean
        return (1 - self.weight) * mean + self.weight * cvar(costs, probabilities, self.level)


#: Only the mean counts.
NEUTRAL = Risk()


def cvar(costs: FloatArray, probabilities: FloatArray, level: float) -> float:
    """Mean cost of the dearest scenarios, of probability 1 - level in all.

    Parameters
    ----------
    costs, probabilities
        By scenario, shape (K,); the probabilities add up to 1.
    level
        From 0 (the mean) to below 1.

    Returns
    -------
    float
        In the unit of the costs.
    """
    order = np.argsort(costs)[::-1]
    before = np.cumsum(probabilities[order]) - probabilities[order]
    share = np.clip(1 - level - before, 0.0, probabilities[order])
    # An infinite cost with no share in the tail must not make it NaN.
    counted = share > 0
    return float(costs[order][counted] @ share[counted]) / float(share.sum())
