"""A router that reacts: no table of settings, no forecast, no knowledge of classes.

After XWind (arXiv:2605.23348), of which the public abstract says that its router is light and
looks at latency, use of the cache and depth of the queue alone, beside a controller at each site.
How they work is not published; what stands here is ours:

- *Router*: each origin has a share for each site. Several times in a period it hears from every
  site how full the cache is (requests that run, over those that the batches could hold), how long
  the queue is (arrivals that found no place, over arrivals) and by how much the latency limits were
  missed, and moves its shares away from the sites that are worse off than its others, by a
  multiplicative step. A share never dies, so a site that comes back is noticed.
- *Site*: all instances have the degree that the operator chose for the fleet. The controller sees
  its power meter: it lets all instances run at the highest frequency at which they stay within the
  power, and switches instances off when the lowest is too much. The largest batch goes down by a
  step when latencies are missed, and up again, slowly, when requests queue.
- *What it hears* follows from the fluid: a site with given arrivals settles at the smallest batch
  that carries them, as continuous batching does, and latencies are those of the rows at that batch
  and frequency. The table is used for that, as the world's answer, and by nobody to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.policies import flows
from optmodels.routing.sites.policies.base import RoutingPolicy
from optmodels.routing.sites.profile import IntArray, Profile

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Settings:
    """Rows of one degree by frequency and batch.

    Attributes
    ----------
    row
        Row of each class, shape (F, B, C): frequencies from the highest, batches from the smallest;
        -1 where the class is not served at that frequency.
    """

    row: IntArray

    @classmethod
    def of(cls, profile: Profile, degree: int) -> Settings:
        """Settings of a degree; a batch not measured is the next smaller, or the smallest."""
        mine = profile.degree_of == degree
        frequencies = np.unique(profile.frequency[mine])[::-1]
        batches = np.unique(profile.batch[mine])
        row = np.full((len(frequencies), len(batches), profile.classes), -1, dtype=np.int64)
        for r in np.flatnonzero(mine):
            f = int(np.flatnonzero(frequencies == profile.frequency[r])[0])
            b = int(np.searchsorted(batches, profile.batch[r]))
            row[f, b, profile.row_class[r]] = r
        for b in range(1, len(batches)):
            row[:, b] = np.where(row[:, b] < 0, row[:, b - 1], row[:, b])
        for b in range(len(batches) - 2, -1, -1):
            row[:, b] = np.where(row[:, b] < 0, row[:, b + 1], row[:, b])
        return cls(row)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a site does with its arrivals, and what is heard of it.

    Attributes
    ----------
    running
        Instances by row, shape (R,).
    cache
        Use of the cache, 0 to 1.
    queue
        Arrivals that found no place, as a share.
    late
        Share of the arrivals whose limits the site misses, by origin, shape (O,).
    """

    running: IntArray
    cache: float
    queue: float
    late: FloatArray


class Reactive(RoutingPolicy):
    """Shares that follow latency, cache use and queues; frequencies that follow the power.

    Parameters
    ----------
    interval_seconds
        Time between two steps of the router.
    gain
        How far a share moves in a step, for each unit of load that a site is worse off.
    least_share
        Share that every site keeps.
    degree
        GPUs of an instance; by default the fewest with which most classes keep their limits.

    Raises
    ------
    UsageError
        A number is out of range, or no instance has the degree.
    """

    name = "reactive"
    summary = "shares follow latency, cache use and queues; frequencies follow the power (XWind)"

    def __init__(
        self,
        interval_seconds: float = 15.0,
        gain: float = 0.5,
        least_share: float = 1e-3,
        degree: int | None = None,
    ) -> None:
        if not interval_seconds > 0:
            raise UsageError(f"The interval is {interval_seconds} s; allowed: more than 0.")
        if not gain > 0:
            raise UsageError(f"The gain is {gain}; allowed: more than 0.")
        if not 0 < least_share < 1:
            raise UsageError(f"The least share is {least_share}; allowed: between 0 and 1.")
        self.interval_seconds, self.gain = float(interval_seconds), float(gain)
        self.least_share, self.degree = float(least_share), degree

    def start(self) -> None:
        """Equal shares, the fleet's degree, and batches as large as they come."""
        header, profile = self.header, self.header.profile
        g = self._degree(profile)
        self.tp = int(profile.degrees[g])
        self.settings = Settings.of(profile, g)
        origins, sites = header.rtt_s.shape
        self.shares = np.full((origins, sites), 1 / sites)
        self.most_batch = np.full(sites, self.settings.row.shape[1] - 1)
        self.configured = np.zeros((sites, len(profile.degrees)), dtype=np.int64)
        self.configured[:, g] = header.gpus // self.tp
        self.steps = max(1, round(header.period_seconds / self.interval_seconds))
        self.added_kw = profile.kw - header.idle_kw * profile.tp

    def _degree(self, profile: Profile) -> int:
        if self.degree is not None:
            found = np.flatnonzero(profile.degrees == self.degree)
            if not len(found):
                raise UsageError(
                    f"No instance has {self.degree} GPUs; allowed: "
                    f"{', '.join(map(str, profile.degrees))}."
                )
            return int(found[0])
        served = self.header.arcs.any(axis=(0, 1))
        classes = [
            len(np.unique(profile.row_class[served & (profile.degree_of == g)]))
            for g in range(len(profile.degrees))
        ]
        return int(np.argmax(classes))

    def plan(self, observation: Observation) -> None:
        """Nothing is ever planned: the instances stand as they are."""
        return

    def dispatch(self, observation: Observation) -> Dispatch:
        """Let router and sites react until the period's end; what they settle at is what runs."""
        header, profile = self.header, self.header.profile
        limit_kw, demand = self.limit_kw(observation), self.demand(observation)
        configured = self.configured.copy()
        if header.idle_kw > 0:
            fed = np.floor(limit_kw / (header.idle_kw * self.tp)).astype(np.int64)
            configured = np.minimum(configured, fed[:, None])
        instances = configured.sum(axis=1)
        free_kw = limit_kw - header.idle_kw * self.tp * instances
        running = np.zeros((len(header.gpus), profile.count), dtype=np.int64)
        for step in range(self.steps):
            load = self.shares[:, :, None] * demand[:, None, :]
            worse = np.zeros(self.shares.shape)
            for s in range(len(header.gpus)):
                answer = self._answer(
                    s, load[:, s].sum(axis=0), int(instances[s]), float(free_kw[s])
                )
                running[s] = answer.running
                worse[:, s] = answer.cache + answer.queue + answer.late
                self._resize(s, answer, first=step == 0)
            used = load
            moved = self.shares * np.exp(-self.gain * (worse - worse.min(axis=1, keepdims=True)))
            moved = np.maximum(moved / moved.sum(axis=1, keepdims=True), self.least_share)
            self.shares = moved / moved.sum(axis=1, keepdims=True)
        serves = flows.capacity(profile, running, configured, observation.state.loading)
        return Dispatch(configured, running, flows.spread(profile, used, serves))

    def _resize(self, site: int, answer: Answer, *, first: bool) -> None:
        """Smaller batches where limits are missed; larger ones where requests queue, but slowly.

        Only the first step of a period makes them larger, so that the two do not chase each other.
        """
        if answer.late.min() > 0 and self.most_batch[site] > 0:
            self.most_batch[site] -= 1
        elif first and answer.queue > 0 and answer.late.max() == 0:
            most = self.settings.row.shape[1] - 1
            self.most_batch[site] = min(self.most_batch[site] + 1, most)

    # -------------------------------------------------------------------------------- the world
    def _answer(self, site: int, load: FloatArray, instances: int, limit_kw: float) -> Answer:
        """What a site settles at for given arrivals, instances and power."""
        profile, arcs = self.header.profile, self.header.arcs[:, site]
        running = np.zeros(profile.count, dtype=np.int64)
        total = float(load.sum())
        batch = int(self.most_batch[site])
        if total <= 0:
            return Answer(running, 0.0, 0.0, np.zeros(len(arcs)))
        rows, counts = self._settle(load, instances, limit_kw, batch)
        running[rows] = counts
        served = np.zeros(len(load))
        held = profile.row_class[rows]
        served[held] = np.minimum(counts * profile.rate[rows], load[held])
        late = np.array([float(served[held][~ok[rows]].sum()) for ok in arcs]) / total
        # What the fullest batches would carry, of what is carried.
        most = self.settings.row[0, -1][held]
        room = np.where(most >= 0, profile.rate[np.maximum(most, 0)], profile.rate[rows])
        needed = float((load[held] / room).sum())
        cache = 1.0 if instances == 0 else min(1.0, needed / instances)
        return Answer(running, cache, 1 - float(served.sum()) / total, late)

    def _settle(
        self, load: FloatArray, instances: int, limit_kw: float, most_batch: int
    ) -> tuple[IntArray, IntArray]:
        """Rows and instances at the highest frequency, and the smallest batch, that go."""
        profile = self.header.profile
        rows = counts = np.empty(0, dtype=np.int64)
        for at_frequency in self.settings.row:
            for batch in range(most_batch + 1):
                rows = at_frequency[batch]
                rows = rows[(rows >= 0) & (load > 0)]
                # What instances a class keeps busy; the smallest batches come first.
                busy = load[profile.row_class[rows]] / profile.rate[rows]
                if batch == most_batch or busy.sum() <= instances:
                    break
            counts = _shared(busy, instances)
            if float(self.added_kw[rows] @ counts) <= limit_kw:
                return rows, counts
        while len(rows) and counts.any() and float(self.added_kw[rows] @ counts) > limit_kw:
            part = max(limit_kw, 0.0) / float(self.added_kw[rows] @ counts)
            fewer = min(int(part * counts.sum()), int(counts.sum()) - 1)
            counts = _shared(busy, fewer)
        return rows, counts


def _shared(busy: FloatArray, instances: int) -> IntArray:
    """Whole instances for loads in instances, no more than there are, cut alike where too few."""
    total = float(busy.sum())
    if total <= 0 or instances <= 0:
        return np.zeros(len(busy), dtype=np.int64)
    wanted = busy if total <= instances else busy * (instances / total)
    counts = np.floor(wanted + _ROUNDING).astype(np.int64)
    left = min(instances, int(np.ceil(wanted.sum() - _ROUNDING))) - int(counts.sum())
    # An instance serves a mix: whole instances are made of the largest rests.
    for i in np.argsort(counts - wanted, kind="stable")[: max(left, 0)]:
        counts[i] += 1
    return counts
