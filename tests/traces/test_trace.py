"""A `Trace` keeps its contract, cuts exactly and averages only what is complete."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.traces import Trace


def trace(count: int = 48, step: str = "1h", start: str = "2022-01-01 00:00+00:00") -> Trace:
    """Trace with values 0, 1, 2, ..."""
    index = pd.date_range(start, periods=count, freq=step, name="time").tz_convert("UTC")
    frame = pd.DataFrame({"carbon_g_per_kwh": np.arange(count, dtype=float)}, index=index)
    return Trace(frame, pd.Timedelta(step), "XX", "direct", "synthetic", ("a note.",))


def test_repr_says_what_it_is() -> None:
    """Zone, quantity, source, range with its end, step, values and the report are there."""
    text = repr(trace())
    for words in ("XX, direct", "synthetic", "2022-01-01 00:00 .. 2022-01-03 00:00 UTC"):
        assert words in text
    assert "48 steps of 1 h" in text
    assert "0.0 .. 23.5 .. 47.0 g/kWh" in text
    assert "- a note." in text
    assert len(trace()) == 48


def test_the_frame_is_a_copy() -> None:
    """Changing the caller's frame or a series does not change the trace."""
    original = trace()
    frame = original.frame.copy()
    other = Trace(frame, original.step, "XX", "direct", "synthetic")
    frame.iloc[0, 0] = 99.0
    series = other.to_series()
    series.iloc[1] = 99.0
    assert other.frame.iloc[:2, 0].tolist() == [0.0, 1.0]
    with pytest.raises(UsageError, match="Known: carbon_g_per_kwh"):
        other.to_series("carbon")


def test_window_is_left_labelled_and_exact() -> None:
    """24 h from the second midnight are values 24..47, and the end is exclusive."""
    part = trace().window("2022-01-02 00:00+00:00", 24)
    assert part.frame.iloc[:, 0].tolist() == list(range(24, 48))
    assert part.end == trace().end
    local = trace().window("2022-01-01 01:00", 2, tz="Europe/Berlin")
    assert local.frame.iloc[:, 0].tolist() == [0, 1]
    assert trace(step="5min").window("2022-01-01T01:00Z", 0.25).frame.iloc[:, 0].tolist() == [
        12,
        13,
        14,
    ]


def test_window_outside_names_the_covered_range() -> None:
    """One hour too many is refused, with both ranges."""
    with pytest.raises(InputError, match=r"2022-01-01 00:00 \.\. 2022-01-03 00:00 UTC"):
        trace().window("2022-01-02 00:00+00:00", 25)
    with pytest.raises(InputError, match="not covered"):
        trace().window("2021-12-31 23:00+00:00", 2)


@pytest.mark.parametrize("hours", [0, -1, 0.5, float("nan"), float("inf"), "x", None])
def test_window_lengths_that_are_no_multiple_of_the_step(hours: object) -> None:
    """No rounding of lengths."""
    with pytest.raises(UsageError, match="hours must be"):
        trace().window("2022-01-01 00:00+00:00", hours)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "tz", "words"),
    [
        ("2022-01-01 00:00", None, "no time zone"),
        ("2022-01-01 00:30+00:00", None, "not on the grid"),
        ("soon", None, "not a time"),
        (None, None, "not a time"),
        ("2022-03-27 02:30", "Europe/Berlin", "does not exist or is double"),
        ("2022-10-30 02:30", "Europe/Berlin", "does not exist or is double"),
    ],
)
def test_window_starts_that_are_no_instant(start: str, tz: str | None, words: str) -> None:
    """A start is an instant on the grid, or the call is wrong."""
    with pytest.raises(UsageError, match=words):
        trace().window(start, 1, tz=tz)


def test_resample_takes_means_of_complete_hours() -> None:
    """12 five-minute values make an hour; the overhanging ends are dropped and told."""
    fine = trace(40, "5min", "2022-01-01 00:50+00:00")
    hourly = fine.resample("1h")
    # 00:50, 00:55 and 04:00, 04:05 hang over; 01:00..03:55 are the values 2..37.
    assert hourly.frame.index[0] == pd.Timestamp("2022-01-01 01:00", tz="UTC")
    assert hourly.frame.iloc[:, 0].tolist() == [7.5, 19.5, 31.5]
    assert hourly.step == pd.Timedelta("1h")
    assert "4 steps of the incomplete ends were dropped" in hourly.report[-1]
    assert fine.resample("5min") is fine


@pytest.mark.parametrize("step", ["30min", "90min", "0h", "-1h", "x", "NaT"])
def test_resample_refuses_what_is_no_multiple(step: str) -> None:
    """Finer steps would invent values; odd ones would mix them."""
    with pytest.raises(UsageError):
        trace().resample(step)
    with pytest.raises(UsageError, match="no complete step"):
        trace(3).resample("1D")


@settings(deadline=None, derandomize=True, max_examples=60)
@given(lead=st.integers(0, 11), count=st.integers(24, 100), ratio=st.sampled_from([2, 3, 4, 6, 12]))
def test_resample_agrees_with_pandas_on_complete_slots(lead: int, count: int, ratio: int) -> None:
    """Against an independent computation: pandas groups, incomplete groups removed."""
    start = pd.Timestamp("2022-01-01", tz="UTC") + lead * pd.Timedelta("5min")
    fine = trace(count, "5min", str(start))
    groups = fine.to_series().resample(f"{5 * ratio}min")
    expected = groups.mean()[groups.count() == ratio]
    result = fine.resample(f"{5 * ratio}min").to_series()
    assert np.allclose(result, expected, atol=1e-12)
    assert (result.index == expected.index).all()


def test_a_frame_that_breaks_the_contract_is_refused() -> None:
    """Zone, regularity, name, column, finiteness and sign are checked, together."""
    good = trace()

    def build(frame: pd.DataFrame, quantity: str = "direct") -> Trace:
        return Trace(frame, good.step, "XX", quantity, "x")  # type: ignore[arg-type]

    with pytest.raises(InputError, match="not in UTC"):
        build(good.frame.tz_localize(None))
    with pytest.raises(InputError, match="not in UTC"):
        build(good.frame.tz_convert("Europe/Berlin"))
    with pytest.raises(InputError, match="not regular"):
        build(good.frame.drop(good.frame.index[3]))
    with pytest.raises(InputError, match="not finite"):
        build(good.frame.mask(good.frame == 3))
    with pytest.raises(InputError, match="negative"):
        build(good.frame - 1)
    with pytest.raises(InputError, match="has no rows"):
        build(good.frame.iloc[:0])
    with pytest.raises(InputError) as caught:
        build(good.frame.rename(columns={"carbon_g_per_kwh": "x"}).rename_axis("t"))
    assert len(caught.value.flaws) == 2
    with pytest.raises(UsageError, match="Unknown quantity"):
        build(good.frame, "average")
