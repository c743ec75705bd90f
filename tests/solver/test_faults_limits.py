"""Too little time, at every stage of every oracle: an audited plan in words, or no plan at all."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import optmodels as om
from optmodels.cli.app import app
from optmodels.errors import NoSolutionError
from optmodels.plan import STATUSES
from optmodels.registry import problems
from optmodels.solver import LinearModel, Session
from optmodels.solver.options import Limits

#: Sizes at which the methods have something to do, and the methods that apply.
QUESTIONS = {
    "scaling.job": ({"hours": 24}, ("auto", "lp")),
    "scaling.cluster": (
        {"hours": 12, "capacity": 3, "jobs": 6, "most_servers": 3},
        ("auto", "milp", "prices", "greedy"),
    ),
    "rightsizing.sites": (
        {"hours": 96, "module_gpus": 8, "battery_kwh": 800.0, "opening_usd_per_year": 1e5},
        ("auto", "milp"),
    ),
    "routing.sites": ({"hours": 0.5, "sites": 1, "classes": 1}, ("auto", "milp")),
    "routing.pipeline": ({"services": 3, "gpu_hosts": 2, "cpu_hosts": 1}, ("auto", "milp")),
    "placement.edge": ({"sites": 4, "applications": 20}, ("auto", "columns", "milp")),
    "placement.accelerators": ({"apps": 6}, ("auto", "columns")),
    "ensembles.selection": ({"samples": 20}, ("auto", "configurations")),
    "ensembles.failover": ({"applications": 5}, ("auto", "milp", "rules")),
}

#: From no time at all to about the end of the first stages [s].
SECONDS = (1e-9, 1e-3, 2e-2)


def test_every_problem_is_here() -> None:
    """No problem is forgotten."""
    assert set(QUESTIONS) == set(problems())


@pytest.mark.parametrize(
    ("problem", "method"),
    [(name, method) for name, (_, methods) in QUESTIONS.items() for method in methods],
)
def test_too_little_time(problem: str, method: str) -> None:
    """A status in words, an audited plan, a bound that is a number and never above it."""
    inst = om.generate(problem, seed=1, **QUESTIONS[problem][0])
    for seconds in SECONDS:
        try:
            plan = om.solve(inst, method=method, time_limit_s=seconds)
        except NoSolutionError as error:
            assert "time_limit_s" in str(error) or "limits" in str(error)
            continue
        assert plan.status in STATUSES
        assert not plan.audit.violations
        assert plan.bound <= plan.objective * (1 + 1e-12) + 1e-12
        # A bound of minus infinity is no JSON, and cannot be saved.
        assert math.isfinite(plan.bound)
        if plan.status == "optimal":
            assert plan.objective - plan.bound <= 1e-4 * abs(plan.objective) + 1e-6


def test_the_command_says_so_too(tmp_path) -> None:
    """With no time, `solve --json` gives the start's cost and a bound: it was an error before."""
    inst = om.generate("routing.pipeline", seed=1, services=3, gpu_hosts=2, cpu_hosts=1)
    folder = inst.save(tmp_path / "instance")
    ran = CliRunner().invoke(app, ["solve", str(folder), "--time-limit", "1e-9", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert (told["status"], told["bound"]) == ("feasible", 0.0)


@pytest.mark.parametrize(("maximize", "bound"), [(False, -7.0), (True, 11.0)])
def test_bound_before_any_tree(maximize: bool, bound: float) -> None:
    """A first solution before there is any bound of a tree: that of the columns, by hand.

    The least of 2x - 3y + 2 with x and y in [0, 3] is -7, its largest value 8 (here: x up to 4.5).
    """
    model = LinearModel(
        cost=np.array([2.0, -3.0]),
        starts=np.array([0, 1, 2], dtype=np.int32),
        indices=np.zeros(2, dtype=np.int32),
        coefficients=np.ones(2),
        row_lower=np.array([-np.inf]),
        row_upper=np.array([4.0]),
        column_lower=np.zeros(2),
        column_upper=np.array([4.5, 3.0]),
        integer=np.ones(2, dtype=bool),
        offset=2.0,
        maximize=maximize,
    )
    session = Session(model, limits=Limits(time_limit_s=1e-9), options={"presolve": "off"})
    session.start_from(np.array([0, 1]), np.array([1.0, 1.0]))
    outcome = session.solve()
    assert outcome.status.has_solution
    assert outcome.bound is not None
    assert math.isfinite(outcome.bound)
    assert outcome.bound >= outcome.objective if maximize else outcome.bound <= outcome.objective
    assert model.dual_bound(np.zeros(1)) == bound
