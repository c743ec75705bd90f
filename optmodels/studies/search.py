"""Searching for the instance on which a policy does worst.

A proof says what can never happen; a search shows what can. The search starts from random members
of structured families (staircases and the like, which are what proofs of lower bounds are made of),
changes the best ones a little, keeps what is worse for the policy, and starts afresh when nothing
gets worse any more. What it found is then made simple: as long as an instance with fewer pieces or
rounder numbers is about as bad, that one is taken, until a person can read why it is bad.

The search is the same for every problem. A problem that can be attacked offers a `Space`: its
families, its small changes and its simplifications.

A search that finds nothing proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import numpy as np
import pandas as pd

from optmodels import registry
from optmodels.comparison import run
from optmodels.errors import UsageError
from optmodels.instance import Instance
from optmodels.plan import Plan
from optmodels.policy import Policy

Measure = Callable[[Instance, Policy, Plan, Plan], float]

NOTE = "synthetic: found by search, made simple"

#: Changes in a row that made nothing worse, after which the search starts afresh.
_PATIENCE = 60
#: Share of the badness that simplifying may cost in all.
_WORTH = 0.01


class Space(Protocol):
    """Points that stand for instances of a problem.

    A point is whatever the space likes; equal seeds give equal points.
    """

    def start(self, rng: np.random.Generator) -> Any:
        """Random member of a random family."""

    def near(self, point: Any, rng: np.random.Generator) -> Any:
        """A small change."""

    def simpler(self, point: Any) -> Iterator[Any]:
        """Simpler points, the simplest first."""

    def instance(
        self, point: Any, *, name: str | None = None, origin: str | None = None
    ) -> Instance:
        """The instance that a point stands for."""


@dataclass(frozen=True)
class Worst:
    """The worst instance that a search has found.

    Attributes
    ----------
    instance
        Small and round, with the search's seed in its origin.
    value
        What was measured on it; the larger the worse for the policy.
    plan, optimum
        The policy's plan and the oracle's.
    found
        Value of the instance before it was simplified.
    evaluations
        Instances that were tried.
    progress
        ``evaluation``, ``value``: whenever a worse one was found.
    """

    instance: Instance
    value: float
    plan: Plan
    optimum: Plan
    found: float
    evaluations: int
    progress: pd.DataFrame

    def __repr__(self) -> str:
        ratio = self.plan.objective / self.optimum.objective if self.optimum.objective else np.nan
        unit = self.plan.cost.unit
        return (
            f"worst of {self.evaluations} instances: {self.value:.4f} ({self.found:.4f} before it "
            f"was simplified)\n  {self.plan.maker} {self.plan.objective:,.6g} {unit}, optimum "
            f"{self.optimum.objective:,.6g} {unit}, ratio {ratio:.4f}\n{self.instance!r}"
        )


def ratio(instance: Instance, policy: Policy, plan: Plan, optimum: Plan) -> float:
    """Cost over optimum; 0 where the optimum costs nothing."""
    del instance, policy
    return plan.objective / optimum.objective if optimum.objective > 0 else 0.0


def excess(instance: Instance, policy: Policy, plan: Plan, optimum: Plan) -> float:
    """Cost over the limit that is proven for it; above 1 a proof is wrong. 0 without a limit."""
    limit = registry.problem(instance.problem).certify(instance, policy, plan, optimum)
    return plan.objective / limit if limit is not None and limit > 0 else 0.0


MEASURES: dict[str, Measure] = {"ratio": ratio, "excess": excess}


def adversary(
    problem: str,
    policy: str | Policy,
    *,
    measure: str | Measure = "ratio",
    evaluations: int = 2000,
    seconds: float | None = None,
    seed: int = 0,
    **options: object,
) -> Worst:
    """Search for the instance on which a policy does worst.

    Parameters
    ----------
    problem
        Name of a problem that offers a space to search.
    policy
        The policy, by name or as an object; one that needs forecasts sees perfect ones.
    measure
        "ratio" to the optimum, "excess" over what is proven, a measure of the problem's own, or a
        function of instance, policy, plan and optimum. The larger the worse.
    evaluations
        Instances to try at most, simplifications apart.
    seconds
        Wall time after which to stop [s].
    seed
        Of the search: with a limit on evaluations only, the same seed finds the same instance.
    options
        Of the problem's space.

    Returns
    -------
    Worst
        The instance found, simplified, with how bad it is and how it was found.

    Raises
    ------
    UsageError
        The problem has no space, an option or a name is unknown, or a number is out of range.
    """
    if evaluations < 1:
        raise UsageError(f"evaluations is {evaluations}; allowed: a whole number from 1.")
    if seed < 0:
        raise UsageError(f"The seed is {seed}; allowed: a whole number from 0.")
    found = registry.problem(problem)
    if found.space is None:
        raise UsageError(f"The problem '{problem}' offers no space to search for worst cases.")
    known, title = {**MEASURES, **found.measures}, "own"
    if isinstance(measure, str):
        if measure not in known:
            raise UsageError.unknown("measure", measure, known)
        title, measure = measure, known[measure]
    names = list(signature(found.space).parameters)
    for name in options:
        if name not in names:
            raise UsageError.unknown("option", name, names)
    space = found.space(**options)
    judge = _Judge(found, space, found.policy(policy, seed), measure, title)
    rng = np.random.default_rng(seed)
    deadline = None if seconds is None else time.perf_counter() + seconds
    best, value, steps = _search(space, judge, rng, evaluations, deadline)
    simple = _simplified(space, judge, best, value)
    label = policy if isinstance(policy, str) else policy.name
    origin = f"optmodels adversary {problem} {label} --evaluations {evaluations} --seed {seed}"
    origin += "".join(f" --option {name}={value}" for name, value in sorted(options.items()))
    if judge.name != "ratio":
        origin += f" --measure {judge.name}"
    origin += f"  # {NOTE}"
    short = space.instance(simple, name=f"worst-for-{label}", origin=origin)
    final, plan, optimum = judge.judged(short)
    progress = pd.DataFrame(steps, columns=["evaluation", "value"])
    return Worst(short, final, plan, optimum, value, judge.count, progress)


class _Judge:
    """How bad points are for a policy."""

    def __init__(
        self,
        problem: registry.Problem,
        space: Space,
        policy: Policy,
        measure: Measure,
        name: str,
    ) -> None:
        self._problem, self._space, self._policy = problem, space, policy
        self._measure = measure
        self.name = name
        self.count = 0

    def value(self, point: Any) -> float:
        """Badness of a point; that of one to which the policy does not apply is minus infinity."""
        self.count += 1
        try:
            return self.judged(self._space.instance(point))[0]
        except UsageError:
            return -np.inf

    def judged(self, instance: Instance) -> tuple[float, Plan, Plan]:
        """Badness of an instance, with the two plans."""
        optimum = self._problem.solve(instance)
        forecast = None
        if "forecast" in self._policy.needs:
            from optmodels.comparison import forecast_of

            forecast, _ = forecast_of(self._problem, instance, "perfect", 0)
        plan = run(instance, self._policy, forecast=forecast)
        return self._measure(instance, self._policy, plan, optimum), plan, optimum


def _search(
    space: Space,
    judge: _Judge,
    rng: np.random.Generator,
    evaluations: int,
    deadline: float | None,
) -> tuple[Any, float, list[tuple[int, float]]]:
    best: Any = None
    most = -np.inf
    steps: list[tuple[int, float]] = []

    def note(point: Any, value: float) -> None:
        nonlocal best, most
        if best is None or value > most:
            best, most = point, value
            steps.append((judge.count, value))

    while judge.count < evaluations and (deadline is None or time.perf_counter() < deadline):
        # Of a handful of members the worst one is worth changing; now and then the worst of all.
        if best is not None and rng.random() < 0.3:
            here, value = best, most
        else:
            members = [space.start(rng) for _ in range(5)]
            values = [judge.value(member) for member in members]
            place = int(np.argmax(values))
            here, value = members[place], values[place]
        note(here, value)
        idle = 0
        while idle < _PATIENCE and judge.count < evaluations:
            if deadline is not None and time.perf_counter() >= deadline:
                break
            there = space.near(here, rng)
            worse = judge.value(there)
            idle = 0 if worse > value + 1e-9 * abs(value) else idle + 1
            if worse >= value:
                here, value = there, worse
                note(here, value)
    return best, most, steps


def _simplified(space: Space, judge: _Judge, point: Any, value: float) -> Any:
    """The simplest point that is about as bad."""
    least = value - _WORTH * abs(value)
    changed = True
    while changed:
        changed = False
        for simple in space.simpler(point):
            if judge.value(simple) >= least:
                point, changed = simple, True
                break
    return point
