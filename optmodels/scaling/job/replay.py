"""One run of an elastic job under a policy, slot by slot.

The environment tells the policy what is known in advance (`JobHeader`), reveals the carbon
intensity of each slot when the slot starts, carries out the answer (an average number of servers),
and cuts the last slot off where the work is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd

from optmodels.errors import UsageError, shorten
from optmodels.forecast import Forecast
from optmodels.policy import FloatArray, Observation, Reveal
from optmodels.scaling.job.audit import tables_of
from optmodels.scaling.job.instance import JobInstance, UnitScale
from optmodels.scaling.job.profile import ScalingProfile

SERIES = "carbon_g_per_kwh"
_SLACK = 1e-9


@dataclass(frozen=True)
class JobHeader:
    """What a policy is told before the first slot.

    Attributes
    ----------
    slots, slot_hours, start
        Horizon: number of slots, their length [h], the start of the first.
    profile, cap, switching_g, unit
        Levels, largest number of servers, cost per switched server [g], and the job in units of
        its full rate.
    window
        Carbon intensities (L, U) [g/kWh] to be assumed, or None.
    history
        Carbon intensity before the first slot [g/kWh].
    work
        The true work; None while it is hidden and not granted.
    work_min, work_max, work_predicted
        Bounds and prediction; with a known work all three are equal to it.
    """

    slots: int
    slot_hours: float
    start: pd.Timestamp
    profile: ScalingProfile
    cap: float
    switching_g: float
    unit: UnitScale
    window: tuple[float, float] | None
    history: FloatArray
    work: float | None
    work_min: float
    work_max: float
    work_predicted: float


@dataclass(frozen=True)
class JobState:
    """How far the job has come.

    Attributes
    ----------
    work_done
        Work done so far, in the unit of the work.
    servers
        Average number of servers in the slot before.
    """

    work_done: float
    servers: float


class JobEnvironment:
    """One replay of a job.

    Parameters
    ----------
    instance
        The question.
    granted
        What the policy is granted beyond header and past ("length").
    forecast
        Source of the forecast in each observation, or None.
    """

    def __init__(
        self,
        instance: JobInstance,
        granted: frozenset[str] = frozenset(),
        forecast: Forecast | None = None,
    ) -> None:
        self.instance = instance
        self.header = header_of(instance, reveal_length="length" in granted)
        self._forecast = forecast
        self._carbon = Reveal(instance.carbon, instance.history)
        self._times = instance.times
        self._profile = instance.profile
        self._work = float(instance.parameters.work)
        self._done = 0.0
        self._servers = 0.0
        self._slot = 0
        self.shares = np.zeros((instance.slots, self._profile.servers.size))

    def observe(self) -> Observation | None:
        """What the policy may see now; None after the deadline or once the work is done."""
        if self._over:
            return None
        seen = self._carbon.with_history(self._slot)
        return Observation(
            slot=self._slot,
            time=self._times[self._slot],
            past={SERIES: self._carbon.up_to(self._slot)},
            state=JobState(self._done, self._servers),
            forecast=None if self._forecast is None else self._forecast.at(self._slot, seen),
        )

    @property
    def _over(self) -> bool:
        return self._slot >= self.header.slots or self._done >= self._work

    def act(self, action: object) -> None:
        """Run this average number of servers through the slot, or until the work is done.

        Raises
        ------
        UsageError
            The answer is not a number, is not finite, negative, or above the rate cap, or there
            is nothing left to decide.
        """
        if self._over:
            raise UsageError("A policy went on after the end of its job; nothing is left to do.")
        if not isinstance(action, Real):
            raise UsageError(
                f"In slot {self._slot} a policy answered {shorten(action)}; allowed: a number."
            )
        cap = self.header.cap
        servers = float(action)
        if not -_SLACK * cap <= servers <= cap * (1 + _SLACK):
            raise UsageError(
                f"In slot {self._slot} a policy asked for {servers:g} servers; "
                f"allowed: 0 to {cap:g}."
            )
        mix = self._profile.mix(min(max(servers, 0.0), cap))
        work = float(mix @ self._profile.throughput)
        left = self._work - self._done
        # Within rounding of the end the slot counts as the last one, and the work as done.
        if work >= left * (1 - 1e-12):
            mix = mix * (left / work)
            self._done = self._work
        else:
            self._done += work
        self.shares[self._slot] = mix
        self._servers = float(mix @ self._profile.servers)
        self._slot += 1


def header_of(instance: JobInstance, *, reveal_length: bool) -> JobHeader:
    """What a policy is told before the first slot."""
    p = instance.parameters
    known = reveal_length or not instance.length_hidden
    low, high = (p.work, p.work) if known else (p.work_min, p.work_max)
    predicted = p.work if known else p.work_predicted
    return JobHeader(
        slots=instance.slots,
        slot_hours=instance.slot_hours,
        start=instance.times[0],
        profile=instance.profile,
        cap=instance.cap,
        switching_g=float(p.switching_g),
        unit=instance.unit,
        window=instance.window,
        history=instance.history,
        work=float(p.work) if known else None,
        work_min=float(low),
        work_max=float(high),
        work_predicted=float(high if predicted is None else predicted),
    )


def decisions(environment: JobEnvironment) -> dict[str, pd.DataFrame]:
    """Tables of the plan that a replay has made."""
    return tables_of(environment.instance, environment.shares)
