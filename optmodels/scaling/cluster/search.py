"""A good plan of a cluster, made from the prices of its servers.

The relaxation (see `bound`) says which blocks a job should use, all but a few of them whole. The
search starts from these, serving the jobs with the least slack first; what does not fit is bought
elsewhere, at carbon plus prices of servers. Then it improves: again and again it takes a few jobs
out that meet in some slot, puts them back one after the other in a random order, each where it is
cheapest in the room that the others leave, and keeps what is cheaper in all.

One job by itself in the room that others leave is served exactly: its blocks in the order of their
carbon per work, the last one for the share that is needed. So a move takes some 20 µs per job.

A job that does not fit before its due slot is served late, as cheaply as two simple plans allow:
carbon first, or as soon as possible in its last slot. Energy of starts is counted in the costs that
are compared, but no plan of a job is made to avoid starts.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from optmodels.policy import FloatArray
from optmodels.scaling.cluster.audit import Schedule
from optmodels.scaling.cluster.blocks import gains, rows_of
from optmodels.scaling.cluster.bound import LowerBound, Relaxation
from optmodels.scaling.cluster.instance import IntArray

#: Moves of the search: per job, at least, at most.
MOVES_PER_JOB, LEAST_MOVES, MOST_MOVES = 100, 2000, 100_000
#: Jobs that are taken out in a move, at most.
_MOST_OUT = 6
#: Shares of a block above this are the whole block.
_WHOLE = 1 - 1e-6
#: A job within this of its length is done; a move that gains less than this share is none.
_DONE, _GAIN = 1e-12, 1e-10
#: Slots after the first possible end that are tried for a job whose lateness is free.
_PATIENCE = 24


@dataclass(frozen=True, slots=True)
class Place:
    """How one job is served: blocks, the share of each, and what it costs [g]."""

    cost: float
    slot: IntArray
    level: IntArray
    added: IntArray
    share: FloatArray
    late: bool = False


#: The blocks of a job in the order in which it buys them: slot, level, servers of the job with the
#: block, servers it adds, work, cost.
Offer = tuple[IntArray, IntArray, IntArray, IntArray, FloatArray, FloatArray]


class Search:
    """Places for all jobs of an instance, and the servers that they leave free.

    Parameters
    ----------
    relaxation
        Relaxation of the instance.
    bound
        Its solution, with prices of servers.
    seed
        Seed of the moves.
    """

    def __init__(self, relaxation: Relaxation, bound: LowerBound, seed: int = 0) -> None:
        self.instance = instance = relaxation.instance
        self._relaxation = relaxation
        self._random = random.Random(seed)
        jobs = instance.jobs
        self._length = jobs.length.tolist()
        self._start_kwh = float(instance.parameters.start_kwh)
        self._carbon = instance.carbon_until(instance.slots)
        self._free = np.full(instance.slots, instance.capacity, dtype=np.int64)
        self._places: list[Place | None] = [None] * jobs.count
        blocks = relaxation.blocks
        usable = blocks.gain > 0
        unit = np.full(blocks.count, np.inf)
        np.divide(relaxation.cost, blocks.gain, out=unit, where=usable)
        priced = np.full(blocks.count, np.inf)
        rent = bound.prices[blocks.slot] * blocks.added
        np.divide(relaxation.cost + rent, blocks.gain, out=priced, where=usable)
        self._by_carbon = self._offers(unit)
        self._by_price = self._offers(priced)
        chosen = bound.used >= _WHOLE
        self._by_solution = self._offers(np.where(chosen, -np.inf, priced))
        self._busy = np.flatnonzero(bound.prices > 0).tolist()
        order = np.argsort(blocks.pair_slot, kind="stable")
        where = np.searchsorted(blocks.pair_slot[order], np.arange(instance.slots + 1))
        present = blocks.pair_job[order]
        self._present = [present[a:b].tolist() for a, b in pairwise(where.tolist())]

    # -- one job -----------------------------------------------------------------------------

    def _offers(self, key: FloatArray) -> list[Offer]:
        """Blocks of each job by a key; blocks of a pair from the lowest on, whatever the key."""
        blocks = self._relaxation.blocks
        key = key.copy()
        for level in range(1, int(blocks.level.max(initial=0)) + 1):
            here = np.flatnonzero(blocks.level == level)
            key[here] = np.maximum(key[here], key[here - 1])
        order = np.lexsort((blocks.level, key, blocks.job))
        order = order[blocks.gain[order] > 0]
        count = self.instance.jobs.count
        where = np.searchsorted(blocks.job[order], np.arange(count + 1)).tolist()
        columns = [
            column[order]
            for column in (blocks.slot, blocks.level, blocks.servers, blocks.added, blocks.gain)
        ]
        columns.append(self._relaxation.cost[order])
        return [
            tuple(column[where[j] : where[j + 1]] for column in columns)  # type: ignore[misc]
            for j in range(count)
        ]

    def _in_time(self, job: int, offers: list[Offer]) -> Place | None:
        """The job bought from its offers in the room there is; None if it would be late."""
        slot, level, servers, added, gain, cost = offers[job]
        fits = (servers <= self._free[slot]).nonzero()[0]
        done = gain[fits].cumsum()
        enough = self._length[job] * (1 - _DONE)
        if not len(done) or done[-1] < enough:
            return None
        last = int(done.searchsorted(enough))
        bought = fits[: last + 1]
        share = np.ones(last + 1)
        share[last] = min(1.0, 1.0 - (done[last] - self._length[job]) / gain[bought[last]])
        total = float(cost[bought] @ share)
        place = Place(total, slot[bought], level[bought], added[bought], share)
        return self._with_starts(place) if self._start_kwh else place

    def _with_starts(self, place: Place) -> Place:
        first = int(place.slot.min())
        held = np.bincount(place.slot - first, weights=place.added)
        started = np.maximum(np.diff(held, prepend=0.0), 0.0)
        carbon = self._carbon[first : first + len(held)]
        cost = place.cost + float(started @ carbon) * self._start_kwh
        return Place(cost, place.slot, place.level, place.added, place.share, place.late)

    def _late(self, job: int) -> Place:
        """The job served after its due slot: the best of a few plans for each of its last slots."""
        instance = self.instance
        code, due = int(instance.jobs.profile[job]), int(instance.due[job])
        first, length = int(instance.jobs.arrival[job]), self._length[job]
        price = float(instance.late_g_per_slot[job])
        best: Place | None = None
        end, tried = max(self._first_end(code, first, length), due + 1), 0
        while True:
            if best is not None and ((end - 1 - due) * price >= best.cost or tried > _PATIENCE):
                return best
            self._reach(end)
            window = self._window(code, first, end)
            for plan in _late_plans(window, length, due, price, end):
                place = self._with_starts(plan) if self._start_kwh else plan
                if best is None or place.cost < best.cost:
                    best = place
            tried += best is not None
            end += 1

    def _first_end(self, code: int, first: int, length: float) -> int:
        """Slots after which a job can be done at the earliest in the free room."""
        profile = self.instance.profiles[code]
        most = np.append(0.0, np.cumsum(gains(profile)))
        while True:
            free = self._free[first:]
            done = most[np.searchsorted(profile.servers, free, side="right")].cumsum()
            place = int(done.searchsorted(length * (1 - _DONE)))
            if place < len(done):
                return first + place + 1
            self._reach(2 * len(self._free))

    def _window(self, code: int, first: int, end: int) -> Offer:
        """Offers of a profile in the free room of a window, in the order of carbon per work."""
        instance = self.instance
        profile = instance.profiles[code]
        gain = gains(profile)
        added_kw = np.diff(instance.level_power_kw[code], prepend=0.0)
        added = np.diff(profile.servers, prepend=0)
        slots = np.arange(first, end)
        carbon = self._carbon[first:end] * instance.slot_hours
        fits = (profile.servers <= self._free[first:end, None]) & (gain > 0)
        unit = np.maximum.accumulate(added_kw / np.where(gain > 0, gain, 1.0))
        where, level = np.nonzero(fits)
        order = np.argsort(carbon[where] * unit[level], kind="stable")
        where, level = where[order], level[order]
        return (
            slots[where],
            level,
            profile.servers[level],
            added[level],
            gain[level],
            carbon[where] * added_kw[level],
        )

    def _reach(self, slots: int) -> None:
        """Know the carbon and the free servers of at least this many slots."""
        more = slots - len(self._free)
        if more > 0:
            more = max(more, self.instance.slots_per_day)
            self._free = np.append(self._free, np.full(more, self.instance.capacity))
            self._carbon = self.instance.carbon_until(len(self._free))

    # -- all jobs ----------------------------------------------------------------------------

    @property
    def total(self) -> float:
        """Cost of all places [g]."""
        return sum(place.cost for place in self._places if place is not None)

    def run(self, target: float, end: float) -> Schedule:
        """Serve all jobs, then improve until the target, the moves or the time are used up.

        Parameters
        ----------
        target
            Cost that is good enough [g].
        end
            Time of `time.perf_counter` at which to stop improving.
        """
        jobs = self.instance.jobs
        slack = self.instance.due - jobs.arrival - jobs.length
        late = []
        for job in np.argsort(slack, kind="stable").tolist():
            place = self._in_time(job, self._by_solution)
            self._put(job, place)
            if place is None:
                late.append(job)
        for job in late:
            self._put(job, self._in_time(job, self._by_carbon) or self._late(job))
        self._improve(target, end)
        return self.schedule

    @property
    def schedule(self) -> Schedule:
        """The places as a schedule."""
        places = [(j, place) for j, place in enumerate(self._places) if place is not None]
        if not places:
            nothing = np.empty(0, dtype=np.int64)
            return Schedule(nothing, nothing, nothing, np.empty(0))
        job = np.repeat([j for j, _ in places], [len(place.slot) for _, place in places])
        slot, level, share = (
            np.concatenate([getattr(place, name) for _, place in places])
            for name in ("slot", "level", "share")
        )
        order = np.lexsort((level, slot, job))
        fewest = np.array([p.fewest for p in self.instance.profiles])[self.instance.jobs.profile]
        job, level = job[order], level[order]
        return rows_of(job, slot[order], fewest[job] + level, share[order])

    def _put(self, job: int, place: Place | None) -> None:
        self._places[job] = place
        if place is not None:
            np.subtract.at(self._free, place.slot, place.added)

    def _take_out(self, job: int) -> Place | None:
        place = self._places[job]
        self._places[job] = None
        if place is not None:
            np.add.at(self._free, place.slot, place.added)
        return place

    def _improve(self, target: float, end: float) -> None:
        self._polish()
        moves = min(max(MOVES_PER_JOB * len(self._length), LEAST_MOVES), MOST_MOVES)
        total = self.total
        meeting = [t for t in self._busy if len(self._present[t]) > 1]
        late = self._late_jobs()
        for _ in range(moves):
            if not meeting or total <= target or time.perf_counter() > end:
                break
            gained = self._move(meeting, late)
            total -= gained
            if late and gained:
                late = self._late_jobs()
        self._polish()

    def _late_jobs(self) -> list[int]:
        return [j for j, place in enumerate(self._places) if place is not None and place.late]

    def _polish(self) -> None:
        """Serve every job anew where the others leave it something better."""
        order = list(range(len(self._places)))
        self._random.shuffle(order)
        for job in order:
            old = self._take_out(job)
            new = self._in_time(job, self._by_carbon)
            if new is None and old is not None and old.late:
                new = self._late(job)
            self._put(job, new if new is not None and (old is None or new.cost < old.cost) else old)

    def _move(self, meeting: list[int], late: list[int]) -> float:
        """Take a few jobs out and put them back; what this gains [g]."""
        draw = self._random
        leader = draw.choice(late) if late and draw.random() < 0.5 else None
        if leader is None:
            present = self._present[draw.choice(meeting)]
        else:
            span = self._relaxation.instance
            a, b = int(span.jobs.arrival[leader]), int(span.due[leader])
            present = [j for j in self._present[draw.randrange(a, b)] if j != leader]
        out = draw.sample(present, min(draw.randint(2, _MOST_OUT), len(present)))
        if leader is not None:
            out.insert(0, leader)
        old = [self._take_out(job) for job in out]
        before = sum(place.cost for place in old if place is not None)
        offers = self._by_price if draw.random() < 0.5 else self._by_carbon
        after = self._put_back(out, offers, may_be_late=leader is not None)
        if after < before * (1 - _GAIN):
            return before - after
        for job, place in zip(out, old, strict=True):
            self._take_out(job)
            self._put(job, place)
        return 0.0

    def _put_back(self, out: list[int], offers: list[Offer], *, may_be_late: bool) -> float:
        """Serve jobs one after the other; what they cost, infinite if one must not be late."""
        after = 0.0
        for job in out:
            place = self._in_time(job, offers)
            if place is None:
                if not may_be_late:
                    return np.inf
                place = self._late(job)
            self._put(job, place)
            after += place.cost
        if offers is self._by_carbon:
            return after
        # Bought at prices; now each by itself at true carbon, in what the others leave.
        for job in out:
            paid = self._take_out(job)
            place = self._in_time(job, self._by_carbon)
            if paid is None or (place is not None and place.cost < paid.cost):
                self._put(job, place)
            else:
                self._put(job, paid)
        return sum(place.cost for job in out if (place := self._places[job]) is not None)


def _late_plans(window: Offer, length: float, due: int, price: float, end: int) -> list[Place]:
    """Plans of a job that ends in the last slot of a window after its due slot."""
    slot, level, _, added, gain, cost = window
    if not len(slot) or gain.sum() < length * (1 - _DONE):
        return []

    def place(chosen: IntArray, share: FloatArray) -> Place:
        last = int(slot[chosen].max())
        # The time in the last slot is that of its first block.
        at_end = float(share[slot[chosen] == last].max())
        late = max(last + at_end - due, 0.0)
        total = float(cost[chosen] @ share) + late * price
        return Place(total, slot[chosen], level[chosen], added[chosen], share, late > 0)

    done = np.cumsum(gain)
    last = int(np.searchsorted(done, length * (1 - _DONE)))
    cheapest = np.arange(last + 1)
    share = np.ones(last + 1)
    share[last] = min(1.0, 1.0 - (done[last] - length) / gain[last])
    found = [place(cheapest, share)]
    before = float(gain[slot < end - 1].sum())
    at_end = slot == end - 1
    if at_end.any() and before < length:
        share = np.ones(len(slot))
        share[at_end] = min(1.0, (length - before) / float(gain[at_end].sum()))
        found.append(place(np.arange(len(slot)), share))
    return found
