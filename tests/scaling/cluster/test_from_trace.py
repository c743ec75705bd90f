"""Clusters cut from a job trace and a carbon trace: which jobs, which hours, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import optmodels as om
from optmodels.errors import InputError, UsageError
from optmodels.scaling.cluster import series
from optmodels.scaling.cluster.from_trace import from_trace
from optmodels.scaling.cluster.instance import ClusterInstance
from optmodels.scaling.cluster.profile_facts import workloads_of
from optmodels.traces import Cleaning, Trace, Vintages, read_carbon, read_jobs, read_vintages

DAYS = 40
START = "2022-01-05T00:00Z"


def carbon_trace(step: str = "1h") -> Trace:
    """Days whose value tells the hour since the start."""
    size = int(pd.Timedelta(days=DAYS) / pd.Timedelta(step))
    index = pd.date_range("2022-01-01", periods=size, freq=step, tz="UTC", name="time")
    frame = pd.DataFrame({"carbon_g_per_kwh": 100.0 + np.arange(size)}, index=index)
    return Trace(frame, pd.Timedelta(step), "XX", "lifecycle", "made-up, trace.csv", ("As is.",))


def jobs(*rows: tuple[float, float]) -> pd.DataFrame:
    """Job trace of arrival and length, one processor each."""
    return pd.DataFrame(list(rows), columns=["arrival_h", "length_h"]).assign(cpus=1)


def steady(days: int, length_h: float = 2.0) -> pd.DataFrame:
    """A job every hour."""
    return jobs(*[(float(hour), length_h) for hour in range(24 * days)])


def made_of(frame: pd.DataFrame, **options: Any) -> ClusterInstance:
    """Instance of a day from these jobs and a job too short to count, three days long."""
    if frame["arrival_h"].max() < 72:
        frame = pd.concat([frame, jobs((72.0, 0.1))], ignore_index=True)
    return from_trace(carbon_trace(), frame, **{"start": START, "hours": 24, **options})


def test_which_jobs_and_which_hours() -> None:
    """Jobs of an hour and more; they may run from the first whole slot after their arrival."""
    made = made_of(
        jobs((0.0, 1.0), (0.5, 0.99), (1.0, 2.0), (1.25, 3.5), (23.5, 13.0), (24.0, 5.0)),
        utilisation=0.25,
    )
    assert made.jobs.arrival.tolist() == [0, 1, 2, 24]
    assert made.jobs.length.tolist() == [1.0, 2.0, 3.5, 13.0]
    names = [made.queues.names[code] for code in made.jobs.queue]
    assert names == ["short", "short", "medium", "long"]
    # 19.5 server-hours in a day on one server each: four servers would be used to a fifth.
    assert made.capacity == 4
    # The carbon goes on until the last job must be done: slot 24 + 13 + 48.
    assert made.slots == 85
    assert made.carbon.tolist() == [100.0 + 96 + i for i in range(85)]
    assert (made.parameters.zone, made.parameters.quantity) == ("XX", "lifecycle")
    assert {p.name for p in made.profiles} == set(workloads_of("mix"))
    assert all(p.most == 16 for p in made.profiles)
    # Without a past the queues have the means of the whole trace: 1, 2; 3.5, 5; 13.
    means = dict(zip(made.queues.names, made.queues.mean_length, strict=True))
    assert means == {"short": 1.5, "medium": 4.25, "long": 13.0}
    assert "whole job trace" in (made.origin or "")
    assert "As is" in (made.origin or "")


def test_past_comes_before_the_start() -> None:
    """The past takes the first hours of the job trace and the carbon before the start."""
    frame = jobs((0.0, 3.0), (10.0, 2.0), (22.0, 3.0), (24.0, 4.0), (30.0, 1.0), (49.0, 9.0))
    made = made_of(frame, past_hours=24)
    assert made.jobs.arrival.tolist() == [0, 6]
    assert made.past_carbon.tolist() == [100.0 + 72 + i for i in range(24)]
    past = made.past_jobs
    assert past is not None
    # The third job of the past cannot have ended by the start: its length is not known.
    assert (past.arrival.tolist(), past.length.tolist()) == ([0, 10], [3.0, 2.0])
    means = dict(zip(made.queues.names, made.queues.mean_length, strict=True))
    assert means == {"short": 2.0, "medium": 3.0, "long": 24.0}
    later = made_of(frame, jobs_from_hours=24.0)
    assert later.jobs.length.tolist() == made.jobs.length.tolist()
    assert made_of(steady(3), past_hours=1).past_jobs is None


def test_load_is_sampled_down_to_the_capacity() -> None:
    """As many jobs as come nearest to the utilisation, drawn with the seed."""
    made = made_of(steady(2, 3.0), capacity=3, utilisation=0.5)
    # 36 server-hours are twelve jobs of three hours.
    assert made.jobs.count == 12
    assert len(set(made.jobs.arrival.tolist())) == 12
    again = made_of(steady(2, 3.0), capacity=3, utilisation=0.5)
    other = made_of(steady(2, 3.0), capacity=3, utilisation=0.5, seed=1)
    assert made == again
    assert made.jobs.arrival.tolist() != other.jobs.arrival.tolist()


def test_load_is_laid_over_up_to_the_capacity() -> None:
    """Times of the trace that are whole days apart are laid over each other, past and present."""
    frame = pd.concat([steady(6, 2.0), jobs((5.5, 2.0), (3 * 24 + 5.5, 2.0))])
    made = made_of(frame, capacity=8, utilisation=0.5, past_hours=30)
    # The past and the present take three days together, and two such times are in the trace.
    assert made.jobs.count == 48
    assert np.bincount(made.jobs.arrival).tolist() == [2] * 24
    past = made.past_jobs
    assert past is not None
    assert "2 times laid over each other" in (made.origin or "")
    # 120 server-hours are 60 jobs of 62; the rest of the count is jobs that end too late.
    assert 54 <= past.count <= 60


def test_slots_of_two_hours() -> None:
    """Lengths are counted in slots, delays in whole slots, arrivals rounded up."""
    made = made_of(jobs((0.0, 3.0), (2.5, 4.0)), slot_minutes=120)
    assert made.jobs.length.tolist() == [1.5, 2.0]
    assert made.jobs.arrival.tolist() == [0, 2]
    assert sorted(made.queues.delay.tolist()) == [3, 12, 24]
    assert made.carbon[0] == 100.0 + 96.5
    assert "averaged" in (made.origin or "")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"start": "2021-12-31T00:00Z"}, InputError, "not covered"),
        ({"start": "2022-02-08T23:00Z"}, InputError, "the last job must be done"),
        ({"start": "2022-01-05"}, UsageError, "no time zone"),
        ({"start": "2022-01-05T00:30Z"}, UsageError, "grid"),
        ({"past_hours": 240}, InputError, "not covered"),
        ({"past_hours": 48}, InputError, "'48 .. 72 h' has no job of at least 1 h"),
        ({"jobs_from_hours": 48.5}, InputError, "has no job of at least 1 h"),
        ({"jobs_from_hours": 80.0}, InputError, "'80 .. 104 h' is not covered"),
        ({"least_hours": 3.0}, InputError, "no job of at least 3 h"),
        ({"capacity": 50}, InputError, "take at most 16% of the capacity"),
        ({"hours": 0}, InputError, "'hours'"),
        ({"hours": 1.5}, UsageError, "hours"),
        ({"hours": float("nan")}, InputError, "'hours'"),
        ({"past_hours": -1}, InputError, "'past_hours'"),
        ({"capacity": 0}, InputError, "'capacity'"),
        ({"capacity": 2.5}, InputError, "'capacity'"),
        ({"utilisation": 0}, InputError, "'utilisation'"),
        ({"utilisation": "half"}, InputError, "'utilisation'"),
        ({"most_servers": 0}, InputError, "'most_servers'"),
        ({"seed": -1}, InputError, "'seed'"),
        ({"slot_minutes": 45}, UsageError, "averaged"),
        ({"elasticity": "hihg"}, UsageError, "Did you mean 'high'"),
        ({"server_kw": 0}, InputError, "'server_kw'"),
        ({"start_kwh": -1.0}, InputError, "'start_kwh'"),
    ],
)
def test_refuses(change: dict[str, Any], error: type[Exception], words: str) -> None:
    """What the traces do not cover, and numbers out of range, are refused with the reason."""
    with pytest.raises(error) as caught:
        made_of(steady(2), **change)
    assert words in str(caught.value)


def test_all_wrong_numbers_at_once() -> None:
    """One message; and jobs without their columns are refused."""
    with pytest.raises(InputError) as caught:
        made_of(steady(2), capacity=0, utilisation=-1, seed=-1)
    assert len(caught.value.flaws) == 3
    with pytest.raises(InputError, match="length_h"):
        made_of(steady(4).drop(columns="length_h"))


def test_caller_keeps_his_data() -> None:
    """Neither trace is changed."""
    trace, frame = carbon_trace(), steady(3)
    before = trace.frame.copy(), frame.copy()
    from_trace(trace, frame, start=START, hours=24, capacity=2)
    pd.testing.assert_frame_equal(trace.frame, before[0])
    pd.testing.assert_frame_equal(frame, before[1])


def test_public_traces(shared_data: Path) -> None:
    """A week of Azure after two of history on 150 servers, as in the experiments of the paper."""
    carbon = shared_data / "carbon/electricitymaps_portal/US-CAL-CISO_2022_hourly.csv.gz"
    frame = read_jobs(shared_data / "cluster_traces/gaia/azure-100k.csv.gz")
    made = from_trace(
        read_carbon(carbon, "electricity-maps"),
        frame,
        start="2022-06-15T00:00Z",
        hours=168,
        past_hours=336,
        capacity=150,
    )
    busy = made.jobs.length.sum() / (150 * 168)
    assert busy == pytest.approx(0.5, abs=0.003)
    assert made.jobs.length.min() >= 1
    past = made.past_jobs
    assert past is not None
    assert 0.4 < past.length.sum() / (150 * 336) < 0.5


def test_forecasts_of_the_slots_are_kept() -> None:
    """The newest value issued by a slot is what policies are told in it; others are refused.

    A table by valid time alone would tell a policy what was issued later.
    """
    issues = pd.to_datetime(["2022-01-04T00:00Z", "2022-01-05T02:00Z"])
    hours = pd.date_range("2022-01-05", periods=30, freq="h", tz="UTC")
    index = pd.MultiIndex.from_product([issues, hours], names=["issue_time", "time"])
    values = np.repeat([5.0, 7.0], len(hours))
    frame = pd.DataFrame({"forecast_g_per_kwh": values, "actual_g_per_kwh": 6.0}, index=index)
    known = Vintages(frame, "XX", "lifecycle", "made-up")
    made = made_of(steady(1), vintages=known)
    table = made.vintages()
    assert table is not None
    assert table.shape == (made.slots, made.slots)
    assert (table[:2, :30] == 5.0).all()
    assert (table[2:, 2:30] == 7.0).all()
    assert np.isnan(table[:, 30:]).all()
    assert made_of(steady(1)).vintages() is None
    told = series(made)
    assert told.vintages is not None
    assert told.default == "perfect"
    with pytest.raises(InputError, match="no forecast of the horizon"):
        made_of(steady(1), vintages=known, start="2022-01-09T00:00Z")
    with pytest.raises(UsageError, match="same quantity"):
        made_of(steady(1), vintages=Vintages(frame, "XX", "direct", "made-up"))


def test_a_forecast_of_the_past_is_refused() -> None:
    """A row that was issued after the time that it speaks of is named."""
    made = made_of(steady(1))
    late = pd.DataFrame(
        {
            "issue_time": [made.times[3]],
            "time": [made.times[2]],
            "carbon_g_per_kwh": [1.0],
        }
    )
    with pytest.raises(InputError, match="issued after the time it speaks of"):
        ClusterInstance(
            made.parameters.model_dump(), {**made.tables, "forecast": late}, name="late"
        )


def test_losses_under_published_forecasts(shared_data: Path) -> None:
    """A cluster with CarbonCast's forecasts: losses sum to the whole, forecasts cost something."""
    [file] = (shared_data / "carbon" / "carboncast" / "CISO").glob("*lifecycle*")
    vintages = read_vintages(file, cleaning=Cleaning(doubled_day="repair"))
    made = from_trace(
        vintages.actual(),
        read_jobs(shared_data / "cluster_traces" / "gaia" / "azure-100k.csv.gz"),
        start="2021-09-01T00:00Z",
        hours=48,
        capacity=10,
        vintages=vintages,
    )
    found = om.gaps(made, ["fcfs", "wait-awhile"], forecast="vintages").frame
    losses = found[["horizon_loss", "forecast_loss", "commitment_loss"]].sum(axis=1)
    assert (found["optimum"] + losses).to_numpy() == pytest.approx(found["total"].to_numpy())
    assert (found["forecast_loss"] != 0).all()
