"""Suspend and resume: the printed example, the break-even, brute force, and the elastic job."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.errors import InfeasibleError, InputError, UsageError
from optmodels.scaling.efficiency import Contest, Pause, SuspendResume

BLOCK = {"power_kw": 0.2, "block_hours": 4, "dirty_g_per_kwh": 400, "clean_g_per_kwh": 100}
CHECKPOINT = {"suspend_resume_kwh": 0.05, "overhead_g_per_kwh": 250}
IDLE = {"idle_kw": 0.1, "pause_hours": 8, "pause_g_per_kwh": 300}


def test_worked_example():
    """Moving the block saves 240 g; the checkpoint costs 12.5 g, the idling server all of it."""
    assert Pause(**BLOCK).saving_g == pytest.approx(240)
    parked = Pause(**BLOCK, **CHECKPOINT)
    assert parked.overhead_g == pytest.approx(12.5)
    assert parked.saving_g == pytest.approx(227.5)
    assert parked.energy_penalty(job_hours=4) == pytest.approx(0.0625)
    idling = Pause(**BLOCK, **IDLE)
    assert idling.overhead_g == pytest.approx(240)
    assert idling.saving_g == pytest.approx(0, abs=1e-9)
    assert not Pause(**BLOCK, **CHECKPOINT, **IDLE).pays


@settings(deadline=None, derandomize=True, max_examples=60)
@given(*[st.integers(0, 40)] * 5, st.integers(1, 40), st.integers(1, 8))
def test_the_rule_flips_at_equality(clean, suspend, overhead, idle, pause, power, hours):
    """At equality a pause does not pay, a hair above it does. Whole numbers make equality exact."""
    cost = power * hours * (suspend * overhead + idle * pause * 7)
    values = {
        "power_kw": power,
        "block_hours": hours,
        "clean_g_per_kwh": clean,
        "suspend_resume_kwh": suspend * power * hours,
        "overhead_g_per_kwh": overhead,
        "idle_kw": idle * power * hours,
        "pause_hours": pause,
        "pause_g_per_kwh": 7,
    }
    even = clean + cost // (power * hours)
    at = Pause(dirty_g_per_kwh=even, **values)
    assert at.break_even_g_per_kwh == even
    assert not at.pays
    assert at.saving_g == 0
    assert Pause(dirty_g_per_kwh=np.nextafter(even, np.inf) + 1e-9, **values).pays
    if even > 0:
        assert not Pause(dirty_g_per_kwh=even - 1e-9, **values).pays


def brute_force(question):
    """(energy, carbon) of every way to choose the running slots."""
    carbon = np.asarray(question.carbon_g_per_kwh)
    for running in combinations(range(carbon.size), question.run_slots):
        on = np.zeros(carbon.size, dtype=bool)
        on[list(running)] = True
        between = (
            ~on & (np.arange(carbon.size) > running[0]) & (np.arange(carbon.size) < running[-1])
        )
        suspensions = int((np.diff(running) > 1).sum())
        power = question.power_kw * on + question.idle_kw * between
        extra = suspensions * question.suspend_resume_kwh
        energy = power.sum() * question.slot_hours + extra
        grams = power @ carbon * question.slot_hours + extra * question.overhead_g_per_kwh
        yield energy, grams


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.05]), st.sampled_from([0.0, 0.1]))
def test_options_are_those_of_brute_force(seed, suspend, idle):
    """The dynamic programme finds exactly the undominated pairs of all choices of slots."""
    rng = np.random.default_rng(seed)
    slots = int(rng.integers(1, 10))
    question = SuspendResume(
        rng.choice([50.0, 100.0, 400.0, 410.0], slots),
        run_slots=int(rng.integers(1, slots + 1)),
        power_kw=0.2,
        suspend_resume_kwh=suspend,
        overhead_g_per_kwh=250,
        idle_kw=idle,
        slot_hours=0.5,
    )
    points = np.array(list(brute_force(question)))
    options = question.options()
    assert options["energy_kwh"].is_monotonic_increasing
    for energy, carbon in options[["energy_kwh", "carbon_g"]].to_numpy():
        assert np.isclose(points, [energy, carbon], rtol=1e-12).all(axis=1).any()
        below = points[points[:, 0] <= energy + 1e-12]
        assert carbon == pytest.approx(below[:, 1].min(), rel=1e-12)
    assert options["carbon_g"].iloc[-1] == pytest.approx(points[:, 1].min(), rel=1e-12)
    contest = Contest.of(options)
    assert contest.energy_penalty >= 0
    assert contest.carbon_gain >= 0


def test_constant_intensity_leaves_nothing_to_gain():
    """With one intensity throughout the only option is to run without a break: π_C = π_E = 0."""
    options = SuspendResume([300] * 8, 3, 0.2, 0.05, 250, idle_kw=0.1).options()
    assert len(options) == 1
    assert options["suspensions"].iloc[0] == 0
    contest = Contest.of(options)
    assert (contest.carbon_gain, contest.energy_penalty) == (0, 0)


def valley(**changes):
    """Eight hours of work; four dirty hours between two clean stretches of four hours."""
    values = {"power_kw": 0.2, **CHECKPOINT, **changes}
    return SuspendResume([100] * 4 + [400] * 4 + [100] * 4, 8, **values)


def test_both_ends_reproduce_the_formula():
    """The two options differ by one `Pause`: 240 g − 12.5 g, and 0.05 kWh of 1.6."""
    rule = Pause(**BLOCK, **CHECKPOINT)
    options = valley().options()
    assert options["suspensions"].to_list() == [0, 1]
    assert -options["carbon_g"].diff().iloc[1] == pytest.approx(rule.saving_g)
    contest = Contest.of(options)
    assert contest.energy_penalty == pytest.approx(rule.energy_penalty(job_hours=8))
    assert contest.carbon_gain == pytest.approx(227.5 / 400)
    # The break-even is where the second option goes.
    assert len(valley(overhead_g_per_kwh=4799).options()) == 2
    assert len(valley(overhead_g_per_kwh=4801).options()) == 1


def test_elastic_job_reproduces_the_paused_end():
    """The job's optimum pauses: 160 g plus four ramps of 6.25 g, of which two are start and end.

    Charging the whole suspension per ramp, not half, would give 210 g.
    """
    job = valley().job()
    assert job.parameters.switching_g == pytest.approx(6.25)
    plan = om.solve(job)
    assert plan.objective == pytest.approx(185)
    assert plan.objective - 12.5 == pytest.approx(valley().options()["carbon_g"].iloc[-1])
    front = om.frontier(job, ("switching_g", "execution_g"))
    end = front.frame.iloc[-1]
    assert (end["execution_g"], end["switching_g"]) == pytest.approx((160, 25))


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6))
def test_elastic_job_is_a_relaxation(seed):
    """The job may divide slots: its optimum is at most that of whole slots plus one suspension."""
    rng = np.random.default_rng(seed)
    question = SuspendResume(rng.uniform(50, 500, 12), int(rng.integers(1, 12)), 0.2, 0.1, 250)
    least = question.options()["carbon_g"].iloc[-1]
    assert om.solve(question.job()).objective <= (least + 25) * (1 + 1e-12)


def test_refusals():
    """Bad numbers are told all at once; an idle level and an impossible deadline are refused."""
    with pytest.raises(InputError, match="power_kw") as refusal:
        SuspendResume([100, -1], 0, power_kw=0)
    assert len(refusal.value.flaws) == 3
    with pytest.raises(InputError, match="2 problems"):
        Pause(0.2, -1, 400, np.nan)
    with pytest.raises(InfeasibleError, match="does not fit"):
        SuspendResume([100], 2, 0.2)
    with pytest.raises(UsageError, match="idle_kw=0"):
        valley(idle_kw=0.1).job()
