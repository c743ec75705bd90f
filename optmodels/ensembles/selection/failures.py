"""Which servers fail together, and how likely that is.

Servers fail independently of each other, each with its own probability, or in *scenarios* that are
given: at most one of them happens, and what is missing from a sum of one is the probability that
nothing fails. Whoever uses only some servers needs to know only which of these are alive: the
probability of every such pattern follows by summing over the others, so that an ensemble on three
of twenty servers has eight patterns and not a million.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optmodels.policy import FloatArray

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Failures:
    """Which servers fail.

    Attributes
    ----------
    probability
        Probability by server that it fails, where servers are independent of each other.
    scenarios
        (scenarios, servers): whether a server fails in a scenario; None where servers are
        independent.
    scenario_probability
        Probability by scenario; they sum to one at most. None where servers are independent.
    """

    probability: FloatArray
    scenarios: BoolArray | None = None
    scenario_probability: FloatArray | None = None

    def alive(self, servers: tuple[int, ...]) -> FloatArray:
        """Probability of every pattern of live servers, (2 ** len(servers),).

        Bit j of the position is set where ``servers[j]`` is alive. The sum is one.
        """
        positions = np.arange(2 ** len(servers))
        if self.scenarios is None or self.scenario_probability is None:
            found = np.ones(len(positions))
            for j, server in enumerate(servers):
                q = float(self.probability[server])
                found *= np.where(positions >> j & 1, 1 - q, q)
            return found
        down = self.scenarios[:, list(servers)].astype(np.int64) @ (1 << np.arange(len(servers)))
        everybody = len(positions) - 1
        found = np.zeros(len(positions))
        np.add.at(found, everybody - down, self.scenario_probability)
        found[everybody] += max(0.0, 1 - float(np.sum(self.scenario_probability)))
        return found

    def failing(self, server: int) -> float:
        """Probability that this server fails."""
        return float(self.alive((server,))[0])
