"""Policies that shift jobs but do not scale them: each runs on its fewest servers or not at all.

================  ==============================================================================
policy            when a job runs
================  ==============================================================================
`Fcfs`            from its arrival on, first come first served
`LowestWindow`    from the start whose window of the mean length is forecast to be the cleanest
`LowestSlot`      from the start whose first slot is forecast to be the cleanest
`CarbonTime`      from the start that saves the most carbon per slot until the expected end
`WaitAwhile`      in slots cleaner than most of the day ahead, paused in the others
`Ecovisor`        in slots cleaner than most of the day after its arrival, paused in the others
================  ==============================================================================

Sources: the three policies that choose a start are those of Hanafy et al., "Going Green for Less
Green" (ASPLOS 2024; GAIA), which know of a job only the mean length of its queue. Wait Awhile goes
back to Wiesner et al., "Let's Wait Awhile" (Middleware 2021), Ecovisor to Souza et al., "Ecovisor"
(ASPLOS 2023), both in the threshold form in which Hanafy et al., "CarbonFlex" (2025) and GAIA
compare against them.

Ours is what the papers leave open, and the same for all: the earliest of equally clean starts;
jobs that run before jobs that wait, older before younger; and a job that does not fit into what is
left is passed over by smaller ones until it has used up its delay, then nobody overtakes it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.cluster_policy import (
    ClusterPolicy,
    ahead,
    carried_over,
    grant,
    intensity,
)
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.replay import ClusterState

#: Share of the slots of a day, in percent, that count as clean (CarbonFlex, GAIA).
CLEAN_PERCENTILE = 30.0
#: Sums over windows that differ by less, relative to the largest, are equal.
_ROUNDING = 1e-9


class Fcfs(ClusterPolicy):
    """First come first served, whatever the carbon: the baseline of all savings.

    A job starts at its arrival and runs to its end; it waits only while the cluster is full.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(J log J) per slot, J jobs in the system.
    - Reference: baseline of Hanafy et al., "Going Green for Less Green" (ASPLOS 2024; GAIA).
    """

    name = "fcfs"
    summary = "fewest servers from arrival until done, first come first served"

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state: ClusterState = observation.state
        order = np.argsort(state.servers == 0, kind="stable")
        return grant(order, self.fewest(state), self.header.capacity, self.overdue(state))


class StartPolicy(ClusterPolicy):
    """Base of the policies that choose a start at arrival and never pause (GAIA).

    From its start on a job runs as soon as it fits, until it is done. The start is at most the
    delay of the queue away. Where the forecast ends before the window of a start does, that start
    is left out.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})

    def start(self) -> None:
        """Forget the jobs of the last run."""
        self._job = self._begin = np.empty(0, dtype=np.int64)

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state: ClusterState = observation.state
        kept = carried_over(self._job, state.job)
        arrived = state.queue[len(kept) :]
        begin = np.zeros(len(self.header.queues.names), dtype=np.int64)
        for queue in np.unique(arrived).tolist():
            begin[queue] = observation.slot + self._wait(observation, queue)
        self._job, self._begin = state.job, np.append(self._begin[kept], begin[arrived])
        wish = np.where(self._begin <= observation.slot, self.fewest(state), 0)
        order = self.turns(state, pausing=False)
        return grant(order, wish, self.header.capacity, self.overdue(state))

    def _wait(self, observation: Observation, queue: int) -> int:
        """Slots that a job of this queue waits that arrives now."""
        queues = self.header.queues
        delay, length = int(queues.delay[queue]), float(queues.mean_length[queue])
        known = ahead(observation, delay + int(np.ceil(length)))
        sums = window_sums(known, length)[: delay + 1]
        return self.choose(known[: len(sums)], sums, length) if len(sums) else 0

    @abstractmethod
    def choose(self, slot: FloatArray, window: FloatArray, length: float) -> int:
        """Number of slots to wait.

        Parameters
        ----------
        slot
            Forecast carbon intensity of the first slot of each possible start [g/kWh].
        window
            Its sum over the mean length from each possible start on [g/kWh · slots].
        length
            Mean length of the queue [slots].
        """


class LowestWindow(StartPolicy):
    """GAIA's Lowest-Window: the start with the least forecast carbon over the mean length.

    Notes
    -----
    - Assumptions: a day of forecast, the mean length of each queue.
    - Proven ratio: none.
    - Complexity: O(D) per arrival for a delay of D slots, O(J log J) per slot, J jobs in the
      system.
    - Reference: Hanafy et al., "Going Green for Less Green" (ASPLOS 2024; GAIA).
    """

    name = "lowest-window"
    summary = "starts where the mean length of the queue is forecast to emit the least"

    def choose(self, slot: FloatArray, window: FloatArray, length: float) -> int:
        """Start of the cleanest window."""
        return _first_highest(-window, float(window.max()))


class LowestSlot(StartPolicy):
    """GAIA's Lowest-Slot: the start in the cleanest slot, whatever follows it.

    Notes
    -----
    - Assumptions: a day of forecast.
    - Proven ratio: none.
    - Complexity: O(D) per arrival for a delay of D slots, O(J log J) per slot, J jobs in the
      system.
    - Reference: Hanafy et al., "Going Green for Less Green" (ASPLOS 2024; GAIA).
    """

    name = "lowest-slot"
    summary = "starts in the slot that is forecast to be the cleanest"

    def choose(self, slot: FloatArray, window: FloatArray, length: float) -> int:
        """The cleanest slot."""
        return int(np.argmin(slot))


class CarbonTime(StartPolicy):
    """GAIA's Carbon-Time: the most carbon saved per slot between arrival and expected end.

    Waiting s slots saves window[0] - window[s] and ends s + length slots after arrival.

    Notes
    -----
    - Assumptions: a day of forecast, the mean length of each queue.
    - Proven ratio: none.
    - Complexity: O(D) per arrival for a delay of D slots, O(J log J) per slot, J jobs in the
      system.
    - Reference: Hanafy et al., "Going Green for Less Green" (ASPLOS 2024; GAIA).
    """

    name = "carbon-time"
    summary = "starts where the forecast saving per slot until the end is the highest"

    def choose(self, slot: FloatArray, window: FloatArray, length: float) -> int:
        """Start of the highest saving per slot; now, where nothing is saved."""
        saved = (window[0] - window) / (np.arange(len(window)) + length)
        return _first_highest(saved, float(window.max()) / length)


class ThresholdPolicy(ClusterPolicy):
    """Base of the policies that run a job in clean slots and pause it in the others.

    A job that has used up its delay runs to its end.

    Parameters
    ----------
    percentile
        Slots below this percentile of a day's carbon intensity are clean, 0 to 100.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})

    def __init__(self, percentile: float = CLEAN_PERCENTILE) -> None:
        if not 0 <= percentile <= 100:
            raise UsageError(f"The percentile is {percentile:g}; allowed: 0 to 100.")
        self.percentile = percentile

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state: ClusterState = observation.state
        overdue = self.overdue(state)
        wish = np.where(self._clean(observation) | overdue, self.fewest(state), 0)
        return grant(self.turns(state), wish, self.header.capacity, overdue)

    def _day_threshold(self, observation: Observation) -> float:
        """Carbon intensity below which a slot is clean for the day from now on [g/kWh]."""
        return float(np.percentile(ahead(observation, self.header.slots_per_day), self.percentile))

    @abstractmethod
    def _clean(self, observation: Observation) -> NDArray[np.bool_] | np.bool_:
        """Whether this slot is clean, for each job or for all."""


class WaitAwhile(ThresholdPolicy):
    """Wait Awhile with a threshold: runs in slots cleaner than most of the 24 hours ahead.

    The threshold follows the forecast: it is taken anew in every slot.

    Notes
    -----
    - Assumptions: a day of forecast.
    - Proven ratio: none.
    - Complexity: O(J log J) per slot, J jobs in the system.
    - Reference: Wiesner et al., "Let's Wait Awhile" (Middleware 2021), as in CarbonFlex, arXiv
      2505.18357.
    """

    name = "wait-awhile"
    summary = "runs below the 30th percentile of the next 24 h, pauses otherwise"

    def _clean(self, observation: Observation) -> np.bool_:
        return np.bool_(intensity(observation) < self._day_threshold(observation))


class Ecovisor(ThresholdPolicy):
    """Ecovisor's threshold as in GAIA's code: fixed for each job when it arrives.

    Notes
    -----
    - Assumptions: a day of forecast.
    - Proven ratio: none.
    - Complexity: O(J log J) per slot, J jobs in the system.
    - Reference: Souza et al., "Ecovisor" (ASPLOS 2023), as in Hanafy et al., "Going Green for Less
      Green" (ASPLOS 2024; GAIA).
    """

    name = "ecovisor"
    summary = "runs below the 30th percentile of the 24 h after arrival, pauses otherwise"

    def start(self) -> None:
        """Forget the jobs of the last run."""
        self._job, self._threshold = np.empty(0, dtype=np.int64), np.empty(0)

    def _clean(self, observation: Observation) -> NDArray[np.bool_]:
        now = observation.state.job
        kept = carried_over(self._job, now)
        new = len(now) - len(kept)
        thresholds = [self._threshold[kept]]
        if new:
            thresholds.append(np.full(new, self._day_threshold(observation)))
        self._job, self._threshold = now, np.concatenate(thresholds)
        return intensity(observation) < self._threshold


def window_sums(values: FloatArray, length: float) -> FloatArray:
    """Sums over windows of this length, the last slot in part; one per start that fits whole.

    Parameters
    ----------
    values
        One value per slot.
    length
        Length of a window [slots].
    """
    whole, part = int(length), length - int(length)
    before = np.concatenate([[0.0], np.cumsum(values)])
    starts = max(0, len(values) - int(np.ceil(length)) + 1)
    sums: FloatArray = before[whole : whole + starts] - before[:starts]
    if part > 0:
        sums = sums + part * values[whole : whole + starts]
    return sums


def _first_highest(values: FloatArray, scale: float) -> int:
    """Position of the highest value; of those that only rounding sets apart, the first."""
    return int(np.argmax(values >= values.max() - _ROUNDING * scale))
