"""The scheduler of single requests: which instances does the next one go to.

The planners say how much flow goes from an origin to each pool (the instances of a site that run a
row). The scheduler turns these flows into a sequence. *Smooth weighted round robin* keeps a credit
for each pool: at every request all credits grow by their weights, the largest is chosen, and pays
the sum of all weights. In any stretch of n requests a pool then gets its share of n to within a
bounded number, and never in a burst. *Power of two choices* draws two pools by weight and takes the
one whose queue is shorter for its limit; it needs luck, but sees queues.

A pool takes a request only while its queue is shorter than its **limit**: what can still be served
in time. The paper's public text does not give it. Ours: with time ``slack = TTFT limit - TTFT of
the row - round trip`` left for waiting, an instance whose prompts are read one after the other gets
through ``floor(slack / TTFT)`` of them, and instances that serve λ requests a second each begin
``floor(slack λ n)``; the smaller of ``n floor(slack / TTFT)`` and the latter is the limit. If no
pool takes a request, it is dropped: it could only be late, and would make others late.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from optmodels.errors import UsageError

KINDS = ("round-robin", "two-choices")


def queue_limit(slack_s: float, ttft_s: float, rate: float, instances: int) -> int:
    """Requests that may wait at a pool and still get their first token in time.

    Parameters
    ----------
    slack_s
        Time that may be spent waiting: limit less the row's own time less the round trip [s].
    ttft_s
        Time to the first token of the row [s].
    rate
        Requests that an instance serves [1/s].
    instances
        Instances of the pool.
    """
    if slack_s <= 0 or instances <= 0:
        return 0
    by_rate = int(slack_s * rate * instances)
    return by_rate if ttft_s <= 0 else min(instances * int(slack_s / ttft_s), by_rate)


class Scheduler(ABC):
    """Chooses among the pools of one origin and class.

    Parameters
    ----------
    weights
        Flow to each pool; only their proportions count.

    Raises
    ------
    UsageError
        A weight is negative or not finite, or none is positive.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        values = [float(weight) for weight in weights]
        if not all(np.isfinite(values)) or min(values, default=-1.0) < 0 or not any(values):
            raise UsageError(f"Weights of pools are {values}; allowed: numbers ≥ 0, not all 0.")
        self.weights = values

    @abstractmethod
    def choose(self, queues: Sequence[int], limits: Sequence[int]) -> int | None:
        """Place of the pool that gets the next request; None where no pool takes it.

        Parameters
        ----------
        queues
            Requests that wait at each pool; -1 for one that would start a request at once.
        limits
            How many may wait there.
        """


class RoundRobin(Scheduler):
    """Smooth weighted round robin; pools that take no request keep their credit."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(weights)
        self._credit = [0.0] * len(self.weights)

    def choose(self, queues: Sequence[int], limits: Sequence[int]) -> int | None:
        """Place of the pool that gets the next request."""
        best, most, total = -1, -np.inf, 0.0
        for i, weight in enumerate(self.weights):
            if weight <= 0 or queues[i] >= limits[i]:
                continue
            self._credit[i] += weight
            total += weight
            if self._credit[i] > most:
                best, most = i, self._credit[i]
        if best < 0:
            return None
        self._credit[best] -= total
        return best


class TwoChoices(Scheduler):
    """Power of two choices: of two pools drawn by weight, the one that is less full.

    Parameters
    ----------
    weights
        Flow to each pool.
    rng
        Source of the draws.
    """

    def __init__(self, weights: Sequence[float], rng: np.random.Generator) -> None:
        super().__init__(weights)
        self._rng = rng

    def choose(self, queues: Sequence[int], limits: Sequence[int]) -> int | None:
        """Place of the pool that gets the next request."""
        open_ = [i for i, weight in enumerate(self.weights) if weight > 0 and queues[i] < limits[i]]
        if not open_:
            return None
        steps = np.cumsum([self.weights[i] for i in open_])
        drawn = np.searchsorted(steps, self._rng.random(2) * steps[-1], side="right")
        pair = [open_[min(int(k), len(open_) - 1)] for k in drawn]
        return min(pair, key=lambda i: (queues[i] + 1) / (limits[i] + 1))


def make_scheduler(kind: str, weights: Sequence[float], rng: np.random.Generator) -> Scheduler:
    """Scheduler by its name.

    Raises
    ------
    UsageError
        The name is unknown.
    """
    if kind == "round-robin":
        return RoundRobin(weights)
    if kind == "two-choices":
        return TwoChoices(weights, rng)
    raise UsageError.unknown("scheduler", kind, KINDS)
