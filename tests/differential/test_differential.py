"""Two statements of every problem on a few random instances; thousands with the command.

The full size is ``python -m tests.differential``.
"""

from __future__ import annotations

import math

import pytest

from optmodels.registry import problems

from .running import PROBLEMS, compared, tallied
from .statement import Statement, at_most, same

#: Instances of each problem that take about two seconds of a core together.
CASES = {
    "scaling.job": 30,
    "scaling.cluster": 5,
    "rightsizing.sites": 12,
    "routing.sites": 4,
    "routing.pipeline": 15,
    "placement.edge": 10,
    "placement.accelerators": 12,
    "ensembles.selection": 20,
    "ensembles.failover": 8,
}


def test_every_problem_has_a_second_statement() -> None:
    """No problem is forgotten."""
    assert set(PROBLEMS) == set(CASES) == set(problems())


@pytest.mark.parametrize("problem", PROBLEMS)
def test_two_statements_are_one(problem: str) -> None:
    """The words of a problem, written out again, have the optimum of its oracle and formulation.

    A row with a wrong sign, unit or index in either of them gives another optimum on some instance.
    """
    found = tallied(problem, 0, range(CASES[problem]))
    assert not found.faults, found.faults
    assert found.comparisons >= CASES[problem]


@pytest.mark.parametrize(
    ("problem", "number"),
    [
        # A free battery at a site without GPUs was charged in vain, and then thrown away.
        ("rightsizing.sites", 396),
        # Nobody may live in any pattern of failures: a list of nobody was taken for fractions.
        ("ensembles.selection", 243),
    ],
)
def test_instances_that_had_no_answer(problem: str, number: int) -> None:
    """Instances of the large run on which an oracle once ended with an error."""
    found = compared(problem, (1, number))
    assert found
    assert max(one.difference for one in found) < 1e-6


def test_a_difference_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared can differ: a second statement that forgets a ramp is told apart."""
    from . import job

    right = job.optimum
    monkeypatch.setattr(job, "optimum", lambda instance: right(instance) * (1 - 1e-5))
    assert any(one.difference > 1e-6 for one in compared("scaling.job", (0, 1)))
    assert tallied("scaling.job", 0, range(3)).faults


def test_differences() -> None:
    """Relative to the larger number, never to less than 1; infeasible on one side is endless."""
    assert same("", 2e6, 2e6 + 2).difference == pytest.approx(1e-6)
    assert same("", 1e-9, 0.0).difference == 1e-9
    assert same("", math.inf, math.inf).difference == 0.0
    assert same("", math.inf, 1.0).difference == math.inf
    assert at_most("", 1.0, 2.0).difference == 0.0
    assert at_most("", 3.0, 2.0).difference == pytest.approx(1 / 3)


def test_statements() -> None:
    """The collector of rows itself, by hand: whole numbers, constants, nothing to decide."""
    said = Statement(constant=5.0)
    x, y = said.number(-1.0, high=2.5, whole=True), said.number(-0.1, high=10.0)
    said.row([(x, 1.0), (y, 1.0)], most=4.0)
    assert said.optimum() == pytest.approx(5.0 - 2.0 - 0.2)
    said.row([(x, 1.0)], least=3.0)
    assert said.optimum() == math.inf
    nothing = Statement(constant=1.0)
    assert nothing.optimum() == 1.0
    nothing.equal([], 1.0)
    assert nothing.optimum() == math.inf
