"""Forecast vintages: blocks, issue times, and a wrong date that is repaired only with a proof."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.traces import Cleaning, Vintages, read_carbon, read_vintages

REPAIR = Cleaning(doubled_day="repair")
DAYS = 6


def table(days: int = DAYS, doubled: int | None = None, leads: int = 96) -> pd.DataFrame:
    """Blocks of `leads` hours, one per day; the actual value of an hour is its number + 100.

    The forecast of block b is 1000 + b, so that each vintage can be recognised. Block `doubled`
    carries the date of the block before it.
    """
    blocks = []
    for day in range(days):
        hours = np.arange(leads) + 24 * day
        label = day - 1 if day == doubled else day
        times = pd.Timestamp("2021-07-01") + pd.to_timedelta(np.arange(leads) + 24 * label, "h")
        blocks.append(
            pd.DataFrame(
                {
                    "UTC time": times.strftime("%Y-%m-%d %H:%M:%S"),
                    "actual_carbon_intensity_lifecycle": hours + 100.0,
                    "forecasted_carbon_intensity_lifecycle": 1000.0 + day,
                }
            )
        )
    return pd.concat(blocks, ignore_index=True)


def write(folder: Path, frame: pd.DataFrame) -> Path:
    """File as it is published: with an unnamed index column."""
    path = folder / "SE_forecasts.csv"
    frame.to_csv(path)
    return path


def check(vintages: Vintages) -> None:
    """Every hour has its own actual value, every block its own day."""
    frame = vintages.frame.reset_index()
    first = pd.Timestamp("2021-07-01", tz="UTC")
    hours = (frame["time"] - first) / pd.Timedelta("1h")
    assert (frame["actual_g_per_kwh"] == hours + 100).all()
    day = (frame["issue_time"] - first) / pd.Timedelta("1D")
    assert (frame["forecast_g_per_kwh"] == 1000 + day).all()


def test_blocks_become_vintages(tmp_path: Path) -> None:
    """Values stay with their issue day and hour; the zone is the file's first word."""
    vintages = read_vintages(write(tmp_path, table()))
    check(vintages)
    assert vintages.zone == "SE"
    assert list(vintages.frame.index.names) == ["issue_time", "time"]
    assert len(vintages.issue_times) == DAYS
    assert "6 forecasts issued 2021-07-01 .. 2021-07-06 UTC, 96 h each" in repr(vintages)
    actual = vintages.actual()
    assert actual.to_series().tolist() == (np.arange(24 * (DAYS - 1) + 96) + 100.0).tolist()


def test_nothing_later_than_now_is_seen(tmp_path: Path) -> None:
    """The forecast at an instant is the latest issued, also in the very hour of issue."""
    vintages = read_vintages(write(tmp_path, table()))
    assert (vintages.at("2021-07-02 23:59+00:00") == 1001).all()
    at_midnight = vintages.at("2021-07-03 00:00+00:00")
    assert (at_midnight == 1002).all()
    assert at_midnight.index[0] == pd.Timestamp("2021-07-03", tz="UTC")
    assert len(at_midnight) == 96
    assert vintages.issued_at("2030-01-01", tz="UTC") == pd.Timestamp("2021-07-06", tz="UTC")
    with pytest.raises(InputError, match="before the first forecast"):
        vintages.at("2021-06-30 23:00+00:00")
    with pytest.raises(UsageError, match="no time zone"):
        vintages.at("2021-07-03 00:00")


@pytest.mark.parametrize("doubled", [1, 3, DAYS - 1])
def test_a_doubled_day_is_refused_or_repaired(tmp_path: Path, doubled: int) -> None:
    """Rows and fix are named; the repair gives exactly the blocks of an unharmed file."""
    path = write(tmp_path, table(doubled=doubled))
    row = 96 * doubled + 2
    with pytest.raises(InputError, match=rf"row {row},.*rows {row} to {row + 95}.*repair"):
        read_vintages(path)
    with pytest.raises(InputError, match="repair"):
        read_carbon(path, "carboncast")
    vintages = read_vintages(path, cleaning=REPAIR)
    check(vintages)
    assert f"rows {row} to {row + 95} carried the date" in vintages.report[0]
    assert read_carbon(path, "carboncast", cleaning=REPAIR).frame.equals(vintages.actual().frame)


def test_a_doubled_day_without_proof_is_never_repaired(tmp_path: Path) -> None:
    """The second block is a true copy of the first: moving it would invent a day."""
    frame = table(doubled=3)
    rows = slice(3 * 96, 4 * 96 - 1)
    frame.loc[rows, "actual_carbon_intensity_lifecycle"] = np.arange(96) + 24 * 2 + 100.0
    with pytest.raises(InputError, match="not later than the block before"):
        read_vintages(write(tmp_path, frame), cleaning=REPAIR)


def test_contradicting_actual_values_are_refused(tmp_path: Path) -> None:
    """One hour stands in up to four blocks and has one true value."""
    frame = table()
    frame.loc[96 + 3, "actual_carbon_intensity_lifecycle"] += 1
    with pytest.raises(InputError, match=r"row 101.*contradicts the actual value 127.*row 29"):
        read_vintages(write(tmp_path, frame))


def test_what_is_not_made_of_blocks_is_refused(tmp_path: Path) -> None:
    """A cut file, a hole within a block, a missing value, another column."""
    with pytest.raises(InputError, match=r"575 rows \(allowed: whole blocks of 96 hours\)"):
        read_vintages(write(tmp_path, table().iloc[:-1]))
    moved = table()
    moved.loc[5, "UTC time"] = "2021-07-01 05:30:00"
    with pytest.raises(InputError, match=r"row 7.*not one hour after"):
        read_vintages(write(tmp_path, moved))
    empty = table()
    empty.loc[4, "forecasted_carbon_intensity_lifecycle"] = np.nan
    with pytest.raises(InputError, match=r"row 6.*is missing"):
        read_vintages(write(tmp_path, empty))
    with pytest.raises(InputError, match=r"rename 'actual_carbon_intensity_lifecycle'"):
        read_vintages(write(tmp_path, table()), quantity="direct")
    with pytest.raises(UsageError, match="Unknown quantity"):
        read_vintages(write(tmp_path, table()), quantity="marginal")
    with pytest.raises(UsageError, match="leads"):
        read_vintages(write(tmp_path, table()), leads=0)


def test_american_times_and_mixed_forms(tmp_path: Path) -> None:
    """Some regions are published as MM/DD/YYYY; a mixture is a matter of policy."""
    frame = table()
    american = pd.to_datetime(frame["UTC time"]).dt.strftime("%m/%d/%Y %H:%M")
    check(read_vintages(write(tmp_path, frame.assign(**{"UTC time": american}))))
    offset = frame["UTC time"] + "+00:00"
    check(read_vintages(write(tmp_path, frame.assign(**{"UTC time": offset}))))
    frame.loc[:95, "UTC time"] = american[:96]
    with pytest.raises(InputError, match="is written as MM/DD/YYYY"):
        read_vintages(write(tmp_path, frame))
    check(read_vintages(write(tmp_path, frame), cleaning=Cleaning(mixed_times="accept")))


def test_a_missing_issue_day_is_told(tmp_path: Path) -> None:
    """A day without forecast is no fault, but a fact about the vintages."""
    frame = table().drop(range(96, 192))
    vintages = read_vintages(write(tmp_path, frame))
    check(vintages)
    assert "another distance" in vintages.report[0]
    assert (vintages.at("2021-07-02 12:00+00:00") == 1000).all()
