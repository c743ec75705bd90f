"""The elastic job as data: checks across fields, and what is derived from them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.scaling.job.instance import JobInstance
from tests.scaling.job.instances import CONCAVE, MEASURED, START, job

HOUR = pd.Timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"carbon_lower_g_per_kwh": 5.0}, "'carbon_upper_g_per_kwh': is missing"),
        ({"carbon_upper_g_per_kwh": 5.0}, "'carbon_lower_g_per_kwh': is missing"),
        ({"carbon_lower_g_per_kwh": 9.0, "carbon_upper_g_per_kwh": 5.0}, "too large"),
        ({"work_min": 1.0}, "'work_max': is missing"),
        ({"work_min": 3.0, "work_max": 2.0}, "'work_min': 3.0 is too large"),
        ({"work_min": 2.0, "work_max": 3.0}, "'work': 1.0 is out of range"),
        ({"work_min": 0.5, "work_max": 3.0, "work_predicted": 9.0}, "'work_predicted': 9.0"),
        ({"work_predicted": 1.0}, "no meaning for a known work"),
        ({"deadline_slots": 4}, "only 3 slots for a deadline after 4"),
        ({"deadline_slots": 2.5}, "whole number"),
        ({"deadline_slots": 0}, "too small"),
        ({"work": 0}, "too small"),
        ({"work": -1}, "too small"),
        ({"switching_g": -1}, "too small"),
        ({"slot_minutes": 0}, "too small"),
        ({"rate_cap": 0}, "too small"),
        ({"rate_cap": 1.5}, "without a profile one server is the whole capacity"),
        ({"profile": CONCAVE, "rate_cap": 4.5}, "at most 4"),
        ({"profile": [(1, 1.0, 2.0), (2, 2.0, 1.0)]}, "'power_kw': 1.0 is less than the power"),
        ({"profile": [(2, 2.0, 1.0), (1, 1.0, 2.0)]}, "row 2.*at least 2"),
        ({"profile": [(1, 0.0, 1.0), (2, 0.0, 1.0)]}, "is zero in every row"),
        ({"profile": [(1, 1.0, 1.0), (1, 2.0, 1.0)]}, "repeats the key"),
        ({"profile": [(0, 0.0, 0.0), (1, 2.0, 1.0)]}, "row 2.*too small"),
        ({"quantity": "average"}, "one of direct, lifecycle, marginal, unspecified"),
    ],
)
def test_wrong_values_are_explained(changes, words):
    """Each with the field, the value and what is allowed."""
    with pytest.raises(InputError, match=words):
        job([10, 20, 30], **changes)


def test_history_must_end_where_the_horizon_begins():
    """A gap or an overlap would tell a policy the wrong hour of yesterday."""
    base = job([10, 20, 30], history=[7, 8])
    for shift in (-HOUR, HOUR):
        moved = base.tables["history"].assign(time=lambda t, s=shift: t["time"] + s)
        with pytest.raises(InputError, match="not one slot before"):
            base.replace(history=moved)


def test_gaps_are_found_in_any_order_of_rows():
    """The row after the gap is named as the file has it, although rows are shuffled."""
    frame = job(np.arange(6)).tables["carbon"].drop(index=3).iloc[[4, 0, 2, 1, 3]]
    with pytest.raises(InputError) as caught:
        job(np.arange(6)).replace(carbon=frame, deadline_slots=5)
    (flaw,) = caught.value.flaws
    assert (flaw.row, flaw.field) == (6, "time")
    assert "2022-06-01T03:00:00+00:00 is missing" in str(flaw)


def test_another_step_than_slot_minutes_is_a_fault_of_every_row():
    """Hourly data declared as half-hourly ones."""
    with pytest.raises(InputError) as caught:
        job(np.arange(6)).replace(slot_minutes=30)
    assert len(caught.value.flaws) == 5


def test_forecasts_of_the_past_are_refused():
    """A value issued after its own time is no forecast."""
    frame = pd.DataFrame({"issue_time": [START + HOUR], "time": [START], "carbon_g_per_kwh": [1.0]})
    with pytest.raises(InputError, match="issued after the time it speaks of"):
        job([10, 20, 30]).replace(forecast=frame)


def test_the_deadline_cuts_the_series():
    """Rows after the deadline are part of the data, not of the question."""
    inst = job([10, 20, 30], deadline_slots=2)
    assert inst.carbon.tolist() == [10, 20]
    assert inst.times.tolist() == [START, START + HOUR]
    assert inst != job([10, 20], deadline_slots=2)


def test_the_window_of_carbon_intensities():
    """Parameters first, then the history; L never below a thousandth of U."""
    given = {"carbon_lower_g_per_kwh": 5.0, "carbon_upper_g_per_kwh": 50.0}
    assert job([10], history=[7, 70], **given).window == (5, 50)
    assert job([10], history=[7, 70]).window == (7, 70)
    assert job([10], history=[0, 70]).window == (0.07, 70)
    assert job([10], history=[0, 0]).window is None
    assert job([10]).window is None


def test_units_of_the_full_rate():
    """Half an hour on four servers: ½ h × 0.2 kW; β for all four; the cap as work."""
    unit = job([10], profile=CONCAVE, minutes=30, switching_g=5, rate_cap=2.0).unit
    assert (unit.servers, unit.throughput) == (4, 3.0)
    assert (unit.kwh, unit.switching_g) == (0.1, 20)
    assert unit.cap == pytest.approx(1.9 / 3.0, rel=1e-15)
    plain = job([10]).unit
    assert (plain.servers, plain.throughput, plain.kwh, plain.cap) == (1, 1, 1, 1)


def test_a_carbon_free_grid_is_an_instance():
    """Zero is allowed everywhere but as the only bound."""
    inst = job([0, 0, 0], history=[0, 0])
    assert inst.carbon.sum() == 0


def test_levels_are_the_hull_unless_others_can_be_worth_it():
    """Without switching cost the hull is enough; with it, a level that saves servers counts."""
    fewer = [(1, 5.0, 10.0), (2, 7.0, 12.0)]  # one server: off the hull, but fewer to switch
    assert job([10], profile=fewer).profile.servers.tolist() == [0, 2]
    assert job([10], profile=fewer).levels.servers.tolist() == [0, 2]
    assert job([10], profile=fewer, switching_g=1).levels.servers.tolist() == [0, 1, 2]
    assert job([10], profile=fewer, rate_cap=1.0).levels.servers.tolist() == [0, 1, 2]
    # In proportion to power, a level off the hull is beaten by a mix with as many servers.
    worse = [(1, 1.0, 1.0), (2, 1.2, 2.0), (4, 2.0, 4.0)]
    inst = job([10], profile=worse, switching_g=1)
    assert inst.levels.servers.tolist() == [0, 1, 4]
    assert job([10], profile=MEASURED, switching_g=1).levels.servers.size > 0


def test_the_most_work_of_a_slot():
    """The best mix under the cap, levels off the power hull included; no mix beyond the best."""
    fewer = [(1, 5.0, 10.0), (2, 7.0, 12.0)]
    assert job([10], profile=fewer, rate_cap=1.0).most_work == 5.0
    assert job([10], profile=fewer, rate_cap=0.5).most_work == 2.5
    assert job([10], profile=fewer, rate_cap=1.5).most_work == 6.0
    assert job([10], profile=[(1, 3.0, 1.0), (2, 2.0, 2.0)]).most_work == 3.0
    assert job([10]).most_work == 1.0
    assert job([10], rate_cap=0.3).most_work == 0.3


def test_a_year_of_slots_is_made_in_no_time():
    """Vectorised checks: 8760 rows are no burden (a loop over rows takes seconds)."""
    inst = job(np.linspace(0, 500, 8760), history=np.ones(8760))
    assert inst.slots == 8760
    assert isinstance(inst, JobInstance)
