"""Many random instances, several at a time: counts, largest differences, and what went wrong."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from .statement import Finding

#: Problems, and the module with their second statement.
PROBLEMS = {
    "scaling.job": "job",
    "scaling.cluster": "cluster",
    "rightsizing.sites": "sizing",
    "routing.sites": "requests",
    "routing.pipeline": "pipeline",
    "placement.edge": "edge",
    "placement.accelerators": "accelerators",
    "ensembles.selection": "selection",
    "ensembles.failover": "failover",
}

#: Largest relative difference that the tolerances of two solvers explain.
SAME = 1e-6
#: Instances that one process does at a time.
_AT_A_TIME = 10
_MOST_FAULTS = 20


@dataclass(frozen=True)
class Fault:
    """An instance on which two answers differ, or on which there is none."""

    problem: str
    seed: tuple[int, int]
    words: str


@dataclass
class Tally:
    """What was found over the instances of a problem.

    Attributes
    ----------
    cases, infeasible, comparisons
        Instances, those without any plan, and pairs of numbers that were compared.
    largest
        Largest relative difference, by what was compared.
    faults
        What went wrong.
    seconds
        Wall seconds of one core.
    """

    cases: int = 0
    infeasible: int = 0
    comparisons: int = 0
    largest: dict[str, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Take over what another tally counted."""
        self.cases += other.cases
        self.infeasible += other.infeasible
        self.comparisons += other.comparisons
        self.seconds += other.seconds
        self.faults = [*self.faults, *other.faults][:_MOST_FAULTS]
        for what, difference in other.largest.items():
            self.largest[what] = max(self.largest.get(what, 0.0), difference)

    @property
    def worst(self) -> float:
        """Largest relative difference of all."""
        return max(self.largest.values(), default=0.0)


def instance_of(problem: str, seed: tuple[int, int]):
    """The instance of a seed: the seed of the run, and its number."""
    module = importlib.import_module(f".{PROBLEMS[problem]}", __package__)
    return module.draw(np.random.default_rng(seed))


def compared(problem: str, seed: tuple[int, int]) -> list[Finding]:
    """All comparisons on one instance."""
    module = importlib.import_module(f".{PROBLEMS[problem]}", __package__)
    return list(module.compare(module.draw(np.random.default_rng(seed))))


def tallied(problem: str, seed: int, numbers: Sequence[int], kind: str = "statement") -> Tally:
    """Compare on these instances; nothing that goes wrong on one keeps the others."""
    from . import solvers

    compare = {"statement": compared, "solvers": solvers.compared}[kind]
    found = Tally()
    began = time.perf_counter()
    for number in numbers:
        key = (seed, number)
        found.cases += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                findings = compare(problem, key)
        except Exception as error:  # whatever it is, it is a finding
            found.faults.append(Fault(problem, key, f"{type(error).__name__}: {error}"))
            continue
        found.comparisons += len(findings)
        found.infeasible += any(np.isinf(one.theirs) for one in findings)
        for one in findings:
            found.largest[one.what] = max(found.largest.get(one.what, 0.0), one.difference)
            if one.difference > SAME:
                words = f"{one.what}: {one.ours!r} and {one.theirs!r}"
                found.faults.append(Fault(problem, key, words))
    found.seconds = time.perf_counter() - began
    return found


def run(
    problems: Sequence[str], cases: int, *, seed: int, jobs: int, kind: str = "statement"
) -> Iterator[tuple[str, Tally]]:
    """Tallies of parts of the instances, in the order in which they are done."""
    parts = [
        (name, range(first, min(first + _AT_A_TIME, cases)))
        for first in range(0, cases, _AT_A_TIME)
        for name in problems
    ]
    if jobs == 1:
        for name, numbers in parts:
            yield name, tallied(name, seed, numbers, kind)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [(name, pool.submit(tallied, name, seed, part, kind)) for name, part in parts]
        for name, future in waiting:
            yield name, future.result()
