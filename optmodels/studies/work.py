"""The work of one cell, wherever it is done.

A chunk is a handful of cells of one instance, with everything that they need: it is all that is
sent to a worker, and records are all that come back. A cell that fails gives a record that says
how; it stops nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optmodels import registry
from optmodels.comparison import OPTIMUM, ROUNDING, forecast_of, run
from optmodels.errors import SolverError, UsageError
from optmodels.instance import Instance
from optmodels.plan import Plan
from optmodels.policy import Policy

DONE, FAILED, SKIPPED = "done", "failed", "skipped"


@dataclass(frozen=True)
class Known:
    """What is known of the optimum of an instance.

    Attributes
    ----------
    objective
        Objective of the oracle's plan.
    bound
        Proven bound on that of any plan, None where nothing is proven.
    gap
        Relative distance of the two.
    """

    objective: float
    bound: float | None
    gap: float | None

    @property
    def reference(self) -> float:
        """What no plan undercuts: the optimum, or its bound where none is proven optimal."""
        if self.bound is None or (self.gap is not None and self.gap <= ROUNDING):
            return self.objective
        return self.bound


@dataclass(frozen=True)
class Job:
    """A cell as a worker needs it.

    Attributes
    ----------
    key
        Of the cell.
    policy
        Name or object; None for the oracle.
    forecast
        What it is told: a kind, values, a `Forecast`, or None for the problem's usual one.
    seed
        Seed of random policies and of the noise of forecasts.
    chosen
        Whether the user asked for this very policy.
    """

    key: str
    policy: str | Policy | None
    forecast: Any
    seed: int
    chosen: bool


@dataclass(frozen=True)
class Chunk:
    """Cells of one instance; `known` is there for all but the oracle's."""

    instance: Instance
    known: Known | None
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Record:
    """What came of a cell.

    Attributes
    ----------
    key
        Of the cell.
    status
        "done", "failed" with an `error`, or "skipped" where a policy of the default set does not
        apply to the instance, `error` then says why.
    seconds
        Wall time of the solve or replay, audit included [s].
    total, unit
        Objective of the audited plan, and what it is counted in.
    bound, gap
        Of the oracle's plan.
    certified
        Proven limit of the total; None where nothing is proven.
    values
        Cost columns and facts by name.
    """

    key: str
    status: str
    seconds: float
    total: float | None = None
    bound: float | None = None
    gap: float | None = None
    certified: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    error: str = ""
    unit: str = ""


def perform(chunk: Chunk) -> list[Record]:
    """Records of all cells of a chunk."""
    return list(performed(chunk))


def performed(chunk: Chunk) -> Iterator[Record]:
    """Records of the cells of a chunk, one after the other."""
    for job in chunk.jobs:
        started = time.perf_counter()
        try:
            yield _done(chunk, job)
        except Exception as error:
            seconds = time.perf_counter() - started
            skipped = isinstance(error, UsageError) and not job.chosen
            text = str(error) if skipped else f"{type(error).__name__}: {error}"
            yield Record(job.key, SKIPPED if skipped else FAILED, seconds, error=text)


def _done(chunk: Chunk, job: Job) -> Record:
    instance = chunk.instance
    problem = registry.problem(instance.problem)
    started = time.perf_counter()
    if job.policy is None:
        plan = problem.solve(instance)
        seconds = time.perf_counter() - started
        columns = _values(problem, instance, plan)
        return Record(
            job.key,
            DONE,
            seconds,
            plan.objective,
            plan.bound,
            plan.gap,
            values=columns,
            unit=plan.cost.unit,
        )
    known: Any = chunk.known
    policy = problem.policy(job.policy, job.seed)
    told = None
    if "forecast" in policy.needs:
        told, _ = forecast_of(problem, instance, job.forecast, job.seed)
    plan = run(instance, policy, forecast=told, seed=job.seed)
    seconds = time.perf_counter() - started
    slack = ROUNDING * abs(known.reference)
    if plan.objective < known.reference - slack:
        raise SolverError(
            f"'{policy.name}' costs {plan.objective:.12g}, less than the {known.reference:.12g} "
            f"that any plan of {instance.name} must cost: the oracle, its bound or the audit is "
            "wrong."
        )
    limit = problem.certify(instance, policy, plan, known)
    if limit is not None and plan.objective > limit + slack:
        raise SolverError(
            f"'{policy.name}' costs {plan.objective:.9g} on {instance.name}, but at most "
            f"{limit:.9g} is proven: the proof, its assumptions or the code is wrong."
        )
    columns, unit = _values(problem, instance, plan), plan.cost.unit
    return Record(
        job.key, DONE, seconds, plan.objective, certified=limit, values=columns, unit=unit
    )


def _values(problem: registry.Problem, instance: Instance, plan: Plan) -> dict[str, float]:
    """Cost columns and facts as plain numbers."""
    found = {name: value for name, value in plan.cost.columns.items() if name != "total"}
    found |= problem.facts(instance, plan)
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in found.items()
    }


def is_oracle(label: str) -> bool:
    """Whether a label of a cell is the oracle's."""
    return label == OPTIMUM
