"""What all policies of the elastic job share: wish, duty, limits.

A policy of this problem answers each slot with an average number of servers. What it would like is
its `wish`; what it must do is its duty: never leave more work than the later slots can hold of the
longest job that is still possible. The base class adds the duty, so that every policy meets every
deadline that can be met.
"""

from __future__ import annotations

from abc import abstractmethod

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation, Policy
from optmodels.scaling.job.conversion.steps import least_purchase
from optmodels.scaling.job.replay import SERIES, JobHeader

_ROUNDING = 1e-9


class JobPolicy(Policy):
    """Base of the policies of one elastic job.

    Subclasses implement `wish`, and `start` if they prepare anything before the first slot.
    """

    header: JobHeader

    def reset(self, header: JobHeader) -> None:
        """Start a new run."""
        self.header = header
        self.full_work = header.profile.work_at(header.cap)
        self.longest = header.work_max if header.work is None else header.work
        most = header.slots * self.full_work
        if self.longest > most * (1 + _ROUNDING):
            raise UsageError(
                f"The policy '{self.name}' runs on the hull of the profile only, which does at "
                f"most {most:g} units before the deadline; the job may need {self.longest:g}."
            )
        self.start()

    def start(self) -> None:
        """Prepare for a new run; `header` is set."""
        return

    @abstractmethod
    def wish(self, observation: Observation) -> float:
        """Average number of servers that the policy would like to run in this slot."""

    def decide(self, observation: Observation) -> float:
        """Average number of servers for this slot: the wish, within limits and duty."""
        cap = self.header.cap
        servers = min(max(self.wish(observation), 0.0), cap)
        left = self.longest - observation.state.work_done
        later = (self.header.slots - observation.slot - 1) * self.full_work
        duty = least_purchase(left, later, self.full_work)
        if duty > 0:
            servers = max(servers, min(self.header.profile.servers_for(duty), cap))
        return servers

    def left(self, observation: Observation) -> float:
        """Work that may still have to be done."""
        return max(self.longest - float(observation.state.work_done), 0.0)


def intensity(observation: Observation) -> float:
    """Carbon intensity of the slot that is about to start [g/kWh]."""
    return float(observation.past[SERIES][-1])


def ahead(observation: Observation) -> FloatArray:
    """Carbon intensity of this slot and, as forecast, of all later ones [g/kWh]."""
    if observation.forecast is None:
        raise ValueError("this policy was replayed without the forecast that it needs")
    return observation.forecast
