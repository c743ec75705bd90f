"""Agents: what a learner sees of a problem, and what its numbers do there.

A learner wants a few numbers of a fixed size in, and a few between 0 and 1 out. An agent is a
policy of its problem that translates: its `view` makes such numbers of an observation, and the
answer to them steers a decision that keeps all duties, whatever the numbers are: a learner who has
learnt nothing yet still meets every deadline that can be met.

One agent serves both sides: in training the environment tells it the numbers; afterwards it asks
what has been learnt for them. So what is judged by `optmodels.compare` is what was trained.

What is seen is scaled by what is known in advance (the capacity, the window of carbon intensities),
never by the future: an agent sees nothing but the observation of a policy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import UsageError, shorten
from optmodels.policy import FloatArray, Observation, Policy
from optmodels.scaling.cluster.cluster_policy import ClusterPolicy
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.scaling.cluster.learning.schedule import Ladder, schedule
from optmodels.scaling.cluster.replay import SERIES, ClusterEnvironment
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.job_policy import JobPolicy
from optmodels.scaling.job.replay import JobEnvironment

View = NDArray[np.float32]
Act = Callable[[View], ArrayLike]

#: What is seen ends here: carbon at so many times its scale, jobs for so many times the capacity.
LARGEST = 4.0


class Agent(Policy):
    """A policy that is steered by a few numbers between 0 and 1.

    Parameters
    ----------
    act
        From what is seen to as many numbers as `controls` names; those outside 0 to 1 are cut off.
        None where an environment sets `told` in each slot.
    past_slots, ahead_slots
        Slots of carbon before this one, and of the forecast after it, that are seen.
    name
        Name in comparisons.

    Attributes
    ----------
    controls
        Meaning of each number of an answer.
    told
        The answer for this slot, where nobody is asked.
    """

    controls: ClassVar[tuple[str, ...]]
    summary = "steered by what a learner answers to a few scaled numbers, within all duties"

    def __init__(
        self,
        act: Act | None = None,
        *,
        past_slots: int = 24,
        ahead_slots: int = 24,
        name: str = "learnt",
    ) -> None:
        # Studies tell policies apart by attributes of the same names as the arguments.
        self.act = act
        self.past_slots, self.ahead_slots = past_slots, ahead_slots
        # An agent has a name of its own, and needs a forecast only if it looks ahead.
        needs = frozenset({"forecast"}) if ahead_slots else frozenset()
        vars(self).update(name=name, needs=needs)
        self.told: ArrayLike | None = None
        self._scale = 0.0

    @property
    def features(self) -> tuple[str, ...]:
        """Meaning of each number that is seen."""
        past = [f"carbon_{k}_before" for k in range(self.past_slots, 0, -1)]
        ahead = [f"carbon_{k}_ahead" for k in range(1, self.ahead_slots + 1)]
        return (*self.own_features, *past, "carbon_now", *ahead)

    #: Meaning of the numbers that come before those of carbon.
    own_features: ClassVar[tuple[str, ...]]

    @abstractmethod
    def own(self, observation: Observation) -> list[float]:
        """Values of `own_features`."""

    @abstractmethod
    def known_before(self) -> FloatArray:
        """Carbon intensity before the first slot, oldest first."""

    @abstractmethod
    def usual(self) -> float:
        """Carbon intensity that counts as 1, as far as it is known in advance; else 0."""

    def view(self, observation: Observation) -> View:
        """What is seen: numbers from 0 to `LARGEST`, named by `features`.

        Before the first known slot the first one repeats. Slots for which there is no forecast,
        because nothing is left to decide then, look as dear as can be.
        """
        seen = observation.past[SERIES]
        if observation.slot < self.past_slots:
            before = self.known_before()
            seen = np.concatenate([before[max(0, len(before) - self.past_slots) :], seen])
        seen = seen[-(self.past_slots + 1) :]
        # Where no scale is known in advance it is the highest value seen so far.
        scale = self.usual() or max(self._scale, float(seen.max()))
        self._scale = scale
        before_now = np.full(self.past_slots + 1, seen[0])
        before_now[len(before_now) - len(seen) :] = seen
        after = np.full(self.ahead_slots, np.inf)
        if observation.forecast is not None:
            told = observation.forecast[1 : self.ahead_slots + 1]
            after[: len(told)] = told
        carbon = np.concatenate([before_now, after])
        carbon = carbon / scale if scale > 0 else np.where(np.isinf(carbon), LARGEST, 0.0)
        numbers = np.array([*self.own(observation), *carbon])
        return np.asarray(np.clip(numbers, 0.0, LARGEST), dtype=np.float32)

    def answer(self, observation: Observation) -> FloatArray:
        """The numbers for this slot, from whom they are to come."""
        given = self.act(self.view(observation)) if self.act is not None else self.told
        try:
            numbers = np.asarray(given, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if len(numbers) != len(self.controls) or np.isnan(numbers).any():
            raise UsageError(
                f"In slot {observation.slot} the learner answered {shorten(given)}; allowed: "
                f"{len(self.controls)} numbers from 0 to 1 ({', '.join(self.controls)})."
            )
        return np.clip(numbers, 0.0, 1.0)

    @classmethod
    @abstractmethod
    def spent(cls, room: Any, before: Observation, after: Observation | None) -> float:
        """Cost of the slot that has just been run, such that all slots sum to the audited total.

        Parameters
        ----------
        room
            The run, after the slot.
        before, after
            What was seen before the slot, and what is seen after it; None at the end.
        """


class JobAgent(Agent, JobPolicy):
    """A learner's share of the servers for one elastic job; it never misses the deadline."""

    name = "learnt"
    controls = ("share of the servers",)
    own_features = ("time_left", "work_left", "least_rate", "servers")

    def start(self) -> None:
        """Forget the run before."""
        self._scale = 0.0

    def known_before(self) -> FloatArray:
        """Carbon intensity of the history."""
        return self.header.history

    def usual(self) -> float:
        """Upper end of the window of carbon intensities."""
        return 0.0 if self.header.window is None else self.header.window[1]

    def own(self, observation: Observation) -> list[float]:
        """Shares of the time and of the work that are left, and of the servers.

        ``least_rate`` is the share of its speed at which the job would have to run from now on.
        """
        slots = self.header.slots - observation.slot
        left = self.left(observation)
        return [
            slots / self.header.slots,
            left / self.longest,
            left / (slots * self.full_work),
            observation.state.servers / self.header.cap,
        ]

    def wish(self, observation: Observation) -> float:
        """Average number of servers that the learner would like."""
        return float(self.answer(observation)[0]) * self.header.cap

    @classmethod
    def spent(cls, room: JobEnvironment, before: Observation, after: Observation | None) -> float:
        """Carbon of the slot and of the change of servers before it; at the end both ramps [g]."""
        header = room.header
        mix = room.shares[before.slot]
        kwh = float(mix @ header.profile.power_kw) * header.slot_hours
        servers = float(mix @ header.profile.servers)
        change = abs(servers - before.state.servers)
        if after is None:
            change += servers
        return float(kwh * before.past[SERIES][-1] + header.switching_g * change)


class ClusterAgent(Agent, ClusterPolicy):
    """A learner's size of the cluster and threshold of scaling; overdue jobs run in any case.

    Its two numbers are those that CarbonFlex learns: how many servers a slot gets, and how much
    work a further server of a job must add to be worth it. Who gets the servers is then its
    schedule (`optmodels.scaling.cluster.learning.schedule`).
    """

    name = "learnt"
    controls = ("share of the capacity", "least work that a further server must add")
    own_features = ("overdue", "running", "waiting_fewest", "waiting_most", "slack")

    def start(self) -> None:
        """Prepare the levels of all profiles."""
        self._scale = 0.0
        self._ladder = Ladder.of(self.header.profiles)

    def known_before(self) -> FloatArray:
        """Carbon intensity of the past, where there is one."""
        return np.empty(0) if self.header.past is None else self.header.past.carbon

    def usual(self) -> float:
        """Highest carbon intensity of the past."""
        past = self.header.past
        return 0.0 if past is None else float(past.carbon.max())

    def own(self, observation: Observation) -> list[float]:
        """Servers of overdue, running and all jobs over the capacity, and the mean slack in days.

        All jobs count twice: on their fewest servers, and on their most.
        """
        state, capacity = observation.state, self.header.capacity
        fewest = self.fewest(state)
        slack = np.maximum(self.slack(state), 0)
        return [
            float(fewest[self.overdue(state)].sum()) / capacity,
            float(state.servers.sum()) / capacity,
            float(fewest.sum()) / capacity,
            float(self.header.most[state.profile].sum()) / capacity,
            float(slack.mean()) / self.header.slots_per_day if len(slack) else 0.0,
        ]

    def decide(self, observation: Observation) -> Any:
        """Servers for each job in the system."""
        share, threshold = self.answer(observation)
        state = observation.state
        return schedule(
            self._ladder,
            state.profile,
            self.slack(state),
            self.overdue(state),
            servers=round(float(share) * self.header.capacity),
            threshold=float(threshold),
            capacity=self.header.capacity,
        )

    @classmethod
    def spent(
        cls, room: ClusterEnvironment, before: Observation, after: Observation | None
    ) -> float:
        """Carbon of the slot and of the servers started for it, and the lateness in it [g]."""
        header, state, slot = room.header, before.state, before.slot
        carbon = float(before.past[SERIES][-1])
        ran = room.latest
        place = np.searchsorted(state.job, ran.job)
        profile = state.profile[place]
        moved = np.array(
            [
                header.profiles[code].network_gbps[
                    np.searchsorted(header.profiles[code].servers, held)
                ]
                for code, held in zip(profile.tolist(), ran.servers.tolist(), strict=True)
            ]
        ).reshape(-1)
        kw = ran.servers * header.server_kw + moved * header.network_w_per_gbps / 1000
        started = np.maximum(ran.servers - state.servers[place], 0).sum() * header.start_kwh
        grams = (float(kw @ ran.share) * header.slot_hours + float(started)) * carbon
        # A job that ended is late until its end, one that goes on until the end of the slot.
        end = np.full(len(state.job), slot + 1.0)
        ended = state.job if after is None else after.state.finished.job
        gone = np.isin(ran.job, ended)
        end[place[gone]] = slot + ran.share[gone]
        instance = room.instance
        late = np.maximum(end - np.maximum(instance.due[state.job], slot), 0.0)
        return grams + float(late @ instance.late_g_per_slot[state.job])


AGENTS: dict[str, type[Agent]] = {
    JobInstance.problem: JobAgent,
    ClusterInstance.problem: ClusterAgent,
}
