"""The rolling horizon of the elastic job, against the optimum and the receding horizon."""

from __future__ import annotations

import time

import numpy as np
import pytest

import optmodels as om
from optmodels.comparison import run
from optmodels.errors import UsageError
from optmodels.forecast import DayBeforeForecast, FixedForecast
from optmodels.scaling.job import PROBLEM
from optmodels.scaling.job.rolling import RollingJob
from optmodels.scaling.job.window import parts_of
from tests.scaling.job.instances import CONCAVE, MEASURED, job, random_job

LONG = 10_000.0


@pytest.mark.parametrize("profile", [None, CONCAVE, MEASURED], ids=["unit", "concave", "measured"])
@pytest.mark.parametrize("commit", [1, 5])
def test_a_window_up_to_the_deadline_is_the_optimum(profile, commit):
    """With a perfect forecast the general driver and the oracle agree to 1e-7.

    A window that forgot the running servers, charged the end ramp twice, or left work for slots
    that do not exist would cost more.
    """
    rng = np.random.default_rng(31)
    for _ in range(8):
        cap = None if profile is None else float(rng.uniform(1, 4))
        instance = random_job(rng, profile=profile)
        if cap is not None and rng.random() < 0.5:
            instance = instance.replace(rate_cap=cap, work=0.5 * instance.slots)
        forecast = FixedForecast(instance.carbon)
        plan = run(instance, RollingJob(LONG, commit), forecast=forecast)
        assert plan.objective == pytest.approx(om.solve(instance).objective, rel=1e-7)


def test_a_window_up_to_the_deadline_is_the_receding_horizon():
    """Under any forecast both plan the same: two methods, one decision where it is unique."""
    rng = np.random.default_rng(32)
    for _ in range(10):
        instance = random_job(rng, profile=CONCAVE)
        forecast = DayBeforeForecast(instance.slots, 24)
        one = run(instance, RollingJob(LONG), forecast=forecast)
        two = run(instance, PROBLEM.policy("receding-horizon"), forecast=forecast)
        assert one.objective == pytest.approx(two.objective, rel=1e-6)


def test_one_slot_windows_without_switching_are_the_optimum():
    """Without switching the terminal value is the whole truth when each slot is a part of its own.

    Then even a window of one slot decides right: the price of the work left is that of the
    dearest slot that it needs. A mean over all later slots would not do.
    """
    rng = np.random.default_rng(33)
    for profile in (None, CONCAVE):
        for _ in range(5):
            instance = random_job(rng, profile=profile, switching_g=0.0)
            forecast = FixedForecast(instance.carbon)
            best = om.solve(instance).objective
            fine = run(instance, RollingJob(1.0, parts=instance.slots), forecast=forecast)
            assert fine.objective == pytest.approx(best, rel=1e-7)


def test_the_deadline_is_kept_by_the_carried_budget():
    """Work that the slots after the window cannot hold is done in it, at whatever carbon.

    Four full slots of work, five slots, windows of two: one slot at most may be skipped.
    """
    instance = job([500, 400, 300, 200, 100], work=4.0)
    plan = run(instance, RollingJob(2.0), forecast=FixedForecast(instance.carbon))
    servers = plan.tables["schedule"]["servers"].to_numpy()
    np.testing.assert_allclose(servers, [0, 1, 1, 1, 1], atol=1e-9)


def test_a_day_of_window_is_close_to_the_optimum():
    """Over 72 hours, windows of 24 hours stay within 3 % of the optimum where power is a unit."""
    rng = np.random.default_rng(34)
    for _ in range(6):
        instance = random_job(rng, slots=72)
        forecast = FixedForecast(instance.carbon)
        ratio = (
            run(instance, RollingJob(), forecast=forecast).objective / om.solve(instance).objective
        )
        assert 1 - 1e-9 <= ratio <= 1.03


def test_the_scale_of_units_does_not_matter():
    """Work in units a millionth as large, or a million times: the same servers."""
    rng = np.random.default_rng(35)
    carbon = rng.uniform(50, 500, 20)
    schedules = []
    for scale in (1e-6, 1.0, 1e6):
        profile = [(n, w * scale, p) for n, w, p in CONCAVE]
        instance = job(carbon, work=20 * scale, switching_g=0.5, profile=profile)
        plan = run(instance, RollingJob(6.0), forecast=FixedForecast(carbon))
        schedules.append(plan.tables["schedule"]["servers"].to_numpy())
    np.testing.assert_allclose(schedules[0], schedules[1], atol=1e-6)
    np.testing.assert_allclose(schedules[2], schedules[1], atol=1e-6)


def test_one_compiled_model_serves_to_the_end():
    """Closed slots stand for what lies beyond the deadline, so nothing is compiled again."""
    instance = random_job(np.random.default_rng(36), slots=40)
    policy = RollingJob(24.0)
    began = time.process_time()
    run(instance, policy, forecast=FixedForecast(instance.carbon))
    assert time.process_time() - began < 2.0
    assert set(policy.driver.frame["slots"]) == {24}


def test_parts_are_equal_and_sorted():
    """Seven slots in three parts: three, two and two, cleanest first; nothing in none."""
    counts, means = parts_of(np.array([7.0, 1, 5, 3, 2, 6, 4]), 3)
    assert counts.tolist() == [3, 2, 2]
    assert means.tolist() == [2, 4.5, 6.5]
    assert parts_of(np.empty(0), 2)[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RollingJob(0.0),
        lambda: RollingJob(float("nan")),
        lambda: RollingJob(float("inf")),
        lambda: RollingJob(24.0, 0),
        lambda: RollingJob(24.0, parts=0),
    ],
)
def test_settings_out_of_range_are_refused(make):
    """A window, a commit step and parts have a least size."""
    with pytest.raises(UsageError, match="allowed"):
        make()
