"""Whole plans from single periods, with knowledge of all of them: the makers of the oracle.

Each period is planned for its own power and demand, which the oracle knows, and for what is then
configured the best dispatch is found. How often what is configured is thought over, and how much of
the loading is charged to the period in which it happens, is tried in some ways:

==========  ========================================================================================
way         what is configured
==========  ========================================================================================
"eager"     anew in each period; loading is charged as if its use lasted for a slot
"prudent"   anew in each period; loading is charged in full
"slots"     at the start of a slot, for the mean power and demand of its periods
==========  ========================================================================================

A change of what is configured that serves nobody costs nothing either: what is not needed now stays
where it fits (`optmodels.routing.sites.rounding.configuration`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from optmodels.errors import SolverError
from optmodels.policy import FloatArray
from optmodels.routing.sites.control import Controller
from optmodels.routing.sites.dispatch import Decisions, Dispatch, Loading
from optmodels.routing.sites.fleet import Fleet, IntArray
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.planner import Planner

WAYS = ("eager", "prudent", "slots")

#: The way that is best most often.
USUAL_WAY = "prudent"


@dataclass(frozen=True, eq=False)
class Question:
    """All periods of a fleet.

    Attributes
    ----------
    fleet
        The fleet.
    power_kw
        Wind power [kW], (T, S).
    demand
        Arriving requests [1/s], (T, O, C).
    periods_per_slot
        Periods between two choices of what is configured.
    reload_periods
        Time for which a new instance loads, in periods.
    """

    fleet: Fleet
    power_kw: FloatArray
    demand: FloatArray
    periods_per_slot: int
    reload_periods: float


def question_of(instance: RoutingInstance, fleet: Fleet) -> Question:
    """All periods of an instance, for the makers of plans."""
    return Question(
        fleet,
        instance.power_kw,
        instance.demand,
        instance.periods_per_slot,
        instance.reload_seconds / instance.period_seconds,
    )


class Foresight:
    """Makes plans for all periods of a question."""

    def __init__(self, question: Question, second: str) -> None:
        self.question = question
        self._planner = Planner(question.fleet, second)
        self._controller = Controller(question.fleet, second)

    def make(self, way: str) -> tuple[Decisions, float]:
        """Plan all periods in one of the `WAYS`.

        Returns
        -------
        Decisions
            What is configured, runs and flows.
        float
            Sum of the weighted lost requests of all periods [1/s].
        """
        made = self.try_to_make(way, np.inf)
        if made is None:
            raise SolverError("A plan without a time limit ran out of time.")
        return made

    def try_to_make(self, way: str, until: float) -> tuple[Decisions, float] | None:
        """The same, or None where `time.perf_counter` passes a time before the plan is done."""
        q = self.question
        loading = Loading(q.reload_periods)
        parts: list[Decisions] = []
        lost = 0.0
        for t in range(len(q.power_kw)):
            if time.perf_counter() > until:
                return None
            wanted, running = self._choose(way, t, loading.configured)
            dispatch, loading, short = self._carry_out(t, wanted, running, loading)
            lost += short
            parts.append(Decisions.of([dispatch]))
        return Decisions.joined(parts), lost

    def _choose(
        self, way: str, t: int, before: IntArray | None
    ) -> tuple[IntArray, IntArray | None]:
        """What is configured in a period, and what is meant to run if that is known."""
        q = self.question
        if way == "slots":
            if t % q.periods_per_slot and before is not None:
                return before, None
            span = slice(t, t + q.periods_per_slot)
            share = min(q.reload_periods / q.periods_per_slot, 1.0)
            power, demand = q.power_kw[span].mean(axis=0), q.demand[span].mean(axis=0)
            plan = self._planner.plan(power, demand, before=before, reload_share=share)
            return plan.configured, None
        lasts = q.periods_per_slot if way == "eager" else 1
        plan = self._planner.plan(
            q.power_kw[t],
            q.demand[t],
            before=before,
            reload_share=min(q.reload_periods / lasts, 1.0),
        )
        return plan.configured, plan.running

    def _carry_out(
        self, t: int, configured: IntArray, running: IntArray | None, loading: Loading
    ) -> tuple[Dispatch, Loading, float]:
        """The best dispatch of a period for what is configured."""
        q, fleet = self.question, self.question.fleet
        effective, _ = loading.after(configured)
        power, demand = q.power_kw[t], q.demand[t]
        needed = None if running is None else fleet.of_degree(running.astype(np.float64))
        if running is not None and needed is not None and (needed <= effective).all():
            found = self._controller.send(power, demand, configured, running, effective)
        else:
            found = self._controller.control(
                power, demand, configured, effective=effective, planned=running
            )
        # Warm instances may have had to go.
        _, after = loading.after(found.dispatch.configured)
        return found.dispatch, after, found.lost
