"""Policies that need no threshold: agnostic baselines, lowest slots, CarbonScaler, rolling plans.

=========================  =======================================================================
policy                     what it does
=========================  =======================================================================
`RunNow`                   full rate from arrival until the work is done
`DeadlineAware`            one constant rate that just meets the deadline
`BaseScale`                the smallest level from arrival until the work is done
`RandomSlots`              full rate in randomly drawn slots
`StaticScale`              the best fixed level in its cleanest forecast slots
`SuspendResumeThreshold`   smallest level while the carbon intensity is below a percentile
`SuspendResumeDeadline`    smallest level in the cleanest forecast slots, planned at arrival
`LowestSlots`              full rate in the cleanest slots of the newest forecast
`CarbonScaler`             greedy scaling plan, made again when the forecast or the progress errs
`RecedingHorizon`          the optimum for the newest forecast, switching included; first slot run
=========================  =======================================================================

Sources: the baselines and CarbonScaler are those of Hanafy et al., "CarbonScaler" (2023); the
random baseline is that of Lechowicz et al., "Online Conversion with Switching Costs" (2023). The
duty to meet the deadline (`optmodels.scaling.job.job_policy`) is added by us to all of them.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.scaling.job.greedy import greedy_increments
from optmodels.scaling.job.job_policy import JobPolicy, ahead, intensity
from optmodels.scaling.job.receding import first_servers


class RunNow(JobPolicy):
    """Full rate from arrival until the work is done.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(1) per slot.
    - Reference: the carbon-agnostic baseline of Hanafy et al., "CarbonScaler" (2023), arXiv
      2302.08681.
    """

    name = "run-now"
    summary = "full rate from arrival until done"

    def wish(self, observation: Observation) -> float:
        """All servers that are allowed."""
        return self.header.cap


class DeadlineAware(JobPolicy):
    """One constant rate that just meets the deadline of the longest possible job.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(log K) per slot, K levels.
    - Reference: baseline; ours in this form.
    """

    name = "deadline-aware"
    summary = "constant rate that just meets the deadline"

    def wish(self, observation: Observation) -> float:
        """Servers for an equal part of the work in every slot."""
        return self.header.profile.servers_for(self.longest / self.header.slots)


class BaseScale(JobPolicy):
    """The smallest level from arrival until the work is done.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(1) per slot.
    - Reference: baseline of Hanafy et al., "CarbonScaler" (2023), arXiv 2302.08681.
    """

    name = "base-scale"
    summary = "smallest level of the profile from arrival until done"

    def wish(self, observation: Observation) -> float:
        """Servers of the smallest level."""
        return float(self.header.profile.servers[1])


class RandomSlots(JobPolicy):
    """Full rate in randomly drawn slots, as many as the job needs.

    Parameters
    ----------
    seed
        Seed of the draw.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(T) once, T slots, then O(1) per slot.
    - Reference: baseline of Lechowicz et al., "Online Conversion with Switching Costs", arXiv
      2310.20598.
    """

    name = "random-slots"
    summary = "full rate in randomly drawn slots"
    randomised = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def start(self) -> None:
        """Draw the slots."""
        slots = self.header.slots
        count = min(math.ceil(self.longest / self.full_work - 1e-9), slots)
        self._chosen = np.zeros(slots, dtype=bool)
        rng = np.random.default_rng(self.seed)
        self._chosen[rng.choice(slots, count, replace=False)] = True

    def wish(self, observation: Observation) -> float:
        """All servers in a drawn slot, none elsewhere."""
        return self.header.cap if self._chosen[observation.slot] else 0.0


class SuspendResumeThreshold(JobPolicy):
    """The smallest level while the carbon intensity is below a percentile of the history.

    Without a history the same share of the window of possible intensities serves as threshold.

    Parameters
    ----------
    percentile
        Percentile of the history below which the job runs, 0 to 100.

    Notes
    -----
    - Assumptions: a history, or the window of carbon intensities.
    - Proven ratio: none.
    - Complexity: O(1) per slot after one percentile of the history.
    - Reference: baseline of Hanafy et al., "CarbonScaler" (2023), arXiv 2302.08681.
    """

    name = "suspend-resume-threshold"
    summary = "smallest level below the 25th percentile of the history"

    def __init__(self, percentile: float = 25.0) -> None:
        if not 0 <= percentile <= 100:
            raise UsageError(f"The percentile is {percentile:g}; allowed: 0 to 100.")
        self.percentile = percentile

    def start(self) -> None:
        """Set the threshold."""
        history, window = self.header.history, self.header.window
        if history.size:
            self._threshold = float(np.percentile(history, self.percentile))
        elif window is not None:
            self._threshold = window[0] + (window[1] - window[0]) * self.percentile / 100
        else:
            raise UsageError(_needs_history(self.name))

    def wish(self, observation: Observation) -> float:
        """Servers of the smallest level if it is clean enough, else none."""
        clean = intensity(observation) <= self._threshold
        return float(self.header.profile.servers[1]) if clean else 0.0


class PlannedPolicy(JobPolicy):
    """Base of policies that plan from a forecast at arrival and follow the plan."""

    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})

    def start(self) -> None:
        """Forget the plan of the last run."""
        self._plan: FloatArray | None = None

    def plan(self, observation: Observation) -> FloatArray:
        """Servers for each slot of the horizon, made in the first slot."""
        raise NotImplementedError

    def wish(self, observation: Observation) -> float:
        """Servers that the plan has for this slot."""
        if self._plan is None:
            self._plan = self.plan(observation)
        return float(self._plan[observation.slot])


class StaticScale(PlannedPolicy):
    """One fixed level in its cleanest forecast slots.

    Parameters
    ----------
    level
        Number of the level from 1; by default the one with the least carbon by the forecast.

    Notes
    -----
    - Assumptions: a forecast at arrival.
    - Proven ratio: none.
    - Complexity: O(K T log T) once, T slots and K levels.
    - Reference: baseline of Hanafy et al., "CarbonScaler" (2023), arXiv 2302.08681.
    """

    name = "static-scale"
    summary = "best fixed level in its cleanest forecast slots"

    def __init__(self, level: int | None = None) -> None:
        self.level = level

    def plan(self, observation: Observation) -> FloatArray:
        """Plan of the least carbon over the levels that meet the deadline."""
        header, carbon = self.header, ahead(observation)
        profile = header.profile
        levels = range(1, profile.servers.size) if self.level is None else [self.level]
        best, least = np.full(carbon.size, header.cap), math.inf
        for level in levels:
            if not 0 < level < profile.servers.size:
                allowed = f"1 to {profile.servers.size - 1}"
                raise UsageError(f"The level of static-scale is {level}; allowed: {allowed}.")
            servers = min(float(profile.servers[level]), header.cap)
            slots = cleanest(carbon, self.left(observation) / profile.work_at(servers))
            if slots is None:
                continue
            # Interpolating the power is exact: it is what a mix of two levels draws.
            power = float(np.interp(servers, profile.servers, profile.power_kw))
            emitted = power * float(slots @ carbon)
            if emitted < least:
                best, least = servers * slots, emitted
        return best


class SuspendResumeDeadline(PlannedPolicy):
    """The smallest level in the cleanest forecast slots, planned at arrival.

    Notes
    -----
    - Assumptions: a forecast at arrival.
    - Proven ratio: none.
    - Complexity: O(T log T) once, T slots.
    - Reference: baseline of Hanafy et al., "CarbonScaler" (2023), arXiv 2302.08681.
    """

    name = "suspend-resume-deadline"
    summary = "smallest level in the cleanest forecast slots, planned at arrival"

    def plan(self, observation: Observation) -> FloatArray:
        """Smallest level in the cleanest slots; full rate throughout where that is too slow."""
        header, carbon = self.header, ahead(observation)
        servers = min(float(header.profile.servers[1]), header.cap)
        slots = cleanest(carbon, self.left(observation) / header.profile.work_at(servers))
        return np.full(carbon.size, header.cap) if slots is None else servers * slots


class LowestSlots(JobPolicy):
    """Full rate in the cleanest slots of the newest forecast, planned again in every slot.

    Notes
    -----
    - Assumptions: a forecast.
    - Proven ratio: none online; what it plans at full rate is the best such plan for the forecast
      where switching is free.
    - Complexity: O(T log T) per slot, T slots to the deadline.
    - Reference: after Wiesner et al., "Let's Wait Awhile" (Middleware 2021).
    """

    name = "lowest-slots"
    summary = "full rate in the cleanest slots of the newest forecast"
    needs = frozenset({"forecast"})

    def wish(self, observation: Observation) -> float:
        """All servers if this slot is among the cleanest for the work that is left."""
        slots = cleanest(ahead(observation), self.left(observation) / self.full_work)
        return self.header.cap * (1.0 if slots is None else float(slots[0]))


class CarbonScaler(JobPolicy):
    """CarbonScaler: a greedy scaling plan, made again when reality strays from it.

    Parameters
    ----------
    tolerance
        Relative error of the carbon of a slot, or of the progress, beyond which the rest of the
        job is planned again with the newest forecast (5 % in the paper).

    Notes
    -----
    - Assumptions: a forecast; only levels on the concave hull of the profile.
    - Proven ratio: none online; each plan is the cheapest for its forecast where switching is free.
    - Complexity: O(T K log(T K)) per plan, T slots and K levels.
    - Reference: Hanafy et al., "CarbonScaler" (2023), arXiv 2302.08681.
    """

    name = "carbonscaler"
    summary = "greedy marginal throughput per carbon; plans again on 5 % error"
    needs = frozenset({"forecast"})

    def __init__(self, tolerance: float = 0.05) -> None:
        if not tolerance >= 0:
            raise UsageError(f"The tolerance is {tolerance:g}; allowed: at least 0.")
        self.tolerance = tolerance

    def start(self) -> None:
        """Forget the plan of the last run."""
        self._plan: FloatArray | None = None
        self._expected: FloatArray | None = None
        self._done: FloatArray | None = None

    def wish(self, observation: Observation) -> float:
        """Servers that the newest plan has for this slot."""
        if self._plan is None or self._strayed(observation):
            self._replan(observation)
        assert self._plan is not None
        return float(self._plan[observation.slot])

    def _strayed(self, observation: Observation) -> bool:
        assert self._expected is not None
        assert self._done is not None
        slot = observation.slot
        error = abs(intensity(observation) - self._expected[slot])
        behind = abs(observation.state.work_done - self._done[slot])
        return bool(
            error > self.tolerance * self._expected[slot] or behind > self.tolerance * self.longest
        )

    def _replan(self, observation: Observation) -> None:
        header, slot = self.header, observation.slot
        profile = header.profile.up_to(header.cap)
        carbon = ahead(observation)
        most = carbon.size * float(profile.throughput[-1])
        shares = greedy_increments(
            carbon,
            profile.servers,
            profile.throughput,
            profile.power_kw,
            min(self.left(observation), most),
        )
        self._plan = np.concatenate([np.zeros(slot), shares @ profile.servers])
        self._expected = np.concatenate([np.zeros(slot), carbon])
        work = np.cumsum(shares @ profile.throughput)
        before = np.concatenate([[0.0], work[:-1]]) + observation.state.work_done
        self._done = np.concatenate([np.zeros(slot), before])


class RecedingHorizon(JobPolicy):
    """The optimal plan for the newest forecast, switching included; only its first slot is run.

    Notes
    -----
    - Assumptions: a forecast.
    - Proven ratio: none online; each plan is the optimum for its forecast, switching included.
    - Complexity: O(T log T) per slot where work is linear in servers, else one exact search over
      levels.
    - Reference: ours.
    """

    name = "receding-horizon"
    summary = "optimum of the newest forecast in every slot, first slot run"
    needs = frozenset({"forecast"})

    def wish(self, observation: Observation) -> float:
        """Servers that the optimal plan from here on has for this slot."""
        header = self.header
        return first_servers(
            ahead(observation) * header.slot_hours,
            header.profile,
            switching_g=header.switching_g,
            work=self.left(observation),
            cap=header.cap,
            running=observation.state.servers,
        )


def cleanest(carbon: FloatArray, count: float) -> FloatArray | None:
    """Use of each slot when `count` slots, the last one in part, are the cleanest ones.

    Parameters
    ----------
    carbon
        Carbon intensity of each slot.
    count
        Number of slots to use, not necessarily whole.

    Returns
    -------
    FloatArray or None
        1 for a slot in use, the fraction for the last one, else 0, earlier slots first among
        equals; None if there are not enough slots.
    """
    if count > carbon.size * (1 + 1e-12):
        return None
    use = np.zeros(carbon.size)
    order = np.argsort(carbon, kind="stable")
    use[order] = np.clip(count - np.arange(carbon.size), 0.0, 1.0)
    return use


def _needs_history(name: str) -> str:
    return (
        f"The policy '{name}' needs the carbon intensity of the past or its window. Fix: give the "
        "instance a table 'history', or carbon_lower_g_per_kwh and carbon_upper_g_per_kwh."
    )
