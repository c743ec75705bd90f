"""Wind files: every clock is known or refused, every flaw listed, real files keep their facts."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.traces import Cleaning, aligned_power, read_wind
from optmodels.traces.wind import RTS_NAMEPLATE_MW

FIXED = "Etc/GMT+7"
AREAS = ("BPAT", "CISO", "ERCO", "MISO", "PJM")
DISPASET = {"DE": 10.4, "DK": 10.0, "ES": -3.7, "FR": 2.4, "NL": 5.3, "SE": 15.5, "UK": -1.8}
"""Longitude [degrees east] near the middle of each country's people."""


def day_ahead(folder: Path, days: dict[tuple[int, int, int], int], name: str = "w.csv") -> Path:
    """A day-ahead table with so many periods on each day; the power counts the rows."""
    lines, power = ["Year,Month,Day,Period,a,b"], 0
    for (year, month, day), periods in days.items():
        for period in range(1, periods + 1):
            power += 1
            lines.append(f"{year},{month},{day},{period},{power},{power / 2}")
    file = folder / name
    file.write_text("\n".join(lines) + "\n")
    return file


# ------------------------------------------------------------------------------------- RTS-GMLC
def test_first_period_begins_at_local_midnight(tmp_path: Path) -> None:
    """Period 1 is the interval from 00:00 to 01:00 local time, labelled by its left end in UTC.

    A reader that took Period for the hour of the clock would begin at 08:00 UTC.
    """
    trace = read_wind(
        day_ahead(tmp_path, {(2020, 2, 29): 24, (2020, 3, 1): 24}), "rts-gmlc-day-ahead", tz=FIXED
    )
    assert str(trace.frame.index[0]) == "2020-02-29 07:00:00+00:00"
    assert len(trace.frame) == 48
    assert trace.step == pd.Timedelta("1h")
    assert list(trace.frame.columns) == ["a_mw", "b_mw"]
    assert trace.frame["a_mw"].tolist() == list(range(1, 49))
    assert "48 steps of 1 h" in repr(trace)


def test_real_time_has_five_minutes(tmp_path: Path) -> None:
    """288 periods of five minutes; a day-ahead table under this name has holes and is refused."""
    file = day_ahead(tmp_path, {(2020, 1, 1): 288, (2020, 1, 2): 288})
    trace = read_wind(file, "rts-gmlc-real-time", tz="UTC")
    assert trace.step == pd.Timedelta("5min")
    assert trace.frame.index[288] == pd.Timestamp("2020-01-02", tz="UTC")
    with pytest.raises(InputError, match="Period"):
        read_wind(file, "rts-gmlc-day-ahead", tz="UTC")
    hourly = day_ahead(tmp_path, {(2020, 1, 1): 24, (2020, 1, 2): 24}, "hourly.csv")
    with pytest.raises(InputError, match="absent"):
        read_wind(hourly, "rts-gmlc-real-time", tz="UTC")


@pytest.mark.parametrize(("day", "periods"), [((2020, 3, 8), 23), ((2020, 11, 1), 25)])
def test_days_of_23_and_25_hours(tmp_path: Path, day: tuple[int, int, int], periods: int) -> None:
    """Periods count intervals since midnight: a day with a clock change has 23 or 25 of them.

    Counting hours of the clock would double or skip an instant.
    """
    after = (day[0], day[1], day[2] + 1)
    zone = "America/Los_Angeles"
    right = day_ahead(tmp_path, {day: periods, after: 24})
    trace = read_wind(right, "rts-gmlc-day-ahead", tz=zone)
    assert trace.frame["a_mw"].tolist() == list(range(1, periods + 25))
    assert trace.frame.index[0].tz_convert(zone).hour == 0
    assert trace.frame.index[periods].tz_convert(zone).hour == 0
    wrong = day_ahead(tmp_path, {day: 24, after: 24}, "wrong.csv")
    expected = "has 23 periods.*no summer time" if periods == 23 else "is absent"
    with pytest.raises(InputError, match=expected):
        read_wind(wrong, "rts-gmlc-day-ahead", tz=zone)


def test_every_flaw_of_a_table_is_listed(tmp_path: Path) -> None:
    """Bad parts of the date, bad power and a day that does not exist, each with its row."""
    file = tmp_path / "bad.csv"
    head = "Year,Month,Day,Period,a\n"
    file.write_text(head + "2020,1,1,1,5\n2020,13,1,2,5\n2020,1,1,1.5,-3\n2020,1,1,99,inf\n")
    with pytest.raises(InputError) as caught:
        read_wind(file, "rts-gmlc-day-ahead", tz=FIXED)
    assert {(flaw.row, flaw.field) for flaw in caught.value.flaws} == {
        (3, "Month"),
        (4, "Period"),
        (4, "a"),
        (5, "Period"),
        (5, "a"),
    }
    file.write_text(head + "2021,2,29,1,5\n2021,2,28,1,5\n")
    with pytest.raises(InputError, match=r"2021-2-29' is not a day of the calendar"):
        read_wind(file, "rts-gmlc-day-ahead", tz=FIXED)
    for text, words in ((head, "no rows"), (head.replace(",a", ""), "no column of power")):
        file.write_text(text)
        with pytest.raises(InputError, match=words):
            read_wind(file, "rts-gmlc-day-ahead", tz=FIXED)


def test_doubled_rows_and_gaps_need_a_policy(tmp_path: Path) -> None:
    """A doubled period is refused, a missing value too, and both are repaired where allowed."""
    file = tmp_path / "w.csv"
    rows = ["2020,1,1,1,1", "2020,1,1,2,", "2020,1,1,3,3", "2020,1,1,3,5"]
    file.write_text("Year,Month,Day,Period,a\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError) as caught:
        read_wind(file, "rts-gmlc-day-ahead", tz="UTC")
    assert len(caught.value.flaws) == 2
    policy = Cleaning(gaps="interpolate", duplicates="mean")
    trace = read_wind(file, "rts-gmlc-day-ahead", tz="UTC", cleaning=policy)
    assert trace.frame["a_mw"].tolist() == [1, 2.5, 4]
    assert len(trace.report) == 2


def test_the_zone_must_be_said(tmp_path: Path) -> None:
    """Without a zone the days of RTS-GMLC have no begin; other formats contradict a wrong one."""
    file = day_ahead(tmp_path, {(2020, 1, 1): 24})
    with pytest.raises(UsageError, match="say tz="):
        read_wind(file, "rts-gmlc-day-ahead")
    with pytest.raises(UsageError, match="Unknown time zone"):
        read_wind(file, "rts-gmlc-day-ahead", tz="Mars/Olympus")
    with pytest.raises(UsageError, match="contradicts"):
        read_wind(file, "dispaset", tz="Europe/Berlin")
    with pytest.raises(UsageError, match="Did you mean"):
        read_wind(file, "rts-gmlc-dayahead")


# ------------------------------------------------------------------------------------- Dispa-SET
def test_dispaset_columns(tmp_path: Path) -> None:
    """Shares on land and at sea are not exchanged, infinite run-of-river does not matter."""
    file = tmp_path / "NL.csv.gz"
    text = (
        ",PHOT,WTOF,WTON,HROR\n2016-01-01 00:00:00,0,.5,.25,inf\n2016-01-01 01:00:00,0,.6,.35,inf\n"
    )
    file.write_bytes(gzip.compress(text.encode()))
    trace = read_wind(file, "dispaset")
    assert trace.frame["onshore_share"].tolist() == [0.25, 0.35]
    assert trace.frame["offshore_share"].tolist() == [0.5, 0.6]
    assert str(trace.frame.index[1]) == "2016-01-01 01:00:00+00:00"


def test_dispaset_flaws(tmp_path: Path) -> None:
    """Shares above one, bad times and missing values, all at once; columns in a wrong order."""
    file = tmp_path / "XX.csv"
    file.write_text(",WTOF,WTON\n2016-01-01 00:00:00,0.1,1.5\nyesterday,0.1,abc\n")
    with pytest.raises(InputError) as caught:
        read_wind(file, "dispaset")
    assert {(flaw.row, flaw.field) for flaw in caught.value.flaws} == {
        (2, "WTON"),
        (3, "WTON"),
        (3, "(first column)"),
    }
    file.write_text("WTON,WTOF,time\n0.1,0.2,2016-01-01 00:00:00\n")
    with pytest.raises(InputError, match="first column"):
        read_wind(file, "dispaset")
    file.write_text(",WTOF,WTON\n")
    with pytest.raises(InputError, match="no rows"):
        read_wind(file, "dispaset")


# --------------------------------------------------------------------------------------- aligning
def hourly(values: list[float], begin: str = "2022-03-27", step: str = "1h") -> pd.Series[float]:
    """A series in UTC."""
    index = pd.date_range(begin, periods=len(values), freq=step, tz="UTC")
    return pd.Series(values, index=index)


def test_aligned_series_keep_values_and_order() -> None:
    """A series in local time over a clock change is the same series in UTC."""
    values = [float(i) for i in range(48)]
    local = hourly(values, "2022-03-26 23:00").tz_convert("Europe/Berlin")
    frame = aligned_power({"b": local, "a": hourly(values, "2022-03-26 23:00")})
    assert list(frame.columns) == ["b", "a"]
    assert frame.index.name == "time"
    assert str(frame.index[0]) == "2022-03-26 23:00:00+00:00"
    assert (frame["a"] == frame["b"]).all()


def test_short_steps_are_averaged_over_whole_slots() -> None:
    """Energy of a slot is kept, incomplete slots at the ends are dropped, inputs stay untouched."""
    fine = hourly([0.0, *range(1, 13), 7.0], "2022-01-01 00:55", "5min")
    kept = fine.copy()
    frame = aligned_power(
        {"fine": fine, "hour": hourly([1.0, 2.0, 3.0], "2022-01-01")}, step="1h", span="common"
    )
    assert frame["fine"].tolist() == [6.5]
    assert frame["hour"].tolist() == [2.0]
    assert str(frame.index[0]) == "2022-01-01 01:00:00+00:00"
    pd.testing.assert_series_equal(fine, kept)


def test_all_flaws_of_series_are_listed() -> None:
    """A naive index, a gap, a negative and a missing value, a short series: five flaws at once."""
    gap = hourly([1.0, 2.0, 3.0, 4.0]).drop(index=pd.Timestamp("2022-03-27 02:00", tz="UTC"))
    with pytest.raises(InputError) as caught:
        aligned_power(
            {
                "naive": hourly([1.0, 2.0]).tz_localize(None),
                "gap": gap,
                "negative": hourly([1.0, -2.0]),
                "missing": hourly([np.nan, 2.0]),
                "short": hourly([1.0]),
            }
        )
    assert [flaw.field for flaw in caught.value.flaws] == [
        "naive",
        "gap",
        "negative",
        "missing",
        "short",
    ]


def test_steps_and_spans_must_agree() -> None:
    """Different steps, spans, phases, or no common time: refused with the way out."""
    day = hourly([1.0] * 24)
    with pytest.raises(InputError, match='step="1 h"'):
        aligned_power({"a": day, "b": hourly([1.0] * 24, step="5min")})
    with pytest.raises(InputError, match="do not divide"):
        aligned_power({"a": day}, step="90min")
    with pytest.raises(InputError, match='span="common"'):
        aligned_power({"a": day, "b": hourly([1.0] * 30)})
    assert len(aligned_power({"a": day, "b": hourly([1.0] * 30)}, span="common")) == 24
    with pytest.raises(InputError, match="no time in common"):
        aligned_power({"a": day, "b": hourly([1.0] * 24, "2023-01-01")}, span="common")
    with pytest.raises(InputError, match="do not begin where"):
        aligned_power({"a": day, "b": hourly([1.0] * 24, "2022-03-27 00:30")}, span="common")
    for wrong in ("soon", "-1h", "NaT"):
        with pytest.raises(UsageError, match="positive length"):
            aligned_power({"a": day}, step=wrong)
    with pytest.raises(UsageError, match="at least one"):
        aligned_power({})
    with pytest.raises(UsageError, match="span"):
        aligned_power({"a": day}, span="all")  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- the real files
def test_rts_files(shared_data: Path) -> None:
    """A leap year without gaps in both tables; power within the nameplates."""
    folder = shared_data / "wind" / "rts_gmlc"
    actual = read_wind(folder / "REAL_TIME_wind.csv.gz", "rts-gmlc-real-time", tz=FIXED)
    ahead = read_wind(folder / "DAY_AHEAD_wind.csv.gz", "rts-gmlc-day-ahead", tz=FIXED)
    assert (len(actual.frame), len(ahead.frame)) == (105_408, 8_784)
    for trace in (actual, ahead):
        assert list(trace.frame.columns) == list(RTS_NAMEPLATE_MW)
        assert (trace.frame.max() <= pd.Series(RTS_NAMEPLATE_MW)).all()
    assert actual.frame.iloc[0].tolist() == [146, 782.7, 826.2, 698.4]
    frame = aligned_power({str(n): one for n, one in actual.frame.items()}, step="1h")
    assert frame.index.equals(ahead.frame.index)
    # The forecast belongs to these hours: shifted by half a day it says far less.
    forecast, power = ahead.frame.to_numpy(), frame.to_numpy()
    errors = [np.abs(np.roll(forecast, shift, axis=0) - power).mean() for shift in (0, 12)]
    assert errors[0] < 0.8 * errors[1]
    with pytest.raises(InputError, match="no summer time"):
        read_wind(folder / "DAY_AHEAD_wind.csv.gz", "rts-gmlc-day-ahead", tz="America/Denver")


@pytest.mark.parametrize("country", DISPASET)
def test_dispaset_files_are_in_utc(shared_data: Path, country: str) -> None:
    """The centre of the day's solar output is at 12:00 minus four minutes per degree east, in UTC.

    So it is before and after the clock change: the files have no local and no summer time.
    """
    path = shared_data / "wind" / "dispaset_af" / "1h_2016" / f"{country}.csv.gz"
    trace = read_wind(path, "dispaset")
    assert len(trace.frame) == 8784
    sun = pd.read_csv(path)["PHOT"].to_numpy()
    hour = pd.DatetimeIndex(trace.frame.index).hour.to_numpy() + 0.5
    month = pd.DatetimeIndex(trace.frame.index).month.to_numpy()
    for season in (month <= 3, (month >= 5) & (month <= 9)):
        centre = float((sun * hour)[season].sum() / sun[season].sum())
        assert centre == pytest.approx(12 - DISPASET[country] / 15, abs=0.4)


@pytest.mark.parametrize("area", AREAS)
def test_sustaindc_files(shared_data: Path, area: str) -> None:
    """Wind beside carbon; the collapsed days of PJM are told of, its missing hours refused."""
    path = shared_data / "carbon" / "sustaindc_us2022" / f"{area}_NG_&_avgCI.csv.gz"
    policy = Cleaning(gaps="interpolate", max_gap_slots=24)
    trace = read_wind(path, "sustaindc", cleaning=policy)
    assert len(trace.frame) == 8760
    assert (trace.frame["wind_mw"] >= 0).all()
    assert trace.frame["carbon_g_per_kwh"].between(20, 900).all()
    if area == "PJM":
        assert "collapses" in " ".join(trace.report)
    if area in ("PJM", "CISO", "MISO"):
        with pytest.raises(InputError, match=r"wind trace \(sustaindc\)"):
            read_wind(path, "sustaindc")
