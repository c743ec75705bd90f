"""Instances cut from a trace: horizon, history, window, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels import api
from optmodels.errors import InputError, UsageError
from optmodels.scaling.job.from_trace import from_trace
from optmodels.scaling.job.instance import LOWEST_WINDOW_SHARE
from optmodels.traces import Cleaning, Trace, Vintages, read_carbon, read_profile, read_vintages

HOURS = 24 * 10
JOB: dict[str, Any] = {"hours": 24, "work": 5.0, "switching_g": 20.0}


def make_trace(step: str = "1h", values: Any = None) -> Trace:
    """Ten days whose value tells the hour since the start."""
    size = int(pd.Timedelta(hours=HOURS) / pd.Timedelta(step))
    index = pd.date_range("2022-01-01", periods=size, freq=step, tz="UTC", name="time")
    carbon = 100.0 + np.arange(size) if values is None else np.asarray(values, dtype=float)
    frame = pd.DataFrame({"carbon_g_per_kwh": carbon}, index=index)
    report = ("3 of 240 values are estimates of the source.",)
    return Trace(frame, pd.Timedelta(step), "XX", "lifecycle", "made-up, trace.csv", report)


def test_horizon_and_history_are_the_right_hours() -> None:
    """The horizon begins at the start, the history ends exactly before it: no hour in both."""
    made = from_trace(make_trace(), start="2022-01-05T00:00Z", history_days=2, **JOB)
    assert made.carbon.tolist() == [100.0 + 96 + i for i in range(24)]
    assert made.history.tolist() == [100.0 + 48 + i for i in range(48)]
    assert made.times[0] == pd.Timestamp("2022-01-05", tz="UTC")
    assert made.window == (148.0, 195.0)
    assert (made.parameters.zone, made.parameters.quantity) == ("XX", "lifecycle")
    assert made.parameters.carbon_lower_g_per_kwh is None


def test_history_is_what_the_trace_has() -> None:
    """A trace that begins late gives a shorter history, and the origin says so."""
    made = from_trace(make_trace(), start="2022-01-05T00:00Z", **JOB)
    assert made.history.size == 96
    assert "only 4 days of history" in (made.origin or "")
    assert "estimates of the source" in (made.origin or "")


@pytest.mark.parametrize(
    ("start", "days"), [("2022-01-01T00:00Z", 30.0), ("2022-01-05T00:00Z", 0.0)]
)
def test_without_history_the_window_is_assumed(start: str, days: float) -> None:
    """The extremes of the whole trace become parameters, and the origin calls it assumed."""
    made = from_trace(make_trace(), start=start, history_days=days, **JOB)
    assert "history" not in made.tables
    assert made.window == (100.0, 339.0)
    assert made.parameters.carbon_upper_g_per_kwh == 339.0
    assert "assumed" in (made.origin or "")


def test_assumed_window_of_a_grid_with_clean_hours() -> None:
    """An hour without carbon must not make the ratio of the window infinite."""
    values = np.full(HOURS, 200.0)
    values[100] = 0.0
    made = from_trace(make_trace(values=values), start="2022-01-01T00:00Z", **JOB)
    assert made.window == (LOWEST_WINDOW_SHARE * 200, 200.0)


def test_given_window_wins() -> None:
    """Explicit bounds stand, with and without a history, and nothing is said to be assumed."""
    bounds = {"carbon_lower_g_per_kwh": 50.0, "carbon_upper_g_per_kwh": 500.0}
    for start in ("2022-01-01T00:00Z", "2022-01-05T00:00Z"):
        made = from_trace(make_trace(), start=start, **bounds, **JOB)
        assert made.window == (50.0, 500.0)
        assert "assumed" not in (made.origin or "")


def test_local_start_on_the_day_of_a_clock_change() -> None:
    """A naive start with a zone is an instant; hours count real hours, so the day has 23."""
    index = pd.date_range("2022-03-26", periods=72, freq="1h", tz="UTC", name="time")
    frame = pd.DataFrame({"carbon_g_per_kwh": np.arange(72.0) + 1}, index=index)
    trace = Trace(frame, pd.Timedelta("1h"), "DE", "direct", "made-up", ())
    made = from_trace(
        trace, start="2022-03-27", tz="Europe/Berlin", **{**JOB, "hours": 23, "work": 2}
    )
    assert made.times[0] == pd.Timestamp("2022-03-26T23:00Z")
    assert made.times[-1] == pd.Timestamp("2022-03-27T21:00Z")


def test_longer_slots_are_means() -> None:
    """Slots of two hours carry the mean of theirs, and energy counts two hours."""
    made = from_trace(make_trace(), start="2022-01-05T00:00Z", slot_minutes=120, **JOB)
    assert made.slots == 12
    assert made.carbon[0] == 100.0 + 96.5
    assert made.unit.kwh == 2.0
    assert "averaged" in (made.origin or "")


def test_five_minute_slots() -> None:
    """The step of the trace is the slot."""
    made = from_trace(make_trace("5min"), start="2022-01-05T00:05Z", **{**JOB, "hours": 1})
    assert (made.slots, made.parameters.slot_minutes) == (12, 5.0)
    assert made.history.size == 12 * 96 + 1


def test_hidden_length_and_profile(tmp_path: Path) -> None:
    """Bounds on the work and a measured profile are taken over; the row of no server is not."""
    file = tmp_path / "profile.csv"
    file.write_text("nodes,throughput,power\n0,0,0\n1,10,50\n2,18,100\n")
    made = from_trace(
        make_trace(),
        start="2022-01-05T00:00Z",
        profile=read_profile(file),
        **{**JOB, "work": 40.0},
        work_min=20,
        work_max=60,
        work_predicted=50,
        rate_cap=2,
    )
    assert made.measured[0].tolist() == [1.0, 2.0]
    assert made.measured[2].tolist() == [0.05, 0.1]
    assert made.length_hidden
    assert api.solve(made).status == "optimal"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"start": "2021-12-31T00:00Z"}, InputError, "2022-01-01 00:00 .. 2022-01-11 00:00"),
        ({"start": "2022-01-10T12:00Z"}, InputError, "2022-01-01 00:00 .. 2022-01-11 00:00"),
        ({"hours": 241}, InputError, "not covered"),
        ({"start": "2022-01-05"}, UsageError, "no time zone"),
        ({"start": "2022-01-05T00:30Z"}, UsageError, "grid"),
        ({"start": "soon"}, UsageError, "not a time"),
        ({"hours": 0}, UsageError, "hours"),
        ({"hours": 1.5}, UsageError, "hours"),
        ({"hours": float("nan")}, UsageError, "hours"),
        ({"slot_minutes": 45}, UsageError, "averaged"),
        ({"slot_minutes": 0}, UsageError, "slot_minutes"),
        ({"slot_minutes": float("inf")}, UsageError, "slot_minutes"),
        ({"history_days": -1}, UsageError, "history_days"),
        ({"history_days": float("nan")}, UsageError, "history_days"),
        ({"history_days": "long"}, UsageError, "history_days"),
        ({"work": 0}, InputError, "'work'"),
        ({"switching_g": -1}, InputError, "'switching_g'"),
        ({"rate_cap": 0}, InputError, "'rate_cap'"),
        ({"work_min": 1}, InputError, "'work_max'"),
        ({"carbon_lower_g_per_kwh": 5}, InputError, "'carbon_upper_g_per_kwh'"),
        ({"profile": pd.DataFrame({"n": [1]})}, InputError, "'servers'"),
    ],
)
def test_refuses(change: dict[str, Any], error: type[Exception], words: str) -> None:
    """What the trace does not cover or the grid does not hold is refused, with the range."""
    with pytest.raises(error) as caught:
        from_trace(make_trace(), **{"start": "2022-01-05T00:00Z", **JOB, **change})
    assert words in str(caught.value)


def test_caller_keeps_his_data() -> None:
    """Neither the trace nor the profile is changed."""
    trace = make_trace()
    profile = pd.DataFrame({"servers": [0, 1], "throughput": [0.0, 1.0], "power_kw": [0.0, 1.0]})
    before = trace.frame.copy(), profile.copy()
    from_trace(trace, start="2022-01-05T00:00Z", profile=profile, **JOB)
    pd.testing.assert_frame_equal(trace.frame, before[0])
    pd.testing.assert_frame_equal(profile, before[1])


def test_forecasts_must_be_of_the_trace() -> None:
    """Another quantity, another step, or no forecast of the horizon is refused."""
    index = pd.MultiIndex.from_product(
        [
            [pd.Timestamp("2022-01-05T00:00Z")],
            pd.date_range("2022-01-05", periods=48, freq="1h", tz="UTC"),
        ],
        names=["issue_time", "time"],
    )
    frame = pd.DataFrame({"forecast_g_per_kwh": 5.0, "actual_g_per_kwh": 6.0}, index=index)
    known = Vintages(frame, "XX", "lifecycle", "made-up")
    made = from_trace(make_trace(), start="2022-01-05T00:00Z", vintages=known, **JOB)
    table = made.vintages()
    assert table is not None
    assert (table[0] == 5.0).all()
    with pytest.raises(InputError, match="no forecast of the horizon"):
        from_trace(make_trace(), start="2022-01-09T00:00Z", vintages=known, **JOB)
    with pytest.raises(UsageError, match="60 min"):
        from_trace(make_trace(), start="2022-01-05T00:00Z", vintages=known, slot_minutes=120, **JOB)
    other = Vintages(frame, "XX", "direct", "made-up")
    with pytest.raises(UsageError, match="same quantity"):
        from_trace(make_trace(), start="2022-01-05T00:00Z", vintages=other, **JOB)


def test_measured_forecasts(shared_data: Path) -> None:
    """Published forecasts beside the values that came true: none is used before its issue."""
    name = "CISO_carbon_from_src_forecasts_lifecycle_Jul_Dec_2021.csv.gz"
    file = shared_data / "carbon" / "carboncast" / "CISO" / name
    policy = Cleaning(doubled_day="repair")
    made = from_trace(
        read_carbon(file, "carboncast", cleaning=policy),
        start="2021-08-01T06:00Z",
        vintages=read_vintages(file, cleaning=policy),
        **{**JOB, "hours": 48},
    )
    issued = made.tables["forecast"]["issue_time"]
    assert sorted(issued.unique()) == [
        pd.Timestamp(day, tz="UTC")
        for day in pd.date_range("2021-07-29", "2021-08-03").strftime("%Y-%m-%d")
    ]
    table = made.vintages()
    assert table is not None
    assert not np.isnan(np.diagonal(table)).any()


def test_measured_grid(shared_data: Path) -> None:
    """A year of California: the optimum is proven, on the hours that were asked for."""
    file = shared_data / "carbon/electricitymaps_portal/US-CAL-CISO_2022_hourly.csv.gz"
    trace = read_carbon(file, "electricity-maps")
    made = from_trace(trace, start="2022-06-01T00:00Z", **{**JOB, "hours": 96, "work": 12})
    assert made.carbon.tolist() == trace.window("2022-06-01T00:00Z", 96).to_series().tolist()
    plan = api.solve(made)
    assert plan.bound == pytest.approx(plan.objective, rel=1e-9)
