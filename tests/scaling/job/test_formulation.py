"""The formulation of the elastic job: one statement of the mathematics, three forms of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import pytest

import optmodels as om
from optmodels.scaling.job.model import formulation, model_data
from optmodels.scaling.job.optimum import solve
from optmodels.solver import compile_model, explain_model, export_model, solve_model
from optmodels.solver.pyomo_standard import compile_pyomo
from tests.scaling.job.instances import CONCAVE, MEASURED, job, random_job
from tests.solver.comparing import assert_same, read_back

CAISO = Path(__file__).resolve().parents[3] / "instances/scaling/job/caiso-48h"


def some_jobs():
    """Jobs of every kind: bundled, of one slot, with a rate cap, with profiles."""
    rng = np.random.default_rng(11)
    yield om.load(CAISO)
    yield job([100.0], work=0.5)
    yield job([3.0, 1.0, 2.0], work=1.5, switching_g=1.0, rate_cap=0.75)
    for profile in (None, CONCAVE, MEASURED):
        yield random_job(rng, slots=9, profile=profile)


@pytest.mark.parametrize("place", range(6))
def test_three_forms_are_one_model(tmp_path, place):
    """Compiled from traces, through Pyomo's objects and read back from files: one matrix.

    Catches a ramp that reaches back to the wrong slot, an ending that is paid in the wrong slot,
    and data that the two ways of giving them order differently.
    """
    instance = list(some_jobs())[place]
    compiled = compile_model(formulation(), model_data(instance))
    assert_same(compiled, compile_pyomo(instance.model()))
    for suffix in (".mps", ".lp"):
        assert_same(compiled, read_back(compiled, tmp_path, suffix))
        assert_same(compiled, read_back(compile_pyomo(instance.model()), tmp_path, suffix))
    fast = solve_model(formulation(), data=model_data(instance))
    assert fast.objective == pytest.approx(solve_model(instance.model()).objective, rel=1e-9)


def test_method_lp_makes_no_pyomo_model(monkeypatch):
    """The oracle's linear programme comes from the trace; it needs no Pyomo instance."""

    def refuse(*_, **__):
        raise AssertionError("an instance was made")

    instance = om.load(CAISO)
    expected = solve(instance).objective
    monkeypatch.setattr(pyo.AbstractModel, "create_instance", refuse)
    assert solve(instance, method="lp").objective == pytest.approx(expected, rel=1e-9)


def test_model_is_an_ordinary_one_to_edit():
    """What `Instance.model` gives is a fresh Pyomo model: adding a limit changes its optimum."""
    instance = om.load(CAISO)
    free, limited = instance.model(), instance.model()
    assert isinstance(free, pyo.ConcreteModel)
    first = min(free.slots)
    limited.pause = pyo.Constraint(expr=sum(limited.share[first, k] for k in limited.levels) == 1)
    assert solve_model(limited).objective > solve_model(free).objective


def test_export_and_explain_take_either_form(tmp_path):
    """A file and an explanation come from the formulation with arrays as from the Pyomo model."""
    instance = om.load(CAISO)
    one = export_model(formulation(), tmp_path / "a.mps", data=model_data(instance))
    two = export_model(instance.model(), tmp_path / "b.mps")
    assert sorted(one.read_text().split()) == sorted(two.read_text().split())
    data = {**model_data(instance), "work": 1e9}
    conflict = explain_model(formulation(), data=data)
    assert "finish" in str(conflict)
