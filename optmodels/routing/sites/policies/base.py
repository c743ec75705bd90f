"""What all routing policies share: what they see, and when they plan."""

from __future__ import annotations

from abc import abstractmethod

from optmodels.policy import FloatArray, Observation, Policy
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.policies.least_power import shed
from optmodels.routing.sites.profile import IntArray
from optmodels.routing.sites.replay import DEMAND, POWER, RoutingHeader


class RoutingPolicy(Policy):
    """Base of the policies of this problem.

    At the start of a slot `plan` is asked what should be configured; in every period `dispatch`
    says what runs and where requests go. Subclasses implement both, and `start` if needed.
    """

    header: RoutingHeader

    def reset(self, header: RoutingHeader) -> None:
        """Start a new run."""
        self.header = header
        self.start()

    def start(self) -> None:
        """Prepare for a new run; `header` is set."""
        return

    def decide(self, observation: Observation) -> Dispatch:
        """Plan at the start of a slot, dispatch in every period."""
        if observation.state.slot_starts:
            self.plan(observation)
        return self.dispatch(observation)

    @abstractmethod
    def plan(self, observation: Observation) -> None:
        """Choose what is configured in the slot that starts."""

    @abstractmethod
    def dispatch(self, observation: Observation) -> Dispatch:
        """Choose settings and flows of the period that starts."""

    def limit_kw(self, observation: Observation) -> FloatArray:
        """Power that each site may draw in this period [kW], shape (S,): wind and grid."""
        limit: FloatArray = observation.past[POWER][-1] + self.header.backup_kw
        return limit

    def demand(self, observation: Observation) -> FloatArray:
        """Requests that arrive in this period [1/s], shape (O, C)."""
        now: FloatArray = observation.past[DEMAND][-1]
        return now

    def relief(self, site: int, running: IntArray, limit_kw: float) -> IntArray:
        """Servers of a site that go on when its power falls within a period, shape (R,).

        What the site does by itself, before anybody decides anew; by default it switches instances
        off, all rows in proportion (`optmodels.routing.sites.simulation`).
        """
        return shed(running, self.header.profile.kw, limit_kw)
