"""CarbonFlex: provision and schedule as an oracle did in similar states of the past.

In each slot the policy looks up what an oracle did in the states most like the present one
(`cases`), provisions as many servers (`provisioning`) and hands them out by marginal throughput
and slack (`schedule`). It learns before the run from the earlier time that the header brings, and
during the run from the run itself, as far as it is over (`lessons`, `history`).

Source: Hanafy et al., "CarbonFlex: Enabling Carbon-aware Provisioning and Scheduling for Cloud
Clusters" (arXiv 2505.18357).
"""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy, ahead
from optmodels.scaling.cluster.instance import IntArray
from optmodels.scaling.cluster.learning.cases import CaseBase, Cases, together
from optmodels.scaling.cluster.learning.features import elasticity_of, features
from optmodels.scaling.cluster.learning.history import History, windows_of
from optmodels.scaling.cluster.learning.lessons import lessons
from optmodels.scaling.cluster.learning.provisioning import Provision, provision
from optmodels.scaling.cluster.learning.schedule import Ladder, schedule
from optmodels.scaling.cluster.replay import SERIES, ClusterState, Finished

#: A job that is later by less, in slots, is in time.
_ROUNDING = 1e-9


class CarbonFlex(ClusterPolicy):
    """Servers and levels as an oracle chose them in the most similar states of the past.

    An instance without an earlier time gives nothing to learn from before the run. Until the run
    itself has, all servers are provisioned and every level may be served: work is done as soon as
    it can be, whatever the carbon.

    Parameters
    ----------
    neighbours
        k: cases that a state is compared with; 5 in the paper.
    tolerance
        ε: violation of the delay, relative to it, up to which nothing is done about it; not given
        in the paper.
    far_percentile
        Percentile of the distances between cases and their neighbours beyond which a state counts
        as unfamiliar (δ); not given in the paper.
    window_days
        Days that the oracle replays at a time; 7 in the paper.
    starts
        Number of times at which the carbon of a window of the earlier time is started, the true
        one included; "several" in the paper.
    run_starts
        The same for windows of the run.
    memory_days
        Age at which cases are forgotten when newer ones come; not given in the paper.
    learn_every_days
        Days between two lessons from the run; 1 in the paper. A replay spends most of its time on
        lessons; each replays a window `run_starts` times.

    Attributes
    ----------
    base
        What has been learned so far in the run; None before the first lesson.

    Notes
    -----
    - Assumptions: an earlier time to learn from, whose states come back.
    - Proven ratio: none.
    - Complexity: per slot one search among the cases and O(J K log(J K)), K levels and J jobs in
      the system; per lesson one greedy plan of a window.
    - Reference: Hanafy et al., "CarbonFlex", arXiv 2505.18357.
    """

    name = "carbonflex"
    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})
    base: CaseBase | None
    summary = "servers and levels that an oracle chose in the most similar past states"

    def __init__(
        self,
        neighbours: int = 5,
        tolerance: float = 0.05,
        far_percentile: float = 95.0,
        window_days: float = 7.0,
        starts: int = 4,
        run_starts: int = 1,
        memory_days: float = 56.0,
        learn_every_days: float = 1.0,
    ) -> None:
        counts = {"neighbours": neighbours, "starts": starts, "run_starts": run_starts}
        days = {
            "window_days": window_days,
            "memory_days": memory_days,
            "learn_every_days": learn_every_days,
        }
        for label, value, allowed, sound in (
            *((n, v, "a whole number from 1", v >= 1 and v == int(v)) for n, v in counts.items()),
            *((n, v, "a number > 0", 0 < v < math.inf) for n, v in days.items()),
            ("tolerance", tolerance, "a number >= 0", tolerance >= 0),
            ("far_percentile", far_percentile, "0 to 100", 0 <= far_percentile <= 100),
        ):
            if not sound:
                raise UsageError(f"{label} is {value}; allowed: {allowed}.")
        self.neighbours = neighbours
        self.tolerance = tolerance
        self.far_percentile = far_percentile
        self.window_days = window_days
        self.starts = starts
        self.run_starts = run_starts
        self.memory_days = memory_days
        self.learn_every_days = learn_every_days

    def start(self) -> None:
        """Learn from the earlier time, if there is one."""
        header = self.header
        self._ladder = Ladder.of(header.profiles)
        self._elasticity = elasticity_of(header.profiles)
        self._day = header.slots_per_day
        self._window = self._slots(self.window_days)
        self._memory = self._slots(self.memory_days)
        self._every = self._slots(self.learn_every_days)
        queues = header.queues
        # By then an average job has ended, whichever queue it was in.
        self._margin = int(np.ceil(queues.delay + queues.mean_length).max())
        self._history = History()
        self._learned = 0
        self._violations = Violations(queues.delay, max(1, round(1 / header.slot_hours)))
        self.base = None
        if header.past is not None:
            found = []
            for window in windows_of(header.past, self._window, self._margin):
                found += lessons(header, window, self.starts)
            self._remember(found, 0)

    def decide(self, observation: Observation) -> IntArray:
        """Servers of each job in the system."""
        state: ClusterState = observation.state
        self._history.note(state)
        self._violations.note(observation.slot, state.finished)
        if observation.slot and observation.slot % self._every == 0:
            self._learn(observation)
        overdue = self.overdue(state)
        chosen = self._provision(observation, int(self.fewest(state)[overdue].sum()))
        return schedule(
            self._ladder,
            state.profile,
            self.slack(state),
            overdue,
            servers=chosen.servers,
            threshold=chosen.threshold,
            capacity=self.header.capacity,
        )

    def _provision(self, observation: Observation, needed: int) -> Provision:
        if self.base is None:
            return Provision(self.header.capacity, 0.0)
        return provision(
            self.base,
            self.features(observation),
            violation=self._violations.recent,
            tolerance=self.tolerance,
            needed=needed,
            capacity=self.header.capacity,
        )

    def features(self, observation: Observation) -> FloatArray:
        """Features of the slot that is about to start, shape (F,)."""
        header = self.header
        state: ClusterState = observation.state
        carbon = observation.past[SERIES][-2:]
        [found] = features(
            carbon[-1:],
            carbon[:1],
            ahead(observation, self._day)[np.newaxis, 1:],
            np.bincount(state.queue, minlength=len(header.queues.names))[np.newaxis],
            np.bincount(state.profile, minlength=len(header.profiles))[np.newaxis],
            self._elasticity,
        )
        return np.asarray(found)

    def _learn(self, observation: Observation) -> None:
        """Replay the last window of the run, and learn from what is new and over in it."""
        now = observation.slot
        end = now - self._margin
        if end <= self._learned:
            return
        start = max(0, min(now - self._window, self._learned - self._margin))
        carbon = observation.past[SERIES][:now]
        window = self._history.window(observation.state, carbon, start, (self._learned, end))
        self._learned = end
        self._remember(lessons(self.header, window, self.run_starts), now)

    def _remember(self, found: list[Cases], now: int) -> None:
        """Add cases, and forget those that are too old."""
        known = [] if self.base is None else [self.base.cases]
        if not found:
            return
        # The newest cases stay, however short the memory: they are the best there is.
        newest = int(found[-1].slot[0])
        cases = together([*known, *found]).since(min(now - self._memory, newest))
        self.base = CaseBase(cases, self.neighbours, self.far_percentile)

    def _slots(self, days: float) -> int:
        return max(1, round(days * self._day))


class Violations:
    """How far the jobs that ended lately came beyond their delay.

    Parameters
    ----------
    delay
        Delay of each queue [slots].
    slots
        Slots that count as lately.
    """

    def __init__(self, delay: IntArray, slots: int) -> None:
        # A queue without delay is judged as one with a delay of a slot.
        self._delay = delay
        self._unit = np.maximum(delay, 1)
        self._slots = slots
        self._ends: deque[tuple[int, float, int]] = deque()
        self.recent = 0.0

    def note(self, slot: int, finished: Finished) -> None:
        """Jobs that ended in the slot before; without any lately, the last value stays."""
        if len(finished.job):
            allowed, unit = self._delay[finished.queue], self._unit[finished.queue]
            beyond = finished.delay - allowed
            beyond = np.where(beyond > _ROUNDING, beyond, 0.0) / unit
            self._ends.append((slot, float(beyond.sum()), len(beyond)))
        while self._ends and self._ends[0][0] <= slot - self._slots:
            self._ends.popleft()
        if self._ends:
            self.recent = sum(e[1] for e in self._ends) / sum(e[2] for e in self._ends)
