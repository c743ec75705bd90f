"""Baselines: a fleet in which every site runs by itself, as DynamoLLM does, and a simple router.

DynamoLLM (Stojkovic et al., arXiv:2408.00741) runs one site with the least energy that keeps the
latency limits: a pool of instances for each class, of the right number, parallelism and frequency.
It knows nothing of a power that runs out. Heron's paper (arXiv:2505.09989) holds its router against
such sites behind a router by power or by latency; the successor's (XWind, arXiv:2605.23348) adds
capping and idling. Neither gives formulas: how the pieces below fit together is ours. Everybody
plans with the same rows, and knows of each row whether it keeps the limits from the origins that
the site can serve, the round trip included.

=====================  ============================================================================
policy                 what it does
=====================  ============================================================================
weighted-round-robin   requests go to the sites in proportion to their power at the start of the
                       slot, at most what all GPUs of a site can draw; each site plans for least
                       power, and where that is more than there is, switches off in proportion
greedy-latency         the largest class first, each to the nearest site until its GPUs or its
                       power are used up
power-capping          as weighted-round-robin at full frequency; where the power falls short, all
                       instances of the site slow down to one frequency that it can feed
gpu-idling             as weighted-round-robin at full frequency; where the power falls short,
                       instances are switched off
=====================  ============================================================================

Pools are sized at the start of a slot for the demand then and some headroom. Within the slot each
pool switches instances off, and chooses among the settings that its parallelism has.
"""

from __future__ import annotations

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.policies import flows
from optmodels.routing.sites.policies.base import RoutingPolicy
from optmodels.routing.sites.policies.least_power import LeastPower, shed, with_spare
from optmodels.routing.sites.profile import BoolArray, IntArray

_ROUNDING = 1e-9


class SiteBySite(RoutingPolicy):
    """Base of the baselines; subclasses say where requests go and what gives way to the power.

    Parameters
    ----------
    headroom
        Demand that pools are sized for beyond that of the period in which they are, as a share.

    Raises
    ------
    UsageError
        The headroom is out of range.
    """

    def __init__(self, headroom: float = 0.1) -> None:
        if not 0 <= headroom <= 10:
            raise UsageError(f"The headroom is {headroom}; allowed: 0 to 10.")
        self.headroom = float(headroom)

    def start(self) -> None:
        """Work out which rows each site may use."""
        header = self.header
        profile = header.profile
        self.reach = flows.reachable(profile, header.arcs)
        self.usable = flows.rows_for_all(profile, header.arcs) & self.allowed
        # Power that a running instance adds to that of its idle GPUs.
        self.added_kw = profile.kw - header.idle_kw * profile.tp
        # Most power that the GPUs of each site can draw.
        self.full_kw = header.gpus * float((profile.kw / profile.tp).max())
        # Pool that each row belongs to.
        self.pool_of = profile.row_class * len(profile.degrees) + profile.degree_of
        planners: dict[bytes, LeastPower] = {}
        self.planners = [
            planners.setdefault(rows.tobytes(), LeastPower(profile, rows, self.added_kw))
            for rows in self.usable
        ]
        # Of each pool: the load it was planned to carry, and its instances.
        self.carries = np.zeros((len(header.gpus), profile.count))
        self.pools = np.zeros((len(header.gpus), self.pool_count), dtype=np.int64)
        self.share = np.zeros(self.reach.shape)
        self.configured = np.zeros((len(header.gpus), len(profile.degrees)), np.int64)

    @property
    def allowed(self) -> BoolArray:
        """Rows that the policy uses at all, shape (R,)."""
        return np.ones(self.header.profile.count, dtype=bool)

    @property
    def pool_count(self) -> int:
        """Pools of a site: one for each class and degree."""
        return self.header.profile.classes * len(self.header.profile.degrees)

    # ---------------------------------------------------------------------------- at slot starts
    def plan(self, observation: Observation) -> None:
        """Decide where requests go, and size the pools of each site for them."""
        header, profile = self.header, self.header.profile
        demand = self.demand(observation) * (1 + self.headroom)
        planned = self.route(self.limit_kw(observation), demand)
        before = observation.state.configured
        of_pool = self.pool_of[:, None] == np.arange(self.pool_count)
        self.pools = planned @ of_pool.astype(np.int64)
        self.carries = planned * profile.rate
        needed = flows.instances_by_degree(profile, planned)
        if header.idle_kw > 0:
            self.configured = needed
            return
        self.configured = np.array(
            [
                with_spare(needed[s], before[s], profile.degrees, int(gpus))
                for s, gpus in enumerate(header.gpus)
            ]
        )

    def route(self, limit_kw: FloatArray, demand: FloatArray) -> IntArray:
        """Set `share`, and plan the instances of each site for it, shape (S, R)."""
        header = self.header
        weight = np.minimum(limit_kw, self.full_kw)
        weighted = self.reach * weight[:, None]
        total = weighted.sum(axis=1, keepdims=True)
        self.share = np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0)
        load = (self.share * demand[:, None, :]).sum(axis=0)
        return np.array(
            [
                planner.whole(load[s], int(gpus))
                for s, (planner, gpus) in enumerate(zip(self.planners, header.gpus, strict=True))
            ]
        )

    # --------------------------------------------------------------------------- in every period
    def dispatch(self, observation: Observation) -> Dispatch:
        """Run what the pools need, as far as the power goes."""
        header, profile = self.header, self.header.profile
        limit_kw = self.limit_kw(observation)
        load = self.share * self.demand(observation)[:, None, :]
        wanted = self._settings(load.sum(axis=0))
        configured = self._within(self.configured, limit_kw)
        left_kw = limit_kw - header.idle_kw * (configured @ profile.degrees)
        running = np.array(
            [
                self.within_power(self._standing(wanted[s], configured[s]), float(left_kw[s]))
                for s in range(len(header.gpus))
            ]
        )
        serves = flows.capacity(profile, running, configured, observation.state.loading)
        return Dispatch(configured, running, flows.spread(profile, load, serves))

    def within_power(self, running: IntArray, limit_kw: float) -> IntArray:
        """What of a site's instances runs on the power that it has, shape (R,)."""
        return shed(running, self.added_kw, limit_kw)

    def relief(self, site: int, running: IntArray, limit_kw: float) -> IntArray:
        """Do within a period what is done at its start."""
        return self.within_power(running, limit_kw)

    def _settings(self, load: FloatArray) -> IntArray:
        """Of each pool, the setting that carries its load with the least power, shape (S, R)."""
        profile = self.header.profile
        sites = np.arange(len(load))[:, None]
        # The load of a class goes to its pools as it was planned.
        pooled = np.zeros(self.pools.shape)
        np.add.at(pooled, (sites, self.pool_of[None, :]), self.carries)
        planned = flows.by_class(profile, self.carries)[:, profile.row_class]
        part = np.divide(
            pooled[:, self.pool_of], planned, out=np.zeros_like(planned), where=planned > 0
        )
        of_pool = load[:, profile.row_class] * part
        instances = self.pools[:, self.pool_of]
        needed = np.minimum(
            np.ceil(of_pool / profile.rate * (1 - _ROUNDING)).astype(np.int64), instances
        )
        missed = np.maximum(of_pool - needed * profile.rate, 0.0)
        missed[missed <= _ROUNDING * of_pool] = 0.0
        missed[~self.usable] = np.inf
        # The first of each pool: the least load left over, then the least power.
        pool = np.broadcast_to(self.pool_of, missed.shape)
        order = np.lexsort((needed * self.added_kw, missed, pool), axis=-1)
        sorted_pool = np.take_along_axis(pool, order, axis=1)
        first = np.ones(missed.shape, dtype=bool)
        first[:, 1:] = sorted_pool[:, 1:] != sorted_pool[:, :-1]
        chosen = np.zeros(missed.shape, dtype=bool)
        np.put_along_axis(chosen, order, first, axis=1)
        running: IntArray = np.where(chosen & self.usable, needed, 0)
        return running

    def _within(self, configured: IntArray, limit_kw: FloatArray) -> IntArray:
        """What may stay configured where idle GPUs draw power: no more than the site can feed."""
        if self.header.idle_kw == 0:
            return configured
        idle: FloatArray = self.header.idle_kw * self.header.profile.degrees.astype(np.float64)
        return np.array(
            [
                shed(of_site, idle, float(kw))
                for of_site, kw in zip(configured, limit_kw, strict=True)
            ]
        )

    def _standing(self, running: IntArray, configured: IntArray) -> IntArray:
        """No more instances than are configured, degree by degree."""
        kept = running.copy()
        ones = np.ones(len(kept))
        for degree, most in enumerate(configured):
            rows = np.flatnonzero(self.header.profile.degree_of == degree)
            kept[rows] = shed(kept[rows], ones[rows], float(most))
        return kept


class WeightedRoundRobin(SiteBySite):
    """Requests in proportion to the sites' power, each site by itself.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(S C R log R) per period; S sites, C classes, R rows of settings.
    - Reference: DynamoLLM, arXiv:2408.00741, at each site; put together by us.
    """

    name = "weighted-round-robin"
    summary = "requests in proportion to the power of the sites, least power at each (DynamoLLM)"


class GreedyLatency(SiteBySite):
    """Requests to the nearest site that has GPUs and power left, the largest class first.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(S C R log R) per period; S sites, C classes, R rows of settings.
    - Reference: DynamoLLM, arXiv:2408.00741, at each site; put together by us.
    """

    name = "greedy-latency"
    summary = "requests to the nearest site until it is full, least power at each (DynamoLLM)"

    def route(self, limit_kw: FloatArray, demand: FloatArray) -> IntArray:
        """Fill the sites, nearest first, with one class after the other."""
        header, profile = self.header, self.header.profile
        planned = np.zeros(self.usable.shape, dtype=np.int64)
        given = np.zeros(self.reach.shape)
        free_gpus, free_kw = header.gpus.astype(np.int64), limit_kw.astype(np.float64)
        for c in np.argsort(-demand.sum(axis=0), kind="stable"):
            for origin in np.argsort(-demand[:, c], kind="stable"):
                left = float(demand[origin, c])
                for s in np.argsort(header.rtt_s[origin], kind="stable"):
                    if left <= 0 or not self.reach[origin, s, c]:
                        continue
                    rows = np.flatnonzero(self.usable[s] & (profile.row_class == c))
                    row, count, served = self._best(
                        rows, left, int(free_gpus[s]), float(free_kw[s])
                    )
                    planned[s, row] += count
                    given[origin, s, c] += served
                    free_gpus[s] -= count * profile.tp[row]
                    free_kw[s] -= count * profile.kw[row]
                    left -= served
        total = given.sum(axis=1, keepdims=True)
        # What nobody had room for goes where the rest of its class goes.
        self.share = np.divide(given, total, out=np.zeros_like(given), where=total > 0)
        return planned

    def _best(
        self, rows: IntArray, load: float, gpus: int, limit_kw: float
    ) -> tuple[int, int, float]:
        """Row that serves most of a load, its instances, and what they serve."""
        profile = self.header.profile
        needed = np.ceil(load / profile.rate[rows] * (1 - _ROUNDING))
        count = np.minimum(needed, gpus // profile.tp[rows])
        count = np.minimum(count, np.floor(max(limit_kw, 0.0) / profile.kw[rows]))
        served = np.minimum(count * profile.rate[rows], load)
        most = served >= served.max() * (1 - _ROUNDING)
        best = int(np.argmin(np.where(most, count * self.added_kw[rows], np.inf)))
        return int(rows[best]), int(count[best]), float(served[best])


class _FullFrequency(SiteBySite):
    """Base of the policies that plan at full frequency."""

    @property
    def allowed(self) -> BoolArray:
        """Rows at the highest frequency."""
        frequency = self.header.profile.frequency
        return np.asarray(frequency >= frequency.max() * (1 - _ROUNDING))


class PowerCapping(_FullFrequency):
    """Full frequency, and one lower for all instances of a site that has too little power.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(S C R log R) per period; S sites, C classes, R rows of settings.
    - Reference: named by XWind, arXiv:2605.23348; its form is ours.
    """

    name = "power-capping"
    summary = "weighted round robin at full frequency; short sites slow all instances down"

    def start(self) -> None:
        """Work out what each row becomes when it is slowed down."""
        super().start()
        self._slowed = self._becomes()

    def _becomes(self) -> IntArray:
        """Row that each row becomes at each frequency, highest first, shape (F, R).

        Faster rows become the same class, degree and batch at the highest frequency that is
        measured and not above the asked one, or the slowest that is measured.
        """
        profile = self.header.profile
        frequencies = np.unique(profile.frequency)[::-1]
        kinds = np.column_stack([profile.row_class, profile.tp, profile.batch])
        _, kind = np.unique(kinds, axis=0, return_inverse=True)
        becomes = np.tile(np.arange(profile.count), (len(frequencies), 1))
        for member in range(int(kind.max()) + 1):
            rows = np.flatnonzero(kind.ravel() == member)
            rows = rows[np.argsort(-profile.frequency[rows], kind="stable")]
            for i, frequency in enumerate(frequencies):
                slow = profile.frequency[rows] <= frequency * (1 + _ROUNDING)
                becomes[i, rows[~slow]] = rows[slow][0] if slow.any() else rows[-1]
        return becomes

    def within_power(self, running: IntArray, limit_kw: float) -> IntArray:
        """Slow all instances down to the highest frequency that the site can feed."""
        slowed = running
        for becomes in self._slowed:
            slowed = np.zeros_like(running)
            np.add.at(slowed, becomes, running)
            if float(self.added_kw @ slowed) <= limit_kw:
                return slowed
        return shed(slowed, self.added_kw, limit_kw)


class GpuIdling(_FullFrequency):
    """Full frequency, and instances switched off where there is too little power.

    Notes
    -----
    - Assumptions: none.
    - Proven ratio: none.
    - Complexity: O(S C R log R) per period; S sites, C classes, R rows of settings.
    - Reference: named by XWind, arXiv:2605.23348; its form is ours.
    """

    name = "gpu-idling"
    summary = "weighted round robin at full frequency; short sites switch instances off"
