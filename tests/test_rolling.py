"""The rolling horizon on a store of energy: seams, carried budgets, failures, windows' books."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.policy import Observation, replay
from optmodels.rolling import (
    PER_WINDOW,
    InfeasibleWindowError,
    RollingHorizon,
    WindowError,
    WindowProblem,
    carried,
    refused,
)
from optmodels.solver.live import LiveModel
from optmodels.solver.template import Formulation

MOST_BOUGHT, ROOM = 3.0, 5.0


@cache
def store(peak: bool = False) -> Formulation:
    """Buy energy at a price, keep some, serve a demand, emit no more than a budget."""
    m = pyo.AbstractModel()
    m.slots = pyo.Set()
    m.first = pyo.Set(within=m.slots)
    m.later = pyo.Set(within=m.slots)
    m.last = pyo.Set(within=m.slots)
    m.price = pyo.Param(m.slots, mutable=True)
    m.demand = pyo.Param(m.slots, mutable=True)
    m.carbon = pyo.Param(m.slots)
    m.start = pyo.Param(mutable=True)
    m.budget = pyo.Param(mutable=True)
    m.value = pyo.Param(mutable=True)
    m.bought = pyo.Var(m.slots, bounds=(0, MOST_BOUGHT))
    m.level = pyo.Var(m.slots, bounds=(0, ROOM))

    @m.Constraint(m.first, doc="the store begins with what is in it")
    def begins(m, t):
        return m.level[t] == m.start + m.bought[t] - m.demand[t]

    @m.Constraint(m.later, doc="the store keeps what is not used")
    def keeps(m, t):
        return m.level[t] == m.level[t - 1] + m.bought[t] - m.demand[t]

    @m.Constraint(doc="emissions stay within the budget")
    def emissions(m):
        return sum(m.carbon[t] * m.bought[t] for t in m.slots) <= m.budget

    if peak:
        m.highest = pyo.Var(within=pyo.NonNegativeReals)
        m.peak = pyo.Constraint(m.slots, rule=lambda m, t: m.bought[t] <= m.highest)

    @m.Objective()
    def cost(m):
        return sum(m.price[t] * m.bought[t] for t in m.slots) - m.value * sum(
            m.level[t] for t in m.last
        )

    return Formulation(m)


@dataclass
class Header:
    """What is known in advance."""

    slots: int
    demand: np.ndarray
    budget: float


class Store(WindowProblem):
    """The store, stated for a window; the forecast is the price, the demand is known."""

    slot_sets = ("slots", "first", "later", "last")
    seams: ClassVar = {
        "begins": carried("start"),
        "keeps": carried("start"),
        "emissions": carried("budget"),
    }

    def __init__(self):
        self.asked = []

    def formulation(self):
        """One for all."""
        return store()

    def begin(self, header):
        """Remember the demand and the budget."""
        self.header = header
        return header.slots

    def constants(self, slots):
        """Sets, and a carbon of one."""
        self.asked.append(slots)
        labels = np.arange(1, slots + 1)
        return {
            "slots": labels,
            "first": labels[:1],
            "later": labels[1:],
            "last": labels[-1:],
            "carbon": np.ones(slots),
        }

    def window(self, observation, slots):
        """Prices as forecast, what is stored, what is left of the budget."""
        begin = observation.slot
        left = self.header.slots - begin - slots
        # A window may use its share of what is left; what is in the store is worth its mean price.
        after = self.header.demand[begin + slots :].sum() if left else 0.0
        price = observation.forecast
        return {
            "price": price[:slots],
            "demand": self.header.demand[begin : begin + slots],
            "start": observation.state["level"],
            "budget": self.header.budget - observation.state["bought"] - max(after - ROOM, 0.0),
            "value": price[slots:].mean() if left else 0.0,
        }

    def action(self, solution, ahead):
        """What to buy."""
        return float(solution.values["bought"].iloc[ahead])


class World:
    """The environment: what is bought is paid at the true price."""

    def __init__(self, price, demand, budget, forecast=None):
        self.price = np.asarray(price, dtype=float)
        self.header = Header(len(self.price), np.asarray(demand, dtype=float), budget)
        self.forecast = self.price if forecast is None else np.asarray(forecast, dtype=float)
        self.bought, self.level = [], 0.0

    def observe(self):
        """The present price, and the forecast of the others."""
        slot = len(self.bought)
        if slot == self.header.slots:
            return None
        return Observation(
            slot,
            pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(hours=slot),
            {"price": self.price[: slot + 1]},
            {"level": self.level, "bought": sum(self.bought)},
            np.concatenate([self.price[slot : slot + 1], self.forecast[slot + 1 :]]),
        )

    def act(self, action):
        """Buy, and serve the demand."""
        self.level += action - self.header.demand[len(self.bought)]
        assert -1e-9 <= self.level <= ROOM + 1e-9
        self.bought.append(action)

    @property
    def cost(self):
        """What was paid."""
        return float(self.price @ self.bought)


def world(seed, slots=20, **changes):
    """Random prices, and demands that can be met."""
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0, 2, slots)
    given = {"price": rng.uniform(1, 10, slots), "demand": demand, "budget": demand.sum() + 1}
    return World(**(given | changes))


def optimum(w):
    """The whole horizon as one linear programme."""
    problem = Store()
    problem.begin(w.header)
    data = {**problem.constants(w.header.slots), **problem.window(w.observe(), w.header.slots)}
    return LiveModel(store(), data).solve().objective


@pytest.mark.parametrize("commit", [1, 3, 20])
def test_a_window_up_to_the_end_is_the_optimum(commit):
    """With a perfect forecast and no end in sight of the window, rolling loses nothing.

    A driver that forgot the store's content, or read a plan off by one slot, would pay more.
    """
    for seed in range(5):
        w = world(seed)
        best = optimum(w)
        replay(w, RollingHorizon(Store(), window=20, commit=commit))
        assert w.cost == pytest.approx(best, rel=1e-7)


@pytest.mark.parametrize(("window", "commit"), [(1, 1), (6, 1), (6, 4), (19, 7)])
def test_short_windows_keep_the_budget_of_the_horizon(window, commit):
    """Every window keeps its part of a budget that is carried on; the whole is never exceeded.

    Read as a budget per window, it would be spent many times over.
    """
    for seed in range(5):
        w = world(seed)
        best = optimum(w)
        replay(w, RollingHorizon(Store(), window=window, commit=commit))
        assert sum(w.bought) <= w.header.budget + 1e-9
        assert best * (1 - 1e-9) <= w.cost <= 2.5 * best


def test_windows_are_compiled_once_per_length():
    """One compilation for the full length, one for each shorter window at the end."""
    problem = Store()
    driver = RollingHorizon(problem, window=6)
    replay(world(1), driver)
    assert problem.asked == [6, 5, 4, 3, 2, 1]
    frame = driver.frame
    assert frame["slot"].tolist() == list(range(20))
    assert frame["slots"].tolist() == [6] * 15 + [5, 4, 3, 2, 1]
    assert (frame["run_seconds"] > 0).all()
    assert (frame["outside_seconds"] > 0).all()
    assert set(frame["status"]) == {"optimal"}


def test_a_commit_step_solves_less_often():
    """With four slots committed at a time, every fourth slot has a window."""
    driver = RollingHorizon(Store(), window=6, commit=4)
    replay(world(2), driver)
    assert driver.frame["slot"].tolist() == [0, 4, 8, 12, 16]
    assert len(driver.committed) == 20


def test_only_the_newest_forecast_within_reach_is_used():
    """Another truth behind the same forecast changes no action before it is revealed."""
    for first in (3, 11):
        forecast = np.random.default_rng(9).uniform(1, 10, 20)
        one = world(3, forecast=forecast)
        other_price = one.price.copy()
        other_price[first:] = other_price[first:][::-1] + 1
        other = world(3, price=other_price, forecast=forecast)
        for w in (one, other):
            replay(w, RollingHorizon(Store(), window=6))
        assert one.bought[:first] == other.bought[:first]


def test_a_failed_window_keeps_what_was_committed_and_says_why():
    """A demand that no store can meet: the run ends there, in the words of the constraints."""
    demand = np.full(20, 1.0)
    demand[12] = 9.0
    w = world(4, demand=demand, budget=100.0)
    driver = RollingHorizon(Store(), window=4)
    with pytest.raises(InfeasibleWindowError) as raised:
        replay(w, driver)
    error = raised.value
    assert error.slot == 9
    assert error.committed == tuple(w.bought)
    assert len(w.bought) == 9
    assert error.exit_code == 3
    assert "9 slots before it were committed" in str(error)
    assert any("the store" in reason for reason in error.reasons)
    assert driver.frame["status"].iloc[-1] == "infeasible"


def test_a_window_without_time_is_no_plan():
    """A window that ends at a limit without a plan ends the run, and is not called infeasible."""
    driver = RollingHorizon(Store(), window=6, options={"simplex_iteration_limit": 0})
    with pytest.raises(WindowError) as raised:
        replay(world(5), driver)
    assert not isinstance(raised.value, InfeasibleWindowError)
    assert raised.value.exit_code == 4
    assert raised.value.committed == ()


def test_an_interrupted_window_ends_the_run(monkeypatch):
    """Ctrl-C during a window ends the run, though the solver may still have found its optimum."""
    solve = LiveModel.solve
    monkeypatch.setattr(
        LiveModel, "solve", lambda live: replace(solve(live), interrupted=len(driver.windows) == 3)
    )
    driver = RollingHorizon(Store(), window=6)
    w = world(10)
    with pytest.raises(KeyboardInterrupt):
        replay(w, driver)
    assert driver.committed == w.bought
    assert len(w.bought) == 3


@pytest.mark.parametrize("window", [1, 2, 6])
@pytest.mark.parametrize("missing", ["keeps", "emissions"])
def test_an_undeclared_coupling_is_refused(missing, window):
    """A constraint that ties slots together must say what a cut does to it, however short it is."""

    class Undeclared(Store):
        pass

    Undeclared.seams = {name: seam for name, seam in Store.seams.items() if name != missing}

    with pytest.raises(UsageError, match=f"'{missing}' ties slots together"):
        replay(world(6), RollingHorizon(Undeclared(), window=window))


def test_a_shared_variable_couples_slots():
    """A peak over all slots couples them, though each of its rows names one slot only."""

    class Peak(Store):
        def formulation(self):
            return store(peak=True)

    with pytest.raises(UsageError, match="'peak'"):
        replay(world(7), RollingHorizon(Peak(), window=6))
    Peak.seams = {**Store.seams, "peak": PER_WINDOW}
    replay(world(7), RollingHorizon(Peak(), window=6))


@pytest.mark.parametrize(
    ("seams", "text"),
    [
        ({"emission": PER_WINDOW}, "emissions"),
        ({"emissions": carried("buget")}, "budget"),
        ({"emissions": refused("a year's budget has no meaning in a day")}, "a year's budget"),
    ],
)
def test_seams_are_checked_before_anything_runs(seams, text):
    """Seams of unknown constraints and parameters, and refused ones, end at the constructor."""

    class Wrong(Store):
        pass

    Wrong.seams = {**Store.seams, **seams}
    with pytest.raises(UsageError, match=text):
        RollingHorizon(Wrong(), window=6)


def test_what_is_carried_must_be_set_in_every_window():
    """A window that does not set its budget would go on with that of the window before."""

    class Forgetful(Store):
        def constants(self, slots):
            return {**super().constants(slots), "budget": 100.0}

        def window(self, observation, slots):
            data = super().window(observation, slots)
            del data["budget"]
            return data

    with pytest.raises(InputError, match="budget"):
        replay(world(8), RollingHorizon(Forgetful(), window=6))
    with pytest.raises(UsageError, match="names the parameters"):
        carried()


@pytest.mark.parametrize(("window", "commit"), [(0, 1), (3, 0), (3, 4)])
def test_windows_and_steps_out_of_range_are_refused(window, commit):
    """A window holds at least what it commits, and that is at least one slot."""
    with pytest.raises(UsageError, match="allowed"):
        RollingHorizon(Store(), window=window, commit=commit)
