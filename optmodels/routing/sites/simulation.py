"""What becomes of single requests when a plan meets queues, bursts and power by the second.

A plan says for each period what runs where and how much flows from each origin. Here single
requests arrive, with their own lengths, and are scheduled one by one (`scheduler`) to the servers
of a site (`serving`), first come, first served. Where the power of a second falls short of what the
plan draws, the site helps itself within that second: a *relief* says which servers go on, at which
settings; by default all kinds are switched off in proportion.

How long a request takes follows from the row at its clock: reading takes the row's TTFT in
proportion to the prompt's length, the rest its remaining time in proportion to the tokens after the
first. A request with its class's mean lengths that does not wait takes exactly the row's times. The
row's times are those of a full batch, so that nothing is gained by an empty one. This, and what
happens when settings change, is ours; the papers do not publish their simulators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import ArrayLike

from optmodels.errors import UsageError
from optmodels.policy import FloatArray
from optmodels.routing.sites.dispatch import Decisions, Dispatch
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.outcomes import DROPPED, LOST, OK, PENDING, Simulated, judged
from optmodels.routing.sites.policies.least_power import shed
from optmodels.routing.sites.profile import IntArray, Profile
from optmodels.routing.sites.requests import Requests
from optmodels.routing.sites.scheduler import KINDS, Scheduler, make_scheduler, queue_limit
from optmodels.routing.sites.serving import Site

_ROUNDING = 1e-9

#: Which servers of a site go on: (site, servers by row, power) to servers by row.
Relief = Callable[[int, IntArray, float], IntArray]


def simulate(
    instance: RoutingInstance,
    decisions: Decisions,
    requests: Requests,
    *,
    power_kw: ArrayLike | None = None,
    relief: Relief | None = None,
    scheduler: str = "round-robin",
    seed: int = 0,
) -> Simulated:
    """Serve requests one by one as a plan says, second by second.

    Parameters
    ----------
    instance
        The fleet.
    decisions
        What runs and flows in each period.
    requests
        What arrives.
    power_kw
        Wind power of each second [kW], shape (seconds, S); by default that of the periods. After
        its end the last value holds.
    relief
        What goes on where the power falls short; its answer must fit the power, or the site
        switches servers off at will.
    scheduler
        "round-robin" or "two-choices".
    seed
        Seed of the scheduler.

    Returns
    -------
    Simulated
        Every request with its outcome.

    Raises
    ------
    UsageError
        The scheduler is unknown, or the power has the wrong shape or a wrong value.
    """
    if scheduler not in KINDS:
        raise UsageError.unknown("scheduler", scheduler, KINDS)
    seconds = decisions.periods * instance.period_seconds
    if power_kw is None:
        period = (np.arange(int(np.ceil(seconds))) / instance.period_seconds).astype(np.int64)
        power = instance.power_kw[np.minimum(period, decisions.periods - 1)]
    else:
        power = np.asarray(power_kw, dtype=np.float64)
    sites = len(instance.sites)
    if power.ndim != 2 or power.shape[1] != sites or not len(power) or not (power >= 0).all():
        raise UsageError(
            f"Power has the shape {power.shape}; allowed: numbers from 0, a row per second and a "
            f"column for each of {sites} sites."
        )
    engine = _Engine(instance, decisions, requests, relief, scheduler, seed)
    return engine.run(power + instance.backup_kw, seconds)


class _Engine:
    """The clock: arrivals, completions, and the sites' steps at each second."""

    def __init__(
        self,
        instance: RoutingInstance,
        decisions: Decisions,
        requests: Requests,
        relief: Relief | None,
        scheduler: str,
        seed: int,
    ) -> None:
        self.instance, self.decisions, self.requests = instance, decisions, requests
        profile: Profile = instance.profile
        self.profile = profile
        self.relief = relief if relief is not None else self._in_proportion
        self.kind, self.rng = scheduler, np.random.default_rng(seed)
        self.sites = [
            Site(profile, int(gpus), instance.idle_kw, instance.reload_seconds, self)
            for gpus in instance.gpus
        ]
        count = len(requests)
        self.start, self.first, self.end = (np.full(count, np.nan) for _ in range(3))
        self.outcome = np.full(count, PENDING, dtype=np.int64)
        self.place = np.full(count, -1, dtype=np.int64)
        self.done: list[tuple[float, int]] = []
        self.origin = requests.origin.tolist()
        classes = instance.tables["classes"]
        mean_in = classes["input_tokens"].to_numpy(dtype=np.float64)
        mean_out = classes["output_tokens"].to_numpy(dtype=np.float64)
        code = requests.request_class
        # Lengths relative to the class: what the row's times are multiplied by.
        self.reading = (requests.input_tokens / mean_in[code]).tolist()
        following = np.maximum(mean_out[code] - 1, 1)
        self.writing = ((requests.output_tokens - 1) / following).tolist()
        self.latest_first = (
            requests.arrival_s + profile.ttft_limit[code] * (1 + _ROUNDING)
        ).tolist()
        self.trip = instance.rtt_s.tolist()
        self.ttft, self.rest = profile.ttft.tolist(), (profile.e2e - profile.ttft).tolist()
        self.alike = _alike(profile)
        self.planned: Dispatch = decisions.at(0, instance.arcs.shape)
        self.choices: dict[tuple[int, int], list[_Choice]] = {}

    def _in_proportion(self, site: int, running: IntArray, limit_kw: float) -> IntArray:
        # Sites that idle warm have less left to run on; what that is, they see to themselves.
        return shed(running, self.profile.kw, limit_kw)

    # ------------------------------------------------------------------- what sites ask for
    def begin(self, request: int, row: int, now: float) -> None:
        """Start a request on a server that runs a row."""
        first = now + self.ttft[row] * self.reading[request]
        end = first + self.rest[row] * self.writing[request]
        self.start[request], self.first[request], self.end[request] = now, first, end
        heappush(self.done, (end, request))

    def in_time(self, request: int, row: int, now: float) -> bool:
        """Whether the first token could still be in time if the request began now."""
        first = now + self.ttft[row] * self.reading[request]
        trip = self.trip[self.origin[request]][self.place[request]]
        return bool(first + trip <= self.latest_first[request])

    def give_up(self, request: int) -> None:
        """Drop a request that has waited for too long."""
        self.outcome[request] = DROPPED

    def change_speed(self, request: int, before: int, after: int, now: float) -> None:
        """Go on with a request in service at the speed of another row."""
        profile, code = self.profile, int(self.requests.request_class[request])
        # The rows of its own class at the two settings, if there are any.
        own = [
            row
            if profile.row_class[row] == code
            else self.alike.get((code, *_setting(profile, row)), -1)
            for row in (before, after)
        ]
        old, new = (before, after) if min(own) < 0 else own
        first, end = float(self.first[request]), float(self.end[request])
        read = max(first - now, 0.0) * _ratio(profile.ttft, old, new)
        written = (end - max(first, now)) * _ratio(profile.tbt, old, new)
        if first > now:
            self.first[request] = now + read
        self.end[request] = now + read + written
        heappush(self.done, (float(self.end[request]), request))

    def lose(self, request: int) -> None:
        """Give up a request in service."""
        self.outcome[request] = LOST
        self.end[request] = np.nan

    # ------------------------------------------------------------------------------ the clock
    def run(self, limit_kw: FloatArray, seconds: float) -> Simulated:
        """Serve everything and judge it."""
        arrivals = self.requests.arrival_s.tolist()
        draws: list[list[float]] = []
        limits: list[FloatArray] = []
        period, second, following = -1, 0, 0
        while second < seconds or following < len(arrivals) or self._busy():
            now = float(second)
            self._complete(now)
            current = min(int(now / self.instance.period_seconds), self.decisions.periods - 1)
            if current != period:
                period = current
                self.planned = self.decisions.at(period, self.instance.arcs.shape)
                self.choices.clear()
            limits.append(limit_kw[min(second, len(limit_kw) - 1)])
            draws.append(self._step(now, limits[-1]))
            while following < len(arrivals) and arrivals[following] < now + 1:
                self._complete(arrivals[following])
                self.schedule(following, arrivals[following])
                following += 1
            second += 1
        return judged(
            self.instance,
            self.requests,
            outcome=self.outcome,
            place=self.place,
            start_s=self.start,
            first_s=self.first,
            end_s=self.end,
            seconds=seconds,
            draw_kw=np.array(draws),
            limit_kw=np.array(limits),
            reloads=sum(site.reloads for site in self.sites),
        )

    def _busy(self) -> bool:
        waiting = any(any(site.waiting.values()) for site in self.sites)
        return waiting or any(site.owner for site in self.sites)

    def _complete(self, now: float) -> None:
        """Finish what is done by now."""
        while self.done and self.done[0][0] <= now:
            end, request = heappop(self.done)
            # Entries of requests that were lost, or that changed their speed, are void.
            if self.end[request] == end and self.outcome[request] == PENDING:
                self.outcome[request] = OK
                self.sites[self.place[request]].finish(request, end)

    def _step(self, now: float, limit_kw: FloatArray) -> list[float]:
        """Let every site go towards what is planned, as far as its power goes."""
        orphans: list[int] = []
        draws = []
        for s, site in enumerate(self.sites):
            running, kw = self.planned.running[s], float(limit_kw[s])
            if float(self.profile.kw @ running) > kw * (1 + _ROUNDING):
                running = self.relief(s, running, kw)
            found = site.step(now, running, self.planned.configured[s], kw)
            if found is not None:
                self.choices.clear()
                orphans += found
            draws.append(site.draw_kw)
        for request in sorted(orphans):
            self.schedule(request, now)
        return draws

    # --------------------------------------------------------------------------- scheduling
    def schedule(self, request: int, now: float) -> None:
        """Send a request to a row of a site, or drop it."""
        key = (int(self.requests.origin[request]), int(self.requests.request_class[request]))
        if key not in self.choices:
            self.choices[key] = self._choices(*key)
        for choice in self.choices[key]:
            queues = [self.sites[s].queue(r) for s, r in choice.pools]
            found = choice.scheduler.choose(queues, choice.limits)
            if found is not None:
                site, row = choice.pools[found]
                self.place[request] = site
                self.sites[site].accept(request, row, now)
                return
        self.outcome[request] = DROPPED

    def _choices(self, origin: int, code: int) -> list[_Choice]:
        """First what the plan's flows use, then all else that keeps the limits.

        The flow to a site is divided among its rows by what their servers serve.
        """
        profile, arcs = self.profile, self.instance.arcs[origin]
        mine = profile.row_class == code
        flow = self.planned.flow[origin][:, mine].sum(axis=1)
        planned: list[tuple[int, int, float]] = []
        other: list[tuple[int, int, float]] = []
        for s, site in enumerate(self.sites):
            rows = [row for row in site.active if mine[row]]
            kept = [row for row in rows if arcs[s, row]]
            if flow[s] > 0:
                # A site that can only serve them late does so if the plan says so.
                used = kept or rows
                serves = [site.active[row] * float(profile.rate[row]) for row in used]
                planned += [
                    (s, row, float(flow[s]) * part / sum(serves))
                    for row, part in zip(used, serves, strict=True)
                ]
            else:
                other += [(s, row, site.active[row] * float(profile.rate[row])) for row in kept]
        return [self._choice(origin, pools) for pools in (planned, other) if pools]

    def _choice(self, origin: int, weighted: list[tuple[int, int, float]]) -> _Choice:
        profile = self.profile
        limits = []
        for s, row, _ in weighted:
            ttft, rate = float(profile.ttft[row]), float(profile.rate[row])
            allowed = float(profile.ttft_limit[profile.row_class[row]])
            slack = allowed - ttft - float(self.instance.rtt_s[origin, s])
            limits.append(queue_limit(slack, ttft, rate, self.sites[s].active[row]))
        scheduler = make_scheduler(self.kind, [weight for _, _, weight in weighted], self.rng)
        return _Choice(scheduler, [(s, row) for s, row, _ in weighted], limits)


@dataclass(frozen=True, eq=False)
class _Choice:
    """Pools (site, row) that a scheduler chooses among, and how many may wait at each."""

    scheduler: Scheduler
    pools: list[tuple[int, int]]
    limits: list[int]


def _setting(profile: Profile, row: int) -> tuple[int, float, float]:
    return int(profile.tp[row]), float(profile.frequency[row]), float(profile.batch[row])


def _alike(profile: Profile) -> dict[tuple[int, int, float, float], int]:
    """Row of each class and setting."""
    return {
        (int(profile.row_class[row]), *_setting(profile, row)): row for row in range(profile.count)
    }


def _ratio(times: FloatArray, before: int, after: int) -> float:
    """How much longer something takes by one row than by another."""
    return float(times[after] / times[before]) if times[before] > 0 else 1.0
