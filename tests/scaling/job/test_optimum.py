"""The oracle of the elastic job: all methods, one optimum, always with its proof."""

from __future__ import annotations

import numpy as np
import pytest

import optmodels as om
from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.scaling.job import optimum
from tests.scaling.job.instances import CONCAVE, MEASURED, job, random_job

GOLDEN = [300, 200, 100, 150, 400, 120, 90, 350]


@pytest.mark.parametrize("method", ["auto", "taut-string", "secant", "levels", "lp"])
def test_golden_numbers(method):
    """OPT(1..8) of the worked example, by every method, with bound and gap."""
    for work, expected in enumerate([125, 250, 390, 540, 740, 1040, 1390, 1750], start=1):
        plan = om.solve(job(GOLDEN, work=work, switching_g=20), method=method)
        assert plan.objective == pytest.approx(expected, rel=1e-9)
        assert plan.bound == pytest.approx(expected, rel=1e-9)
        assert plan.bound <= plan.objective
        assert plan.gap <= 1e-9
        assert str(plan.status) == "optimal"


@pytest.mark.parametrize("profile", [None, CONCAVE, MEASURED], ids=["unit", "concave", "measured"])
def test_all_methods_agree(profile):
    """Every method that applies finds the same optimum and proves it."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        instance = random_job(rng, profile=profile)
        if rng.random() < 0.5:
            cap = float(rng.uniform(0.5, 1.0) * instance.profile.servers[-1])
            work = min(instance.parameters.work, instance.slots * instance.profile.work_at(cap))
            instance = instance.replace(rate_cap=cap, work=0.9 * work)
        methods = ["levels", "lp", *(["taut-string", "secant"] if profile is None else [])]
        plans = [om.solve(instance, method=method) for method in methods]
        for plan in plans:
            assert plan.objective == pytest.approx(plans[0].objective, rel=1e-9)
            assert plan.bound == pytest.approx(plan.objective, rel=1e-9)


def test_the_plan_says_which_method_made_it():
    """The method "auto" takes the taut string for one rate and the levels for a profile."""
    assert "taut string" in om.solve(job(GOLDEN)).provenance.method
    with_profile = job(GOLDEN, profile=CONCAVE)
    assert "levels" in om.solve(with_profile).provenance.method
    with pytest.raises(UsageError, match="in proportion"):
        om.solve(with_profile, method="taut-string")


def test_a_work_that_does_not_fit_is_explained():
    """Infeasible means an explanation with the numbers of the limits, and no plan."""
    instance = job([100] * 6, work=4, rate_cap=0.5)
    with pytest.raises(InfeasibleError) as caught:
        om.solve(instance)
    text = str(caught.value)
    assert "4 units" in text
    assert "8 slots would be needed" in text
    assert "without the rate cap" in text
    assert om.explain(instance) == list(caught.value.reasons)
    assert om.explain(job([100] * 6, work=6)) == []


def test_the_longest_job_that_fits_has_one_plan():
    """With no slack at all the plan is full rate throughout, whatever the method."""
    for method in ("taut-string", "secant", "levels", "lp"):
        plan = om.solve(job(GOLDEN, work=8, switching_g=20), method=method)
        np.testing.assert_allclose(plan.to_frame()["servers"], 1.0, atol=1e-9)


def test_solver_options_reach_the_solver_or_are_refused():
    """Unknown options, and options for a method without a solver, are usage errors."""
    instance = job(GOLDEN)
    assert om.solve(instance, method="lp", options={"presolve": "off"}).objective == 90
    with pytest.raises(UsageError, match="presolve"):
        om.solve(instance, method="lp", options={"presolv": "off"})
    with pytest.raises(UsageError, match="no solver options"):
        om.solve(instance, options={"presolve": "off"})
    with pytest.raises(UsageError, match="taut-string"):
        om.solve(instance, method="taut")


def test_an_optimum_that_a_heuristic_undercuts_is_refused(monkeypatch):
    """A method that returns a dearer plan than the greedy raises instead of answering."""
    instance = job(GOLDEN, work=2)

    def wrong(instance):
        shares = np.zeros((instance.slots, 1))
        shares[[0, 4]] = 1.0
        return shares, 0.0, "wrong"

    monkeypatch.setitem(optimum._METHODS, "taut-string", wrong)
    with pytest.raises(SolverError, match="greedy"):
        om.solve(instance)


def test_a_bound_above_the_plan_is_refused(monkeypatch):
    """A bound that is not one raises instead of being shown as a proof."""
    instance = job(GOLDEN, work=2)
    right = optimum._METHODS["taut-string"]

    def wrong(instance):
        shares, bound, words = right(instance)
        return shares, bound * 1.01, words

    monkeypatch.setitem(optimum._METHODS, "taut-string", wrong)
    with pytest.raises(SolverError, match="bound"):
        om.solve(instance)


def test_zero_carbon_is_no_obstacle():
    """Slots without any carbon give an optimum of zero, not a division by zero."""
    plan = om.solve(job([0, 0, 100], work=2))
    assert plan.objective == 0
    assert plan.gap == 0
    frame = om.compare(job([0, 0, 100], work=2), ["run-now", "lowest-slots"]).frame
    assert (frame["total"] == 0).any()
