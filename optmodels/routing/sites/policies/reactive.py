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
  power, and switches instances off when the lowest is too much. The lowest frequency goes up when
  first tokens are late, the largest batch of a class goes down when its other limits are missed;
  both come back, slowly, when requests queue.
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
from optmodels.routing.sites.profile import BoolArray, IntArray, Profile

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
    late_first, late_after
        Whether a class misses its limit to the first token, or its others, from everywhere, (C,).
    """

    running: IntArray
    cache: float
    queue: float
    late: FloatArray
    late_first: BoolArray
    late_after: BoolArray


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
        GPUs of an instance; by default those with which most classes keep their limits, and of
        those the ones that serve most requests per GPU.

    Raises
    ------
    UsageError
        A number is out of range, or no instance has the degree.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(O S C) per step of the router, O origins, S sites and C classes; several steps
      per period.
    - Reference: after the public abstract of XWind, arXiv:2605.23348; its form is ours.
    """

    name = "reactive"
    summary = "shares follow latency, cache use and queues; frequencies follow the power (XWind)"

    def __init__(
        self,
        interval_seconds: float = 30.0,
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
        self.most_batch = np.full((sites, profile.classes), self.settings.row.shape[1] - 1)
        self.slowest = np.full(sites, len(self.settings.row) - 1)
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
        # Most requests per GPU within the limits, each class relative to its best degree.
        kept = np.where(self.header.arcs.any(axis=(0, 1)), profile.rate / profile.tp, 0.0)
        best = np.zeros((len(profile.degrees), profile.classes))
        np.maximum.at(best, (profile.degree_of, profile.row_class), kept)
        most = best.max(axis=0)
        share = np.divide(best, most, out=np.zeros_like(best), where=most > 0)
        return int(np.argmax((share > 0).sum(axis=1) + share.mean(axis=1)))

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
        """React to limits that are missed at once, to queues slowly.

        A late first token asks for a higher frequency, whatever else is late for smaller batches.
        Only the first step of a period goes the other way, so that the two do not chase each other.
        """
        relax = int(first and answer.queue > 0)
        faster = bool(answer.late_first.any())
        slowest = self.slowest[site] + (-1 if faster else relax)
        smaller = answer.late_after | (answer.late_first & (self.slowest[site] == 0))
        batch = self.most_batch[site] + np.where(smaller, -1, relax)
        self.slowest[site] = np.clip(slowest, 0, len(self.settings.row) - 1)
        self.most_batch[site] = np.clip(batch, 0, self.settings.row.shape[1] - 1)

    # -------------------------------------------------------------------------------- the world
    def _answer(self, site: int, load: FloatArray, instances: int, limit_kw: float) -> Answer:
        """What a site settles at for given arrivals, instances and power."""
        profile, arcs = self.header.profile, self.header.arcs[:, site]
        running = np.zeros(profile.count, dtype=np.int64)
        total = float(load.sum())
        first, after = np.zeros(len(load), dtype=bool), np.zeros(len(load), dtype=bool)
        if total <= 0:
            return Answer(running, 0.0, 0.0, np.zeros(len(arcs)), first, after)
        rows, counts = self._controlled(site, load, instances, limit_kw)
        running[rows] = counts
        served = np.zeros(len(load))
        held = profile.row_class[rows]
        served[held] = np.minimum(counts * profile.rate[rows], load[held])
        trip = float(self.header.rtt_s[:, site].min())
        first[held] = profile.ttft[rows] + trip > profile.ttft_limit[held]
        after[held] = ~arcs[:, rows].any(axis=0) & ~first[held]
        late = np.array([float(served[held][~ok[rows]].sum()) for ok in arcs]) / total
        # What the fullest batches would carry, of what is carried.
        most = self.settings.row[0, -1][held]
        room = np.where(most >= 0, profile.rate[np.maximum(most, 0)], profile.rate[rows])
        needed = float((load[held] / room).sum())
        cache = 1.0 if instances == 0 else min(1.0, needed / instances)
        return Answer(running, cache, 1 - float(served.sum()) / total, late, first, after)

    def _controlled(
        self, site: int, load: FloatArray, instances: int, limit_kw: float
    ) -> tuple[IntArray, IntArray]:
        """Rows and instances at the highest frequency, or else the most instances, that go."""
        for frequency in range(int(self.slowest[site]) + 1):
            rows, counts = self._settled(site, frequency, load, instances)
            if float(self.added_kw[rows] @ counts) <= limit_kw:
                return rows, counts
        # Fewer instances hold larger batches: what they draw together falls with their number.
        low, high = 0, instances
        while high - low > 1:
            middle = (low + high) // 2
            rows, counts = self._settled(site, frequency, load, middle)
            fits = float(self.added_kw[rows] @ counts) <= limit_kw
            low, high = (middle, high) if fits else (low, middle)
        return self._settled(site, frequency, load, low)

    def _settled(
        self, site: int, frequency: int, load: FloatArray, instances: int
    ) -> tuple[IntArray, IntArray]:
        """Rows and instances at which a site settles: the smallest batch that carries the load."""
        settings, most = self.settings.row[frequency], self.most_batch[site]
        batches = np.arange(int(most.max()) + 1)[:, None]
        # The row of each class at each batch, no larger than the class allows.
        rows = settings[np.minimum(batches, most), np.arange(len(load))]
        served = (rows >= 0) & (load > 0)
        busy = np.where(served, load / self.header.profile.rate[rows], 0.0)
        suffices = busy.sum(axis=1) <= instances
        batch = int(np.argmax(suffices)) if suffices.any() else len(suffices) - 1
        held = served[batch]
        return rows[batch][held], _shared(busy[batch][held], instances)


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
