"""Planner-S: what runs in a period, on the power and demand that are metered.

What is configured is given; which rows run, at which clock and batch, and where requests go is
chosen anew for what is really there. Three tools:

- `Controller.control` solves the linear programme of all sites on the configured instances, makes
  it whole, and sends the requests: sites with power to spare take over what others cannot serve.
- `Controller.shed` is the emergency of one moment: no programme, only steps down. A step moves an
  instance to a row of less power or switches it off; the step that loses the least for each kW it
  saves comes first. It ends when every site draws no more than it has, also where a site has
  nothing left at all.
- `Sender` (`optmodels.routing.sites.sending`) finds the flows.

The public abstract of Heron ("AI Greenferencing", arXiv:2505.09989) gives no procedure for the
seconds in which power moves; this one is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.fleet import Fleet, IntArray
from optmodels.routing.sites.programme import Costs, Programme
from optmodels.routing.sites.rounding import Limits, configuration, left_over, whole
from optmodels.routing.sites.sending import Sender

#: Power that is rounding, relative to what a site has.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Controlled:
    """A dispatch of a period, and what the linear programme says of it.

    Attributes
    ----------
    dispatch
        What is configured, runs and flows.
    lost
        Weighted requests that are lost [1/s].
    bound
        With these instances configured nobody loses less [1/s].
    """

    dispatch: Dispatch
    lost: float
    bound: float


class Controller:
    """Controls one fleet period by period.

    Parameters
    ----------
    fleet
        The fleet.
    second
        What is least among dispatches that lose equally few: "latency" or "power".
    """

    def __init__(self, fleet: Fleet, second: str = "latency") -> None:
        self.fleet = fleet
        self._programme = Programme(fleet, Costs.second(fleet, second))
        self._sender = Sender(fleet)

    def control(
        self,
        power_kw: FloatArray,
        demand: FloatArray,
        configured: IntArray,
        *,
        effective: FloatArray | None = None,
        planned: IntArray | None = None,
    ) -> Controlled:
        """Run and send the best of what is configured.

        Parameters
        ----------
        power_kw
            Wind power of each site now [kW], (S,).
        demand
            Arriving requests now [1/s], (O, C).
        configured
            Configured instances, (S, G). Fewer are in the answer only where idle ones draw power
            that is not there.
        effective
            Of them those that serve, as a mean over the period, (S, G); by default all.
        planned
            Running instances that were planned, (S, R): where they are allowed and serve more than
            what is found here, they are taken.
        """
        fleet = self.fleet
        serving = configured.astype(np.float64) if effective is None else effective
        point = self._programme.solve(
            power_kw,
            demand,
            before=serving,
            reload_share=1.0,
            most_configured=configured.astype(np.float64),
        )
        most = power_kw + fleet.backup_kw
        limits = Limits(most, np.minimum(configured, np.ceil(serving).astype(np.int64)))
        running = whole(fleet, point, demand, limits)
        if planned is not None:
            kept = self.shed(limits.cut(fleet, planned), power_kw, demand)
            kept = whole(fleet, point, demand, limits, kept)
            if left_over(fleet, kept, demand) < left_over(fleet, running, demand):
                running = kept
        return self._send(running, configured, most, demand, serving, max(point.bound, 0.0))

    def emergency(
        self,
        power_kw: FloatArray,
        demand: FloatArray,
        configured: IntArray,
        running: IntArray,
        *,
        effective: FloatArray | None = None,
    ) -> Controlled:
        """Step down to the power there is, and send what can still be served."""
        kept = self.shed(running, power_kw, demand)
        return self.send(power_kw, demand, configured, kept, effective)

    def send(
        self,
        power_kw: FloatArray,
        demand: FloatArray,
        configured: IntArray,
        running: IntArray,
        effective: FloatArray | None = None,
    ) -> Controlled:
        """Send the requests to instances that run within all limits."""
        serving = configured.astype(np.float64) if effective is None else effective
        most = power_kw + self.fleet.backup_kw
        return self._send(running, configured, most, demand, serving, 0.0)

    def _send(
        self,
        running: IntArray,
        configured: IntArray,
        most: FloatArray,
        demand: FloatArray,
        serving: FloatArray,
        bound: float,
    ) -> Controlled:
        held = configuration(self.fleet, running, most, before=configured)
        sent = self._sender.send(running, demand, np.minimum(serving, held))
        return Controlled(Dispatch(held, running, sent.flow), sent.lost, min(bound, sent.lost))

    # -- the emergency -----------------------------------------------------------------------

    def shed(self, running: IntArray, power_kw: FloatArray, demand: FloatArray) -> IntArray:
        """Step down until every site draws no more than it has.

        Parameters
        ----------
        running
            Running instances, (S, R).
        power_kw
            Wind power of each site now [kW], (S,).
        demand
            Arriving requests now [1/s], (O, C): what is beyond them is given up first.

        Returns
        -------
        IntArray
            Running instances that draw no more than the power and the grid give, (S, R).
        """
        fleet = self.fleet
        kept = running.astype(np.int64)
        capacity = np.zeros(fleet.classes)
        np.add.at(capacity, fleet.row_class, kept.sum(axis=0) * fleet.rate)
        slack = np.maximum(capacity - demand.sum(axis=0), 0.0)
        most = power_kw + fleet.backup_kw
        for s in np.flatnonzero(kept @ fleet.kw > most).tolist():
            self._shed_site(s, kept, float(most[s]), slack)
        return kept

    def _shed_site(self, s: int, kept: IntArray, most: float, slack: FloatArray) -> None:
        """Step down at one site; what is given up is taken from the slack first."""
        fleet = self.fleet
        steps = self._steps[s]
        while True:
            excess = float(kept[s] @ fleet.kw) - most
            if excess <= _ROUNDING * most:
                return
            rows = np.flatnonzero(kept[s])
            of_class = fleet.row_class[rows]
            given_up, saved = steps.rate[rows], steps.kw[rows]
            loss = np.maximum(given_up - slack[of_class], 0.0) * fleet.weight[of_class] / saved
            i = int(np.lexsort((-saved, loss))[0])
            r, c = int(rows[i]), int(of_class[i])
            count = min(int(kept[s, r]), int(np.ceil(excess / saved[i])))
            if given_up[i] > 0 and loss[i] <= 0:
                count = min(count, max(1, int(slack[c] / given_up[i])))
            kept[s, r] -= count
            if steps.to[r] >= 0:
                kept[s, steps.to[r]] += count
            slack[c] = max(0.0, slack[c] - count * float(given_up[i]))

    @cached_property
    def _steps(self) -> list[_Steps]:
        """The cheapest step down from every row, by site; like sites share them."""
        fleet = self.fleet
        known: dict[bytes, _Steps] = {}
        for s in range(fleet.sites):
            key = fleet.reach[s].tobytes()
            if key not in known:
                known[key] = _steps_of(fleet, s)
        return [known[fleet.reach[s].tobytes()] for s in range(fleet.sites)]


@dataclass(frozen=True, eq=False)
class _Steps:
    """The step down from each row: to another row, or off.

    Attributes
    ----------
    to
        Row after the step, -1 for off, (R,).
    rate, kw
        Requests [1/s] and power [kW] that the step gives up, (R,).
    """

    to: IntArray
    rate: FloatArray
    kw: FloatArray


def _steps_of(fleet: Fleet, s: int) -> _Steps:
    """Steps of one site: the least rate given up for each kW, the largest step among equals."""
    to = np.full(fleet.rows, -1, dtype=np.int64)
    rate, kw = fleet.rate.copy(), fleet.kw.copy()
    best = rate / kw
    kind = fleet.row_class * len(fleet.degrees) + fleet.degree_of
    origins = fleet.reach_origins[fleet.reach[s]]
    for k in np.unique(kind).tolist():
        rows = np.flatnonzero(kind == k)
        saved = fleet.kw[rows][:, None] - fleet.kw[rows]
        given_up = fleet.rate[rows][:, None] - fleet.rate[rows]
        reaches = (origins[rows] >= origins[rows][:, None]).all(axis=2)
        allowed = reaches & (saved > 0) & origins[rows].any(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = np.where(allowed, given_up / saved, np.inf)
        lowest = loss.min(axis=1)
        ties = np.where(loss <= lowest[:, None], saved, -1.0)
        target = ties.argmax(axis=1)
        better = lowest < best[rows]
        chosen, place = rows[better], target[better]
        to[chosen] = rows[place]
        rate[chosen] = given_up[better, place]
        kw[chosen] = saved[better, place]
    return _Steps(to, rate, kw)
