"""Comparisons: one table, nothing hidden."""

from __future__ import annotations

import json

import numpy as np
import pytest

import optmodels as om
from optmodels.errors import AuditError, SolverError, UsageError
from optmodels.scaling.job.job_policy import JobPolicy, intensity
from tests.scaling.job.instances import job, random_job

CARBON = [300, 200, 100, 150, 400, 120, 90, 350]
BOUNDS = {"carbon_lower_g_per_kwh": 50.0, "carbon_upper_g_per_kwh": 400.0}


class BelowMean(JobPolicy):
    """A user's own policy: run when the slot is cleaner than the mean of what was seen."""

    name = "below-mean"

    def wish(self, observation):
        """Full rate in clean slots."""
        return float(intensity(observation) <= observation.past["carbon_g_per_kwh"].mean())


def test_the_table():
    """Optimum first, then the policies asked for, in order, with cost split and savings.

    The figures of run-now are computed by hand: slots 1 and 2 at 300 and 200 g, two ramps of 20 g;
    the optimum runs slots 6 and 7 (120 + 90 g, two ramps).
    """
    instance = job(CARBON, work=2, switching_g=20, **BOUNDS)
    comparison = om.compare(instance, ["run-now", "roro"])
    frame = comparison.frame.set_index("policy")
    assert list(frame.index) == ["optimum", "run-now", "roro"]
    assert frame.loc["optimum", "total"] == pytest.approx(250)
    assert frame.loc["run-now", "total"] == pytest.approx(540)
    assert frame.loc["run-now", "execution_g"] == pytest.approx(500)
    assert frame.loc["run-now", "switching_g"] == pytest.approx(40)
    assert frame.loc["run-now", "ratio"] == pytest.approx(540 / 250)
    assert frame.loc["run-now", "switches"] == 2
    assert frame.loc["run-now", "finish_slot"] == 2
    assert frame.loc["optimum", "saving"] == pytest.approx(1 - 250 / 540)
    assert frame.loc["roro", "granted"] == "length"
    assert comparison.optimum.bound == pytest.approx(250)
    assert set(comparison.plans) == {"run-now", "roro"}


def test_the_baseline_is_run_but_not_shown_unless_asked_for():
    """Savings are there without the baseline in the table."""
    frame = om.compare(job(CARBON, work=2, **BOUNDS), ["roro"]).frame
    assert list(frame["policy"]) == ["optimum", "roro"]
    assert frame["saving"].notna().all()


def test_records_are_json():
    """Rows become JSON with null where nothing is known."""
    records = om.compare(job(CARBON, work=2, **BOUNDS), ["run-now"]).records()
    parsed = json.loads(json.dumps(records, allow_nan=False))
    assert parsed[1]["policy"] == "run-now"
    assert parsed[1]["certified_ratio"] is None
    for name in ("instance", "total", "ratio", "execution_g", "switching_g", "energy_kwh"):
        assert name in parsed[1]


def test_an_optimum_that_costs_nothing():
    """Against nothing, a plan that costs nothing is as good; any other is endlessly worse.

    In JSON, which has no infinity, that is null; the savings are still told.
    """
    free = om.compare(job([0, 0, 0], work=2), ["run-now"])
    assert free.frame["ratio"].tolist() == [1.0, 1.0]
    dear = om.compare(job([300, 0, 0], work=2), ["run-now"])
    assert dear.frame["total"].tolist() == pytest.approx([0.0, 300.0])
    assert dear.frame["ratio"].tolist() == [1.0, np.inf]
    assert dear.frame["saving"].tolist() == [1.0, 0.0]
    assert [row["ratio"] for row in dear.records()] == [1.0, None]
    assert json.dumps(dear.records(), allow_nan=False)


def test_a_policy_of_ones_own():
    """Fifteen lines make a policy that is compared, audited and ranked like any other."""
    frame = om.compare(job(CARBON, work=2, **BOUNDS), [BelowMean(), "run-now"]).frame
    assert "below-mean" in set(frame["policy"])


def test_a_policy_that_asks_for_no_forecast_sees_none():
    """Foresight is a grant, shown in the table; a policy that does not ask for it gets none."""
    seen = []

    class Curious(BelowMean):
        name = "curious"

        def wish(self, observation):
            """Look for a forecast."""
            seen.append(observation.forecast)
            return super().wish(observation)

    om.compare(job(CARBON, work=2, **BOUNDS), [Curious()], forecast="perfect")
    assert seen
    assert all(forecast is None for forecast in seen)


def test_the_last_ramp_counts_as_a_switch():
    """A job that runs in the last slot is still switched off after it."""
    frame = om.compare(job([300, 200, 100], work=1), ["run-now"]).frame.set_index("policy")
    assert frame.loc["optimum", "switches"] == 2
    assert frame.loc["optimum", "finish_slot"] == 3


def test_unknown_names_get_suggestions():
    """A misspelt policy or forecast names its neighbours."""
    instance = job(CARBON, work=2, **BOUNDS)
    with pytest.raises(UsageError, match="'roro-plus'"):
        om.compare(instance, ["roro-pluss"])
    with pytest.raises(UsageError, match="'day-before'"):
        om.compare(instance, ["carbonscaler"], forecast="day-befor")


def test_a_policy_that_breaks_a_limit_is_not_ranked():
    """Unfinished work is an audit error, a rate above the cap a usage error."""

    class Lazy(JobPolicy):
        name = "lazy"

        def wish(self, observation):
            return 0.0

        def decide(self, observation):
            return 0.0

    class Greedy(Lazy):
        name = "greedy"

        def decide(self, observation):
            return 2.0

    instance = job(CARBON, work=2, **BOUNDS)
    with pytest.raises(AuditError, match="work done by the deadline"):
        om.compare(instance, [Lazy()])
    with pytest.raises(UsageError, match="allowed: 0 to 1"):
        om.compare(instance, [Greedy()])


def test_a_policy_below_the_optimum_exposes_a_wrong_oracle():
    """If an oracle's plan is not optimal, a better policy makes the comparison fail loudly."""
    instance = job(CARBON, work=2, switching_g=20, **BOUNDS)
    dear = om.compare(instance, ["run-now"]).plans["run-now"]
    with pytest.raises(SolverError, match="that any plan of"):
        om.compare(instance, ["sqrt-threshold"], optimum=dear)


def test_forecasts_by_name_array_and_default():
    """Perfect advice beats the mirror image; an array is taken as it is; the default is told."""
    instance = random_job(np.random.default_rng(3), slots=24, switching_g=0.0)

    def total(forecast):
        frame = om.compare(instance, ["carbonscaler"], forecast=forecast, seed=4).frame
        return frame.set_index("policy").loc["carbonscaler"]

    assert total("perfect")["ratio"] == pytest.approx(1.0, abs=1e-9)
    assert total(instance.carbon)["ratio"] == pytest.approx(1.0, abs=1e-9)
    assert total("adversarial:1")["ratio"] > total("noise:0.1")["ratio"]
    assert total("noise:0.3")["total"] == total("noise:0.3")["total"]
    assert total(None)["granted"] == "forecast day-before"


def test_reprs_name_the_bound():
    """Terminal and notebook show optimum and bound; names are escaped in HTML."""
    comparison = om.compare(job(CARBON, work=2, **BOUNDS).replace(name="<b>x"), ["run-now"])
    assert "proven bound" in repr(comparison)
    assert "run-now" in comparison._repr_html_()
    assert "<b>x" not in comparison._repr_html_()
