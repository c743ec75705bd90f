"""The problems of the house, found by name and imported on first use.

A problem is a folder with the same rooms as every other. What the shared parts (solving, comparing,
the command line) need of it is gathered in one `Problem` record, which the folder's ``__init__``
exposes as ``PROBLEM``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from optmodels.canvas import cost_chart
from optmodels.errors import SolverError, UsageError
from optmodels.forecast import Forecast
from optmodels.instance import Instance
from optmodels.plan import Audit, Chart, Plan, Question
from optmodels.policy import Environment, FloatArray, Policy

#: Relative difference between two computations of one number that rounding explains.
_ROUNDING = 1e-9

_MODULES = {
    "scaling.job": "optmodels.scaling.job",
    "scaling.cluster": "optmodels.scaling.cluster",
    "rightsizing.sites": "optmodels.rightsizing.sites",
    "routing.sites": "optmodels.routing.sites",
    "routing.pipeline": "optmodels.routing.pipeline",
    "placement.edge": "optmodels.placement.edge",
    "placement.accelerators": "optmodels.placement.accelerators",
    "ensembles.selection": "optmodels.ensembles.selection",
    "ensembles.failover": "optmodels.ensembles.failover",
}


@dataclass(frozen=True)
class Series:
    """The revealed series of an instance, which forecasts speak of.

    Attributes
    ----------
    truth
        True values: one per slot, or one row per slot where there are several columns.
    slots_per_day
        Number of slots in 24 hours.
    vintages
        Real forecasts as a (slots, slots) table, None where the instance has none.
    default
        Kind of forecast that policies see when nobody says otherwise and there are no vintages.
    published
        Real forecasts that were published day by day, None where the instance has none.
    """

    truth: FloatArray
    slots_per_day: int
    vintages: FloatArray | None
    default: str = "day-before"
    published: Forecast | None = None


@dataclass(frozen=True)
class Weighted:
    """A plan that minimises a weighted sum of objectives, and how good any plan can be at most.

    Attributes
    ----------
    plan
        The audited plan. Its costs are the instance's own, unweighted.
    value
        Weighted sum of the plan's audited costs.
    bound
        Proven lower bound on the weighted sum of any plan; at most `value`.
    """

    plan: Plan
    value: float
    bound: float


@dataclass(frozen=True)
class Problem:
    """Everything the shared parts know of a problem.

    Attributes
    ----------
    name
        Name such as "scaling.job".
    title
        The question in one line.
    instance
        Its class of instances.
    solve
        The oracle: ``solve(instance, *, method, time_limit_s, mip_gap, options, seed) -> Plan``.
    methods
        Names that `solve` accepts as ``method``.
    audit
        ``audit(instance, tables) -> Audit``.
    explain
        ``explain(instance) -> list of sentences``; empty for an instance that can be solved.
    generate
        ``generate(seed, **size) -> Instance``: the seeded generator.
    sizes
        Size arguments of the generator with their defaults.
    policies
        Policies by name.
    default_policies
        Names compared when nobody says otherwise.
    environment
        ``environment(instance, granted, forecast) -> Environment`` for one replay.
    decisions
        ``decisions(environment) -> tables`` after a replay.
    facts
        ``facts(instance, plan) -> columns`` that a comparison shows beside the costs.
    certify
        ``certify(instance, policy, plan, optimum) -> limit``: proven upper limit on the objective
        of this run in the plan's unit, None where nothing is proven.
    series
        ``series(instance) -> Series``: what forecasts speak of.
    baseline
        Policy against which savings are reported.
    soft
        What the sentences of `explain` mean where an instance that has some can be solved all the
        same ("some jobs must be late"); None where it cannot.
    planner
        The policy that plans with a forecast, by which losses are told apart (`om.gaps`).
    space
        ``space(**options)``: the points among which worst cases are searched (`om.adversary`).
    measures
        Further measures of how bad a run is, by name.
    objectives
        What a trade-off may be about: names of objectives, each with the column of the plan's
        `Cost` that holds it. The least of each must be worth having: costs, not yields.
    weighted
        ``weighted(instance, weights, *, time_limit_s, mip_gap) -> Weighted``: the plan of the
        least weighted sum, for weights by objective, each at least 0 and one of them positive (an
        objective that is not named weighs nothing). None where the problem has no trade-off.
    charts
        Charts of a plan by name, the usual one first: ``chart(instance, plan, *, ax=None) ->
        Figure``. By default the cost split alone.
    """

    name: str
    title: str
    instance: type[Instance]
    solve: Callable[..., Plan]
    methods: tuple[str, ...]
    audit: Callable[[Any, Mapping[str, pd.DataFrame]], Audit]
    explain: Callable[[Any], list[str]]
    generate: Callable[..., Instance]
    sizes: Mapping[str, object]
    policies: Mapping[str, type[Policy]]
    default_policies: tuple[str, ...]
    environment: Callable[..., Environment]
    decisions: Callable[[Any], dict[str, pd.DataFrame]]
    facts: Callable[[Any, Plan], dict[str, float]]
    certify: Callable[[Any, Policy, Plan, Plan], float | None]
    series: Callable[[Any], Series]
    baseline: str
    soft: str | None = None
    planner: str | None = None
    space: Callable[..., Any] | None = None
    measures: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    objectives: Mapping[str, str] = field(default_factory=dict)
    weighted: Callable[..., Weighted] | None = None
    charts: Mapping[str, Chart] = field(default_factory=lambda: {"costs": cost_chart})

    def policy(self, name: str | Policy, seed: int = 0) -> Policy:
        """Policy of this name, or the given policy object itself; random ones get the seed.

        Raises
        ------
        UsageError
            The name is unknown; close names are suggested.
        """
        if isinstance(name, Policy):
            return name
        if name not in self.policies:
            raise UsageError.unknown("policy", name, self.policies)
        kind: Any = self.policies[name]
        made: Policy = kind(seed=seed) if kind.randomised else kind()
        return made

    def weigh(
        self,
        instance: Instance,
        weights: Mapping[str, float],
        *,
        time_limit_s: float | None = None,
        mip_gap: float = 1e-4,
    ) -> Weighted:
        """Plan of the least weighted sum of objectives, its claims checked against its audit.

        Raises
        ------
        UsageError
            The problem has no trade-off, an objective is unknown, or a weight is out of range.
        SolverError
            The value is not that of the plan, or the bound is above it.
        """
        if self.weighted is None:
            raise UsageError(
                f"The problem '{self.name}' offers no trade-off between objectives. Fix: see "
                "`optmodels list` for problems with 'frontier --objectives'."
            )
        for name, weight in weights.items():
            if name not in self.objectives:
                raise UsageError.unknown("objective", name, self.objectives)
            if not (np.isfinite(weight) and weight >= 0):
                raise UsageError(f"The weight of '{name}' is {weight}; allowed: a number >= 0.")
        if not any(weight > 0 for weight in weights.values()):
            raise UsageError("All weights are 0. Fix: let at least one objective count.")
        found = self.weighted(instance, weights, time_limit_s=time_limit_s, mip_gap=mip_gap)
        value = sum(w * found.plan.cost[self.objectives[name]] for name, w in weights.items())
        slack = _ROUNDING * max(abs(value), abs(found.bound))
        if not (abs(found.value - value) <= slack and found.bound <= value + slack):
            raise SolverError(
                f"'{self.name}' claims a weighted sum of {found.value:.12g} and a bound of "
                f"{found.bound:.12g} for {instance.name}, but its plan costs {value:.12g}."
            )
        return Weighted(bind(instance, found.plan), value, min(found.bound, value))


def bind(instance: Instance, plan: Plan) -> Plan:
    """The plan with its instance at hand, so that it can be drawn.

    Raises
    ------
    UsageError
        The plan belongs to another instance.
    """
    plan.require_instance(instance)
    return replace(plan, question=Question(instance, problem(instance.problem).charts))


def problems() -> tuple[str, ...]:
    """Names of all problems.

    Returns
    -------
    tuple of str
        Such as "scaling.job".
    """
    return tuple(_MODULES)


def problem(name: str) -> Problem:
    """Problem of this name.

    Raises
    ------
    UsageError
        The name is unknown; close names are suggested.
    """
    if name not in _MODULES:
        raise UsageError.unknown("problem", name, _MODULES)
    found: Problem = import_module(_MODULES[name]).PROBLEM
    return found
