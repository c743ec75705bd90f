"""Heron: a planner that looks a slot ahead, and a controller that follows the power.

After "AI Greenferencing" (arXiv:2505.09989). At the start of a slot Planner-L chooses what is
configured, for the power and the demand that are expected in it; in every period Planner-S runs
and sends the best of what is configured, for the power and the demand that are metered
(`optmodels.routing.sites.planner`, `.control`).

What is expected is hedged, as too little power costs more than too much. Of two predictions, the
forecast and the present value, each site takes the one that was closer in the last day, and adds to
it the quantile τ of the errors that it made then: with τ = 0.2 the power was higher in four of five
slots. Demand is expected as it is now, and a share more. The paper says that wind and arrivals are
predictable at a quarter of an hour; the hedge is ours.

Requests do not arrive evenly. So instances run for a share more than the demand, the spare, in
every period in which nobody has to be turned away for that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, Observation
from optmodels.routing.sites.control import Controller
from optmodels.routing.sites.dispatch import Dispatch
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.planner import Planner
from optmodels.routing.sites.policies.base import RoutingPolicy
from optmodels.routing.sites.profile import IntArray
from optmodels.routing.sites.replay import POWER, split_series
from optmodels.routing.sites.sending import Sender

#: Errors from which a quantile may be taken.
_FEWEST_ERRORS = 4
#: Share of the demand that may be lost without counting as a loss.
_NOTHING = 1e-9


class Expectation:
    """What power a site has in the slot that starts, and how wrong that has been.

    Parameters
    ----------
    sites
        Number of sites.
    periods
        Periods of a slot.
    memory
        Slots whose errors are remembered.
    past_kw
        Power before the first period [kW], shape (T', S), or None: it tells how far the power
        moves within a slot.
    """

    def __init__(self, sites: int, periods: int, memory: int, past_kw: FloatArray | None) -> None:
        self._sites, self._periods = sites, periods
        #: Errors by slot: of the present value, and of the forecast, shape (2, S).
        self._errors: deque[FloatArray] = deque(maxlen=memory)
        self._predicted: FloatArray | None = None
        if past_kw is None:
            return
        for start in range(0, len(past_kw) - periods + 1, periods):
            slot = past_kw[start : start + periods]
            moved = slot.mean(axis=0) - slot[0]
            # Of the forecast nothing is known yet.
            self._errors.append(np.stack([moved, np.full(sites, np.nan)]))

    def at(self, seen: FloatArray, ahead: FloatArray | None, share: float) -> FloatArray:
        """Power that is expected in the slot that starts [kW], shape (S,).

        Parameters
        ----------
        seen
            Power up to now [kW], shape (t + 1, S).
        ahead
            Power as forecast from now on, shape (T - t, S), or None.
        share
            Quantile of the errors that is added.
        """
        if self._predicted is not None:
            # The slot that has just ended: without the period that starts now.
            was = seen[-1 - self._periods : -1].mean(axis=0)
            self._errors.append(was - self._predicted)
        present: FloatArray = seen[-1]
        told = present if ahead is None else ahead[: self._periods].mean(axis=0)
        self._predicted = np.stack([present, told])
        if not self._errors:
            return present
        errors = np.stack(self._errors)
        expected = np.empty(self._sites)
        for s in range(self._sites):
            known = [one[~np.isnan(one)] for one in errors[:, :, s].T]
            off = [np.abs(one).mean() if len(one) >= _FEWEST_ERRORS else np.inf for one in known]
            best = int(np.argmin(off))
            shift = np.quantile(known[best], share) if np.isfinite(off[best]) else 0.0
            expected[s] = self._predicted[best, s] + shift
        hedged: FloatArray = np.maximum(expected, 0.0)
        return hedged


class Heron(RoutingPolicy):
    """Planner-L at the start of slots, Planner-S in every period.

    Parameters
    ----------
    quantile
        τ: share of the slots in which the power may be lower than expected.
    headroom
        Demand that slots are planned for beyond what is metered, as a share.
    spare
        Demand that instances run for beyond what is metered, as a share, where nobody has to be
        turned away for it.

    Raises
    ------
    UsageError
        A number is out of range.

    Notes
    -----
    - Assumptions: the errors of the last day's predictions are like the next ones.
    - Proven ratio: none online; each plan of a slot comes with a proven bound for what was
      expected.
    - Complexity: one linear programme per slot and one per period, of S R variables (S sites, R
      rows of settings), then rounding.
    - Reference: Heron ("AI Greenferencing"), arXiv:2505.09989; formulas and hedge are ours.
    """

    name = "heron"
    summary = "plans each slot on a hedged forecast, follows power and demand in every period"
    needs: ClassVar[frozenset[str]] = frozenset({"forecast"})

    def __init__(self, quantile: float = 0.2, headroom: float = 0.1, spare: float = 0.25) -> None:
        if not 0 <= quantile <= 1:
            raise UsageError(f"The quantile is {quantile}; allowed: 0 to 1.")
        for name, value in (("headroom", headroom), ("spare", spare)):
            if not 0 <= value <= 10:
                raise UsageError(f"The {name} is {value}; allowed: 0 to 10.")
        self.quantile, self.headroom = float(quantile), float(headroom)
        self.spare = float(spare)

    def start(self) -> None:
        """Build the planners' programmes."""
        header = self.header
        fleet = Fleet.of(header)
        self._planner = Planner(fleet, header.second_objective)
        self._controller = Controller(fleet, header.second_objective)
        self._sender = Sender(fleet)
        slots_per_day = max(1, header.periods_per_day // header.periods_per_slot)
        self._expectation = Expectation(
            len(header.sites), header.periods_per_slot, slots_per_day, header.past_kw
        )
        slot_seconds = header.period_seconds * header.periods_per_slot
        self._reload_share = min(1.0, header.reload_seconds / slot_seconds)
        self._short = False
        self._demand = np.zeros((fleet.origins, fleet.classes))
        self._configured: IntArray = np.zeros((fleet.sites, len(fleet.degrees)), dtype=np.int64)
        self._running: IntArray = np.zeros((fleet.sites, fleet.rows), dtype=np.int64)

    def plan(self, observation: Observation) -> None:
        """Choose what is configured, for the power and demand that are expected."""
        header, ahead = self.header, None
        if observation.forecast is not None:
            ahead, _ = split_series(header, observation.forecast)
        power = self._expectation.at(observation.past[POWER], ahead, self.quantile)
        first = observation.state.period == 0
        planned = self._planner.plan(
            power,
            self.demand(observation) * (1 + self.headroom),
            before=None if first else observation.state.configured,
            reload_share=0.0 if first else self._reload_share,
        )
        self._configured, self._running = planned.configured, planned.running

    def dispatch(self, observation: Observation) -> Dispatch:
        """Run and send the best of what is configured, with room to spare where that is free."""
        self._demand = self.demand(observation)
        # Where somebody was turned away in the period before, this one is likely to be as short.
        exact = self._controlled(observation, 0.0) if self._short else None
        if exact is None or exact.whole:
            roomy = self._controlled(observation, self.spare)
            exact = roomy if roomy.whole else exact or self._controlled(observation, 0.0)
        self._short = not exact.whole
        self._running = exact.dispatch.running
        return exact.dispatch

    def relief(self, site: int, running: IntArray, limit_kw: float) -> IntArray:
        """Step down at this site, the least loss for each kW first."""
        header = self.header
        every = np.zeros((len(header.sites), header.profile.count), dtype=np.int64)
        every[site] = running
        least = np.zeros(len(header.sites))
        least[site] = max(limit_kw - header.backup_kw[site], 0.0)
        kept: IntArray = self._controller.shed(every, least, self._demand)[site]
        return kept

    def _controlled(self, observation: Observation, spare: float) -> _Choice:
        """Run what serves the demand and some spare, and send the demand."""
        demand = self._demand
        effective, _ = observation.state.loading.after(self._configured)
        found = self._controller.control(
            observation.past[POWER][-1],
            demand * (1 + spare),
            self._configured,
            effective=effective,
            planned=self._running,
        ).dispatch
        sent = self._sender.send(found.running, demand, np.minimum(effective, found.configured))
        whole = sent.lost <= _NOTHING * float(demand.sum(axis=0) @ self.header.weight)
        return _Choice(Dispatch(found.configured, found.running, sent.flow), whole)


@dataclass(frozen=True, eq=False)
class _Choice:
    """A dispatch, and whether it turns nobody away."""

    dispatch: Dispatch
    whole: bool
