"""Text becomes instants and numbers only where it says so without doubt."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.traces.parse import parse_numbers, parse_times, time_formats

BERLIN = "Europe/Berlin"


def local_hours(day: str, count: int) -> list[str]:
    """Clock readings of `count` consecutive hours from local midnight in Berlin."""
    start = pd.Timestamp(day).tz_localize(BERLIN)
    return [f"{start + pd.Timedelta(hours=h):%Y-%m-%d %H:%M}" for h in range(count)]


@pytest.mark.parametrize(
    "text",
    [
        "2021-07-01T02:00:00+00:00",
        "2021-07-01 02:00:00+00:00",
        "2021-07-01T02:00Z",
        "2021-07-01 04:00:00+0200",
        "2021-06-30 19:00-07",
        "2021-07-01T02:00:00.000Z",
    ],
)
def test_an_offset_says_the_instant_itself(text: str) -> None:
    """All ways to write an offset give the same instant; tz= does not override them."""
    expected = pd.Timestamp("2021-07-01 02:00", tz="UTC")
    assert parse_times([text])[0] == expected
    assert parse_times([text], tz="Asia/Tokyo")[0] == expected


@pytest.mark.parametrize(
    "text", ["2021-07-01 02:00", "2021-07-01T02:00:00", "07/01/2021 02:00", "7/1/2021 2:00:00"]
)
def test_naive_times_take_the_zone_of_the_caller(text: str) -> None:
    """02:00 in Berlin in summer is midnight UTC (a winter offset would give 01:00)."""
    assert parse_times([text], tz=BERLIN)[0] == pd.Timestamp("2021-07-01 00:00", tz="UTC")
    assert parse_times([text], tz="UTC")[0] == pd.Timestamp("2021-07-01 02:00", tz="UTC")


def test_naive_times_without_zone_are_refused_once() -> None:
    """One flaw for the column, with the fix, not one per row."""
    with pytest.raises(InputError, match=r"has no time zone \(as 3 of 3 times\).*tz=") as caught:
        parse_times(["2021-07-01 00:00", "2021-07-01 01:00", "2021-07-01 02:00"])
    assert len(caught.value.flaws) == 1


def test_seven_fractional_digits_are_kept() -> None:
    """Truncation to microseconds would lose the last digit."""
    (time,) = parse_times(["2023-11-16 18:15:46.6805907"], tz="UTC")
    assert time.nanosecond == 700
    assert time.microsecond == 680590


def test_unknown_and_impossible_times_are_named_together() -> None:
    """Every bad cell is named by its row; day and month are not exchanged silently."""
    cells = ["2021-02-29", "2021-01-01", "13/01/2021 00:00", "noon", "", "2021-01-01 24:00"]
    with pytest.raises(InputError) as caught:
        parse_times(cells, tz="UTC", mixed="accept", file="a.csv")
    rows = {flaw.row: flaw for flaw in caught.value.flaws}
    assert sorted(rows) == [2, 4, 5, 6, 7]
    assert rows[4].cause == "day and month are exchanged"
    with pytest.raises(InputError, match="is not a time"):
        parse_times(["0001-01-01 00:00"], tz="UTC")
    with pytest.raises(InputError, match="is not a time"):
        parse_times(["٢٠٢١-01-01 00:00"], tz="UTC")


def test_mixed_forms_are_a_matter_of_policy() -> None:
    """Joined files often mix forms: refused with the row, or each read by its own form."""
    cells = ["2021-01-01 00:00", "2021-01-01 01:00", "01/01/2021 02:00"]
    with pytest.raises(InputError, match=r"row 4.*MM/DD/YYYY \(as 1 times.*2 others as ISO"):
        parse_times(cells, tz="UTC")
    times = parse_times(cells, tz="UTC", mixed="accept")
    assert list(times.hour) == [0, 1, 2]
    assert time_formats(cells) == {"ISO": 2, "MM/DD/YYYY": 1}


def test_a_day_of_23_hours() -> None:
    """On 2022-03-27 Berlin has no 02:xx: 23 clock readings are 23 consecutive instants."""
    cells = local_hours("2022-03-27", 23)
    assert not any(" 02:" in cell for cell in cells)
    times = parse_times(cells, tz=BERLIN)
    assert (np.diff(times) == np.timedelta64(1, "h")).all()
    assert times[0] == pd.Timestamp("2022-03-26 23:00", tz="UTC")


def test_the_skipped_hour_is_refused_or_shifted() -> None:
    """02:30 on that day does not exist; shifting gives 03:00 summer time = 01:00 UTC."""
    cells = ["2022-03-27 01:30", "2022-03-27 02:30", "2022-03-27 03:30"]
    with pytest.raises(InputError, match=r"row 3.*does not exist in Europe/Berlin"):
        parse_times(cells, tz=BERLIN)
    times = parse_times(cells, tz=BERLIN, nonexistent="shift")
    assert times[1] == pd.Timestamp("2022-03-27 01:00", tz="UTC")


def test_a_day_of_25_hours() -> None:
    """On 2022-10-30 Berlin has 02:xx twice: order in the file tells the two apart."""
    cells = local_hours("2022-10-30", 25)
    assert cells.count("2022-10-30 02:00") == 2
    with pytest.raises(InputError, match="means two instants") as caught:
        parse_times(cells, tz=BERLIN)
    assert [flaw.row for flaw in caught.value.flaws] == [4, 5]
    times = parse_times(cells, tz=BERLIN, ambiguous="order")
    assert (np.diff(times) == np.timedelta64(1, "h")).all()
    assert parse_times(["2022-10-30 02:00"], tz=BERLIN, ambiguous="earlier")[0].hour == 0
    assert parse_times(["2022-10-30 02:00"], tz=BERLIN, ambiguous="later")[0].hour == 1


def test_order_needs_both_readings() -> None:
    """A repeated hour that stands once is still ambiguous; guessing would be off by an hour."""
    with pytest.raises(InputError, match="stands once"):
        parse_times(["2022-10-30 01:00", "2022-10-30 02:00"], tz=BERLIN, ambiguous="order")


def test_quarter_hours_of_the_repeated_hour() -> None:
    """02:00, 02:15, 02:30, 02:45 twice: each second reading is an hour after its first."""
    quarter = [f"2022-10-30 02:{m:02}" for m in (0, 15, 30, 45)]
    times = parse_times(quarter * 2, tz=BERLIN, ambiguous="order")
    assert (np.diff(times) == np.timedelta64(15, "m")).all()


def test_wrong_zones_and_policies_are_usage_errors() -> None:
    """Options are refused by name, with what is known."""
    with pytest.raises(UsageError, match=r"Unknown time zone 'Europe/Berln'"):
        parse_times(["2021-01-01 00:00"], tz="Europe/Berln")
    with pytest.raises(UsageError, match="Unknown time zone"):
        parse_times(["2021-01-01 00:00"], tz="../../etc/passwd")
    with pytest.raises(UsageError, match="choice for ambiguous"):
        parse_times(["2021-01-01 00:00"], ambiguous="guess")  # type: ignore[arg-type]


def test_no_times_give_an_empty_index() -> None:
    """An empty column is no fault here."""
    assert len(parse_times([])) == 0


def test_numbers_of_all_plain_notations() -> None:
    """Decimal notation, with exponent and surrounding blanks."""
    cells = ["1", "-2.5", "+.5", "3.", " 4e2 ", "1E-3", "0"]
    assert parse_numbers(cells, "x").tolist() == [1, -2.5, 0.5, 3, 400, 0.001, 0]


def test_flaws_of_numbers_come_all_at_once() -> None:
    """Text, NaN, infinities, emptiness and the range: each with row, field, value, range."""
    cells = ["1", "abc", "nan", "inf", "-inf", "-1", "", "1,5", "1_000", "1e999", "0x1p3", "9"]
    with pytest.raises(InputError) as caught:
        parse_numbers(cells, "carbon", minimum=0, maximum=8, file="a.csv")
    flaws = caught.value.flaws
    assert [flaw.row for flaw in flaws] == list(range(3, 14))
    assert str(flaws[0]) == (
        "a.csv, row 3, field 'carbon': 'abc' is not a number (allowed: a number in 0 .. 8)."
    )
    assert [flaw.what for flaw in flaws[1:6]] == [
        "is missing",
        "is not finite",
        "is not finite",
        "is out of range",
        "is missing",
    ]
    assert flaws[6].cause == "a decimal comma or a thousands separator"
    assert flaws[8].what == "is not finite"
    with pytest.raises(InputError, match="'1e999' is not finite"):
        parse_numbers(["1e999"], "x")


def test_missing_numbers_may_be_told_apart_from_wrong_ones() -> None:
    """With `allow_missing`, gaps become NaN; infinities stay wrong."""
    numbers = parse_numbers(["", "NaN", "null", "2"], "x", allow_missing=True)
    assert np.isnan(numbers).tolist() == [True, True, True, False]
    with pytest.raises(InputError, match="not finite"):
        parse_numbers(["inf"], "x", allow_missing=True)


def test_a_long_cell_of_digits_takes_no_quadratic_time() -> None:
    """A careless pattern needs 10^10 steps for this cell."""
    with pytest.raises(InputError, match="is not a number"):
        parse_numbers(["1" * 130_000 + "x"], "x")


@settings(deadline=None, derandomize=True, max_examples=100)
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_any_finite_number_comes_back_exactly(numbers: list[float]) -> None:
    """The repr of a float is read back to the same float."""
    back = parse_numbers([repr(number) for number in numbers], "x")
    assert back.tolist() == numbers
    assert all(math.isfinite(number) for number in back)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    times=st.lists(
        st.datetimes(dt.datetime(1901, 1, 1), dt.datetime(2199, 1, 1), timezones=st.timezones()),
        max_size=10,
    )
)
def test_any_instant_comes_back_exactly(times: list[dt.datetime]) -> None:
    """ISO text with offset is the same instant in UTC, from any zone of the world."""
    # Offsets with seconds (local mean time, before zones) have no ISO notation of ours.
    times = [time for time in times if time.utcoffset().seconds % 60 == 0]  # type: ignore[union-attr]
    back = parse_times([time.isoformat() for time in times])
    assert [stamp.to_pydatetime() for stamp in back] == [time.astimezone(dt.UTC) for time in times]
