"""Simple policies for the tests of the environment: one that does nothing, one that just fits."""

from __future__ import annotations

from typing import Any

import numpy as np

from optmodels.policy import Observation, Policy
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.replay import RoutingHeader


class Nothing(Policy):
    """Loses every request."""

    name = "nothing"

    def reset(self, header: RoutingHeader) -> None:
        """Remember the shapes."""
        self.header = header

    def decide(self, observation: Observation) -> Dispatch:
        """Zeros."""
        return nothing(self.header)


class Greedy(Nothing):
    """At the start of a slot one degree fills all sites; then row by row as much as fits.

    Classes and rows are taken in their order and every request goes the nearest way that keeps its
    limits.
    """

    name = "greedy"
    degree = 0

    def decide(self, observation: Observation) -> Dispatch:
        """Fill row by row."""
        head, state = self.header, observation.state
        plan = nothing(head)
        size = head.profile.degrees[self.degree]
        if state.slot_starts:
            # Every second slot half of the sites, so that instances come and go.
            share = 1 + state.slot % 2
            plan.configured[:, self.degree] = head.gpus // size // share
        else:
            plan.configured[:] = state.configured
        power = observation.past["power_kw"][-1] + head.backup_kw
        if head.idle_kw:
            # What cannot be kept warm is given up.
            warm = (power / (head.idle_kw * size)).astype(np.int64)
            np.minimum(plan.configured, warm[:, None], out=plan.configured)
        effective = state.loading.after(plan.configured)[0][:, self.degree].copy()
        free = plan.configured[:, self.degree].copy()
        power = power - head.idle_kw * size * free
        left = observation.past["demand"][-1].copy()
        for r in np.flatnonzero(head.profile.degree_of == self.degree):
            extra = head.profile.kw[r] - head.idle_kw * size
            for o, s in np.argwhere(head.arcs[:, :, r]):
                c, rate = head.profile.row_class[r], head.profile.rate[r]
                fits = power[s] // extra if extra > 0 else free[s]
                count = int(min(free[s], fits, np.ceil(left[o, c] / rate)))
                if count <= 0 or effective[s] <= 0:
                    continue
                flow = min(left[o, c], rate * min(count, effective[s]))
                plan.running[s, r] += count
                plan.flow[o, s, r] += flow
                free[s] -= count
                effective[s] -= flow / rate
                power[s] -= extra * count
                left[o, c] -= flow
        return plan


def nothing(header: RoutingHeader) -> Dispatch:
    """A dispatch of zeros, to be filled."""
    o, s, r = header.arcs.shape
    return Dispatch(
        np.zeros((s, len(header.profile.degrees)), dtype=np.int64),
        np.zeros((s, r), dtype=np.int64),
        np.zeros((o, s, r)),
    )


def run(instance: Any, policy: Policy, forecast: Any = None) -> Any:
    """Environment after a whole replay."""
    from optmodels.policy import replay
    from optmodels.routing.sites.replay import RoutingEnvironment

    environment = RoutingEnvironment(instance, forecast=forecast)
    replay(environment, policy)
    return environment
